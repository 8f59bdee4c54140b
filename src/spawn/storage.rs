//! Volumes of a pod: the catalogue's mounts, `/dev/shm`, and the shared code where it is certain to be.

use serde_json::{Value, json};

use crate::catalogue::{Catalogue, SharedCodeMount, VolumeSource};
use crate::domain::selector::NodeRequirements;
use crate::domain::snapshot::Snapshot;
use crate::profiles::claims::Unmountable;
use crate::profiles::plan::{Plan, Request, label_term};
use crate::profiles::refusal::Refusal;

/// Volumes and mounts, in the shape of the Kubernetes API.
#[derive(Clone, Debug, Default)]
pub struct Storage {
    pub volumes: Vec<Value>,
    pub mounts: Vec<Value>,
}

impl Storage {
    fn add(&mut self, name: &str, source: (&str, Value), mount: Value) {
        let (kind, source) = source;
        self.volumes.push(json!({"name": name, kind: source}));
        self.mounts.push(mount);
    }
}

pub fn storage(request: &Request<'_>, plan: &Plan<'_>, snapshot: &Snapshot, catalogue: &Catalogue) -> Storage {
    let mut storage = Storage::default();
    for volume in &catalogue.volumes {
        let mut mount = json!({"name": volume.name, "mountPath": volume.mount_path});
        let source = match &volume.source {
            VolumeSource::Claim { name, per_user } => {
                if let (true, Some(mount)) = (*per_user, mount.as_object_mut()) {
                    // KubeSpawner expands the field; it is the same slug that names the user's pod.
                    mount.insert("subPath".to_owned(), json!("{username}"));
                }
                ("persistentVolumeClaim", json!({"claimName": name}))
            }
            VolumeSource::EmptyDir { size_limit } => {
                ("emptyDir", size_limit.map_or_else(|| json!({}), |limit| json!({"sizeLimit": limit})))
            }
        };
        storage.add(&volume.name, source, mount);
    }
    if let Some(size) = request.profile.shared_memory {
        let name = "berth-shared-memory";
        let source = ("emptyDir", json!({"medium": "Memory", "sizeLimit": size}));
        storage.add(name, source, json!({"name": name, "mountPath": "/dev/shm"}));
    }
    if mounts_shared_code(request, plan, snapshot, catalogue) {
        let name = "berth-shared-code";
        // A directory that is missing all the same must not keep the pod from starting.
        let source = ("hostPath", json!({"path": catalogue.shared_code.host_path, "type": "DirectoryOrCreate"}));
        let mount = json!({"name": name, "mountPath": catalogue.shared_code.mount_path, "readOnly": true});
        storage.add(name, source, mount);
    }
    storage
}

/// Elsewhere the kubelet would make an empty directory on the node, so by default the mount is added only when every
/// node that the pod can land on has the label. Free capacity is left aside: it changes while the pod waits.
fn mounts_shared_code(request: &Request<'_>, plan: &Plan<'_>, snapshot: &Snapshot, catalogue: &Catalogue) -> bool {
    let shared = &catalogue.shared_code;
    if !shared.enabled {
        return false;
    }
    if shared.mount == SharedCodeMount::BestEffort || request.shared_code {
        return true;
    }
    let requirements: &NodeRequirements = &plan.shape.requirements;
    let term = label_term(&shared.nodes);
    let mut reachable = snapshot.nodes.iter().filter(|node| requirements.select(node.name(), &node.facts.labels)).peekable();
    reachable.peek().is_some() && reachable.all(|node| term.matches(node.name(), &node.facts.labels))
}

/// A pod whose claim can't be mounted waits for ever; the user is told before.
pub fn refusal(claim: &Unmountable, catalogue: &Catalogue) -> Refusal {
    let Unmountable { claim, what, mount_path } = claim;
    let hence = match mount_path {
        Some(path) => format!("{path} can't be mounted"),
        None => "no server that the hub mounts it into can start".to_owned(),
    };
    Refusal::MissingClaim(format!(
        "The storage claim {claim} {what} in the namespace {}, so {hence}. Tell the administrator of this hub.",
        catalogue.namespace
    ))
}
