//! Which nodes a patch prefers, and which it would rather leave to others.

use serde_json::{Value, json};

use crate::cluster::{A100, Cluster, GPU, mixed};
use crate::patches::patched;

#[test]
fn a_cpu_pod_would_rather_not_sit_on_a_gpu_node() {
    let avoid = json!([{"key": "nvidia.com/gpu.product", "operator": "DoesNotExist"}]);
    let preferred = patched(&mixed(), "", json!({"profile": "cpu"}));
    assert_eq!(preferred["node_affinity_preferred"], json!([{"weight": 100, "preference": {"matchExpressions": avoid}}]));
    assert!(preferred.get("node_affinity_required").is_none());
    let config = "profiles: [{slug: cpu, title: C, image: ml-cpu, avoidGpuNodes: required}]";
    assert_eq!(patched(&mixed(), config, Value::Null)["node_affinity_required"], json!([{"matchExpressions": avoid}]));
}

#[test]
fn a_gpu_node_without_labels_is_avoided_by_name() {
    let cluster = mixed().node("plain").change(|n| {
        n["status"]["capacity"][GPU] = json!("1");
        n["status"]["allocatable"][GPU] = json!("1");
    });
    let term = &patched(&cluster, "", json!({"profile": "cpu"}))["node_affinity_preferred"][0]["preference"];
    assert_eq!(term["matchFields"], json!([{"key": "metadata.name", "operator": "NotIn", "values": ["plain"]}]));
}

#[test]
fn auto_select_requires_nothing_and_prefers_the_tightest_fit() {
    let patch = patched(&mixed(), "", json!({"profile": "gpu"}));
    assert_eq!(patch["extra_resource_limits"][GPU], "1");
    assert_eq!(patch["extra_resource_guarantees"][GPU], Value::Null);
    assert!(patch.get("node_affinity_required").is_none());
    let preferred: Vec<(i64, &str)> = patch["node_affinity_preferred"]
        .as_array()
        .expect("terms")
        .iter()
        .map(|term| {
            (
                term["weight"].as_i64().expect("a weight"),
                term["preference"]["matchFields"][0]["values"][0].as_str().expect("a node"),
            )
        })
        .collect();
    assert_eq!(preferred, [(100, "gpu-b"), (60, "gpu-a")]);
    assert_eq!(patch["tolerations"], json!([{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]));
    assert_eq!(patch["start_timeout"], 1200);
    assert!(patch.get("environment").is_none());
}

#[test]
fn the_best_three_nodes_are_preferred_by_weight_and_equal_ones_by_name() {
    let preferred = |cluster: &Cluster| -> Vec<(i64, String)> {
        let patch = patched(cluster, "", json!({"profile": "gpu"}));
        let terms = patch["node_affinity_preferred"].as_array().expect("terms").iter();
        let name = |term: &Value| term["preference"]["matchFields"][0]["values"][0].as_str().expect("a node").to_owned();
        terms.map(|term| (term["weight"].as_i64().expect("a weight"), name(term))).collect()
    };
    let weighted = |names: [&str; 3]| [(100, names[0].to_owned()), (60, names[1].to_owned()), (30, names[2].to_owned())];
    let of = |gpus: [u32; 5]| {
        let names = ["gpu-d", "gpu-b", "gpu-e", "gpu-a", "gpu-c"];
        let nodes = names.into_iter().zip(gpus);
        nodes.fold(Cluster::default(), |cluster, (name, gpus)| cluster.gpu_node(name, A100, 81920, gpus))
    };
    assert_eq!(preferred(&of([2; 5])), weighted(["gpu-a", "gpu-b", "gpu-c"]), "all alike");
    assert_eq!(preferred(&of([4, 2, 1, 8, 2])), weighted(["gpu-e", "gpu-b", "gpu-c"]), "the fullest first");
}

#[test]
fn a_node_with_the_image_comes_before_a_tighter_one() {
    let cluster = mixed().gpu_node("gpu-c", A100, 81920, 8).change(|n| {
        n["status"]["images"] = json!([{"names": ["docker.io/library/jupyter-ml-gpu:1.0"]}]);
    });
    let patch = patched(&cluster, "", json!({"profile": "gpu"}));
    assert_eq!(patch["node_affinity_preferred"][0]["preference"]["matchFields"][0]["values"], json!(["gpu-c"]));
}

#[test]
fn of_two_equal_nodes_the_one_with_fewer_promises_comes_first() {
    let cluster = Cluster::default().gpu_node("gpu-a", A100, 81920, 3).gpu_node("gpu-b", A100, 81920, 2);
    let cluster = cluster.pod("x/next", "", 1).change(|pod| pod["status"] = json!({"nominatedNodeName": "gpu-a"}));
    let preferred = patched(&cluster, "", json!({"profile": "gpu"}))["node_affinity_preferred"].clone();
    assert_eq!(preferred[0]["preference"]["matchFields"][0]["values"], json!(["gpu-b"]));
}
