//! NVIDIA GPUs of one node: reads the labels that GPU Feature Discovery writes and the resources of the device plugin.
//!
//! Labels only name things; numbers come from capacity and allocatable.
//! Source: `NVIDIA/k8s-device-plugin`, `internal/lm/*.go` (labels), `api/config/v1` (resource names).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::gpu::{GpuPool, Kind, Sharing};
use crate::domain::resources::Resources;

const VENDOR: &str = "nvidia";
const WHOLE: &str = "nvidia.com/gpu";
/// The name under `renameByDefault: true`; the labels keep the prefix `nvidia.com/gpu`.
const SHARED: &str = "nvidia.com/gpu.shared";

const PRODUCT: &str = "nvidia.com/gpu.product";
const REPLICAS: &str = "nvidia.com/gpu.replicas";
const STRATEGY: &str = "nvidia.com/gpu.sharing-strategy";

/// Labels that name a product where Feature Discovery does not run, in order of preference.
const FALLBACK_PRODUCTS: [&str; 4] = [
    "cloud.google.com/gke-accelerator",
    "k8s.amazonaws.com/accelerator",
    "kubernetes.azure.com/accelerator",
    "node.kubernetes.io/instance-type",
];

/// The resources this module counts.
pub const RESOURCES: [&str; 2] = [WHOLE, SHARED];

pub fn pools(labels: &BTreeMap<String, String>, capacity: &Resources, allocatable: &Resources) -> Vec<GpuPool> {
    let mut pools: Vec<GpuPool> = RESOURCES
        .into_iter()
        .filter_map(|resource| pool(resource, labels, capacity.other(resource), allocatable.other(resource)))
        .collect();
    // With MIG strategy `mixed` the cards may all be partitioned: then no whole one is missing.
    let partitioned = capacity.other.keys().any(|name| name.starts_with("nvidia.com/mig-"));
    if pools.is_empty() && count_label(labels) > 0 && !partitioned {
        pools.extend(promised(labels));
    }
    pools
}

/// The labels name GPUs, but the node offers none yet: the driver is loading or the device plugin is down.
fn promised(labels: &BTreeMap<String, String>) -> Option<GpuPool> {
    let pool = pool(WHOLE, labels, 1, 0)?;
    Some(GpuPool { capacity: 0, physical: 0, starting: true, ..pool })
}

fn pool(resource: &str, labels: &BTreeMap<String, String>, capacity: u64, allocatable: u64) -> Option<GpuPool> {
    // Allocatable is what the kubelet lets pods have; a capacity below it can only be an edited object.
    let capacity = capacity.max(allocatable);
    if capacity == 0 {
        return None;
    }
    let label = |key: &str| labels.get(key).map(String::as_str).filter(|value| !value.is_empty());
    let product_label = [PRODUCT].into_iter().chain(FALLBACK_PRODUCTS).find_map(|key| Some((key, label(key)?)));
    let raw_product = product_label.map_or("GPU", |(_, value)| value);
    let (base, marks) = split_product(raw_product);
    if marks.mig == Some("INVALID") {
        return None;
    }
    let replicas = label(REPLICAS).and_then(|value| value.parse().ok()).unwrap_or(1).max(1);
    let shared = marks.shared || resource == SHARED;
    let sharing = match (shared, marks.mig) {
        (true, _) if label(STRATEGY) == Some("mps") => Sharing::Mps,
        (true, _) => Sharing::TimeSliced,
        (false, Some(_)) => Sharing::Mig,
        (false, None) => Sharing::Exclusive,
    };
    let mut id = slug(base);
    if !id.contains(VENDOR) && product_label.is_none_or(|(key, _)| key != PRODUCT) {
        id = format!("{VENDOR}-{id}");
    }
    if let Some(profile) = marks.mig {
        id.push_str(&format!(".mig-{}", slug(profile)));
    }
    let mut own_labels: BTreeMap<String, String> =
        product_label.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    if shared {
        let way = if sharing == Sharing::Mps { "mps" } else { "shared" };
        id.push_str(&format!(".{way}-{replicas}"));
        if resource == SHARED {
            // Pods ask for it by another name, so it is another kind.
            id.push_str(".renamed");
        }
        for key in [REPLICAS, STRATEGY] {
            own_labels.extend(label(key).map(|value| (key.to_owned(), value.to_owned())));
        }
    }
    let kind = Kind {
        id,
        vendor: VENDOR,
        product: base.to_owned(),
        memory_mib: label("nvidia.com/gpu.memory").and_then(|value| value.parse().ok()).filter(|mib| *mib > 0),
        sharing,
        mig_profile: marks.mig.map(str::to_owned),
        replicas: if shared { replicas } else { 1 },
        resource: resource.into(),
    };
    let units = if shared { capacity.div_ceil(replicas) } else { capacity };
    let cards = marks.mig.map_or(units, |profile| units.div_ceil(slices_of_a_card(base, profile)));
    Some(GpuPool {
        kind: Arc::new(kind),
        capacity,
        allocatable,
        physical: cards,
        starting: allocatable == 0 && count_label(labels) > 0,
        labels: own_labels,
    })
}

