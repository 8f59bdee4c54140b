//! Where the volumes of a pod let it go: zones, and claims that are not bound.

use berth::domain::base::Base;
use berth::http::hub::list_profiles;
use serde_json::{Value, json};

use crate::cluster::{A100, Cluster, catalogue, mixed, patch};
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

/// The annotation stays on a claim whose volume is not made, as when the provisioner is down.
#[test]
fn a_claim_whose_volume_is_asked_for_on_one_node_lets_its_pod_go_nowhere_else() {
    let mut cluster =
        Cluster::default().gpu_node("gpu-a", A100, 81920, 1).gpu_node("gpu-b", A100, 81920, 1).claim("home", "Pending").change(
            |claim| {
                claim["metadata"]["annotations"] = json!({"volume.kubernetes.io/selected-node": "gpu-b"});
                claim["spec"] = json!({"storageClassName": "fast"});
            },
        );
    cluster.items.push(json!({
        "kind": "StorageClass", "metadata": {"name": "fast"}, "provisioner": "example.org/down",
        "volumeBindingMode": "WaitForFirstConsumer",
    }));
    let free = view(&cluster, HOME);
    assert_eq!(outcome(&free).0, "now");
    let preferred = patched(&free, Value::Null)["node_affinity_preferred"].clone();
    assert_eq!(preferred[0]["preference"]["matchFields"][0]["values"], json!(["gpu-b"]));
    assert_eq!(preferred.as_array().map(Vec::len), Some(1));
    let room = "gpu-a has room, but the volume of the storage claim home was asked for on another node".to_owned();
    let full = view(&cluster.clone().pod("x/y", "gpu-b", 1), HOME);
    assert_eq!(outcome(&full), ("busy".to_owned(), vec!["all of them are in use".to_owned(), room.clone()]));
    cluster.items.retain(|item| item["metadata"]["name"] != "gpu-b");
    let waits = "the storage claim home is not bound yet".to_owned();
    assert_eq!(outcome(&view(&cluster, HOME)), ("starting".to_owned(), vec![waits, room]), "another node is chosen in time");
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

/// A pool at zero, with these labels, and a claim whose volume has these labels and node affinity.
fn pool_and_volume(pool: &str, volume: Value) -> (String, Vec<String>) {
    let claim = Cluster::default().node("cpu-1").claim("home", "Bound");
    let mut cluster = claim.change(|claim| claim["spec"] = json!({"volumeName": "pv-home"}));
    cluster.items.push(volume);
    let pool = format!("expandable: [{{kind: nvidia-l4, gpusPerNode: 1, maxNodes: 3, labels: {pool}}}]");
    outcome(&view(&cluster, &format!("{HOME}{pool}")))
}

fn volume_on(requirements: Value) -> Value {
    let terms = json!([{"matchExpressions": requirements}]);
    json!({"kind": "PersistentVolume", "metadata": {"name": "pv-home"},
           "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}})
}

#[test]
fn a_pool_that_names_no_zone_may_come_up_in_that_of_the_volume() {
    let is_in = |key: &str, value: &str| json!([{"key": key, "operator": "In", "values": [value]}]);
    let gke = "{cloud.google.com/gke-nodepool: gpu}";
    for (pool, requirements, expected) in [
        (gke, is_in("topology.gke.io/zone", "a"), "starting"),
        (gke, is_in("topology.kubernetes.io/zone", "a"), "starting"),
        ("{topology.gke.io/zone: b}", is_in("topology.gke.io/zone", "a"), "never"),
        // A disk in a machine that is there already is in no new one.
        (gke, is_in("kubernetes.io/hostname", "cpu-1"), "never"),
    ] {
        let (availability, reasons) = pool_and_volume(pool, volume_on(requirements.clone()));
        assert_eq!(availability, expected, "{pool} {requirements}: {reasons:?}");
    }
    let mut labelled = volume_on(json!([]));
    labelled["spec"] = json!({});
    labelled["metadata"]["labels"] = json!({"topology.kubernetes.io/zone": "a"});
    assert_eq!(pool_and_volume(gke, labelled).0, "starting");
}

/// A claim that waits, of a class.
fn pending(cluster: Cluster, spec: Value, class: Value) -> Cluster {
    let mut cluster = cluster.claim("home", "Pending").change(|claim| claim["spec"] = spec);
    let mut storage_class = json!({"kind": "StorageClass", "metadata": {"name": "fast"}});
    storage_class.as_object_mut().expect("a map").extend(class.as_object().expect("a map").clone());
    cluster.items.push(storage_class);
    cluster
}

#[test]
fn a_claim_that_is_not_bound_yet_leaves_a_pool_at_zero_starting_and_is_named() {
    let immediate = json!({"volumeBindingMode": "Immediate"});
    let cluster = pending(Cluster::default().node("cpu-1"), json!({"storageClassName": "fast"}), immediate.clone());
    let config = format!("{HOME}expandable: [{{kind: nvidia-l4, gpusPerNode: 1, maxNodes: 2, labels: {{pool: gpu}}}}]");
    let reasons = ["no such node runs now, and the cluster can start one (up to 2)", "the storage claim home is not bound yet"];
    assert_eq!(outcome(&view(&cluster, &config)), ("starting".to_owned(), reasons.map(str::to_owned).to_vec()));
    // What no node could serve stays so whatever becomes of the claim.
    let one = pending(Cluster::default().gpu_node("gpu-a", A100, 81920, 1), json!({"storageClassName": "fast"}), immediate);
    let two = patch(&view(&one, HOME), "", &ada(), &Base::default(), &json!({"gpus": "2"})).expect_err("a refusal");
    assert_eq!(two.reason, "never-fits");
}

#[test]
fn a_claim_whose_volume_somebody_has_chosen_does_not_wait_for_a_pod() {
    let first = json!({"volumeBindingMode": "WaitForFirstConsumer", "provisioner": "example.org/disks"});
    for (spec, expected) in [
        (json!({"storageClassName": "fast"}), "now"),
        (json!({"storageClassName": "fast", "volumeName": "pv-chosen"}), "starting"),
    ] {
        let cluster = pending(Cluster::default().gpu_node("gpu-a", A100, 81920, 1), spec.clone(), first.clone());
        assert_eq!(outcome(&view(&cluster, HOME)).0, expected, "{spec}");
    }
}

#[test]
fn without_a_provisioner_a_claim_goes_where_a_free_volume_is() {
    let by_hand = json!({"volumeBindingMode": "WaitForFirstConsumer", "provisioner": "kubernetes.io/no-provisioner"});
    let spec =
        json!({"storageClassName": "fast", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}});
    let nodes = || Cluster::default().gpu_node("gpu-a", A100, 81920, 1).gpu_node("gpu-b", A100, 81920, 1);
    let with = |changes: &[fn(&mut Value)]| {
        let mut cluster = pending(nodes(), spec.clone(), by_hand.clone());
        for (at, change) in changes.iter().enumerate() {
            let mut disk = volume_on(json!([{"key": "kubernetes.io/hostname", "operator": "In", "values": ["gpu-b"]}]));
            disk["metadata"]["name"] = json!(format!("disk-{at}"));
            for (field, value) in [
                ("storageClassName", json!("fast")),
                ("accessModes", json!(["ReadWriteOnce"])),
                ("capacity", json!({"storage": "10Gi"})),
            ] {
                disk["spec"][field] = value;
            }
            disk["status"] = json!({"phase": "Available"});
            change(&mut disk);
            cluster.items.push(disk);
        }
        view(&cluster, HOME)
    };
    // A pool of volumes that the source tells nothing of says nothing; here another class's is told.
    let other: fn(&mut Value) = |disk| disk["spec"]["storageClassName"] = json!("slow");
    let waits = vec!["the storage claim home is not bound yet".to_owned()];
    assert_eq!(outcome(&with(&[other])), ("starting".to_owned(), waits));
    let unfit: [fn(&mut Value); 6] = [
        |disk| disk["status"]["phase"] = json!("Released"),
        |disk| disk["spec"]["capacity"]["storage"] = json!("9Gi"),
        |disk| disk["spec"]["accessModes"] = json!(["ReadOnlyMany"]),
        |disk| disk["spec"]["volumeMode"] = json!("Block"),
        |disk| disk["spec"]["claimRef"] = json!({"namespace": "jupyterhub", "name": "other"}),
        |disk| disk["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
    ];
    for change in unfit {
        assert_eq!(outcome(&with(&[change])).0, "starting");
    }
    let nodes_of = |changes: &[fn(&mut Value)]| {
        let preferred = patched(&with(changes), Value::Null)["node_affinity_preferred"].clone();
        let name = |term: &Value| term["preference"]["matchFields"][0]["values"][0].as_str().expect("a name").to_owned();
        preferred.as_array().expect("terms").iter().map(name).collect::<Vec<_>>()
    };
    let elsewhere: fn(&mut Value) = |disk| disk["spec"]["nodeAffinity"] = json!({});
    assert_eq!(nodes_of(&[|_| {}]), ["gpu-b"]);
    assert_eq!(nodes_of(&[|_| {}, elsewhere]), ["gpu-a", "gpu-b"]);
    let kept: fn(&mut Value) = |disk| disk["spec"]["claimRef"] = json!({"namespace": "jupyterhub", "name": "home"});
    assert_eq!(nodes_of(&[kept, elsewhere]), ["gpu-b"], "the volume that is kept for the claim is the one it gets");
}

#[test]
fn a_claim_of_the_hubs_own_that_can_not_be_mounted_is_named_too() {
    let base = serde_json::from_value::<Base>(json!({"claims": ["claim-ada"]})).expect("a base");
    let lost = || mixed().claim("claim-ada", "Lost");
    let leaving = || lost().change(|claim| claim["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    for (cluster, what) in [(lost(), "has lost its volume"), (leaving(), "is being deleted")] {
        let view = view(&cluster, NO_VOLUMES);
        let refused = patch(&view, "", &ada(), &base, &Value::Null).expect_err("a refusal");
        let expected = format!(
            "The storage claim claim-ada {what} in the namespace jupyterhub, so no server that the hub mounts it into can start. \
             Tell the administrator of this hub."
        );
        assert_eq!((refused.status, refused.reason, refused.detail), (422, "missing-claim", expected));
        assert!(patch(&view, "", &ada(), &Base::default(), &Value::Null).is_ok(), "another user's claim is no matter");
    }
}

#[test]
fn the_form_says_what_the_spawn_would_say_of_a_claim() {
    let all = || mixed().claim("berth-notebooks", "Bound").claim("berth-models", "Bound");
    for (cluster, what) in [
        (all(), "does not exist"),
        (all().claim("berth-datasets", "Lost"), "has lost its volume"),
        (all().claim("berth-datasets", "Lost").change(|c| c["metadata"]["deletionTimestamp"] = json!("x")), "is being deleted"),
    ] {
        let list = list_profiles(&cluster.view(&catalogue("")), "", &ada(), "", &Base::default()).expect("a list");
        let reason = format!("the storage claim berth-datasets {what}");
        assert!(list.profiles.len() > 1);
        for offer in serde_json::to_value(&list.profiles).expect("JSON").as_array().expect("offers") {
            let block = &offer["berth"];
            assert_eq!((&block["availability"], &block["pickable"]), (&json!("never"), &json!(false)), "{block}");
            let reasons = block["reasons"].as_array().expect("reasons");
            // A profile for which there is no GPU says that.
            if !reasons.iter().any(|told| told.as_str().is_some_and(|told| told.starts_with("no node has"))) {
                assert_eq!(reasons.first(), Some(&json!(reason)));
            }
            for choice in block["choices"].as_object().expect("choices").values() {
                assert_eq!((&choice["availability"], &choice["pickable"]), (&json!("never"), &json!(false)), "{choice}");
            }
        }
    }
    let whole = all().claim("berth-datasets", "Pending");
    let list = list_profiles(&whole.view(&catalogue("")), "", &ada(), "", &Base::default()).expect("a list");
    assert!(list.profiles.iter().any(|offer| offer.berth.pickable));
}
