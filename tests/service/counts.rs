//! The count, case by case. The numbers in names are those of the table in the fact sheet on GPU inventory. Cases on what
//! GPUs are called and how they are shared are in `nvidia_sharing` and `vendors`.

use std::sync::{Arc, Mutex};

use berth::domain::fit::{Availability, PodShape, assess};
use berth::domain::selector::Toleration;
use berth::domain::snapshot::KindCount;
use serde_json::{Value, json};

use crate::cluster::{A100, Cluster, GPU, catalogue, mixed};

pub fn only_kind(cluster: &Cluster) -> KindCount {
    let snapshot = cluster.snapshot();
    assert_eq!(snapshot.kinds.len(), 1, "{:?}", snapshot.kinds);
    snapshot.kinds[0].clone()
}

fn node(gpus: u32) -> Cluster {
    Cluster::default().gpu_node("gpu-a", A100, 81920, gpus)
}

fn set_status(field: &'static str, value: Value) -> impl Fn(&mut Value) {
    move |object| object["status"][field] = value.clone()
}

/// Whether a pod with so many GPUs and nothing else would start now, and why not.
fn now(cluster: &Cluster, gpus: u64) -> (Availability, Vec<String>) {
    let mut shape = PodShape { gpu: Some(GPU.into()), ..PodShape::default() };
    shape.requests.other.insert(GPU.into(), gpus);
    shape.requirements.tolerations.push(Toleration { operator: Some("Exists".to_owned()), ..Toleration::default() });
    let snapshot = cluster.snapshot();
    let answer = assess(&snapshot.gpu_nodes, &[], &shape);
    (answer.availability, answer.reasons)
}

fn containers(asked: &[u32]) -> Value {
    asked.iter().map(|gpus| json!({"resources": {"limits": {GPU: gpus.to_string()}}})).collect()
}

#[test]
fn case_1_pods_of_every_namespace_count() {
    let count = only_kind(&node(4).pod("a/one", "gpu-a", 1).pod("b/one", "gpu-a", 1));
    assert_eq!((count.total, count.used, count.free), (4, 2, 2));
}

#[test]
fn case_2_unhealthy_gpus_come_out_of_capacity() {
    let count = only_kind(&node(8).change(|n| n["status"]["allocatable"][GPU] = json!("7")).pod("a/x", "gpu-a", 7));
    assert_eq!((count.total, count.free, count.unhealthy, count.used), (8, 0, 1, 7));
}

#[test]
fn case_3_finished_pods_do_not_count() {
    let count = only_kind(
        &node(2)
            .pod("a/done", "gpu-a", 1)
            .change(set_status("phase", json!("Succeeded")))
            .pod("a/refused", "gpu-a", 1)
            .change(set_status("phase", json!("Failed")))
            .pod("a/runs", "gpu-a", 1),
    );
    assert_eq!((count.used, count.free), (1, 1));
}

