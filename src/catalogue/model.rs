//! A catalogue that was checked: plain values, defaults filled in, names resolved. Everything here holds the rules of
//! [`super::check`]; nobody needs to check again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::values::{AvoidGpuNodes, ImagePullPolicy, KindFilter, SharedCodeMount, SharedCodeUse, WhenFull};
use crate::domain::base::Base;
use crate::domain::gpu::Sharing;
use crate::domain::node::{ExpandablePool, Policy};
use crate::domain::quantity::Quantity;

/// What the hub's users can be offered, and what their pods are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalogue {
    /// Where the hub spawns.
    pub namespace: String,
    /// Names of secrets in that namespace.
    pub image_pull_secrets: Vec<String>,
    /// Of every profile's image.
    pub image_pull_policy: ImagePullPolicy,
    /// Keys of taints that pods may tolerate. Each once.
    pub tolerate: Vec<String>,
    /// In the order of the form. Never empty, slugs unique, at most one is the default.
    pub profiles: Vec<Profile>,
    /// Retired slug to the slug of a profile. Chains are followed: the target exists.
    pub redirects: BTreeMap<String, String>,
    /// A volume comes before those that are mounted below it.
    pub volumes: Vec<Volume>,
    /// Code of the node that pods can read.
    pub shared_code: SharedCode,
    /// Architectures that the images are built for, by the words of `kubernetes.io/arch`. Never empty.
    pub architectures: Vec<String>,
    /// Whether nodes that stand for another cluster count.
    pub virtual_nodes: bool,
    /// How many GPUs a user may hold at once.
    pub limits: Limits,
    /// What an autoscaler can add.
    pub expandable: Vec<ExpandablePool>,
    /// What the hub asks of every pod, for use without a hub.
    pub base: Base,
}

/// Most GPUs that a user may hold at once, all servers together; `None`: no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// For those in none of the groups.
    pub gpus_per_user: Option<u32>,
    /// For each member of a group; of several groups the most.
    pub groups: BTreeMap<String, Option<u32>>,
}

impl Catalogue {
    /// What of it decides which nodes count, and how.
    pub fn policy(&self) -> Policy {
        Policy {
            tolerate: self.tolerate.clone(),
            architectures: self.architectures.clone(),
            virtual_nodes: self.virtual_nodes,
            expandable: self.expandable.clone(),
        }
    }
}

impl Limits {
    /// The limit of somebody who is in these groups.
    pub fn of(&self, groups: &[String]) -> Option<u32> {
        let named: Vec<Option<u32>> = groups.iter().filter_map(|group| self.groups.get(group).copied()).collect();
        if named.is_empty() {
            return self.gpus_per_user;
        }
        // No limit for one of them is no limit at all.
        named.into_iter().collect::<Option<Vec<u32>>>()?.into_iter().max()
    }
}

/// One choice of the form.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Lower-case letters, digits, `-` and `_`; never `--`; at most 63.
    pub slug: String,
    /// Raw text. Of a profile per node it contains `{node}`, of no other.
    pub title: String,
    /// Raw text, may be empty.
    pub description: String,
    /// What the pod runs where nothing else is chosen.
    pub image: ImageChoice,
    /// All images to choose from, the default first.
    pub images: Vec<ImageChoice>,
    /// What a user gets who chooses nothing. Where no profile of the file says so, the first that is not per node is.
    pub default: bool,
    /// In cores.
    pub cpu: Option<Resources>,
    /// In bytes.
    pub memory: Option<Resources>,
    /// Size of `/dev/shm` in bytes. Never above the memory limit, which it counts towards.
    pub shared_memory: Option<Quantity>,
    /// Always `No` for a profile with GPUs.
    pub avoid_gpu_nodes: AvoidGpuNodes,
    /// Means nothing while [`SharedCode::enabled`] is false.
    pub shared_code: SharedCodeUse,
    /// Values are templates that KubeSpawner expands: only fields it knows, other braces doubled.
    pub environment: BTreeMap<String, String>,
    /// `None`: no GPU.
    pub gpu: Option<GpuRequest>,
    /// Who may use it.
    pub access: Access,
    /// What happens while nothing is free.
    pub when_full: WhenFull,
    /// How long a spawn may wait, at least a second; only with [`WhenFull::Wait`]. `None`: as the hub has it.
    pub wait_up_to: Option<Duration>,
    /// One offer for each usable GPU node. Only with `gpu`.
    pub per_node: Option<PerNode>,
    /// `None`: as the hub has it.
    pub scheduler_name: Option<String>,
    /// `None`: as the hub has it.
    pub priority_class_name: Option<String>,
}

/// An image that a user can choose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageChoice {
    /// As the profile names it: a short name, or a reference.
    pub id: String,
    /// What the pod gets, registry included.
    pub reference: String,
}

/// What a pod is sure of and what it may use at most. Both are above zero; the request never exceeds the limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// What the scheduler reserves.
    pub request: Option<Quantity>,
    /// What the kubelet enforces.
    pub limit: Option<Quantity>,
}

/// The GPUs that a profile takes.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuRequest {
    /// How many a user can ask for, the default first. Never empty, each above zero and once.
    pub counts: Vec<u32>,
    /// Which kinds.
    pub kinds: KindFilter,
    /// Which ways of sharing. Never empty, each once.
    pub sharing: Vec<Sharing>,
    /// The least memory of one GPU, in MiB; 0 takes any.
    pub min_memory_mib: u64,
}

/// Who may use a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Members of one of these. Empty: everyone.
    pub groups: Vec<String>,
}

/// One offer for each node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerNode {
    /// With more nodes than this, one offer with a choice of nodes. From 1 to 200.
    pub max_entries: u32,
}

/// Storage that every pod gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// A DNS label, unique.
    pub name: String,
    /// Absolute, without `..`; unique. A template that KubeSpawner expands.
    pub mount_path: String,
    /// What is mounted there.
    pub source: VolumeSource,
}

/// Where the files of a volume are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VolumeSource {
    /// A PersistentVolumeClaim of the hub's namespace.
    Claim {
        /// Of the claim.
        name: String,
        /// A folder for each user, by subPath.
        per_user: bool,
    },
    /// A fresh directory on the node.
    EmptyDir {
        /// In bytes.
        size_limit: Option<Quantity>,
    },
}

/// A directory of some nodes that pods there can read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedCode {
    /// While false the rest means nothing.
    pub enabled: bool,
    /// Absolute, on the node.
    pub host_path: String,
    /// Absolute, in the pod. A template that KubeSpawner expands.
    pub mount_path: String,
    /// Labels of the nodes that have it, all of them.
    pub nodes: BTreeMap<String, String>,
    /// Which pods get it.
    pub mount: SharedCodeMount,
}
