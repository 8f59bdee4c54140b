//! Spawn: the user's raw options → a request → placement → the patch that the hook applies.
//!
//! Options come from any REST client and are checked here whole: shape, access, profile, every option. Nothing of them
//! reaches the pod but what a catalogue or the cluster itself names.

pub mod holds;
mod options;
pub mod patch;
mod storage;

use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::catalogue::{Catalogue, Profile, WhenFull};
use crate::domain::base::Base;
use crate::domain::fit::Availability;
use crate::domain::resources::Resources;
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
    /// The reservation that goes with it, if something is free and was reserved.
    pub hold: Option<Hold>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    pub id: String,
    /// RFC 3339.
    pub expires_at: String,
}

/// What an answer takes from others until its pod is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Where it is charged; `None` while nothing is free, which still counts towards the user's limit.
    pub node: Option<Arc<str>>,
    pub requests: Resources,
}

/// Turns a user's options into a patch, and says what that promises. `hold` is the id to put on the pod.
///
/// # Errors
/// A [`Refusal`] with a sentence for the user.
pub fn answer(
    context: &Context<'_>,
    user: &User,
    base: &Base,
    options: &Value,
    hold: Option<&str>,
) -> Result<(SpawnAnswer, Option<Promise>), Refusal> {
    let snapshot = context.snapshot.ok_or(Refusal::NoInventory)?;
    let settled = options::settle(options, context, user, base)?;
    let request = settled.request();
    if let Some(allowance) = context.allowance(user).filter(|allowance| u64::from(request.gpus) > allowance.left()) {
        let text = format!(
            "{} needs {}, but {}. Stop a server, or ask for fewer.",
            settled.title(),
            gpus(request.gpus),
            allowance.sentence()
        );
        return Err(Refusal::OverLimit(text));
    }
    let plan = plan(&request, snapshot, base, context.catalogue);
    refuse(&settled, &request, &plan, context.catalogue)?;
    let mut patch = patch::build(&settled.slug, &request, &plan, snapshot, base, context.catalogue);
    let promise = promise(&request, &plan, &patch);
    if let (Some(id), Some(_)) = (hold, &promise) {
        patch.extra_annotations.insert(patch::HOLD_ANNOTATION, id.to_owned());
    }
    let answer = SpawnAnswer {
        profile: settled.slug.clone(),
        summary: summary(&settled, &request),
        generation: snapshot.generation,
        patch,
        hold: None,
    };
    Ok((answer, promise))
}

/// Only GPUs are promised: of everything else there is enough, or the scheduler finds it.
fn promise(request: &Request<'_>, plan: &Plan<'_>, patch: &SpawnPatch) -> Option<Promise> {
    plan.gpu.as_ref()?;
    let free = plan.assessment.availability == Availability::Now;
    let best = request.node.or_else(|| patch.first_preferred()).filter(|_| free);
    Some(Promise { node: best.map(Arc::from), requests: plan.shape.requests.clone() })
}

/// The patch of a profile with every option at its default, whoever asks and whatever the cluster looks like: what the hook
/// applies while Berth is away.
pub fn fallback_patch(context: &Context<'_>, profile: &Profile) -> SpawnPatch {
    let unseen = Snapshot::default();
    let snapshot = context.snapshot.unwrap_or(&unseen);
    let request = default_request(profile, None, context.catalogue);
    let base = Base::default();
    let plan = plan(&request, snapshot, &base, context.catalogue);
    patch::build(&profile.slug, &request, &plan, snapshot, &base, context.catalogue)
}

/// What a user's options come to, whether or not they would be refused.
pub struct Draft<'a> {
    /// The slug that the options stand for.
    pub profile: String,
    pub plan: Plan<'a>,
    /// `None` where a GPU is asked for and the cluster has none to name.
    pub patch: Option<SpawnPatch>,
}

/// Plans a user's options.
///
/// # Errors
/// When they are nothing that could be planned at all.
pub fn draft<'a>(context: &Context<'a>, user: &User, base: &Base, options: &Value) -> Result<Draft<'a>, Refusal> {
    let snapshot = context.snapshot.ok_or(Refusal::NoInventory)?;
    let settled = options::settle(options, context, user, base)?;
    let request = settled.request();
    let plan = plan(&request, snapshot, base, context.catalogue);
    let nameable = plan.gpu.is_some() || request.profile.gpu.is_none();
    let patch = nameable.then(|| patch::build(&settled.slug, &request, &plan, snapshot, base, context.catalogue));
    Ok(Draft { profile: settled.slug, plan, patch })
}

fn refuse(settled: &Settled<'_>, request: &Request<'_>, plan: &Plan<'_>, catalogue: &Catalogue) -> Result<(), Refusal> {
    let assessment = &plan.assessment;
    let text = |what: &str| format!("{} {what}: {}.", settled.title(), assessment.reasons.join("; "));
    if let Some(excess) = &plan.quota {
        return Err(Refusal::OverQuota(format!("{} can't be started: {excess}.", settled.title())));
    }
    if let Some(claim) = &plan.claim {
        return Err(storage::refusal(claim, catalogue));
    }
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
        let kind = request.kind.map(|id| format!(" of kind {id}")).unwrap_or_default();
        parts.push(format!("{}{kind}", gpus(request.gpus)));
    }
    parts.push(format!("image {}", request.image.reference));
    if request.shared_code {
        parts.push("shared code".to_owned());
    }
    parts.join(", ")
}

fn gpus(count: u32) -> String {
    match count {
        1 => "1 GPU".to_owned(),
        count => format!("{count} GPUs"),
    }
}
