//! Which of the nodes that fit look best now.

use std::cmp::Reverse;
use std::sync::Arc;

use super::node::NodeState;

/// Weights of the preferred terms, best node first. Only their ratio matters: the scheduler normalises the sums.
pub const WEIGHTS: [i32; 3] = [100, 60, 30];

/// The best three of the nodes that fit a pod that asks for `resource`: those with the image first, then the
/// tightest fit (so that whole nodes stay whole), then the fewest holds.
pub fn best<'a>(fitting: &[&'a Arc<NodeState>], resource: &str, image: u64) -> Vec<&'a Arc<NodeState>> {
    let mut nodes = fitting.to_vec();
    nodes.sort_by_cached_key(|node| {
        let free = node.gpus.iter().filter(|gpu| *gpu.kind.resource == *resource).map(|gpu| gpu.free).sum::<u64>();
        let has_image = node.facts.images.contains(&image);
        (Reverse(has_image), free, node.held.other(resource), node.facts.name.clone())
    });
    nodes.truncate(WEIGHTS.len());
    nodes
}
