//! The published state of the cluster: immutable and numbered. One writer makes snapshots, everyone else reads the last
//! one whole, so no two numbers of an answer come from different moments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::gpu::{Kind, is_gpu_name};
use super::growth::Growth;
use super::node::{NodeState, Policy, strangeness};
use super::quota::Quota;
use super::resources::Resources;
use super::selector::{NodeRequirements, NodeSelectorTerm, Requirement};
use super::server::Server;
use super::storage::Claim;

/// A pod that waits for a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingPod {
    pub requests: Resources,
    pub requirements: NodeRequirements,
}

/// GPUs that unbound pods ask for, all of pods that accept the same kinds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    pub kinds: BTreeSet<String>,
    pub gpus: u64,
}

/// A kind and its units over all nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindCount {
    pub kind: Arc<Kind>,
    pub total: u64,
    pub free: u64,
    pub used: u64,
    pub held: u64,
    pub unhealthy: u64,
    pub unusable: u64,
    /// The most that one pod can get now.
    pub largest_free: u64,
    /// What unbound pods that could use this kind ask for.
    pub pending: u64,
    /// Cards, where `total` counts shares or slices.
    pub physical: u64,
    /// Of those free, what placeholder pods still sit on.
    pub reclaimable: u64,
}

impl KindCount {
    fn none(kind: Arc<Kind>) -> Self {
        Self {
            kind,
            total: 0,
            free: 0,
            used: 0,
            held: 0,
            unhealthy: 0,
            unusable: 0,
            largest_free: 0,
            pending: 0,
            physical: 0,
            reclaimable: 0,
        }
    }
}

/// What the source said, beside the nodes.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    pub servers: Vec<Arc<Server>>,
    pub claims: Option<BTreeMap<String, Claim>>,
    pub quotas: Vec<Quota>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Grows with every published change.
    pub generation: u64,
    /// Sorted by name.
    pub nodes: Vec<Arc<NodeState>>,
    /// Those of them that have GPUs, or will.
    pub gpu_nodes: Vec<Arc<NodeState>>,
    /// Sorted by id.
    pub kinds: Vec<KindCount>,
    /// Each GPU asked for once, where `pending` counts it for every kind that would do.
    pub demand: Vec<Demand>,
    /// Names of GPU-like resources that no rule knows, sorted.
    pub unclassified: Vec<Arc<str>>,
    /// Claims of the hub's namespace; `None` where the source holds no claim at all and nothing can be checked.
    /// Shared: there may be one for each user, and every answer lays promises over a snapshot of its own.
    pub claims: Option<Arc<BTreeMap<String, Claim>>>,
    /// Quotas of the hub's namespace.
    pub quotas: Vec<Quota>,
    /// The hub's servers that are in the cluster or on their way there, sorted by user and name.
    pub servers: Vec<Arc<Server>>,
    /// What every pod of the hub must require, so that it stays off nodes on which it could not run. `None` where
    /// all nodes are alike, as in nearly every cluster.
    pub keep_off: Option<NodeSelectorTerm>,
    pub growth: Vec<Growth>,
}

impl Snapshot {
    /// Counts the kinds of the given nodes, which are sorted by name.
    pub fn new(
        generation: u64,
        nodes: Vec<Arc<NodeState>>,
        pending: &[&PendingPod],
        surroundings: Surroundings,
        policy: &Policy,
    ) -> Self {
        let mut unclassified: Vec<Arc<str>> = nodes.iter().flat_map(|node| node.facts.unclassified.iter().cloned()).collect();
        unclassified.sort();
        unclassified.dedup();
        let gpu_nodes: Vec<_> = nodes.iter().filter(|node| !node.gpus.is_empty()).cloned().collect();
        let growth: Vec<Growth> = policy.expandable.iter().map(|pool| Growth::of(pool, &nodes, policy)).collect();
        let mut kinds = sum_kinds(&gpu_nodes);
        for Growth { pool, .. } in &growth {
            kinds.entry(pool.kind.id.clone()).or_insert_with(|| KindCount::none(pool.kind.clone()));
        }
        let demand = sum_demand(&gpu_nodes, &growth, pending);
        add_pending(&mut kinds, &demand);
        let kinds = kinds.into_values().collect();
        let keep_off = keep_off(&nodes, policy);
        let Surroundings { servers, claims, quotas } = surroundings;
        let claims = claims.map(Arc::new);
        Self { generation, nodes, gpu_nodes, kinds, demand, unclassified, claims, quotas, servers, keep_off, growth }
    }

