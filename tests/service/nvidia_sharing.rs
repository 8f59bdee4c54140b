//! NVIDIA's ways of giving out a card: shares, slices, and what labels say of them. Numbers in names are the fact sheet's.

use serde_json::{Value, json};

use crate::cluster::{A100, Cluster, GPU};
use crate::counts::only_kind;
use crate::offers::{GPU_PROFILE, by_slug, offers};
use crate::patches::patched;

const A100_40: &str = "NVIDIA-A100-SXM4-40GB";
const GKE_STRATEGY: &str = "cloud.google.com/gke-gpu-sharing-strategy";
const SLICE: &str = "nvidia.com/mig-1g.5gb";

fn ids(cluster: &Cluster) -> Vec<(String, u64)> {
    cluster.snapshot().kinds.iter().map(|count| (count.kind.id.clone(), count.free)).collect()
}

fn shared_t4() -> Cluster {
    t4("t4", "Tesla-T4-SHARED", GPU, "time-slicing")
}

fn t4(name: &str, product: &str, resource: &'static str, strategy: &'static str) -> Cluster {
    Cluster::default().gpu_node(name, product, 15360, 1).change(|n| {
        n["metadata"]["labels"]["nvidia.com/gpu.replicas"] = json!("4");
        n["metadata"]["labels"]["nvidia.com/gpu.sharing-strategy"] = json!(strategy);
        for list in ["capacity", "allocatable"] {
            n["status"][list].as_object_mut().expect("a map").remove(GPU);
            n["status"][list][resource] = json!("4");
        }
    })
}

#[test]
fn case_17_shares_are_counted_as_shares_and_two_are_never_offered() {
    let cluster = shared_t4().pod("a/x", "t4", 3);
    let count = only_kind(&cluster);
    assert_eq!((count.kind.id.as_str(), count.free, count.physical), ("tesla-t4.shared-4", 1, 1));
    let two = "profiles:\n- {slug: gpu, title: GPU, image: ml-gpu, gpu: {counts: [2]}}\n";
    let offers = offers(&shared_t4(), two);
    let gpu = &by_slug(&offers, "gpu")["berth"];
    assert_eq!((&gpu["availability"], &gpu["free"]), (&json!("never"), &json!(0)));
}

#[test]
fn case_18_renamed_shares_are_listed_under_their_own_resource() {
    let cluster = Cluster::default().node_with(
        "t4",
        &[("nvidia.com/gpu.product", "Tesla-T4"), ("nvidia.com/gpu.replicas", "10"), ("nvidia.com/gpu.count", "4")],
        &[("nvidia.com/gpu.shared", 40)],
    );
    let count = only_kind(&cluster);
    assert_eq!((&*count.kind.resource, count.kind.id.as_str()), ("nvidia.com/gpu.shared", "tesla-t4.shared-10.renamed"));
    assert_eq!((count.total, count.free, count.physical), (40, 40, 4));
    assert!(cluster.snapshot().unclassified.is_empty());
}

#[test]
fn case_19_slices_of_strategy_single_are_slices_of_their_card() {
    let product = format!("{A100_40}-MIG-1g.5gb");
    let mut cluster = Cluster::default().gpu_node("a", &product, 4864, 56);
    for pod in 0..50 {
        cluster = cluster.pod(&format!("x/{pod}"), "a", 1);
    }
    let count = only_kind(&cluster);
    assert_eq!((count.total, count.free, count.physical), (56, 6, 8));
    assert_eq!(count.kind.id, "nvidia-a100-sxm4-40gb.mig-1g.5gb");
    assert_eq!((count.kind.product.as_str(), count.kind.memory_mib), (A100_40, Some(4864)));
    assert_eq!(count.kind.display_name(), "NVIDIA A100 5 GB, MIG slice 1g.5gb");
}

