//! Placement: from a request to the nodes that its pod may use, and whether it would start now.
//!
//! What the user chose is required. A GPU of any kind needs no required term: the resource request itself confines the
//! pod, and the scheduler may still place it anywhere. Only where a profile leaves some kinds out do their labels have
//! to keep the pod off them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalogue::{AvoidGpuNodes, Catalogue, GpuRequest, ImageChoice, Profile};
use crate::domain::base::{Base, amounts};
use crate::domain::fit::{Assessment, Availability, PodShape, assess};
use crate::domain::gpu::{GpuPool, selecting_terms};
use crate::domain::growth::Growth;
use crate::domain::image::fingerprint;
use crate::domain::node::NodeState;
use crate::domain::quota::{Excess, worst};
use crate::domain::resources::Resources;
use crate::domain::selector::{NodeRequirements, NodeSelectorTerm, Requirement, Toleration, multiply_terms};
use crate::domain::snapshot::{KindCount, Snapshot};
use crate::profiles::claims::{self, Unmountable};
use crate::profiles::keep_off;
use crate::profiles::limits::Allowance;
use crate::profiles::tolerations;

/// A profile with its options settled.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    pub profile: &'a Profile,
    /// The id of the kind asked for; `None` takes any that the profile allows.
    pub kind: Option<&'a str>,
    /// GPUs; 0 for a profile without.
    pub gpus: u32,
    /// The node that the pod is pinned to.
    pub node: Option<&'a str>,
    pub image: &'a ImageChoice,
    /// The pod must land where the shared code is.
    pub shared_code: bool,
}

/// Where a request's pod may go.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// What Berth adds to the hub's own required terms; alternatives.
    pub required: Vec<NodeSelectorTerm>,
    /// A soft wish to stay off GPU nodes.
    pub avoid: Option<NodeSelectorTerm>,
    pub tolerations: Vec<Toleration>,
    /// The resource to ask for, and how many of it.
    pub gpu: Option<(Arc<str>, u32)>,
    pub shape: PodShape,
    /// The quota by which the apiserver would refuse the pod.
    pub quota: Option<Excess>,
    /// The claim with which it could start nowhere.
    pub claim: Option<Unmountable>,
    pub assessment: Assessment<'a>,
}

impl Plan<'_> {
    /// The same pod, judged on other nodes.
    pub fn assess_on<'n>(&self, nodes: &'n [Arc<NodeState>], growth: &[&Growth]) -> Assessment<'n> {
        assess_within(self.quota.as_ref(), self.claim.as_ref(), nodes, growth, &self.shape)
    }

    /// What forbids the pod on every node alike, if anything does: how available it is at best, and why.
    pub fn forbidden(&self) -> Option<(Availability, String)> {
        forbidden(self.quota.as_ref(), self.claim.as_ref()).last()
    }
}

/// Plans a request over a snapshot, under what the hub's own configuration already asks for.
pub fn plan<'a>(request: &Request<'_>, snapshot: &'a Snapshot, base: &Base, catalogue: &Catalogue) -> Plan<'a> {
    // One pod can ask for one resource only.
    plans(request, snapshot, base, catalogue).into_iter().next().unwrap_or_else(|| impossible(request))
}

/// A plan for each resource that the request could ask for, at least one, the best first: what can be had soonest, where
/// the image is already, and then the larger GPUs, so that nobody gets a processor's own graphics in place of a card.
pub fn plans<'a>(request: &Request<'_>, snapshot: &'a Snapshot, base: &Base, catalogue: &Catalogue) -> Vec<Plan<'a>> {
    let Some(gpu) = &request.profile.gpu else {
        return vec![plan_for(request, None, snapshot, base, catalogue)];
    };
    let kinds: Vec<&KindCount> = allowed_kinds(gpu, request, snapshot).collect();
    let resources: BTreeSet<&Arc<str>> = kinds.iter().map(|count| &count.kind.resource).collect();
    if resources.is_empty() {
        return vec![impossible(request)];
    }
    let image = fingerprint(&request.image.reference);
    let plans = resources.into_iter().map(|resource| {
        let ours = || kinds.iter().filter(|count| count.kind.resource == *resource);
        let choice = GpuChoice { resource: resource.clone(), kinds: ours().map(|count| count.kind.id.as_str()).collect() };
        let plan = plan_for(request, Some(choice), snapshot, base, catalogue);
        let has_image = plan.assessment.fitting.iter().any(|node| node.facts.images.contains(&image));
        let memory = ours().filter_map(|count| count.kind.memory_mib).max();
        ((plan.assessment.availability, Reverse(has_image), Reverse(memory)), plan)
    });
    let mut plans: Vec<_> = plans.collect();
    plans.sort_by_key(|(rank, _)| *rank);
    plans.into_iter().map(|(_, plan)| plan).collect()
}

