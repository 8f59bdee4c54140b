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

/// Labels of a volume that confine it, by which volumes told their zone before node affinity did. Several zones are
/// joined by two underscores. Source: the scheduler's VolumeZone plugin.
const ZONE_LABELS: [&str; 4] = [
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
];

pub fn volume(volume: objects::Volume) -> Decoded<VolumeFacts> {
    let zones = ZONE_LABELS.iter().filter_map(|key| {
        let zones = volume.metadata.labels.get(*key)?.split("__").map(str::to_owned).collect();
        Some(Requirement::is_in(key, zones))
    });
    let zones = NodeSelectorTerm { match_expressions: zones.collect(), ..NodeSelectorTerm::default() };
    let zones: Vec<_> = Some(zones).filter(|term| *term != NodeSelectorTerm::default()).into_iter().collect();
    let terms = multiply_terms(&volume.spec.node_affinity.required.node_selector_terms, &zones);
    Decoded { key: volume.metadata.name, fact: Some(terms) }
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

    fn reach(&self, claim: &ClaimFacts) -> Reach {
        let terms = match claim.phase {
            ClaimPhase::Bound => self.volumes.as_ref().and_then(|volumes| volumes.get(&claim.volume)).cloned(),
            // Without a class an administrator binds it, or nobody does.
            ClaimPhase::Pending => match self.classes.as_ref().and_then(|classes| classes.get(&claim.class)) {
                Some(class) if class.waits_for_pod => Some(class.topologies.clone()),
                Some(_) => return Reach::Unbound,
                None => None,
            },
            ClaimPhase::Lost | ClaimPhase::Leaving => None,
        };
        terms.filter(|terms| !terms.is_empty()).map_or(Reach::Anywhere, Reach::Nodes)
    }
}
