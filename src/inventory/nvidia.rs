//! NVIDIA: the labels that GPU Feature Discovery writes and the resources of the device plugin.
//!
//! Source: `NVIDIA/k8s-device-plugin`, `internal/lm/*.go` (labels), `api/config/v1` (resource names), `internal/rm/rm.go`
//! (names of slices).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::gpus::{Offered, Reading, names_another, share_mark, slug, vendor_slug};
use crate::domain::gpu::{GpuPool, MIXED, NVIDIA_PRODUCT, Sharing};

const VENDOR: &str = "nvidia";
const DOMAIN: &str = "nvidia.com/";
pub const WHOLE: &str = "nvidia.com/gpu";
/// In front of the profile, under MIG strategy `mixed`.
const SLICE: &str = "nvidia.com/mig-";
/// Ends a resource's name under `renameByDefault: true`; the labels keep the name without it.
const RENAMED: &str = ".shared";

const INVALID: &str = "INVALID";
/// In MiB.
const CARD_MEMORY: &str = "nvidia.com/gpu.memory";

/// What GKE says in place of Feature Discovery: clients of one card, how they share it, and the slice.
const GKE_CLIENTS: &str = "cloud.google.com/gke-max-shared-clients-per-gpu";
const GKE_STRATEGY: &str = "cloud.google.com/gke-gpu-sharing-strategy";
const GKE_PARTITION: &str = "cloud.google.com/gke-gpu-partition-size";

/// By this the cluster autoscaler of AWS knows a node that will have NVIDIA's cards, whatever the value.
const AUTOSCALED: &str = "k8s.amazonaws.com/accelerator";

pub fn knows(resource: &str) -> bool {
    resource.strip_suffix(RENAMED).unwrap_or(resource) == WHOLE || resource.starts_with(SLICE)
}

/// Whether the product's label says that strategy `single` found slices of several sizes, or cards with none.
pub fn is_invalid(labels: &BTreeMap<String, String>) -> bool {
    labels.get(NVIDIA_PRODUCT).is_some_and(|product| split_product(product).mig == Some(INVALID))
}

/// Resources that the labels speak of while the node offers none: the driver is loading or the device plugin is down.
pub fn promised(node: &Offered<'_>) -> Vec<Arc<str>> {
    if node.advertises(knows) {
        return Vec::new();
    }
    let slices = node.labels.range(SLICE.to_owned()..).map(|(key, _)| key.as_str()).take_while(|key| key.starts_with(SLICE));
    let promised = |name: &str| node.number(&format!("{name}.count")).is_some();
    let slices = slices.filter_map(|key| key.strip_suffix(".count")).filter(|name| promised(name));
    let slices: Vec<Arc<str>> = slices.map(|name| resource_of(name, node)).collect();
    // With strategy `mixed` the cards may all be partitioned: then no whole one is missing.
    let whole = slices.is_empty() && (promised(WHOLE) || is_promised_by_cloud(node));
    if whole { vec![resource_of(WHOLE, node)] } else { slices }
}

/// Before Feature Discovery has run, and where nobody installs it, the cloud's labels say that there are cards. A plugin
/// that calls them by names of the site's own has come up already.
fn is_promised_by_cloud(node: &Offered<'_>) -> bool {
    let awaited = || node.label(AUTOSCALED).is_some_and(|value| !names_another(value, VENDOR));
    !node.advertises(|resource| resource.starts_with(DOMAIN)) && (node.cloud_names(VENDOR) || awaited())
}

/// What the device plugin calls what the labels call by this name: shares whose product has no suffix are renamed.
fn resource_of(name: &str, node: &Offered<'_>) -> Arc<str> {
    let shared = node.number(&format!("{name}.replicas")).is_some_and(|replicas| replicas > 1);
    let product = node.label(&format!("{name}.product")).map(split_product);
    let renamed = shared && product.is_some_and(|product| !product.shared);
    if renamed { format!("{name}{RENAMED}").into() } else { name.into() }
}

