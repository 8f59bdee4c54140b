//! The two calls of the hub: the profile list of a user, and the patch for what the user chose.

use actix_web::{HttpRequest, Responder, web};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::auth::admit_hub;
use super::problem::Problem;
use super::{Service, View, json, openapi};
use crate::domain::base::Base;
use crate::profiles::User;
use crate::profiles::hidden::{Hidden, hidden};
use crate::profiles::last::{Last, Saved, last};
use crate::profiles::offer::{Context, Offer, offers};
use crate::profiles::refusal::Refusal;
use crate::spawn;

/// Bytes of a body; a base with many volumes and terms stays far below.
const LARGEST_BODY: usize = 256 * 1024;

#[derive(Debug, Deserialize)]
pub struct ProfileListCall {
    user: User,
    #[serde(default)]
    server: String,
    #[serde(default)]
    base: Base,
    /// What the server was last started with.
    #[serde(default)]
    last: Saved,
}

#[derive(Debug, Deserialize)]
pub struct SpawnOptionsCall {
    user: User,
    #[serde(default)]
    server: String,
    #[serde(default)]
    base: Base,
    /// Anything at all: it is a user's, and is read by itself so that what is wrong with it is told to the user.
    options: Option<Box<RawValue>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileList {
    pub generation: u64,
    pub observed_at: String,
    pub stale: bool,
    pub profiles: Vec<Offer>,
    /// For administrators alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    hidden: Option<Vec<Hidden>>,
}

impl ProfileList {
    /// With what is not on the list, and why.
    pub fn with_hidden(mut self, view: &View, user: &User) -> Self {
        self.hidden = Some(hidden(&view.context("", ""), user));
        self
    }

    /// Judged without what the hub's configuration asks of this server's pod.
    pub fn without_hub_settings(mut self) -> Self {
        self.profiles.iter_mut().for_each(|offer| offer.berth.hub_settings_known = false);
        self
    }
}

#[derive(Debug, Serialize)]
struct HubProfileList {
    #[serde(flatten)]
    list: ProfileList,
    fallback: Option<Fallback>,
    /// Where the last choice is found now, if not under its own slug.
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<Last>,
}

/// What the hook serves while Berth is away.
#[derive(Debug, Serialize)]
struct Fallback {
    profile: Offer,
    patch: spawn::patch::SpawnPatch,
}

/// The list of one user, the same for the hub, for people and for the command line. `server` is the one asked for.
pub fn list_profiles(view: &View, prefix: &str, user: &User, server: &str, base: &Base) -> Result<ProfileList, Problem> {
    Ok(ProfileList {
        generation: view.snapshot.as_ref().map_or(0, |snapshot| snapshot.generation),
        observed_at: view.freshness.observed_at.clone(),
        stale: view.freshness.stale,
        profiles: offers(&view.context(prefix, server), user, base)?,
        hidden: None,
    })
}

/// The profiles of a user, for KubeSpawner's `profile_list`
#[utoipa::path(
    post, path = "/api/v1/hub/profile-list", security(("hub" = [])),
    request_body = openapi::ProfileListCall,
    responses(
        (status = 200, body = openapi::HubProfileList),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn profile_list(
    service: web::Data<Service>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<impl Responder, Problem> {
    admit_hub(&service, &request)?;
    let call: ProfileListCall = read(body).await?;
    let owner = (call.user.name.clone(), call.server.clone());
    let view = service.view_of(&owner);
    let list = list_profiles(&view, &service.prefix, &call.user, &call.server, &call.base)?;
    let fallback = fallback(&view, &list);
    let last = last(&call.last, &view.context("", &call.server), &call.user, &list.profiles);
    service.bases.keep(owner, call.base);
    Ok(json(&HubProfileList { list, fallback, last }))
}

/// The patch for what a user chose
#[utoipa::path(
    post, path = "/api/v1/hub/spawn-options", security(("hub" = [])),
    request_body = openapi::SpawnOptionsCall,
    responses(
        (status = 200, body = openapi::SpawnOptions),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn spawn_options(
    service: web::Data<Service>,
    request: HttpRequest,
    body: web::Payload,
) -> Result<impl Responder, Problem> {
    admit_hub(&service, &request)?;
    let call: SpawnOptionsCall = read(body).await?;
    let options = call.options.as_deref().map_or("null", RawValue::get);
    let options: Value =
        serde_json::from_str(options).map_err(|_| Refusal::Malformed("The spawn options are not a map of words.".to_owned()))?;
    let catalogue = service.catalogue.borrow().clone();
    let freshness = service.inventory.health.freshness();
    let owner = (call.user.name.clone(), call.server.clone());
    let (mut answer, hold) = service.holds.reserve(owner, &catalogue.namespace, |snapshot, id| {
        let context =
            Context { snapshot, freshness: &freshness, catalogue: &catalogue, prefix: &service.prefix, server: &call.server };
        spawn::answer(&context, &call.user, &call.base, &options, Some(id)).map_err(Problem::from)
    })?;
    answer.hold = hold;
    tracing::info!(user = call.user.name, profile = answer.profile, summary = answer.summary, "patch handed out");
    Ok(json(&answer))
}

/// The default profile, if it is fit for everyone at any time: no GPU, open to all. It asks nothing of the user, and it
/// is the same for all callers, since the hook keeps one for everybody. It does not depend on what Berth has seen: a
/// Berth that has just started must not take it away.
fn fallback(view: &View, list: &ProfileList) -> Option<Fallback> {
    let profile = view.catalogue.profiles.iter().find(|profile| profile.default)?;
    if profile.gpu.is_some() || !profile.access.groups.is_empty() {
        return None;
    }
    let mut offer = list.profiles.iter().find(|offer| offer.slug == profile.slug)?.clone();
    offer.profile_options.clear();
    Some(Fallback { profile: offer, patch: spawn::fallback_patch(&view.context("", ""), profile) })
}

async fn read<T: DeserializeOwned>(body: web::Payload) -> Result<T, Problem> {
    let too_large = |_| Problem::new(413, "too-large", format!("The request is larger than {LARGEST_BODY} bytes."));
    let broken = |_| Problem::new(400, "bad-request", "The request ended too early.");
    let bytes = body.to_bytes_limited(LARGEST_BODY).await.map_err(too_large)?.map_err(broken)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Problem::new(400, "bad-request", format!("The request is not what the hub's hook sends: {error}.")))
}
