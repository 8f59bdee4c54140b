//! What each choice of an offer would come to now: by kind, and under each kind by count and by node.
//!
//! A form uses it to narrow counts and nodes when a kind is picked, and to say why something cannot be had.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::choices::{ANY_KIND, MOST_NODES, kind_numbers, numbers, ranked_nodes};
use super::limits::Allowance;
use super::plan::{Plan, Request, allowed_kinds, has_kind, plans};
use crate::catalogue::{Catalogue, GpuRequest, Profile, WhenFull};
use crate::domain::base::Base;
use crate::domain::fit::{Assessment, Availability};
use crate::domain::growth::Growth;
use crate::domain::node::NodeState;
use crate::domain::snapshot::{KindCount, Snapshot};

/// One choice. Plain text throughout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct State {
    pub text: String,
    pub availability: Availability,
    /// Whether a spawn would not be refused at once.
    pub pickable: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// Whether a spawn would go ahead, if only to wait; `refused` where a limit or a quota forbids it now.
pub fn pickable(profile: &Profile, availability: Availability, refused: bool) -> bool {
    match availability {
        Availability::Now | Availability::Unknown => true,
        Availability::Busy | Availability::Starting => profile.when_full == WhenFull::Wait && !refused,
        Availability::Never => false,
    }
}

/// A node, with the GPUs there of the kinds that the choice of a kind leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeChoice {
    #[serde(flatten)]
    pub state: State,
    pub free: u64,
    pub total: u64,
}

/// A kind, or any, and what can be chosen with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KindState {
    #[serde(flatten)]
    pub state: State,
    /// GPUs that others ask for already, without having got them.
    pub ahead: u64,
    /// By the count as a word, as the form sends it.
    pub counts: BTreeMap<String, State>,
    /// Where the user may choose one, those included that cannot be used for the moment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<String, NodeChoice>,
    /// Whether there are more nodes than are listed.
    #[serde(rename = "moreNodes", skip_serializing_if = "std::ops::Not::not")]
    pub more_nodes: bool,
}

/// A count, planned for every resource that can serve it.
struct Planned<'a> {
    profile: &'a Profile,
    count: u32,
    /// What the user may still take, where that is limited.
    allowance: Option<&'a Allowance>,
    /// Ids of the kinds that the profile allows at this count.
    allowed: BTreeSet<&'a str>,
    plans: Vec<Plan<'a>>,
}

impl<'a> Planned<'a> {
    fn plan_of(&self, kind: &KindCount) -> Option<&Plan<'a>> {
        self.plans.iter().find(|plan| plan.gpu.as_ref().is_some_and(|(resource, _)| *resource == kind.kind.resource))
    }

    fn any(&self) -> State {
        let best = self.plans.iter().min_by_key(|plan| plan.assessment.availability);
        best.map_or_else(|| self.impossible(None), |plan| self.state(&plan.assessment, plan.quota.is_some()))
    }

    /// Over the nodes that have the kind, and those that an autoscaler can add.
    fn kind(&self, kind: &KindCount, nodes: &[Arc<NodeState>], growth: &[&Growth]) -> State {
        if !self.allowed.contains(kind.kind.id.as_str()) {
            return self.impossible(Some("one server gets one share of a card at most"));
        }
        let Some(plan) = self.plan_of(kind) else { return self.impossible(None) };
        self.state(&plan.assess_on(nodes, growth), plan.quota.is_some())
    }

    fn impossible(&self, reason: Option<&str>) -> State {
        let reasons = reason.into_iter().map(str::to_owned).collect();
        self.state(&Assessment { availability: Availability::Never, reasons, fitting: Vec::new() }, false)
    }

    fn state(&self, assessment: &Assessment<'_>, over_quota: bool) -> State {
        let over = self.allowance.and_then(|allowance| Some((allowance, allowance.delays(self.count)?)));
        let mut availability = assessment.availability;
        let mut reasons = assessment.reasons.clone();
        if let Some((allowance, least)) = over {
            availability = availability.max(least);
            reasons.insert(0, allowance.sentence());
        }
        let when = match availability {
            Availability::Now => match assessment.fitting.len() {
                1 => "free now on 1 node".to_owned(),
                nodes => format!("free now on {nodes} nodes"),
            },
            Availability::Never | Availability::Unknown => "not possible here".to_owned(),
            _ if over.is_some() => "more than you may add now".to_owned(),
            Availability::Busy => "in use now".to_owned(),
            Availability::Starting => "not available yet".to_owned(),
        };
        let unit = if self.count == 1 { "GPU" } else { "GPUs" };
        State {
            text: format!("{} {unit}, {when}", self.count),
            availability,
            pickable: pickable(self.profile, availability, over.is_some() || over_quota),
            reasons,
        }
    }
}

