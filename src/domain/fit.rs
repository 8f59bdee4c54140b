//! Would this pod start now, and if not, why not: the scheduler's filter over the snapshot.
//!
//! The checks are those of the stock scheduler that matter for a notebook: NodeUnschedulable, TaintToleration,
//! NodeAffinity, VolumeBinding, VolumeZone and NodeResourcesFit. Source: `pkg/scheduler/framework/plugins`.

mod reasons;

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use super::gpu::{MIG_STATE, can_be_cut_up};
use super::growth::{Growth, Template};
use super::node::{NodeFacts, NodeState, reconfiguring};
use super::resources::Resources;
use super::selector::{NodeRequirements, Taint};
use super::storage::Reach;

/// When a request can be served. The order is from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    /// A node has room.
    Now,
    /// It fits a node that is otherwise empty.
    Busy,
    /// Capacity can come: a node is cordoned or not ready, a driver is loading.
    Starting,
    /// No node could ever serve it.
    Never,
    /// There is no inventory to judge by.
    Unknown,
}

/// The pod as it will be made: what it asks for in all, and the nodes it accepts.
#[derive(Clone, Debug, Default)]
pub struct PodShape {
    pub requests: Resources,
    pub requirements: NodeRequirements,
    /// The GPU resource among the requests.
    pub gpu: Option<Arc<str>>,
    /// Its claims by name, and where their volumes can be used.
    pub volumes: Vec<(String, Reach)>,
}

/// What keeps a pod off a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    NotSelected,
    /// Nothing of the hub's could run there.
    Strange(String),
    /// The volume of this claim can't be used there.
    OutOfReach(String),
    /// This claim waits to be bound, and until then no pod with it can be placed.
    Unbound(String),
    Tainted(String),
    Leaving,
    NotReady,
    Cordoned,
    Reconfiguring(String),
    /// Labels promise GPUs, none is advertised yet.
    Loading,
    /// Enough GPUs are built in, but not enough of them are healthy. The kubelet says of all that they are not while their
    /// plugin restarts.
    Unhealthy {
        capacity: u64,
        healthy: u64,
    },
    /// The node could not serve it even when empty.
    TooSmall {
        resource: Arc<str>,
        needed: u64,
        allocatable: u64,
    },
    Full {
        resource: Arc<str>,
        needed: u64,
        free: u64,
        /// Promised to others who are on their way.
        held: u64,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSelected => write!(f, "the node's labels or name are not what the request asks for"),
            Self::Strange(reason) => write!(f, "the node {reason}"),
            Self::OutOfReach(claim) => write!(f, "the volume of the storage claim {claim} can't be used on this node"),
            Self::Unbound(claim) => write!(f, "the storage claim {claim} is not bound yet"),
            Self::Tainted(taint) => write!(f, "the taint {taint} is not tolerated"),
            Self::Leaving => write!(f, "the node is being deleted"),
            Self::NotReady => write!(f, "the node is not ready"),
            Self::Cordoned => write!(f, "the node is cordoned"),
            Self::Reconfiguring(state) => f.write_str(&reconfiguring(state)),
            Self::Loading => write!(f, "the node's GPU driver or device plugin is loading or broken"),
            Self::Unhealthy { capacity: 1, healthy: 0 } => write!(f, "its GPU is not healthy, or its device plugin restarts"),
            Self::Unhealthy { capacity, healthy: 0 } => {
                write!(f, "none of its {capacity} GPUs is healthy, or their device plugin restarts")
            }
            Self::Unhealthy { capacity, healthy } => write!(f, "only {healthy} of its {capacity} GPUs are healthy"),
            Self::TooSmall { resource, needed, allocatable } => {
                write!(f, "it needs {} and the node has {}", amount(resource, *needed), amount(resource, *allocatable))
            }
            Self::Full { resource, needed, free, .. } => {
                write!(f, "it needs {} and {} is free", amount(resource, *needed), amount(resource, *free))
            }
        }
    }
}

/// An amount with its unit: `500m CPU`, `16 GiB memory`, `2 nvidia.com/gpu`.
fn amount(resource: &str, value: u64) -> String {
    const GIB: u64 = 1 << 30;
    match resource {
        "cpu" => format!("{} CPU", value as f64 / 1000.0),
        "memory" => format!("{:.1} GiB memory", value as f64 / GIB as f64),
        "pods" => format!("{value} pod slots"),
        "ephemeral-storage" => format!("{:.1} GiB of disk", value as f64 / GIB as f64),
        other => format!("{value} {other}"),
    }
}

/// A pod that tolerates this taint may land on a cordoned node (the scheduler's NodeUnschedulable).
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// One node's answer for one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub availability: Availability,
    pub obstacle: Option<Obstacle>,
}

impl Verdict {
    fn of(availability: Availability, obstacle: Obstacle) -> Self {
        Self { availability, obstacle: Some(obstacle) }
    }
}

