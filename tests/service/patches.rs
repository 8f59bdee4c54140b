//! What a choice becomes: the patch, or a refusal in words.

use berth::domain::base::Base;
use berth::http::problem::Problem;
use berth::profiles::User;
use serde_json::{Value, json};

use crate::cluster::{A100, Cluster, GPU, T4, catalogue, mixed, patch};

fn answer(cluster: &Cluster, config: &str, options: Value) -> Result<Value, Problem> {
    answer_with(cluster, config, options, &Base::default())
}

pub fn answer_with(cluster: &Cluster, config: &str, options: Value, base: &Base) -> Result<Value, Problem> {
    let view = cluster.view(&catalogue(config));
    let user = User { name: "ada".into(), ..User::default() };
    patch(&view, "/services/berth/", &user, base, &options).map(|answer| serde_json::to_value(answer).expect("JSON"))
}

pub fn patched(cluster: &Cluster, config: &str, options: Value) -> Value {
    answer(cluster, config, options).unwrap_or_else(|problem| panic!("{problem}"))["patch"].clone()
}

fn refused(cluster: &Cluster, config: &str, options: Value) -> (u16, &'static str, String) {
    let problem = answer(cluster, config, options.clone()).err().unwrap_or_else(|| panic!("{options} was not refused"));
    (problem.status, problem.reason, problem.detail)
}

fn pin(node: &str) -> Value {
    json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}])
}

fn product(values: &[&str]) -> Value {
    json!([{"matchExpressions": [{"key": "nvidia.com/gpu.product", "operator": "In", "values": values}]}])
}

#[test]
fn a_cpu_pod_carries_no_gpu_key_and_hides_every_card() {
    let patch = patched(&mixed(), "", json!({"profile": "cpu"}));
    let limits = patch["extra_resource_limits"].as_object().expect("a map");
    assert!(limits.contains_key(GPU) && limits.contains_key("amd.com/gpu"));
    assert!(limits.values().all(Value::is_null));
    assert_eq!(patch["extra_resource_guarantees"], patch["extra_resource_limits"]);
    assert_eq!(patch["environment"], json!({"NVIDIA_VISIBLE_DEVICES": "void"}));
    assert!(patch.get("tolerations").is_none() && patch.get("start_timeout").is_none());
}

#[test]
fn a_gpu_that_berth_only_saw_is_cleared_too() {
    let cluster = mixed().node("odd").change(|n| n["status"]["capacity"]["example.org/gpu"] = json!("1"));
    let patch = patched(&cluster, "", json!({"profile": "cpu"}));
    assert_eq!(patch["extra_resource_limits"].get("example.org/gpu"), Some(&Value::Null));
}

#[test]
fn cpu_and_memory_are_numbers_and_come_in_pairs() {
    let patch = patched(&mixed(), "", json!({"profile": "gpu"}));
    assert_eq!((&patch["cpu_guarantee"], &patch["cpu_limit"]), (&json!(2.0), &json!(8.0)));
    assert_eq!((&patch["mem_guarantee"], &patch["mem_limit"]), (&json!(8_u64 << 30), &json!(16_u64 << 30)));
    let config = "profiles: [{slug: a, title: A, image: ml-cpu, cpu: {limit: 500m}, memory: {request: 1Gi}}]";
    let patch = patched(&mixed(), config, Value::Null);
    assert_eq!((&patch["cpu_guarantee"], &patch["cpu_limit"]), (&json!(0.5), &json!(0.5)));
    assert_eq!((&patch["mem_guarantee"], patch.get("mem_limit")), (&json!(1_u64 << 30), Some(&Value::Null)));
    let config = "profiles: [{slug: a, title: A, image: ml-cpu}]";
    assert!(patched(&mixed(), config, Value::Null).get("cpu_limit").is_none(), "what is not named stays the hub's");
}

#[test]
fn a_chosen_kind_is_required_by_its_raw_label() {
    let patch = patched(&mixed(), "", json!({"profile": "gpu", "gpu-kind": "tesla-t4", "gpus": "2"}));
    assert_eq!(patch["node_affinity_required"], product(&["Tesla-T4"]));
    assert_eq!(patch["extra_resource_limits"][GPU], "2");
}

