//! What an autoscaler can still add: pools of the catalogue, and what their next node can be expected to be like.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::node::{ARCH, ExpandablePool, NodeFacts, NodeState, OS, Policy};
use super::resources::Resources;
use super::selector::Taint;

/// What an autoscaler could still add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    pub pool: ExpandablePool,
    /// Nodes of the pool that exist and stay.
    pub nodes: u64,
    /// Those of them that do not offer their GPUs yet: drivers take minutes to load on a new node.
    pub loading: u64,
    /// The labels of a new node, as far as they are known.
    pub labels: BTreeMap<String, String>,
    /// What a new node can be expected to be like, after those of the pool that are there; none while none is.
    pub templates: Vec<Template>,
}

/// Nodes of one pool that have the same taints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Those that stay for as long as a node does.
    pub taints: Vec<Taint>,
    /// The most that one of them has of CPU, memory and pod slots; other resources may come later.
    pub allocatable: Resources,
}

impl Growth {
    /// Of a pool, after those of its nodes that are there.
    pub fn of(pool: &ExpandablePool, nodes: &[Arc<NodeState>], policy: &Policy) -> Self {
        let belongs = |node: &&Arc<NodeState>| pool.labels.iter().all(|(key, value)| node.facts.labels.get(key) == Some(value));
        // Unhealthy ones are there as well, and no driver has to load for them.
        let offers = |node: &Arc<NodeState>| {
            node.facts.capacity.contains_key(&pool.kind.resource) || node.facts.allocatable.other(&pool.kind.resource) > 0
        };
        // A node that goes makes room in its pool for another.
        let stays = |node: &&Arc<NodeState>| !node.facts.leaving && !node.facts.taints.iter().any(Taint::takes_away);
        let mine = || nodes.iter().filter(belongs).filter(stays);
        // Every kubelet sets these two by itself.
        let mut labels = pool.labels.clone();
        labels.entry(OS.to_owned()).or_insert_with(|| "linux".to_owned());
        if let Some(architecture) = policy.architectures.first() {
            labels.entry(ARCH.to_owned()).or_insert_with(|| architecture.clone());
        }
        Self {
            pool: pool.clone(),
            nodes: mine().count() as u64,
            loading: mine().filter(|node| !offers(node)).count() as u64,
            labels,
            templates: templates(pool, mine()),
        }
    }

    /// Whether there is more to come.
    pub fn can_grow(&self) -> bool {
        self.nodes < self.pool.max_nodes || self.loading > 0
    }
}

/// On nodes that Karpenter made. It picks a machine for each pod anew, so they tell little of the next one.
const PICKED: &str = "karpenter.sh/nodepool";
const MACHINE: &str = "node.kubernetes.io/instance-type";

fn templates<'a>(pool: &ExpandablePool, nodes: impl Iterator<Item = &'a Arc<NodeState>>) -> Vec<Template> {
    let one_machine = pool.labels.contains_key(MACHINE);
    // A node that is about to report may not have said yet what it has.
    let telling = |facts: &&NodeFacts| facts.allocatable.cpu > 0 && (one_machine || !facts.labels.contains_key(PICKED));
    let mut templates: BTreeMap<Vec<Taint>, Resources> = BTreeMap::new();
    for facts in nodes.map(|node| node.facts.as_ref()).filter(telling) {
        let taints = facts.taints.iter().filter(|taint| taint.repels() && !taint.passes()).cloned().collect();
        let Resources { cpu, memory, pods, .. } = facts.allocatable;
        templates.entry(taints).or_default().raise_to(&Resources { cpu, memory, pods, ..Resources::default() });
    }
    templates.into_iter().map(|(taints, allocatable)| Template { taints, allocatable }).collect()
}
