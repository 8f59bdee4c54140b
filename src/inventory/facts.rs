//! Turns objects into facts. An object that makes no sense is skipped and counted; a quantity that makes no sense is
//! skipped alone.

use std::sync::Arc;

use tracing::warn;

use super::nvidia;
use super::objects::{Amounts, Claim, Container, ContainerResources, Metadata, Node, Pod, PodSpec};
use crate::domain::image;
use crate::domain::node::NodeFacts;
use crate::domain::quantity::Quantity;
use crate::domain::resources::{InitRequest, Resources, pod_requests};
use crate::domain::selector::NodeRequirements;
use crate::domain::snapshot::{ClaimPhase, PendingPod};

/// What is kept of a pod: some 0.26 KiB instead of 45.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodFacts {
    /// On a node and not finished. A terminating pod counts until it is gone: its GPU is busy for the whole grace period.
    Bound { node: Arc<str>, requests: Resources },
    /// Waits for the scheduler, which may have nominated it to a node where others are being evicted for it.
    Waiting { nominated: Option<Arc<str>>, pod: Box<PendingPod> },
}

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
    let mut capacity = resources(&node.status.capacity, &owner("status.capacity")).other;
    capacity.retain(|name, _| name.contains('/'));
    let labels = node.metadata.labels;
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
        mig_invalid: nvidia::is_invalid(&labels),
        capacity,
        allocatable,
        // The index reads these, since the catalogue's rules may change while the node does not.
        pools: Vec::new(),
        unclassified: Vec::new(),
        images: node.status.images.iter().flat_map(|image| &image.names).map(|name| image::fingerprint(name)).collect(),
        labels,
    };
    Decoded { key: name, fact: Some(fact) }
}

pub fn pod(pod: Pod) -> Decoded<PodFacts> {
    let key = key(&pod.metadata);
    let fact = pod_facts(&pod, &key);
    Decoded { key, fact }
}

fn pod_facts(pod: &Pod, key: &str) -> Option<PodFacts> {
    if ["Succeeded", "Failed"].contains(&pod.status.phase.as_str()) {
        return None;
    }
    let spec = &pod.spec;
    let requests = requests(spec, key);
    if !spec.node_name.is_empty() {
        return Some(PodFacts::Bound { node: spec.node_name.as_str().into(), requests });
    }
    // The scheduler leaves both of these alone, so they wait for nothing it could give.
    if !spec.scheduling_gates.is_empty() || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let nominated = &pod.status.nominated_node_name;
    let requirements = NodeRequirements {
        node_selector: spec.node_selector.clone(),
        terms: spec.affinity.node_affinity.required.node_selector_terms.clone(),
        tolerations: spec.tolerations.clone(),
    };
    Some(PodFacts::Waiting {
        nominated: (!nominated.is_empty()).then(|| nominated.as_str().into()),
        pod: Box::new(PendingPod { requests, requirements }),
    })
}

fn requests(spec: &PodSpec, key: &str) -> Resources {
    let owner = format!("pod {key}, resources");
    let of = |container: &Container| container_requests(&container.resources, &owner);
    let init: Vec<InitRequest> =
        spec.init_containers.iter().map(|c| InitRequest { requests: of(c), sidecar: c.restart_policy == "Always" }).collect();
    let containers: Vec<Resources> = spec.containers.iter().map(of).collect();
    let mut total = pod_requests(&init, &containers, &Resources::default());
    let pod_level = container_requests(&spec.resources, &owner);
    if pod_level.cpu > 0 {
        total.cpu = pod_level.cpu;
    }
    if pod_level.memory > 0 {
        total.memory = pod_level.memory;
    }
    total.add(&resources(&spec.overhead, &owner));
    total.pods = 1;
    total
}

/// Requests, and limits where no request is given: the apiserver defaults one from the other, a dump may lack it.
fn container_requests(resources: &ContainerResources, owner: &str) -> Resources {
    let mut total = Resources::default();
    let defaults = resources.limits.iter().filter(|(name, _)| !resources.requests.contains_key(*name));
    for (name, text) in defaults.chain(&resources.requests) {
        set(&mut total, name, &text.0, owner);
    }
    total
}

fn resources(amounts: &Amounts, owner: &str) -> Resources {
    let mut total = Resources::default();
    for (name, text) in amounts {
        set(&mut total, name, &text.0, owner);
    }
    total
}

fn set(total: &mut Resources, name: &str, text: &str, owner: &str) {
    match text.parse::<Quantity>() {
        Ok(quantity) => total.set(name, quantity),
        Err(error) => warn!(%owner, resource = name, %error, "skipped a quantity that can't be read"),
    }
}

pub fn claim(claim: Claim) -> Decoded<ClaimPhase> {
    let phase = match claim.status.phase.as_str() {
        _ if claim.metadata.deletion_timestamp.is_some() => ClaimPhase::Leaving,
        "Bound" => ClaimPhase::Bound,
        "Lost" => ClaimPhase::Lost,
        _ => ClaimPhase::Pending,
    };
    Decoded { key: key(&claim.metadata), fact: Some(phase) }
}