#[test]
fn kinds_that_a_profile_leaves_out_are_kept_off_by_a_required_term() {
    assert_eq!(patched(&mixed(), "", json!({"profile": "fine-tuning"}))["node_affinity_required"], product(&[A100]));
    let only_a100 = Cluster::default().gpu_node("a", A100, 81920, 1);
    assert!(patched(&only_a100, "", json!({"profile": "fine-tuning"})).get("node_affinity_required").is_none());
}

#[test]
fn a_count_above_one_keeps_off_shares() {
    let cluster = mixed().gpu_node("t4", "Tesla-T4-SHARED", 15360, 1).change(|n| {
        n["metadata"]["labels"]["nvidia.com/gpu.replicas"] = json!("4");
        n["status"]["capacity"][GPU] = json!("4");
        n["status"]["allocatable"][GPU] = json!("4");
    });
    let patch = patched(&cluster, "", json!({"profile": "gpu", "gpus": "2"}));
    assert_eq!(patch["node_affinity_required"], product(&[A100, T4]));
}

#[test]
fn a_pin_goes_by_name_and_prefers_nothing() {
    for options in [json!({"profile": "gpu-on-gpu-b"}), json!({"profile": "gpu-on", "node": "gpu-b"})] {
        let answer = answer(&mixed(), "", options).expect("a patch");
        assert_eq!(answer["profile"], "gpu-on-gpu-b");
        assert_eq!(answer["patch"]["node_affinity_required"], pin("gpu-b"));
        assert!(answer["patch"].get("node_affinity_preferred").is_none());
    }
    let freest = answer(&mixed(), "", json!({"profile": "gpu-on"})).expect("a patch");
    assert_eq!(freest["profile"], "gpu-on-gpu-a", "without a node the freest one");
}

#[test]
fn absent_options_mean_the_default_profile() {
    for options in [Value::Null, json!({}), json!({"profile": null}), json!({"profile": ""})] {
        assert_eq!(answer(&mixed(), "", options).expect("a patch")["profile"], "cpu");
    }
}

#[test]
fn the_four_mounts_are_the_seeds() {
    let patch = patched(&mixed(), "", Value::Null);
    assert_eq!(
        patch["volumes"],
        json!([
            {"name": "notebooks", "persistentVolumeClaim": {"claimName": "berth-notebooks"}},
            {"name": "datasets", "persistentVolumeClaim": {"claimName": "berth-datasets"}},
            {"name": "models", "persistentVolumeClaim": {"claimName": "berth-models"}},
            {"name": "scratch", "emptyDir": {"sizeLimit": "50Gi"}}
        ])
    );
    assert_eq!(
        patch["volume_mounts"],
        json!([
            {"name": "notebooks", "mountPath": "/home/jovyan/notebooks", "subPath": "{username}"},
            {"name": "datasets", "mountPath": "/home/jovyan/datasets"},
            {"name": "models", "mountPath": "/home/jovyan/models"},
            {"name": "scratch", "mountPath": "/home/jovyan/scratch"}
        ])
    );
}

