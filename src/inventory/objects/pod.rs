//! Pods.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;

use super::{Amounts, Condition, ContainerResources, Metadata, RequiredTerms};
use crate::domain::lenient::null_is_default;
use crate::domain::selector::Toleration;

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
    pub start_time: String,
    #[serde(deserialize_with = "null_is_default")]
    pub conditions: Vec<Condition>,
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
