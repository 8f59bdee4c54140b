//! The profiles that a user does not see, and why: for the administrator who is asked.

use serde::Serialize;

use super::User;
use super::choices::gpu_nodes;
use super::offer::{Context, Offer, default_request};
use super::plan::has_kind;
use super::slug::{Resolved, resolve};
use crate::catalogue::GpuRequest;
use crate::domain::gpu::Kind;

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

/// The kinds of the cluster that an offer leaves out, or those of its node.
pub fn kinds_left_out(context: &Context<'_>, offer: &Offer) -> Vec<Hidden> {
    let Some(snapshot) = context.snapshot else { return Vec::new() };
    let (profile, node) = match resolve(&offer.slug, context.catalogue, Some(snapshot)) {
        Resolved::Profile(profile) => (profile, None),
        Resolved::OnNode(profile, node) => (profile, snapshot.node(&node)),
        Resolved::NodeGone(_) | Resolved::Unknown => return Vec::new(),
    };
    let Some(gpu) = &profile.gpu else { return Vec::new() };
    let kinds = snapshot.kinds.iter().map(|count| &count.kind);
    let kinds =
        kinds.filter(|kind| !offer.berth.choices.contains_key(&kind.id) && node.is_none_or(|node| has_kind(node, &kind.id)));
    let hidden = |kind: &Kind| Hidden { slug: kind.id.clone(), title: kind.display_name(), reason: why_left_out(gpu, kind) };
    kinds.map(|kind| hidden(kind)).collect()
}

/// In the words of the catalogue, which the reader can change.
fn why_left_out(gpu: &GpuRequest, kind: &Kind) -> String {
    if !gpu.kinds.matches(&kind.id) {
        return "the profile's kinds do not name it".to_owned();
    }
    if !gpu.sharing.contains(&kind.sharing) {
        return format!("the profile's sharing leaves out {}", kind.sharing.name());
    }
    let least = gpu.min_memory_mib;
    match kind.memory_mib {
        None if least > 0 => format!("its memory is not known, and the profile's minMemory is {least} MiB"),
        Some(mib) if mib < least => format!("it has {mib} MiB of memory, and the profile's minMemory is {least} MiB"),
        _ => "one server gets one share of a card at most".to_owned(),
    }
}