pub fn pool(resource: &Arc<str>, node: &Offered<'_>) -> Option<GpuPool> {
    let renamed = resource.strip_suffix(RENAMED);
    let name = renamed.unwrap_or(resource);
    let key = |suffix: &str| format!("{name}.{suffix}");
    let named_slice = name.strip_prefix(SLICE);
    let own_product = key("product");
    let product = node.product(VENDOR, &[&own_product, NVIDIA_PRODUCT]);
    let Product { base, mig, shared } = product.map_or_else(Product::unknown, |(_, value)| split_product(value));
    if mig == Some(INVALID) {
        return None;
    }
    let slice = named_slice.or(mig).or_else(|| node.label(GKE_PARTITION)).map(profile);
    let replicas_key = key("replicas");
    // GKE shares cards by itself, of which Feature Discovery knows nothing: it says 1 and `none`.
    let replicas = node.number(&replicas_key).max(node.number(GKE_CLIENTS)).unwrap_or(1);
    let strategy_key = key("sharing-strategy");
    let mps = [strategy_key.as_str(), GKE_STRATEGY].iter().any(|key| node.label(key) == Some("mps"));
    let sharing = match (shared || renamed.is_some() || replicas > 1, &slice) {
        (true, _) if mps => Sharing::Mps,
        (true, _) => Sharing::TimeSliced,
        (false, Some(_)) => Sharing::Mig,
        (false, None) => Sharing::Exclusive,
    };
    let count = node.number(&key("count"));
    // The labels tell of one model only: more units than it has belong to another. Unhealthy ones count too.
    let several_models = count.is_some_and(|count| node.capacity(resource) > count.saturating_mul(replicas));

    let mut id = match product {
        _ if several_models => vendor_slug(VENDOR, MIXED),
        Some((key, _)) if key == own_product || key == NVIDIA_PRODUCT => slug(base),
        _ => vendor_slug(VENDOR, base),
    };
    if let Some(profile) = &slice {
        id.push_str(&format!(".mig-{}", slug(profile)));
    }
    if named_slice.is_some() {
        // With strategy `single` the same slice is asked for as nvidia.com/gpu.
        id.push_str(".mixed");
    }
    id.push_str(&share_mark(sharing, replicas));
    if renamed.is_some() {
        id.push_str(".renamed");
    }

    let mut labels = BTreeMap::new();
    if !several_models {
        labels.extend(product.and_then(|(key, _)| node.pair(key)));
        if sharing.is_share() {
            labels.extend(
                [replicas_key.as_str(), &strategy_key, GKE_CLIENTS, GKE_STRATEGY].into_iter().filter_map(|key| node.pair(key)),
            );
        }
        labels.extend(node.pair(GKE_PARTITION));
    }
    let memory = node.number(&key("memory")).or_else(|| node.memory_elsewhere().filter(|_| slice.is_none()));
    let from_cloud = named_slice.is_none() && is_promised_by_cloud(node);
    let promised = count.or_else(|| node.cards_elsewhere().filter(|_| from_cloud && slice.is_none()));
    // With strategy `single` this label speaks of the slice.
    let card_memory = named_slice.and_then(|_| node.number(CARD_MEMORY));
    // The label speaks of a card or slice. Who takes turns has all of it, and who shares it under MPS has a part.
    let parts = if sharing == Sharing::Mps { replicas } else { 1 };
    let reading = Reading {
        product: if several_models { MIXED.to_owned() } else { base.to_owned() },
        memory_mib: memory.filter(|_| !several_models).map(|mib| mib / parts),
        sharing,
        replicas: if sharing.is_share() { replicas } else { 1 },
        slices_per_card: slice.as_deref().map_or(1, |profile| slices_of_a_card(base, profile, card_memory)),
        slice,
        labels,
        promised: count.is_some() || from_cloud,
        promised_units: promised.map(|count| count.saturating_mul(replicas)),
        ..Reading::whole(id, VENDOR, base)
    };
    reading.pool(resource, node)
}

/// A label's value and a resource's name can't hold a `+`, so a profile such as `1g.10gb+me` has a dot there.
fn profile(written: &str) -> String {
    written.replacen("gb.", "gb+", 1)
}

/// Cards whose compute is split into other than seven slices.
const SPLIT: [(&str, u64); 4] = [("A30", 4), ("RTX-PRO-6000", 4), ("RTX-PRO-5000", 2), ("RTX-PRO-4500", 2)];
/// The memory in GB of cards whose names do not say it, or say another's.
const GIGABYTES: [(&str, u64); 8] = [
    (GRACE_HOPPER, 96),
    ("GB200", 186),
    ("GB300", 278),
    ("H200", 141),
    ("H100-NVL", 94),
    ("H100", 80),
    ("B200", 180),
    ("B300", 269),
];

/// Its name tells of the processor's memory.
const GRACE_HOPPER: &str = "GH200";

/// How many slices of a profile such as `1g.10gb` one card holds, given the card's memory in MiB where that is known.
/// Source: NVIDIA's MIG user guide, supported GPUs and profiles.
fn slices_of_a_card(product: &str, profile: &str, card_mib: Option<u64>) -> u64 {
    // The media engines of a card go to one slice.
    if profile.contains("+me") {
        return 1;
    }
    let compute = SPLIT.iter().find(|(model, _)| product.contains(model)).map_or(7, |(_, slices)| *slices);
    let (one, memory) = profile.split_once("g.").unwrap_or((profile, ""));
    let one = one.parse::<u64>().unwrap_or(1).max(1);
    // Memory is split into eight, of which the larger profile with one compute slice takes two.
    let digits = memory.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    let takes_two = || {
        let card = card_mib.map(|mib| mib / 1024).or_else(|| gigabytes(product))?;
        Some(digits.parse::<u64>().ok()?.saturating_mul(6) > card)
    };
    if compute == 7 && one == 1 && takes_two() == Some(true) {
        return 4;
    }
    (compute / one).max(1)
}

