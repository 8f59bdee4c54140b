//! Turns objects into facts. An object that makes no sense is skipped and counted; a quantity that makes no sense is
//! skipped alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::warn;

use super::nvidia;
use super::objects::{Amounts, Metadata, Node, ResourceQuota};
use crate::domain::image;
use crate::domain::node::NodeFacts;
use crate::domain::quantity::Quantity;
use crate::domain::quota::Quota;
use crate::domain::resources::Resources;

/// A decoded object and its key, which is unique among its kind.
pub struct Decoded<F> {
    pub key: String,
    /// `None` for an object that does not count, such as a finished pod.
    pub fact: Option<F>,
}

pub fn key(metadata: &Metadata) -> String {
    if metadata.namespace.is_empty() {
        return metadata.name.clone();
    }
    format!("{}/{}", metadata.namespace, metadata.name)
}

pub fn node(node: Node) -> Decoded<NodeFacts> {
    let name = node.metadata.name.clone();
    let owner = |part: &str| format!("node {name}, {part}");
    let allocatable = resources(&node.status.allocatable, &owner("status.allocatable"));
    let capacity = resources(&node.status.capacity, &owner("status.capacity"));
    let labels = node.metadata.labels;
    let pools = nvidia::pools(&labels, &capacity, &allocatable);
    let known = |resource: &str| nvidia::RESOURCES.contains(&resource);
    let unclassified = capacity.other.keys().chain(allocatable.other.keys()).filter(|name| !known(name) && looks_like_gpu(name));
    let unclassified: BTreeSet<Arc<str>> = unclassified.cloned().collect();
    let reconfiguring = labels
        .get("nvidia.com/mig.config.state")
        .filter(|state| ["pending", "rebooting", "failed"].contains(&state.as_str()))
        .cloned();
    let fact = NodeFacts {
        name: name.as_str().into(),
        taints: node.spec.taints,
        cordoned: node.spec.unschedulable,
        ready: node.status.conditions.iter().any(|c| c.name == "Ready" && c.status == "True"),
        leaving: node.metadata.deletion_timestamp.is_some(),
        reconfiguring,
        allocatable,
        pools,
        unclassified: unclassified.into_iter().collect(),
        images: node.status.images.iter().flat_map(|image| &image.names).map(|name| image::fingerprint(name)).collect(),
        labels,
    };
    Decoded { key: name, fact: Some(fact) }
}

/// A resource that is a GPU by its name, and not one of the side channels that vendors offer beside it.
fn looks_like_gpu(resource: &str) -> bool {
    let Some((domain, name)) = resource.split_once('/') else { return false };
    let name = name.to_ascii_lowercase();
    let vendor_device = match domain {
        "nvidia.com" => name.starts_with("mig-") || name.starts_with("gpu."),
        "amd.com" => name.contains("_nps"),
        "gpu.intel.com" => ["i915", "xe"].contains(&name.as_str()),
        "habana.ai" => true,
        _ => false,
    };
    let device = name == "gpu" || name.starts_with("gpu-") || name.ends_with("-gpu") || name == "vgpu" || name == "gpus";
    vendor_device || device
}

pub fn resources(amounts: &Amounts, owner: &str) -> Resources {
    let mut total = Resources::default();
    for (name, text) in amounts {
        set(&mut total, name, &text.0, owner);
    }
    total
}

pub fn set(total: &mut Resources, name: &str, text: &str, owner: &str) {
    match text.parse::<Quantity>() {
        Ok(quantity) => total.set(name, quantity),
        Err(error) => warn!(%owner, resource = name, %error, "skipped a quantity that can't be read"),
    }
}

/// A quota that counts some of the pods only is left aside: whether it counts one more is not known before that is made.
pub fn quota(quota: ResourceQuota) -> Decoded<Quota> {
    let key = key(&quota.metadata);
    if !quota.spec.scopes.is_empty() || quota.spec.scope_selector.is_some() {
        return Decoded { key, fact: None };
    }
    let amounts = |amounts: &Amounts| {
        let parsed = amounts.iter().filter_map(|(name, text)| Some((name.clone(), text.0.parse::<Quantity>().ok()?)));
        parsed.collect()
    };
    // What the apiserver enforces is in the status, as soon as the controller has taken it over from the spec.
    let hard = if quota.status.hard.is_empty() { &quota.spec.hard } else { &quota.status.hard };
    let fact = Quota { name: quota.metadata.name, hard: amounts(hard), used: amounts(&quota.status.used) };
    Decoded { key, fact: Some(fact) }
}
