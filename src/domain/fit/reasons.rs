//! The reasons of an answer over all nodes: one sentence for what many nodes have in common.

use std::collections::BTreeSet;

use super::{NodeState, Obstacle, PodShape, Verdict, amount, pods_gpu_is, shortages};

/// A node with room that only a volume keeps the pod from.
pub fn unreachable_room(node: &NodeState, verdict: &Verdict, pod: &PodShape) -> Option<String> {
    match &verdict.obstacle {
        Some(Obstacle::OutOfReach(claim)) if node.usable() && shortages(&node.free, pod).next().is_none() => {
            Some(format!("{} has room, but the volume of the storage claim {claim} can't be used there", node.name()))
        }
        _ => None,
    }
}

pub fn starting(obstacles: &[(&str, Obstacle)]) -> BTreeSet<String> {
    let of_nodes = obstacles.iter().filter(|(_, obstacle)| !matches!(obstacle, Obstacle::Unbound(_)));
    of_nodes.map(|(node, obstacle)| format!("{node}: {obstacle}")).collect()
}

pub fn busy(obstacles: &[(&str, Obstacle)], pod: &PodShape) -> BTreeSet<String> {
    let mut reasons = BTreeSet::new();
    let (mut gpu_nodes, mut free_gpus, mut held_gpus, mut wanted) = (0_usize, 0_u64, 0_u64, 0);
    for (node, obstacle) in obstacles {
        let Obstacle::Full { resource, needed, free, held } = obstacle else { continue };
        if pods_gpu_is(pod, resource) {
            gpu_nodes += 1;
            free_gpus = free.saturating_add(free_gpus);
            held_gpus = held.saturating_add(held_gpus);
            wanted = *needed;
        } else if pod.gpu.is_some() {
            let no = if *free == 0 { "no" } else { "not enough" };
            reasons.insert(format!("GPU free but {no} {} left on {node}", plain_name(resource)));
        } else {
            reasons.insert(format!("no node has enough {} left", plain_name(resource)));
        }
    }
    if gpu_nodes > 0 {
        let elsewhere = !reasons.is_empty();
        reasons.insert(match free_gpus {
            0 if elsewhere => "on the other nodes all of them are in use".to_owned(),
            0 => "all of them are in use".to_owned(),
            n if n >= wanted => format!("{n} free, but on different nodes"),
            n => format!("only {n} of the {wanted} asked for are free"),
        });
    }
    if held_gpus > 0 {
        reasons.insert(format!("{held_gpus} just taken by others whose servers are starting"));
    }
    reasons
}

pub fn never(obstacles: &[(&str, Obstacle)], pod: &PodShape) -> BTreeSet<String> {
    let mut reasons = BTreeSet::new();
    for (node, obstacle) in obstacles {
        match obstacle {
            Obstacle::NotSelected => {}
            Obstacle::TooSmall { resource, needed, .. } if pods_gpu_is(pod, resource) => {
                reasons.insert(match needed {
                    1 => "no node has such a GPU".to_owned(),
                    n => format!("no node has {n} of them"),
                });
            }
            Obstacle::OutOfReach(claim) => {
                reasons.insert(format!("the volume of the storage claim {claim} can't be used on {node}"));
            }
            Obstacle::TooSmall { resource, needed, .. } => {
                reasons.insert(format!("no node is large enough for {}", amount(resource, *needed)));
            }
            other => {
                reasons.insert(format!("{node}: {other}"));
            }
        }
    }
    if reasons.is_empty() {
        reasons.insert("no node is of the kind that the request and the hub's own rules ask for".to_owned());
    }
    reasons
}

fn plain_name(resource: &str) -> &str {
    match resource {
        "cpu" => "CPU",
        "pods" => "pod slots",
        other => other,
    }
}
