//! Claims, the volumes behind them and the classes that make such volumes: where a claim can be used.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::facts::{Decoded, key};
use super::objects::{self, Amounts, StorageClass};
use crate::domain::quantity::Quantity;
use crate::domain::selector::{NodeSelectorTerm, Requirement, multiply_terms};
use crate::domain::storage::{Claim, ClaimPhase, Reach};

/// What a claim's object says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimFacts {
    pub phase: ClaimPhase,
    /// Name of the volume; empty until it is bound, unless somebody has chosen one.
    volume: String,
    /// The node for which the scheduler has asked for a volume.
    selected: Option<Arc<str>>,
    /// What it must be.
    wants: Space,
    /// Namespace and name.
    id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeFacts {
    /// On which nodes it can be mounted; none: on all.
    terms: Vec<NodeSelectorTerm>,
    /// What it has for a claim that is not bound yet; `None` unless it is free.
    offer: Option<Offer>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Offer {
    space: Space,
    /// The one claim that it is kept for, namespace and name.
    kept_for: Option<String>,
}

/// What a claim asks for, or what a volume has.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Space {
    class: String,
    size: Quantity,
    access_modes: Vec<String>,
    block: bool,
}

impl Space {
    fn new(class: String, amounts: &Amounts, access_modes: Vec<String>, mode: &str) -> Self {
        let size = amounts.get("storage").and_then(|text| text.0.parse().ok()).unwrap_or(Quantity::ZERO);
        Self { class, size, access_modes, block: mode == "Block" }
    }

    /// Whether a claim can have this. Selectors of claims are left aside.
    /// Source: `component-helpers/storage/volume/pv_helpers.go`, FindMatchingVolume.
    fn serves(&self, claim: &Self) -> bool {
        let allows = |mode| self.access_modes.contains(mode);
        self.class == claim.class
            && self.block == claim.block
            && self.size.millis() >= claim.size.millis()
            && claim.access_modes.iter().all(allows)
    }
}

/// What a class says of volumes that are not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassFacts {
    waits_for_pod: bool,
    /// Somebody makes volumes by hand, and no more come.
    by_hand: bool,
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
    let spec = claim.spec;
    let wants = Space::new(spec.storage_class_name, &spec.resources.requests, spec.access_modes, &spec.volume_mode);
    let selected = claim.metadata.annotations.selected_node.map(Arc::from);
    let fact = ClaimFacts { phase, volume: spec.volume_name, selected, wants, id: key.clone() };
    Decoded { key, fact: Some(fact) }
}

/// Labels by which volumes told where they are before node affinity did; the old name and the new.
const ZONES: [(&str, &str); 2] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
];

pub fn volume(volume: objects::Volume) -> Decoded<VolumeFacts> {
    let spec = volume.spec;
    let mut terms = spec.node_affinity.required.node_selector_terms;
    for (old, new) in ZONES {
        for key in [old, new] {
            if let Some(value) = volume.metadata.labels.get(key) {
                terms = multiply_terms(&terms, &places(key, new, value));
            }
        }
    }
    let bound = spec.claim_ref.as_ref().is_some_and(|claim| claim.uid.is_some());
    let free = volume.status.phase == "Available" && !bound && volume.metadata.deletion_timestamp.is_none();
    let offer = free.then(|| Offer {
        space: Space::new(spec.storage_class_name, &spec.capacity, spec.access_modes, &spec.volume_mode),
        kept_for: spec.claim_ref.map(|claim| format!("{}/{}", claim.namespace, claim.name)),
    });
    Decoded { key: volume.metadata.name, fact: Some(VolumeFacts { terms, offer }) }
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
    let fact = ClassFacts {
        waits_for_pod: class.volume_binding_mode == "WaitForFirstConsumer",
        by_hand: class.provisioner == "kubernetes.io/no-provisioner",
        topologies: topologies.collect(),
    };
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

    /// The scheduler takes no pod with a claim that is not bound, unless the class says that it waits for that pod; and then to
    /// no other node than the one for which it has asked for a volume already.
    /// Source: FindPodVolumes of `volumebinding/binder.go`.
    fn reach(&self, claim: &ClaimFacts) -> Reach {
        if let (ClaimPhase::Pending, Some(node)) = (claim.phase, &claim.selected)
            && claim.volume.is_empty()
        {
            return Reach::Selected(node.clone());
        }
        let terms = match claim.phase {
            ClaimPhase::Bound => {
                self.volumes.as_ref().map(|volumes| volumes.get(&claim.volume).map(|volume| volume.terms.clone()))
            }
            // Whoever has chosen its volume has it bound without a pod.
            ClaimPhase::Pending if !claim.volume.is_empty() => Some(None),
            ClaimPhase::Pending => self.classes.as_ref().map(|classes| {
                let class = classes.get(&claim.wants.class).filter(|class| class.waits_for_pod)?;
                self.places_to_be(class, claim)
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

    /// Where a volume for a claim is or can be made, in alternatives, of which none means everywhere; `None` for nowhere.
    fn places_to_be(&self, class: &ClassFacts, claim: &ClaimFacts) -> Option<Vec<NodeSelectorTerm>> {
        let nobody_knows = class.by_hand && self.volumes.is_none();
        if nobody_knows || (!class.by_hand && class.topologies.is_empty()) {
            return Some(Vec::new());
        }
        let mut places = if class.by_hand { Vec::new() } else { class.topologies.clone() };
        for volume in self.volumes_for(claim) {
            if volume.terms.is_empty() {
                return Some(Vec::new());
            }
            places.extend(volume.terms.iter().cloned());
        }
        (!places.is_empty()).then_some(places)
    }

    /// The free volumes that a claim can have. One that is kept for it rules all others out.
    fn volumes_for(&self, claim: &ClaimFacts) -> Vec<&VolumeFacts> {
        let volumes = self.volumes.iter().flat_map(BTreeMap::values);
        let fits = |kept: bool| {
            move |volume: &&VolumeFacts| {
                volume.offer.as_ref().is_some_and(|offer| {
                    let ours = if kept { offer.kept_for.as_ref() == Some(&claim.id) } else { offer.kept_for.is_none() };
                    ours && offer.space.serves(&claim.wants)
                })
            }
        };
        let kept: Vec<_> = volumes.clone().filter(fits(true)).collect();
        if kept.is_empty() { volumes.filter(fits(false)).collect() } else { kept }
    }
}
