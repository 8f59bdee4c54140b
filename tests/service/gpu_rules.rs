//! The catalogue's own rules for GPU resources.

use serde_json::{Value, json};

use crate::cluster::{A100, Cluster, GPU, catalogue};
use crate::offers::{GPU_PROFILE, by_slug, offers};
use crate::patches::patched;

const ACCEL: &str = "example.org/accel";

fn config(rules: &str) -> String {
    format!("gpuResources:\n{rules}\n{GPU_PROFILE}")
}

fn accelerators() -> Cluster {
    let labels = [("example.org/model", "X1-32GB"), ("example.org/memory", "32"), ("example.org/shares", "4")];
    Cluster::default().node_with("a", &labels, &[(ACCEL, 8), ("example.org/accel-mini", 2), ("example.org/disks", 4)])
}

/// Id, resource, sharing, memory and total of each kind under some rules.
fn kinds(cluster: &Cluster, rules: &str) -> Vec<(String, String, &'static str, Option<u64>, u64)> {
    let view = cluster.view(&catalogue(&config(rules)));
    let snapshot = view.snapshot.expect("a snapshot");
    let row = |c: &berth::domain::snapshot::KindCount| {
        (c.kind.id.clone(), c.kind.resource.to_string(), c.kind.sharing.name(), c.kind.memory_mib, c.total)
    };
    snapshot.kinds.iter().map(row).collect()
}

fn row(
    id: &str,
    resource: &str,
    sharing: &'static str,
    memory: Option<u64>,
    total: u64,
) -> (String, String, &'static str, Option<u64>, u64) {
    (id.to_owned(), resource.to_owned(), sharing, memory, total)
}

#[test]
fn a_resource_alone_makes_a_kind_of_it() {
    let cluster = accelerators();
    assert_eq!(kinds(&cluster, "- {resource: example.org/accel}"), [row("example.org-accel", ACCEL, "exclusive", None, 8)]);
    assert_eq!(
        kinds(&cluster, "- {resource: 'example.org/accel*', vendor: acme}"),
        [
            row("acme-example.org-accel", ACCEL, "exclusive", None, 8),
            row("acme-example.org-accel-mini", "example.org/accel-mini", "exclusive", None, 2)
        ]
    );
}

#[test]
fn a_rule_reads_product_memory_and_shares() {
    let rule = "- {resource: example.org/accel, vendor: acme, sharing: mps, productLabels: [example.org/none, example.org/model], memoryLabel: example.org/memory, memoryUnit: GiB, replicasLabel: example.org/shares}";
    let cluster = accelerators();
    assert_eq!(kinds(&cluster, rule), [row("acme-x1-32gb.example.org-accel.mps-4", ACCEL, "mps", Some(32 * 1024), 8)]);
    let snapshot = cluster.view(&catalogue(&config(rule))).snapshot.expect("a snapshot");
    assert_eq!(snapshot.kinds[0].kind.display_name(), "acme X1 32 GB, shared by 4 (MPS)");
    assert_eq!(snapshot.kinds[0].physical, 2);
    let quantity = cluster.change(|n| n["metadata"]["labels"]["example.org/memory"] = json!("16Gi"));
    assert_eq!(kinds(&quantity, rule)[0].3, Some(16 * 1024));
}

#[test]
fn the_first_rule_that_matches_decides_in_front_of_the_built_in_ones() {
    let rules = "- {resource: example.org/accel-mini, vendor: small}\n- {resource: '*/accel*', vendor: any}";
    let ids: Vec<String> = kinds(&accelerators(), rules).into_iter().map(|(id, ..)| id).collect();
    assert_eq!(ids, ["any-example.org-accel", "small-example.org-accel-mini"]);
    let nvidia = Cluster::default().gpu_node("a", A100, 81920, 4);
    let again = "- {resource: nvidia.com/gpu, sharing: time-sliced, productLabels: [nvidia.com/gpu.product]}";
    assert_eq!(kinds(&nvidia, again), [row("nvidia-a100-sxm4-80gb.shared-1", GPU, "time-sliced", None, 4)]);
    assert_eq!(
        kinds(&nvidia, "- {resource: '*accel*/*'}")[0].0,
        "nvidia-a100-sxm4-80gb",
        "a star stays on its side of the slash"
    );
}

#[test]
fn a_rules_kind_can_be_chosen_and_is_asked_for_by_its_name() {
    let mut cluster = Cluster::default().gpu_node("gpu-a", A100, 81920, 8);
    cluster.items.extend(accelerators().items);
    let labelled = config("- {resource: example.org/accel, productLabels: [example.org/model]}");
    let offers = offers(&cluster, &labelled);
    let choices = &by_slug(&offers, "gpu")["profile_options"]["gpu-kind"]["choices"];
    let id = "example-x1-32gb.example.org-accel";
    assert_eq!(choices[id]["display_name"], "example X1 32 GB, 8 of 8 free");
    let patch = patched(&cluster, &labelled, json!({"profile": "gpu", "gpu-kind": id, "gpus": "2"}));
    assert_eq!((&patch["extra_resource_limits"][ACCEL], &patch["extra_resource_limits"][GPU]), (&json!("2"), &Value::Null));
    let model = json!({"key": "example.org/model", "operator": "In", "values": ["X1-32GB"]});
    assert_eq!(patch["node_affinity_required"], json!([{"matchExpressions": [model]}]));
    let bare = config("- {resource: example.org/accel}");
    let patch = patched(&cluster, &bare, json!({"profile": "gpu", "gpu-kind": "example.org-accel"}));
    assert_eq!(patch["extra_resource_limits"][ACCEL], "1");
    assert!(patch.get("node_affinity_required").is_none(), "there is no other kind of this name");
}