    /// The same moment with more promised: what is held by node, and the servers that were promised and are not seen yet.
    pub fn with_promises<'a>(&self, held: impl Iterator<Item = (&'a str, &'a Resources)>, servers: Vec<Arc<Server>>) -> Self {
        let mut snapshot = self.clone();
        for (name, more) in held {
            for nodes in [&mut snapshot.nodes, &mut snapshot.gpu_nodes] {
                if let Ok(at) = nodes.binary_search_by(|node| node.name().cmp(name))
                    && let Some(node) = nodes.get_mut(at)
                {
                    *node = Arc::new(node.with_held(more));
                }
            }
        }
        let mut kinds = sum_kinds(&snapshot.gpu_nodes);
        for count in &self.kinds {
            let known = kinds.entry(count.kind.id.clone()).or_insert_with(|| KindCount::none(count.kind.clone()));
            known.pending = count.pending;
        }
        snapshot.kinds = kinds.into_values().collect();
        // The apiserver counts a pod when it is made; these have none yet.
        for quota in &mut snapshot.quotas {
            servers.iter().for_each(|server| quota.promise(&server.requests));
        }
        snapshot.servers.extend(servers);
        snapshot.servers.sort_by(|a, b| a.owner().cmp(&b.owner()));
        snapshot
    }

    pub fn node(&self, name: &str) -> Option<&Arc<NodeState>> {
        let at = self.nodes.binary_search_by(|node| node.name().cmp(name)).ok()?;
        self.nodes.get(at)
    }

    /// Whether this resource is a GPU: one of a kind here, one that Berth knows, or one that looks like it.
    pub fn is_gpu(&self, resource: &str) -> bool {
        is_gpu_name(resource)
            || self.kinds.iter().any(|count| *count.kind.resource == *resource)
            || self.unclassified.iter().any(|name| **name == *resource)
    }

    /// How many GPUs, slices or shares of any kind these requests ask for.
    pub fn gpus_of(&self, requests: &Resources) -> u64 {
        let gpus = requests.other.iter().filter(|(name, _)| self.is_gpu(name));
        gpus.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    pub fn kind(&self, id: &str) -> Option<&KindCount> {
        self.kinds.iter().find(|count| count.kind.id == id)
    }

    /// GPUs that unbound pods ask for and that could be of the kinds that `wanted` names.
    pub fn ahead(&self, wanted: &dyn Fn(&str) -> bool) -> u64 {
        let ours = self.demand.iter().filter(|demand| demand.kinds.iter().any(|id| wanted(id)));
        ours.fold(0, |sum, demand| sum.saturating_add(demand.gpus))
    }
}

fn sum_kinds(nodes: &[Arc<NodeState>]) -> BTreeMap<String, KindCount> {
    let mut kinds: BTreeMap<String, KindCount> = BTreeMap::new();
    for gpu in nodes.iter().flat_map(|node| &node.gpus) {
        let count = kinds.entry(gpu.kind.id.clone()).or_insert_with(|| KindCount::none(gpu.kind.clone()));
        // Cards of one product may report slightly different sizes: the smallest is what every one of them has.
        if smaller(gpu.kind.memory_mib, count.kind.memory_mib) {
            count.kind = gpu.kind.clone();
        }
        // Anyone can write an absurd number into an object of theirs; it must not stop the count.
        for (sum, more) in [
            (&mut count.total, gpu.total),
            (&mut count.free, gpu.free),
            (&mut count.used, gpu.used),
            (&mut count.held, gpu.held),
            (&mut count.unhealthy, gpu.unhealthy),
            (&mut count.unusable, gpu.unusable),
            (&mut count.physical, gpu.physical),
            (&mut count.reclaimable, gpu.reclaimable),
        ] {
            *sum = sum.saturating_add(more);
        }
        // Of shares one server gets one.
        let most = if gpu.kind.sharing.is_share() { gpu.free.min(1) } else { gpu.free };
        count.largest_free = count.largest_free.max(most);
    }
    kinds
}

