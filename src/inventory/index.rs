//! The writer's own state: facts by object, usage by node, and the node states made of them.
//!
//! Events of different kinds come in any order. A pod on a node that is not known yet is kept and counts as soon as the
//! node appears; a node that goes takes no pod with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::facts::PodFacts;
use super::gpus;
use super::rules::Rules;
use crate::domain::node::{NodeFacts, NodeState, Policy};
use crate::domain::resources::Resources;
use crate::domain::snapshot::{ClaimPhase, PendingPod, Snapshot};

/// News of one kind of object.
#[derive(Debug)]
pub enum Update<F> {
    /// Everything there is, by key: the result of a list. What is not in it is gone.
    All(Vec<(String, F)>),
    Set(String, F),
    Gone(String),
}

#[derive(Debug)]
pub enum Change {
    Nodes(Update<NodeFacts>),
    Pods(Update<PodFacts>),
    Claims(Update<ClaimPhase>),
}

/// What the pods of one node take.
#[derive(Debug, Default, PartialEq, Eq)]
struct Usage {
    used: Resources,
    held: Resources,
}

#[derive(Debug, Default)]
pub struct Index {
    nodes: BTreeMap<Arc<str>, Arc<NodeFacts>>,
    pods: HashMap<String, PodFacts>,
    claims: Option<BTreeMap<String, ClaimPhase>>,
    usage: HashMap<Arc<str>, Usage>,
    states: BTreeMap<Arc<str>, Arc<NodeState>>,
    /// By which the nodes' GPUs were read.
    rules: Rules,
    /// Nodes whose state no longer follows from their facts and usage.
    dirty: BTreeSet<Arc<str>>,
    listed: Listed,
}

/// Which kinds have been listed at least once. Before all have, a count would be a guess.
#[derive(Debug, Default)]
struct Listed {
    nodes: bool,
    pods: bool,
    claims: bool,
}