/// How many GPUs a request takes where the user does not say: the first of the profile's counts that some node could
/// serve and the user may still take, or the first of all.
pub fn default_count(
    request: &Request<'_>,
    allowance: Option<&Allowance>,
    snapshot: &Snapshot,
    base: &Base,
    catalogue: &Catalogue,
) -> u32 {
    let Some(gpu) = &request.profile.gpu else { return 0 };
    let possible = |gpus: &&u32| {
        let asked = Request { gpus: **gpus, ..request.clone() };
        allowance.is_none_or(|allowance| u64::from(**gpus) <= allowance.left())
            && plan(&asked, snapshot, base, catalogue).assessment.availability != Availability::Never
    };
    gpu.counts.iter().find(possible).copied().unwrap_or(request.gpus)
}

/// The kinds that a profile and the user's choices leave.
pub fn allowed_kinds<'a>(gpu: &GpuRequest, request: &Request<'_>, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a KindCount> {
    let on_node = request.node.and_then(|name| snapshot.node(name));
    snapshot.kinds.iter().filter(move |count| {
        let kind = &count.kind;
        gpu.kinds.matches(&kind.id)
            && gpu.sharing.contains(&kind.sharing)
            && (gpu.min_memory_mib == 0 || kind.memory_mib.is_some_and(|mib| mib >= gpu.min_memory_mib))
            && (request.gpus <= 1 || !kind.sharing.is_share())
            && request.kind.is_none_or(|id| id == kind.id)
            && (request.node.is_none() || on_node.is_some_and(|node| has_kind(node, &kind.id)))
    })
}

pub fn has_kind(node: &NodeState, id: &str) -> bool {
    node.gpus.iter().any(|gpu| gpu.kind.id == id)
}

struct GpuChoice<'a> {
    resource: Arc<str>,
    kinds: BTreeSet<&'a str>,
}

impl GpuChoice<'_> {
    fn has(&self, resource: &str, kind: &str) -> bool {
        *self.resource == *resource && self.kinds.contains(kind)
    }

    /// What an autoscaler can add of it.
    fn growth<'s>(&self, snapshot: &'s Snapshot) -> impl Iterator<Item = &'s Growth> {
        snapshot.growth.iter().filter(|growth| self.has(&growth.pool.kind.resource, &growth.pool.kind.id))
    }
}

fn plan_for<'a>(
    request: &Request<'_>,
    gpu: Option<GpuChoice<'_>>,
    snapshot: &'a Snapshot,
    base: &Base,
    catalogue: &Catalogue,
) -> Plan<'a> {
    let shared_code = shared_code_term(request, catalogue);
    let mut required: Vec<NodeSelectorTerm> = shared_code.iter().cloned().collect();
    let mut avoid = None;
    match (request.node, &gpu) {
        (Some(node), _) => required = multiply_terms(&required, &[NodeSelectorTerm::node(node)]),
        (None, Some(choice)) if leaves_kinds_out(choice, snapshot) || request.kind.is_some() && is_labelled(choice, snapshot) => {
            required = multiply_terms(&required, &kind_terms(choice, snapshot));
        }
        (None, Some(_)) => {}
        (None, None) => match request.profile.avoid_gpu_nodes {
            AvoidGpuNodes::No => {}
            AvoidGpuNodes::Preferred => avoid = no_gpu_term(snapshot),
            AvoidGpuNodes::Required => required = multiply_terms(&required, no_gpu_term(snapshot).as_slice()),
        },
    }
    required = multiply_terms(&required, snapshot.keep_off.as_slice());
    let off = gpu.as_ref().and_then(|choice| keep_off::gpu_term(&choice.resource, snapshot));
    required = multiply_terms(&required, off.as_slice());
    let growth: Vec<&Growth> = gpu.iter().flat_map(|choice| choice.growth(snapshot)).collect();
    let wanted = |node: &&Arc<NodeState>| {
        request.node.is_none_or(|name| node.name() == name)
            && gpu.as_ref().is_none_or(|choice| choice.kinds.iter().any(|id| has_kind(node, id)))
            && shared_code.as_ref().is_none_or(|term| term.matches(node.name(), &node.facts.labels))
    };
    // A pod that may go anywhere keeps to the hub's own tolerations.
    let chosen = gpu.is_some() || request.node.is_some() || shared_code.is_some();
    let tolerations = if chosen { tolerations::of(snapshot.nodes.iter().filter(wanted), &growth, catalogue) } else { Vec::new() };
    let gpu = gpu.map(|choice| (choice.resource, request.gpus));
    let requirements = NodeRequirements {
        node_selector: base.node_selector.clone(),
        terms: multiply_terms(&base.node_affinity_required, &required),
        tolerations: [base.tolerations.as_slice(), tolerations.as_slice()].concat(),
    };
    let shape = PodShape {
        requests: requests(request.profile, gpu.as_ref(), snapshot, base),
        requirements,
        gpu: gpu.as_ref().map(|(resource, _)| resource.clone()),
        volumes: claims::volumes(snapshot, base, catalogue),
    };
    // Nodes that can't matter are left out: the others of a pin, and those without GPUs of a pod that needs one.
    let nodes = match (request.node, &gpu) {
        (Some(name), _) => snapshot.node(name).map(std::slice::from_ref).unwrap_or_default(),
        (None, Some(_)) => &snapshot.gpu_nodes,
        (None, None) => &snapshot.nodes,
    };
    // A pin is to a node that exists.
    let growth = if request.node.is_none() { growth.as_slice() } else { &[] };
    let quota = worst(snapshot.quotas.iter().filter_map(|quota| quota.excess(&shape.requests)));
    let claim = claims::unmountable(snapshot, base, catalogue);
    let assessment = assess_within(quota.as_ref(), claim.as_ref(), nodes, growth, &shape);
    Plan { required, avoid, tolerations, gpu, shape, quota, claim, assessment }
}

