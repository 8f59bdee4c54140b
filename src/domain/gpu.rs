//! Kinds of GPU: what a user picks, and how one node offers them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::selector::{NodeSelectorTerm, Requirement};

/// GPU resources that a pod without a GPU must not name, beside those seen in the cluster.
pub const KNOWN_RESOURCES: [&str; 6] =
    ["nvidia.com/gpu", "nvidia.com/gpu.shared", "amd.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe", "habana.ai/gaudi"];

/// How one GPU is given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// A whole card for one pod.
    Exclusive,
    /// A hardware slice with memory of its own.
    Mig,
    /// Several pods take turns on one card; memory is not isolated.
    TimeSliced,
    /// Several pods at once on one card, memory and compute split.
    Mps,
}

impl Sharing {
    pub fn name(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Mig => "mig",
            Self::TimeSliced => "time-sliced",
            Self::Mps => "mps",
        }
    }

    /// What it means for who gets one, in a sentence without its full stop.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Exclusive => "A whole GPU for one server",
            Self::Mig => "A slice of a GPU, with memory of its own",
            Self::TimeSliced => "Shared with others, memory is not isolated",
            Self::Mps => "Shared with others, each with a part of the memory; a fault of one can stop all",
        }
    }

    /// Two shares may be the same card, and the device plugin may refuse a second one: more than one is never offered.
    pub fn is_share(self) -> bool {
        matches!(self, Self::TimeSliced | Self::Mps)
    }
}

/// A kind of GPU. Nodes that offer the same thing under the same resource name have the same kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Stable and safe for forms, such as `nvidia-a100-sxm4-80gb` or `tesla-t4.shared-4`.
    pub id: String,
    /// `nvidia`, later `amd`, `intel`, `habana`.
    pub vendor: &'static str,
    /// The product's own name, without the suffixes that sharing adds to the label.
    pub product: String,
    /// Of one unit (card or slice), as the label says it.
    pub memory_mib: Option<u64>,
    pub sharing: Sharing,
    /// The slice, such as `1g.10gb`; it may be shared in turn.
    pub mig_profile: Option<String>,
    /// Shares of one card or slice; 1 unless shared.
    pub replicas: u64,
    /// The name pods request.
    pub resource: Arc<str>,
}

impl Kind {
    /// The name for people: `NVIDIA A100 80 GB`, `Tesla T4 15 GB, shared by 4`.
    ///
    /// Form factors are left out, and the size that the product itself names wins over the label, which says a little
    /// less than the box.
    pub fn display_name(&self) -> String {
        let mut words = Vec::new();
        let mut size = None;
        for word in self.product.split(['-', ' ', '_']).filter(|word| !word.is_empty()) {
            let upper = word.to_ascii_uppercase();
            if let Some(gigabytes) = upper.strip_suffix("GB").filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) {
                size = Some(format!("{gigabytes} GB"));
            } else if !["SXM", "PCIE", "HBM", "NVL"].iter().any(|form| upper.starts_with(form)) {
                words.push(word.to_owned());
            }
        }
        if self.mig_profile.is_some() {
            size = None; // the product names the whole card's memory
        }
        words.extend(size.or_else(|| self.memory_mib.map(|mib| format!("{} GB", mib.saturating_add(512) / 1024))));
        let mut name = words.join(" ");
        if let Some(profile) = &self.mig_profile {
            name.push_str(&format!(", MIG slice {profile}"));
        }
        match self.sharing {
            Sharing::Exclusive | Sharing::Mig => name,
            Sharing::TimeSliced => format!("{name}, shared by {}", self.replicas),
            Sharing::Mps => format!("{name}, shared by {} (MPS)", self.replicas),
        }
    }
}

/// The vendor of a resource by the domain in its name.
pub fn vendor_of(resource: &str) -> &'static str {
    match resource.split('/').next().unwrap_or_default() {
        "amd.com" => "amd",
        "gpu.intel.com" => "intel",
        "habana.ai" => "habana",
        _ => "nvidia",
    }
}

