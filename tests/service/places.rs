//! Where a pod can go and where it can't: architectures, other clusters' nodes, placeholders that give way.

use berth::domain::base::Base;
use berth::http::View;
use berth::http::hub::list_profiles;
use berth::profiles::User;
use serde_json::{Value, json};

use crate::cluster::{A100, Cluster, GPU, T4, catalogue, patch};

const GPU_PROFILE: &str = "profiles: [{slug: gpu, title: GPU, image: ml-cpu, gpu: {counts: [1, 2]}}]\n";

pub fn view(cluster: &Cluster, config: &str) -> View {
    cluster.view(&catalogue(&format!("{GPU_PROFILE}{config}")))
}

pub fn ada() -> User {
    User { name: "ada".into(), ..User::default() }
}

pub fn offer(view: &View) -> Value {
    let list = list_profiles(view, "", &ada(), "", &Base::default()).expect("a list");
    serde_json::to_value(&list.profiles[0]).expect("JSON")
}

/// When, and why not now.
pub fn outcome(view: &View) -> (String, Vec<String>) {
    let berth = offer(view)["berth"].clone();
    let reasons = berth["reasons"].as_array().expect("reasons").iter().map(|r| r.as_str().expect("text").to_owned());
    (berth["availability"].as_str().expect("a word").to_owned(), reasons.collect())
}

pub fn patched(view: &View, options: Value) -> Value {
    let answer = patch(view, "", &ada(), &Base::default(), &options).unwrap_or_else(|problem| panic!("{problem}"));
    serde_json::to_value(answer.patch).expect("JSON")
}

pub fn label(key: &'static str, value: &'static str) -> impl Fn(&mut Value) {
    move |node| node["metadata"]["labels"][key] = json!(value)
}

pub const NO_VOLUMES: &str = "volumes: []\n";

#[test]
fn case_12_a_taint_counts_by_profile() {
    let config = "profiles: [{slug: gpu, title: G, image: ml-gpu, gpu: {}}, {slug: cpu, title: C, image: ml-cpu}]\nvolumes: []";
    let view = Cluster::default().gpu_node("gpu-a", A100, 81920, 1).view(&catalogue(config));
    let ask = |profile: &str, base: &Base| patch(&view, "", &ada(), base, &json!({"profile": profile})).map_err(|e| e.reason);
    assert!(ask("gpu", &Base::default()).is_ok(), "its pod tolerates the taint");
    assert_eq!(ask("cpu", &Base::default()).err(), Some("never-fits"), "and that one does not");
    let tolerant = serde_json::from_value(json!({"tolerations": [{"key": GPU, "operator": "Exists"}]})).expect("a base");
    assert!(ask("cpu", &tolerant).is_ok(), "unless the hub's own configuration does");
}

#[test]
fn case_24_a_free_gpu_without_the_cpu_for_it_is_not_free_for_this_profile() {
    let config = "profiles: [{slug: gpu, title: GPU, image: ml-gpu, cpu: {request: '4'}, gpu: {}}]\nvolumes: []";
    let busy = |cpu: &str| {
        let cluster = Cluster::default().gpu_node("gpu-a", A100, 81920, 2).pod("x/y", "gpu-a", 1);
        cluster.change(|pod| pod["spec"]["containers"][0]["resources"]["requests"] = json!({"cpu": cpu}))
    };
    for (cpu, sentence) in [("15500m", "not enough CPU left"), ("16", "no CPU left")] {
        let view = busy(cpu).view(&catalogue(config));
        assert_eq!(outcome(&view), ("busy".to_owned(), vec![format!("GPU free but {sentence} on gpu-a")]));
        assert_eq!(offer(&view)["berth"]["free"], 1, "the GPU itself is free, and shown");
    }
    assert_eq!(outcome(&busy("12").view(&catalogue(config))).0, "now");
}