/// An assessment of nodes under the quota that the pod exceeds and with the claim that it can't mount, if any.
fn assess_within<'a>(
    quota: Option<&Excess>,
    claim: Option<&Unmountable>,
    nodes: &'a [Arc<NodeState>],
    growth: &[&Growth],
    shape: &PodShape,
) -> Assessment<'a> {
    let mut assessment = assess(nodes, growth, shape);
    for (availability, sentence) in forbidden(quota, claim) {
        assessment.availability = assessment.availability.max(availability);
        assessment.reasons.insert(0, sentence);
        assessment.fitting.clear();
    }
    assessment
}

/// What forbids a pod on every node alike, how available that leaves it at best, and in words; what weighs most comes last.
fn forbidden(quota: Option<&Excess>, claim: Option<&Unmountable>) -> impl Iterator<Item = (Availability, String)> {
    let of_quota = |excess: &Excess| {
        let availability = if excess.for_ever { Availability::Never } else { Availability::Busy };
        (availability, excess.to_string())
    };
    quota.map(of_quota).into_iter().chain(claim.map(|claim| (Availability::Never, claim.to_string())))
}

/// No kind of GPU in the cluster is one that the request allows.
fn impossible<'a>(request: &Request<'_>) -> Plan<'a> {
    let what = match (request.gpus, request.kind) {
        (0 | 1, None) => "a GPU that this profile allows".to_owned(),
        (0 | 1, Some(kind)) => format!("a GPU of kind {kind} that this profile allows"),
        (gpus, None) => format!("{gpus} GPUs that this profile allows for one server"),
        (gpus, Some(kind)) => format!("{gpus} GPUs of kind {kind} that this profile allows for one server"),
    };
    let who = request.node.map_or_else(|| "no node has".to_owned(), |node| format!("{node} does not have"));
    let reason = format!("{who} {what}");
    Plan {
        required: Vec::new(),
        avoid: None,
        tolerations: Vec::new(),
        gpu: None,
        // An empty term meets no node.
        shape: PodShape {
            requirements: NodeRequirements { terms: vec![NodeSelectorTerm::default()], ..NodeRequirements::default() },
            ..PodShape::default()
        },
        quota: None,
        claim: None,
        assessment: Assessment { availability: Availability::Never, reasons: vec![reason], fitting: Vec::new() },
    }
}

fn leaves_kinds_out(choice: &GpuChoice<'_>, snapshot: &Snapshot) -> bool {
    snapshot.kinds.iter().any(|count| count.kind.resource == choice.resource && !choice.kinds.contains(count.kind.id.as_str()))
}

