//! The inventory as people and programs read it: the body of `GET /api/v1/gpus`.

use serde::Serialize;

use super::gpu::Sharing;
use super::snapshot::Snapshot;

/// How fresh a snapshot is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// RFC 3339: the last moment at which the snapshot was known to be current.
    pub observed_at: String,
    /// The source is lost and the numbers are old.
    pub stale: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GpuReport<'a> {
    generation: u64,
    observed_at: &'a str,
    stale: bool,
    kinds: Vec<KindRow<'a>>,
    unclassified: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<Vec<NodeRow<'a>>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct KindRow<'a> {
    id: &'a str,
    vendor: &'a str,
    product: &'a str,
    #[serde(rename = "memoryMiB")]
    memory_mib: Option<u64>,
    sharing: Sharing,
    resource: &'a str,
    total: u64,
    free: u64,
    used: u64,
    held: u64,
    unhealthy: u64,
    unusable: u64,
    /// Of those free, what placeholder pods sit on until somebody comes.
    reclaimable: u64,
    largest_free: u64,
    pending: u64,
    physical: u64,
}

#[derive(Debug, Serialize)]
struct NodeRow<'a> {
    name: &'a str,
    usable: bool,
    reasons: &'a [String],
    gpus: Vec<NodeGpuRow<'a>>,
    cpu: Amount<f64>,
    memory: Amount<u64>,
}

#[derive(Debug, Serialize)]
struct NodeGpuRow<'a> {
    kind: &'a str,
    resource: &'a str,
    total: u64,
    free: u64,
    used: u64,
    held: u64,
    unhealthy: u64,
}

/// Cores, or bytes.
#[derive(Debug, Serialize)]
struct Amount<T> {
    allocatable: T,
    free: T,
}

impl<'a> GpuReport<'a> {
    pub fn new(snapshot: &'a Snapshot, freshness: &'a Freshness) -> Self {
        let kinds = snapshot.kinds.iter().map(|count| KindRow {
            id: &count.kind.id,
            vendor: &count.kind.vendor,
            product: &count.kind.product,
            memory_mib: count.kind.memory_mib,
            sharing: count.kind.sharing,
            resource: &count.kind.resource,
            total: count.total,
            free: count.free,
            used: count.used,
            held: count.held,
            unhealthy: count.unhealthy,
            unusable: count.unusable,
            reclaimable: count.reclaimable,
            largest_free: count.largest_free,
            pending: count.pending,
            physical: count.physical,
        });
        let nodes = snapshot.nodes.iter().map(|node| {
            let gpus = node.gpus.iter().map(|gpu| NodeGpuRow {
                kind: &gpu.kind.id,
                resource: &gpu.kind.resource,
                total: gpu.total,
                free: gpu.free,
                used: gpu.used,
                held: gpu.held,
                unhealthy: gpu.unhealthy,
            });
            NodeRow {
                name: node.name(),
                usable: node.usable(),
                reasons: &node.reasons,
                gpus: gpus.collect(),
                cpu: Amount { allocatable: cores(node.facts.allocatable.cpu), free: cores(node.free.cpu) },
                memory: Amount { allocatable: node.facts.allocatable.memory, free: node.free.memory },
            }
        });
        Self {
            generation: snapshot.generation,
            observed_at: &freshness.observed_at,
            stale: freshness.stale,
            kinds: kinds.collect(),
            unclassified: snapshot.unclassified.iter().map(AsRef::as_ref).collect(),
            nodes: Some(nodes.collect()),
        }
    }

    /// The same, without the list that is long in a large cluster.
    pub fn without_nodes(self) -> Self {
        Self { nodes: None, ..self }
    }
}

fn cores(millis: u64) -> f64 {
    millis as f64 / 1000.0
}
