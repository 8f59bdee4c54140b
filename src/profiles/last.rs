//! What became of the choice that the hub has saved of a server's last start: the form proposes it again.

use serde::{Deserialize, Serialize};

use super::User;
use super::offer::{Context, Offer};
use super::slug::{self, Resolved};
use crate::domain::snapshot::Snapshot;

/// The part of the saved options that says what is started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Saved {
    pub profile: Option<String>,
    pub node: Option<String>,
}

/// Where a choice is found now, or why it is not on the list for the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Last {
    /// The slug of an offer.
    pub profile: Option<String>,
    /// The choice of a node there.
    pub node: Option<String>,
    /// In plain words, without a full stop.
    pub reason: Option<String>,
}

/// `None` where the choice is on the list as it is, or is gone for good. A spawn would follow the same way.
pub fn last(saved: &Saved, context: &Context<'_>, user: &User, offers: &[Offer]) -> Option<Last> {
    let offered = |slug: &str| offers.iter().any(|offer| offer.slug == slug);
    let wanted = saved.profile.as_deref().filter(|slug| !slug.is_empty() && !offered(slug))?;
    let because = |reason: String| Some(Last { reason: Some(reason), ..Last::default() });
    let Some(snapshot) = context.snapshot else {
        return match slug::resolve(wanted, context.catalogue, None) {
            Resolved::Profile(profile) if offered(&profile.slug) => Some(found(&profile.slug, None)),
            Resolved::Unknown => None,
            _ => because("which nodes there are is not known yet".to_owned()),
        };
    };
    let (profile, node) = match slug::resolve(wanted, context.catalogue, Some(snapshot)) {
        Resolved::Profile(profile) => (profile, saved.node.clone()),
        Resolved::OnNode(profile, node) => (profile, Some(node)),
        Resolved::NodeGone(_) | Resolved::Unknown => return None,
    };
    if !user.may_use(profile) {
        return because("you may not use it any more".to_owned());
    }
    if offered(&profile.slug) {
        return Some(found(&profile.slug, node.filter(|_| profile.per_node.is_some())));
    }
    let Some(node) = node else { return because("no node with such a GPU can be used now".to_owned()) };
    let on_node = slug::on_node(&profile.slug, &node);
    if offered(&on_node) {
        return Some(found(&on_node, None));
    }
    because(trouble(&node, snapshot))
}

fn found(profile: &str, node: Option<String>) -> Last {
    Last { profile: Some(profile.to_owned()), node, reason: None }
}

fn trouble(name: &str, snapshot: &Snapshot) -> String {
    match snapshot.node(name) {
        None => format!("the node {name} is not there any more"),
        Some(node) if node.usable() => format!("the node {name} has no such GPU now"),
        Some(node) => format!("the node {name} cannot be used ({})", node.reasons.join(", ")),
    }
}
