//! The file's format: what may be written, and what holds where nothing is written.
//!
//! These types are the single description of the format. Whatever must be there is an `Option` all the same: the check that
//! follows ([`super::check`]) then finds everything that is missing at once, not only the first. Whatever a default makes
//! complete has it here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::schema::{QuantityText, SharingWord, WordOrFalse};
use super::values::{
    AvoidGpuNodes, ImagePullPolicy, KindGlob, MemoryUnit, SharedCodeMount, SharedCodeUse, Span, WhenFull, word_or_false,
};
use crate::domain::gpu::Sharing;
use crate::domain::node::AMD64;
use crate::domain::quantity::Quantity;
use crate::domain::selector::{NodeSelectorTerm, Toleration};

/// Taints that GPU nodes and nodes for users carry: the vendors' device plugins' habit and the two forms that Zero to JupyterHub
/// uses (the second for GKE, which takes no slash).
const TOLERATED: [&str; 6] = [
    "nvidia.com/gpu",
    "amd.com/gpu",
    "gpu.intel.com/i915",
    "habana.ai/gaudi",
    "hub.jupyter.org/dedicated",
    "hub.jupyter.org_dedicated",
];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping with the keys of a catalogue")]
pub(super) struct File {
    #[serde(default = "namespace")]
    pub namespace: String,
    pub registry: Option<String>,
    #[serde(default)]
    pub image_pull_secrets: Vec<String>,
    #[serde(default)]
    pub images: BTreeMap<String, String>,
    #[serde(default)]
    pub image_pull_policy: ImagePullPolicy,
    #[serde(default = "tolerate")]
    pub tolerate: Vec<String>,
    #[serde(default)]
    pub profiles: Vec<Profile>,
    #[serde(default)]
    pub redirects: BTreeMap<String, String>,
    /// Absent: the four of the seed. An empty list: none.
    #[serde(default = "volumes")]
    pub volumes: Vec<Volume>,
    #[serde(default)]
    pub shared_code: SharedCode,
    /// Architectures that the images are built for.
    #[serde(default = "architectures")]
    pub architectures: Vec<String>,
    /// Whether nodes that stand for another cluster (liqo, virtual-kubelet) count.
    #[serde(default)]
    pub virtual_nodes: bool,
    pub limits: Option<Limits>,
    pub expandable: Option<Vec<ExpandablePool>>,
    pub gpu_resources: Option<Vec<GpuRule>>,
    pub base: Option<Base>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping with the keys of a profile")]
pub(super) struct Profile {
    #[schemars(required)]
    pub slug: Option<String>,
    #[schemars(required)]
    pub title: Option<String>,
    #[serde(default)]
    pub description: String,
    pub image: Option<String>,
    pub images: Option<Vec<String>>,
    #[serde(default)]
    pub default: bool,
    pub cpu: Option<Bounds>,
    pub memory: Option<Bounds>,
    #[schemars(with = "Option<QuantityText>")]
    pub shared_memory: Option<Quantity>,
    #[serde(default, deserialize_with = "word_or_false")]
    #[schemars(with = "WordOrFalse<AvoidGpuNodes>")]
    pub avoid_gpu_nodes: AvoidGpuNodes,
    #[serde(default, deserialize_with = "word_or_false")]
    #[schemars(with = "WordOrFalse<SharedCodeUse>")]
    pub shared_code: SharedCodeUse,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    pub gpu: Option<Gpu>,
    #[serde(default)]
    pub access: Access,
    #[serde(default)]
    pub when_full: WhenFull,
    pub wait_up_to: Option<Span>,
    pub per_node: Option<PerNode>,
    pub scheduler_name: Option<String>,
    pub priority_class_name: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with request and limit")]
pub(super) struct Bounds {
    #[schemars(with = "Option<QuantityText>")]
    pub request: Option<Quantity>,
    #[schemars(with = "Option<QuantityText>")]
    pub limit: Option<Quantity>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping with counts, kinds, sharing and minMemory")]
pub(super) struct Gpu {
    #[serde(default = "counts")]
    pub counts: Vec<u32>,
    #[serde(default)]
    pub kinds: Option<Vec<KindGlob>>,
    #[serde(default = "sharing")]
    #[schemars(with = "Vec<SharingWord>")]
    pub sharing: Vec<Sharing>,
    #[serde(default)]
    #[schemars(with = "QuantityText")]
    pub min_memory: Quantity,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a mapping with groups")]
pub(super) struct Access {
    #[serde(default)]
    pub groups: Vec<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping with maxEntries")]
pub(super) struct PerNode {
    #[serde(default = "max_entries")]
    pub max_entries: u32,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping with name, mountPath, and claim or emptyDir")]
pub(super) struct Volume {
    #[schemars(required)]
    pub name: Option<String>,
    pub claim: Option<String>,
    pub empty_dir: Option<EmptyDir>,
    #[schemars(required)]
    pub mount_path: Option<String>,
    pub scope: Option<Scope>,
}

/// Whose files a claim's volume shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scope {
    /// Each user has a folder of its own in the claim.
    User,
    /// Everyone sees all of it.
    Shared,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping with sizeLimit, or {}")]
pub(super) struct EmptyDir {
    #[schemars(with = "Option<QuantityText>")]
    pub size_limit: Option<Quantity>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default, expecting = "a mapping with the keys of sharedCode")]
pub(super) struct SharedCode {
    pub enabled: bool,
    pub host_path: String,
    pub mount_path: String,
    pub nodes: BTreeMap<String, String>,
    pub mount: SharedCodeMount,
}

/// How to read a GPU resource that Berth does not know, or to read one in another way; the first that matches decides.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    rename_all = "camelCase",
    deny_unknown_fields,
    expecting = "a mapping with resource, exclude, vendor, sharing, productLabels, memoryLabel, memoryUnit, replicasLabel and presentLabels"
)]
pub(super) struct GpuRule {
    /// The full name, such as `example.org/accel`, or a glob over such names.
    #[schemars(required)]
    pub resource: Option<String>,
    /// Globs over names that `resource` matches too and that are no GPUs of this kind.
    pub exclude: Option<Vec<String>>,
    pub vendor: Option<String>,
    #[schemars(with = "Option<SharingWord>")]
    pub sharing: Option<Sharing>,
    /// Keys of labels that name the product, the best first. In every key, `{resource}` stands for the resource's full name.
    pub product_labels: Option<Vec<String>>,
    pub memory_label: Option<String>,
    pub memory_unit: Option<MemoryUnit>,
    /// The key of the label that says into how many shares a card goes.
    pub replicas_label: Option<String>,
    /// Keys of labels that a node has even while its device plugin is down or does not run yet.
    pub present_labels: Option<Vec<String>>,
}

/// Null stands for no limit.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping with gpusPerUser and groups")]
pub(super) struct Limits {
    pub gpus_per_user: Option<u32>,
    pub groups: Option<BTreeMap<String, Option<u32>>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, expecting = "a mapping with kind, gpusPerNode, maxNodes and labels")]
pub(super) struct ExpandablePool {
    #[schemars(required)]
    pub kind: Option<String>,
    #[serde(default = "resource")]
    pub resource: String,
    /// Of one GPU.
    #[schemars(with = "Option<QuantityText>")]
    pub memory: Option<Quantity>,
    #[schemars(required)]
    pub gpus_per_node: Option<u32>,
    #[schemars(required)]
    pub max_nodes: Option<u32>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// The hub's own constraints, as the hook sends them: its keys are the wire's.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a mapping with node_selector, node_affinity_required, tolerations, requests, notebook, init, claims and scheduler_name"
)]
pub(super) struct Base {
    pub node_selector: Option<BTreeMap<String, String>>,
    #[schemars(with = "Option<Vec<Map<String, Value>>>")]
    pub node_affinity_required: Option<Vec<NodeSelectorTerm>>,
    #[schemars(with = "Option<Vec<Map<String, Value>>>")]
    pub tolerations: Option<Vec<Toleration>>,
    #[schemars(with = "Option<BTreeMap<String, QuantityText>>")]
    pub requests: Option<BTreeMap<String, Quantity>>,
    #[schemars(with = "Option<BTreeMap<String, QuantityText>>")]
    pub notebook: Option<BTreeMap<String, Quantity>>,
    #[schemars(with = "Option<BTreeMap<String, QuantityText>>")]
    pub init: Option<BTreeMap<String, Quantity>>,
    pub claims: Option<Vec<String>>,
    pub scheduler_name: Option<String>,
}

// === defaults ===

fn namespace() -> String {
    "jupyterhub".to_owned()
}

fn tolerate() -> Vec<String> {
    TOLERATED.map(str::to_owned).to_vec()
}

fn architectures() -> Vec<String> {
    vec![AMD64.to_owned()]
}

fn resource() -> String {
    "nvidia.com/gpu".to_owned()
}

/// The four images of the seed by their short names. A catalogue's `images` come on top of these.
pub(super) fn images() -> BTreeMap<String, String> {
    ["ml-cpu", "ml-gpu", "fine-tuning", "agent-dev"].map(|name| (name.to_owned(), format!("jupyter-{name}:1.0"))).into()
}

fn counts() -> Vec<u32> {
    vec![1]
}

fn sharing() -> Vec<Sharing> {
    vec![Sharing::Exclusive, Sharing::Mig, Sharing::TimeSliced, Sharing::Mps]
}

/// As many entries as fit a form without scrolling for long.
fn max_entries() -> u32 {
    12
}

fn volumes() -> Vec<Volume> {
    let claim = |name: &str, scope| Volume {
        name: Some(name.to_owned()),
        claim: Some(format!("berth-{name}")),
        empty_dir: None,
        mount_path: Some(format!("/home/jovyan/{name}")),
        scope: Some(scope),
    };
    let scratch = Volume {
        name: Some("scratch".to_owned()),
        claim: None,
        empty_dir: Some(EmptyDir { size_limit: "50Gi".parse().ok() }),
        mount_path: Some("/home/jovyan/scratch".to_owned()),
        scope: None,
    };
    vec![claim("notebooks", Scope::User), claim("datasets", Scope::Shared), claim("models", Scope::Shared), scratch]
}

impl Default for SharedCode {
    fn default() -> Self {
        Self {
            enabled: false,
            host_path: "/srv/shared-code".to_owned(),
            mount_path: "/home/jovyan/shared-code-reference".to_owned(),
            nodes: [("node-role.kubernetes.io/control-plane".to_owned(), String::new())].into(),
            mount: SharedCodeMount::default(),
        }
    }
}
