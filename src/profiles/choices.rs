//! The options of an offer: what can be chosen, and what is free of each choice.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::plan::{Plan, Request, allowed_kinds, has_kind};
use super::survey::KindState;
use crate::catalogue::{Catalogue, GpuRequest, SharedCodeUse};
use crate::domain::fit::{Availability, judge};
use crate::domain::node::NodeState;
use crate::domain::snapshot::{KindCount, Snapshot};

/// The choice that leaves the kind open.
pub const ANY_KIND: &str = "any";
/// Node choices at most; above this a list helps nobody.
pub const MOST_NODES: usize = 200;

/// One option of a profile. Names are the contract with the hub's form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionOffer {
    pub key: &'static str,
    pub label: &'static str,
    /// At least one; the default first.
    pub choices: Vec<Choice>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub id: String,
    /// Plain text.
    pub text: String,
}

impl Choice {
    fn new(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self { id: id.into(), text: text.into() }
    }
}

/// The options of a request, of which `states` is the survey. One with a single choice need not be asked.
pub fn options(
    request: &Request<'_>,
    node_choice: bool,
    states: &BTreeMap<String, KindState>,
    snapshot: &Snapshot,
    catalogue: &Catalogue,
) -> Vec<OptionOffer> {
    let mut options = Vec::new();
    let mut offer = |key, label, choices: Vec<Choice>| {
        if !choices.is_empty() {
            options.push(OptionOffer { key, label, choices });
        }
    };
    if let Some(gpu) = &request.profile.gpu {
        offer("gpu-kind", "GPU", kinds(states));
        offer("gpus", "Number of GPUs", counts(gpu, states));
        if node_choice {
            offer("node", "Node", nodes(request, gpu, states, snapshot));
        }
    }
    let images = request.profile.images.iter().map(|image| Choice::new(&image.id, &image.reference));
    offer("image", "Image", images.collect());
    if request.profile.shared_code == SharedCodeUse::Ask && catalogue.shared_code.enabled {
        let choices = vec![
            Choice::new("no", "Not needed"),
            Choice::new("yes", format!("Read-only at {}, on a node that has it", catalogue.shared_code.mount_path)),
        ];
        offer("shared-code", "Shared code", choices);
    } else {
        let given = if request.shared_code { "yes" } else { "no" };
        offer("shared-code", "Shared code", vec![Choice::new(given, given)]);
    }
    options
}

/// The kinds of the survey; of several, the choice that leaves it open is the first.
fn kinds(states: &BTreeMap<String, KindState>) -> Vec<Choice> {
    let (open, kinds): (Vec<_>, Vec<_>) = states.iter().partition(|(id, _)| *id == ANY_KIND);
    let open = open.into_iter().filter(|_| kinds.len() > 1);
    open.chain(kinds.iter().copied()).map(|(id, kind)| Choice::new(id, &kind.state.text)).collect()
}

/// Counts that some node could serve and the user may hold. What can never be is not offered.
fn counts(gpu: &GpuRequest, states: &BTreeMap<String, KindState>) -> Vec<Choice> {
    let choice = |count: &u32| {
        let state = states.get(ANY_KIND)?.counts.get(&count.to_string())?;
        (state.availability != Availability::Never).then(|| Choice::new(count.to_string(), state.text.clone()))
    };
    gpu.counts.iter().filter_map(choice).collect()
}

/// In the order of [`ranked_nodes`].
fn nodes(request: &Request<'_>, gpu: &GpuRequest, states: &BTreeMap<String, KindState>, snapshot: &Snapshot) -> Vec<Choice> {
    let choice = |(node, free, total): &(&Arc<NodeState>, u64, u64)| {
        Choice::new(node.name(), format!("{}, {free} of {total} free", node.name()))
    };
    let listed = states.get(ANY_KIND).map(|any| &any.nodes);
    let soonest = |(node, ..): &(&Arc<NodeState>, u64, u64)| {
        listed.and_then(|nodes| nodes.get(node.name())).map_or(Availability::Unknown, |node| node.state.availability)
    };
    let mut nodes = gpu_nodes(request, gpu, snapshot);
    nodes.sort_by_key(soonest);
    nodes.iter().take(MOST_NODES).map(choice).collect()
}

/// Usable nodes that a request could be pinned to, the default first: where its plans would start it first, then the
/// freest.
pub fn ranked_nodes<'a>(
    request: &Request<'_>,
    gpu: &GpuRequest,
    plans: &[&Plan<'_>],
    snapshot: &'a Snapshot,
) -> Vec<&'a Arc<NodeState>> {
    let soonest = |node: &Arc<NodeState>| plans.iter().map(|plan| judge(node, &plan.shape).availability).min();
    let mut nodes: Vec<&Arc<NodeState>> = gpu_nodes(request, gpu, snapshot).into_iter().map(|(node, ..)| node).collect();
    nodes.sort_by_cached_key(|node| soonest(node).unwrap_or(Availability::Never));
    nodes
}

/// Usable nodes with a kind that the request allows, the freest first, with what is free and there in all.
pub fn gpu_nodes<'a>(request: &Request<'_>, gpu: &GpuRequest, snapshot: &'a Snapshot) -> Vec<(&'a Arc<NodeState>, u64, u64)> {
    let kinds: Vec<&str> = allowed_kinds(gpu, request, snapshot).map(|count| count.kind.id.as_str()).collect();
    let mut nodes: Vec<(&Arc<NodeState>, u64, u64)> = snapshot
        .gpu_nodes
        .iter()
        .filter(|node| node.usable() && kinds.iter().any(|id| has_kind(node, id)))
        .map(|node| {
            let (free, total) = numbers(node, &|id| kinds.contains(&id));
            (node, free, total)
        })
        .collect();
    nodes.sort_by(|(a, a_free, _), (b, b_free, _)| b_free.cmp(a_free).then_with(|| a.name().cmp(b.name())));
    nodes
}

/// Free and total of a kind: on one node, or over all.
pub fn kind_numbers(count: &KindCount, node: Option<&NodeState>) -> (u64, u64) {
    node.map_or((count.free, count.total), |node| numbers(node, &|id| id == count.kind.id))
}

/// Free and total on a node, over the kinds that `wanted` names.
pub fn numbers(node: &NodeState, wanted: &dyn Fn(&str) -> bool) -> (u64, u64) {
    let ours = node.gpus.iter().filter(|gpu| wanted(&gpu.kind.id));
    ours.fold((0, 0), |(free, total), gpu| (gpu.free.saturating_add(free), gpu.total.saturating_add(total)))
}
