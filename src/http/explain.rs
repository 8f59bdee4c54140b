//! One choice of a user, judged node by node, and what the hub would get for it: a dry run that reserves nothing.
//!
//! The command `berth explain`, the route and the page of profiles all say what is found here.

use actix_web::{HttpRequest, Responder, web};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auth::admit_user;
use super::problem::Problem;
use super::user::split_groups;
use super::{Service, View, json, openapi};
use crate::domain::base::Base;
use crate::domain::fit::{Availability, judge};
use crate::profiles::User;
use crate::profiles::refusal::Refusal;
use crate::spawn::patch::SpawnPatch;
use crate::spawn::{self, Draft, SpawnAnswer};

#[derive(Debug, Serialize)]
pub struct Explanation {
    pub profile: String,
    /// Whether what the hub's own configuration asks of this server's pod is known; without it the pod is judged by the
    /// catalogue's `base`.
    pub hub_settings_known: bool,
    pub availability: Availability,
    pub reasons: Vec<String>,
    pub nodes: Vec<NodeAnswer>,
    /// The answer that the hub would get.
    pub answer: Option<SpawnAnswer>,
    /// Why the hub would be refused.
    pub refusal: Option<String>,
    /// The patch that a refusal is about: what the pod would get all the same.
    pub patch_if_refused: Option<SpawnPatch>,
}

#[derive(Debug, Serialize)]
pub struct NodeAnswer {
    pub name: String,
    pub availability: Availability,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Explains a choice for one server of a user, empty for the default one. Whether `base` is the hub's the caller knows.
///
/// # Errors
/// When the options are nothing that could be planned at all.
pub fn explain(
    view: &View,
    prefix: &str,
    (user, server): (&User, &str),
    base: &Base,
    options: &Value,
) -> Result<Explanation, Refusal> {
    let context = view.context(prefix, server);
    let snapshot = view.snapshot.as_deref().ok_or(Refusal::NoInventory)?;
    let Draft { profile, plan, patch } = spawn::draft(&context, user, base, options)?;
    let forbidden = plan.forbidden();
    let nodes = snapshot.nodes.iter().map(|node| {
        let verdict = judge(node, &plan.shape);
        let (availability, reason) = match &forbidden {
            Some((at_least, sentence)) if *at_least >= verdict.availability => (*at_least, Some(sentence.clone())),
            _ => (verdict.availability, verdict.obstacle.map(|obstacle| obstacle.to_string())),
        };
        NodeAnswer { name: node.name().to_owned(), availability, reason }
    });
    let nodes = nodes.collect();
    let answer = spawn::answer(&context, user, base, options, None).map(|(answer, _)| answer);
    Ok(Explanation {
        profile,
        hub_settings_known: false,
        availability: plan.assessment.availability,
        reasons: plan.assessment.reasons,
        nodes,
        refusal: answer.as_ref().err().map(ToString::to_string),
        patch_if_refused: patch.filter(|_| answer.is_err()),
        answer: answer.ok(),
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    user: String,
    #[serde(default)]
    groups: String,
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    server: String,
    /// JSON.
    #[serde(default)]
    options: String,
}

/// What a choice of a user would come to, node by node, and its patch; nothing is reserved. For administrators
#[utoipa::path(
    get, path = "/api/v1/explain", security(("user" = []), ("session" = [])),
    params(
        ("user" = String, Query, description = "A user's name"),
        ("groups" = Option<String>, Query, description = "The user's groups, separated by commas"),
        ("admin" = Option<bool>, Query, description = "Whether the user is an administrator"),
        ("server" = Option<String>, Query, description = "The name of the server; the default one where it is not said"),
        ("options" = Option<String>, Query, description = "The user's options, JSON; the default profile where it is not said"),
    ),
    responses(
        (status = 200, body = openapi::Explanation),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn explanation(service: web::Data<Service>, request: HttpRequest) -> actix_web::Result<impl Responder> {
    if !admit_user(&service, &request).await?.user.admin {
        return Err(Problem::new(403, "forbidden", "Only administrators may see what a choice of others would come to.").into());
    }
    let choice = web::Query::<Choice>::from_query(request.query_string()).map_err(|error| {
        Problem::new(
            400,
            "malformed",
            format!("The query is not understood: {error}. It takes user, groups, admin, server and options."),
        )
    })?;
    let Choice { user, groups, admin, server, options } = choice.into_inner();
    let options = if options.is_empty() { "null" } else { &options };
    let options: Value = serde_json::from_str(options)
        .map_err(|error| Problem::new(400, "malformed", format!("The options are not JSON: {error}.")))?;
    let user = User { name: user, groups: split_groups(&groups), admin };
    let explanation = dry_run(&service, &user, &server, &options).map_err(Problem::from)?;
    Ok(json(&explanation))
}

/// Explains a choice over what is served now, for the pod that the hub would make.
pub fn dry_run(service: &Service, user: &User, server: &str, options: &Value) -> Result<Explanation, Refusal> {
    let owner = (user.name.clone(), server.to_owned());
    let view = service.view_of(&owner);
    let base = service.bases.of(&owner, &view.catalogue.base);
    let explanation = explain(&view, &service.prefix, (user, server), &base, options)?;
    Ok(Explanation { hub_settings_known: service.bases.knows(&owner), ..explanation })
}