#[test]
fn a_missing_or_lost_claim_is_named_before_the_pod_waits_for_it() {
    let claims =
        |phase: &str| mixed().claim("berth-notebooks", "Bound").claim("berth-datasets", "Pending").claim("berth-models", phase);
    assert!(answer(&claims("Bound"), "", Value::Null).is_ok());
    let (status, reason, detail) = refused(&claims("Lost"), "", Value::Null);
    assert_eq!((status, reason), (422, "missing-claim"));
    assert!(detail.contains("berth-models has lost its volume"), "{detail}");
    let leaving = claims("Bound").change(|c| c["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    assert!(refused(&leaving, "", Value::Null).2.contains("berth-models is being deleted"));
    let (_, _, detail) = refused(&mixed().claim("other", "Bound"), "", Value::Null);
    assert!(detail.contains("berth-notebooks does not exist in the namespace jupyterhub"), "{detail}");
}

const SHARED_CODE: &str = "sharedCode: {enabled: true}
tolerate: [nvidia.com/gpu, node-role.kubernetes.io/control-plane]
profiles:
- {slug: cpu, title: CPU, image: ml-cpu, sharedCode: ask}
- {slug: on, title: 'On {node}', image: ml-gpu, gpu: {}, perNode: {}}
";

fn with_control_plane() -> Cluster {
    mixed().node("control").change(|n| {
        n["metadata"]["labels"]["node-role.kubernetes.io/control-plane"] = json!("");
        n["spec"]["taints"] = json!([{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]);
    })
}

fn shared_mount(patch: &Value) -> Option<&Value> {
    patch["volume_mounts"].as_array()?.iter().find(|mount| mount["mountPath"] == "/home/jovyan/shared-code-reference")
}

#[test]
fn shared_code_is_mounted_only_where_it_is_certain_to_be() {
    let unasked = patched(&with_control_plane(), SHARED_CODE, json!({"profile": "cpu"}));
    assert_eq!(shared_mount(&unasked), None);
    let pinned = patched(&with_control_plane(), SHARED_CODE, json!({"profile": "on", "node": "gpu-a"}));
    assert_eq!(shared_mount(&pinned), None);

    let asked = patched(&with_control_plane(), SHARED_CODE, json!({"profile": "cpu", "shared-code": "yes"}));
    assert_eq!(
        shared_mount(&asked),
        Some(&json!({"name": "berth-shared-code", "mountPath": "/home/jovyan/shared-code-reference", "readOnly": true}))
    );
    assert_eq!(
        asked["node_affinity_required"],
        json!([{"matchExpressions": [{"key": "node-role.kubernetes.io/control-plane", "operator": "In", "values": [""]}]}])
    );
    assert_eq!(
        asked["tolerations"],
        json!([{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists", "effect": "NoSchedule"}])
    );

    let single =
        Cluster::default().node("only").change(|n| n["metadata"]["labels"]["node-role.kubernetes.io/control-plane"] = json!(""));
    assert!(shared_mount(&patched(&single, SHARED_CODE, Value::Null)).is_some());
}

#[test]
fn best_effort_mounts_everywhere_and_never_keeps_a_pod_from_starting() {
    let config = SHARED_CODE.replace("enabled: true", "enabled: true, mount: best-effort");
    let patch = patched(&with_control_plane(), &config, json!({"profile": "on", "node": "gpu-a"}));
    assert!(shared_mount(&patch).is_some());
    let volume = patch["volumes"].as_array().expect("volumes").last().expect("a volume");
    assert_eq!(volume["hostPath"], json!({"path": "/srv/shared-code", "type": "DirectoryOrCreate"}));
}

#[test]
fn shared_memory_is_a_volume_of_its_own() {
    let patch = patched(&mixed(), "", json!({"profile": "gpu"}));
    let volume = patch["volumes"].as_array().expect("volumes").last().expect("a volume");
    assert_eq!(volume, &json!({"name": "berth-shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}}));
}

#[test]
fn forged_options_are_refused_in_words() {
    let cases = [
        (json!([]), 400, "malformed"),
        (json!("gpu"), 400, "malformed"),
        (json!({"profile": ["gpu"]}), 400, "malformed"),
        (json!({"profile": 7}), 400, "malformed"),
        (json!({"profile": "gpu", "gpus": 2}), 400, "malformed"),
        (json!({"profile": "gpu", "gpus": {"a": []}}), 400, "malformed"),
        (json!({"profile": "nothing"}), 422, "unknown-profile"),
        (json!({"profile": "gpu", "gpus": "+1"}), 422, "unknown-option"),
        (json!({"profile": "gpu-on-gpu-a", "node": "gpu-b"}), 422, "unknown-option"),
        (json!({"profile": "gpu-on-gone"}), 422, "unknown-profile"),
        (json!({"profile": "gpu", "gpus": "3"}), 422, "unknown-option"),
        (json!({"profile": "gpu", "gpus": "-1"}), 422, "unknown-option"),
        (json!({"profile": "gpu", "gpu-kind": "voodoo-2"}), 422, "unknown-option"),
        (json!({"profile": "gpu", "image": "evil/image"}), 422, "unknown-option"),
        (json!({"profile": "cpu", "gpus": "1"}), 422, "unknown-option"),
        (json!({"profile": "cpu", "node": "gpu-a"}), 422, "unknown-option"),
        (json!({"profile": "gpu", "node": "gpu-a"}), 422, "unknown-option"),
        (json!({"profile": "gpu-on", "node": "gone"}), 422, "unknown-option"),
        (json!({"profile": "cpu", "shared-code": "yes"}), 422, "unknown-option"),
        (json!({"profile": "gpu", "kubespawner_override": "x"}), 422, "unknown-option"),
    ];
    for (options, status, reason) in cases {
        let refusal = refused(&mixed(), "", options.clone());
        assert_eq!((refusal.0, refusal.1), (status, reason), "{options}: {}", refusal.2);
    }
}

#[test]
fn a_kind_that_the_profile_does_not_take_is_not_smuggled_in() {
    let config = "profiles: [{slug: a, title: A, image: ml-gpu, gpu: {kinds: ['*a100*']}}]";
    assert_eq!(refused(&mixed(), config, json!({"gpu-kind": "tesla-t4"})).1, "unknown-option");
    assert_eq!(refused(&mixed(), "", json!({"profile": "fine-tuning", "gpu-kind": "tesla-t4"})).1, "never-fits");
}

#[test]
fn a_users_own_words_come_back_short_and_plain() {
    let (_, _, detail) = refused(&mixed(), "", json!({"profile": format!("a\u{7}{}", "x".repeat(5000))}));
    assert!(detail.len() < 200 && !detail.contains('\u{7}'), "{detail}");
}

#[test]
fn a_profile_of_another_group_is_refused() {
    let config = "profiles: [{slug: a, title: A, image: ml-cpu}, {slug: b, title: B, image: ml-cpu, access: {groups: [lab]}}]";
    assert_eq!(refused(&mixed(), config, json!({"profile": "b"})).1, "not-allowed");
}

#[test]
fn the_default_falls_to_the_first_profile_that_the_user_may_use() {
    let config = "profiles: [{slug: a, title: A, image: ml-cpu, default: true, access: {groups: [lab]}}, {slug: b, title: B, image: ml-cpu}]";
    assert_eq!(answer(&mixed(), config, Value::Null).expect("a patch")["profile"], "b");
}

#[test]
fn what_no_node_can_serve_is_refused_and_what_is_full_waits_or_is_refused() {
    assert_eq!(refused(&Cluster::default().node("cpu-1"), "", json!({"profile": "gpu"})).1, "never-fits");
    let full = Cluster::default().gpu_node("a", A100, 81920, 1).pod("x/y", "a", 1);
    assert!(answer(&full, "", json!({"profile": "gpu"})).is_ok());
    let config = "profiles: [{slug: gpu, title: GPU, image: ml-gpu, gpu: {}, whenFull: refuse}]";
    let (status, reason, detail) = refused(&full, config, json!({"profile": "gpu"}));
    assert_eq!((status, reason), (409, "full"));
    assert!(detail.contains("all of them are in use"), "{detail}");
}

#[test]
fn a_retired_slug_leads_to_its_heir() {
    let config = "redirects: {old: a}\nprofiles: [{slug: a, title: A, image: ml-cpu}]";
    assert_eq!(answer(&mixed(), config, json!({"profile": "old"})).expect("a patch")["profile"], "a");
}

#[test]
fn the_hubs_base_is_judged_with_the_pod_and_not_repeated_in_the_patch() {
    let base: Base = serde_json::from_value(json!({
        "node_affinity_required": [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["gpu-b"]}]}],
        "tolerations": [{"key": "x", "operator": "Exists"}],
        "requests": {"memory": "1Gi"}
    }))
    .expect("a base");
    let answer = answer_with(&mixed(), "", json!({"profile": "gpu"}), &base).expect("a patch");
    let patch = &answer["patch"];
    assert!(patch.get("node_affinity_required").is_none());
    assert_eq!(patch["node_affinity_preferred"].as_array().map(Vec::len), Some(1), "gpu-a is not within the hub's terms");
    assert_eq!(patch["tolerations"].as_array().map(Vec::len), Some(1));
}

#[test]
fn two_resources_are_never_asked_for_together() {
    let cluster = Cluster::default().gpu_node("busy", A100, 81920, 1).pod("x/y", "busy", 1).node("shared").change(|n| {
        n["metadata"]["labels"]["nvidia.com/gpu.product"] = json!("NVIDIA-L4");
        n["metadata"]["labels"]["nvidia.com/gpu.replicas"] = json!("4");
        n["status"]["capacity"]["nvidia.com/gpu.shared"] = json!("4");
        n["status"]["allocatable"]["nvidia.com/gpu.shared"] = json!("4");
    });
    let limits = &patched(&cluster, "", json!({"profile": "gpu"}))["extra_resource_limits"];
    assert_eq!((&limits["nvidia.com/gpu.shared"], &limits[GPU]), (&json!("1"), &Value::Null), "the one that is free");
}

#[test]
fn a_kind_alone_picks_a_node_that_has_it() {
    let options = json!({"profile": "gpu-on", "gpu-kind": "tesla-t4"});
    assert_eq!(answer(&mixed(), "", options).expect("a patch")["profile"], "gpu-on-gpu-b");
}

#[test]
fn without_a_number_the_first_that_fits_is_taken() {
    let config = "profiles: [{slug: gpu, title: GPU, image: ml-gpu, gpu: {counts: [4, 2]}}]";
    let cluster = Cluster::default().gpu_node("a", A100, 81920, 2);
    assert_eq!(patched(&cluster, config, Value::Null)["extra_resource_limits"][GPU], "2");
}

#[test]
fn what_the_catalogue_says_of_the_pod_is_sent() {
    let config = "imagePullSecrets: [harbor-pull]\nimagePullPolicy: Always\nregistry: registry.example.org/library\n\
                  profiles: [{slug: a, title: A, image: ml-cpu, schedulerName: packer, priorityClassName: low, environment: {A: b}}]";
    let patch = patched(&mixed(), config, Value::Null);
    assert_eq!(patch["image"], "registry.example.org/library/jupyter-ml-cpu:1.0");
    assert_eq!(patch["image_pull_secrets"], json!([{"name": "harbor-pull"}]));
    let words = [&patch["image_pull_policy"], &patch["scheduler_name"], &patch["priority_class_name"]];
    assert_eq!(words, ["Always", "packer", "low"]);
    assert_eq!(patch["environment"], json!({"A": "b", "NVIDIA_VISIBLE_DEVICES": "void"}));
    assert_eq!(patch["extra_annotations"], json!({"berth/profile": "a", "berth/hub": "jupyterhub"}));
}

#[test]
fn avoiding_gpu_nodes_and_the_shared_code_are_both_required() {
    let config = "sharedCode: {enabled: true}\ntolerate: [node-role.kubernetes.io/control-plane]\nprofiles: [{slug: a, title: A, image: ml-cpu, avoidGpuNodes: required, sharedCode: required}]";
    let terms = patched(&with_control_plane(), config, Value::Null)["node_affinity_required"].clone();
    let keys: Vec<&str> =
        terms[0]["matchExpressions"].as_array().expect("a term").iter().map(|r| r["key"].as_str().expect("a key")).collect();
    assert_eq!(keys, ["node-role.kubernetes.io/control-plane", "nvidia.com/gpu.product"]);
    let inert = config.replace("enabled: true", "enabled: false");
    let answer = answer(&with_control_plane(), &inert, Value::Null).expect("a patch");
    assert!(!answer["summary"].as_str().expect("a summary").contains("shared code"), "{answer}");
}

#[test]
fn what_can_come_is_refused_too_where_the_profile_does_not_wait() {
    let config = "profiles: [{slug: gpu, title: GPU, image: ml-gpu, gpu: {}, whenFull: refuse}]";
    let cordoned = Cluster::default().gpu_node("a", A100, 81920, 1).change(|n| n["spec"]["unschedulable"] = json!(true));
    let (status, _, detail) = refused(&cordoned, config, json!({"profile": "gpu"}));
    assert_eq!(status, 409);
    assert!(detail.contains("a: the node is cordoned"), "{detail}");
}

#[test]
fn ways_of_sharing_are_kept_apart_by_their_label() {
    let node = |name: &str, strategy: &str| {
        Cluster::default().gpu_node(name, "Tesla-T4-SHARED", 15360, 1).change(|n| {
            n["metadata"]["labels"]["nvidia.com/gpu.replicas"] = json!("4");
            n["metadata"]["labels"]["nvidia.com/gpu.sharing-strategy"] = json!(strategy);
        })
    };
    let mut cluster = node("a", "time-slicing");
    cluster.items.extend(node("b", "mps").items);
    let config = "profiles: [{slug: gpu, title: GPU, image: ml-gpu, gpu: {sharing: [mps]}}]";
    let term = patched(&cluster, config, Value::Null)["node_affinity_required"][0]["matchExpressions"].clone();
    assert!(
        term.as_array()
            .expect("a term")
            .contains(&json!({"key": "nvidia.com/gpu.sharing-strategy", "operator": "In", "values": ["mps"]})),
        "{term}"
    );
}