#[test]
fn a_node_of_another_system_or_architecture_takes_no_notebook() {
    for (key, value, reason) in [
        ("kubernetes.io/os", "windows", "runs windows"),
        ("kubernetes.io/arch", "arm64", "has the architecture arm64, which the images are not built for"),
    ] {
        let cluster = Cluster::default().gpu_node("gpu-a", A100, 81920, 2).change(label(key, value)).node("cpu-1");
        let view = view(&cluster, NO_VOLUMES);
        let snapshot = view.snapshot.clone().expect("a snapshot");
        assert_eq!((snapshot.kinds[0].free, snapshot.kinds[0].unusable), (0, 2));
        assert_eq!(snapshot.node("gpu-a").expect("a node").reasons, [reason]);
        assert_eq!(outcome(&view).0, "never");
        let two = Cluster { items: [cluster.items, Cluster::default().gpu_node("gpu-b", A100, 81920, 1).items].concat() };
        let required = patched(&self::view(&two, NO_VOLUMES), Value::Null)["node_affinity_required"].clone();
        let expected = json!([{"matchExpressions": [{"key": key, "operator": "NotIn", "values": [value]}]}]);
        assert_eq!(required, expected, "the scheduler does not know it: the pod has to say it");
    }
}

#[test]
fn an_architecture_that_the_images_are_built_for_is_like_any_other() {
    let arm = Cluster::default().gpu_node("gpu-a", A100, 81920, 2).change(label("kubernetes.io/arch", "arm64"));
    let view = view(&arm, "volumes: []\narchitectures: [amd64, arm64]");
    assert_eq!(outcome(&view).0, "now");
    assert!(patched(&view, Value::Null).get("node_affinity_required").is_none());
}

#[test]
fn case_33_the_node_of_another_cluster_is_hidden_unless_opted_in() {
    for (key, value) in [("liqo.io/type", "virtual-node"), ("type", "virtual-kubelet")] {
        let cluster = Cluster::default().gpu_node("remote", A100, 81920, 4).change(label(key, value));
        let hidden = view(&cluster, NO_VOLUMES).snapshot.expect("a snapshot");
        assert!(hidden.kinds.is_empty() && hidden.gpu_nodes.is_empty());
        let shown = view(&cluster, "volumes: []\nvirtualNodes: true").snapshot.expect("a snapshot");
        assert_eq!(shown.kinds[0].free, 4);
    }
}

