//! One node: the facts its object states, and its state once the pods on it are counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::gpu::{GpuPool, Kind, can_be_cut_up, is_gpu_name};
use super::gpu_rule::GpuRule;
use super::resources::Resources;
use super::selector::Taint;

/// What the node object says, read once when it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    pub name: Arc<str>,
    pub labels: BTreeMap<String, String>,
    pub taints: Vec<Taint>,
    /// `spec.unschedulable`.
    pub cordoned: bool,
    /// The condition Ready is True. It is seen before the taint that follows from it.
    pub ready: bool,
    /// The object is being deleted.
    pub leaving: bool,
    /// The GPUs are being repartitioned: the value of `nvidia.com/mig.config.state`.
    pub reconfiguring: Option<String>,
    /// The slices do not make one layout, so the device plugin offers none of them.
    pub mig_invalid: bool,
    /// Extended resources, healthy or not, by name.
    pub capacity: BTreeMap<Arc<str>, u64>,
    pub allocatable: Resources,
    /// Read out of the resources and labels, by the rules of the policy in force.
    pub pools: Vec<GpuPool>,
    /// GPU-like resources that no rule knows.
    pub unclassified: Vec<Arc<str>>,
    /// Fingerprints of the images on the node. The kubelet lists the 50 largest: absence proves nothing.
    pub images: BTreeSet<u64>,
}

/// What the catalogue decides about the inventory: which nodes count as usable, and how to read GPUs that Berth doesn't know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Keys of taints that Berth gives pods a toleration for.
    pub tolerate: Vec<String>,
    /// Architectures that the images are built for, by the words of the label `kubernetes.io/arch`.
    pub architectures: Vec<String>,
    /// Whether nodes that stand for another cluster count.
    pub virtual_nodes: bool,
    /// Pools that an autoscaler can grow.
    pub expandable: Vec<ExpandablePool>,
    /// The first that matches a resource reads it, in front of what Berth knows by itself.
    pub gpu_rules: Arc<[GpuRule]>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            tolerate: Vec::new(),
            architectures: vec![AMD64.to_owned()],
            virtual_nodes: false,
            expandable: Vec::new(),
            gpu_rules: Arc::default(),
        }
    }
}

/// What nearly all notebook images are built for.
pub const AMD64: &str = "amd64";

/// Nodes that an autoscaler can add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpandablePool {
    pub kind: Arc<Kind>,
    pub gpus_per_node: u64,
    pub max_nodes: u64,
    /// The labels that its nodes have from their first moment on: those of the cloud, not of feature discovery.
    pub labels: BTreeMap<String, String>,
}

/// GPUs of one kind on one node. All numbers are units of the kind's resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeGpus {
    pub kind: Arc<Kind>,
    pub total: u64,
    pub unhealthy: u64,
    pub used: u64,
    pub held: u64,
    /// Free on a usable node.
    pub free: u64,
    /// What would be free if the node were usable.
    pub unusable: u64,
    /// Of those free, what placeholder pods still sit on.
    pub reclaimable: u64,
    pub physical: u64,
}

/// What the pods of one node take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub used: Resources,
    pub held: Resources,
    pub reclaimable: Resources,
}

/// A node as it stands: facts, what is taken, and what that leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeState {
    pub facts: Arc<NodeFacts>,
    /// Requests of bound, unfinished pods of every namespace, placeholders left out.
    pub used: Resources,
    /// Promised but not bound: pods that the scheduler nominated to this node, and Berth's own holds.
    pub held: Resources,
    /// What placeholder pods request. The scheduler evicts them for any user, so it counts as free.
    pub reclaimable: Resources,
    /// What is neither used nor held, never below zero.
    pub free: Resources,
    /// Why nothing of the hub's could ever run here.
    pub strange: Option<String>,
    /// Whether pods may be sent here now.
    pub usable: bool,
    /// Why not, in plain words, and what else is wrong with the node's GPUs.
    pub reasons: Vec<String>,
    pub gpus: Vec<NodeGpus>,
}

impl NodeState {
    pub fn new(facts: Arc<NodeFacts>, usage: Usage, policy: &Policy) -> Self {
        let strange = strangeness(&facts, policy);
        let hidden = strange.as_ref().is_some_and(|strange| strange.is_virtual);
        let strange = strange.map(|strange| strange.reason);
        let mut reasons = unusable_reasons(&facts, strange.as_ref(), policy);
        let usable = reasons.is_empty();
        if let Some(state) = facts.reconfiguring.as_ref().filter(|_| has_others(&facts)) {
            reasons.push(reconfiguring(state));
        }
        if facts.mig_invalid {
            reasons.push(MIG_INVALID.to_owned());
        }
        if !hidden {
            reasons.extend(left_over(&facts, &usage.used));
        }
        Self::count(facts, usage, strange, usable, reasons, hidden)
    }

    /// The same node with more promised on it.
    pub fn with_held(&self, more: &Resources) -> Self {
        let mut usage = Usage { used: self.used.clone(), held: self.held.clone(), reclaimable: self.reclaimable.clone() };
        usage.held.add(more);
        let strange = self.strange.clone();
        Self::count(self.facts.clone(), usage, strange, self.usable, self.reasons.clone(), self.gpus.is_empty())
    }

    /// `hidden`: its GPUs are not shown at all.
    fn count(
        facts: Arc<NodeFacts>,
        usage: Usage,
        strange: Option<String>,
        usable: bool,
        reasons: Vec<String>,
        hidden: bool,
    ) -> Self {
        let pools = facts.pools.iter().filter(|_| !hidden);
        let settled = |pool: &GpuPool| facts.reconfiguring.is_none() || !can_be_cut_up(&pool.kind.resource);
        let gpus = pools.map(|pool| count(pool, &usage, usable && settled(pool))).collect();
        let Usage { used, held, reclaimable } = usage;
        let mut free = facts.allocatable.clone();
        free.subtract(&used);
        free.subtract(&held);
        Self { facts, used, held, reclaimable, free, strange, usable, reasons, gpus }
    }

