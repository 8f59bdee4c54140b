//! Slugs: the stable names of offers. One slug stands for a profile, or for a profile on one node.

use std::collections::BTreeMap;

use crate::catalogue::{Catalogue, Profile};
use crate::domain::snapshot::Snapshot;

/// What a slug stands for now.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolved<'a> {
    Profile(&'a Profile),
    /// A profile pinned to a node of the cluster.
    OnNode(&'a Profile, String),
    /// A slug once issued for a node that is not there any more.
    NodeGone(&'a Profile),
    Unknown,
}

/// The slug of a profile on one node. A node's name may hold dots or two dashes in a row, which KubeSpawner's form
/// fields can't carry: such a name is changed, and a checksum of the true one keeps it apart from its neighbours.
pub fn on_node(profile: &str, node: &str) -> String {
    let mut safe = String::with_capacity(node.len());
    for c in node.chars() {
        let c = if c.is_ascii_alphanumeric() { c } else { '-' };
        if c != '-' || !safe.ends_with('-') {
            safe.push(c);
        }
    }
    if safe == node {
        return format!("{profile}-{node}");
    }
    format!("{profile}-{}-{:08x}", safe.trim_end_matches('-'), checksum(node))
}

/// 32-bit FNV-1a. Slugs are saved by the hub, so this must never change.
fn checksum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Follows redirects, then looks for a profile, then for a node.
pub fn resolve<'a>(slug: &str, catalogue: &'a Catalogue, snapshot: Option<&Snapshot>) -> Resolved<'a> {
    let slug = redirected(slug, &catalogue.redirects);
    if let Some(profile) = catalogue.profiles.iter().find(|profile| profile.slug == slug) {
        return Resolved::Profile(profile);
    }
    let mut gone = None;
    for profile in catalogue.profiles.iter().filter(|profile| profile.per_node.is_some()) {
        if slug.strip_prefix(profile.slug.as_str()).is_none_or(|rest| !rest.starts_with('-')) {
            continue;
        }
        let nodes = snapshot.map(|snapshot| snapshot.nodes.as_slice()).unwrap_or_default();
        if let Some(node) = nodes.iter().find(|node| on_node(&profile.slug, node.name()) == slug) {
            return Resolved::OnNode(profile, node.name().to_owned());
        }
        gone = Some(profile);
    }
    if let Some(heir) = heir(slug, catalogue, snapshot) {
        return heir;
    }
    gone.map_or(Resolved::Unknown, Resolved::NodeGone)
}

/// What a retired profile per node became: the same node of its heir, or the heir itself if that is for no one node.
fn heir<'a>(slug: &str, catalogue: &'a Catalogue, snapshot: Option<&Snapshot>) -> Option<Resolved<'a>> {
    let nodes = snapshot.map(|snapshot| snapshot.nodes.as_slice()).unwrap_or_default();
    // From the last: of two retired profiles of which one's name begins with the other's, the longer one is meant.
    catalogue.redirects.iter().rev().find_map(|(old, new)| {
        slug.strip_prefix(old.as_str())?.strip_prefix('-')?;
        let profile = catalogue.profiles.iter().find(|profile| profile.slug == *new)?;
        if profile.per_node.is_none() {
            return Some(Resolved::Profile(profile));
        }
        let node = nodes.iter().find(|node| on_node(old, node.name()) == slug);
        Some(node.map_or(Resolved::NodeGone(profile), |node| Resolved::OnNode(profile, node.name().to_owned())))
    })
}

/// The catalogue is checked for loops; the bound only keeps a mistake there from hanging a request.
fn redirected<'a>(slug: &'a str, redirects: &'a BTreeMap<String, String>) -> &'a str {
    let mut slug = slug;
    for _ in 0..redirects.len() {
        match redirects.get(slug) {
            Some(target) => slug = target,
            None => break,
        }
    }
    slug
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_slug_is_the_name_where_it_can_be() {
        assert_eq!(on_node("gpu-on", "gpu-a"), "gpu-on-gpu-a");
    }

    #[test]
    fn names_that_a_form_cannot_carry_stay_apart() {
        let slugs = ["a.b", "a--b", "a..b"].map(|node| on_node("gpu-on", node));
        assert_eq!(slugs.first().map(String::as_str), Some("gpu-on-a-b-108bf50c"));
        for slug in &slugs {
            assert!(!slug.contains("--") && !slug.contains('.'), "{slug}");
        }
        assert_eq!(slugs.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
    }
}
