//! Pools that an autoscaler grows: what they can still give, and what a pod must carry so that one grows for it.

use berth::domain::base::Base;
use serde_json::{Value, json};

use crate::cluster::{Cluster, GPU, catalogue, mixed, patch};
use crate::places::{NO_VOLUMES, ada, label, offer, outcome, patched, view};

const MACHINE: &str = "node.kubernetes.io/instance-type";

fn expandable(more: &str) -> String {
    format!(
        "volumes: []\nexpandable: [{{kind: nvidia-l4, memory: 24Gi, gpusPerNode: 1, maxNodes: 2, labels: {{pool: gpu}}{more}}}]\n"
    )
}

#[test]
fn case_32_a_pool_that_can_grow_is_starting_and_not_never() {
    let view = view(&Cluster::default().node("cpu-1"), &expandable(""));
    let expected = "no such node runs now, and the cluster can start one (up to 2)".to_owned();
    assert_eq!(outcome(&view), ("starting".to_owned(), vec![expected]));
    assert_eq!(offer(&view)["berth"]["free"], 0);
    let patch = patched(&view, Value::Null);
    assert_eq!(patch["extra_resource_limits"][GPU], "1");
    let toleration = json!([{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]);
    assert_eq!(patch["tolerations"], toleration, "the taint that such nodes usually come with");
    assert!(patch.get("node_affinity_required").is_none());
}

#[test]
fn a_pool_that_is_not_there_yet_is_chosen_by_its_own_labels() {
    let view = view(&mixed(), &expandable(""));
    let terms = patched(&view, json!({"gpu-kind": "nvidia-l4"}))["node_affinity_required"].clone();
    assert_eq!(terms, json!([{"matchExpressions": [{"key": "pool", "operator": "In", "values": ["gpu"]}]}]));
}

#[test]
fn a_pool_grows_no_further_than_it_may_and_no_larger_than_its_nodes() {
    let closed = |cluster: Cluster, name: &str| {
        let taint = json!([{"key": "team", "effect": "NoSchedule"}]);
        cluster.gpu_node(name, "NVIDIA-L4", 23034, 1).change(label("pool", "gpu")).change(|node| node["spec"]["taints"] = taint)
    };
    let closed = view(&closed(Cluster::default(), "a"), &expandable(""));
    assert_eq!(outcome(&closed).0, "never", "the next one would come with the taint of this one");
    let full = |cluster: Cluster, name: &str| {
        cluster.gpu_node(name, "NVIDIA-L4", 23034, 1).change(label("pool", "gpu")).pod(&format!("x/{name}"), name, 1)
    };
    let grows = |cluster: &Cluster| {
        let (availability, reasons) = outcome(&view(cluster, &expandable("")));
        assert_eq!(availability, "busy");
        reasons.iter().any(|reason| reason == "the cluster can start another node")
    };
    let one = full(Cluster::default(), "a");
    assert!(grows(&one) && !grows(&full(one, "b")));
    let two = view(&Cluster::default().node("a"), &expandable(""));
    let error = patch(&two, "", &ada(), &Base::default(), &json!({"gpus": "2"})).expect_err("a refusal");
    assert_eq!(error.reason, "never-fits");
    let base = Base { node_selector: [("zone".to_owned(), "a".to_owned())].into(), ..Base::default() };
    let refused = patch(&two, "", &ada(), &base, &Value::Null).expect_err("a refusal");
    assert_eq!(refused.reason, "never-fits", "the hub's own selector is nothing that the pool's nodes have");
}

#[test]
fn a_pool_at_zero_is_asked_with_the_tolerations_of_its_vendor() {
    for (kind, resource, key) in [
        ("nvidia-a100-sxm4-40gb.mig-1g.5gb.mixed", "nvidia.com/mig-1g.5gb", GPU),
        ("tesla-t4.shared-4.renamed", "nvidia.com/gpu.shared", GPU),
        ("amd-instinct-mi300x.cpx-nps4.mixed", "amd.com/cpx_nps4", "amd.com/gpu"),
        ("intel-max-1550.xe", "gpu.intel.com/xe", "gpu.intel.com/i915"),
    ] {
        let config = format!(
            "volumes: []\nexpandable: [{{kind: {kind}, resource: {resource}, gpusPerNode: 1, maxNodes: 1, labels: {{pool: gpu}}}}]"
        );
        let view = view(&Cluster::default().node("cpu-1"), &config);
        let patch = patched(&view, Value::Null);
        assert_eq!(patch["extra_resource_limits"][resource], "1");
        assert_eq!(patch["tolerations"], json!([{"key": key, "operator": "Exists", "effect": "NoSchedule"}]), "{kind}");
    }
}

#[test]
fn a_node_of_a_pool_shows_what_the_next_one_would_be_like() {
    let profile = "profiles: [{slug: gpu, title: GPU, image: ml-gpu, cpu: {request: '4'}, gpu: {}}]\n";
    let asked = |cluster: &Cluster, pool: &str| {
        let labels = expandable("").replace("pool: gpu", pool);
        outcome(&cluster.view(&catalogue(&format!("{profile}{labels}"))))
    };
    let node = |cpu: &'static str| {
        let node = Cluster::default().gpu_node("l4-1", "NVIDIA-L4", 23034, 1).change(label("pool", "gpu"));
        node.change(|node| node["status"]["allocatable"]["cpu"] = json!(cpu)).change(label(MACHINE, "g6.xlarge"))
    };
    let pool = "pool: gpu";
    let small = vec!["no node is large enough for 4 CPU".to_owned()];
    assert_eq!(asked(&node("3920m"), pool), ("never".to_owned(), small.clone()));
    assert_eq!(asked(&node("0"), pool).0, "starting", "it has not said yet what it has");
    let picked = node("3920m").change(label("karpenter.sh/nodepool", "gpu"));
    assert_eq!(asked(&picked, pool).0, "starting", "the next one may be larger");
    assert_eq!(asked(&picked, "pool: gpu, node.kubernetes.io/instance-type: g6.xlarge"), ("never".to_owned(), small));
    // Some other trouble with the node that is there does not keep the next one from coming.
    let cluster = node("8").claim("home", "Bound").change(|claim| claim["spec"] = json!({"volumeName": "pv-home"}));
    let zone = json!({"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["b"]}]});
    let volume = json!({"kind": "PersistentVolume", "metadata": {"name": "pv-home"},
                        "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [zone]}}}});
    let mut cluster = Cluster { items: [cluster.items, vec![volume]].concat() };
    cluster.items[0]["metadata"]["labels"]["topology.kubernetes.io/zone"] = json!("a");
    let volumes = "volumes: [{name: home, claim: home, mountPath: /home/jovyan, scope: user}]";
    let config = format!("{profile}{}", expandable("").replace("volumes: []", volumes));
    let expected = "no node that runs now can take it, and the cluster can start another (up to 2)".to_owned();
    assert_eq!(outcome(&cluster.view(&catalogue(&config))), ("starting".to_owned(), vec![expected]));
}

#[test]
fn who_waits_for_a_pool_tolerates_what_its_nodes_carry() {
    let taints = json!([{"key": GPU, "effect": "NoExecute"}, {"key": "hub.jupyter.org/dedicated", "effect": "NoSchedule"}]);
    let cluster = Cluster::default().node("new").change(label("pool", "gpu")).change(|node| node["spec"]["taints"] = taints);
    let patch = patched(&view(&cluster, &expandable("")), Value::Null);
    let toleration = |key: &str, effect: &str| json!({"key": key, "operator": "Exists", "effect": effect});
    let dedicated = toleration("hub.jupyter.org/dedicated", "NoSchedule");
    assert_eq!(patch["tolerations"], json!([dedicated, toleration(GPU, "NoExecute"), toleration(GPU, "NoSchedule")]));
}

#[test]
fn a_node_of_a_full_pool_whose_driver_loads_is_starting() {
    let one = expandable("").replace("maxNodes: 2", "maxNodes: 1");
    let loading = view(&Cluster::default().node("l4-1").change(label("pool", "gpu")), &one);
    let expected = "a node with such GPUs has started, and its driver is loading".to_owned();
    assert_eq!(outcome(&loading), ("starting".to_owned(), vec![expected]));
    let sick = Cluster::default().gpu_node("l4-1", "NVIDIA-L4", 23034, 1).change(label("pool", "gpu"));
    let sick = sick.change(|node| node["status"]["allocatable"][GPU] = json!("0"));
    let expected = "l4-1: its GPU is not healthy, or its device plugin restarts".to_owned();
    assert_eq!(outcome(&view(&sick, &one)), ("starting".to_owned(), vec![expected]), "no driver loads");
}

#[test]
fn a_node_that_goes_away_makes_room_in_its_pool_for_another() {
    let one = expandable("").replace("maxNodes: 2", "maxNodes: 1");
    let node = || Cluster::default().gpu_node("l4-1", "NVIDIA-L4", 23034, 1).change(label("pool", "gpu"));
    let tainted = |key: &str| {
        let key = key.to_owned();
        node().change(|node| node["spec"]["taints"] = json!([{"key": key, "effect": "NoSchedule"}]))
    };
    let leaving = node().change(|node| node["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    let next = vec!["no such node runs now, and the cluster can start one (up to 1)".to_owned()];
    for cluster in [
        leaving,
        tainted("ToBeDeletedByClusterAutoscaler"),
        tainted("karpenter.sh/disrupted"),
        tainted("karpenter.sh/disruption"),
    ] {
        assert_eq!(outcome(&view(&cluster, &one)), ("starting".to_owned(), next.clone()));
    }
    assert_eq!(outcome(&view(&tainted("team"), &one)).0, "never", "this one stays, and nobody may go there");
    assert_eq!(outcome(&view(&tainted("ToBeDeletedByClusterAutoscaler"), NO_VOLUMES)).0, "never", "none comes after it");
}

#[test]
fn what_every_new_node_has_is_known_of_a_pool_that_is_not_there_yet() {
    let base = |selector: Value| serde_json::from_value::<Base>(json!({"node_selector": selector})).expect("a base");
    let view = view(&Cluster::default().node("a"), &expandable(""));
    for (selector, fits) in [
        (json!({"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "pool": "gpu"}), true),
        (json!({"kubernetes.io/os": "windows"}), false),
    ] {
        assert_eq!(patch(&view, "", &ada(), &base(selector.clone()), &Value::Null).is_ok(), fits, "{selector}");
    }
}
