//! The parts of Kubernetes objects that Berth reads, decoded straight from JSON.
//!
//! A full `Pod` costs 45 KiB of memory; everything not named here is skipped while parsing. What a person may have
//! edited in a dump (nulls, numbers where a quantity belongs) decodes too.

mod node;
mod pod;
mod storage;

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, Visitor};

pub use node::Node;
pub use pod::{Container, Pod, PodSpec};
pub use storage::{Claim, StorageClass, Volume};

use crate::domain::lenient::null_is_default;
use crate::domain::selector::NodeSelectorTerm;

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

/// Those that Berth and KubeSpawner put on a server's pod, and the scheduler on a claim. Others may be long, and are passed over.
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
    #[serde(rename = "volume.kubernetes.io/selected-node")]
    pub selected_node: Option<String>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    #[serde(rename = "type")]
    pub name: String,
    pub status: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub message: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub last_transition_time: String,
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
#[serde(default)]
pub struct ContainerResources {
    #[serde(deserialize_with = "null_is_default")]
    pub requests: Amounts,
    #[serde(deserialize_with = "null_is_default")]
    pub limits: Amounts,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RequiredTerms {
    #[serde(deserialize_with = "null_is_default")]
    pub node_selector_terms: Vec<NodeSelectorTerm>,
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
