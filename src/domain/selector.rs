//! Which nodes a pod may land on by label, by name and by taint: the scheduler's NodeAffinity and TaintToleration
//! filters, and the shapes they read.
//!
//! Source: `component-helpers/scheduling/corev1` (`nodeaffinity`, `helpers.go`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::lenient::null_is_default;

/// One requirement on a label or, in `matchFields`, on `metadata.name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Requirement {
    pub key: String,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt` or `Lt`; anything else matches nothing.
    pub operator: String,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

impl Requirement {
    pub fn is_in(key: &str, values: Vec<String>) -> Self {
        Self { key: key.to_owned(), operator: "In".to_owned(), values }
    }

    pub fn not_in(key: &str, values: Vec<String>) -> Self {
        Self { key: key.to_owned(), operator: "NotIn".to_owned(), values }
    }

    pub fn absent(key: &str) -> Self {
        Self { key: key.to_owned(), operator: "DoesNotExist".to_owned(), values: Vec::new() }
    }

    fn matches(&self, value: Option<&str>) -> bool {
        let listed = |value: &str| self.values.iter().any(|v| v == value);
        match self.operator.as_str() {
            "In" => value.is_some_and(listed),
            "NotIn" => !value.is_some_and(listed),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "Gt" => self.compare(value).is_some_and(|(have, bound)| have > bound),
            "Lt" => self.compare(value).is_some_and(|(have, bound)| have < bound),
            _ => false,
        }
    }

    fn compare(&self, value: Option<&str>) -> Option<(i64, i64)> {
        let bound = self.values.first()?.parse().ok()?;
        Some((value?.parse().ok()?, bound))
    }
}

/// A term of node affinity: all its requirements together. Terms beside each other are alternatives.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeSelectorTerm {
    #[serde(
        default,
        rename = "matchExpressions",
        alias = "match_expressions",
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub match_expressions: Vec<Requirement>,
    #[serde(
        default,
        rename = "matchFields",
        alias = "match_fields",
        deserialize_with = "null_is_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub match_fields: Vec<Requirement>,
}

impl NodeSelectorTerm {
    /// The term that only the node of this name meets. The name is a field: the hostname label may differ from it.
    pub fn node(name: &str) -> Self {
        Self { match_fields: vec![Requirement::is_in("metadata.name", vec![name.to_owned()])], ..Self::default() }
    }

    /// Whether a node meets the whole term. An empty term meets nothing, as in the scheduler.
    pub fn matches(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        if self.is_empty() {
            return false;
        }
        let by_label = |r: &Requirement| r.matches(labels.get(&r.key).map(String::as_str));
        let by_field = |r: &Requirement| r.key == "metadata.name" && r.matches(Some(name));
        self.match_expressions.iter().all(by_label) && self.match_fields.iter().all(by_field)
    }

    pub fn is_empty(&self) -> bool {
        self.match_expressions.is_empty() && self.match_fields.is_empty()
    }

    /// Both terms together: what is inside one term is ANDed. An empty term meets nothing, and so does it with another.
    pub fn and(&self, other: &Self) -> Self {
        if self.is_empty() || other.is_empty() {
            return Self::default();
        }
        let mut both = self.clone();
        both.match_expressions.extend(other.match_expressions.iter().cloned());
        both.match_fields.extend(other.match_fields.iter().cloned());
        both
    }
}

/// Alternatives of `left` and alternatives of `right`, both required: each with each. An empty list asks for nothing.
pub fn multiply_terms(left: &[NodeSelectorTerm], right: &[NodeSelectorTerm]) -> Vec<NodeSelectorTerm> {
    if left.is_empty() || right.is_empty() {
        return [left, right].concat();
    }
    left.iter().flat_map(|l| right.iter().map(|r| l.and(r))).collect()
}

/// A taint of a node. The effect is `NoSchedule`, `NoExecute` or `PreferNoSchedule`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Taint {
    pub key: String,
    #[serde(default)]
    pub value: Option<String>,
    pub effect: String,
}

impl Taint {
    /// `PreferNoSchedule` only lowers a node's score.
    pub fn repels(&self) -> bool {
        self.effect != "PreferNoSchedule"
    }

    /// Goes by itself when the node has started or recovered; others stay until somebody decides.
    pub fn passes(&self) -> bool {
        let key = self.key.as_str();
        PASSING.iter().any(|start| key.starts_with(start)) || key.ends_with(AGENT) || NEW.contains(&key)
    }

    /// An autoscaler is taking the node away.
    pub fn takes_away(&self) -> bool {
        self.repels() && GOING.contains(&self.key.as_str())
    }
}

/// How the keys of taints begin that the system and the cluster autoscaler's users put on nodes for a while.
/// Source: the cluster autoscaler's FAQ, "Startup taints".
const PASSING: [&str; 3] =
    ["node.kubernetes.io/", "node.cloudprovider.kubernetes.io/", "startup-taint.cluster-autoscaler.kubernetes.io/"];
/// How the keys end that an agent on the node takes off once it runs, such as Cilium's or the EBS driver's.
const AGENT: &str = "/agent-not-ready";
/// On nodes that Karpenter and Cluster API have made, until these have looked at them.
const NEW: [&str; 2] = ["karpenter.sh/unregistered", "node.cluster.x-k8s.io/uninitialized"];
/// The cluster autoscaler's, and Karpenter's before and since its version 1.
/// Source: `kubernetes-sigs/aws-ebs-csi-driver`, which treats the same three as the end of a node.
const GOING: [&str; 3] = ["ToBeDeletedByClusterAutoscaler", "karpenter.sh/disruption", "karpenter.sh/disrupted"];

/// A toleration of a pod. No key with `Exists` tolerates every taint; no effect means all effects.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Toleration {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// `Exists` or `Equal`; absent means `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    #[serde(default, rename = "tolerationSeconds", alias = "toleration_seconds", skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}

