//! The OpenAPI document, made by utoipa from the handlers' annotations and the shapes below.
//!
//! The shapes only describe: what is really sent is written by `domain`, `profiles` and `spawn`, which know no OpenAPI.
//! A test holds both together by checking real answers against this document.
#![expect(dead_code, reason = "the shapes are read by derive macros only")]

use std::collections::BTreeMap;

use actix_web::Responder;
use serde_json::Value;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

mod gpus;

pub use gpus::Gpus;

use super::problem::Problem;
use super::{events, explain, hub, login, servers, user};

#[derive(OpenApi)]
#[openapi(
    info(title = "Berth", description = "Which GPUs are free now, as JupyterHub profiles, and the pod settings of a choice."),
    paths(
        hub::profile_list, hub::spawn_options, user::profiles, user::gpus, events::events, servers::servers,
        explain::explanation, document,
    ),
    components(schemas(Problem)),
    modifiers(&Tokens)
)]
pub struct Document;

struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = |text: &str| {
            SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(text.to_owned())).build())
        };
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("hub", bearer("The token of the hub's service berth"));
        components.add_security_scheme("user", bearer("A token of a hub user with the scope access:services!service=berth"));
        let session = "A browser's log-in through the hub, below the service prefix only; a page that is opened begins it";
        let session = ApiKeyValue::with_description(login::SESSION, session);
        components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)));
    }
}

/// This document
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, body = Object)))]
pub async fn document() -> impl Responder {
    super::json(&Document::openapi())
}

#[derive(ToSchema)]
pub struct User {
    name: String,
    #[schema(required = false)]
    groups: Vec<String>,
    #[schema(required = false)]
    admin: bool,
}

/// What the hub's own configuration asks of a pod; every part may be absent or null.
#[derive(ToSchema)]
pub struct Base {
    node_selector: Option<BTreeMap<String, String>>,
    /// Terms in the shape of the Kubernetes API; alternatives.
    node_affinity_required: Option<Vec<Value>>,
    tolerations: Option<Vec<Value>>,
    /// Requests of the other containers by resource name.
    requests: Option<BTreeMap<String, String>>,
    /// Requests of the notebook itself, where a profile says nothing
    notebook: Option<BTreeMap<String, String>>,
    /// The most that a step before the notebook asks for
    init: Option<BTreeMap<String, String>>,
    /// Names of claims that the hub itself mounts
    claims: Option<Vec<String>>,
    scheduler_name: Option<String>,
}

#[derive(ToSchema)]
pub struct ProfileListCall {
    user: User,
    #[schema(required = false)]
    server: String,
    base: Option<Base>,
    /// What the server was last started with
    last: Option<Saved>,
}

#[derive(ToSchema)]
pub struct Saved {
    profile: Option<String>,
    node: Option<String>,
}

#[derive(ToSchema)]
pub struct SpawnOptionsCall {
    user: User,
    #[schema(required = false)]
    server: String,
    base: Option<Base>,
    /// The user's options as the hub has them, flat, values strings; null stands for the default profile.
    options: Option<BTreeMap<String, String>>,
}

#[derive(ToSchema)]
pub struct ProfileList {
    generation: u64,
    /// RFC 3339
    #[schema(rename = "observedAt")]
    observed_at: String,
    stale: bool,
    profiles: Vec<Profile>,
    /// What is not on the list; for administrators who ask for somebody's
    #[schema(required = false)]
    hidden: Vec<Hidden>,
}

#[derive(ToSchema)]
pub struct Hidden {
    slug: String,
    title: String,
    reason: String,
}

#[derive(ToSchema)]
pub struct HubProfileList {
    #[schema(inline)]
    #[serde(flatten)]
    list: ProfileList,
    fallback: Option<Fallback>,
    /// Absent where the last choice is on the list as it is, or is gone for good
    last: Option<Last>,
}

/// Where the last choice is found now, or why it is not on the list for the moment
#[derive(ToSchema)]
pub struct Last {
    profile: Option<String>,
    node: Option<String>,
    reason: Option<String>,
}

/// The default profile and its patch, for the time while Berth is away
#[derive(ToSchema)]
pub struct Fallback {
    profile: Profile,
    patch: BTreeMap<String, Value>,
}

