//! NVIDIA's cards before the device plugin has come up: what labels promise, and under which name it will come.

use berth::domain::base::Base;
use serde_json::{Value, json};

use crate::cluster::{Cluster, GPU, patch};
use crate::places::{NO_VOLUMES, ada, outcome, patched, view};

fn kinds(cluster: &Cluster) -> Vec<(String, String)> {
    let kinds = &cluster.snapshot().kinds;
    kinds.iter().map(|count| (count.kind.id.clone(), count.kind.resource.to_string())).collect()
}

fn loading(labels: &[(&str, &str)]) -> Cluster {
    Cluster::default().node_with("new", labels, &[])
}

#[test]
fn a_label_of_the_cloud_promises_cards_that_are_not_advertised_yet() {
    let machine = ("node.kubernetes.io/instance-type", "g5.xlarge");
    let gke = ("cloud.google.com/gke-accelerator", "nvidia-l4");
    let karpenter =
        |name, vendor| [("karpenter.k8s.aws/instance-gpu-name", name), ("karpenter.k8s.aws/instance-gpu-manufacturer", vendor)];
    for (labels, id) in [
        (vec![gke, machine], Some("nvidia-l4")),
        (vec![gke, ("cloud.google.com/gke-max-shared-clients-per-gpu", "4")], Some("nvidia-l4.shared-4")),
        (vec![gke, ("cloud.google.com/gke-gpu-partition-size", "1g.5gb")], Some("nvidia-l4.mig-1g.5gb")),
        (vec![("k8s.amazonaws.com/accelerator", "nvidia-tesla-v100")], Some("nvidia-tesla-v100")),
        (vec![("k8s.amazonaws.com/accelerator", "true"), machine], Some("nvidia-g5.xlarge")),
        (vec![("kubernetes.azure.com/accelerator", "nvidia"), machine], Some("nvidia-g5.xlarge")),
        (karpenter("t4", "nvidia").to_vec(), Some("nvidia-t4")),
        (karpenter("radeon-pro-v520", "amd").to_vec(), None),
        (vec![("accelerator", "amd-mi300x")], None),
        (vec![machine], None),
        (vec![("node.kubernetes.io/instance-type", "nvidia-desk")], None),
    ] {
        let cluster = loading(&labels);
        let expected: Vec<_> = id.into_iter().map(|id| (id.to_owned(), GPU.to_owned())).collect();
        assert_eq!(kinds(&cluster), expected, "{labels:?}");
        assert_eq!(outcome(&view(&cluster, NO_VOLUMES)).0, if id.is_some() { "starting" } else { "never" }, "{labels:?}");
    }
    let reasons = outcome(&view(&loading(&[gke]), NO_VOLUMES)).1;
    assert_eq!(reasons, ["new: the node's GPU driver or device plugin is loading or broken"]);
    let karpenter = [karpenter("t4", "nvidia").as_slice(), &[("karpenter.k8s.aws/instance-gpu-count", "1")]].concat();
    let view = view(&loading(&karpenter), NO_VOLUMES);
    let ask = |gpus: &str| patch(&view, "", &ada(), &Base::default(), &json!({"gpus": gpus})).map_err(|error| error.reason);
    assert!(ask("1").is_ok());
    assert_eq!(ask("2").err(), Some("never-fits"), "one will come");
    let own = Cluster::default().node_with("a", &[gke], &[("nvidia.com/GRID_T4-4Q", 4)]);
    assert_eq!(kinds(&own), [], "cards under a name of the site's own are not awaited under the usual one");
}

#[test]
fn what_will_be_renamed_is_awaited_under_its_new_name() {
    let shared = |product, strategy| {
        loading(&[
            ("nvidia.com/gpu.product", product),
            ("nvidia.com/gpu.count", "1"),
            ("nvidia.com/gpu.replicas", "4"),
            ("nvidia.com/gpu.sharing-strategy", strategy),
        ])
    };
    let renamed = "nvidia.com/gpu.shared";
    for (product, strategy, id, resource) in [
        ("Tesla-T4", "time-slicing", "tesla-t4.shared-4.renamed", renamed),
        ("Tesla-T4", "mps", "tesla-t4.mps-4.renamed", renamed),
        ("Tesla-T4-SHARED", "time-slicing", "tesla-t4.shared-4", GPU),
    ] {
        let cluster = shared(product, strategy);
        assert_eq!(kinds(&cluster), [(id.to_owned(), resource.to_owned())]);
        let patch = patched(&view(&cluster, NO_VOLUMES), Value::Null);
        assert_eq!(patch["extra_resource_limits"][resource], "1");
        let up = cluster.change(|node| {
            for list in ["capacity", "allocatable"] {
                node["status"][list][resource] = json!("4");
            }
        });
        assert_eq!(kinds(&up), [(id.to_owned(), resource.to_owned())], "it stays what it was");
    }
    let slices = loading(&[
        ("nvidia.com/gpu.product", "NVIDIA-A100-SXM4-40GB"),
        ("nvidia.com/gpu.count", "1"),
        ("nvidia.com/mig-1g.5gb.product", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"),
        ("nvidia.com/mig-1g.5gb.count", "7"),
        ("nvidia.com/mig-1g.5gb.replicas", "2"),
    ]);
    let id = "nvidia-a100-sxm4-40gb.mig-1g.5gb.mixed.shared-2.renamed";
    assert_eq!(kinds(&slices), [(id.to_owned(), "nvidia.com/mig-1g.5gb.shared".to_owned())]);
}
