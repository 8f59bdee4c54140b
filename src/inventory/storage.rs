//! Claims, the volumes behind them and the classes that make such volumes: where a claim can be used.

use std::collections::BTreeMap;

use super::facts::{Decoded, key};
use super::objects::{self, StorageClass};
use crate::domain::selector::{NodeSelectorTerm, Requirement, multiply_terms};
use crate::domain::storage::{Claim, ClaimPhase, Reach};

/// What a claim's object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimFacts {
    pub phase: ClaimPhase,
    /// Name of the volume; empty until it is bound.
    volume: String,
    class: String,
}

/// On which nodes a volume can be mounted; none: on all.
pub type VolumeFacts = Vec<NodeSelectorTerm>;

/// What a class says of volumes that are not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassFacts {
    waits_for_pod: bool,
    topologies: Vec<NodeSelectorTerm>,
}

/// Everything there is to know of storage; `None` for what the source does not tell.
#[derive(Debug, Default)]
pub struct Storage {
    pub claims: Option<BTreeMap<String, ClaimFacts>>,
    pub volumes: Option<BTreeMap<String, VolumeFacts>>,
    pub classes: Option<BTreeMap<String, ClassFacts>>,
}

pub fn claim(claim: objects::Claim) -> Decoded<ClaimFacts> {
    let phase = match claim.status.phase.as_str() {
        _ if claim.metadata.deletion_timestamp.is_some() => ClaimPhase::Leaving,
        "Bound" => ClaimPhase::Bound,
        "Lost" => ClaimPhase::Lost,
        _ => ClaimPhase::Pending,
    };
    let key = key(&claim.metadata);
    let fact = ClaimFacts { phase, volume: claim.spec.volume_name, class: claim.spec.storage_class_name };
    Decoded { key, fact: Some(fact) }
}

/// Labels by which volumes told where they are before node affinity did; the old name and the new.
const ZONES: [(&str, &str); 2] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
];

pub fn volume(volume: objects::Volume) -> Decoded<VolumeFacts> {
    let mut terms = volume.spec.node_affinity.required.node_selector_terms;
    for (old, new) in ZONES {
        for key in [old, new] {
            if let Some(value) = volume.metadata.labels.get(key) {
                terms = multiply_terms(&terms, &places(key, new, value));
            }
        }
    }
    Decoded { key: volume.metadata.name, fact: Some(terms) }
}

/// The alternatives of one such label. Several places are joined by two underscores; a node may have the label under its
/// new name only; and a node without any of them is none of this rule's business.
/// Source: the scheduler's VolumeZone plugin, `volume_zone.go`.
fn places(key: &str, new: &str, value: &str) -> Vec<NodeSelectorTerm> {
    let term = |match_expressions| NodeSelectorTerm { match_expressions, ..NodeSelectorTerm::default() };
    let values: Vec<String> = value.split("__").map(str::to_owned).collect();
    let mut alternatives = vec![term(vec![Requirement::is_in(key, values.clone())])];
    if key != new {
        alternatives.push(term(vec![Requirement::absent(key), Requirement::is_in(new, values)]));
    }
    let none = ZONES.iter().flat_map(|(old, new)| [Requirement::absent(old), Requirement::absent(new)]);
    alternatives.push(term(none.collect()));
    alternatives
}

pub fn class(class: StorageClass) -> Decoded<ClassFacts> {
    let topologies = class.allowed_topologies.into_iter().map(|topology| NodeSelectorTerm {
        match_expressions: topology
            .match_label_expressions
            .into_iter()
            .map(|label| Requirement::is_in(&label.key, label.values))
            .collect(),
        ..NodeSelectorTerm::default()
    });
    let fact =
        ClassFacts { waits_for_pod: class.volume_binding_mode == "WaitForFirstConsumer", topologies: topologies.collect() };
    Decoded { key: class.metadata.name, fact: Some(fact) }
}

impl Storage {
    /// The claims with what their volumes or classes say of them.
    pub fn claims(&self) -> Option<BTreeMap<String, Claim>> {
        let claims = self.claims.as_ref()?;
        let claim =
            |(name, facts): (&String, &ClaimFacts)| (name.clone(), Claim { phase: facts.phase, reach: self.reach(facts) });
        Some(claims.iter().map(claim).collect())
    }

    /// The scheduler takes no pod with a claim that is not bound, unless the class says that it waits for that pod.
    fn reach(&self, claim: &ClaimFacts) -> Reach {
        let terms = match claim.phase {
            ClaimPhase::Bound => self.volumes.as_ref().map(|volumes| volumes.get(&claim.volume).cloned()),
            ClaimPhase::Pending => self.classes.as_ref().map(|classes| {
                let class = classes.get(&claim.class).filter(|class| class.waits_for_pod)?;
                Some(class.topologies.clone())
            }),
            // Refused by name before anybody asks where.
            ClaimPhase::Lost | ClaimPhase::Leaving => None,
        };
        match terms {
            None => Reach::Anywhere,
            Some(None) => Reach::Unbound,
            Some(Some(terms)) if terms.is_empty() => Reach::Anywhere,
            Some(Some(terms)) => Reach::Nodes(terms),
        }
    }
}
