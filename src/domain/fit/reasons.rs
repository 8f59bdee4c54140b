//! The reasons of an answer over all nodes: one sentence for what many nodes have in common.

use std::collections::BTreeSet;

use super::{NodeState, Obstacle, PodShape, Reach, Verdict, amount, pods_gpu_is, shortages};

/// Sentences, each once. Those of all nodes are told first: a reader who is spared the rest knows why.
#[derive(Default)]
pub struct Reasons {
    pub of_all: BTreeSet<String>,
    pub of_nodes: BTreeSet<String>,
}

/// A node with room that only a volume keeps the pod from.
pub fn unreachable_room(node: &NodeState, verdict: &Verdict, pod: &PodShape) -> Option<String> {
    let selected = |claim: &String| pod.volumes.iter().any(|(name, reach)| name == claim && matches!(reach, Reach::Selected(_)));
    let but = match &verdict.obstacle {
        Some(Obstacle::OutOfReach(claim)) => format!("the volume of the storage claim {claim} can't be used there"),
        Some(Obstacle::Unbound(claim)) if selected(claim) => {
            format!("the volume of the storage claim {claim} was asked for on another node")
        }
        _ => return None,
    };
    (node.usable() && shortages(&node.free, pod).next().is_none()).then(|| format!("{} has room, but {but}", node.name()))
}

pub fn starting(obstacles: &[(&str, Obstacle)]) -> Reasons {
    let of_nodes = obstacles.iter().filter(|(_, obstacle)| !matches!(obstacle, Obstacle::Unbound(_)));
    let of_nodes = of_nodes.map(|(node, obstacle)| format!("{node}: {obstacle}")).collect();
    Reasons { of_nodes, ..Reasons::default() }
}

pub fn busy(obstacles: &[(&str, Obstacle)], pod: &PodShape) -> Reasons {
    let Reasons { mut of_all, mut of_nodes } = Reasons::default();
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
            of_nodes.insert(format!("GPU free but {no} {} left on {node}", plain_name(resource)));
        } else {
            of_all.insert(format!("no node has enough {} left", plain_name(resource)));
        }
    }
    if gpu_nodes > 0 {
        of_all.insert(match free_gpus {
            0 if !of_nodes.is_empty() => "none is free on a node with room for the rest".to_owned(),
            0 => "all of them are in use".to_owned(),
            n if n >= wanted => format!("{n} free, but on different nodes"),
            n => format!("only {n} of the {wanted} asked for are free"),
        });
    }
    if held_gpus > 0 {
        of_all.insert(format!("{held_gpus} just taken by others that are about to start"));
    }
    Reasons { of_all, of_nodes }
}

pub fn never(obstacles: &[(&str, Obstacle)], pod: &PodShape) -> Reasons {
    let Reasons { mut of_all, mut of_nodes } = Reasons::default();
    for (node, obstacle) in obstacles {
        match obstacle {
            Obstacle::NotSelected => {}
            Obstacle::TooSmall { resource, needed, .. } if pods_gpu_is(pod, resource) => {
                of_all.insert(match needed {
                    1 => "no node has such a GPU".to_owned(),
                    n => format!("no node has {n} of them"),
                });
            }
            Obstacle::OutOfReach(claim) => {
                of_nodes.insert(format!("the volume of the storage claim {claim} can't be used on {node}"));
            }
            Obstacle::TooSmall { resource, needed, .. } => {
                of_all.insert(format!("no node is large enough for {}", amount(resource, *needed)));
            }
            other => {
                of_nodes.insert(format!("{node}: {other}"));
            }
        }
    }
    if of_all.is_empty() && of_nodes.is_empty() {
        of_all.insert("no node is of the kind that the request and the hub's own rules ask for".to_owned());
    }
    Reasons { of_all, of_nodes }
}

fn plain_name(resource: &str) -> &str {
    match resource {
        "cpu" => "CPU",
        "pods" => "pod slots",
        other => other,
    }
}
