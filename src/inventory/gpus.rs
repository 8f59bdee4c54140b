//! What GPUs one node offers: each resource is read by the first that knows it, a rule of the catalogue or a vendor's
//! module, and becomes a pool of one kind.
//!
//! Labels only name things; numbers come from capacity and allocatable. A kind is one resource name: pods ask for it by
//! that. So each vendor has one plain resource, and the ids of kinds under any other name end in a word of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{amd, gaudi, intel, nvidia, rules};
use crate::domain::gpu::{GpuPool, Kind, Sharing};
use crate::domain::node::NodeFacts;
use crate::domain::resources::Resources;

/// Labels that name a product where the vendor's own do not, in order of preference.
const OTHERS_PRODUCTS: [&str; 6] = [
    "cloud.google.com/gke-accelerator",
    "k8s.amazonaws.com/accelerator",
    "kubernetes.azure.com/accelerator",
    "accelerator",
    "karpenter.k8s.aws/instance-gpu-name",
    MACHINE,
];
/// A label of every node of a cloud.
const MACHINE: &str = "node.kubernetes.io/instance-type";
/// In place of the vendor in a product's name.
const OTHERS_VENDOR: &str = "karpenter.k8s.aws/instance-gpu-manufacturer";
const OTHERS_COUNT: &str = "karpenter.k8s.aws/instance-gpu-count";
/// In MiB, of one GPU.
const OTHERS_MEMORY: &str = "karpenter.k8s.aws/instance-gpu-memory";
/// Values of those labels that name no product: Azure only says the vendor, and small distributions put their own name
/// in place of an instance type.
const VAGUE: [&str; 7] = ["nvidia", "amd", "intel", "gpu", "true", "k3s", "rke2"];

/// Words by which an accelerator label names its vendor.
const VENDORS: [&str; 4] = ["nvidia", "amd", "intel", "habana"];

fn names_vendor(value: &str, vendor: &str) -> bool {
    slug(value).strip_prefix(vendor).is_some_and(|rest| rest.starts_with('-'))
}

/// Whether an accelerator label's value is a card of some other vendor.
pub fn names_another(value: &str, vendor: &str) -> bool {
    VENDORS.iter().any(|other| *other != vendor && (value.eq_ignore_ascii_case(other) || names_vendor(value, other)))
}

/// A vendor's module: whether a resource is its to read, and the pool made of it, if it offers any.
type Reader = (fn(&str) -> bool, fn(&Arc<str>, &Offered<'_>) -> Option<GpuPool>);

const READERS: [Reader; 4] =
    [(nvidia::knows, nvidia::pool), (amd::knows, amd::pool), (intel::knows, intel::pool), (gaudi::knows, gaudi::pool)];

/// Reads a node's resources into its pools, and names those that look like GPUs and that nobody knows.
pub fn read(facts: &mut NodeFacts, rules: &rules::Rules) {
    let node = Offered { labels: &facts.labels, capacity: &facts.capacity, allocatable: &facts.allocatable };
    let (mut pools, mut unclassified) = (Vec::new(), Vec::new());
    for resource in node.resources(rules) {
        if let Some(rule) = rules.find(&resource) {
            pools.extend(rules::pool(rule, &resource, &node));
        } else if let Some((_, pool)) = READERS.iter().find(|(knows, _)| knows(&resource)) {
            pools.extend(pool(&resource, &node));
        } else if looks_like_gpu(&resource) {
            unclassified.push(resource);
        }
    }
    facts.pools = pools;
    facts.unclassified = unclassified;
}

/// A node as the readers see it.
pub struct Offered<'a> {
    pub labels: &'a BTreeMap<String, String>,
    pub capacity: &'a BTreeMap<Arc<str>, u64>,
    pub allocatable: &'a Resources,
}

impl<'a> Offered<'a> {
    /// Every extended resource, those that so far only labels promise included.
    fn resources(&self, rules: &rules::Rules) -> BTreeSet<Arc<str>> {
        let advertised = self.capacity.keys().chain(self.allocatable.other.keys()).filter(|name| name.contains('/')).cloned();
        let builtin = nvidia::promised(self).into_iter().chain(amd::promised(self));
        let builtin = builtin.chain(intel::promised(self)).chain(gaudi::promised(self));
        advertised.chain(builtin).chain(rules.promised(self)).collect()
    }

    /// Whether the node offers any resource of one reader.
    pub fn advertises(&self, knows: fn(&str) -> bool) -> bool {
        self.capacity.keys().chain(self.allocatable.other.keys()).any(|resource| knows(resource))
    }

    /// The value of a label, if it has one.
    pub fn label(&self, key: &str) -> Option<&'a str> {
        self.labels.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A label's value as a number above zero.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.label(key)?.parse().ok().filter(|number| *number > 0)
    }

    /// A label that is set, as a pair.
    pub fn pair(&self, key: &str) -> Option<(String, String)> {
        self.label(key).map(|value| (key.to_owned(), value.to_owned()))
    }

    /// Units of a resource, healthy or not. Allocatable is what the kubelet lets pods have: a capacity below it can only
    /// be an edited object.
    pub fn capacity(&self, resource: &str) -> u64 {
        self.capacity.get(resource).copied().unwrap_or(0).max(self.allocatable.other(resource))
    }

    /// The label of the product, key and value: the vendor's own first, then whatever else may name it, unless that names
    /// another vendor's card.
    pub fn product<'k>(&self, vendor: &str, own: &[&'k str]) -> Option<(&'k str, &'a str)> {
        let own = own.iter().find_map(|key| Some((*key, self.label(key)?)));
        let specific =
            |value: &&str| !VAGUE.iter().any(|vague| value.eq_ignore_ascii_case(vague)) && !names_another(value, vendor);
        own.or_else(|| OTHERS_PRODUCTS.iter().find_map(|key| Some((*key, self.label(key).filter(specific)?))))
    }

    /// Whether a label of the cloud's says that the node has a vendor's cards, be it without their name.
    pub fn cloud_names(&self, vendor: &str) -> bool {
        let keys = OTHERS_PRODUCTS.iter().filter(|key| **key != MACHINE).chain([&OTHERS_VENDOR]);
        keys.filter_map(|key| self.label(key)).any(|value| value.eq_ignore_ascii_case(vendor) || names_vendor(value, vendor))
    }

    /// The number of whole GPUs as others than their vendor say it.
    pub fn cards_elsewhere(&self) -> Option<u64> {
        self.number(OTHERS_COUNT)
    }

    /// The memory of one whole GPU as others than its vendor say it.
    pub fn memory_elsewhere(&self) -> Option<u64> {
        self.number(OTHERS_MEMORY)
    }
}

