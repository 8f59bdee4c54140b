//! The profiles that a user does not see, and why: for the administrator who is asked.

use serde::Serialize;

use super::User;
use super::choices::gpu_nodes;
use super::offer::{Context, default_request};

/// A profile of the catalogue that is not on a user's list as it stands there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hidden {
    pub slug: String,
    pub title: String,
    /// In plain words, without a full stop.
    pub reason: String,
}

/// In the order of the catalogue.
pub fn hidden(context: &Context<'_>, user: &User) -> Vec<Hidden> {
    let catalogue = context.catalogue;
    let reasons = catalogue.profiles.iter().filter_map(|profile| {
        let reason = if user.may_use(profile) {
            let (per_node, gpu) = (profile.per_node.as_ref()?, profile.gpu.as_ref()?);
            let most = per_node.max_entries as usize;
            match context.snapshot.map(|snapshot| gpu_nodes(&default_request(profile, None, catalogue), gpu, snapshot).len()) {
                None => "which nodes there are is not known yet".to_owned(),
                Some(0) => "no node with a GPU that it allows can be used now".to_owned(),
                Some(nodes) if nodes > most => format!(
                    "its {nodes} nodes are more than perNode.maxEntries ({most}), so instead of an entry each there is one with a choice of nodes"
                ),
                Some(_) => return None,
            }
        } else {
            format!("only for members of {}", profile.access.groups.join(" or "))
        };
        Some(Hidden { slug: profile.slug.clone(), title: profile.title.replace("{node}", "each node"), reason })
    });
    reasons.collect()
}
