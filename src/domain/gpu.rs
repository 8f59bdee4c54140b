//! Kinds of GPU: what a user picks, and how one node offers them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::selector::{NodeSelectorTerm, Requirement};

/// GPU resources that a pod without a GPU must not name, beside those seen in the cluster.
pub const KNOWN_RESOURCES: [&str; 7] = [
    "nvidia.com/gpu",
    "nvidia.com/gpu.shared",
    "amd.com/gpu",
    "gpu.intel.com/i915",
    "gpu.intel.com/xe",
    "habana.ai/gaudi",
    "habana.ai/goya",
];

/// Whether a resource is a GPU or a part of one by its very name, whatever the nodes of the moment offer.
pub fn is_gpu_name(resource: &str) -> bool {
    let slice = resource.starts_with("nvidia.com/mig-");
    let partition = resource.starts_with("amd.com/") && resource.contains("_nps");
    KNOWN_RESOURCES.contains(&resource) || slice || partition
}

/// Whether the cards behind a resource can be cut into other slices: NVIDIA's, under whatever name.
pub fn can_be_cut_up(resource: &str) -> bool {
    resource.starts_with("nvidia.com/")
}

/// NVIDIA's own label of the product. Where the slices of a node make no layout, its value says that and no product.
pub const NVIDIA_PRODUCT: &str = "nvidia.com/gpu.product";
/// The label of a node whose cards are cut into other slices, and its values until that is done. Under each of them the
/// device plugin may still advertise what will be gone in a moment.
pub const MIG_STATE: &str = "nvidia.com/mig.config.state";
pub const MIG_IN_FLUX: [&str; 3] = ["pending", "rebooting", "failed"];

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

/// The product of a resource that covers cards of several models: nobody can say which of them a pod gets.
pub const MIXED: &str = "mixed";

/// A kind of GPU. Nodes that offer the same thing under the same resource name have the same kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Stable and safe for forms, such as `nvidia-a100-sxm4-80gb` or `tesla-t4.shared-4`. It begins with the vendor unless
    /// the vendor's own label names the product without it, as NVIDIA's does for a Tesla.
    pub id: String,
    /// `nvidia`, `amd`, `intel`, `habana`, or what a rule of the catalogue says.
    pub vendor: Arc<str>,
    /// The product's own name, without the suffixes that sharing adds to the label; [`MIXED`] where a node has several.
    pub product: String,
    /// Of one unit: a card, a slice, or a part of one under MPS. As the label says it.
    pub memory_mib: Option<u64>,
    pub sharing: Sharing,
    /// The slice, such as `1g.10gb`, or AMD's partition, such as `cpx_nps4`; it may be shared in turn.
    pub mig_profile: Option<String>,
    /// Shares of one card or slice; 1 unless shared.
    pub replicas: u64,
    /// The name pods request.
    pub resource: Arc<str>,
}

impl Kind {
    /// The name for people: `NVIDIA A100 80 GB`, `Tesla T4 15 GB, shared by 4`, `AMD Instinct MI300X 192 GB`.
    ///
    /// Form factors are left out, and the size that the product itself names wins over the label, which says a little
    /// less than the box.
    pub fn display_name(&self) -> String {
        let (mut words, mut size) = self.product_words();
        if self.mig_profile.is_some() || self.sharing == Sharing::Mps {
            size = None; // the product names the whole card's memory
        }
        words.extend(size.or_else(|| self.memory_mib.map(|mib| format!("{} GB", mib.saturating_add(512) / 1024))));
        let mut name = words.join(" ");
        match &self.mig_profile {
            Some(profile) if *self.vendor == *"nvidia" => name.push_str(&format!(", MIG slice {profile}")),
            Some(partition) => name.push_str(&format!(", partition {}", partition.to_uppercase().replace('_', "/"))),
            None => {}
        }
        match (self.sharing, self.replicas) {
            (Sharing::Exclusive | Sharing::Mig, _) => name,
            (Sharing::TimeSliced, 1) => format!("{name}, shared"),
            (Sharing::TimeSliced, shares) => format!("{name}, shared by {shares}"),
            (Sharing::Mps, 1) => format!("{name}, shared (MPS)"),
            (Sharing::Mps, shares) => format!("{name}, shared by {shares} (MPS)"),
        }
    }

    /// The words of the product's name, vendor first, and the memory that it names.
    fn product_words(&self) -> (Vec<String>, Option<String>) {
        let vendor = match self.vendor.as_ref() {
            "nvidia" => "NVIDIA",
            "amd" => "AMD",
            "intel" => "Intel",
            "habana" => "Habana",
            other => other,
        };
        if self.product == MIXED {
            return (vec![vendor.to_owned(), "GPUs of several models".to_owned()], None);
        }
        let (mut words, mut size) = (Vec::new(), None);
        let named = self.product.to_ascii_lowercase().contains(self.vendor.as_ref());
        if self.id.starts_with(self.vendor.as_ref()) && !named {
            words.push(vendor.to_owned());
        }
        for word in self.product.split(['-', ' ', '_']).filter(|word| !word.is_empty()) {
            let upper = word.to_ascii_uppercase();
            if let Some(gigabytes) = upper.strip_suffix("GB").filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())) {
                size = Some(format!("{gigabytes} GB"));
            } else if !["SXM", "PCIE", "HBM", "NVL"].iter().any(|form| upper.starts_with(form)) {
                words.push(word.to_owned());
            }
        }
        (words, size)
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
    /// Units that the labels promise, where they say how many.
    pub promised: Option<u64>,
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
            vendor: "nvidia".into(),
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
            (kind("NVIDIA-A100-SXM4-80GB", 20480, Sharing::Mps, "a.mps-4"), "NVIDIA A100 20 GB, shared by 4 (MPS)"),
            (kind("NVIDIA-L4", 23034, Sharing::Exclusive, "l4"), "NVIDIA L4 22 GB"),
        ] {
            assert_eq!(kind.display_name(), expected);
        }
    }

    #[test]
    fn the_vendor_is_named_where_the_product_does_not_name_it() {
        let of = |vendor: &str, id: &str, product: &str, partition: Option<&str>, memory_mib: Option<u64>| Kind {
            vendor: vendor.into(),
            mig_profile: partition.map(str::to_owned),
            memory_mib,
            ..kind(product, 1, Sharing::Exclusive, id)
        };
        for (kind, expected) in [
            (of("amd", "amd-instinct-mi300x", "Instinct_MI300X", None, Some(196_608)), "AMD Instinct MI300X 192 GB"),
            (
                of("amd", "amd-instinct-mi300x.cpx-nps4", "Instinct_MI300X", Some("cpx_nps4"), Some(24_576)),
                "AMD Instinct MI300X 24 GB, partition CPX/NPS4",
            ),
            (of("intel", "intel-max-1550", "Max_1550", None, None), "Intel Max 1550"),
            (of("nvidia", "nvidia-gpu", "GPU", None, None), "NVIDIA GPU"),
            (of("nvidia", "tesla-t4", "Tesla-T4", None, None), "Tesla T4"),
            (of("amd", "amd-mixed", MIXED, None, None), "AMD GPUs of several models"),
            (of("example", "example.org-accel", "accel", None, None), "example accel"),
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
            promised: None,
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
