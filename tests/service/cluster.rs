//! A cluster to test with: objects as `kubectl get -o json` prints them, and one view made of them.

use std::sync::Arc;

use berth::catalogue::Catalogue;
use berth::domain::base::Base;
use berth::domain::snapshot::Snapshot;
use berth::http::View;
use berth::http::problem::Problem;
use berth::inventory;
use berth::profiles::User;
use berth::spawn::{self, SpawnAnswer};
use serde_json::{Value, json};

pub const GPU: &str = "nvidia.com/gpu";
pub const A100: &str = "NVIDIA-A100-SXM4-80GB";
pub const T4: &str = "Tesla-T4";

/// Objects of a cluster.
#[derive(Clone, Default)]
pub struct Cluster {
    pub items: Vec<Value>,
}

impl Cluster {
    /// A ready node of 16 cores and 64 GiB.
    pub fn node(mut self, name: &str) -> Self {
        let amounts = json!({"cpu": "16", "memory": "64Gi", "pods": "110"});
        self.items.push(json!({
            "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "spec": {},
            "status": {"capacity": amounts, "allocatable": amounts, "conditions": [{"type": "Ready", "status": "True"}]}
        }));
        self
    }

    /// A node with GPUs of one product, labelled as GPU Feature Discovery does, with the usual taint.
    pub fn gpu_node(self, name: &str, product: &str, memory_mib: u32, gpus: u32) -> Self {
        self.node(name).change(|node| {
            node["metadata"]["labels"]["nvidia.com/gpu.product"] = json!(product);
            node["metadata"]["labels"]["nvidia.com/gpu.memory"] = json!(memory_mib.to_string());
            node["metadata"]["labels"]["nvidia.com/gpu.count"] = json!(gpus.to_string());
            node["spec"]["taints"] = json!([{"key": GPU, "value": "present", "effect": "NoSchedule"}]);
            node["status"]["capacity"][GPU] = json!(gpus.to_string());
            node["status"]["allocatable"][GPU] = json!(gpus.to_string());
        })
    }

    /// A node with an amount of some resources and labels of its own.
    pub fn node_with(self, name: &str, labels: &[(&str, &str)], resources: &[(&str, u32)]) -> Self {
        self.node(name).change(|node| {
            for (key, value) in labels {
                node["metadata"]["labels"][key] = json!(value);
            }
            for (resource, count) in resources {
                node["status"]["capacity"][resource] = json!(count.to_string());
                node["status"]["allocatable"][resource] = json!(count.to_string());
            }
        })
    }

    /// A running pod on a node, asking for GPUs by limits alone.
    pub fn pod(self, name: &str, node: &str, gpus: u32) -> Self {
        self.pod_with(name, node, GPU, gpus)
    }

    pub fn pod_with(mut self, name: &str, node: &str, resource: &str, gpus: u32) -> Self {
        let (namespace, name) = name.split_once('/').expect("namespace/name");
        self.items.push(json!({
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"nodeName": node, "containers": [{"name": "c", "resources": {"limits": {resource: gpus.to_string()}}}]},
            "status": {"phase": "Running"}
        }));
        self
    }

    pub fn claim(mut self, name: &str, phase: &str) -> Self {
        self.items.push(json!({
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": "jupyterhub"},
            "status": {"phase": phase}
        }));
        self
    }

    /// Changes the object added last.
    pub fn change(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(self.items.last_mut().expect("an object"));
        self
    }

    pub fn text(&self) -> String {
        json!({"kind": "List", "items": self.items}).to_string()
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.view(&catalogue("")).snapshot.expect("a snapshot")
    }

    pub fn view(&self, catalogue: &Catalogue) -> View {
        let (mut publisher, inventory) = inventory::new();
        publisher.publish_dump(&self.text(), &catalogue.namespace, &catalogue.policy()).expect("a dump");
        View { snapshot: inventory.snapshot(), freshness: inventory.health.freshness(), catalogue: Arc::new(catalogue.clone()) }
    }
}

/// Two GPU nodes, one of them partly used, and a CPU node.
pub fn mixed() -> Cluster {
    Cluster::default().node("cpu-1").gpu_node("gpu-a", A100, 81920, 8).gpu_node("gpu-b", T4, 15360, 2).pod(
        "other/training",
        "gpu-a",
        5,
    )
}

/// The answer to a choice for somebody's default server: nothing is reserved.
pub fn patch(view: &View, prefix: &str, user: &User, base: &Base, options: &Value) -> Result<SpawnAnswer, Problem> {
    let (answer, _) = spawn::answer(&view.context(prefix, ""), user, base, options, None)?;
    Ok(answer)
}

/// The built-in catalogue, or one with these profiles and whatever else the text says.
pub fn catalogue(text: &str) -> Catalogue {
    if text.is_empty() {
        return Catalogue::built_in().expect("the built-in catalogue");
    }
    Catalogue::parse("test.yaml", text).unwrap_or_else(|errors| panic!("{errors}"))
}