/// Judges one node. What can't change while the node exists comes first, so the obstacle named is the deepest one.
pub fn judge(node: &NodeState, pod: &PodShape) -> Verdict {
    let facts = &node.facts;
    if let Some(reason) = &node.strange {
        return Verdict::of(Availability::Never, Obstacle::Strange(reason.clone()));
    }
    if !pod.requirements.select(&facts.name, &facts.labels) && !selects_when_settled(facts, pod) {
        return Verdict::of(Availability::Never, Obstacle::NotSelected);
    }
    if facts.leaving {
        return Verdict::of(Availability::Never, Obstacle::Leaving);
    }
    let starting = |obstacle| Verdict::of(Availability::Starting, obstacle);
    let mut elsewhere = pod.volumes.iter().filter(|(_, reach)| !reach.includes(&facts.name, &facts.labels));
    if let Some((claim, _)) = elsewhere.clone().find(|(_, reach)| !reach.waits()) {
        return Verdict::of(Availability::Never, Obstacle::OutOfReach(claim.clone()));
    }
    let tainted =
        |availability, taint: &Taint| Verdict::of(availability, Obstacle::Tainted(format!("{}:{}", taint.key, taint.effect)));
    let lasting = pod.requirements.untolerated(facts.taints.iter().filter(|taint| !taint.passes()));
    let lasting = lasting.map(|taint| tainted(Availability::Never, taint));
    if let Some(verdict) = worst([too_small(node, pod), lasting].into_iter().flatten()) {
        return verdict;
    }
    if !facts.ready {
        return starting(Obstacle::NotReady);
    }
    if facts.cordoned {
        let cordon = Taint { key: UNSCHEDULABLE.to_owned(), value: None, effect: "NoSchedule".to_owned() };
        if pod.requirements.untolerated(&[cordon]).is_some() {
            return starting(Obstacle::Cordoned);
        }
    }
    if let Some(taint) = pod.requirements.untolerated(&facts.taints) {
        return tainted(Availability::Starting, taint);
    }
    if let Some(state) = reconfigured(facts, pod) {
        return starting(Obstacle::Reconfiguring(state.to_owned()));
    }
    if let Some((claim, _)) = elsewhere.next() {
        return starting(Obstacle::Unbound(claim.clone()));
    }
    match shortages(&node.free, pod).next() {
        Some((resource, needed, free)) => {
            let held = if pods_gpu_is(pod, resource) { node.held.other(resource) } else { 0 };
            Verdict::of(Availability::Busy, Obstacle::Full { resource: resource.into(), needed, free, held })
        }
        None => Verdict { availability: Availability::Now, obstacle: None },
    }
}

/// The first of those that are worst.
fn worst(verdicts: impl Iterator<Item = Verdict>) -> Option<Verdict> {
    verdicts.min_by_key(|verdict| Reverse(verdict.availability))
}

/// What the node has too little of even when it is empty. GPUs may still come to it, but not to a node that will always
/// lack something else.
fn too_small(node: &NodeState, pod: &PodShape) -> Option<Verdict> {
    worst(shortages(&node.facts.allocatable, pod).map(|shortage| lacking(node, pod, shortage)))
}

fn lacking(node: &NodeState, pod: &PodShape, (resource, needed, allocatable): Shortage<'_>) -> Verdict {
    let mut pools = node.facts.pools.iter().filter(|pool| *pool.kind.resource == *resource);
    if pods_gpu_is(pod, resource)
        && let Some(pool) = pools.next()
    {
        match pool.promised {
            // As many as the labels say will come, and no more.
            Some(promised) if pool.starting && promised < needed => {
                let obstacle = Obstacle::TooSmall { resource: resource.into(), needed, allocatable: promised };
                return Verdict::of(Availability::Never, obstacle);
            }
            _ if pool.starting => return Verdict::of(Availability::Starting, Obstacle::Loading),
            _ => {}
        }
        if pool.capacity >= needed {
            let obstacle = Obstacle::Unhealthy { capacity: pool.capacity, healthy: pool.allocatable };
            return Verdict::of(Availability::Starting, obstacle);
        }
    }
    Verdict::of(Availability::Never, Obstacle::TooSmall { resource: resource.into(), needed, allocatable })
}

/// Claims that wait to be bound.
fn unbound(pod: &PodShape) -> impl Iterator<Item = &str> {
    pod.volumes.iter().filter(|(_, reach)| reach.waits()).map(|(claim, _)| claim.as_str())
}

fn pods_gpu_is(pod: &PodShape, resource: &str) -> bool {
    pod.gpu.as_deref() == Some(resource)
}

/// A resource's name, what is needed and what is there.
type Shortage<'a> = (&'a str, u64, u64);

/// The resources that are short, the GPU before all others.
fn shortages<'a>(have: &Resources, pod: &'a PodShape) -> impl Iterator<Item = Shortage<'a>> {
    let need = &pod.requests;
    let gpu = pod.gpu.iter().map(move |name| (name.as_ref(), need.other(name), have.other(name)));
    let basic = [("cpu", need.cpu, have.cpu), ("memory", need.memory, have.memory), ("pods", need.pods, have.pods)];
    let other = need.other.iter().map(move |(name, needed)| (name.as_ref(), *needed, have.other(name)));
    gpu.chain(basic).chain(other).filter(|(_, needed, there)| needed > there)
}