/// What a reader found out about one resource of a node.
pub struct Reading {
    pub id: String,
    pub vendor: Arc<str>,
    pub product: String,
    pub memory_mib: Option<u64>,
    pub sharing: Sharing,
    /// Shares of one card or slice; 1 unless shared.
    pub replicas: u64,
    pub slice: Option<String>,
    /// 1 unless sliced.
    pub slices_per_card: u64,
    /// What singles the kind out among nodes.
    pub labels: BTreeMap<String, String>,
    /// Labels say that the node has such GPUs, whether or not it advertises them.
    pub promised: bool,
    /// How many units they say.
    pub promised_units: Option<u64>,
}

impl Reading {
    /// A whole card of its own that no label promises.
    pub fn whole(id: String, vendor: &str, product: &str) -> Self {
        Self {
            id,
            vendor: vendor.into(),
            product: product.to_owned(),
            memory_mib: None,
            sharing: Sharing::Exclusive,
            replicas: 1,
            slice: None,
            slices_per_card: 1,
            labels: BTreeMap::new(),
            promised: false,
            promised_units: None,
        }
    }

    /// The pool, unless the node has none of the resource and promises none.
    pub fn pool(self, resource: &Arc<str>, node: &Offered<'_>) -> Option<GpuPool> {
        let (capacity, allocatable) = (node.capacity(resource), node.allocatable.other(resource));
        if capacity == 0 && !self.promised {
            return None;
        }
        let kind = Kind {
            id: self.id,
            vendor: self.vendor,
            product: self.product,
            memory_mib: self.memory_mib,
            sharing: self.sharing,
            mig_profile: self.slice,
            replicas: self.replicas,
            resource: resource.clone(),
        };
        Some(GpuPool {
            kind: Arc::new(kind),
            capacity,
            allocatable,
            physical: capacity.div_ceil(self.replicas.max(1)).div_ceil(self.slices_per_card.max(1)),
            starting: capacity == 0 && self.promised,
            promised: self.promised_units.map(|units| units.max(capacity)),
            labels: self.labels,
        })
    }
}

/// The end of an id that says into how many shares a card goes.
pub fn share_mark(sharing: Sharing, replicas: u64) -> String {
    match sharing {
        Sharing::Exclusive | Sharing::Mig => String::new(),
        Sharing::TimeSliced => format!(".shared-{replicas}"),
        Sharing::Mps => format!(".mps-{replicas}"),
    }
}

/// A name for an id, with the vendor in front unless it is there already: the same word may name things of two vendors.
pub fn vendor_slug(vendor: &str, name: &str) -> String {
    let name = slug(name);
    let has = name.strip_prefix(vendor).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']));
    if has { name } else { slug(&format!("{vendor}-{name}")) }
}

