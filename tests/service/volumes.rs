//! Where the volumes of a pod let it go: zones, and claims that are not bound.

use berth::domain::base::Base;
use berth::http::hub::patch;
use serde_json::{Value, json};

use crate::cluster::{A100, Cluster};
use crate::places::{NO_VOLUMES, ada, label, outcome, patched, view};

const HOME: &str = "volumes: [{name: home, claim: home, mountPath: /home/jovyan, scope: user}]\n";

/// Two zones with a GPU each; the claim's volume is in the first.
fn zones() -> Cluster {
    let mut cluster = Cluster::default()
        .gpu_node("gpu-a", A100, 81920, 1)
        .change(label("topology.kubernetes.io/zone", "a"))
        .gpu_node("gpu-b", A100, 81920, 1)
        .change(label("topology.kubernetes.io/zone", "b"))
        .claim("home", "Bound")
        .change(|claim| claim["spec"] = json!({"volumeName": "pv-home"}));
    let term = json!({"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]}]});
    cluster.items.push(json!({
        "kind": "PersistentVolume", "metadata": {"name": "pv-home"},
        "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}},
    }));
    cluster
}

#[test]
fn a_volume_keeps_its_pod_in_its_zone_and_the_conflict_is_named() {
    let free = view(&zones(), HOME);
    assert_eq!(outcome(&free).0, "now");
    let preferred = patched(&free, Value::Null)["node_affinity_preferred"].clone();
    assert_eq!(preferred.as_array().map(Vec::len), Some(1), "only the node in the volume's zone: {preferred}");
    let full = view(&zones().pod("x/y", "gpu-a", 1), HOME);
    let conflict = "gpu-b has room, but the volume of the storage claim home can't be used there";
    assert_eq!(outcome(&full), ("busy".to_owned(), vec!["all of them are in use".to_owned(), conflict.to_owned()]));
}

#[test]
fn a_volume_that_says_its_zone_by_a_label_is_understood_too() {
    let mut cluster = zones();
    let volume = cluster.items.last_mut().expect("a volume");
    volume["spec"] = json!({});
    volume["metadata"]["labels"] = json!({"topology.kubernetes.io/zone": "b__c"});
    let preferred = patched(&view(&cluster, HOME), Value::Null)["node_affinity_preferred"].clone();
    assert_eq!(preferred[0]["preference"]["matchFields"][0]["values"], json!(["gpu-b"]));
    assert_eq!(preferred.as_array().map(Vec::len), Some(1));
}

#[test]
fn an_old_zone_label_is_met_by_the_new_one_and_concerns_no_node_without_zones() {
    let old = |value: &str| {
        let mut cluster = zones();
        let volume = cluster.items.last_mut().expect("a volume");
        volume["spec"] = json!({});
        volume["metadata"]["labels"] = json!({"failure-domain.beta.kubernetes.io/zone": value});
        cluster
    };
    let preferred = patched(&view(&old("a"), HOME), Value::Null)["node_affinity_preferred"].clone();
    assert_eq!(preferred[0]["preference"]["matchFields"][0]["values"], json!(["gpu-a"]));
    assert_eq!(preferred.as_array().map(Vec::len), Some(1));
    assert_eq!(outcome(&view(&old("c"), HOME)).0, "never");
    let mut nowhere = old("c");
    nowhere.items.extend(Cluster::default().gpu_node("gpu-c", A100, 81920, 1).items);
    assert_eq!(outcome(&view(&nowhere, HOME)).0, "now", "a node that says nothing of zones is free to take it");
}

#[test]
fn a_claim_that_is_not_bound_yet_waits_or_not_as_its_class_says() {
    for (mode, expected) in [("WaitForFirstConsumer", "now"), ("Immediate", "starting")] {
        let mut cluster = Cluster::default().gpu_node("gpu-a", A100, 81920, 1).claim("home", "Pending").change(|claim| {
            claim["spec"] = json!({"storageClassName": "fast"});
        });
        cluster.items.push(json!({"kind": "StorageClass", "metadata": {"name": "fast"}, "volumeBindingMode": mode}));
        let (availability, reasons) = outcome(&view(&cluster, HOME));
        assert_eq!(availability, expected, "{mode}: {reasons:?}");
        if expected == "starting" {
            assert_eq!(reasons, ["the storage claim home is not bound yet"]);
        }
    }
}

#[test]
fn a_pool_in_the_zone_of_a_volume_can_serve_it_and_another_cannot() {
    for (zone, expected) in [("a", "starting"), ("b", "never")] {
        let mut cluster = zones();
        cluster.items.retain(|item| item["kind"] != "Node");
        let cluster = Cluster { items: [Cluster::default().node("cpu-1").items, cluster.items].concat() };
        let pool = format!("{{kind: nvidia-l4, gpusPerNode: 1, maxNodes: 2, labels: {{topology.kubernetes.io/zone: {zone}}}}}");
        assert_eq!(outcome(&view(&cluster, &format!("{HOME}expandable: [{pool}]"))).0, expected, "{zone}");
    }
}

#[test]
fn a_claim_that_nothing_can_bind_is_not_bound_and_one_without_its_volume_neither() {
    let claim = |phase: &str, spec: Value| {
        let cluster = Cluster::default().gpu_node("gpu-a", A100, 81920, 1).claim("home", phase);
        let mut cluster = cluster.change(|claim| claim["spec"] = spec);
        cluster.items.push(json!({"kind": "StorageClass", "metadata": {"name": "fast"}, "volumeBindingMode": "Immediate"}));
        cluster.items.push(json!({"kind": "PersistentVolume", "metadata": {"name": "pv-other"}, "spec": {}}));
        outcome(&view(&cluster, HOME)).0
    };
    for spec in [json!({}), json!({"storageClassName": ""}), json!({"storageClassName": "gone"})] {
        assert_eq!(claim("Pending", spec.clone()), "starting", "{spec}");
    }
    assert_eq!(claim("Bound", json!({"volumeName": "pv-gone"})), "starting");
    assert_eq!(claim("Bound", json!({"volumeName": "pv-other"})), "now");
}

#[test]
fn a_claim_that_the_hub_itself_mounts_counts_too_once_it_is_there() {
    let base = |claim: &str| serde_json::from_value::<Base>(json!({"claims": [claim]})).expect("a base");
    let full = view(&zones().pod("x/y", "gpu-a", 1), NO_VOLUMES);
    let preferred = |claim: &str| {
        let answer = patch(&full, "", &ada(), &base(claim), &Value::Null).expect("an answer");
        serde_json::to_value(answer.patch).expect("JSON")["node_affinity_preferred"].clone()
    };
    assert_eq!(preferred("home"), Value::Null, "the one node with room is in another zone");
    assert_eq!(preferred("claim-ada")[0]["preference"]["matchFields"][0]["values"], json!(["gpu-b"]), "the hub will make it");
}