    pub fn name(&self) -> &str {
        &self.facts.name
    }

    pub fn usable(&self) -> bool {
        self.usable
    }

    /// Pods use or hold more of a resource than the node now offers, as while a device plugin restarts.
    pub fn overcommitted(&self) -> bool {
        self.gpus.iter().any(|gpu| gpu.used.saturating_add(gpu.held).saturating_add(gpu.unhealthy) > gpu.total)
    }
}

fn count(pool: &GpuPool, usage: &Usage, usable: bool) -> NodeGpus {
    let used = usage.used.other(&pool.kind.resource);
    let held = usage.held.other(&pool.kind.resource);
    let left = pool.allocatable.saturating_sub(used).saturating_sub(held);
    let free = if usable { left } else { 0 };
    NodeGpus {
        kind: pool.kind.clone(),
        total: pool.capacity,
        unhealthy: pool.capacity.saturating_sub(pool.allocatable),
        used,
        held,
        free,
        unusable: if usable { 0 } else { left },
        reclaimable: usage.reclaimable.other(&pool.kind.resource).min(free),
        physical: pool.physical,
    }
}

/// Said of a node; its other resources can be used.
pub const MIG_INVALID: &str = "its MIG layout is invalid, so its GPUs are not offered";

/// What `nvidia.com/mig.config.state` means for people.
pub fn reconfiguring(state: &str) -> String {
    match state {
        "failed" => "its GPUs could not be reconfigured (failed)".to_owned(),
        state => format!("its GPUs are being reconfigured ({state})"),
    }
}

/// Why no pod of the hub may ever land on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strangeness {
    pub reason: String,
    /// What tells such nodes apart, if a label does.
    pub label: Option<(&'static str, String)>,
    is_virtual: bool,
}

/// Labels of nodes that stand for a whole other cluster: what they offer is not known to be there.
const VIRTUAL: [(&str, &str); 2] = [("liqo.io/type", "virtual-node"), ("type", "virtual-kubelet")];
/// The taint of such nodes, which some have without either label.
const VIRTUAL_TAINT: &str = "virtual-kubelet.io/provider";

/// A notebook is a Linux program built for one architecture. The scheduler knows neither: the pod has to say it.
pub fn strangeness(facts: &NodeFacts, policy: &Policy) -> Option<Strangeness> {
    let label = |key: &str| facts.labels.get(key).map(String::as_str);
    if !policy.virtual_nodes {
        let labelled = VIRTUAL.into_iter().find(|(key, value)| label(key) == Some(value));
        if labelled.is_some() || facts.taints.iter().any(|taint| taint.key == VIRTUAL_TAINT) {
            let label = labelled.map(|(key, value)| (key, value.to_owned()));
            return Some(Strangeness { reason: "stands for another cluster".to_owned(), label, is_virtual: true });
        }
    }
    let strange =
        |reason, key, value: &str| Some(Strangeness { reason, label: Some((key, value.to_owned())), is_virtual: false });
    if let Some(system) = label(OS).filter(|system| *system != "linux") {
        return strange(format!("runs {system}"), OS, system);
    }
    let other = |arch: &&str| !policy.architectures.iter().any(|known| known == arch);
    if let Some(arch) = label(ARCH).filter(other) {
        return strange(format!("has the architecture {arch}, which the images are not built for"), ARCH, arch);
    }
    None
}

pub const OS: &str = "kubernetes.io/os";
pub const ARCH: &str = "kubernetes.io/arch";

/// Taints that only repeat a condition that has a sentence of its own.
const CONDITION_TAINTS: [&str; 3] =
    ["node.kubernetes.io/unschedulable", "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

fn unusable_reasons(facts: &NodeFacts, strange: Option<&String>, policy: &Policy) -> Vec<String> {
    let mut reasons: Vec<String> = strange.into_iter().cloned().collect();
    if facts.leaving {
        reasons.push("being deleted".to_owned());
    }
    if !facts.ready {
        reasons.push("not ready".to_owned());
    }
    if facts.cordoned {
        reasons.push("cordoned".to_owned());
    }
    if let Some(state) = facts.reconfiguring.as_ref().filter(|_| !has_others(facts)) {
        reasons.push(reconfiguring(state));
    }
    for taint in &facts.taints {
        let told = CONDITION_TAINTS.contains(&taint.key.as_str()) && !reasons.is_empty();
        if taint.repels() && !told && !policy.tolerate.contains(&taint.key) {
            reasons.push(format!("tainted {}:{}", taint.key, taint.effect));
        }
    }
    reasons
}

/// Whether the node has GPUs that no reconfiguration touches.
fn has_others(facts: &NodeFacts) -> bool {
    facts.pools.iter().any(|pool| !can_be_cut_up(&pool.kind.resource))
}

/// GPUs that pods use and that the node has under that name no more, as after its cards were cut anew. They are nobody's
/// to have, and may be why a new layout does not come.
fn left_over(facts: &NodeFacts, used: &Resources) -> Vec<String> {
    let gone = |resource: &str| {
        is_gpu_name(resource)
            && facts.pools.iter().all(|pool| *pool.kind.resource != *resource)
            && !facts.capacity.contains_key(resource)
    };
    let left = used.other.iter().filter(|(resource, count)| **count > 0 && gone(resource));
    left.map(|(resource, count)| format!("its pods still use {count} {resource}, which it no longer has")).collect()
}

#[cfg(test)]
mod tests;