/// Whether labels tell the chosen kinds. Where they do not, and there is no other kind, names would only keep the pod off
/// nodes that are yet to come.
fn is_labelled(choice: &GpuChoice<'_>, snapshot: &Snapshot) -> bool {
    pools(snapshot).filter(|(_, pool)| choice.has(&pool.kind.resource, &pool.kind.id)).all(|(_, pool)| !pool.labels.is_empty())
}

fn pools(snapshot: &Snapshot) -> impl Iterator<Item = (&str, &GpuPool)> {
    snapshot.gpu_nodes.iter().flat_map(|node| node.facts.pools.iter().map(|pool| (node.name(), pool)))
}

/// The terms that select the chosen kinds. Where the labels of another kind's node meet them as well, as with cards of
/// several models of which the labels name one, its name keeps the pod off.
fn kind_terms(choice: &GpuChoice<'_>, snapshot: &Snapshot) -> Vec<NodeSelectorTerm> {
    let ours = pools(snapshot).filter(|(_, pool)| choice.has(&pool.kind.resource, &pool.kind.id));
    let mut terms = selecting_terms(ours);
    // Nodes that do not run yet have the labels of their pool, and not those of feature discovery.
    terms.extend(choice.growth(snapshot).map(|growth| label_term(&growth.pool.labels)));
    let theirs = |pool: &GpuPool| pool.kind.resource == choice.resource && !choice.kinds.contains(pool.kind.id.as_str());
    for node in snapshot.gpu_nodes.iter().filter(|node| node.facts.pools.iter().any(theirs)) {
        for term in terms.iter_mut().filter(|term| term.matches(node.name(), &node.facts.labels)) {
            // A field requirement takes one value only.
            term.match_fields.push(Requirement::not_in("metadata.name", vec![node.name().to_owned()]));
        }
    }
    terms
}

/// Nodes without GPUs: none of the labels that tell kinds apart, and none of the GPU nodes that carry no such label.
fn no_gpu_term(snapshot: &Snapshot) -> Option<NodeSelectorTerm> {
    let keys: BTreeSet<&str> = pools(snapshot)
        .flat_map(|(_, pool)| pool.labels.keys())
        .map(String::as_str)
        // An instance type is a label of every node.
        .filter(|key| *key != "node.kubernetes.io/instance-type")
        .collect();
    let nameless = pools(snapshot).filter(|(_, pool)| !pool.labels.keys().any(|key| keys.contains(key.as_str())));
    let names: BTreeSet<&str> = nameless.map(|(node, _)| node).collect();
    let term = NodeSelectorTerm {
        match_expressions: keys.into_iter().map(Requirement::absent).collect(),
        // A field requirement takes one value only.
        match_fields: names.into_iter().map(|name| Requirement::not_in("metadata.name", vec![name.to_owned()])).collect(),
    };
    (term != NodeSelectorTerm::default()).then_some(term)
}

/// The nodes that have the shared code, where the request must land on one.
fn shared_code_term(request: &Request<'_>, catalogue: &Catalogue) -> Option<NodeSelectorTerm> {
    if !request.shared_code || !catalogue.shared_code.enabled {
        return None;
    }
    Some(label_term(&catalogue.shared_code.nodes))
}

/// The term of nodes that carry all the given labels.
pub fn label_term(labels: &BTreeMap<String, String>) -> NodeSelectorTerm {
    let equal = |(key, value): (&String, &String)| Requirement::is_in(key, vec![value.clone()]);
    NodeSelectorTerm { match_expressions: labels.iter().map(equal).collect(), ..NodeSelectorTerm::default() }
}

/// What the scheduler will reserve: the notebook's guarantees (or limits, which stand in for them), its GPUs, and the
/// hub's other containers. What a profile does not name stays as the hub has it, but for GPUs, which only the patch names.
fn requests(profile: &Profile, gpu: Option<&(Arc<str>, u32)>, snapshot: &Snapshot, base: &Base) -> Resources {
    let mut notebook = amounts(&base.notebook);
    notebook.pods = 1;
    notebook.other.retain(|name, _| !snapshot.is_gpu(name));
    if let Some(cpu) = &profile.cpu {
        notebook.set("cpu", cpu.request.or(cpu.limit).unwrap_or_default());
    }
    if let Some(memory) = &profile.memory {
        notebook.set("memory", memory.request.or(memory.limit).unwrap_or_default());
    }
    if let Some((resource, count)) = gpu {
        notebook.other.insert(resource.clone(), u64::from(*count));
    }
    let mut requests = amounts(&base.requests);
    requests.add(&notebook);
    requests.raise_to(&amounts(&base.init));
    requests
}
