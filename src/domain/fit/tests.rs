use std::collections::BTreeMap;

use super::*;
use crate::domain::gpu::{GpuPool, Kind, Sharing};
use crate::domain::node::{NodeFacts, Policy, Usage};
use crate::domain::selector::{NodeSelectorTerm, Taint, Toleration};

const GPU: &str = "nvidia.com/gpu";

fn resources(cpu: u64, gpus: u64) -> Resources {
    let other = if gpus > 0 { BTreeMap::from([(GPU.into(), gpus)]) } else { BTreeMap::new() };
    Resources { cpu: cpu * 1000, memory: 64 << 30, pods: 110, other }
}

fn node(name: &str, gpus: u64) -> NodeFacts {
    let kind = Kind {
        id: "nvidia-l4".into(),
        vendor: "nvidia".into(),
        product: "NVIDIA-L4".into(),
        memory_mib: None,
        sharing: Sharing::Exclusive,
        mig_profile: None,
        replicas: 1,
        resource: GPU.into(),
    };
    let pool = GpuPool {
        kind: Arc::new(kind),
        capacity: gpus,
        allocatable: gpus,
        physical: gpus,
        starting: false,
        promised: None,
        labels: BTreeMap::new(),
    };
    NodeFacts { name: name.into(), ready: true, allocatable: resources(16, gpus), pools: vec![pool], ..NodeFacts::default() }
}

fn state(facts: NodeFacts, cpu: u64, gpus: u64) -> Arc<NodeState> {
    let mut used = resources(cpu, gpus);
    used.memory = 0;
    used.pods = 1;
    let usage = Usage { used, ..Usage::default() };
    Arc::new(NodeState::new(Arc::new(facts), usage, &Policy::default()))
}

fn pod(cpu: u64, gpus: u64) -> PodShape {
    let mut requests = resources(cpu, gpus);
    requests.pods = 1;
    requests.memory = 1 << 30;
    PodShape { requests, gpu: (gpus > 0).then(|| GPU.into()), ..PodShape::default() }
}

fn outcome(nodes: &[Arc<NodeState>], pod: &PodShape) -> (Availability, Vec<String>) {
    let assessment = assess(nodes, &[], pod);
    (assessment.availability, assessment.reasons)
}