fn add_pending(kinds: &mut BTreeMap<String, KindCount>, demand: &[Demand]) {
    for demand in demand {
        for id in &demand.kinds {
            if let Some(count) = kinds.get_mut(id) {
                count.pending = count.pending.saturating_add(demand.gpus);
            }
        }
    }
}

/// One requirement for each label by which nodes are strange, with all the values to stay away from, and for each node
/// that no label tells apart. `NotIn` also takes nodes without the label.
fn keep_off(nodes: &[Arc<NodeState>], policy: &Policy) -> Option<NodeSelectorTerm> {
    let mut labels: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut match_fields = Vec::new();
    for node in nodes {
        match strangeness(&node.facts, policy).map(|strange| strange.label) {
            Some(Some((label, value))) => {
                labels.entry(label).or_default().insert(value);
            }
            // A field requirement takes one value only.
            Some(None) => match_fields.push(Requirement::not_in("metadata.name", vec![node.name().to_owned()])),
            None => {}
        }
    }
    let labels = labels.into_iter().map(|(label, values)| Requirement::not_in(label, values.into_iter().collect()));
    let term = NodeSelectorTerm { match_expressions: labels.collect(), match_fields };
    (term != NodeSelectorTerm::default()).then_some(term)
}

fn sum_demand(nodes: &[Arc<NodeState>], growth: &[Growth], pending: &[&PendingPod]) -> Vec<Demand> {
    // Waiting pods are mostly copies of a few: what they accept is looked for once for all of a sort.
    let mut sorts: BTreeMap<&NodeRequirements, Resources> = BTreeMap::new();
    for pod in pending {
        sorts.entry(&pod.requirements).or_default().add(&pod.requests);
    }
    let mut sums: BTreeMap<BTreeSet<String>, u64> = BTreeMap::new();
    for (requirements, requests) in sorts {
        for (resource, ids) in acceptable_kinds(nodes, growth, requirements, &requests) {
            let kinds = ids.into_iter().map(str::to_owned).collect();
            let sum = sums.entry(kinds).or_default();
            *sum = sum.saturating_add(requests.other(resource));
        }
    }
    sums.into_iter().map(|(kinds, gpus)| Demand { kinds, gpus }).collect()
}

fn smaller(size: Option<u64>, than: Option<u64>) -> bool {
    size.is_some_and(|size| than.is_none_or(|than| size < than))
}

/// By resource asked for, the kinds on the nodes that are acceptable, and on those that may come. A pod that accepts
/// several is demand for each of them, since it may take any.
fn acceptable_kinds<'a>(
    nodes: &'a [Arc<NodeState>],
    growth: &'a [Growth],
    requirements: &NodeRequirements,
    requests: &Resources,
) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut ids: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let asked = |kind: &&Arc<Kind>| requests.other(&kind.resource) > 0;
    for Growth { pool, labels, .. } in growth.iter().filter(|growth| growth.can_grow()) {
        if asked(&&pool.kind) && requirements.select("", labels) {
            ids.entry(&pool.kind.resource).or_default().insert(&pool.kind.id);
        }
    }
    for node in nodes {
        let mut kinds = node.gpus.iter().map(|gpu| &gpu.kind).filter(asked).peekable();
        if kinds.peek().is_some() && requirements.select(node.name(), &node.facts.labels) {
            for kind in kinds {
                ids.entry(&kind.resource).or_default().insert(&kind.id);
            }
        }
    }
    ids
}
