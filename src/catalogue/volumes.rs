//! The storage of every pod.

use super::format::{self, Scope};
use super::model::{SharedCode, Volume, VolumeSource};
use super::node::Path;
use super::report::Report;
use super::{check, names, template};

/// Checks the volumes and puts each before those that are mounted below it.
pub(super) fn check(volumes: Vec<format::Volume>, shared_code: &SharedCode, report: &mut Report) -> Vec<Volume> {
    let root = Path::root("volumes");
    let mut checked: Vec<Volume> = Vec::new();
    for (index, volume) in volumes.into_iter().enumerate() {
        let path = root.index(index);
        let volume = one(volume, &path, report);
        if let Some(first) = checked.iter().position(|other| !volume.name.is_empty() && other.name == volume.name) {
            let line = report.line(&root.index(first).key("name"));
            report.error(&path.key("name"), format!("{:?} is the name of the volume at line {line} already", volume.name));
        }
        if let Some(first) =
            checked.iter().position(|other| !volume.mount_path.is_empty() && other.mount_path == volume.mount_path)
        {
            let line = report.line(&root.index(first).key("mountPath"));
            let message = format!("{:?} is where the volume at line {line} is mounted already", volume.mount_path);
            report.error(&path.key("mountPath"), message);
        }
        if shared_code.enabled && volume.mount_path == shared_code.mount_path {
            report.error(&path.key("mountPath"), format!("{:?} is where the shared code is mounted", volume.mount_path));
        }
        checked.push(volume);
    }
    // A path below another has more parts; the sort is stable, so that the file's order holds otherwise.
    checked.sort_by_key(|volume| volume.mount_path.matches('/').count());
    checked
}

/// Of `/dev/shm` and the shared code, which `spawn` adds.
const OWN_PREFIX: &str = "berth-";

fn one(volume: format::Volume, path: &Path, report: &mut Report) -> Volume {
    let format::Volume { name, claim, empty_dir, mount_path, scope } = volume;
    let name = required(name, &path.key("name"), "a name, unique among the volumes", report);
    if !name.is_empty() && !names::is_dns_label(&name) {
        let message = format!("{name:?} is not the name of a volume: lower-case letters, digits and -, at most 63");
        report.error(&path.key("name"), message);
    }
    if name.starts_with(OWN_PREFIX) {
        report.error(&path.key("name"), format!("{name:?} is taken: Berth's own volumes begin with {OWN_PREFIX}"));
    }
    let mount_path = required(mount_path, &path.key("mountPath"), "a path in the pod", report);
    if !mount_path.is_empty() {
        check_mount_path(&mount_path, &path.key("mountPath"), report);
    }
    let source = source(claim, empty_dir, scope, path, report);
    Volume { name, mount_path, source }
}

fn check_mount_path(mount_path: &str, path: &Path, report: &mut Report) {
    if let Some(problem) = names::path_problem(mount_path) {
        report.error(path, format!("{mount_path:?} {problem}"));
    }
    if let Some(problem) = template::problem(mount_path) {
        report.error(path, format!("{mount_path:?} {problem}"));
    }
    if mount_path == "/dev/shm" {
        report.error(path, "\"/dev/shm\" is mounted for sharedMemory: give the profiles that");
    }
}

fn source(
    claim: Option<String>,
    empty_dir: Option<format::EmptyDir>,
    scope: Option<Scope>,
    path: &Path,
    report: &mut Report,
) -> VolumeSource {
    let scope_path = path.key("scope");
    match (claim, empty_dir) {
        (Some(name), None) => {
            if !names::is_dns_subdomain(&name) {
                report.error(&path.key("claim"), format!("{name:?} is not the name of a claim"));
            }
            if scope.is_none() && !report.is_reported(&scope_path) {
                report.error(&scope_path, "is missing: write user (a folder for each user) or shared (all see the same files)");
            }
            VolumeSource::Claim { name, per_user: scope != Some(Scope::Shared) }
        }
        (None, Some(empty_dir)) => {
            if scope.is_some() {
                report.error(&scope_path, "goes with a claim only: an emptyDir is always the pod's own");
            }
            check::size(empty_dir.size_limit, &path.key("emptyDir").key("sizeLimit"), report);
            VolumeSource::EmptyDir { size_limit: empty_dir.size_limit }
        }
        (claim, _) => {
            let unread = report.is_reported(&path.key("claim")) || report.is_reported(&path.key("emptyDir"));
            if claim.is_some() {
                report.error(path, "has a claim and an emptyDir: a volume is one of both");
            } else if !unread {
                report.error(path, "has neither a claim nor an emptyDir: a volume is one of both");
            }
            VolumeSource::EmptyDir { size_limit: None }
        }
    }
}

/// The text of a key that must be there; empty after an error.
pub(super) fn required(text: Option<String>, path: &Path, what: &str, report: &mut Report) -> String {
    match text {
        Some(text) if text.trim().is_empty() => report.error(path, format!("is empty: write {what}")),
        Some(text) => return text,
        None if report.is_reported(path) => {}
        None => report.error(path, format!("is missing: write {what}")),
    }
    String::new()
}
