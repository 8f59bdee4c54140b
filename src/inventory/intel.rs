//! Intel: the resources of the GPU device plugin, one for each kernel driver, and Node Feature Discovery's labels.
//!
//! `i915_monitoring` and `xe_monitoring` give a pod all cards to look at and are nobody's to have; `millicores`,
//! `memory.max` and `tiles` are parts of cards. Source: `intel/intel-device-plugins-for-kubernetes`, `cmd/gpu_plugin`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::gpus::{Offered, Reading, share_mark, vendor_slug};
use crate::domain::gpu::{GpuPool, Sharing};

const VENDOR: &str = "intel";
const I915: &str = "gpu.intel.com/i915";
const XE: &str = "gpu.intel.com/xe";
const PRODUCTS: [&str; 2] = ["gpu.intel.com/product", "gpu.intel.com/family"];
const DEVICES: &str = "gpu.intel.com/device.count";
/// In front of a class and an id of devices and `.count`: one label for each model.
const MODEL: &str = "gpu.intel.com/device-id.";

pub fn knows(resource: &str) -> bool {
    [I915, XE].contains(&resource)
}

/// The cards that labels speak of while the node offers none, under the kernel driver that is usual for the products that
/// have such labels. Labels of any Intel GPU promise nothing: a processor's own graphics have them, plugin or not.
pub fn promised(node: &Offered<'_>) -> Option<Arc<str>> {
    (is_labelled(node) && !node.advertises(knows)).then(|| I915.into())
}

fn is_labelled(node: &Offered<'_>) -> bool {
    PRODUCTS.iter().any(|key| node.label(key).is_some())
}

pub fn pool(resource: &Arc<str>, node: &Offered<'_>) -> Option<GpuPool> {
    let product = node.product(VENDOR, &PRODUCTS);
    let name = product.map_or("GPU", |(_, value)| value);
    // With -shared-dev-num each card is offered several times, and no label says so: there are then more of the
    // resource than cards.
    let units = node.capacity(I915).saturating_add(node.capacity(XE));
    let counts: Vec<&str> = match node.number(DEVICES) {
        Some(_) => vec![DEVICES],
        None => models(node).collect(),
    };
    let cards = counts.iter().filter_map(|key| node.number(key)).fold(0, u64::saturating_add);
    let replicas = if cards == 0 { 1 } else { units.div_ceil(cards).max(1) };
    let sharing = if replicas > 1 { Sharing::TimeSliced } else { Sharing::Exclusive };
    let mut id = vendor_slug(VENDOR, name);
    if **resource == *XE {
        id.push_str(".xe");
    }
    id.push_str(&share_mark(sharing, replicas));
    let mut labels: BTreeMap<_, _> = product.and_then(|(key, _)| node.pair(key)).into_iter().collect();
    if sharing.is_share() && !labels.is_empty() {
        labels.extend(counts.into_iter().filter_map(|key| node.pair(key)));
    }
    let reading = Reading {
        sharing,
        replicas,
        labels,
        promised: is_labelled(node),
        promised_units: Some(cards).filter(|cards| *cards > 0),
        ..Reading::whole(id, VENDOR, name)
    };
    reading.pool(resource, node)
}

/// The labels that count the cards of one model each.
fn models<'a>(node: &Offered<'a>) -> impl Iterator<Item = &'a str> {
    let keys = node.labels.range(MODEL.to_owned()..).map(|(key, _)| key.as_str());
    keys.take_while(|key| key.starts_with(MODEL)).filter(|key| key.ends_with(".count"))
}