/// The states by id of kind, the one that leaves it open included; empty for a profile without a GPU.
pub fn survey(
    request: &Request<'_>,
    node_choice: bool,
    allowance: Option<&Allowance>,
    snapshot: &Snapshot,
    base: &Base,
    catalogue: &Catalogue,
) -> BTreeMap<String, KindState> {
    let Some(gpu) = &request.profile.gpu else { return BTreeMap::new() };
    let planned = gpu.counts.iter().map(|count| {
        let asked = Request { gpus: *count, ..request.clone() };
        let allowed = allowed_kinds(gpu, &asked, snapshot).map(|kind| kind.kind.id.as_str()).collect();
        Planned { profile: request.profile, count: *count, allowance, allowed, plans: plans(&asked, snapshot, base, catalogue) }
    });
    let planned: Vec<Planned<'_>> = planned.collect();
    // Nodes are judged by the count that a form has selected at first.
    let over = allowance.and_then(|allowance| Some((allowance, allowance.delays(request.gpus)?)));
    let at_first: Vec<&Planned<'_>> = planned.iter().filter(|each| each.count == request.gpus).collect();

    // The same nodes for each kind, or a form would take those that are left out for nodes without the kind.
    let best: Vec<&Plan<'_>> = at_first.iter().flat_map(|each| &each.plans).collect();
    let (listed, more_nodes) = if node_choice { listed_nodes(request, gpu, &best, snapshot) } else { (Vec::new(), false) };

    let mut states = BTreeMap::new();
    let (mut all_free, mut all) = (0_u64, 0_u64);
    for kind in allowed_kinds(gpu, request, snapshot) {
        let is_it = |id: &str| id == kind.kind.id;
        let here = |node: &&Arc<NodeState>| request.node.is_none_or(|name| node.name() == name) && has_kind(node, &kind.kind.id);
        let nodes: Vec<Arc<NodeState>> = snapshot.gpu_nodes.iter().filter(here).cloned().collect();
        let (free, total) = kind_numbers(kind, request.node.and_then(|_| nodes.first()).map(|node| node.as_ref()));
        (all_free, all) = (all_free.saturating_add(free), all.saturating_add(total));
        // A pin is to a node that exists.
        let grows = |growth: &&Growth| request.node.is_none() && growth.pool.kind.id == kind.kind.id;
        let growth: Vec<&Growth> = snapshot.growth.iter().filter(grows).collect();
        let counts = planned.iter().map(|each| (each.count, each.kind(kind, &nodes, &growth))).collect();
        let text = format!("{}, {free} of {total} free", kind.kind.display_name());
        let mut state = kind_state(text, counts, snapshot.ahead(&is_it));
        if node_choice {
            let plans: Vec<&Plan<'_>> = at_first.iter().filter_map(|each| each.plan_of(kind)).collect();
            let nodes = listed.iter().copied().filter(|node| has_kind(node, &kind.kind.id));
            state.nodes = node_states(request.profile, nodes, &plans, over, &is_it);
        }
        states.insert(kind.kind.id.clone(), state);
    }
    let wanted = |id: &str| states.contains_key(id);
    let counts = planned.iter().map(|each| (each.count, each.any())).collect();
    let mut any = kind_state(format!("Any, {all_free} of {all} free"), counts, snapshot.ahead(&wanted));
    if node_choice {
        any.nodes = node_states(request.profile, listed.iter().copied(), &best, over, &wanted);
        any.more_nodes = more_nodes;
    }
    states.insert(ANY_KIND.to_owned(), any);
    states
}

/// A kind is as available as the best of its counts.
fn kind_state(text: String, counts: Vec<(u32, State)>, ahead: u64) -> KindState {
    let best = counts.iter().map(|(_, state)| state).min_by_key(|state| (!state.pickable, state.availability));
    let state = State {
        text,
        availability: best.map_or(Availability::Never, |state| state.availability),
        pickable: best.is_some_and(|state| state.pickable),
        reasons: best.map(|state| state.reasons.clone()).unwrap_or_default(),
    };
    let counts = counts.into_iter().map(|(count, state)| (count.to_string(), state)).collect();
    KindState { state, ahead, counts, nodes: BTreeMap::new(), more_nodes: false }
}

/// Nodes with GPUs that the request allows, the best first and those last that are out of use, which may be for a moment;
/// and whether there are more.
fn listed_nodes<'a>(
    request: &Request<'_>,
    gpu: &GpuRequest,
    plans: &[&Plan<'_>],
    snapshot: &'a Snapshot,
) -> (Vec<&'a Arc<NodeState>>, bool) {
    let kinds: Vec<&str> = allowed_kinds(gpu, request, snapshot).map(|kind| kind.kind.id.as_str()).collect();
    let out_of_use =
        |node: &&Arc<NodeState>| !node.usable() && node.strange.is_none() && kinds.iter().any(|id| has_kind(node, id));
    let mut nodes = ranked_nodes(request, gpu, plans, snapshot);
    nodes.extend(snapshot.gpu_nodes.iter().filter(out_of_use));
    let more = nodes.len() > MOST_NODES;
    nodes.truncate(MOST_NODES);
    (nodes, more)
}

fn node_states<'a>(
    profile: &Profile,
    nodes: impl Iterator<Item = &'a Arc<NodeState>>,
    plans: &[&Plan<'_>],
    over: Option<(&Allowance, Availability)>,
    wanted: &dyn Fn(&str) -> bool,
) -> BTreeMap<String, NodeChoice> {
    let state = |node: &Arc<NodeState>| {
        let (free, total) = numbers(node, wanted);
        let one = std::slice::from_ref(node);
        let judged = plans.iter().map(|plan| (plan.assess_on(one, &[]), plan.quota.is_some()));
        let best = judged.min_by_key(|(assessment, _)| assessment.availability);
        let (mut availability, mut reasons, over_quota) = best
            .map_or((Availability::Never, Vec::new(), false), |(assessment, over)| {
                (assessment.availability, assessment.reasons, over)
            });
        // The choice itself names the node.
        let own = format!("{}: ", node.name());
        for reason in &mut reasons {
            if let Some(rest) = reason.strip_prefix(&own) {
                *reason = rest.to_owned();
            }
        }
        if let Some((allowance, least)) = over {
            availability = availability.max(least);
            reasons.insert(0, allowance.sentence());
        }
        let text = format!("{}, {free} of {total} free", node.name());
        let refused = over.is_some() || over_quota;
        let state = State { text, availability, pickable: pickable(profile, availability, refused), reasons };
        (node.name().to_owned(), NodeChoice { state, free, total })
    };
    nodes.map(state).collect()
}