/// A node of strategy `mixed`, with whole cards beside the slices.
fn sliced(name: &str, whole: u32) -> Cluster {
    Cluster::default().node_with(
        name,
        &[
            ("nvidia.com/gpu.product", A100_40),
            ("nvidia.com/gpu.memory", "40960"),
            ("nvidia.com/gpu.count", "8"),
            ("nvidia.com/mig.strategy", "mixed"),
            ("nvidia.com/mig-1g.5gb.product", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"),
            ("nvidia.com/mig-1g.5gb.memory", "4864"),
            ("nvidia.com/mig-1g.5gb.count", "7"),
            ("nvidia.com/mig-3g.20gb.product", "NVIDIA-A100-SXM4-40GB-MIG-3g.20gb"),
            ("nvidia.com/mig-3g.20gb.memory", "19968"),
            ("nvidia.com/mig-3g.20gb.count", "2"),
        ],
        &[(SLICE, 7), ("nvidia.com/mig-3g.20gb", 2), (GPU, whole)],
    )
}

#[test]
fn case_20_each_slice_of_strategy_mixed_is_a_kind_and_no_card_is_left() {
    let cluster = sliced("a", 0).pod_with("x/y", "a", "nvidia.com/mig-3g.20gb", 1);
    let snapshot = cluster.snapshot();
    let rows: Vec<_> = snapshot.kinds.iter().map(|c| (c.kind.id.as_str(), &*c.kind.resource, c.free, c.physical)).collect();
    assert_eq!(
        rows,
        [
            ("nvidia-a100-sxm4-40gb.mig-1g.5gb.mixed", SLICE, 7, 1),
            ("nvidia-a100-sxm4-40gb.mig-3g.20gb.mixed", "nvidia.com/mig-3g.20gb", 1, 1),
        ]
    );
    let kind = &snapshot.kinds[1].kind;
    assert_eq!((kind.product.as_str(), kind.memory_mib, kind.sharing.name()), (A100_40, Some(19968), "mig"));
    assert!(snapshot.unclassified.is_empty());
}

#[test]
fn whole_cards_beside_slices_are_a_kind_of_their_own() {
    // gpu.count says 8, since it counts the parted cards too: fewer whole ones are no fault.
    let snapshot = sliced("a", 4).snapshot();
    let whole = snapshot.kind("nvidia-a100-sxm4-40gb").expect("whole cards");
    assert_eq!((whole.total, whole.kind.memory_mib, snapshot.kinds.len()), (4, Some(40960), 3));
}

#[test]
fn the_same_slice_under_two_names_is_two_kinds_whatever_else_there_is() {
    let mut cluster = sliced("a", 0);
    let alone = ids(&cluster);
    cluster.items.extend(Cluster::default().gpu_node("b", &format!("{A100_40}-MIG-1g.5gb"), 4864, 7).items);
    let together = ids(&cluster);
    assert_eq!(together[0], ("nvidia-a100-sxm4-40gb.mig-1g.5gb".to_owned(), 7));
    assert_eq!(together[1..], alone);
}

#[test]
fn case_21_a_dot_behind_the_size_is_the_profiles_plus() {
    let cluster = Cluster::default().node_with(
        "a",
        &[("nvidia.com/gpu.product", "NVIDIA-H100-80GB-HBM3"), ("nvidia.com/mig-1g.10gb.me.memory", "9856")],
        &[("nvidia.com/mig-1g.10gb.me", 8)],
    );
    let count = only_kind(&cluster);
    assert_eq!((count.total, count.free, count.physical), (8, 8, 8), "the media engines of a card go to one slice");
    let kind = count.kind;
    assert_eq!((kind.mig_profile.as_deref(), kind.memory_mib), (Some("1g.10gb+me"), Some(9856)));
    assert_eq!(kind.id, "nvidia-h100-80gb-hbm3.mig-1g.10gb-me.mixed");
    assert_eq!(kind.display_name(), "NVIDIA H100 10 GB, MIG slice 1g.10gb+me");
}

#[test]
fn a_card_holds_fewer_slices_where_their_memory_is_larger() {
    let single = |product: &str, slices: u32| {
        only_kind(&Cluster::default().gpu_node("a", &format!("{product}-MIG-{}", "1g.20gb"), 20096, slices)).physical
    };
    assert_eq!(single("NVIDIA-H100-80GB-HBM3", 12), 3);
    let mixed = |memory: &str| {
        let labels = [("nvidia.com/gpu.product", "NVIDIA-A100-PG509"), ("nvidia.com/gpu.memory", memory)];
        only_kind(&Cluster::default().node_with("a", &labels, &[("nvidia.com/mig-1g.10gb", 8)])).physical
    };
    assert_eq!((mixed("40960"), mixed("81920")), (2, 2));
    let pro = "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition-MIG-1g.24gb";
    assert_eq!(only_kind(&Cluster::default().gpu_node("a", pro, 24192, 32)).physical, 8);
}

#[test]
fn pods_on_slices_that_a_node_no_longer_has_are_told() {
    let cluster = sliced("a", 0).pod_with("x/y", "a", "nvidia.com/mig-2g.10gb", 1).pod_with("x/z", "a", SLICE, 1);
    let snapshot = cluster.snapshot();
    let node = &snapshot.nodes[0];
    assert_eq!(node.reasons, ["its pods still use 1 nvidia.com/mig-2g.10gb, which it no longer has"]);
    assert!(node.usable());
    assert!(snapshot.kinds.iter().all(|count| !count.kind.id.contains("2g")), "nobody can have one");
}

#[test]
fn case_22_a_broken_layout_is_never_offered_and_its_node_says_why() {
    let invalid = |count: u32| {
        Cluster::default().gpu_node("a", "NVIDIA-A100-SXM4-40GB-MIG-INVALID", 0, count).change(|n| {
            for label in ["count", "replicas"] {
                n["metadata"]["labels"][format!("nvidia.com/gpu.{label}")] = json!("0");
            }
            n["metadata"]["labels"]["nvidia.com/gpu.sharing-strategy"] = json!("");
            n["spec"]["taints"] = json!([]);
        })
    };
    for count in [0, 3] {
        let snapshot = invalid(count).snapshot();
        assert!(snapshot.kinds.is_empty() && snapshot.unclassified.is_empty());
        let node = &snapshot.nodes[0];
        assert_eq!(node.reasons, ["its MIG layout is invalid, so its GPUs are not offered"]);
        assert!(node.usable(), "a pod without a GPU can still run there");
    }
    let offers = offers(&invalid(0), "");
    assert_eq!(by_slug(&offers, "cpu")["berth"]["availability"], "now");
    assert_eq!(by_slug(&offers, "gpu")["berth"]["availability"], "never");
    let both = invalid(0).change(|n| {
        n["status"]["capacity"]["amd.com/gpu"] = json!("2");
        n["status"]["allocatable"]["amd.com/gpu"] = json!("2");
    });
    assert_eq!(only_kind(&both).free, 2, "what else the node has stays in use");
}

#[test]
fn slices_can_be_shared_and_renamed() {
    let node = |name: &str, resource: &str, product: &str| {
        Cluster::default().node_with(
            name,
            &[
                ("nvidia.com/gpu.product", A100_40),
                ("nvidia.com/mig-1g.5gb.product", product),
                ("nvidia.com/mig-1g.5gb.memory", "4864"),
                ("nvidia.com/mig-1g.5gb.count", "7"),
                ("nvidia.com/mig-1g.5gb.replicas", "2"),
                ("nvidia.com/mig-1g.5gb.sharing-strategy", "time-slicing"),
            ],
            &[(resource, 14)],
        )
    };
    let mut cluster = node("a", SLICE, "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb-SHARED");
    cluster.items.extend(node("b", "nvidia.com/mig-1g.5gb.shared", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb").items);
    let snapshot = cluster.snapshot();
    let rows: Vec<_> = snapshot.kinds.iter().map(|c| (c.kind.id.as_str(), c.kind.sharing.name(), c.total, c.physical)).collect();
    assert_eq!(
        rows,
        [
            ("nvidia-a100-sxm4-40gb.mig-1g.5gb.mixed.shared-2", "time-sliced", 14, 1),
            ("nvidia-a100-sxm4-40gb.mig-1g.5gb.mixed.shared-2.renamed", "time-sliced", 14, 1),
        ]
    );
    assert_eq!(snapshot.kinds[0].kind.display_name(), "NVIDIA A100 5 GB, MIG slice 1g.5gb, shared by 2");
}

#[test]
fn a_slice_can_be_chosen_and_is_asked_for_by_its_name() {
    let cluster = sliced("a", 4);
    let offers = offers(&cluster, GPU_PROFILE);
    let choices = &by_slug(&offers, "gpu")["profile_options"]["gpu-kind"]["choices"];
    let id = "nvidia-a100-sxm4-40gb.mig-1g.5gb.mixed";
    assert_eq!(choices[id]["display_name"], "NVIDIA A100 5 GB, MIG slice 1g.5gb, 7 of 7 free");
    let patch = patched(&cluster, GPU_PROFILE, json!({"profile": "gpu", "gpu-kind": id, "gpus": "2"}));
    assert_eq!(patch["extra_resource_limits"][SLICE], "2");
    assert_eq!(patch["extra_resource_limits"][GPU], Value::Null);
    let term = json!([{"matchExpressions": [
        {"key": "nvidia.com/mig-1g.5gb.product", "operator": "In", "values": ["NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"]}
    ]}]);
    assert_eq!(patch["node_affinity_required"], term);
}

#[test]
fn more_cards_than_the_labels_know_are_of_several_models() {
    let two = |capacity: u32, healthy: u32, count: &str, replicas: &str| {
        Cluster::default()
            .node_with(
                "a",
                &[
                    ("nvidia.com/gpu.product", A100),
                    ("nvidia.com/gpu.memory", "81920"),
                    ("nvidia.com/gpu.count", count),
                    ("nvidia.com/gpu.replicas", replicas),
                ],
                &[(GPU, capacity)],
            )
            .change(|n| n["status"]["allocatable"][GPU] = json!(healthy.to_string()))
    };
    for (capacity, healthy, count, replicas, id) in [
        (8, 8, "8", "1", "nvidia-a100-sxm4-80gb"),
        (8, 8, "4", "1", "nvidia-mixed"),
        (8, 4, "4", "1", "nvidia-mixed"),
        (8, 8, "4", "0", "nvidia-mixed"),
        (8, 8, "4", "2", "nvidia-a100-sxm4-80gb.shared-2"),
        (9, 9, "4", "2", "nvidia-mixed.shared-2"),
        (2, 2, "8", "1", "nvidia-a100-sxm4-80gb"),
        (8, 8, "", "1", "nvidia-a100-sxm4-80gb"),
    ] {
        assert_eq!(only_kind(&two(capacity, healthy, count, replicas)).kind.id, id, "{capacity} {count} {replicas}");
    }
    let kind = only_kind(&two(8, 8, "4", "1")).kind;
    assert_eq!((kind.product.as_str(), kind.memory_mib), ("mixed", None));
    assert_eq!(kind.display_name(), "NVIDIA GPUs of several models");
}

#[test]
fn who_chooses_a_model_is_kept_off_the_node_whose_labels_only_claim_it() {
    let mixed = Cluster::default().gpu_node("mixed", A100, 81920, 2).change(|n| {
        for list in ["capacity", "allocatable"] {
            n["status"][list][GPU] = json!("4");
        }
    });
    let mut cluster = Cluster::default().gpu_node("pure", A100, 81920, 2);
    cluster.items.extend(mixed.items);
    let terms = |kind: &str| {
        patched(&cluster, GPU_PROFILE, json!({"profile": "gpu", "gpu-kind": kind}))["node_affinity_required"].clone()
    };
    assert_eq!(
        terms("nvidia-mixed"),
        json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["mixed"]}]}])
    );
    assert_eq!(
        terms("nvidia-a100-sxm4-80gb"),
        json!([{
            "matchExpressions": [{"key": "nvidia.com/gpu.product", "operator": "In", "values": [A100]}],
            "matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["mixed"]}]
        }])
    );
}

