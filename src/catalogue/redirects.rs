//! Retired slugs: where each leads in the end.

use std::collections::BTreeMap;

use super::model::Profile;
use super::node::Path;
use super::report::Report;

/// Checks the redirects and follows chains, so that each leads to a profile at once.
pub(super) fn check(redirects: &BTreeMap<String, String>, profiles: &[Profile], report: &mut Report) -> BTreeMap<String, String> {
    let root = Path::root("redirects");
    // With a profile or a slug unread, nobody can say which slugs exist.
    let all_known = profiles.iter().all(|profile| !profile.slug.is_empty()) && !report.is_item_reported("profiles");
    let exists = |slug: &str| profiles.iter().any(|profile| profile.slug == slug);
    let mut settled = BTreeMap::new();
    for (old, new) in redirects {
        let path = root.key(old);
        if old.is_empty() {
            report.error(&path, "a retired slug must not be empty");
        } else if let Some(index) = profiles.iter().position(|profile| profile.slug == *old) {
            let line = report.line(&Path::root("profiles").index(index).key("slug"));
            report.error(&path, format!("{old:?} is no retired slug: the profile at line {line} has it"));
        }
        match follow(new, redirects, exists) {
            End::Profile(slug) => {
                settled.insert(old.clone(), slug.to_owned());
            }
            End::Loop if reaches(new, old, redirects) => {
                report.error(&path, format!("{old:?} leads back to itself"));
            }
            End::Nowhere(slug) if slug == new && all_known && !report.is_reported(&root.key(slug)) => {
                report.error(&path, format!("{slug:?} is not the slug of a profile"));
            }
            // A redirect further on is the one to blame.
            End::Loop | End::Nowhere(_) => {}
        }
    }
    settled
}

/// Where a chain of redirects ends.
enum End<'a> {
    Profile(&'a str),
    /// A slug that is neither a profile's nor redirected.
    Nowhere(&'a str),
    Loop,
}

fn follow<'a>(from: &'a str, redirects: &'a BTreeMap<String, String>, exists: impl Fn(&str) -> bool) -> End<'a> {
    let mut slug = from;
    for _ in 0..=redirects.len() {
        if exists(slug) {
            return End::Profile(slug);
        }
        match redirects.get(slug) {
            Some(next) => slug = next,
            None => return End::Nowhere(slug),
        }
    }
    End::Loop
}

fn reaches(from: &str, target: &str, redirects: &BTreeMap<String, String>) -> bool {
    let chain = std::iter::successors(Some(from), |slug| redirects.get(*slug).map(String::as_str));
    chain.take(redirects.len() + 1).any(|slug| slug == target)
}
