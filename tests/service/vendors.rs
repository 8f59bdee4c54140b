//! GPUs of other vendors, and names where a vendor's labels are missing. Numbers in names are the fact sheet's.

use serde_json::{Value, json};

use crate::cluster::{Cluster, GPU, catalogue, mixed};
use crate::counts::only_kind;
use crate::offers::{GPU_PROFILE, by_slug, offers};
use crate::patches::patched;
use crate::places::{NO_VOLUMES, outcome, view};

const AMD: &str = "amd.com/gpu";
const MI300X: &str = "Instinct_MI300X";
const PARTITION: &str = "amd.com/gpu.compute-memory-partition";

fn kind_of(labels: &[(&str, &str)], resource: &str) -> berth::domain::gpu::Kind {
    (*only_kind(&Cluster::default().node_with("a", labels, &[(resource, 8)])).kind).clone()
}

#[test]
fn case_25_what_only_watches_cards_is_no_card() {
    let side = [
        ("gpu.intel.com/i915", 1),
        ("gpu.intel.com/i915_monitoring", 1),
        ("gpu.intel.com/xe_monitoring", 1),
        ("gpu.intel.com/millicores", 1000),
        ("gpu.intel.com/memory.max", 16_000),
        ("gpu.intel.com/tiles", 2),
    ];
    let cluster = Cluster::default().node_with("a", &[("gpu.intel.com/product", "Flex_170")], &side);
    let count = only_kind(&cluster);
    assert_eq!((count.kind.id.as_str(), count.total), ("intel-flex-170", 1));
    assert_eq!(count.kind.display_name(), "Intel Flex 170");
    assert!(cluster.snapshot().unclassified.is_empty());
}

#[test]
fn intels_drivers_are_kinds_apart_and_more_units_than_cards_are_shares() {
    let xe = kind_of(&[("gpu.intel.com/family", "Max_Series")], "gpu.intel.com/xe");
    assert_eq!((xe.id.as_str(), xe.sharing.name()), ("intel-max-series.xe", "exclusive"));
    let shared = kind_of(&[("gpu.intel.com/product", "Max_1550"), ("gpu.intel.com/device.count", "2")], "gpu.intel.com/i915");
    assert_eq!((shared.id.as_str(), shared.sharing.name()), ("intel-max-1550.shared-4", "time-sliced"));
    let own = kind_of(&[("gpu.intel.com/product", "Max_1550"), ("gpu.intel.com/device.count", "8")], "gpu.intel.com/i915");
    assert_eq!(own.id, "intel-max-1550");
    // Without a number of all cards, the numbers of each model.
    let models = [
        ("gpu.intel.com/product", "Flex_170"),
        ("gpu.intel.com/device-id.0380-56c0.count", "1"),
        ("gpu.intel.com/device-id.0380-56c0.present", "true"),
        ("gpu.intel.com/device-id.0380-56c1.count", "1"),
    ];
    assert_eq!(kind_of(&models, "gpu.intel.com/i915").id, "intel-flex-170.shared-4");
    // The label counts the cards of both drivers.
    let labels = [("gpu.intel.com/product", "Flex_170"), ("gpu.intel.com/device.count", "4")];
    let both = Cluster::default().node_with("a", &labels, &[("gpu.intel.com/i915", 4), ("gpu.intel.com/xe", 4)]).snapshot();
    let rows: Vec<_> = both.kinds.iter().map(|count| (count.kind.id.as_str(), count.total, count.physical)).collect();
    assert_eq!(rows, [("intel-flex-170.shared-2", 4, 2), ("intel-flex-170.xe.shared-2", 4, 2)]);
}

#[test]
fn case_26_counters_of_several_models_are_a_mixed_product() {
    let counter = |model: &str| format!("amd.com/gpu.product-name.{model}");
    let (first, second) = (counter(MI300X), counter("Instinct_MI210"));
    let two = [(first.as_str(), "4"), (second.as_str(), "4"), ("amd.com/gpu.vram.64G", "4"), ("amd.com/gpu.vram.192G", "4")];
    let cluster = Cluster::default().node_with("a", &two, &[(AMD, 8)]);
    let count = only_kind(&cluster);
    assert_eq!((count.total, count.kind.product.as_str(), count.kind.id.as_str()), (8, "mixed", "amd-mixed"));
    assert_eq!(count.kind.memory_mib, None);
    assert!(cluster.snapshot().nodes[0].facts.pools[0].labels.is_empty(), "no label can select it");
    let one = kind_of(&[(first.as_str(), "8"), ("amd.com/gpu.vram.192G", "8")], AMD);
    assert_eq!((one.id.as_str(), one.product.as_str(), one.memory_mib), ("amd-instinct-mi300x", MI300X, Some(192 * 1024)));
}

