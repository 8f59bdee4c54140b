//! GPUs that a pod must not get, though the scheduler or the hub's own configuration would give them.

use std::collections::BTreeMap;

use berth::domain::base::Base;
use berth::domain::selector::NodeSelectorTerm;
use berth::http::explain::explain;
use berth::profiles::waiting::{Queue, reasons};
use serde_json::{Value, json};

use crate::board::server;
use crate::cluster::{A100, Cluster, GPU, T4, catalogue};
use crate::patches::answer_with;
use crate::places::{NO_VOLUMES, ada, label, outcome, patched, view};

const STATE: &str = "nvidia.com/mig.config.state";

#[test]
fn a_gpu_of_the_hubs_own_is_cleared_even_if_no_node_offers_it() {
    let hubs = [("nvidia.com/mig-1g.5gb", "1"), ("amd.com/cpx_nps4", "1"), ("smarter-devices/fuse", "1")];
    let base: Base = serde_json::from_value(json!({"notebook": BTreeMap::from(hubs)})).expect("a base");
    let config = "profiles: [{slug: cpu, title: C, image: ml-cpu}, {slug: gpu, title: G, image: ml-cpu, gpu: {}}]";
    let offer = |n: &mut Value| n["status"]["allocatable"]["smarter-devices/fuse"] = json!("9");
    let fuse = Cluster::default().node("cpu").change(offer).gpu_node("gpu", A100, 81920, 1).change(offer);
    for (profile, own) in [("cpu", None), ("gpu", Some("1"))] {
        let answer = answer_with(&fuse, config, json!({"profile": profile}), &base).expect("a patch");
        for list in ["extra_resource_limits", "extra_resource_guarantees"] {
            let amounts = answer["patch"][list].as_object().expect("a map");
            for gpu in ["nvidia.com/mig-1g.5gb", "amd.com/cpx_nps4"] {
                assert_eq!(amounts.get(gpu), Some(&Value::Null), "{profile}: {list}");
            }
            assert_eq!(amounts.get("smarter-devices/fuse"), None, "what is no GPU stays the hub's");
        }
        assert_eq!(answer["patch"]["extra_resource_limits"][GPU].as_str(), own);
    }
}

fn joined(clusters: impl IntoIterator<Item = Cluster>) -> Cluster {
    Cluster { items: clusters.into_iter().flat_map(|cluster| cluster.items).collect() }
}

/// Which of the nodes a patch's required terms select.
fn selected(cluster: &Cluster, patch: &Value) -> Vec<String> {
    let terms: Vec<NodeSelectorTerm> = serde_json::from_value(patch["node_affinity_required"].clone()).expect("terms");
    let snapshot = cluster.snapshot();
    let meets = |node: &&std::sync::Arc<berth::domain::node::NodeState>| {
        terms.iter().any(|term| term.matches(node.name(), &node.facts.labels))
    };
    snapshot.nodes.iter().filter(meets).map(|node| node.name().to_owned()).collect()
}

#[test]
fn a_pod_stays_off_slices_that_make_no_layout() {
    const INVALID: &str = "NVIDIA-A100-SXM4-80GB-MIG-INVALID";
    let broken = Cluster::default().gpu_node("broken", INVALID, 0, 3).change(label("nvidia.com/gpu.count", "0")).change(|node| {
        for list in ["capacity", "allocatable"] {
            node["status"][list]["amd.com/gpu"] = json!("2");
        }
    });
    let cluster = joined([broken, Cluster::default().gpu_node("good", A100, 81920, 1)]);
    let view = view(&cluster, NO_VOLUMES);
    let not = json!({"key": "nvidia.com/gpu.product", "operator": "NotIn", "values": [INVALID]});
    let patch = patched(&view, json!({"gpu-kind": "any"}));
    assert_eq!(patch["extra_resource_limits"][GPU], "1");
    assert_eq!(patch["node_affinity_required"], json!([{"matchExpressions": [not]}]));
    assert_eq!(selected(&cluster, &patch), ["good"]);
    let answer = explain(&view, "", (&ada(), ""), &Base::default(), &Value::Null).expect("an explanation");
    let broken = serde_json::to_value(&answer.nodes[0]).expect("JSON");
    assert_eq!((&broken["name"], &broken["availability"]), (&json!("broken"), &json!("never")));
    let amd = patched(&view, json!({"gpu-kind": "amd-gpu"}));
    assert_eq!(amd["extra_resource_limits"]["amd.com/gpu"], "1");
    assert!(amd.get("node_affinity_required").is_none(), "its other cards are as good as any");
}

#[test]
fn a_pod_waits_until_cards_are_cut_up() {
    let cutting = |state| Cluster::default().gpu_node("cutting", T4, 15360, 2).change(label(STATE, state));
    let good = || Cluster::default().gpu_node("good", A100, 81920, 1);
    for state in ["pending", "rebooting", "failed"] {
        let cluster = joined([cutting(state), good()]);
        let both = view(&cluster, NO_VOLUMES);
        let patch = patched(&both, Value::Null);
        assert_eq!(selected(&cluster, &patch), ["good"]);
        let term = json!({"key": STATE, "operator": "NotIn", "values": ["pending", "rebooting", "failed"]});
        assert_eq!(patch["node_affinity_required"], json!([{"matchExpressions": [term]}]), "whichever comes next");
        let kind = patched(&both, json!({"gpu-kind": "tesla-t4"}));
        assert_eq!(selected(&cluster, &kind), Vec::<String>::new(), "until the label says success");
        assert_eq!(selected(&joined([cutting("success"), good()]), &kind), ["cutting"]);
        let alone = outcome(&view(&cutting(state), NO_VOLUMES));
        let reason = if state == "failed" {
            "could not be reconfigured (failed)".to_owned()
        } else {
            format!("are being reconfigured ({state})")
        };
        assert_eq!(alone, ("starting".to_owned(), vec![format!("cutting: its GPUs {reason}")]));
    }
    let amd = cutting("pending").change(|node| {
        for list in ["capacity", "allocatable"] {
            node["status"][list]["amd.com/gpu"] = json!("2");
        }
    });
    let other = view(&amd, NO_VOLUMES);
    let patch = patched(&other, json!({"gpu-kind": "amd-gpu"}));
    assert!(patch.get("node_affinity_required").is_none(), "nobody cuts up the node's other cards");
    assert_eq!(outcome(&other).0, "now");
    let done = view(&joined([cutting("success"), good()]), NO_VOLUMES);
    assert!(patched(&done, Value::Null).get("node_affinity_required").is_none());
}

#[test]
fn who_waits_for_cards_that_are_cut_up_is_told_so() {
    let cluster = Cluster::default().gpu_node("cutting", T4, 15360, 2).change(label(STATE, "pending"));
    let patch = patched(&view(&cluster, NO_VOLUMES), Value::Null);
    let terms = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": patch["node_affinity_required"]
    }}});
    let cluster = server(cluster, "ada", "", None, 1, "2026-01-31T10:00:00Z").change(|pod| {
        pod["spec"]["affinity"] = terms;
        pod["spec"]["tolerations"] = patch["tolerations"].clone();
    });
    let snapshot = cluster.snapshot();
    let told = reasons(&snapshot.servers[0], "yours", &Queue::new(&snapshot), &catalogue(""), &|_| None);
    assert_eq!(told, ["cutting: its GPUs are being reconfigured (pending)"]);
}
