//! The rules of one profile, and those between profiles.

use std::time::Duration;

use super::format;
use super::images::Images;
use super::model::{Access, GpuRequest, PerNode, Profile, Resources};
use super::node::Path;
use super::report::Report;
use super::values::{AvoidGpuNodes, KindFilter, KindGlob, Span, WhenFull};
use super::volumes::required;
use super::{check, names, template};
use crate::domain::quantity::Quantity;

/// Most entries a form may have for one profile: beyond it nobody scrolls, and pages grow.
const MOST_ENTRIES: u32 = 200;
/// Where the node's name goes in a title.
const NODE: &str = "{node}";
const MIB: i128 = 1 << 20;

/// Checks a profile by itself.
pub(super) fn check(profile: format::Profile, at: &Path, images: &Images, report: &mut Report) -> Profile {
    let slug = required(profile.slug, &at.key("slug"), "a short name, unique and for good", report);
    check_slug(&slug, &at.key("slug"), report);
    let title = required(profile.title, &at.key("title"), "what the form shows", report);
    check_title(&title, profile.per_node.is_some(), at, report);
    let images = images.choices(profile.image, profile.images.as_deref(), at, report);
    let cpu = profile.cpu.map(|bounds| resources(&bounds, &at.key("cpu"), false, report));
    let memory = profile.memory.map(|bounds| resources(&bounds, &at.key("memory"), true, report));
    check_shared_memory(profile.shared_memory, memory, &at.key("sharedMemory"), report);
    let has_gpu = profile.gpu.is_some() || report.is_reported(&at.key("gpu"));
    if profile.avoid_gpu_nodes != AvoidGpuNodes::No && has_gpu {
        report.error(&at.key("avoidGpuNodes"), "contradicts gpu: a profile with GPUs needs the nodes that have them");
    }
    for (name, value) in &profile.environment {
        let path = at.key("environment").key(name);
        if !names::is_environment_name(name) {
            report.error(&path, format!("{name:?} is not the name of a variable: letters, digits and _, no digit first"));
        }
        if name.starts_with("JUPYTERHUB_") {
            report.error(&path, "is the hub's: a server needs it as the hub sets it");
        }
        if let Some(problem) = template::problem(value) {
            report.error(&path, format!("{value:?} {problem}"));
        }
    }
    for (index, group) in profile.access.groups.iter().enumerate() {
        if group.trim().is_empty() {
            report.error(&at.key("access").key("groups").index(index), "is empty: a group has a name");
        }
    }
    let gpu = profile.gpu.map(|gpu| gpu_request(gpu, &at.key("gpu"), report));
    for (key, name) in [("schedulerName", &profile.scheduler_name), ("priorityClassName", &profile.priority_class_name)] {
        if let Some(name) = name.as_ref().filter(|name| !names::is_dns_subdomain(name)) {
            report.error(&at.key(key), format!("{name:?} is not a name that Kubernetes takes"));
        }
    }
    Profile {
        slug,
        title,
        description: profile.description,
        image: images.first().cloned().unwrap_or_default(),
        images,
        default: profile.default,
        cpu,
        memory,
        shared_memory: profile.shared_memory,
        avoid_gpu_nodes: profile.avoid_gpu_nodes,
        shared_code: profile.shared_code,
        environment: profile.environment,
        gpu,
        access: Access { groups: profile.access.groups },
        when_full: profile.when_full,
        wait_up_to: wait(profile.wait_up_to, profile.when_full, &at.key("waitUpTo"), report),
        per_node: profile.per_node.map(|per_node| check_per_node(&per_node, has_gpu, &at.key("perNode"), report)),
        scheduler_name: profile.scheduler_name,
        priority_class_name: profile.priority_class_name,
    }
}

fn check_slug(slug: &str, path: &Path, report: &mut Report) {
    if slug.contains("--") {
        report.error(path, format!("{slug:?} contains --, which Berth and KubeSpawner put between the parts of a name"));
    } else if !slug.is_empty() && !names::is_slug(slug) {
        let message = format!(
            "{slug:?} does not fit form fields and URLs: lower-case letters, digits, - and _, a letter or digit at both ends, at most 63"
        );
        report.error(path, message);
    }
}

fn check_title(title: &str, per_node: bool, at: &Path, report: &mut Report) {
    let path = at.key("title");
    if title.is_empty() || (!per_node && report.is_reported(&at.key("perNode"))) {
        return;
    }
    match (title.contains(NODE), per_node) {
        (false, true) => report.error(&path, format!("must contain {NODE}: a profile with perNode has an offer for each node")),
        (true, false) => report.error(&path, format!("contains {NODE}, but only a profile with perNode has a node to name")),
        _ => {}
    }
}

fn resources(bounds: &format::Bounds, at: &Path, in_bytes: bool, report: &mut Report) -> Resources {
    for (key, quantity) in [("request", bounds.request), ("limit", bounds.limit)] {
        if in_bytes {
            check::size(quantity, &at.key(key), report);
        } else if let Some(quantity) = quantity.filter(|quantity| !quantity.is_positive()) {
            report.error(&at.key(key), format!("{quantity} is not above zero"));
        }
    }
    if let (Some(request), Some(limit)) = (bounds.request, bounds.limit)
        && request > limit
    {
        report.error(&at.key("request"), format!("{request} is more than the limit, {limit}"));
    }
    Resources { request: bounds.request, limit: bounds.limit }
}

