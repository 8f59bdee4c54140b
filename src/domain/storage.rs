//! Storage claims, and on which nodes their volumes can be used.
//!
//! Source: the scheduler's VolumeBinding and VolumeZone plugins, `pkg/scheduler/framework/plugins`.

use std::collections::BTreeMap;
use std::sync::Arc;

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
    /// On this node only until the claim is bound: the scheduler has asked for its volume there.
    Selected(Arc<str>),
}

impl Reach {
    /// Whether a pod on this node can use the volume.
    pub fn includes(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Anywhere => true,
            Self::Nodes(terms) => terms.iter().any(|term| term.matches(name, labels)),
            Self::Unbound => false,
            Self::Selected(node) => **node == *name,
        }
    }

    /// Whether the claim has yet to be bound, after which it may be used on more nodes than now.
    pub fn waits(&self) -> bool {
        matches!(self, Self::Unbound | Self::Selected(_))
    }

    /// Whether a node that is not there yet could use the volume, by the labels that are known of it. The autoscaler knows
    /// in which zone it will be; a label of a place that is not among them may turn out to be any.
    pub fn may_include(&self, labels: &BTreeMap<String, String>) -> bool {
        let Self::Nodes(terms) = self else { return true };
        terms.iter().any(|term| {
            let mut known = term.clone();
            known.match_expressions.retain(|requirement| labels.contains_key(&requirement.key) || !is_place(&requirement.key));
            (known.is_empty() && !term.is_empty()) || known.matches("", labels)
        })
    }
}

/// Whether a label says where a node is, as `topology.kubernetes.io/zone` and those of the storage drivers do. One that
/// names the node itself is none: a new node has a new name.
fn is_place(key: &str) -> bool {
    ["zone", "region"].iter().any(|place| key.ends_with(place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::selector::Requirement;

    #[test]
    fn only_places_of_a_node_to_come_are_unknown() {
        let labels = BTreeMap::from([("topology.kubernetes.io/region".to_owned(), "north".to_owned())]);
        let is_in = |key: &str| Requirement::is_in(key, vec!["a".to_owned()]);
        let zone = || is_in("topology.gke.io/zone");
        for (requirements, expected) in [
            (vec![zone()], true),
            (vec![is_in("topology.csi.vmware.com/k8s-zone")], true),
            (vec![is_in("kubernetes.io/hostname")], false),
            (vec![zone(), is_in("kubernetes.io/hostname")], false),
            (vec![is_in("topology.hostpath.csi/node")], false),
            (vec![zone(), is_in("topology.kubernetes.io/region")], false),
            (vec![zone(), Requirement::is_in("topology.kubernetes.io/region", vec!["north".to_owned()])], true),
            (vec![], false),
        ] {
            let term = NodeSelectorTerm { match_expressions: requirements, ..NodeSelectorTerm::default() };
            assert_eq!(Reach::Nodes(vec![term.clone()]).may_include(&labels), expected, "{term:?}");
        }
        let named = NodeSelectorTerm { match_expressions: vec![zone()], ..NodeSelectorTerm::node("gpu-a") };
        assert!(!Reach::Nodes(vec![named]).may_include(&labels), "a new node has another name");
    }
}
