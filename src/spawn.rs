//! Spawn: the user's raw options → a request → placement → the patch that the hook applies.
//!
//! Options come from any REST client and are checked here whole: shape, access, profile, every option. Nothing of them
//! reaches the pod but what a catalogue or the cluster itself names.

mod options;
pub mod patch;
mod storage;

use serde::Serialize;
use serde_json::Value;

use crate::catalogue::{Profile, WhenFull};
use crate::domain::base::Base;
use crate::domain::fit::Availability;
use crate::domain::snapshot::Snapshot;
use crate::profiles::User;
use crate::profiles::offer::{Context, default_request};
use crate::profiles::plan::{Plan, Request, plan};
use crate::profiles::refusal::Refusal;
use options::Settled;
use patch::SpawnPatch;

/// The answer to `POST /api/v1/hub/spawn-options`.
#[derive(Clone, Debug, Serialize)]
pub struct SpawnAnswer {
    /// The slug that the options stand for, redirects followed.
    pub profile: String,
    /// One sentence for a log or a page.
    pub summary: String,
    pub generation: u64,
    pub patch: SpawnPatch,
    /// A reservation; none is made yet.
    pub hold: Option<Hold>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    pub id: String,
    /// RFC 3339.
    pub expires_at: String,
}

/// Turns a user's options into a patch.
///
/// # Errors
/// A [`Refusal`] with a sentence for the user.
pub fn answer(context: &Context<'_>, user: &User, base: &Base, options: &Value) -> Result<SpawnAnswer, Refusal> {
    let snapshot = context.snapshot.ok_or(Refusal::NoInventory)?;
    let settled = options::settle(options, context, user, base)?;
    let request = settled.request();
    let plan = plan(&request, snapshot, base, context.catalogue);
    refuse(&settled, &request, &plan)?;
    storage::check_claims(context.catalogue, snapshot)?;
    Ok(SpawnAnswer {
        profile: settled.slug.clone(),
        summary: summary(&settled, &request),
        generation: snapshot.generation,
        patch: patch::build(&settled.slug, &request, &plan, snapshot, context.catalogue),
        hold: None,
    })
}

/// The patch of a profile with every option at its default, whoever asks and whatever the cluster looks like: what the hook
/// applies while Berth is away.
pub fn fallback_patch(context: &Context<'_>, profile: &Profile) -> SpawnPatch {
    let unseen = Snapshot::default();
    let snapshot = context.snapshot.unwrap_or(&unseen);
    let request = default_request(profile, None, context.catalogue);
    let plan = plan(&request, snapshot, &Base::default(), context.catalogue);
    patch::build(&profile.slug, &request, &plan, snapshot, context.catalogue)
}

/// The slug and the plan of a user's options, whether or not they would be refused for want of room.
pub fn plan_of<'a>(context: &Context<'a>, user: &User, base: &Base, options: &Value) -> Result<(String, Plan<'a>), Refusal> {
    let snapshot = context.snapshot.ok_or(Refusal::NoInventory)?;
    let settled = options::settle(options, context, user, base)?;
    let plan = plan(&settled.request(), snapshot, base, context.catalogue);
    Ok((settled.slug, plan))
}

fn refuse(settled: &Settled<'_>, request: &Request<'_>, plan: &Plan<'_>) -> Result<(), Refusal> {
    let assessment = &plan.assessment;
    let text = |what: &str| format!("{} {what}: {}.", settled.title(), assessment.reasons.join("; "));
    match assessment.availability {
        Availability::Never => Err(Refusal::NeverFits(text("can't run on this cluster"))),
        Availability::Busy | Availability::Starting if request.profile.when_full == WhenFull::Refuse => {
            Err(Refusal::Full(text("has nothing free now, and does not wait")))
        }
        _ => Ok(()),
    }
}

fn summary(settled: &Settled<'_>, request: &Request<'_>) -> String {
    let mut parts = vec![settled.title()];
    if request.gpus > 0 {
        let unit = if request.gpus == 1 { "GPU" } else { "GPUs" };
        let kind = request.kind.map(|id| format!(" of kind {id}")).unwrap_or_default();
        parts.push(format!("{} {unit}{kind}", request.gpus));
    }
    parts.push(format!("image {}", request.image.reference));
    if request.shared_code {
        parts.push("shared code".to_owned());
    }
    parts.join(", ")
}
