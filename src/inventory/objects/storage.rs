//! Claims, volumes and the classes that make them.

use serde::de::IgnoredAny;

use super::{Amounts, ContainerResources, Metadata, RequiredTerms};
use crate::domain::lenient::null_is_default;

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
