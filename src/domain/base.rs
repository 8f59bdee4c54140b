//! What the hub's own configuration already asks of a pod, so that Berth judges the pod that will really be made.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::lenient::null_is_default;
use super::quantity::Quantity;
use super::resources::Resources;
use super::selector::{NodeSelectorTerm, Toleration};

/// Sent by the hook with each call, under these names; the catalogue takes the same under `base:` for offline use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Base {
    #[serde(deserialize_with = "null_is_default")]
    pub node_selector: BTreeMap<String, String>,
    /// Alternatives.
    #[serde(deserialize_with = "null_is_default")]
    pub node_affinity_required: Vec<NodeSelectorTerm>,
    #[serde(deserialize_with = "null_is_default")]
    pub tolerations: Vec<Toleration>,
    /// Of the other containers, by resource name.
    #[serde(deserialize_with = "null_is_default")]
    pub requests: BTreeMap<String, Quantity>,
    /// Of the notebook itself, where a profile says nothing.
    #[serde(deserialize_with = "null_is_default")]
    pub notebook: BTreeMap<String, Quantity>,
    /// The most that a step before the notebook asks for.
    #[serde(deserialize_with = "null_is_default")]
    pub init: BTreeMap<String, Quantity>,
    /// Names of claims that the hub itself mounts, such as the user's home. One that is not there yet the hub makes.
    #[serde(deserialize_with = "null_is_default")]
    pub claims: Vec<String>,
    pub scheduler_name: Option<String>,
}

/// Requests as amounts.
pub fn amounts(requests: &BTreeMap<String, Quantity>) -> Resources {
    let mut amounts = Resources::default();
    for (name, quantity) in requests {
        amounts.set(name, *quantity);
    }
    amounts
}
