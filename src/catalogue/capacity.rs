//! The rules of what a site's cluster can give, and whom: architectures, limits, and pools that an autoscaler grows.

use std::sync::Arc;

use super::format;
use super::model::Limits;
use super::node::Path;
use super::report::Report;
use super::volumes::required;
use super::{check, names};
use crate::domain::gpu::{Kind, Sharing, vendor_of};
use crate::domain::node::ExpandablePool;

const MIB: i128 = 1 << 20;

pub(super) fn architectures(words: &[String], report: &mut Report) {
    let root = Path::root("architectures");
    if words.is_empty() && !report.is_reported(&root) {
        report.error(&root, "is empty: name at least one, such as amd64, or leave the key out");
    }
    for (index, word) in words.iter().enumerate() {
        if word.is_empty() || !names::is_label_value(word) {
            report.error(&root.index(index), format!("{word:?} is not an architecture such as amd64 or arm64"));
        }
    }
}

pub(super) fn limits(limits: format::Limits, report: &mut Report) -> Limits {
    let groups = limits.groups.unwrap_or_default();
    for group in groups.keys().filter(|group| group.trim().is_empty()) {
        report.error(&Path::root("limits").key("groups").key(group), "is empty: a group has a name");
    }
    Limits { gpus_per_user: limits.gpus_per_user, groups }
}

pub(super) fn expandable(pools: Vec<format::ExpandablePool>, report: &mut Report) -> Vec<ExpandablePool> {
    let root = Path::root("expandable");
    pools.into_iter().enumerate().map(|(index, pool)| expandable_pool(pool, &root.index(index), report)).collect()
}

fn expandable_pool(pool: format::ExpandablePool, at: &Path, report: &mut Report) -> ExpandablePool {
    let kind = required(pool.kind, &at.key("kind"), "the id of a kind such as nvidia-l4", report);
    if !kind.is_empty() && !is_kind_id(&kind) {
        report.error(&at.key("kind"), format!("{kind:?} is not the id of a kind: lower-case letters, digits, - and ."));
    }
    if !pool.resource.contains('/') || !names::is_qualified_name(&pool.resource) {
        report.error(&at.key("resource"), format!("{:?} is not the name of a resource such as nvidia.com/gpu", pool.resource));
    }
    check::size(pool.memory, &at.key("memory"), report);
    let mut count = |key: &str, value: Option<u32>, what: &str| {
        let path = at.key(key);
        match value {
            None if !report.is_reported(&path) => report.error(&path, format!("is missing: {what}")),
            Some(0) => report.error(&path, "must be at least 1"),
            _ => {}
        }
        u64::from(value.unwrap_or(1))
    };
    let gpus_per_node = count("gpusPerNode", pool.gpus_per_node, "the GPUs of one node");
    let max_nodes = count("maxNodes", pool.max_nodes, "the most nodes that the autoscaler makes");
    let labels = at.key("labels");
    if pool.labels.is_empty() && !report.is_reported(&labels) {
        report.error(&labels, "is empty: name the labels that new nodes have at once, such as those of the cloud's node group");
    }
    for (key, value) in &pool.labels {
        if !names::is_qualified_name(key) || !names::is_label_value(value) {
            report.error(&labels.key(key), format!("{key}={value} is not a label"));
        }
    }
    let memory = pool.memory.and_then(|memory| u64::try_from(memory.value() / MIB).ok());
    let kind = kind_of(kind, memory, &pool.resource);
    ExpandablePool { kind: Arc::new(kind), gpus_per_node, max_nodes, labels: pool.labels }
}

/// What stands before the first dash of the words that follow the product in an id: NVIDIA's slice, AMD's partitions,
/// shares, and what tells the names of resources apart.
const MARKS: [&str; 11] = ["mig", "spx", "dpx", "tpx", "qpx", "cpx", "shared", "mps", "mixed", "renamed", "xe"];

/// Reads a kind out of its id, as the inventory writes that of a node that runs.
fn kind_of(id: String, memory_mib: Option<u64>, resource: &str) -> Kind {
    let mut parts: Vec<String> = Vec::new();
    for word in id.split('.') {
        match parts.last_mut() {
            // Names and sizes may have dots, such as `g5.xlarge` and `1g.10gb`.
            Some(part) if !MARKS.contains(&split(word).0) => part.push_str(&format!(".{word}")),
            _ => parts.push(word.to_owned()),
        }
    }
    let mut parts = parts.into_iter();
    let product = parts.next().unwrap_or_default();
    let (mut sharing, mut mig_profile, mut replicas) = (Sharing::Exclusive, None, 1);
    for part in parts {
        let (mark, rest) = split(&part);
        let count = || rest.parse().unwrap_or(1);
        match mark {
            "mig" => (sharing, mig_profile) = (Sharing::Mig, Some(rest.replacen("gb-", "gb+", 1))),
            // A card in the mode `spx` is whole.
            "dpx" | "tpx" | "qpx" | "cpx" => (sharing, mig_profile) = (Sharing::Mig, Some(format!("{mark}_{rest}"))),
            "shared" => (sharing, replicas) = (Sharing::TimeSliced, count()),
            "mps" => (sharing, replicas) = (Sharing::Mps, count()),
            _ => {}
        }
    }
    let (vendor, resource) = (vendor_of(resource).into(), resource.into());
    Kind { id, vendor, product, memory_mib, sharing, mig_profile, replicas, resource }
}

fn split(word: &str) -> (&str, &str) {
    word.split_once('-').unwrap_or((word, ""))
}

fn is_kind_id(id: &str) -> bool {
    !id.contains("--") && id.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'))
}