impl Index {
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Nodes(update) => self.apply_nodes(update),
            Change::Pods(update) => self.apply_pods(update),
            Change::Claims(update) => self.apply_claims(update),
        }
    }

    /// Whether every kind has been listed.
    pub fn complete(&self) -> bool {
        self.listed.nodes && self.listed.pods && self.listed.claims
    }

    /// The state of the cluster under a policy. Only nodes that something changed on are counted anew.
    pub fn snapshot(&mut self, generation: u64, policy: &Policy) -> Snapshot {
        if !self.rules.are(&policy.gpu_rules) {
            self.read_anew(Rules::new(policy.gpu_rules.clone()));
        }
        for name in std::mem::take(&mut self.dirty) {
            match self.nodes.get(&name) {
                Some(facts) => {
                    let (used, held) =
                        self.usage.get(&name).map(|usage| (usage.used.clone(), usage.held.clone())).unwrap_or_default();
                    let state = NodeState::new(facts.clone(), used, held, policy);
                    self.states.insert(name, Arc::new(state));
                }
                None => {
                    self.states.remove(&name);
                }
            }
        }
        let waiting: Vec<&PendingPod> = self
            .pods
            .values()
            .filter_map(|pod| match pod {
                PodFacts::Waiting { pod, .. } => Some(pod.as_ref()),
                PodFacts::Bound { .. } => None,
            })
            .collect();
        Snapshot::new(generation, self.states.values().cloned().collect(), &waiting, self.claims.clone())
    }

    /// Makes every node be counted anew, after the policy changed.
    pub fn recount(&mut self) {
        self.dirty.extend(self.nodes.keys().cloned());
    }

    /// Reads every node's GPUs by other rules.
    fn read_anew(&mut self, rules: Rules) {
        for facts in self.nodes.values_mut() {
            gpus::read(Arc::make_mut(facts), &rules);
        }
        self.rules = rules;
        self.recount();
    }

    fn apply_nodes(&mut self, update: Update<NodeFacts>) {
        match update {
            Update::All(nodes) => {
                self.listed.nodes = true;
                self.dirty.extend(self.nodes.keys().cloned());
                let read = |mut facts: NodeFacts| {
                    gpus::read(&mut facts, &self.rules);
                    (facts.name.clone(), Arc::new(facts))
                };
                self.nodes = nodes.into_iter().map(|(_, facts)| read(facts)).collect();
                self.dirty.extend(self.nodes.keys().cloned());
            }
            Update::Set(_, mut facts) => {
                gpus::read(&mut facts, &self.rules);
                // Heartbeats change nothing that is kept: they must not make a new snapshot.
                if self.nodes.get(&facts.name).is_none_or(|known| **known != facts) {
                    self.dirty.insert(facts.name.clone());
                    self.nodes.insert(facts.name.clone(), Arc::new(facts));
                }
            }
            Update::Gone(name) => {
                if let Some((name, _)) = self.nodes.remove_entry(name.as_str()) {
                    self.dirty.insert(name);
                }
            }
        }
    }

    fn apply_pods(&mut self, update: Update<PodFacts>) {
        match update {
            Update::All(pods) => {
                self.listed.pods = true;
                self.dirty.extend(self.usage.drain().map(|(name, _)| name));
                self.pods = HashMap::with_capacity(pods.len());
                for (key, pod) in pods {
                    // A list made by hand may name a pod twice.
                    self.remove_pod(&key);
                    self.set_pod(key, pod);
                }
            }
            Update::Set(key, pod) => {
                if self.pods.get(&key) != Some(&pod) {
                    self.remove_pod(&key);
                    self.set_pod(key, pod);
                }
            }
            Update::Gone(key) => self.remove_pod(&key),
        }
    }

    fn set_pod(&mut self, key: String, pod: PodFacts) {
        if let Some((node, take)) = place(&pod) {
            self.dirty.insert(node.clone());
            let usage = self.usage.entry(node.clone()).or_default();
            match take {
                Take::Used(requests) => usage.used.add(requests),
                Take::Held(requests) => usage.held.add(requests),
            }
        }
        self.pods.insert(key, pod);
    }

    fn remove_pod(&mut self, key: &str) {
        let Some(pod) = self.pods.remove(key) else { return };
        let Some((node, take)) = place(&pod) else { return };
        self.dirty.insert(node.clone());
        if let Some(usage) = self.usage.get_mut(node) {
            match take {
                Take::Used(requests) => usage.used.subtract(requests),
                Take::Held(requests) => usage.held.subtract(requests),
            }
            if *usage == Usage::default() {
                self.usage.remove(node);
            }
        }
    }

    fn apply_claims(&mut self, update: Update<ClaimPhase>) {
        match update {
            Update::All(claims) => {
                self.listed.claims = true;
                self.claims = Some(claims.into_iter().map(|(key, phase)| (claim_name(&key), phase)).collect());
            }
            Update::Set(key, phase) => {
                self.claims.get_or_insert_default().insert(claim_name(&key), phase);
            }
            Update::Gone(key) => {
                if let Some(claims) = &mut self.claims {
                    claims.remove(&claim_name(&key));
                }
            }
        }
    }

    /// Says that the source holds no claims at all, so that none is known to be missing.
    pub fn forget_claims(&mut self) {
        self.claims = None;
        self.listed.claims = true;
    }
}

enum Take<'a> {
    Used(&'a Resources),
    Held(&'a Resources),
}

fn place(pod: &PodFacts) -> Option<(&Arc<str>, Take<'_>)> {
    match pod {
        PodFacts::Bound { node, requests } => Some((node, Take::Used(requests))),
        PodFacts::Waiting { nominated, pod } => Some((nominated.as_ref()?, Take::Held(&pod.requests))),
    }
}

/// Claims are those of one namespace: the name alone tells them apart.
fn claim_name(key: &str) -> String {
    key.rsplit('/').next().unwrap_or(key).to_owned()
}