#[test]
fn amds_labels_are_read_in_all_their_forms() {
    for prefix in ["amd.com/gpu.", "beta.amd.com/gpu."] {
        let (name, vram) = (format!("{prefix}product-name"), format!("{prefix}vram"));
        for labels in
            [[(name.clone(), MI300X), (vram.clone(), "64G")], [(format!("{name}.{MI300X}"), "8"), (format!("{vram}.64G"), "8")]]
        {
            let labels = [(labels[0].0.as_str(), labels[0].1), (labels[1].0.as_str(), labels[1].1)];
            let kind = kind_of(&labels, AMD);
            assert_eq!((kind.id.as_str(), kind.memory_mib), ("amd-instinct-mi300x", Some(65_536)), "{labels:?}");
            assert_eq!(kind.display_name(), "AMD Instinct MI300X 64 GB");
        }
    }
}

#[test]
fn amds_partitions_are_slices_of_a_card() {
    let product = ("amd.com/gpu.product-name", MI300X);
    let vram = ("amd.com/gpu.vram", "192G");
    for key in [PARTITION, "amd.com/compute-memory-partition"] {
        let parted = Cluster::default().node_with("a", &[product, vram, (key, "cpx_nps4")], &[(AMD, 64)]);
        let count = only_kind(&parted);
        assert_eq!((count.kind.id.as_str(), count.kind.sharing.name()), ("amd-instinct-mi300x.cpx-nps4", "mig"));
        assert_eq!((count.total, count.physical, count.kind.memory_mib), (64, 8, Some(24 * 1024)));
        assert_eq!(count.kind.display_name(), "AMD Instinct MI300X 24 GB, partition CPX/NPS4");
        let whole = kind_of(&[product, vram, (key, "spx_nps1")], AMD);
        assert_eq!((whole.id.as_str(), whole.sharing.name()), ("amd-instinct-mi300x", "exclusive"));
    }
    let labels = [("amd.com/gpu.product-name", "AMD_Instinct_MI300A"), ("amd.com/gpu.vram", "128G"), (PARTITION, "cpx_nps1")];
    let six_dies = Cluster::default().node_with("a", &labels, &[(AMD, 24)]);
    let count = only_kind(&six_dies);
    assert_eq!((count.total, count.physical, count.kind.memory_mib), (24, 4, Some(128 * 1024 / 6)));
    let named = Cluster::default().node_with("a", &[product, vram], &[("amd.com/cpx_nps4", 56), ("amd.com/spx_nps1", 1)]);
    let snapshot = named.snapshot();
    let rows: Vec<_> = snapshot.kinds.iter().map(|c| (c.kind.id.as_str(), c.kind.sharing.name(), c.total, c.physical)).collect();
    assert_eq!(
        rows,
        [("amd-instinct-mi300x.cpx-nps4.mixed", "mig", 56, 7), ("amd-instinct-mi300x.spx-nps1.mixed", "exclusive", 1, 1),]
    );
    assert!(snapshot.unclassified.is_empty());
}

#[test]
fn an_amd_node_without_its_plugin_starts() {
    let pools = |labels: &[(&str, &str)]| {
        let snapshot = Cluster::default().node_with("a", labels, &[]).snapshot();
        snapshot.nodes[0].facts.pools.iter().map(|pool| (pool.kind.id.clone(), pool.starting, pool.capacity)).collect::<Vec<_>>()
    };
    let product = ("amd.com/gpu.product-name", MI300X);
    assert_eq!(pools(&[product]), [("amd-instinct-mi300x".to_owned(), true, 0)]);
    let whole = [product, ("amd.com/compute-memory-partition", "spx_nps1")];
    assert_eq!(pools(&whole), [("amd-instinct-mi300x".to_owned(), true, 0)], "its cards are not parted");
    let parted = pools(&[product, (PARTITION, "cpx_nps4")]);
    assert_eq!(parted, [("amd-instinct-mi300x.cpx-nps4".to_owned(), true, 0)], "as the plugin calls them unless told otherwise");
    let named = Cluster::default().node_with("a", &[product, (PARTITION, "cpx_nps4")], &[("amd.com/cpx_nps4", 8)]);
    assert_eq!(only_kind(&named).kind.id, "amd-instinct-mi300x.cpx-nps4.mixed", "nothing else is awaited");
}