/// What one node offers of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuPool {
    pub kind: Arc<Kind>,
    /// Healthy and unhealthy units.
    pub capacity: u64,
    /// Healthy units.
    pub allocatable: u64,
    /// Cards behind the units.
    pub physical: u64,
    /// The labels promise GPUs, but the node advertises none: driver or device plugin are still starting, or broken.
    pub starting: bool,
    /// The labels that single this kind out, such as `nvidia.com/gpu.product=Tesla-T4-SHARED`. Empty where a node has
    /// no label to go by; then only its name does.
    pub labels: BTreeMap<String, String>,
}

/// The alternatives that together select the given pools' nodes: one term per set of labels, values of one label
/// gathered in one `In`, and names for nodes without labels.
pub fn selecting_terms<'a>(pools: impl Iterator<Item = (&'a str, &'a GpuPool)>) -> Vec<NodeSelectorTerm> {
    let mut single: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut terms = BTreeSet::new();
    for (node, pool) in pools {
        let mut labels = pool.labels.iter();
        match (labels.next(), labels.next()) {
            (None, _) => {
                terms.insert(NodeSelectorTerm::node(node));
            }
            (Some((key, value)), None) => {
                single.entry(key).or_default().insert(value.clone());
            }
            _ => {
                let match_expressions =
                    pool.labels.iter().map(|(key, value)| Requirement::is_in(key, vec![value.clone()])).collect();
                terms.insert(NodeSelectorTerm { match_expressions, ..NodeSelectorTerm::default() });
            }
        }
    }
    let gathered = single.into_iter().map(|(key, values)| NodeSelectorTerm {
        match_expressions: vec![Requirement::is_in(key, values.into_iter().collect())],
        ..NodeSelectorTerm::default()
    });
    gathered.chain(terms).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(product: &str, memory_mib: u64, sharing: Sharing, id: &str) -> Kind {
        Kind {
            id: id.to_owned(),
            vendor: "nvidia",
            product: product.to_owned(),
            memory_mib: Some(memory_mib),
            sharing,
            mig_profile: id.split_once(".mig-").map(|(_, profile)| profile.to_owned()),
            replicas: 4,
            resource: "nvidia.com/gpu".into(),
        }
    }

    #[test]
    fn names_are_for_people() {
        for (kind, expected) in [
            (kind("NVIDIA-A100-SXM4-80GB", 81920, Sharing::Exclusive, "a"), "NVIDIA A100 80 GB"),
            (kind("NVIDIA-A100-SXM4-40GB", 40536, Sharing::Exclusive, "a"), "NVIDIA A100 40 GB"),
            (kind("Tesla-T4", 15360, Sharing::TimeSliced, "tesla-t4.shared-4"), "Tesla T4 15 GB, shared by 4"),
            (kind("NVIDIA-A100-SXM4-80GB", 9728, Sharing::Mig, "x.mig-1g.10gb"), "NVIDIA A100 10 GB, MIG slice 1g.10gb"),
            (
                kind("NVIDIA-A100-SXM4-80GB", 9728, Sharing::TimeSliced, "x.mig-1g.10gb"),
                "NVIDIA A100 10 GB, MIG slice 1g.10gb, shared by 4",
            ),
            (kind("NVIDIA-L4", 23034, Sharing::Exclusive, "l4"), "NVIDIA L4 22 GB"),
        ] {
            assert_eq!(kind.display_name(), expected);
        }
    }

    #[test]
    fn pools_of_one_label_share_a_term() {
        let pool = |value: &str, replicas: Option<&str>| GpuPool {
            kind: Arc::new(kind("p", 1, Sharing::Exclusive, "p")),
            capacity: 1,
            allocatable: 1,
            physical: 1,
            starting: false,
            labels: [("product".to_owned(), value.to_owned())]
                .into_iter()
                .chain(replicas.map(|r| ("replicas".to_owned(), r.to_owned())))
                .collect(),
        };
        let pools = [pool("A", None), pool("B", None), pool("C", Some("4"))];
        let terms = selecting_terms(pools.iter().map(|p| ("n", p)));
        assert_eq!(terms.len(), 2);
        assert_eq!(
            terms.first().map(|t| t.match_expressions.clone()),
            Some(vec![Requirement::is_in("product", vec!["A".into(), "B".into()])])
        );
    }
}
