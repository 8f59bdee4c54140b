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
    let name = json!({"key": "metadata.name", "operator": "In", "values": ["a"]});
    assert_eq!(patch["node_affinity_required"], json!([{"matchFields": [name]}]));
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