fn check_shared_memory(size: Option<Quantity>, memory: Option<Resources>, path: &Path, report: &mut Report) {
    check::size(size, path, report);
    if let (Some(size), Some(limit)) = (size, memory.and_then(|memory| memory.limit))
        && size > limit
    {
        report.error(path, format!("{size} is more than memory.limit, {limit}, which it counts towards"));
    }
}

fn wait(span: Option<Span>, when_full: WhenFull, path: &Path, report: &mut Report) -> Option<Duration> {
    let Span(duration) = span?;
    if when_full == WhenFull::Refuse {
        report.error(path, "goes with whenFull: wait only");
    }
    if duration < Duration::from_secs(1) {
        report.error(path, "must be at least 1s");
    }
    Some(duration)
}

fn check_per_node(per_node: &format::PerNode, has_gpu: bool, at: &Path, report: &mut Report) -> PerNode {
    if !has_gpu {
        report.error(at, "goes with gpu only: write gpu: {} for any GPU of the node");
    }
    let max_entries = per_node.max_entries;
    if !(1..=MOST_ENTRIES).contains(&max_entries) {
        report.error(&at.key("maxEntries"), format!("{max_entries} is not between 1 and {MOST_ENTRIES}"));
    }
    PerNode { max_entries }
}

fn gpu_request(gpu: format::Gpu, at: &Path, report: &mut Report) -> GpuRequest {
    let empty = |length: usize, key: &str, report: &mut Report| {
        let path = at.key(key);
        if length == 0 && !report.is_reported(&path) {
            report.error(&path, "is empty: name at least one, or leave the key out");
        }
    };
    empty(gpu.counts.len(), "counts", report);
    for (index, count) in gpu.counts.iter().enumerate() {
        if *count == 0 {
            report.error(&at.key("counts").index(index), "0 is no number of GPUs: leave gpu out for a profile without");
        } else if gpu.counts.iter().take(index).any(|other| other == count) {
            report.error(&at.key("counts").index(index), format!("{count} is in the list already"));
        }
    }
    empty(gpu.sharing.len(), "sharing", report);
    for (index, sharing) in gpu.sharing.iter().enumerate() {
        if gpu.sharing.iter().take(index).any(|other| other == sharing) {
            report.error(&at.key("sharing").index(index), "is in the list already");
        }
    }
    empty(gpu.kinds.as_ref().map_or(1, Vec::len), "kinds", report);
    if !gpu.min_memory.is_zero() {
        check::size(Some(gpu.min_memory), &at.key("minMemory"), report);
    }
    GpuRequest {
        counts: gpu.counts,
        kinds: kind_filter(gpu.kinds, &at.key("kinds"), report),
        sharing: gpu.sharing,
        min_memory_mib: u64::try_from((gpu.min_memory.value() + MIB - 1) / MIB).unwrap_or(0),
    }
}

fn kind_filter(globs: Option<Vec<KindGlob>>, path: &Path, report: &mut Report) -> KindFilter {
    let globs = globs.unwrap_or_else(|| vec![KindGlob::any()]);
    KindFilter::new(globs).unwrap_or_else(|error| {
        // Each compiled by itself; together they can still be too large.
        report.error(path, format!("is too much to match against ({})", error.kind()));
        KindFilter::none()
    })
}

/// Slugs must be unique, those that offers per node will have included.
pub(super) fn check_slugs(profiles: &[Profile], report: &mut Report) {
    let path = |index: usize| Path::root("profiles").index(index).key("slug");
    for (index, profile) in profiles.iter().enumerate().filter(|(_, profile)| !profile.slug.is_empty()) {
        if let Some(first) = profiles.iter().take(index).position(|other| other.slug == profile.slug) {
            let line = report.line(&path(first));
            report.error(&path(index), format!("{:?} is the slug of the profile at line {line} already", profile.slug));
        }
        let rest_of = |other: &Profile| {
            let rest = profile.slug.strip_prefix(&other.slug).and_then(|rest| rest.strip_prefix('-'));
            other.per_node.is_some() && !other.slug.is_empty() && rest.is_some_and(|rest| !rest.is_empty())
        };
        if let Some(other) = profiles.iter().position(rest_of) {
            let line = report.line(&path(other));
            let message =
                format!("{:?} could be an offer for a node of the profile at line {line}: choose another", profile.slug);
            report.error(&path(index), message);
        }
    }
}

/// At most one profile is the default, and never one per node; if none says so, the first that can be is.
pub(super) fn settle_default(profiles: &mut [Profile], report: &mut Report) {
    let path = |index: usize| Path::root("profiles").index(index).key("default");
    let marked: Vec<usize> = (0..).zip(profiles.iter()).filter(|(_, profile)| profile.default).map(|(index, _)| index).collect();
    for index in &marked {
        if profiles.get(*index).is_some_and(|profile| profile.per_node.is_some()) {
            report.error(&path(*index), "a profile with perNode cannot be the default: its offers come and go");
        }
    }
    if let Some((first, others)) = marked.split_first() {
        let line = report.line(&path(*first));
        for index in others {
            report.error(&path(*index), format!("the profile at line {line} is the default already"));
        }
    } else if let Some(profile) = profiles.iter_mut().find(|profile| profile.per_node.is_none()) {
        profile.default = true;
    }
}