#[test]
fn ways_of_sharing_and_names_of_resources_are_kinds_apart() {
    let mut cluster = t4("a", "Tesla-T4-SHARED", GPU, "time-slicing");
    cluster.items.extend(t4("b", "Tesla-T4-SHARED", GPU, "mps").items);
    cluster.items.extend(t4("c", "Tesla-T4", "nvidia.com/gpu.shared", "time-slicing").items);
    let snapshot = cluster.snapshot();
    let kinds: Vec<(&str, u64)> = snapshot.kinds.iter().map(|count| (count.kind.id.as_str(), count.free)).collect();
    assert_eq!(kinds, [("tesla-t4.mps-4", 4), ("tesla-t4.shared-4", 4), ("tesla-t4.shared-4.renamed", 4)]);
}

#[test]
fn a_node_whose_cards_are_all_partitioned_has_no_whole_card_to_wait_for() {
    assert!(sliced("a", 0).snapshot().kind("nvidia-a100-sxm4-40gb").is_none());
    // While the plugin is down, the labels tell which slices will come back.
    let down = sliced("a", 0).change(|n| n["status"]["capacity"] = json!({"cpu": "16", "memory": "64Gi", "pods": "110"}));
    let down = down.change(|n| n["status"]["allocatable"] = n["status"]["capacity"].clone());
    let offers = offers(&down, GPU_PROFILE);
    let gpu = &by_slug(&offers, "gpu")["berth"];
    assert_eq!((&gpu["availability"], &gpu["total"]), (&json!("starting"), &json!(0)));
    let names: Vec<String> = ids(&down).into_iter().map(|(id, _)| id).collect();
    assert_eq!(names, ["nvidia-a100-sxm4-40gb.mig-1g.5gb.mixed", "nvidia-a100-sxm4-40gb.mig-3g.20gb.mixed"]);
}