/// Lower case, safe for form fields and URLs, never with two dashes in a row (KubeSpawner splits field names there).
pub fn slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        let c = if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        if c != '-' || (!slug.ends_with('-') && !slug.is_empty()) {
            slug.push(c);
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// A side channel that vendors offer beside their cards, or a count of parts of them: never a GPU to have.
pub fn is_accessory(resource: &str) -> bool {
    let Some((domain, name)) = resource.split_once('/') else { return false };
    let small = name.to_ascii_lowercase();
    if counts_parts(&small) {
        return true;
    }
    match domain {
        "gpu.intel.com" => small.ends_with("_monitoring") || ["millicores", "memory.max", "tiles"].contains(&small.as_str()),
        "huawei.com" => small.ends_with("-memory"),
        _ => false,
    }
}

/// Whether a name says that it counts a card's memory or cores, as those of HAMi, Volcano, Koordinator and others do:
/// `gpumem`, `vgpu-cores`, `gpu-core.percentage`, `mlu370.smlu.vmemory`.
fn counts_parts(name: &str) -> bool {
    let words = || name.split(['-', '_', '.']);
    let chip =
        |word: &str| ["gpu", "vgpu", "sgpu", "npu", "vnpu", "dcu", "mlu", "smlu"].iter().any(|chip| word.starts_with(chip));
    let part = |word: &str| ["mem", "core"].iter().any(|part| word.contains(part)) || ["ratio", "percentage"].contains(&word);
    words().any(chip) && words().any(part)
}

/// A resource that is a GPU or another accelerator by its name, and no second count of the same chips.
fn looks_like_gpu(resource: &str) -> bool {
    let Some((domain, name)) = resource.split_once('/').filter(|_| !is_accessory(resource)) else { return false };
    let small = name.to_ascii_lowercase();
    match domain {
        // Capitals: vGPUs and cards passed to virtual machines, such as `GRID_T4-4Q`.
        "nvidia.com" => small.contains("gpu") || name.starts_with(|c: char| c.is_ascii_uppercase()),
        "gpu.intel.com" => ["i915", "xe"].iter().any(|driver| small.starts_with(driver)),
        "habana.ai" => true,
        // `neuroncore` counts the same chips in parts.
        "aws.amazon.com" => ["neuron", "neurondevice"].contains(&small.as_str()),
        "google.com" => small == "tpu",
        "huawei.com" => ["ascend", "npu"].iter().any(|chip| small.starts_with(chip)),
        "cambricon.com" => small.starts_with("mlu"),
        "hygon.com" => small.starts_with("dcu"),
        _ => {
            let marked = ["gpu-", "vgpu-"].iter().any(|start| small.starts_with(start)) || small.ends_with("-gpu");
            marked || ["gpu", "gpus", "vgpu"].contains(&small.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_never_hold_two_dashes() {
        for (text, expected) in
            [("Quadro  RTX_-6000-", "quadro-rtx-6000"), ("1g.10gb+me", "1g.10gb-me"), ("Instinct_MI300X", "instinct-mi300x")]
        {
            assert_eq!(slug(text), expected);
        }
    }

    #[test]
    fn only_what_counts_cards_looks_like_a_gpu() {
        let gpus = [
            "example.org/gpu",
            "example.org/vgpu",
            "nvidia.com/GRID_T4-4Q",
            "nvidia.com/TU104GL_Tesla_T4",
            "nvidia.com/pgpu",
            "habana.ai/other",
            "aws.amazon.com/neuron",
            "google.com/tpu",
            "huawei.com/Ascend910",
            "huawei.com/npu",
            "volcano.sh/vgpu-number",
            "cambricon.com/mlu370",
            "hygon.com/dcunum",
            "amd.com/gpu-vf",
        ];
        let others = [
            "cpu",
            "example.org/disks",
            "nvidia.com/gpumem",
            "nvidia.com/gpumem-percentage",
            "nvidia.com/gpucores",
            "nvidia.com/hostdev",
            "aliyun.com/gpu-mem",
            "aliyun.com/gpu-core.percentage",
            "volcano.sh/vgpu-memory",
            "volcano.sh/vgpu-cores",
            "koordinator.sh/gpu-memory-ratio",
            "cambricon.com/mlu370.smlu.vmemory",
            "hygon.com/dcumem",
            "gpu.intel.com/i915_monitoring",
            "gpu.intel.com/xe_monitoring",
            "gpu.intel.com/millicores",
            "gpu.intel.com/memory.max",
            "gpu.intel.com/tiles",
            "aws.amazon.com/neuroncore",
            "huawei.com/Ascend310P-memory",
            "hugepages-2Mi",
        ];
        let seen = |names: &[&str]| names.iter().filter(|name| looks_like_gpu(name)).count();
        assert_eq!((seen(&gpus), seen(&others)), (gpus.len(), 0));
        assert!(!is_accessory("example.org/input-core"), "a chip is a word of its own");
    }
}
