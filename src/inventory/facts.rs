//! Turns objects into facts. An object that makes no sense is skipped and counted; a quantity that makes no sense is
//! skipped alone.

use tracing::warn;

use super::images::LARGE;
use super::nvidia;
use super::objects::{Amounts, Metadata, Node, ResourceQuota};
use crate::domain::gpu::{MIG_IN_FLUX, MIG_STATE};
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

/// A node, and what its object says that is not a fact of this node alone.
#[derive(Debug)]
pub struct NodeNews {
    pub facts: NodeFacts,
    /// Bytes of the large images on it, by the fingerprint of each of their names.
    pub image_sizes: Vec<(u64, u64)>,
}

pub fn node(node: Node) -> Decoded<NodeNews> {
    let name = node.metadata.name.clone();
    let owner = |part: &str| format!("node {name}, {part}");
    let allocatable = resources(&node.status.allocatable, &owner("status.allocatable"));
    let mut capacity = resources(&node.status.capacity, &owner("status.capacity")).other;
    capacity.retain(|name, _| name.contains('/'));
    let sizes = node.status.images.iter().filter_map(|image| {
        let bytes = image.size_bytes.as_ref()?.0.parse().ok().filter(|bytes| *bytes >= LARGE)?;
        Some(image.names.iter().map(move |name| (image::fingerprint(name), bytes)))
    });
    let image_sizes = sizes.flatten().collect();
    let labels = node.metadata.labels;
    let reconfiguring = labels.get(MIG_STATE).filter(|state| MIG_IN_FLUX.contains(&state.as_str())).cloned();
    let facts = NodeFacts {
        name: name.as_str().into(),
        taints: node.spec.taints,
        cordoned: node.spec.unschedulable,
        ready: node.status.conditions.iter().any(|c| c.name == "Ready" && c.status == "True"),
        leaving: node.metadata.deletion_timestamp.is_some(),
        reconfiguring,
        mig_invalid: nvidia::is_invalid(&labels),
        capacity,
        allocatable,
        // The index reads these, since the catalogue's rules may change while the node does not.
        pools: Vec::new(),
        unclassified: Vec::new(),
        images: node.status.images.iter().flat_map(|image| &image.names).map(|name| image::fingerprint(name)).collect(),
        labels,
    };
    Decoded { key: name, fact: Some(NodeNews { facts, image_sizes }) }
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
