//! AMD: the labels of the node labeller and the resources of the device plugin.
//!
//! Source: `ROCm/k8s-device-plugin`, `docs/user-guide/configuration.md` and `cmd/k8s-node-labeller/main.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::gpus::{Offered, Reading, slug, vendor_slug};
use crate::domain::gpu::{GpuPool, MIXED, Sharing};

const VENDOR: &str = "amd";
const WHOLE: &str = "amd.com/gpu";
/// In front of a partition's name, with the resource naming strategy `mixed`.
const DOMAIN: &str = "amd.com/";
/// In front of the labels; the older form second.
const LABELS: [&str; 2] = ["amd.com/gpu.", "beta.amd.com/gpu."];
const PARTITIONS: [&str; 3] =
    ["amd.com/gpu.compute-memory-partition", "amd.com/compute-memory-partition", "beta.amd.com/gpu.compute-memory-partition"];

pub fn knows(resource: &str) -> bool {
    resource == WHOLE || named_partition(resource).is_some()
}

/// `cpx_nps4` of `amd.com/cpx_nps4`: how the compute units and how the memory are parted.
fn named_partition(resource: &str) -> Option<&str> {
    let partition = resource.strip_prefix(DOMAIN)?;
    partition.split_once('_').filter(|(compute, memory)| !compute.is_empty() && memory.starts_with("nps")).map(|_| partition)
}

/// The cards that labels speak of while the node offers none. Parted ones are called so too, unless the site's plugin has the
/// naming strategy `mixed`, which no label tells.
pub fn promised(node: &Offered<'_>) -> Option<Arc<str>> {
    let labelled = !matches!(said(node, "product-name"), Said::Nothing);
    (labelled && !node.advertises(knows)).then(|| WHOLE.into())
}

pub fn pool(resource: &Arc<str>, node: &Offered<'_>) -> Option<GpuPool> {
    let labelled = PARTITIONS.iter().find_map(|key| Some((*key, node.label(key)?)));
    let named = named_partition(resource);
    let partition = named.or(labelled.map(|(_, value)| value)).map(str::to_ascii_lowercase);
    let product = said(node, "product-name");
    let (name, label) = match &product {
        Said::One(value, key) => (*value, Some(*key)),
        Said::Several => (MIXED, None),
        Said::Nothing => node.product(VENDOR, &[]).map_or(("GPU", None), |(key, value)| (value, Some(key))),
    };
    let slices = partition.as_deref().map_or(1, |partition| slices_of_a_card(name, partition));

    let mut id = vendor_slug(VENDOR, name);
    if let Some(partition) = partition.as_ref().filter(|_| slices > 1 || named.is_some()) {
        id.push_str(&format!(".{}", slug(partition)));
    }
    if named.is_some() {
        // With the naming strategy `single` the same partition is asked for as amd.com/gpu.
        id.push_str(".mixed");
    }
    let mut labels: BTreeMap<_, _> = label.and_then(|key| node.pair(key)).into_iter().collect();
    if !labels.is_empty() && named.is_none() {
        labels.extend(labelled.and_then(|(key, _)| node.pair(key)));
    }
    let memory = match said(node, "vram") {
        Said::One(value, _) => gibibytes(value).map(|gib| gib.saturating_mul(1024)),
        Said::Several => None,
        Said::Nothing => node.memory_elsewhere(),
    };
    let reading = Reading {
        // The label speaks of the card; a partition's fair part is the most that it can be sure of.
        memory_mib: memory.map(|mib| mib / slices).filter(|_| name != MIXED),
        sharing: if slices > 1 { Sharing::Mig } else { Sharing::Exclusive },
        slice: partition.filter(|_| slices > 1),
        slices_per_card: slices,
        labels,
        promised: !matches!(product, Said::Nothing),
        // A counter's label holds how many cards; a plain one holds their name.
        promised_units: label.filter(|key| slices == 1 && key.ends_with(name)).and_then(|key| node.number(key)),
        ..Reading::whole(id, VENDOR, name)
    };
    reading.pool(resource, node)
}

/// What the labeller says of one property.
enum Said<'a> {
    /// One value for all cards, and the label's key.
    One(&'a str, &'a str),
    Several,
    Nothing,
}

/// A property is a plain label, or one counter for each value that some card of the node has.
fn said<'a>(node: &Offered<'a>, property: &str) -> Said<'a> {
    for prefix in LABELS {
        let plain = format!("{prefix}{property}");
        if let Some((key, value)) = node.labels.get_key_value(&plain).filter(|(_, value)| !value.is_empty()) {
            return Said::One(value, key);
        }
        let counter = format!("{plain}.");
        let counters = node.labels.range(counter.clone()..).map(|(key, _)| key.as_str());
        let mut values = counters
            .map_while(|key| Some((key.strip_prefix(&counter)?, key)))
            .filter(|(value, key)| !value.is_empty() && node.number(key).is_some());
        match (values.next(), values.next()) {
            (Some((value, key)), None) => return Said::One(value, key),
            (Some(_), Some(_)) => return Said::Several,
            (None, _) => {}
        }
    }
    Said::Nothing
}

/// The labeller rounds to whole GiB and writes `64G`.
fn gibibytes(text: &str) -> Option<u64> {
    text.trim_end_matches(['G', 'i', 'B']).parse().ok().filter(|gib| *gib > 0)
}

/// By the name of the compute partition. `CPX` makes one of each of the card's dies, of which an MI300A has six.
/// Source: AMD SMI documentation, "GPU partitioning".
fn slices_of_a_card(product: &str, partition: &str) -> u64 {
    match partition.split('_').next().unwrap_or_default() {
        "dpx" => 2,
        "tpx" => 3,
        "qpx" => 4,
        "cpx" if product.contains("MI300A") => 6,
        "cpx" => 8,
        _ => 1,
    }
}
