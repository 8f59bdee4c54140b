//! Storage claims, and on which nodes their volumes can be used.
//!
//! Source: the scheduler's VolumeBinding and VolumeZone plugins, `pkg/scheduler/framework/plugins`.

use std::collections::BTreeMap;

use super::selector::NodeSelectorTerm;

/// A claim of the hub's namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub phase: ClaimPhase,
    pub reach: Reach,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimPhase {
    Bound,
    Pending,
    Lost,
    /// Being deleted: no new pod may use it.
    Leaving,
}

/// Where a claim's volume can be mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everywhere, or nobody knows better.
    Anywhere,
    /// On the nodes that one of the terms selects.
    Nodes(Vec<NodeSelectorTerm>),
    /// Nowhere until the claim is bound, which its storage class does not leave to the first pod.
    Unbound,
}

impl Reach {
    /// Whether a pod on this node can use the volume.
    pub fn includes(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Nodes(terms) => terms.iter().any(|term| term.matches(name, labels)),
            Self::Unbound => false,
        }
    }
}
