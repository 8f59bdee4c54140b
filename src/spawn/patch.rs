//! The patch: KubeSpawner 7 traits by name, as the hook sets them.
//!
//! A trait that is absent stays as the hub has it; `null` inside a dict trait removes a key of the hub's. CPU is in
//! cores and memory in bytes, because KubeSpawner refuses the Kubernetes spelling of both.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Value, json};

use super::storage;
use crate::catalogue::{Catalogue, ImagePullPolicy, Profile, WhenFull};
use crate::domain::base::Base;
use crate::domain::gpu::KNOWN_RESOURCES;
use crate::domain::image;
use crate::domain::quantity::Quantity;
use crate::domain::rank::{WEIGHTS, best};
use crate::domain::selector::{NodeSelectorTerm, Toleration};
use crate::domain::snapshot::Snapshot;
use crate::profiles::plan::{Plan, Request};

/// Fields that are `None` or empty are not sent.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SpawnPatch {
    pub image: String,
    pub image_pull_policy: ImagePullPolicy,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<Value>,
    #[serde(flatten)]
    pub bounds: BTreeMap<&'static str, Value>,
    pub extra_resource_limits: BTreeMap<String, Option<String>>,
    pub extra_resource_guarantees: BTreeMap<String, Option<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub node_affinity_required: Vec<NodeSelectorTerm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub node_affinity_preferred: Vec<PreferredTerm>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volume_mounts: Vec<Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    pub extra_annotations: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler_name: Option<String>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_timeout: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct PreferredTerm {
    pub weight: i32,
    pub preference: NodeSelectorTerm,
}

/// The pod's annotations by which Berth and an administrator know it again: the profile, the hub's namespace, and the hold
/// that ends when the pod is bound.
const PROFILE_ANNOTATION: &str = "berth/profile";
const HUB_ANNOTATION: &str = "berth/hub";
pub const HOLD_ANNOTATION: &str = "berth/hold";

impl SpawnPatch {
    /// The node that looks best, if the patch prefers one by its name.
    pub fn first_preferred(&self) -> Option<&str> {
        let name = self.node_affinity_preferred.first()?.preference.match_fields.first()?.values.first()?;
        Some(name)
    }
}

pub fn build(
    slug: &str,
    request: &Request<'_>,
    plan: &Plan<'_>,
    snapshot: &Snapshot,
    base: &Base,
    catalogue: &Catalogue,
) -> SpawnPatch {
    let profile = request.profile;
    let cleared = gpu_resources(snapshot, base).into_iter().map(|name| (name, None));
    let mut limits: BTreeMap<String, Option<String>> = cleared.collect();
    // The guarantee follows from the limit, which an extended resource must equal.
    let guarantees = limits.clone();
    let mut environment = profile.environment.clone();
    match &plan.gpu {
        Some((resource, count)) => {
            limits.insert(resource.to_string(), Some(count.to_string()));
        }
        // Without it a CUDA image sees every card where NVIDIA's runtime is the default.
        None => {
            environment.insert("NVIDIA_VISIBLE_DEVICES".to_owned(), "void".to_owned());
        }
    }
    let storage = storage::storage(request, plan, snapshot, catalogue);
    SpawnPatch {
        image: request.image.reference.clone(),
        image_pull_policy: catalogue.image_pull_policy,
        image_pull_secrets: catalogue.image_pull_secrets.iter().map(|name| json!({"name": name})).collect(),
        bounds: bounds(profile),
        extra_resource_limits: limits,
        extra_resource_guarantees: guarantees,
        node_affinity_required: plan.required.clone(),
        node_affinity_preferred: preferred(request, plan),
        tolerations: plan.tolerations.clone(),
        volumes: storage.volumes,
        volume_mounts: storage.mounts,
        environment,
        extra_annotations: BTreeMap::from([(PROFILE_ANNOTATION, slug.to_owned()), (HUB_ANNOTATION, catalogue.namespace.clone())]),
        priority_class_name: profile.priority_class_name.clone(),
        scheduler_name: profile.scheduler_name.clone(),
        start_timeout: match (profile.when_full, profile.wait_up_to) {
            (WhenFull::Wait, Some(longest)) => Some(longest.as_secs()),
            _ => None,
        },
    }
}

/// Every GPU resource that a pod could still carry from the hub's own configuration: those that this call's base names,
/// even if no node offers them now, and those that a base not seen could.
fn gpu_resources(snapshot: &Snapshot, base: &Base) -> BTreeSet<String> {
    let seen = snapshot.kinds.iter().map(|count| count.kind.resource.to_string());
    let unclassified = snapshot.unclassified.iter().map(ToString::to_string);
    let hubs = base.notebook.keys().filter(|name| snapshot.is_gpu(name)).cloned();
    KNOWN_RESOURCES.iter().map(|name| (*name).to_owned()).chain(seen).chain(unclassified).chain(hubs).collect()
}

/// Guarantee and limit always go together: one alone would meet the hub's own value of the other.
fn bounds(profile: &Profile) -> BTreeMap<&'static str, Value> {
    let cores = |quantity: Quantity| json!(quantity.millis() as f64 / 1000.0);
    let bytes = |quantity: Quantity| u64::try_from(quantity.value()).map_or(Value::Null, |bytes| json!(bytes));
    let mut bounds = BTreeMap::new();
    if let Some(cpu) = &profile.cpu {
        bounds.insert("cpu_guarantee", cpu.request.or(cpu.limit).map_or(Value::Null, cores));
        bounds.insert("cpu_limit", cpu.limit.map_or(Value::Null, cores));
    }
    if let Some(memory) = &profile.memory {
        bounds.insert("mem_guarantee", memory.request.or(memory.limit).map_or(Value::Null, bytes));
        bounds.insert("mem_limit", memory.limit.map_or(Value::Null, bytes));
    }
    bounds
}

fn preferred(request: &Request<'_>, plan: &Plan<'_>) -> Vec<PreferredTerm> {
    if let Some(term) = &plan.avoid {
        return vec![PreferredTerm { weight: 100, preference: term.clone() }];
    }
    let (Some((resource, _)), None) = (&plan.gpu, request.node) else { return Vec::new() };
    let nodes = best(&plan.assessment.fitting, resource, image::fingerprint(&request.image.reference));
    let term = |(node, weight): (&&std::sync::Arc<crate::domain::node::NodeState>, i32)| PreferredTerm {
        weight,
        preference: NodeSelectorTerm::node(node.name()),
    };
    nodes.iter().zip(WEIGHTS).map(term).collect()
}