/// The state of the node's GPUs while they are reconfigured and the pod asks for such.
fn reconfigured<'a>(facts: &'a NodeFacts, pod: &PodShape) -> Option<&'a str> {
    facts.reconfiguring.as_deref().filter(|_| pod.gpu.as_deref().is_some_and(can_be_cut_up))
}

/// Whether the node is acceptable but for the reconfiguration of its GPUs, which Berth's own pods wait for.
fn selects_when_settled(facts: &NodeFacts, pod: &PodShape) -> bool {
    if reconfigured(facts, pod).is_none() {
        return false;
    }
    let mut labels = facts.labels.clone();
    labels.insert(MIG_STATE.to_owned(), "success".to_owned());
    pod.requirements.select(&facts.name, &labels)
}

/// The answer over all nodes.
#[derive(Clone, Debug)]
pub struct Assessment<'a> {
    pub availability: Availability,
    /// Why it is not `now`, in plain words.
    pub reasons: Vec<String>,
    /// The nodes with room now, sorted by name.
    pub fitting: Vec<&'a Arc<NodeState>>,
}

/// Reasons listed at most; a thousand nodes may each have one.
const MOST_REASONS: usize = 4;

pub fn assess<'a>(nodes: &'a [Arc<NodeState>], growth: &[&Growth], pod: &PodShape) -> Assessment<'a> {
    let verdicts: Vec<_> = nodes.iter().map(|node| (node, judge(node, pod))).collect();
    let availability = verdicts.iter().map(|(_, v)| v.availability).min().unwrap_or(Availability::Never);
    // A claim that waits is the same trouble on every node: it is told once.
    let waits = || unbound(pod).map(|claim| Obstacle::Unbound(claim.to_owned()).to_string());
    let grows = growth.iter().find(|growth| growth.can_grow() && serves(growth, pod));
    if let (Some(growth), Availability::Never) = (grows, availability) {
        let most = growth.pool.max_nodes;
        let reason = match (growth.loading, growth.nodes) {
            (0, 0) => format!("no such node runs now, and the cluster can start one (up to {most})"),
            (0, _) => format!("no node that runs now can take it, and the cluster can start another (up to {most})"),
            _ => "a node with such GPUs has started, and its driver is loading".to_owned(),
        };
        let reasons = std::iter::once(reason).chain(waits()).collect();
        return Assessment { availability: Availability::Starting, reasons, fitting: Vec::new() };
    }
    if availability == Availability::Now {
        let fits = |(node, verdict): (&'a Arc<NodeState>, Verdict)| verdict.obstacle.is_none().then_some(node);
        return Assessment { availability, reasons: Vec::new(), fitting: verdicts.into_iter().filter_map(fits).collect() };
    }
    let obstacles: Vec<(&str, Obstacle)> = verdicts
        .iter()
        .filter(|(_, verdict)| verdict.availability == availability)
        .filter_map(|(node, verdict)| Some((node.name(), verdict.obstacle.clone()?)))
        .collect();
    let mut reasons = match availability {
        Availability::Busy => reasons::busy(&obstacles, pod),
        Availability::Never => reasons::never(&obstacles, pod),
        _ => reasons::starting(&obstacles),
    };
    if availability != Availability::Never {
        reasons.of_nodes.extend(verdicts.iter().filter_map(|(node, verdict)| reasons::unreachable_room(node, verdict, pod)));
    }
    if availability == Availability::Busy && grows.is_some() {
        reasons.of_all.insert("the cluster can start another node".to_owned());
    }
    let mut told: Vec<String> = if availability == Availability::Starting { waits().collect() } else { Vec::new() };
    told.extend(reasons.of_all.into_iter().chain(reasons.of_nodes));
    let more = told.len().saturating_sub(MOST_REASONS);
    told.truncate(MOST_REASONS);
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    Assessment { availability, reasons: told, fitting: Vec::new() }
}

/// Whether a new node of the pool could take the pod, as far as its labels and GPUs and the pool's other nodes tell.
fn serves(growth: &Growth, pod: &PodShape) -> bool {
    let pool = &growth.pool;
    pod.gpu.as_ref().is_some_and(|gpu| *gpu == pool.kind.resource && pod.requests.other(gpu) <= pool.gpus_per_node)
        && pod.requirements.select("", &growth.labels)
        && pod.volumes.iter().all(|(_, reach)| reach.may_include(&growth.labels))
        && (growth.templates.is_empty() || growth.templates.iter().any(|template| takes(template, pod)))
}

/// Whether the pod would fit a node like this one while that is empty, its GPUs left aside.
fn takes(template: &Template, pod: &PodShape) -> bool {
    let (need, have) = (&pod.requests, &template.allocatable);
    need.cpu <= have.cpu
        && need.memory <= have.memory
        && need.pods <= have.pods
        && pod.requirements.untolerated(&template.taints).is_none()
}

#[cfg(test)]
mod tests;