#[test]
fn case_4_a_terminating_pod_counts_until_it_is_gone() {
    let cluster = node(1).pod("a/x", "gpu-a", 1).change(|p| p["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    assert_eq!(only_kind(&cluster).free, 0);
    assert_eq!(only_kind(&cluster.change(set_status("phase", json!("Failed")))).free, 1, "its containers have ended");
}

#[test]
fn cases_5_to_7_the_request_of_a_pod_is_the_schedulers() {
    let init = |gpus: u32, sidecar: bool| {
        let mut container = json!({"resources": {"requests": {GPU: gpus.to_string()}}});
        if sidecar {
            container["restartPolicy"] = json!("Always");
        }
        container
    };
    for (case, init_containers, asked, used) in [
        ("5", json!([init(3, false)]), vec![1], 3),
        ("6", json!([init(1, true), init(2, false)]), vec![1], 3),
        ("6b", json!([init(2, false), init(1, true)]), vec![1], 2),
        ("7", json!([]), vec![1, 2], 3),
    ] {
        let cluster = node(4).pod("a/x", "gpu-a", 0).change(|pod| {
            pod["spec"]["initContainers"] = init_containers;
            pod["spec"]["containers"] = containers(&asked);
        });
        let count = only_kind(&cluster);
        assert_eq!((count.used, count.free), (used, 4 - used), "case {case}");
    }
}

#[test]
fn case_8_a_bound_pod_counts_before_it_runs() {
    assert_eq!(only_kind(&node(2).pod("a/x", "gpu-a", 1).change(set_status("phase", json!("Pending")))).free, 1);
}

#[test]
fn case_9_an_unbound_pod_is_demand_and_takes_nothing() {
    let cluster = node(2).pod("a/x", "", 2).change(set_status("phase", json!("Pending")));
    let count = only_kind(&cluster);
    assert_eq!((count.free, count.pending), (2, 2));
}

#[test]
fn gated_and_deleted_pods_are_no_demand() {
    let pending = || node(2).pod("a/x", "", 2).change(set_status("phase", json!("Pending")));
    let gated = pending().change(|p| p["spec"]["schedulingGates"] = json!([{"name": "wait"}]));
    let deleted = pending().change(|p| p["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    assert_eq!((only_kind(&gated).pending, only_kind(&deleted).pending), (0, 0));
}

#[test]
fn demand_counts_for_the_kinds_that_a_pod_accepts() {
    let cluster = mixed()
        .pod("a/x", "", 1)
        .change(|p| p["spec"]["nodeSelector"] = json!({"nvidia.com/gpu.product": "Tesla-T4"}))
        .change(set_status("phase", json!("Pending")));
    let pending: Vec<u64> = cluster.snapshot().kinds.iter().map(|count| count.pending).collect();
    assert_eq!(pending, [0, 1]);
}

#[test]
fn pods_that_wait_for_a_pool_at_zero_are_demand_for_its_kind() {
    let pool = "{kind: nvidia-l4, gpusPerNode: 1, maxNodes: 2, labels: {pool: gpu}}";
    let config = format!("profiles: [{{slug: a, title: A, image: ml-cpu}}]\nexpandable: [{pool}]");
    let waiting = |name: &str, selector: Value| {
        let pod = Cluster::default().pod(name, "", 5).change(set_status("phase", json!("Pending")));
        pod.change(|pod| pod["spec"]["nodeSelector"] = selector).items
    };
    let pods = [waiting("a/x", json!({"pool": "gpu"})), waiting("a/y", json!({"pool": "other"})), waiting("a/z", json!({}))];
    let cluster = Cluster { items: [node(1).items, pods.concat()].concat() };
    let snapshot = cluster.view(&catalogue(&config)).snapshot.expect("a snapshot");
    let pending: Vec<_> = snapshot.kinds.iter().map(|count| (count.kind.id.as_str(), count.pending)).collect();
    assert_eq!(pending, [("nvidia-a100-sxm4-80gb", 5), ("nvidia-l4", 10)]);
    assert_eq!((snapshot.ahead(&|id| id == "nvidia-l4"), snapshot.ahead(&|_| true)), (10, 10), "either is counted once");
}

#[test]
fn placeholders_give_back_no_more_than_what_is_free() {
    let placeholder = |cluster: Cluster| {
        cluster.pod("hub/warm", "gpu-a", 2).change(|pod| {
            pod["metadata"]["labels"] = json!({"component": "user-placeholder"});
            pod["spec"]["priority"] = json!(-10);
        })
    };
    let numbers = |cluster: Cluster| {
        let count = only_kind(&cluster);
        (count.free, count.reclaimable)
    };
    assert_eq!(numbers(placeholder(node(4))), (4, 2));
    assert_eq!(numbers(placeholder(node(4).pod("a/x", "gpu-a", 3))), (1, 1));
    assert_eq!(numbers(placeholder(node(4).change(|n| n["spec"]["unschedulable"] = json!(true)))), (0, 0));
}

#[test]
fn case_10_a_nominated_pod_holds_its_place_beside_its_victim() {
    let cluster =
        node(1).pod("a/victim", "gpu-a", 1).pod("a/next", "", 1).change(set_status("nominatedNodeName", json!("gpu-a")));
    let count = only_kind(&cluster);
    assert_eq!((count.free, count.used, count.held), (0, 1, 1));
    assert!(cluster.snapshot().nodes[0].overcommitted());
}

#[test]
fn case_11_a_cordoned_node_offers_nothing_and_keeps_its_total() {
    let cluster = node(8).change(|n| n["spec"]["unschedulable"] = json!(true));
    let count = only_kind(&cluster);
    assert_eq!((count.total, count.free, count.unusable), (8, 0, 8));
    assert_eq!(cluster.snapshot().nodes[0].reasons, ["cordoned"]);
}

#[test]
fn case_12_a_taint_counts_by_what_the_catalogue_tolerates() {
    let strict = catalogue("tolerate: []\nprofiles: [{slug: a, title: A, image: ml-cpu}]");
    let strict = node(1).view(&strict).snapshot.expect("a snapshot");
    assert_eq!((node(1).snapshot().kinds[0].free, strict.kinds[0].free, strict.kinds[0].unusable), (1, 0, 1));
}

#[test]
fn case_13_a_soft_taint_keeps_nobody_off() {
    let cluster = node(2).change(|n| n["spec"]["taints"] = json!([{"key": "any", "effect": "PreferNoSchedule"}]));
    assert_eq!(only_kind(&cluster).free, 2);
}

#[test]
fn case_14_the_condition_is_seen_before_the_taint() {
    let cluster = node(4).change(set_status("conditions", json!([{"type": "Ready", "status": "Unknown"}])));
    assert_eq!((only_kind(&cluster).free, only_kind(&cluster).unusable), (0, 4));
    assert_eq!(only_kind(&node(4).change(set_status("conditions", json!([])))).free, 0);
}

#[test]
fn cases_15_and_16_labels_are_not_capacity() {
    let missing = |cluster: Cluster| {
        cluster.change(|n| {
            n["status"]["capacity"].as_object_mut().expect("a map").remove(GPU);
            n["status"]["allocatable"].as_object_mut().expect("a map").remove(GPU);
        })
    };
    let labelled = missing(node(8));
    let starting = only_kind(&labelled);
    assert_eq!((starting.total, starting.free), (0, 0));
    let answer = now(&labelled, 1);
    assert_eq!(
        (answer.0, answer.1[0].as_str()),
        (Availability::Starting, "gpu-a: the node's GPU driver or device plugin is loading or broken")
    );
    let restarting = node(2).change(|n| n["status"]["allocatable"][GPU] = json!("0")).pod("a/x", "gpu-a", 2);
    let count = only_kind(&restarting);
    assert_eq!((count.total, count.free, count.unhealthy, count.used), (2, 0, 2, 2));
    assert!(restarting.snapshot().nodes[0].overcommitted());
    for gpus in [1, 2] {
        let expected = "gpu-a: none of its 2 GPUs is healthy, or their device plugin restarts".to_owned();
        assert_eq!(now(&restarting, gpus), (Availability::Starting, vec![expected]), "the labels say 2, and so does the kubelet");
    }
    assert_eq!(now(&restarting, 3), (Availability::Never, vec!["no node has 3 of them".to_owned()]));
    let alone = node(1).change(|n| n["status"]["allocatable"][GPU] = json!("0"));
    let expected = "gpu-a: its GPU is not healthy, or its device plugin restarts".to_owned();
    assert_eq!(now(&alone, 1), (Availability::Starting, vec![expected]));
}

#[test]
fn case_23_the_most_for_one_pod_is_not_the_sum() {
    let cluster =
        Cluster::default().gpu_node("a", A100, 81920, 2).gpu_node("b", A100, 81920, 2).pod("a/x", "a", 1).pod("a/y", "b", 1);
    assert_eq!((only_kind(&cluster).free, only_kind(&cluster).largest_free), (2, 1));
    assert_eq!(now(&cluster, 2), (Availability::Busy, vec!["2 free, but on different nodes".to_owned()]));
    assert_eq!(now(&cluster, 1).0, Availability::Now);
}

#[test]
fn case_28_a_pod_is_counted_whatever_the_order_of_the_objects() {
    let mut cluster = node(2).pod("a/x", "gpu-a", 1).pod("a/y", "elsewhere", 1);
    cluster.items.reverse();
    assert_eq!(only_kind(&cluster).free, 1);
}

#[test]
fn case_34_a_quantity_that_is_garbage_is_skipped_alone() {
    for (text, total) in [("2", 2), ("1k", 1000), ("2e0", 2), ("0", 0)] {
        let cluster = node(1).change(|n| {
            n["status"]["capacity"][GPU] = json!(text);
            n["status"]["allocatable"][GPU] = json!(text);
            n["status"]["allocatable"]["example.org/odd"] = json!("x");
        });
        assert_eq!(only_kind(&cluster).total, total, "{text}");
    }
    let garbage = node(1).change(|n| n["status"]["allocatable"][GPU] = json!("x")).pod("a/x", "gpu-a", 1);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    let count = tracing::subscriber::with_default(subscriber, || only_kind(&garbage));
    assert_eq!((count.total, count.free, count.used), (1, 0, 1), "built in, but not to be had");
    let log = String::from_utf8(log.0.lock().expect("a lock").clone()).expect("text");
    for part in ["WARN", "gpu-a", GPU, "skipped a quantity that can't be read"] {
        assert!(log.contains(part), "{part} is not in {log}");
    }
    assert_eq!(garbage.snapshot().nodes[0].facts.allocatable.pods, 110, "the rest of the node is read");
}

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("a lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn every_total_is_the_sum_of_its_parts() {
    let cluster = mixed()
        .gpu_node("sick", A100, 81920, 8)
        .change(|n| n["status"]["allocatable"][GPU] = json!("6"))
        .pod("a/runs", "sick", 1)
        .pod("a/next", "", 2)
        .change(set_status("nominatedNodeName", json!("sick")))
        .gpu_node("cordoned", A100, 81920, 4)
        .change(|n| n["spec"]["unschedulable"] = json!(true))
        .pod("a/stays", "cordoned", 1);
    let a100 = cluster.snapshot().kinds[0].clone();
    assert_eq!((a100.total, a100.unhealthy, a100.used, a100.held, a100.free, a100.unusable), (20, 2, 7, 2, 6, 3));
    for gpu in &cluster.snapshot().kinds {
        assert_eq!(gpu.total, gpu.unhealthy + gpu.used + gpu.held + gpu.free + gpu.unusable, "{gpu:?}");
    }
}

#[test]
fn absurd_numbers_do_not_stop_the_count() {
    let most = i64::MAX.to_string();
    let huge = |name: &str| {
        Cluster::default().gpu_node(name, A100, 81920, 1).change(|n| {
            n["status"]["capacity"][GPU] = json!(most);
            n["status"]["allocatable"][GPU] = json!(most);
        })
    };
    let mut cluster = huge("a");
    for name in ["b", "c"] {
        cluster.items.extend(huge(name).items);
        cluster = cluster.pod(&format!("x/{name}"), "", 1).change(|p| {
            p["spec"]["containers"][0]["resources"]["limits"][GPU] = json!(most);
        });
    }
    // Without the number of cards it is not taken for a mixture, so these are two kinds.
    let another = huge("d").change(|n| n["metadata"]["labels"] = json!({"nvidia.com/gpu.product": "NVIDIA-L4"}));
    let count = only_kind(&cluster.clone().pod("x/d", "", 1));
    cluster.items.extend(another.items);
    assert_eq!((count.total, count.pending), (u64::MAX, u64::MAX));
    berth::http::hub::list_profiles(&cluster.view(&catalogue("")), "", &Default::default(), "", &Default::default())
        .expect("a list");
}

#[test]
fn a_pod_that_a_dump_names_twice_counts_once() {
    assert_eq!(only_kind(&node(4).pod("a/x", "gpu-a", 2).pod("a/x", "gpu-a", 2)).used, 2);
}

#[test]
fn pod_level_requests_and_overhead_count() {
    let cluster = node(1).pod("a/x", "gpu-a", 0).change(|pod| {
        pod["spec"]["resources"] = json!({"requests": {"cpu": "3"}});
        pod["spec"]["overhead"] = json!({"cpu": "250m", "memory": "1Gi"});
    });
    let used = cluster.snapshot().nodes[0].used.clone();
    assert_eq!((used.cpu, used.memory, used.pods), (3250, 1 << 30, 1));
}

#[test]
fn claims_count_in_the_hubs_namespace_only() {
    let cluster = node(1).claim("here", "Bound").claim("elsewhere", "Bound").change(|c| c["metadata"]["namespace"] = json!("x"));
    let claims = cluster.snapshot().claims.clone().expect("claims");
    assert_eq!(claims.keys().collect::<Vec<_>>(), ["here"]);
}

#[test]
fn an_object_that_makes_no_sense_is_skipped_and_counted() {
    let mut cluster = node(1);
    cluster.items.push(json!({"kind": "Node", "metadata": {"name": "bad"}, "status": {"conditions": "none"}}));
    cluster.items.push(json!({"kind": "Pod", "spec": {}}));
    let (mut publisher, inventory) = berth::inventory::new();
    publisher.publish_dump(&cluster.text(), "jupyterhub", &Default::default()).expect("a dump");
    assert_eq!(inventory.snapshot().expect("a snapshot").nodes.len(), 1);
    let skipped: Vec<u64> = inventory.health.numbers().iter().map(|numbers| numbers.skipped).collect();
    assert_eq!(skipped, [1, 1, 0, 0, 0, 0, 0]);
}

#[test]
fn a_dump_in_yaml_says_the_same() {
    let text = "kind: List\nitems:\n- kind: Node\n  metadata: {name: gpu-a, labels: {nvidia.com/gpu.product: Tesla-T4}}\n  \
                spec:\n  status:\n    capacity: {nvidia.com/gpu: 2}\n    allocatable: {nvidia.com/gpu: 2}\n    \
                conditions: [{type: Ready, status: \"True\"}]\n";
    let (mut publisher, inventory) = berth::inventory::new();
    publisher.publish_dump(text, "jupyterhub", &Default::default()).expect("a dump");
    let snapshot = inventory.snapshot().expect("a snapshot");
    assert_eq!((snapshot.kinds[0].kind.id.as_str(), snapshot.kinds[0].free), ("tesla-t4", 2));
}

#[test]
fn what_is_no_dump_is_refused_with_the_command_that_makes_one() {
    let (mut publisher, _inventory) = berth::inventory::new();
    for (text, expected) in [
        ("{\"items\": [", "neither JSON nor YAML"),
        ("a: b", "kubectl get nodes,pods,pvc -A -o json"),
        ("{\"items\": []}", "no node"),
    ] {
        let error = publisher.publish_dump(text, "jupyterhub", &Default::default()).expect_err(text).to_string();
        assert!(error.contains(expected), "{error}");
    }
}
