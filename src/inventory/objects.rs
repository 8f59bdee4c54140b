//! The parts of Kubernetes objects that Berth reads, decoded straight from JSON.
//!
//! A full `Pod` costs 45 KiB of memory; everything not named here is skipped while parsing. What a person may have
//! edited in a dump (nulls, numbers where a quantity belongs) decodes too.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, Visitor};

use crate::domain::lenient::null_is_default;
use crate::domain::selector::{NodeSelectorTerm, Taint, Toleration};

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    pub name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub namespace: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub annotations: Annotations,
    #[serde(default, deserialize_with = "null_is_default")]
    pub creation_timestamp: String,
    pub deletion_timestamp: Option<IgnoredAny>,
}

/// Those that Berth and KubeSpawner put on a server's pod. Others may be long, and are passed over.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Annotations {
    #[serde(rename = "hub.jupyter.org/username")]
    pub user: Option<String>,
    #[serde(rename = "hub.jupyter.org/servername")]
    pub server: Option<String>,
    /// The namespace of the hub that made the pod.
    #[serde(rename = "berth/hub")]
    pub hub: Option<String>,
    #[serde(rename = "berth/hold")]
    pub hold: Option<String>,
}

#[derive(Debug, serde::Deserialize)]
pub struct Node {
    pub metadata: Metadata,
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: NodeSpec,
    #[serde(default, deserialize_with = "null_is_default")]
    pub status: NodeStatus,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    #[serde(deserialize_with = "null_is_default")]
    pub unschedulable: bool,
    #[serde(deserialize_with = "null_is_default")]
    pub taints: Vec<Taint>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    #[serde(deserialize_with = "null_is_default")]
    pub capacity: Amounts,
    #[serde(deserialize_with = "null_is_default")]
    pub allocatable: Amounts,
    #[serde(deserialize_with = "null_is_default")]
    pub conditions: Vec<Condition>,
    #[serde(deserialize_with = "null_is_default")]
    pub images: Vec<Image>,
}

#[derive(Debug, serde::Deserialize)]
pub struct Condition {
    #[serde(rename = "type")]
    pub name: String,
    pub status: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub message: String,
}

#[derive(Debug, serde::Deserialize)]
pub struct Image {
    #[serde(default, deserialize_with = "null_is_default")]
    pub names: Vec<String>,
}

