//! The rules for GPU resources that Berth does not know by itself.

use std::sync::Arc;

use super::format;
use super::names;
use super::node::Path;
use super::report::Report;
use super::values::{MemoryUnit, resource_glob};
use super::volumes::required;
use crate::domain::gpu::Sharing;
use crate::domain::gpu_rule::{GpuRule, MemoryLabel, RESOURCE, is_glob};

pub(super) fn check(rules: Option<Vec<format::GpuRule>>, report: &mut Report) -> Arc<[GpuRule]> {
    let root = Path::root("gpuResources");
    let mut checked: Vec<GpuRule> = Vec::new();
    for (index, rule) in rules.unwrap_or_default().into_iter().enumerate() {
        let path = root.index(index);
        let rule = one(rule, &path, report);
        if let Some(first) = checked.iter().position(|other| !rule.resource.is_empty() && other.resource == rule.resource) {
            let line = report.line(&root.index(first).key("resource"));
            let message =
                format!("{:?} is the resource of the rule at line {line} already, and the first rule decides", rule.resource);
            report.error(&path.key("resource"), message);
        }
        checked.push(rule);
    }
    checked.into()
}

fn one(rule: format::GpuRule, path: &Path, report: &mut Report) -> GpuRule {
    let format::GpuRule {
        resource,
        exclude,
        vendor,
        sharing,
        product_labels,
        memory_label,
        memory_unit,
        replicas_label,
        present_labels,
    } = rule;
    let resource =
        required(resource, &path.key("resource"), "a name such as example.org/accel, or a glob over such names", report);
    if let Some(problem) = resource_problem(&resource) {
        report.error(&path.key("resource"), format!("{resource:?} {problem}"));
    }
    let exclude = exclude.unwrap_or_default();
    for (index, excluded) in exclude.iter().enumerate() {
        if let Some(problem) = resource_problem(excluded) {
            report.error(&path.key("exclude").index(index), format!("{excluded:?} {problem}"));
        }
    }
    if !exclude.is_empty() && !resource.is_empty() && !is_glob(&resource) {
        report.error(&path.key("exclude"), format!("goes with a glob only: {resource:?} is one resource"));
    }
    if let Some(vendor) = vendor.as_ref().filter(|vendor| !names::is_dns_label(vendor) || vendor.contains("--")) {
        let message =
            format!("{vendor:?} does not fit the ids of kinds: lower-case letters, digits and single dashes, at most 63");
        report.error(&path.key("vendor"), message);
    }
    let sharing = sharing.unwrap_or(Sharing::Exclusive);
    let (product_labels, present_labels) = (product_labels.unwrap_or_default(), present_labels.unwrap_or_default());
    for (key, labels) in [("productLabels", &product_labels), ("presentLabels", &present_labels)] {
        for (index, label) in labels.iter().enumerate() {
            label_key(label, &path.key(key).index(index), report);
        }
    }
    if !present_labels.is_empty() && is_glob(&resource) {
        report
            .error(&path.key("presentLabels"), "goes with the full name of a resource only: a glob does not say what will come");
    }
    for (key, label) in [("memoryLabel", &memory_label), ("replicasLabel", &replicas_label)] {
        if let Some(label) = label {
            label_key(label, &path.key(key), report);
        }
    }
    if memory_unit.is_some() && memory_label.is_none() && !report.is_reported(&path.key("memoryLabel")) {
        report.error(&path.key("memoryUnit"), "goes with memoryLabel only: there is no number to give a unit");
    }
    if replicas_label.is_some() && !sharing.is_share() && !report.is_reported(&path.key("sharing")) {
        report.error(&path.key("replicasLabel"), "goes with sharing: time-sliced or mps only, since other GPUs are not shared");
    }
    let unit = memory_unit.unwrap_or_default().bytes();
    let memory = memory_label.map(|key| MemoryLabel { key, unit });
    GpuRule { resource, exclude, vendor, sharing, present_labels, product_labels, memory, replicas_label }
}

/// Why a text names no extended resource, or `None` if it does or was reported already.
fn resource_problem(resource: &str) -> Option<String> {
    if resource.is_empty() {
        return None;
    }
    if !resource.contains('/') {
        return Some("is not the full name of a resource: write domain/name, such as example.org/accel".to_owned());
    }
    if !is_glob(resource) {
        let good = names::is_qualified_name(resource);
        return (!good).then(|| "is not the name of a resource, such as example.org/accel".to_owned());
    }
    resource_glob(resource).err().map(|error| format!("is not a glob ({})", error.kind()))
}

fn label_key(key: &str, path: &Path, report: &mut Report) {
    if !names::is_qualified_name(&key.replace(RESOURCE, "example.org/accel")) {
        report.error(path, format!("{key:?} is not the key of a label"));
    }
}

impl MemoryUnit {
    fn bytes(self) -> u64 {
        match self {
            Self::B => 1,
            Self::KiB => 1 << 10,
            Self::MiB => 1 << 20,
            Self::GiB => 1 << 30,
        }
    }
}