impl Toleration {
    pub fn tolerates(&self, taint: &Taint) -> bool {
        fn text(option: &Option<String>) -> &str {
            option.as_deref().unwrap_or("")
        }
        let effect = text(&self.effect);
        if !effect.is_empty() && effect != taint.effect {
            return false;
        }
        let key = text(&self.key);
        match text(&self.operator) {
            "Exists" => key.is_empty() || key == taint.key,
            "" | "Equal" => key == taint.key && text(&self.value) == text(&taint.value),
            _ => false,
        }
    }
}

/// Everything a pod says about the nodes it accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeRequirements {
    /// Labels that must be equal, ANDed with the terms.
    pub node_selector: BTreeMap<String, String>,
    /// Alternatives; none means any node.
    pub terms: Vec<NodeSelectorTerm>,
    pub tolerations: Vec<Toleration>,
}

impl NodeRequirements {
    /// Whether the node's name and labels are acceptable, taints left aside.
    pub fn select(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
            && (self.terms.is_empty() || self.terms.iter().any(|term| term.matches(name, labels)))
    }

    /// The first taint that keeps the pod away.
    pub fn untolerated<'a>(&self, taints: impl IntoIterator<Item = &'a Taint>) -> Option<&'a Taint> {
        taints.into_iter().find(|taint| taint.repels() && !self.tolerations.iter().any(|t| t.tolerates(taint)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn requirement(key: &str, operator: &str, values: &[&str]) -> Requirement {
        Requirement {
            key: key.to_owned(),
            operator: operator.to_owned(),
            values: values.iter().map(|v| (*v).to_owned()).collect(),
        }
    }

    #[test]
    fn operators_agree_with_the_scheduler() {
        let have = labels(&[("zone", "a"), ("cores", "8")]);
        for (key, operator, values, expected) in [
            ("zone", "In", vec!["a", "b"], true),
            ("zone", "In", vec!["b"], false),
            ("none", "In", vec!["a"], false),
            ("zone", "NotIn", vec!["b"], true),
            ("none", "NotIn", vec!["a"], true),
            ("zone", "Exists", vec![], true),
            ("none", "Exists", vec![], false),
            ("none", "DoesNotExist", vec![], true),
            ("cores", "Gt", vec!["4"], true),
            ("cores", "Gt", vec!["8"], false),
            ("cores", "Lt", vec!["9"], true),
            ("zone", "Gt", vec!["4"], false),
            ("zone", "Near", vec!["a"], false),
        ] {
            let term = NodeSelectorTerm { match_expressions: vec![requirement(key, operator, &values)], ..Default::default() };
            assert_eq!(term.matches("n", &have), expected, "{key} {operator} {values:?}");
        }
    }

    #[test]
    fn an_empty_term_matches_nothing_and_no_term_matches_all() {
        assert!(!NodeSelectorTerm::default().matches("n", &labels(&[])));
        assert!(NodeRequirements::default().select("n", &labels(&[])));
    }

    #[test]
    fn a_pin_goes_by_name_not_by_hostname_label() {
        let pin = NodeSelectorTerm::node("gpu-a");
        assert!(pin.matches("gpu-a", &labels(&[("kubernetes.io/hostname", "other")])));
        assert!(!pin.matches("gpu-b", &labels(&[("kubernetes.io/hostname", "gpu-a")])));
    }

    #[test]
    fn terms_of_two_sides_multiply_out() {
        let term = |key: &str| NodeSelectorTerm { match_expressions: vec![Requirement::absent(key)], ..Default::default() };
        let product = multiply_terms(&[term("a"), term("b")], &[term("c"), term("d")]);
        assert_eq!(product.len(), 4);
        assert_eq!(product.first(), Some(&term("a").and(&term("c"))));
        assert_eq!(multiply_terms(&[], &[term("c")]), vec![term("c")]);
        let nothing = NodeSelectorTerm::default();
        assert_eq!(multiply_terms(std::slice::from_ref(&nothing), &[term("c")]), vec![nothing], "still meets no node");
    }

    #[test]
    fn tolerations_agree_with_the_scheduler() {
        let taint = Taint { key: "nvidia.com/gpu".into(), value: Some("present".into()), effect: "NoSchedule".into() };
        let toleration = |key: Option<&str>, operator: Option<&str>, value: Option<&str>, effect: Option<&str>| Toleration {
            key: key.map(Into::into),
            operator: operator.map(Into::into),
            value: value.map(Into::into),
            effect: effect.map(Into::into),
            toleration_seconds: None,
        };
        for (candidate, expected) in [
            (toleration(Some("nvidia.com/gpu"), Some("Exists"), None, None), true),
            (toleration(None, Some("Exists"), None, None), true),
            (toleration(Some("nvidia.com/gpu"), None, Some("present"), Some("NoSchedule")), true),
            (toleration(Some("nvidia.com/gpu"), None, None, None), false),
            (toleration(Some("nvidia.com/gpu"), Some("Exists"), None, Some("NoExecute")), false),
            (toleration(Some("other"), Some("Exists"), None, None), false),
            (toleration(None, None, None, None), false),
        ] {
            assert_eq!(candidate.tolerates(&taint), expected, "{candidate:?}");
        }
    }
}
