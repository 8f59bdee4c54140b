//! The storage claims of a pod, the catalogue's and those that the hub mounts by itself: where their volumes can be used,
//! and what makes one of them impossible to mount.

use std::fmt;

use crate::catalogue::{Catalogue, VolumeSource};
use crate::domain::base::Base;
use crate::domain::snapshot::Snapshot;
use crate::domain::storage::{ClaimPhase, Reach};

/// A claim with which no pod can start, wherever it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmountable {
    pub claim: String,
    /// What became of it: `does not exist`.
    pub what: &'static str,
    /// Where the catalogue mounts it; `None` for a claim of the hub's own.
    pub mount_path: Option<String>,
}

impl fmt::Display for Unmountable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the storage claim {} {}", self.claim, self.what)
    }
}

/// The catalogue's claims by name, with where they are mounted.
fn ours(catalogue: &Catalogue) -> impl Iterator<Item = (&String, &String)> {
    catalogue.volumes.iter().filter_map(|volume| match &volume.source {
        VolumeSource::Claim { name, .. } => Some((name, &volume.mount_path)),
        VolumeSource::EmptyDir { .. } => None,
    })
}

/// The first claim that can't be mounted. A pending one is normal before first use; one of the hub's own that does not
/// exist the hub makes, but it does not make a second one beside one that is lost or on its way out.
pub fn unmountable(snapshot: &Snapshot, base: &Base, catalogue: &Catalogue) -> Option<Unmountable> {
    let claims = snapshot.claims.as_ref()?;
    let trouble = |name: &String| match claims.get(name).map(|claim| claim.phase) {
        Some(ClaimPhase::Bound | ClaimPhase::Pending) => None,
        Some(ClaimPhase::Lost) => Some("has lost its volume"),
        Some(ClaimPhase::Leaving) => Some("is being deleted"),
        None => Some("does not exist"),
    };
    let mounted = ours(catalogue).map(|(name, path)| (name, Some(path)));
    let theirs = base.claims.iter().filter(|name| claims.contains_key(*name)).map(|name| (name, None));
    mounted.chain(theirs).find_map(|(name, path)| {
        let what = trouble(name)?;
        Some(Unmountable { claim: name.clone(), what, mount_path: path.cloned() })
    })
}

/// The claims of a pod, where it matters on which node.
pub fn volumes(snapshot: &Snapshot, base: &Base, catalogue: &Catalogue) -> Vec<(String, Reach)> {
    let Some(claims) = &snapshot.claims else { return Vec::new() };
    let matters = |name: &String| {
        let reach = &claims.get(name)?.reach;
        (*reach != Reach::Anywhere).then(|| (name.clone(), reach.clone()))
    };
    ours(catalogue).map(|(name, _)| name).chain(&base.claims).filter_map(matters).collect()
}