#[test]
fn a_node_with_room_fits_now() {
    let nodes = [state(node("a", 4), 1, 3), state(node("b", 4), 1, 4)];
    let pod = pod(2, 1);
    let assessment = assess(&nodes, &[], &pod);
    assert_eq!(assessment.availability, Availability::Now);
    assert_eq!(assessment.fitting.iter().map(|n| n.name()).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn free_gpus_on_different_nodes_do_not_add_up() {
    let nodes = [state(node("a", 2), 1, 1), state(node("b", 2), 1, 1)];
    let expected = vec!["2 free, but on different nodes".to_owned()];
    assert_eq!(outcome(&nodes, &pod(1, 2)), (Availability::Busy, expected));
}

#[test]
fn a_free_gpu_without_cpu_is_busy_and_says_so() {
    let nodes = [state(node("gpu-a", 2), 15, 1)];
    let expected = vec!["GPU free but not enough CPU left on gpu-a".to_owned()];
    assert_eq!(outcome(&nodes, &pod(4, 1)), (Availability::Busy, expected));
}

#[test]
fn more_than_any_node_has_is_never() {
    let nodes = [state(node("a", 4), 0, 0)];
    assert_eq!(outcome(&nodes, &pod(1, 8)), (Availability::Never, vec!["no node has 8 of them".to_owned()]));
    assert_eq!(outcome(&[], &pod(1, 1)).0, Availability::Never);
}

#[test]
fn capacity_that_may_come_back_is_starting() {
    let broken = |change: fn(&mut NodeFacts)| {
        let mut facts = node("gpu-a", 4);
        change(&mut facts);
        outcome(&[state(facts, 0, 0)], &pod(1, 4))
    };
    for (change, reason) in [
        ((|n: &mut NodeFacts| n.cordoned = true) as fn(&mut NodeFacts), "gpu-a: the node is cordoned"),
        (|n| n.ready = false, "gpu-a: the node is not ready"),
        (|n| n.reconfiguring = Some("pending".into()), "gpu-a: its GPUs are being reconfigured (pending)"),
        (
            |n| {
                n.allocatable.other.insert(GPU.into(), 3);
                n.pools.iter_mut().for_each(|p| p.allocatable = 3);
            },
            "gpu-a: only 3 of its 4 GPUs are healthy",
        ),
        (
            |n| {
                n.allocatable.other.clear();
                n.pools.iter_mut().for_each(|p| (p.capacity, p.allocatable, p.starting) = (0, 0, true));
            },
            "gpu-a: the node's GPU driver or device plugin is loading or broken",
        ),
        (
            |n| {
                n.allocatable.other.clear();
                n.pools.iter_mut().for_each(|p| (p.allocatable, p.promised) = (0, Some(8)));
            },
            "gpu-a: none of its 4 GPUs is healthy, or their device plugin restarts",
        ),
    ] {
        assert_eq!(broken(change), (Availability::Starting, vec![reason.to_owned()]));
    }
}

#[test]
fn what_gpus_may_come_to_a_node_does_not_matter_where_it_will_never_do() {
    let loading = |n: &mut NodeFacts| {
        n.allocatable.other.clear();
        n.pools.iter_mut().for_each(|p| (p.capacity, p.allocatable, p.starting) = (0, 0, true));
    };
    let sick = |n: &mut NodeFacts| {
        n.allocatable.other.insert(GPU.into(), 3);
        n.pools.iter_mut().for_each(|p| p.allocatable = 3);
    };
    let small = |n: &mut NodeFacts| n.allocatable.cpu = 500;
    let closed = |n: &mut NodeFacts| {
        n.ready = false;
        n.taints = vec![Taint { key: "dedicated".into(), value: Some("team-b".into()), effect: "NoSchedule".into() }];
    };
    for gpus in [loading as fn(&mut NodeFacts), sick] {
        for (rest, reason) in [
            (small as fn(&mut NodeFacts), "no node is large enough for 1 CPU"),
            (closed, "gpu-a: the taint dedicated:NoSchedule is not tolerated"),
        ] {
            let mut facts = node("gpu-a", 4);
            gpus(&mut facts);
            rest(&mut facts);
            assert_eq!(outcome(&[state(facts, 0, 0)], &pod(1, 4)), (Availability::Never, vec![reason.to_owned()]));
        }
    }
}

#[test]
fn a_request_for_more_than_is_built_in_is_never_whatever_the_labels_promise() {
    let mut facts = node("gpu-a", 4);
    facts.allocatable.other.clear();
    facts.pools.iter_mut().for_each(|p| (p.allocatable, p.promised) = (0, Some(8)));
    let nodes = [state(facts, 0, 0)];
    assert_eq!(outcome(&nodes, &pod(1, 4)).0, Availability::Starting);
    assert_eq!(outcome(&nodes, &pod(1, 8)), (Availability::Never, vec!["no node has 8 of them".to_owned()]));
}

#[test]
fn what_is_true_of_all_nodes_is_told_before_what_is_of_one() {
    let taint = Taint { key: "team".into(), value: None, effect: "NoSchedule".into() };
    let mut nodes: Vec<_> = ["gke-1", "gke-2", "gke-3", "gke-4", "gke-5"]
        .iter()
        .map(|name| state(NodeFacts { taints: vec![taint.clone()], ..node(name, 8) }, 0, 0))
        .collect();
    nodes.push(state(node("small", 4), 0, 0));
    let (availability, reasons) = outcome(&nodes, &pod(1, 8));
    assert_eq!((availability, reasons[0].as_str()), (Availability::Never, "no node has 8 of them"));
    assert_eq!((reasons.len(), reasons[4].as_str()), (5, "and 2 more"));
    let mut nodes: Vec<_> = ["a", "b", "c", "d"].iter().map(|name| state(node(name, 2), 16, 1)).collect();
    nodes.push(state(node("full", 2), 1, 2));
    let (availability, reasons) = outcome(&nodes, &pod(1, 1));
    assert_eq!((availability, reasons[0].as_str()), (Availability::Busy, "none is free on a node with room for the rest"));
}

#[test]
fn only_gpus_that_can_be_cut_up_wait_until_that_is_done() {
    let mut facts = node("gpu-a", 1);
    facts.reconfiguring = Some("pending".into());
    facts.allocatable.other.insert("amd.com/gpu".into(), 2);
    let nodes = [state(facts, 0, 0)];
    assert_eq!(outcome(&nodes, &pod(1, 1)).0, Availability::Starting);
    let mut amd = pod(1, 0);
    amd.requests.other.insert("amd.com/gpu".into(), 2);
    amd.gpu = Some("amd.com/gpu".into());
    assert_eq!(outcome(&nodes, &amd).0, Availability::Now);
}

#[test]
fn a_foreign_taint_keeps_the_pod_away_unless_it_is_tolerated() {
    let taint = Taint { key: "team".into(), value: Some("x".into()), effect: "NoSchedule".into() };
    let nodes = [state(NodeFacts { taints: vec![taint], ..node("a", 1) }, 0, 0)];
    let mut pod = pod(1, 1);
    assert_eq!(outcome(&nodes, &pod).0, Availability::Never);
    pod.requirements.tolerations =
        vec![Toleration { key: Some("team".into()), operator: Some("Exists".into()), ..Toleration::default() }];
    assert_eq!(outcome(&nodes, &pod).0, Availability::Now);
}

#[test]
fn required_terms_confine_the_pod() {
    let nodes = [state(node("a", 1), 0, 1), state(node("b", 1), 0, 0)];
    let mut pod = pod(1, 1);
    pod.requirements.terms = vec![NodeSelectorTerm::node("a")];
    assert_eq!(outcome(&nodes, &pod), (Availability::Busy, vec!["all of them are in use".to_owned()]));
    pod.requirements.terms = vec![NodeSelectorTerm::node("gone")];
    assert_eq!(outcome(&nodes, &pod).0, Availability::Never);
}

#[test]
fn a_full_node_has_no_pod_slot_left() {
    let mut facts = node("a", 0);
    facts.allocatable.pods = 1;
    let nodes = [state(facts, 0, 0)];
    assert_eq!(outcome(&nodes, &pod(1, 0)), (Availability::Busy, vec!["no node has enough pod slots left".to_owned()]));
}
