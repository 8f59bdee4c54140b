//! The rules that the format's types cannot say, and the way from the file to the catalogue.
//!
//! Every rule that is broken is reported, none ends the check. A value that could not be read was reported already and is gone:
//! no rule may blame a second key for its absence.

use std::collections::BTreeMap;

use super::format::{self, File};
use super::model::{Catalogue, Profile, SharedCode};
use super::node::Path;
use super::report::Report;
use super::values::SharedCodeMount;
use super::{capacity, gpu_rules, images, names, profile, redirects, template, volumes};
use crate::domain::base::Base;
use crate::domain::quantity::Quantity;

/// Smaller sizes in bytes are forgotten units: no container starts in less, and nothing useful fits.
const LEAST_BYTES: i64 = 1 << 20;

/// Checks a file. Only good for use if the report has no error.
pub(super) fn catalogue(file: File, report: &mut Report) -> Catalogue {
    if !names::is_dns_label(&file.namespace) {
        report.error(&Path::root("namespace"), format!("{:?} is not the name of a namespace", file.namespace));
    }
    pull_secrets(&file.image_pull_secrets, report);
    let tolerate = tolerate(file.tolerate, report);
    let images = images::Images::new(file.registry, file.images, report);
    let shared_code = shared_code(file.shared_code, report);
    let volumes = volumes::check(file.volumes, &shared_code, report);
    let profiles = profiles(file.profiles, &images, report);
    let redirects = redirects::check(&file.redirects, &profiles, report);
    let gpu_rules = gpu_rules::check(file.gpu_resources, report);
    capacity::architectures(&file.architectures, report);
    let base = base(file.base, report);
    Catalogue {
        namespace: file.namespace,
        image_pull_secrets: file.image_pull_secrets,
        image_pull_policy: file.image_pull_policy,
        tolerate,
        profiles,
        redirects,
        volumes,
        shared_code,
        architectures: file.architectures,
        virtual_nodes: file.virtual_nodes,
        limits: capacity::limits(file.limits.unwrap_or_default(), report),
        expandable: capacity::expandable(file.expandable.unwrap_or_default(), report),
        gpu_rules,
        base,
    }
}

fn profiles(profiles: Vec<format::Profile>, images: &images::Images, report: &mut Report) -> Vec<Profile> {
    let root = Path::root("profiles");
    if profiles.is_empty() && !report.is_reported(&root) {
        report.error(&root, "there is no profile: a catalogue needs at least one");
    }
    let mut checked: Vec<Profile> = profiles
        .into_iter()
        .enumerate()
        .map(|(index, profile)| profile::check(profile, &root.index(index), images, report))
        .collect();
    profile::check_slugs(&checked, report);
    profile::settle_default(&mut checked, report);
    checked
}

fn pull_secrets(secrets: &[String], report: &mut Report) {
    for (index, secret) in secrets.iter().enumerate() {
        if !names::is_dns_subdomain(secret) {
            report.error(&Path::root("imagePullSecrets").index(index), format!("{secret:?} is not the name of a secret"));
        }
    }
}

fn tolerate(keys: Vec<String>, report: &mut Report) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for (index, key) in keys.into_iter().enumerate() {
        if !names::is_qualified_name(&key) {
            let message = format!("{key:?} is not a taint key: write the key alone, such as nvidia.com/gpu");
            report.error(&Path::root("tolerate").index(index), message);
        }
        if !once.contains(&key) {
            once.push(key);
        }
    }
    once
}

fn shared_code(code: format::SharedCode, report: &mut Report) -> SharedCode {
    let root = Path::root("sharedCode");
    for (key, path) in [("hostPath", &code.host_path), ("mountPath", &code.mount_path)] {
        if let Some(problem) = names::path_problem(path) {
            report.error(&root.key(key), format!("{path:?} {problem}"));
        }
        if let Some(problem) = template::problem(path) {
            report.error(&root.key(key), format!("{path:?} {problem}"));
        }
    }
    for (label, value) in &code.nodes {
        let path = root.key("nodes").key(label);
        if !names::is_qualified_name(label) {
            report.error(&path, format!("{label:?} is not the key of a label"));
        }
        if !names::is_label_value(value) {
            report.error(&path, format!("{value:?} is not the value of a label"));
        }
    }
    let nodes = root.key("nodes");
    if code.enabled && code.mount == SharedCodeMount::WhereCertain && code.nodes.is_empty() && !report.is_reported(&nodes) {
        report.error(&nodes, "is empty: name a label that the nodes with the code have");
    }
    let format::SharedCode { enabled, host_path, mount_path, nodes, mount } = code;
    SharedCode { enabled, host_path, mount_path, nodes, mount }
}

fn base(base: Option<format::Base>, report: &mut Report) -> Base {
    let base = base.unwrap_or_default();
    let amounts = |key: &str, amounts: Option<BTreeMap<String, Quantity>>, report: &mut Report| {
        let amounts = amounts.unwrap_or_default();
        for (resource, quantity) in amounts.iter().filter(|(_, quantity)| **quantity < Quantity::ZERO) {
            report.error(&Path::root("base").key(key).key(resource), format!("{quantity} is below zero"));
        }
        amounts
    };
    Base {
        node_selector: base.node_selector.unwrap_or_default(),
        node_affinity_required: base.node_affinity_required.unwrap_or_default(),
        tolerations: base.tolerations.unwrap_or_default(),
        requests: amounts("requests", base.requests, report),
        notebook: amounts("notebook", base.notebook, report),
        init: amounts("init", base.init, report),
        claims: base.claims.unwrap_or_default(),
        scheduler_name: base.scheduler_name,
    }
}

/// A size in bytes must be above zero and look like one that was meant.
pub(super) fn size(size: Option<Quantity>, path: &Path, report: &mut Report) {
    let Some(size) = size else { return };
    if !size.is_positive() {
        report.error(path, format!("{size} is not above zero"));
    } else if size < Quantity::from_value(LEAST_BYTES) {
        report.error(path, format!("{size} is less than 1Mi, so its unit is likely missing: write for example 8Gi"));
    }
}