/// An entry as KubeSpawner takes it; display_name and description are HTML
#[derive(ToSchema)]
pub struct Profile {
    slug: String,
    display_name: String,
    description: String,
    default: bool,
    profile_options: Option<BTreeMap<String, ProfileOption>>,
    berth: Details,
}

#[derive(ToSchema)]
pub struct ProfileOption {
    display_name: String,
    choices: BTreeMap<String, Choice>,
}

#[derive(ToSchema)]
pub struct Choice {
    display_name: String,
    default: bool,
}

/// Plain text for a form template
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    title: String,
    description: String,
    availability: Availability,
    free: u64,
    total: u64,
    kinds: Vec<KindDetails>,
    reasons: Vec<String>,
    image: String,
    /// Whether a spawn would not be refused at once
    pickable: bool,
    /// Whether a server that finds nothing free waits for it
    waits: bool,
    /// At most so long; null: as the hub has it
    wait_up_to_seconds: Option<u64>,
    /// What each kind, and `any`, would come to now; empty without a GPU
    choices: BTreeMap<String, KindState>,
    /// Options that are not asked, since one choice is left, with that choice
    fixed: BTreeMap<String, String>,
    /// Whether it is judged by what the hub's configuration asks of this server's pod; where not, only numbers are good
    hub_settings_known: bool,
    /// RFC 3339
    observed_at: String,
    stale: bool,
    prefix: String,
}

#[derive(ToSchema)]
pub struct KindState {
    text: String,
    availability: Availability,
    /// Whether a spawn would not be refused at once
    pickable: bool,
    #[schema(required = false)]
    reasons: Vec<String>,
    /// GPUs that others ask for already, without having got them
    ahead: u64,
    /// By the number of GPUs
    counts: BTreeMap<String, ChoiceState>,
    /// By name, where a node can be chosen
    #[schema(required = false)]
    nodes: BTreeMap<String, NodeChoice>,
    /// Whether there are more nodes than are listed
    #[schema(rename = "moreNodes", required = false)]
    more_nodes: bool,
}

#[derive(ToSchema)]
pub struct NodeChoice {
    #[schema(inline)]
    #[serde(flatten)]
    state: ChoiceState,
    free: u64,
    total: u64,
}

#[derive(ToSchema)]
pub struct ChoiceState {
    text: String,
    availability: Availability,
    /// Whether a spawn would not be refused at once
    pickable: bool,
    #[schema(required = false)]
    reasons: Vec<String>,
}

#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    Now,
    Busy,
    Starting,
    Never,
    Unknown,
}

#[derive(ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    Exclusive,
    Mig,
    TimeSliced,
    Mps,
}

#[derive(ToSchema)]
pub struct KindDetails {
    id: String,
    name: String,
    #[schema(rename = "memoryMiB")]
    memory_mib: Option<u64>,
    sharing: Sharing,
    /// What the sharing means for the user
    meaning: String,
    free: u64,
    total: u64,
}

#[derive(ToSchema)]
pub struct SpawnOptions {
    profile: String,
    summary: String,
    generation: u64,
    /// KubeSpawner traits by name; null inside a dict trait removes a key
    patch: BTreeMap<String, Value>,
    hold: Option<Hold>,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    id: String,
    expires_at: String,
}

/// A choice judged node by node
#[derive(ToSchema)]
pub struct Explanation {
    profile: String,
    /// False where the hub has not asked for this server's form since Berth's start: then its own settings of the pod,
    /// such as a node selector or a home, were left aside
    hub_settings_known: bool,
    availability: Availability,
    reasons: Vec<String>,
    /// None is better than the whole, but for nodes that do not run yet
    nodes: Vec<NodeAnswer>,
    /// What the hub would get; null where it would be refused
    answer: Option<SpawnOptions>,
    /// Why the hub would be refused
    refusal: Option<String>,
    /// The patch that the refusal is about; null where there is none, or no GPU to name in it
    patch_if_refused: Option<BTreeMap<String, Value>>,
}

#[derive(ToSchema)]
pub struct NodeAnswer {
    name: String,
    availability: Availability,
    #[schema(required = false)]
    reason: String,
}
