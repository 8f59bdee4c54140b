use super::*;
use crate::domain::gpu::Sharing;

fn node(capacity: u64, allocatable: u64) -> NodeFacts {
    let kind = Kind {
        id: "nvidia-a100".into(),
        vendor: "nvidia".into(),
        product: "NVIDIA-A100".into(),
        memory_mib: None,
        sharing: Sharing::Exclusive,
        mig_profile: None,
        replicas: 1,
        resource: "nvidia.com/gpu".into(),
    };
    let pool = GpuPool {
        kind: Arc::new(kind),
        capacity,
        allocatable,
        physical: capacity,
        starting: false,
        promised: None,
        labels: BTreeMap::new(),
    };
    NodeFacts { name: "gpu-a".into(), ready: true, pools: vec![pool], ..NodeFacts::default() }
}

fn taken(gpus: u64) -> Resources {
    Resources { other: BTreeMap::from([("nvidia.com/gpu".into(), gpus)]), ..Resources::default() }
}

fn state(facts: NodeFacts, used: u64, held: u64) -> NodeState {
    let policy = Policy { tolerate: vec!["nvidia.com/gpu".into()], ..Policy::default() };
    let usage = Usage { used: taken(used), held: taken(held), reclaimable: Resources::default() };
    NodeState::new(Arc::new(facts), usage, &policy)
}

fn numbers(state: &NodeState) -> (u64, u64, u64, u64, u64, u64) {
    let gpu = state.gpus.first().expect("one pool");
    (gpu.total, gpu.unhealthy, gpu.used, gpu.held, gpu.free, gpu.unusable)
}

#[test]
fn unhealthy_gpus_are_neither_free_nor_lost_from_the_total() {
    assert_eq!(numbers(&state(node(8, 7), 7, 0)), (8, 1, 7, 0, 0, 0));
}

#[test]
fn held_gpus_are_not_free() {
    assert_eq!(numbers(&state(node(4, 4), 1, 1)), (4, 0, 1, 1, 2, 0));
}

#[test]
fn free_never_goes_below_zero_and_the_node_is_flagged() {
    let restarting = state(node(0, 0), 2, 0);
    assert_eq!(numbers(&restarting), (0, 0, 2, 0, 0, 0));
    assert!(restarting.overcommitted());
}

#[test]
fn gpus_of_an_unusable_node_are_counted_apart() {
    for (change, reason) in [
        (NodeFacts { cordoned: true, ..node(4, 4) }, "cordoned"),
        (NodeFacts { ready: false, ..node(4, 4) }, "not ready"),
        (NodeFacts { leaving: true, ..node(4, 4) }, "being deleted"),
        (NodeFacts { reconfiguring: Some("pending".into()), ..node(4, 4) }, "its GPUs are being reconfigured (pending)"),
    ] {
        let state = state(change, 1, 0);
        assert_eq!(numbers(&state), (4, 0, 1, 0, 0, 3));
        assert_eq!(state.reasons, [reason]);
    }
}

#[test]
fn a_node_is_usable_despite_tolerated_and_soft_taints_only() {
    let taint = |key: &str, effect: &str| Taint { key: key.into(), value: None, effect: effect.into() };
    for (taint, usable) in [
        (taint("nvidia.com/gpu", "NoSchedule"), true),
        (taint("anything", "PreferNoSchedule"), true),
        (taint("maintenance", "NoSchedule"), false),
        (taint("maintenance", "NoExecute"), false),
    ] {
        let state = state(NodeFacts { taints: vec![taint.clone()], ..node(1, 1) }, 0, 0);
        assert_eq!(state.usable(), usable, "{taint:?}");
    }
}

#[test]
fn an_invalid_mig_layout_is_told_and_takes_nothing_else_away() {
    let state = state(NodeFacts { mig_invalid: true, ..node(2, 2) }, 0, 0);
    assert_eq!((state.usable(), numbers(&state).4), (true, 2));
    assert_eq!(state.reasons, [MIG_INVALID]);
}

#[test]
fn other_gpus_of_a_node_stay_in_use_while_some_are_cut_up() {
    let mut facts = node(4, 4);
    let mut other = facts.pools.clone();
    for pool in &mut other {
        pool.kind = Arc::new(Kind { id: "amd-gpu".into(), resource: "amd.com/gpu".into(), ..Kind::clone(&pool.kind) });
    }
    facts.pools.extend(other);
    facts.reconfiguring = Some("pending".into());
    let state = state(facts, 1, 0);
    let rows: Vec<_> = state.gpus.iter().map(|gpu| (gpu.kind.id.as_str(), gpu.free, gpu.unusable)).collect();
    assert_eq!(rows, [("nvidia-a100", 0, 3), ("amd-gpu", 4, 0)]);
    assert!(state.usable());
    assert_eq!(state.reasons, ["its GPUs are being reconfigured (pending)"]);
}

#[test]
fn a_cordon_is_told_once() {
    let taint = Taint { key: "node.kubernetes.io/unschedulable".into(), value: None, effect: "NoSchedule".into() };
    let state = state(NodeFacts { cordoned: true, taints: vec![taint], ..node(1, 1) }, 0, 0);
    assert_eq!(state.reasons, ["cordoned"]);
}
