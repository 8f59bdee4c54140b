//! Turns pods into facts: what they take and where, what they wait for, and whose server they are.

use std::sync::Arc;

use super::facts::{Decoded, key, resources, set};
use super::objects::{Condition, Container, ContainerResources, Pod, PodSpec};
use crate::domain::resources::{InitRequest, Resources, pod_requests};
use crate::domain::selector::NodeRequirements;
use crate::domain::server::{Progress, Server, Stage};
use crate::domain::snapshot::PendingPod;

/// What is kept of a pod: some 0.26 KiB instead of 45.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// `None` for a pod that takes nothing and waits for nothing that the scheduler could give.
    pub place: Option<Place>,
    /// Whose server it is, if a hub made it.
    pub server: Option<Arc<Server>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On a node and not finished. A terminating pod counts until it is gone: its GPU is busy for the whole grace period.
    Bound { node: Arc<str>, requests: Resources, reclaimable: bool },
    /// Waits for the scheduler, which may keep room for it on a node already.
    Waiting { nominated: Option<Arc<str>>, pod: Box<PendingPod> },
}

pub fn pod(pod: Pod) -> Decoded<PodFacts> {
    let key = key(&pod.metadata);
    if ["Succeeded", "Failed"].contains(&pod.status.phase.as_str()) {
        return Decoded { key, fact: None };
    }
    let requests = requests(&pod.spec, &key);
    let server = server(&pod, &key, &requests);
    let place = place(&pod, requests);
    let fact = (place.is_some() || server.is_some()).then_some(PodFacts { place, server });
    Decoded { key, fact }
}

fn place(pod: &Pod, requests: Resources) -> Option<Place> {
    let spec = &pod.spec;
    if !spec.node_name.is_empty() {
        return Some(Place::Bound { node: spec.node_name.as_str().into(), requests, reclaimable: is_placeholder(pod) });
    }
    // The scheduler leaves the first two alone, so they wait for nothing it could give; a placeholder gives way to all.
    if !spec.scheduling_gates.is_empty() || pod.metadata.deletion_timestamp.is_some() || is_placeholder(pod) {
        return None;
    }
    Some(Place::Waiting { nominated: nominated(pod), pod: Box::new(PendingPod { requests, requirements: requirements(spec) }) })
}

/// The node on which the scheduler keeps room for a pod. Either others are being evicted for it, which holds the room against
/// pods of equal or lower priority, and a user's has zero or above. Or, since Kubernetes 1.35, the pod is as good as bound and
/// waits for its volume: then whatever its priority.
fn nominated(pod: &Pod) -> Option<Arc<str>> {
    let name = &pod.status.nominated_node_name;
    let yields = refusal(pod).is_some() && pod.spec.priority.is_some_and(|priority| priority < 0);
    (!name.is_empty() && !yields).then(|| name.as_str().into())
}

/// What the scheduler said when it found no node for a pod.
fn refusal(pod: &Pod) -> Option<&Condition> {
    scheduled(pod, "False")
}

fn scheduled<'a>(pod: &'a Pod, status: &str) -> Option<&'a Condition> {
    pod.status.conditions.iter().find(|condition| condition.name == "PodScheduled" && condition.status == status)
}

/// When a pod got its node; while it has none, when it was made.
fn since(pod: &Pod) -> &str {
    let (made, started) = (&pod.metadata.creation_timestamp, &pod.status.start_time);
    if pod.spec.node_name.is_empty() {
        return made;
    }
    let bound = scheduled(pod, "True").map(|condition| &condition.last_transition_time);
    bound.into_iter().chain([started]).find(|moment| !moment.is_empty()).unwrap_or(made)
}

fn requirements(spec: &PodSpec) -> NodeRequirements {
    NodeRequirements {
        node_selector: spec.node_selector.clone(),
        terms: spec.affinity.node_affinity.required.node_selector_terms.clone(),
        tolerations: spec.tolerations.clone(),
    }
}

/// The stock chart's user-placeholder pods keep room warm and give it up for any user: their priority is below all others'.
/// Source: Zero to JupyterHub, `scheduling.userPlaceholder` and `scheduling.podPriority`.
fn is_placeholder(pod: &Pod) -> bool {
    let component = pod.metadata.labels.get("component").map(String::as_str);
    component == Some("user-placeholder") && pod.spec.priority.is_some_and(|priority| priority < 0)
}

/// A server that is held back by a gate is one too: its user has asked for it.
fn server(pod: &Pod, key: &str, requests: &Resources) -> Option<Arc<Server>> {
    let annotations = &pod.metadata.annotations;
    let user = annotations.user.clone()?;
    let bound = &pod.spec.node_name;
    let stage = match (nominated(pod), refusal(pod)) {
        _ if !bound.is_empty() => Stage::Bound(bound.as_str().into()),
        // Nothing will come of it.
        _ if pod.metadata.deletion_timestamp.is_some() => return None,
        _ if !pod.spec.scheduling_gates.is_empty() => Stage::Gated,
        (Some(node), _) => Stage::Nominated(node),
        (None, Some(condition)) => Stage::Unschedulable(condition.message.clone()),
        (None, None) => Stage::Waiting,
    };
    Some(Arc::new(Server {
        user,
        name: annotations.server.clone().unwrap_or_default(),
        hub: annotations.hub.clone().unwrap_or_else(|| pod.metadata.namespace.clone()),
        pod: key.to_owned(),
        stage,
        progress: match pod.status.phase.as_str() {
            _ if pod.metadata.deletion_timestamp.is_some() => Progress::Ending,
            "Pending" => Progress::Starting,
            _ => Progress::Running,
        },
        since: since(pod).to_owned(),
        requests: requests.clone(),
        requirements: if bound.is_empty() { requirements(&pod.spec) } else { NodeRequirements::default() },
        hold: annotations.hold.clone(),
    }))
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