#[test]
fn the_node_of_another_cluster_is_known_by_its_taint_alone() {
    let taint = json!([{"key": "virtual-kubelet.io/provider", "value": "azure", "effect": "NoSchedule"}]);
    let remote = Cluster::default().gpu_node("remote", A100, 81920, 4).change(|node| node["spec"]["taints"] = taint);
    let hidden = view(&remote, NO_VOLUMES).snapshot.expect("a snapshot");
    assert!(hidden.kinds.is_empty());
    assert_eq!(hidden.nodes[0].reasons[0], "stands for another cluster");
    let tolerant = serde_json::from_value(json!({"tolerations": [{"operator": "Exists"}]})).expect("a base");
    let both = Cluster { items: [remote.items, Cluster::default().gpu_node("near", A100, 81920, 1).items].concat() };
    let answer = patch(&view(&both, NO_VOLUMES), "", &ada(), &tolerant, &Value::Null).expect("a patch");
    let answer = serde_json::to_value(answer.patch).expect("JSON");
    let off = json!([{"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["remote"]}]}]);
    assert_eq!(answer["node_affinity_required"], off, "no label tells it apart");
    let shown = view(&both, "volumes: []\nvirtualNodes: true").snapshot.expect("a snapshot");
    assert_eq!(shown.kinds[0].total, 5);
}

#[test]
fn a_taint_that_a_node_has_only_while_it_starts_is_starting() {
    for (key, expected) in [
        ("ebs.csi.aws.com/agent-not-ready", "starting"),
        ("node.cilium.io/agent-not-ready", "starting"),
        ("karpenter.sh/unregistered", "starting"),
        ("node.cluster.x-k8s.io/uninitialized", "starting"),
        ("startup-taint.cluster-autoscaler.kubernetes.io/disks", "starting"),
        ("node.kubernetes.io/not-ready", "starting"),
        ("node.cloudprovider.kubernetes.io/uninitialized", "starting"),
        ("karpenter.sh/other", "never"),
        ("team/not-ready-for-you", "never"),
    ] {
        let taint = json!([{"key": key, "effect": "NoExecute"}]);
        let cluster = Cluster::default().gpu_node("gpu-a", A100, 81920, 1).change(|node| node["spec"]["taints"] = taint);
        let (availability, reasons) = outcome(&view(&cluster, NO_VOLUMES));
        assert_eq!(
            (availability.as_str(), reasons),
            (expected, vec![format!("gpu-a: the taint {key}:NoExecute is not tolerated")])
        );
    }
}

#[test]
fn a_node_whose_driver_loads_serves_no_more_than_its_labels_promise() {
    let loading = |label: &'static str| {
        Cluster::default().node("new").change(self::label(label, "2")).change(self::label("nvidia.com/gpu.product", A100))
    };
    let asked = |cluster: &Cluster, gpus: &str| {
        let config = "profiles: [{slug: gpu, title: GPU, image: ml-cpu, gpu: {counts: [1, 2, 8]}}]\nvolumes: []";
        patch(&cluster.view(&catalogue(config)), "", &ada(), &Base::default(), &json!({"gpus": gpus}))
    };
    let nvidia = loading("nvidia.com/gpu.count");
    let amd = Cluster::default().node("new").change(label("amd.com/gpu.product-name.Instinct_MI300X", "2"));
    for cluster in [nvidia, amd] {
        assert!(asked(&cluster, "2").is_ok());
        let refused = asked(&cluster, "8").expect_err("a refusal");
        assert_eq!((refused.status, refused.reason), (422, "never-fits"));
        assert!(refused.detail.contains("no node has 8 of them"), "{}", refused.detail);
    }
    // A plain label of AMD's tells no number.
    let unknown = Cluster::default().node("new").change(label("amd.com/gpu.product-name", "Instinct_MI300X"));
    assert!(asked(&unknown, "8").is_ok());
}

#[test]
fn of_several_vendors_the_larger_gpu_is_taken_or_the_one_whose_node_has_the_image() {
    let workstation = Cluster::default().gpu_node("desk", "NVIDIA-RTX-3090", 24576, 2).change(|node| {
        for list in ["capacity", "allocatable"] {
            node["status"][list]["gpu.intel.com/i915"] = json!("1");
            node["status"][list]["amd.com/gpu"] = json!("1");
        }
    });
    let asked = |cluster: &Cluster| {
        let limits = patched(&view(cluster, NO_VOLUMES), Value::Null)["extra_resource_limits"].clone();
        let asked = limits.as_object().expect("a map").iter().find(|(_, count)| !count.is_null());
        asked.map(|(name, _)| name.clone()).expect("a GPU")
    };
    assert_eq!(asked(&workstation), GPU);
    let amd = Cluster::default().node("amd").change(|node| {
        for list in ["capacity", "allocatable"] {
            node["status"][list]["amd.com/gpu"] = json!("1");
        }
        node["status"]["images"] = json!([{"names": ["docker.io/library/jupyter-ml-cpu:1.0"]}]);
    });
    assert_eq!(asked(&Cluster { items: [workstation.items, amd.items].concat() }), "amd.com/gpu");
}

#[test]
fn a_kind_is_not_mistaken_for_another_with_the_same_label() {
    // The label names one model; allocatable holds more cards than that model's count: another model is among them.
    let mut cluster = Cluster::default().gpu_node("pure", A100, 81920, 2);
    let shared = Cluster::default().gpu_node("shared", A100, 81920, 1).change(|node| {
        node["metadata"]["labels"]["nvidia.com/gpu.replicas"] = json!("4");
        node["metadata"]["labels"]["nvidia.com/gpu.product"] = json!(format!("{A100}-SHARED"));
    });
    cluster.items.extend(shared.items);
    let bare = Cluster::default().node("bare").change(|node| {
        node["status"]["capacity"][GPU] = json!("2");
        node["status"]["allocatable"][GPU] = json!("2");
        node["metadata"]["labels"]["node.kubernetes.io/instance-type"] = json!("g5");
    });
    let typed = Cluster::default().gpu_node("typed", T4, 15360, 1).change(label("node.kubernetes.io/instance-type", "g5"));
    cluster.items.extend([bare.items, typed.items].concat());
    let view = view(&cluster, NO_VOLUMES);
    let terms = patched(&view, json!({"gpu-kind": "nvidia-g5"}))["node_affinity_required"].clone();
    let selecting: Vec<berth::domain::selector::NodeSelectorTerm> = serde_json::from_value(terms).expect("terms");
    let snapshot = view.snapshot.expect("a snapshot");
    let meets = |name: &str| {
        let node = snapshot.node(name).expect("a node");
        selecting.iter().any(|term| term.matches(name, &node.facts.labels))
    };
    assert!(meets("bare") && !meets("typed") && !meets("pure") && !meets("shared"), "{selecting:?}");
}

#[test]
fn placeholders_give_way_and_are_shown_apart() {
    let cluster = Cluster::default().gpu_node("gpu-a", A100, 81920, 4).pod("x/y", "gpu-a", 1).pod("hub/warm-1", "gpu-a", 2);
    let placeholder = cluster.change(|pod| {
        pod["metadata"]["labels"] = json!({"component": "user-placeholder"});
        pod["spec"]["priority"] = json!(-10);
    });
    let count = placeholder.snapshot().kinds[0].clone();
    assert_eq!((count.used, count.free, count.reclaimable), (1, 3, 2));
    let important = placeholder.change(|pod| pod["spec"]["priority"] = json!(0));
    assert_eq!(important.snapshot().kinds[0].free, 1, "without a lower priority it gives way to nobody");
}

#[test]
fn a_nomination_of_lower_priority_holds_nothing_against_a_user() {
    let nominated = |priority: i32, refused: bool| {
        let cluster = Cluster::default().gpu_node("gpu-a", A100, 81920, 1).pod("x/next", "", 1);
        let cluster = cluster.change(|pod| {
            pod["status"] = json!({"nominatedNodeName": "gpu-a"});
            if refused {
                pod["status"]["conditions"] = json!([{"type": "PodScheduled", "status": "False"}]);
            }
            pod["spec"]["priority"] = json!(priority);
        });
        let count = cluster.snapshot().kinds[0].clone();
        (outcome(&view(&cluster, NO_VOLUMES)).0, count.held, count.pending)
    };
    assert_eq!(nominated(-5, true), ("now".to_owned(), 0, 1), "the scheduler binds a user's pod in front of it");
    for (priority, refused) in [(0, true), (1000, true), (-5, false)] {
        assert_eq!(nominated(priority, refused), ("busy".to_owned(), 1, 1), "its volume is being made, or it evicts others");
    }
}

#[test]
fn what_the_hub_gives_the_notebook_counts_where_the_profile_says_nothing() {
    let base = |text: Value| serde_json::from_value::<Base>(text).expect("a base");
    let view = view(&Cluster::default().gpu_node("gpu-a", A100, 81920, 1), NO_VOLUMES);
    for (asked, fits) in [
        (json!({"notebook": {"memory": "60Gi"}}), true),
        (json!({"notebook": {"memory": "65Gi"}}), false),
        (json!({"notebook": {"smarter-devices/fuse": "1"}}), false),
        (json!({"notebook": {GPU: "4"}}), true),
        (json!({"init": {"cpu": "17"}}), false),
        (json!({"init": {"cpu": "16"}, "requests": {"cpu": "1"}}), true),
    ] {
        assert_eq!(patch(&view, "", &ada(), &base(asked.clone()), &Value::Null).is_ok(), fits, "{asked}");
    }
    let named = catalogue("profiles: [{slug: a, title: A, image: ml-cpu, memory: {request: 1Gi}}]\nvolumes: []");
    let named = Cluster::default().node("cpu-1").view(&named);
    let answer = patch(&named, "", &ada(), &base(json!({"notebook": {"memory": "65Gi"}})), &Value::Null);
    assert!(answer.is_ok(), "the profile's own memory stands in its place");
}
