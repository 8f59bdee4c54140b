//! What an administrator says of GPUs that Berth does not know by itself, or of those it should read in another way.

use super::gpu::Sharing;

/// Stands for the resource's full name in the keys of labels.
pub const RESOURCE: &str = "{resource}";

/// Whether a resource's name stands for several.
pub fn is_glob(resource: &str) -> bool {
    resource.contains(['*', '?', '[', ']', '{', '}'])
}

/// How to read one resource, or several whose names are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuRule {
    /// The full name, such as `example.org/accel`, or a glob over such names.
    pub resource: String,
    /// Globs over names that are none of its, though `resource` matches them.
    pub exclude: Vec<String>,
    /// `None`: the name before the top-level domain, here `example`.
    pub vendor: Option<String>,
    pub sharing: Sharing,
    /// Keys of labels that say that a node has such GPUs, while the device plugin does not; only for a full name.
    pub present_labels: Vec<String>,
    /// Keys of labels that name the product, the best first. Where none is set, the resource's own name does.
    pub product_labels: Vec<String>,
    pub memory: Option<MemoryLabel>,
    /// The key of a label that says how many shares one card gives; only for shares.
    pub replicas_label: Option<String>,
}

/// The label that says how much memory one unit has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLabel {
    pub key: String,
    /// Bytes of one, where the value is a bare number. One with a unit of its own, such as `16Gi`, is read by that.
    pub unit: u64,
}
