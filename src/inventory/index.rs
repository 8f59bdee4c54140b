//! The writer's own state: facts by object, usage by node, and the node states made of them.
//!
//! Events of different kinds come in any order. A pod on a node that is not known yet is kept and counts as soon as the
//! node appears; a node that goes takes no pod with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::events::{EventFacts, Events};
use super::facts::NodeNews;
use super::gpus;
use super::pods::{Place, PodFacts};
use super::rules::Rules;
use super::storage::{ClaimFacts, ClassFacts, Storage, VolumeFacts};
use crate::domain::node::{NodeFacts, NodeState, Policy, Usage};
use crate::domain::quota::Quota;
use crate::domain::resources::Resources;
use crate::domain::server::{Progress, Server};
use crate::domain::snapshot::{PendingPod, Snapshot, Surroundings};

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
    Nodes(Update<NodeNews>),
    Pods(Update<PodFacts>),
    Claims(Update<ClaimFacts>),
    Volumes(Update<VolumeFacts>),
    Classes(Update<ClassFacts>),
    Quotas(Update<Quota>),
    Events(Update<EventFacts>),
}

#[derive(Debug, Default)]
pub struct Index {
    /// Where the hub spawns: servers of other hubs are not ours.
    namespace: String,
    nodes: BTreeMap<Arc<str>, Arc<NodeFacts>>,
    pods: HashMap<String, PodFacts>,
    servers: BTreeMap<String, Arc<Server>>,
    storage: Storage,
    quotas: BTreeMap<String, Quota>,
    events: Events,
    usage: HashMap<Arc<str>, Usage>,
    states: BTreeMap<Arc<str>, Arc<NodeState>>,
    /// By which the nodes' GPUs were read.
    rules: Rules,
    /// Nodes whose state no longer follows from their facts and usage.
    dirty: BTreeSet<Arc<str>>,
    listed: Listed,
}

/// Which kinds have been listed at least once. Before these have, a count would be a guess; without the others there is
/// only less to say.
#[derive(Debug, Default)]
struct Listed {
    nodes: bool,
    pods: bool,
    claims: bool,
}