#[test]
fn an_intel_or_gaudi_node_without_its_plugin_starts() {
    let flex = ("gpu.intel.com/product", "Flex_170");
    let count = ("gpu.intel.com/device.count", "2");
    let gaudi = ("k8s.amazonaws.com/accelerator", "habana-gaudi");
    for (labels, ids, availability) in [
        (vec![flex, count], vec!["intel-flex-170"], "starting"),
        (vec![("gpu.intel.com/family", "Max_Series")], vec!["intel-max-series"], "starting"),
        (vec![gaudi], vec!["habana-gaudi"], "starting"),
        // A processor's own graphics have these too.
        (
            vec![("intel.feature.node.kubernetes.io/gpu", "true"), ("gpu.intel.com/device-id.0300-a780.count", "1")],
            vec![],
            "never",
        ),
    ] {
        let cluster = Cluster::default().node_with("a", &labels, &[]);
        let snapshot = cluster.snapshot();
        let found: Vec<_> = snapshot.kinds.iter().map(|count| (count.kind.id.as_str(), count.total)).collect();
        let expected: Vec<_> = ids.into_iter().map(|id| (id, 0)).collect();
        assert_eq!(found, expected, "{labels:?}");
        assert_eq!(outcome(&view(&cluster, NO_VOLUMES)).0, availability, "{labels:?}");
    }
    let xe = Cluster::default().node_with("a", &[flex, count], &[("gpu.intel.com/xe", 2)]);
    assert_eq!(only_kind(&xe).kind.id, "intel-flex-170.xe", "the other driver is not awaited");
    let goya = Cluster::default().node_with("a", &[gaudi], &[("habana.ai/goya", 2)]);
    assert_eq!(only_kind(&goya).total, 2);
    let eight = Cluster::default().node_with("a", &[flex, count], &[]);
    let config = "profiles: [{slug: gpu, title: G, image: ml-gpu, gpu: {counts: [8]}}]\nvolumes: []";
    assert_eq!(outcome(&eight.view(&catalogue(config))).0, "never", "two will come");
}

#[test]
fn a_kind_without_labels_is_confined_by_its_resource_alone_where_there_is_no_other() {
    let gaudi = |name: &str| Cluster::default().node_with(name, &[], &[("habana.ai/gaudi", 8)]);
    let two = Cluster { items: [gaudi("a").items, gaudi("b").items].concat() };
    let patch = patched(&two, GPU_PROFILE, json!({"profile": "gpu", "gpu-kind": "habana-gaudi"}));
    assert_eq!(patch["extra_resource_limits"]["habana.ai/gaudi"], "1");
    assert!(patch.get("node_affinity_required").is_none(), "a node that is yet to come will do as well");
    let other = Cluster::default().node_with("c", &[("accelerator", "gaudi3")], &[("habana.ai/gaudi", 8)]);
    let three = Cluster { items: [two.items, other.items].concat() };
    let patch = patched(&three, GPU_PROFILE, json!({"profile": "gpu", "gpu-kind": "habana-gaudi"}));
    assert_eq!(patch["node_affinity_required"].as_array().map(Vec::len), Some(2), "by name, to tell them from the other");
}

#[test]
fn an_amd_kind_can_be_chosen_and_is_asked_for_by_its_name() {
    let mut cluster = mixed();
    let labels = [("amd.com/gpu.product-name", MI300X), ("amd.com/gpu.vram", "192G")];
    let taint = |n: &mut Value| n["spec"]["taints"] = json!([{"key": AMD, "effect": "NoSchedule"}]);
    cluster.items.extend(Cluster::default().node_with("amd", &labels, &[(AMD, 8)]).change(taint).items);
    let offers = offers(&cluster, GPU_PROFILE);
    let choices = &by_slug(&offers, "gpu")["profile_options"]["gpu-kind"]["choices"];
    assert_eq!(choices["amd-instinct-mi300x"]["display_name"], "AMD Instinct MI300X 192 GB, 8 of 8 free");
    let patch = patched(&cluster, GPU_PROFILE, json!({"profile": "gpu", "gpu-kind": "amd-instinct-mi300x", "gpus": "4"}));
    assert_eq!((&patch["extra_resource_limits"][AMD], &patch["extra_resource_limits"][GPU]), (&json!("4"), &Value::Null));
    let product = json!({"key": "amd.com/gpu.product-name", "operator": "In", "values": [MI300X]});
    assert_eq!(patch["node_affinity_required"], json!([{"matchExpressions": [product]}]));
    assert_eq!(patch["tolerations"], json!([{"key": AMD, "operator": "Exists", "effect": "NoSchedule"}]));
}

#[test]
fn gaudi_is_named_by_its_resource() {
    let kind = kind_of(&[], "habana.ai/gaudi");
    assert_eq!((kind.id.as_str(), kind.display_name().as_str()), ("habana-gaudi", "Habana Gaudi"));
    assert_eq!(kind_of(&[], "habana.ai/goya").id, "habana-goya");
}