#[test]
fn a_label_without_capacity_is_a_node_that_starts() {
    let labels = [("nvidia.com/gpu.product", "NVIDIA-L4"), ("nvidia.com/gpu.count", "8")];
    let cluster = Cluster::default().node_with("a", &labels, &[]);
    let pool = &cluster.snapshot().nodes[0].facts.pools[0];
    assert!(pool.starting);
    assert_eq!((pool.capacity, pool.allocatable, pool.physical), (0, 0, 0));
}

#[test]
fn on_gke_its_own_labels_tell_of_shares_and_slices() {
    let node = |labels: &[(&str, &str)]| {
        let labels = [&[("cloud.google.com/gke-accelerator", "nvidia-tesla-t4")], labels].concat();
        only_kind(&Cluster::default().node_with("a", &labels, &[(GPU, 4)])).kind.id.clone()
    };
    let clients = "cloud.google.com/gke-max-shared-clients-per-gpu";
    assert_eq!(node(&[]), "nvidia-tesla-t4");
    assert_eq!(node(&[(clients, "4"), (GKE_STRATEGY, "time-sharing")]), "nvidia-tesla-t4.shared-4");
    assert_eq!(node(&[(clients, "4"), (GKE_STRATEGY, "mps")]), "nvidia-tesla-t4.mps-4");
    assert_eq!(node(&[("cloud.google.com/gke-gpu-partition-size", "1g.5gb")]), "nvidia-tesla-t4.mig-1g.5gb");
    // Feature Discovery, installed beside it, sees a card that its own plugin would not share.
    let discovered = |strategy| {
        let labels = [("product", "Tesla-T4"), ("count", "1"), ("replicas", "1"), ("sharing-strategy", "none")];
        let labels = labels.map(|(key, value)| (format!("nvidia.com/gpu.{key}"), value));
        let labels: Vec<_> = labels.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        node(&[labels, vec![(clients, "4"), (GKE_STRATEGY, strategy)]].concat())
    };
    assert_eq!(discovered("time-sharing"), "tesla-t4.shared-4");
    assert_eq!(discovered("mps"), "tesla-t4.mps-4");
}

