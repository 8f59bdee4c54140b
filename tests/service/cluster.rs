//! A cluster to test with: objects as `kubectl get -o json` prints them, and one view made of them.

use std::sync::Arc;

use berth::catalogue::Catalogue;
use berth::domain::snapshot::Snapshot;
use berth::http::View;
use berth::inventory;
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

    /// A running pod on a node, asking for GPUs by limits alone.
    pub fn pod(mut self, name: &str, node: &str, gpus: u32) -> Self {
        let (namespace, name) = name.split_once('/').expect("namespace/name");
        self.items.push(json!({
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"nodeName": node, "containers": [{"name": "c", "resources": {"limits": {GPU: gpus.to_string()}}}]},
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

/// The built-in catalogue, or one with these profiles and whatever else the text says.
pub fn catalogue(text: &str) -> Catalogue {
    if text.is_empty() {
        return Catalogue::built_in().expect("the built-in catalogue");
    }
    Catalogue::parse("test.yaml", text).unwrap_or_else(|errors| panic!("{errors}"))
}