/// How many slices of a profile such as `1g.10gb` one card holds: seven compute slices are split, four on an A30.
/// Source: NVIDIA's MIG user guide, supported profiles.
fn slices_of_a_card(product: &str, profile: &str) -> u64 {
    let all = if product.contains("A30") { 4 } else { 7 };
    let one = profile.split('g').next().and_then(|count| count.parse::<u64>().ok()).unwrap_or(1);
    (all / one.max(1)).max(1)
}

fn count_label(labels: &BTreeMap<String, String>) -> u64 {
    labels.get("nvidia.com/gpu.count").and_then(|value| value.parse().ok()).unwrap_or(0)
}

struct Marks<'a> {
    mig: Option<&'a str>,
    shared: bool,
}

/// `NVIDIA-A100-SXM4-40GB-MIG-1g.5gb-SHARED` names the card, the slice and the sharing in one label.
fn split_product(raw: &str) -> (&str, Marks<'_>) {
    let (rest, shared) = match raw.strip_suffix("-SHARED") {
        Some(rest) => (rest, true),
        None => (raw, false),
    };
    let (base, mig) = match rest.split_once("-MIG-") {
        Some((base, profile)) => (base, Some(profile)),
        None => (rest, None),
    };
    (base, Marks { mig, shared })
}

/// Lower case, safe for form fields and URLs, never with two dashes in a row (KubeSpawner splits field names there).
fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        let c = if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        if c != '-' || (!slug.ends_with('-') && !slug.is_empty()) {
            slug.push(c);
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| (format!("nvidia.com/gpu.{key}"), (*value).to_owned())).collect()
    }

    fn amounts(resource: &str, count: u64) -> Resources {
        Resources { other: BTreeMap::from([(resource.into(), count)]), ..Resources::default() }
    }

    fn one(pairs: &[(&str, &str)], resource: &str, capacity: u64, allocatable: u64) -> Option<GpuPool> {
        let pools = pools(&labels(pairs), &amounts(resource, capacity), &amounts(resource, allocatable));
        assert!(pools.len() < 2);
        pools.into_iter().next()
    }

    #[test]
    fn kinds_are_named_by_their_labels() {
        let a100: &[(&str, &str)] = &[("product", "NVIDIA-A100-SXM4-80GB"), ("memory", "81920"), ("count", "8")];
        let t4: &[(&str, &str)] = &[
            ("product", "Tesla-T4-SHARED"),
            ("memory", "15360"),
            ("count", "1"),
            ("replicas", "4"),
            ("sharing-strategy", "time-slicing"),
        ];
        let renamed: &[(&str, &str)] = &[("product", "NVIDIA-L4"), ("replicas", "10"), ("sharing-strategy", "mps")];
        let mig: &[(&str, &str)] = &[("product", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"), ("memory", "4864"), ("count", "56")];
        for (pairs, resource, count, id, sharing, physical) in [
            (a100, WHOLE, 8, "nvidia-a100-sxm4-80gb", Sharing::Exclusive, 8),
            (t4, WHOLE, 4, "tesla-t4.shared-4", Sharing::TimeSliced, 1),
            (renamed, SHARED, 40, "nvidia-l4.mps-10.renamed", Sharing::Mps, 4),
            (mig, WHOLE, 56, "nvidia-a100-sxm4-40gb.mig-1g.5gb", Sharing::Mig, 8),
        ] {
            let pool = one(pairs, resource, count, count).expect(id);
            assert_eq!((pool.kind.id.as_str(), pool.kind.sharing, pool.physical), (id, sharing, physical));
        }
    }

    #[test]
    fn the_terms_of_a_kind_use_the_raw_label() {
        let pool = one(&[("product", "Tesla-T4-SHARED"), ("replicas", "4")], WHOLE, 4, 4).expect("a pool");
        assert_eq!(pool.labels, labels(&[("product", "Tesla-T4-SHARED"), ("replicas", "4")]));
        assert_eq!(pool.kind.product, "Tesla-T4");
    }

    #[test]
    fn a_label_without_capacity_is_a_node_that_starts() {
        let pool = one(&[("product", "NVIDIA-L4"), ("count", "8")], WHOLE, 0, 0).expect("a pool");
        assert!(pool.starting);
        assert_eq!((pool.capacity, pool.allocatable), (0, 0));
        assert_eq!(one(&[], WHOLE, 0, 0), None);
    }

    #[test]
    fn a_broken_mig_layout_is_not_offered() {
        assert_eq!(one(&[("product", "NVIDIA-A100-MIG-INVALID"), ("count", "0")], WHOLE, 1, 0), None);
    }

    #[test]
    fn a_gpu_without_labels_is_still_counted() {
        let pool = one(&[], WHOLE, 2, 1).expect("a pool");
        assert_eq!(pool.kind.id, "nvidia-gpu");
        assert_eq!((pool.capacity, pool.allocatable, pool.labels.len()), (2, 1, 0));
    }

    #[test]
    fn slugs_never_hold_two_dashes() {
        assert_eq!(slug("Quadro  RTX_-6000-"), "quadro-rtx-6000");
    }
}