#[test]
fn a_share_among_others_is_selected_by_the_raw_labels() {
    let mut cluster = shared_t4();
    cluster.items.extend(Cluster::default().gpu_node("whole", "Tesla-T4", 15360, 1).items);
    let patch = patched(&cluster, GPU_PROFILE, json!({"profile": "gpu", "gpu-kind": "tesla-t4.shared-4"}));
    let is = |key: &str, value: &str| json!({"key": format!("nvidia.com/gpu.{key}"), "operator": "In", "values": [value]});
    let all = [is("product", "Tesla-T4-SHARED"), is("replicas", "4"), is("sharing-strategy", "time-slicing")];
    assert_eq!(patch["node_affinity_required"], json!([{"matchExpressions": all}]));
}

#[test]
fn a_part_of_a_card_under_mps_has_its_part_of_the_memory() {
    let l4 = |strategy| {
        Cluster::default().gpu_node("a", "NVIDIA-L4-SHARED", 23034, 1).change(|n| {
            n["metadata"]["labels"]["nvidia.com/gpu.replicas"] = json!("4");
            n["metadata"]["labels"]["nvidia.com/gpu.sharing-strategy"] = json!(strategy);
            for list in ["capacity", "allocatable"] {
                n["status"][list][GPU] = json!("4");
            }
        })
    };
    let config = "profiles: [{slug: gpu, title: GPU, image: ml-gpu, gpu: {minMemory: 16Gi}}]";
    for (strategy, memory, name, availability) in [
        ("mps", 5758, "NVIDIA L4 6 GB, shared by 4 (MPS)", "never"),
        ("time-slicing", 23034, "NVIDIA L4 22 GB, shared by 4", "now"),
    ] {
        let kind = only_kind(&l4(strategy)).kind;
        assert_eq!((kind.memory_mib, kind.display_name().as_str()), (Some(memory), name));
        assert_eq!(by_slug(&offers(&l4(strategy), config), "gpu")["berth"]["availability"], availability);
    }
}