/// `80` of `NVIDIA-A100-SXM4-80GB`.
fn gigabytes(product: &str) -> Option<u64> {
    let named = product.split('-').find_map(|word| word.strip_suffix("GB")?.parse().ok());
    let listed = || GIGABYTES.iter().find(|(model, _)| product.contains(model)).map(|(_, size)| *size);
    named.filter(|_| !product.contains(GRACE_HOPPER)).or_else(listed)
}

/// `NVIDIA-A100-SXM4-40GB-MIG-1g.5gb-SHARED` names the card, the slice and the sharing in one label.
struct Product<'a> {
    base: &'a str,
    mig: Option<&'a str>,
    shared: bool,
}

impl Product<'_> {
    fn unknown() -> Self {
        Self { base: "GPU", mig: None, shared: false }
    }
}

fn split_product(raw: &str) -> Product<'_> {
    let (rest, shared) = match raw.strip_suffix("-SHARED") {
        Some(rest) => (rest, true),
        None => (raw, false),
    };
    let (base, mig) = match rest.split_once("-MIG-") {
        Some((base, profile)) => (base, Some(profile)),
        None => (rest, None),
    };
    Product { base, mig, shared }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_products_label_names_card_slice_and_sharing() {
        for (raw, base, mig, shared) in [
            ("Tesla-T4", "Tesla-T4", None, false),
            ("Tesla-T4-SHARED", "Tesla-T4", None, true),
            ("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", "NVIDIA-A100-SXM4-40GB", Some("1g.5gb"), false),
            ("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb-SHARED", "NVIDIA-A100-SXM4-40GB", Some("1g.5gb"), true),
            ("NVIDIA-A100-MIG-INVALID", "NVIDIA-A100", Some(INVALID), false),
        ] {
            let product = split_product(raw);
            assert_eq!((product.base, product.mig, product.shared), (base, mig, shared));
        }
    }

    #[test]
    fn a_profile_has_its_plus_back() {
        for (written, read) in [("1g.5gb", "1g.5gb"), ("1g.10gb.me", "1g.10gb+me"), ("1g.24gb.me.all", "1g.24gb+me.all")] {
            assert_eq!(profile(written), read);
        }
    }

    #[test]
    fn a_card_holds_as_many_slices_as_its_compute_its_memory_and_its_engines_allow() {
        for (product, profile, slices) in [
            ("NVIDIA-A100-SXM4-40GB", "1g.5gb", 7),
            ("NVIDIA-A100-SXM4-40GB", "1g.5gb+me", 1),
            ("NVIDIA-A100-SXM4-40GB", "1g.10gb", 4),
            ("NVIDIA-A100-SXM4-40GB", "2g.10gb", 3),
            ("NVIDIA-A100-SXM4-80GB", "1g.10gb", 7),
            ("NVIDIA-A100-SXM4-80GB", "1g.20gb", 4),
            ("NVIDIA-A100-SXM4-80GB", "4g.40gb", 1),
            ("NVIDIA-A30", "1g.6gb", 4),
            ("NVIDIA-A30", "2g.12gb", 2),
            ("NVIDIA-A30", "2g.12gb+me", 1),
            ("NVIDIA-H100-80GB-HBM3", "1g.20gb", 4),
            ("NVIDIA-H100-PCIe", "1g.10gb", 7),
            ("NVIDIA-H100-NVL", "1g.12gb", 7),
            ("NVIDIA-H100-NVL", "1g.24gb", 4),
            ("NVIDIA-H100", "3g.40gb", 2),
            ("NVIDIA-GH200-480GB", "1g.12gb", 7),
            ("NVIDIA-GH200-480GB", "1g.24gb", 4),
            ("NVIDIA-H200", "1g.18gb", 7),
            ("NVIDIA-H200", "1g.35gb", 4),
            ("NVIDIA-B200", "1g.23gb", 7),
            ("NVIDIA-B200", "1g.45gb", 4),
            ("NVIDIA-GB200", "1g.24gb", 7),
            ("NVIDIA-GB200", "1g.47gb", 4),
            ("NVIDIA-B300-SXM6-AC", "1g.34gb", 7),
            ("NVIDIA-B300-SXM6-AC", "1g.67gb", 4),
            ("NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition", "1g.24gb", 4),
            ("NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition", "2g.48gb", 2),
            ("NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition", "1g.24gb+me.all", 1),
            ("NVIDIA-RTX-PRO-5000-Blackwell", "1g.24gb", 2),
            ("x", "7g.80gb", 1),
        ] {
            assert_eq!(slices_of_a_card(product, profile, None), slices, "{product} {profile}");
        }
        let by_label = |mib| slices_of_a_card("x", "1g.10gb", Some(mib));
        assert_eq!((by_label(40_960), by_label(81_559)), (4, 7));
    }
}