#[test]
fn a_product_is_named_by_the_vendor_the_cloud_the_machine_or_the_resource() {
    let gke = ("cloud.google.com/gke-accelerator", "nvidia-l4");
    let machine = ("node.kubernetes.io/instance-type", "g5.xlarge");
    for (labels, resource, id, name) in [
        (vec![("nvidia.com/gpu.product", "NVIDIA-L4"), gke, machine], GPU, "nvidia-l4", "NVIDIA L4"),
        (vec![gke, machine], GPU, "nvidia-l4", "nvidia l4"),
        (vec![("k8s.amazonaws.com/accelerator", "tesla-v100"), machine], GPU, "nvidia-tesla-v100", "NVIDIA tesla v100"),
        (vec![("kubernetes.azure.com/accelerator", "nvidia"), machine], GPU, "nvidia-g5.xlarge", "NVIDIA g5.xlarge"),
        (vec![("accelerator", "k80"), machine], GPU, "nvidia-k80", "NVIDIA k80"),
        (vec![("node.kubernetes.io/instance-type", "k3s")], GPU, "nvidia-gpu", "NVIDIA GPU"),
        (vec![machine], AMD, "amd-g5.xlarge", "AMD g5.xlarge"),
        (vec![machine], "habana.ai/gaudi", "habana-g5.xlarge", "Habana g5.xlarge"),
        (vec![], AMD, "amd-gpu", "AMD GPU"),
        (vec![], "gpu.intel.com/i915", "intel-gpu", "Intel GPU"),
    ] {
        let kind = kind_of(&labels, resource);
        assert_eq!((kind.id.as_str(), kind.display_name().as_str()), (id, name), "{labels:?}");
    }
    let karpenter = [("karpenter.k8s.aws/instance-gpu-name", "t4"), ("karpenter.k8s.aws/instance-gpu-memory", "16384")];
    let kind = kind_of(&karpenter, GPU);
    assert_eq!((kind.id.as_str(), kind.memory_mib), ("nvidia-t4", Some(16_384)));
}

#[test]
fn every_vendor_on_one_node_has_kinds_of_its_own() {
    let all = [(GPU, 1), (AMD, 2), ("gpu.intel.com/i915", 3), ("habana.ai/gaudi", 4)];
    let snapshot = Cluster::default().node_with("a", &[], &all).snapshot();
    let rows: Vec<_> = snapshot.kinds.iter().map(|c| (c.kind.id.as_str(), &*c.kind.vendor, c.total)).collect();
    assert_eq!(
        rows,
        [("amd-gpu", "amd", 2), ("habana-gaudi", "habana", 4), ("intel-gpu", "intel", 3), ("nvidia-gpu", "nvidia", 1)]
    );
}

#[test]
fn a_gpu_that_no_rule_knows_is_named_and_never_a_kind() {
    let cluster = Cluster::default().node("odd").change(|n| {
        n["status"]["capacity"]["example.org/gpu"] = json!("4");
        n["status"]["capacity"]["example.org/disks"] = json!("4");
    });
    let snapshot = cluster.snapshot();
    assert_eq!(snapshot.unclassified, ["example.org/gpu".into()]);
    assert!(snapshot.kinds.is_empty());
}

#[test]
fn one_word_for_the_cards_of_two_vendors_makes_two_kinds() {
    let cluster = Cluster::default().node("lab").change(|node| {
        node["metadata"]["labels"]["node.kubernetes.io/instance-type"] = json!("amd-nvidia-lab");
        for list in ["capacity", "allocatable"] {
            node["status"][list]["amd.com/gpu"] = json!("2");
            node["status"][list]["nvidia.com/gpu"] = json!("1");
        }
    });
    let kinds: Vec<(String, u64)> = cluster.snapshot().kinds.iter().map(|c| (c.kind.id.clone(), c.total)).collect();
    assert_eq!(kinds, [("amd-nvidia-lab".to_owned(), 2), ("nvidia-gpu".to_owned(), 1)]);
}

#[test]
fn an_accelerator_label_does_not_name_another_vendors_card() {
    let cluster = Cluster::default().node("desk").change(|node| {
        node["metadata"]["labels"]["accelerator"] = json!("nvidia-rtx-3090");
        for list in ["capacity", "allocatable"] {
            node["status"][list]["gpu.intel.com/i915"] = json!("1");
            node["status"][list]["nvidia.com/gpu"] = json!("2");
        }
    });
    let kinds: Vec<String> = cluster.snapshot().kinds.iter().map(|count| count.kind.id.clone()).collect();
    assert_eq!(kinds, ["intel-gpu", "nvidia-rtx-3090"]);
}
