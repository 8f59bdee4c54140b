//! GPUs that the scheduler would give away and that Berth does not offer. Their nodes carry a label that says so, and
//! pods that ask for such GPUs require another value of it.

use std::collections::BTreeSet;

use crate::domain::gpu::{MIG_IN_FLUX, MIG_STATE, NVIDIA_PRODUCT, can_be_cut_up};
use crate::domain::node::NodeFacts;
use crate::domain::selector::{NodeSelectorTerm, Requirement};
use crate::domain::snapshot::Snapshot;

/// What a pod that asks for a GPU resource must require, while there are such nodes.
pub fn gpu_term(resource: &str, snapshot: &Snapshot) -> Option<NodeSelectorTerm> {
    let facts = || snapshot.nodes.iter().map(|node| node.facts.as_ref());
    let invalid =
        facts().filter(|facts| is_advertised_in_vain(facts, resource)).filter_map(|facts| facts.labels.get(NVIDIA_PRODUCT));
    let invalid: BTreeSet<&String> = invalid.collect();
    let mut match_expressions = Vec::new();
    if !invalid.is_empty() {
        match_expressions.push(Requirement::not_in(NVIDIA_PRODUCT, invalid.into_iter().cloned().collect()));
    }
    if can_be_cut_up(resource) && facts().any(|facts| facts.reconfiguring.is_some()) {
        // Its value goes from one of them to the next before all is well.
        match_expressions.push(Requirement::not_in(MIG_STATE, MIG_IN_FLUX.map(str::to_owned).to_vec()));
    }
    (!match_expressions.is_empty()).then(|| NodeSelectorTerm { match_expressions, ..NodeSelectorTerm::default() })
}

/// Whether a node advertises the resource though its slices make no layout that could be offered.
fn is_advertised_in_vain(facts: &NodeFacts, resource: &str) -> bool {
    facts.mig_invalid
        && (facts.capacity.contains_key(resource) || facts.allocatable.other.contains_key(resource))
        && !facts.pools.iter().any(|pool| *pool.kind.resource == *resource)
}