#[test]
fn a_rule_takes_a_resource_off_the_list_of_the_unclassified() {
    let cluster = Cluster::default().node_with("a", &[], &[("example.org/gpu", 4)]);
    assert_eq!(cluster.snapshot().unclassified, ["example.org/gpu".into()]);
    let view = cluster.view(&catalogue(&config("- {resource: example.org/gpu}")));
    let snapshot = view.snapshot.expect("a snapshot");
    assert!(snapshot.unclassified.is_empty());
    assert_eq!(snapshot.kinds[0].total, 4);
}

#[test]
fn a_rule_on_a_vendors_plain_resource_keeps_the_ids_of_its_kinds() {
    for (resource, key, value, id) in [
        (GPU, "nvidia.com/gpu.product", "Tesla-T4", "tesla-t4"),
        ("amd.com/gpu", "amd.com/gpu.product-name", "Instinct_MI300X", "amd-instinct-mi300x"),
        ("gpu.intel.com/i915", "gpu.intel.com/product", "Flex_170", "intel-flex-170"),
    ] {
        let cluster = Cluster::default().node_with("a", &[(key, value)], &[(resource, 2)]);
        assert_eq!(cluster.snapshot().kinds[0].kind.id, id, "the built-in reader's");
        assert_eq!(kinds(&cluster, &format!("- {{resource: {resource}, productLabels: [{key}]}}"))[0].0, id);
    }
}

#[test]
fn a_glob_leaves_what_it_excludes_and_what_only_belongs_to_cards() {
    let ids = |cluster: &Cluster, rules: &str| kinds(cluster, rules).into_iter().map(|(id, ..)| id).collect::<Vec<_>>();
    let small = "- {resource: 'example.org/accel*', exclude: ['*/*-mini']}";
    assert_eq!(ids(&accelerators(), small), ["example.org-accel"]);
    let next = format!("{small}\n- {{resource: '*/*-mini', vendor: small}}");
    assert_eq!(ids(&accelerators(), &next), ["example.org-accel", "small-example.org-accel-mini"], "another rule may take it");
    let side =
        ["i915_monitoring", "xe_monitoring", "millicores", "memory.max", "tiles"].map(|name| format!("gpu.intel.com/{name}"));
    let resources: Vec<(&str, u32)> = side.iter().map(|name| (name.as_str(), 9)).chain([("gpu.intel.com/i915", 2)]).collect();
    let intel = Cluster::default().node_with("a", &[], &resources);
    assert_eq!(ids(&intel, "- {resource: 'gpu.intel.com/*'}"), ["intel-gpu.intel.com-i915"]);
    assert_eq!(ids(&intel, "- {resource: '*/*'}"), ["intel-gpu.intel.com-i915"]);
    let named = "- {resource: gpu.intel.com/tiles}";
    assert_eq!(ids(&intel, named), ["intel-gpu", "intel-gpu.intel.com-tiles"], "who names one in full means it");
}

#[test]
fn a_key_may_hold_the_name_of_the_resource() {
    let labels = [
        ("nvidia.com/big-gpu.product", "NVIDIA-H100-80GB-HBM3"),
        ("nvidia.com/big-gpu.memory", "81559"),
        ("nvidia.com/big-gpu.replicas", "2"),
        ("nvidia.com/small-gpu.product", "NVIDIA-L4"),
    ];
    let own = [("nvidia.com/big-gpu", 8), ("nvidia.com/small-gpu", 1)];
    let cluster = Cluster::default().node_with("a", &labels, &own);
    let rule = "- {resource: 'nvidia.com/*-gpu', sharing: time-sliced, productLabels: ['{resource}.product'], \
                memoryLabel: '{resource}.memory', replicasLabel: '{resource}.replicas'}";
    assert_eq!(
        kinds(&cluster, rule),
        [
            row("nvidia-h100-80gb-hbm3.nvidia.com-big-gpu.shared-2", own[0].0, "time-sliced", Some(81559), 8),
            row("nvidia-l4.nvidia.com-small-gpu.shared-1", own[1].0, "time-sliced", None, 1),
        ]
    );
}

#[test]
fn a_label_can_promise_what_a_rule_reads() {
    let rule = "- {resource: example.org/accel, presentLabels: ['{resource}.present'], productLabels: [example.org/model]}";
    let node = |present: &str, units: &[(&str, u32)]| {
        Cluster::default().node_with("a", &[("example.org/accel.present", present), ("example.org/model", "X1")], units)
    };
    let state = |cluster: &Cluster| {
        let config = format!("profiles: [{{slug: gpu, title: GPU, image: ml-cpu, gpu: {{}}}}]\ngpuResources:\n{rule}\n");
        by_slug(&offers(cluster, &config), "gpu")["berth"]["availability"].clone()
    };
    assert_eq!(kinds(&node("true", &[]), rule), [row("example-x1.example.org-accel", ACCEL, "exclusive", None, 0)]);
    assert_eq!(state(&node("true", &[])), "starting");
    assert_eq!(state(&node("true", &[(ACCEL, 1)])), "now");
    assert_eq!(state(&node("false", &[])), "never");
}