impl Index {
    pub fn new(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..Self::default() }
    }

    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Nodes(update) => self.apply_nodes(update),
            Change::Pods(update) => self.apply_pods(update),
            Change::Claims(update) => {
                self.listed.claims = true;
                apply(self.storage.claims.get_or_insert_default(), update);
            }
            Change::Volumes(update) => apply(self.storage.volumes.get_or_insert_default(), update),
            Change::Classes(update) => apply(self.storage.classes.get_or_insert_default(), update),
            Change::Quotas(update) => apply(&mut self.quotas, update),
            Change::Events(update) => {
                self.events.apply(update);
                if self.events.are_full() {
                    self.events.keep(|pod| self.pods.contains_key(pod));
                }
            }
        }
    }

    /// Whether every kind that counts has been listed.
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
                    let usage = self.usage.get(&name).cloned().unwrap_or_default();
                    let state = NodeState::new(facts.clone(), usage, policy);
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
            .filter_map(|pod| match &pod.place {
                Some(Place::Waiting { pod, .. }) => Some(pod.as_ref()),
                _ => None,
            })
            .collect();
        let mut servers: Vec<Arc<Server>> =
            self.servers.values().filter(|server| server.hub == self.namespace).map(|server| self.with_news(server)).collect();
        servers.sort_by(|a, b| a.owner().cmp(&b.owner()));
        let surroundings =
            Surroundings { servers, claims: self.storage.claims(), quotas: self.quotas.values().cloned().collect() };
        Snapshot::new(generation, self.states.values().cloned().collect(), &waiting, surroundings, policy)
    }

    fn with_news(&self, server: &Arc<Server>) -> Arc<Server> {
        match self.events.progress(&server.pod).filter(|_| server.progress == Progress::Starting) {
            Some(progress) => Arc::new(Server { progress, ..Server::clone(server) }),
            None => server.clone(),
        }
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

    fn apply_nodes(&mut self, update: Update<NodeNews>) {
        match update {
            Update::All(nodes) => {
                self.listed.nodes = true;
                self.dirty.extend(self.nodes.keys().cloned());
                let (events, rules) = (&mut self.events, &self.rules);
                let read = |NodeNews { mut facts, image_sizes }: NodeNews| {
                    image_sizes.into_iter().for_each(|(image, bytes)| events.sizes.learn(image, bytes));
                    gpus::read(&mut facts, rules);
                    (facts.name.clone(), Arc::new(facts))
                };
                self.nodes = nodes.into_iter().map(|(_, node)| node).map(read).collect();
                self.dirty.extend(self.nodes.keys().cloned());
            }
            Update::Set(_, NodeNews { mut facts, image_sizes }) => {
                image_sizes.into_iter().for_each(|(image, bytes)| self.events.sizes.learn(image, bytes));
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
                self.servers.clear();
                for (key, pod) in pods {
                    // A list made by hand may name a pod twice.
                    self.remove_pod(&key);
                    self.set_pod(key, pod);
                }
                self.events.keep(|pod| self.pods.contains_key(pod));
            }
            Update::Set(key, pod) => {
                if self.pods.get(&key) != Some(&pod) {
                    self.remove_pod(&key);
                    self.set_pod(key, pod);
                }
            }
            Update::Gone(key) => {
                self.remove_pod(&key);
                self.events.forget(&key);
            }
        }
    }

    fn set_pod(&mut self, key: String, pod: PodFacts) {
        if let Some((node, take, requests)) = pod.place.as_ref().and_then(taking) {
            self.dirty.insert(node.clone());
            take(self.usage.entry(node.clone()).or_default()).add(requests);
        }
        if let Some(server) = &pod.server {
            self.servers.insert(key.clone(), server.clone());
        }
        self.pods.insert(key, pod);
    }

    fn remove_pod(&mut self, key: &str) {
        let Some(pod) = self.pods.remove(key) else { return };
        self.servers.remove(key);
        let Some((node, take, requests)) = pod.place.as_ref().and_then(taking) else { return };
        self.dirty.insert(node.clone());
        if let Some(usage) = self.usage.get_mut(node) {
            if take(usage).is_saturated() {
                *usage = usage_of(node, self.pods.values());
            } else {
                take(usage).subtract(requests);
            }
            if *usage == Usage::default() {
                self.usage.remove(node);
            }
        }
    }

    /// Says that the source holds no claims at all, so that none is known to be missing.
    pub fn forget_claims(&mut self) {
        self.storage.claims = None;
        self.listed.claims = true;
    }
}

/// Counts a node's pods anew. Anyone can ask for an absurd amount, and sums beyond what a number holds can't be undone.
fn usage_of<'a>(node: &str, pods: impl Iterator<Item = &'a PodFacts>) -> Usage {
    let mut usage = Usage::default();
    for (at, take, requests) in pods.filter_map(|pod| taking(pod.place.as_ref()?)) {
        if **at == *node {
            take(&mut usage).add(requests);
        }
    }
    usage
}

type Account = fn(&mut Usage) -> &mut Resources;

/// On which node a pod takes what, and on which account of the node that goes.
fn taking(place: &Place) -> Option<(&Arc<str>, Account, &Resources)> {
    match place {
        Place::Bound { node, requests, reclaimable: true } => Some((node, |usage| &mut usage.reclaimable, requests)),
        Place::Bound { node, requests, .. } => Some((node, |usage| &mut usage.used, requests)),
        Place::Waiting { nominated, pod } => Some((nominated.as_ref()?, |usage| &mut usage.held, &pod.requests)),
    }
}

/// Objects of the whole cluster, or of one namespace: either way the name alone tells them apart.
fn apply<F>(facts: &mut BTreeMap<String, F>, update: Update<F>) {
    let name = |key: &str| key.rsplit('/').next().unwrap_or(key).to_owned();
    match update {
        Update::All(all) => *facts = all.into_iter().map(|(key, fact)| (name(&key), fact)).collect(),
        Update::Set(key, fact) => {
            facts.insert(name(&key), fact);
        }
        Update::Gone(key) => {
            facts.remove(&name(&key));
        }
    }
}
