//! Nodes.

use super::{Amounts, Condition, Metadata, Text};
use crate::domain::lenient::null_is_default;
use crate::domain::selector::Taint;

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
#[serde(rename_all = "camelCase")]
pub struct Image {
    #[serde(default, deserialize_with = "null_is_default")]
    pub names: Vec<String>,
    pub size_bytes: Option<Text>,
}