#[derive(Debug, serde::Deserialize)]
pub struct Pod {
    pub metadata: Metadata,
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: PodSpec,
    #[serde(default, deserialize_with = "null_is_default")]
    pub status: PodStatus,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodSpec {
    #[serde(deserialize_with = "null_is_default")]
    pub node_name: String,
    #[serde(deserialize_with = "null_is_default")]
    pub containers: Vec<Container>,
    #[serde(deserialize_with = "null_is_default")]
    pub init_containers: Vec<Container>,
    #[serde(deserialize_with = "null_is_default")]
    pub overhead: Amounts,
    /// Pod-level resources; they cover CPU, memory and huge pages only.
    #[serde(deserialize_with = "null_is_default")]
    pub resources: ContainerResources,
    #[serde(deserialize_with = "null_is_default")]
    pub node_selector: BTreeMap<String, String>,
    #[serde(deserialize_with = "null_is_default")]
    pub affinity: Affinity,
    #[serde(deserialize_with = "null_is_default")]
    pub tolerations: Vec<Toleration>,
    #[serde(deserialize_with = "null_is_default")]
    pub scheduling_gates: Vec<IgnoredAny>,
    pub priority: Option<i64>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodStatus {
    #[serde(deserialize_with = "null_is_default")]
    pub phase: String,
    #[serde(deserialize_with = "null_is_default")]
    pub nominated_node_name: String,
    #[serde(deserialize_with = "null_is_default")]
    pub conditions: Vec<Condition>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    pub metadata: Metadata,
    #[serde(default, deserialize_with = "null_is_default")]
    pub involved_object: Involved,
    #[serde(default, deserialize_with = "null_is_default")]
    pub reason: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub message: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub last_timestamp: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub event_time: String,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct Involved {
    #[serde(deserialize_with = "null_is_default")]
    pub kind: String,
    #[serde(deserialize_with = "null_is_default")]
    pub namespace: String,
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Container {
    #[serde(deserialize_with = "null_is_default")]
    pub resources: ContainerResources,
    #[serde(deserialize_with = "null_is_default")]
    pub restart_policy: String,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct ContainerResources {
    #[serde(deserialize_with = "null_is_default")]
    pub requests: Amounts,
    #[serde(deserialize_with = "null_is_default")]
    pub limits: Amounts,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Affinity {
    #[serde(deserialize_with = "null_is_default")]
    pub node_affinity: NodeAffinity,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct NodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution", deserialize_with = "null_is_default")]
    pub required: RequiredTerms,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RequiredTerms {
    #[serde(deserialize_with = "null_is_default")]
    pub node_selector_terms: Vec<NodeSelectorTerm>,
}

#[derive(Debug, serde::Deserialize)]
pub struct Claim {
    pub metadata: Metadata,
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: ClaimSpec,
    #[serde(default, deserialize_with = "null_is_default")]
    pub status: ClaimStatus,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ClaimSpec {
    #[serde(deserialize_with = "null_is_default")]
    pub volume_name: String,
    #[serde(deserialize_with = "null_is_default")]
    pub storage_class_name: String,
    #[serde(deserialize_with = "null_is_default")]
    pub access_modes: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub volume_mode: String,
    #[serde(deserialize_with = "null_is_default")]
    pub resources: ContainerResources,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct ClaimStatus {
    #[serde(deserialize_with = "null_is_default")]
    pub phase: String,
}

#[derive(Debug, serde::Deserialize)]
pub struct Volume {
    pub metadata: Metadata,
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: VolumeSpec,
    #[serde(default, deserialize_with = "null_is_default")]
    pub status: ClaimStatus,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VolumeSpec {
    #[serde(deserialize_with = "null_is_default")]
    pub node_affinity: VolumeAffinity,
    #[serde(deserialize_with = "null_is_default")]
    pub storage_class_name: String,
    #[serde(deserialize_with = "null_is_default")]
    pub access_modes: Vec<String>,
    #[serde(deserialize_with = "null_is_default")]
    pub volume_mode: String,
    #[serde(deserialize_with = "null_is_default")]
    pub capacity: Amounts,
    pub claim_ref: Option<ClaimRef>,
}

/// Whom a volume is kept for.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct ClaimRef {
    #[serde(deserialize_with = "null_is_default")]
    pub namespace: String,
    #[serde(deserialize_with = "null_is_default")]
    pub name: String,
    /// Set once the two are bound.
    pub uid: Option<IgnoredAny>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct VolumeAffinity {
    #[serde(deserialize_with = "null_is_default")]
    pub required: RequiredTerms,
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageClass {
    pub metadata: Metadata,
    #[serde(default, deserialize_with = "null_is_default")]
    pub provisioner: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub volume_binding_mode: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub allowed_topologies: Vec<Topology>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Topology {
    #[serde(deserialize_with = "null_is_default")]
    pub match_label_expressions: Vec<TopologyLabel>,
}

#[derive(Debug, serde::Deserialize)]
pub struct TopologyLabel {
    pub key: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub values: Vec<String>,
}

#[derive(Debug, serde::Deserialize)]
pub struct ResourceQuota {
    pub metadata: Metadata,
    #[serde(default, deserialize_with = "null_is_default")]
    pub spec: QuotaSpec,
    #[serde(default, deserialize_with = "null_is_default")]
    pub status: QuotaStatus,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QuotaSpec {
    #[serde(deserialize_with = "null_is_default")]
    pub hard: Amounts,
    #[serde(deserialize_with = "null_is_default")]
    pub scopes: Vec<IgnoredAny>,
    pub scope_selector: Option<IgnoredAny>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub struct QuotaStatus {
    #[serde(deserialize_with = "null_is_default")]
    pub hard: Amounts,
    #[serde(deserialize_with = "null_is_default")]
    pub used: Amounts,
}

/// Quantities by resource name, unparsed: one that is garbage is skipped alone, not with its whole object.
pub type Amounts = BTreeMap<String, Text>;

/// A string, or a number that YAML wrote without quotes.
#[derive(Debug)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl Visitor<'_> for TextVisitor {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Text, E> {
                Ok(Text(number.to_string()))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}
