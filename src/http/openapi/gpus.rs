//! The shapes of the GPU report.

use utoipa::ToSchema;

use super::Sharing;

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gpus {
    generation: u64,
    observed_at: String,
    stale: bool,
    kinds: Vec<KindRow>,
    /// GPU-like resources that no rule knows
    unclassified: Vec<String>,
    /// Absent from events where they were not wanted
    #[schema(required = false)]
    nodes: Vec<NodeRow>,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KindRow {
    id: String,
    vendor: String,
    product: String,
    #[serde(rename = "memoryMiB")]
    memory_mib: Option<u64>,
    sharing: Sharing,
    resource: String,
    total: u64,
    free: u64,
    used: u64,
    held: u64,
    unhealthy: u64,
    unusable: u64,
    /// Of those free, what placeholder pods sit on until somebody comes
    reclaimable: u64,
    /// The most that one pod can get
    largest_free: u64,
    /// What unbound pods ask for
    pending: u64,
    /// Cards, where total counts shares
    physical: u64,
}

#[derive(ToSchema)]
pub struct NodeRow {
    name: String,
    usable: bool,
    reasons: Vec<String>,
    gpus: Vec<NodeGpuRow>,
    /// Cores
    cpu: Amount,
    /// Bytes
    memory: Amount,
}

#[derive(ToSchema)]
pub struct NodeGpuRow {
    kind: String,
    resource: String,
    total: u64,
    free: u64,
    used: u64,
    held: u64,
    unhealthy: u64,
}

#[derive(ToSchema)]
pub struct Amount {
    allocatable: f64,
    free: f64,
}
