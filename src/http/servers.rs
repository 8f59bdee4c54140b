//! `GET /api/v1/servers`: where a user's servers are, and why they wait, in plain words.
//!
//! The hub's page of a server that starts shows it (`hub-config/templates/spawn_pending.html`), as the board does.

use actix_web::{HttpRequest, Responder, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::admit_user;
use super::pages::elapsed;
use super::problem::Problem;
use super::{Service, View, json};
use crate::domain::server::{Progress, Server, Stage};
use crate::profiles::refusal::Refusal;
use crate::profiles::waiting::{Queue, reasons};

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ServerList {
    generation: u64,
    /// RFC 3339
    observed_at: String,
    stale: bool,
    servers: Vec<ServerRow>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ServerRow {
    /// Empty for the default server
    name: String,
    state: State,
    /// Once it has one
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    node: Option<String>,
    /// Why it does not run yet, without full stops
    reasons: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    /// The hub is about to make its pod
    Promised,
    /// For a node
    Waiting,
    /// On its node
    Starting,
    Running,
    /// Its pod is on its way out
    Ending,
}

impl State {
    fn of(server: &Server) -> Self {
        match (&server.stage, &server.progress) {
            (Stage::Promised, _) => Self::Promised,
            (Stage::Waiting | Stage::Gated | Stage::Nominated(_) | Stage::Unschedulable(_), _) => Self::Waiting,
            (Stage::Bound(_), Progress::Running) => Self::Running,
            (Stage::Bound(_), Progress::Ending) => Self::Ending,
            (Stage::Bound(_), _) => Self::Starting,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whose {
    user: Option<String>,
}

/// The caller's own servers, where they are and why they wait; for administrators, anyone's
#[utoipa::path(
    get, path = "/api/v1/servers", security(("user" = []), ("session" = [])),
    params(("user" = Option<String>, Query, description = "A user's name; the caller's own where it is not said")),
    responses(
        (status = 200, body = ServerList),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn servers(service: web::Data<Service>, request: HttpRequest) -> actix_web::Result<impl Responder> {
    let caller = admit_user(&service, &request).await?.user;
    let whose = web::Query::<Whose>::from_query(request.query_string())
        .map_err(|error| Problem::new(400, "malformed", format!("The query is not understood: {error}. It takes user.")))?;
    let user = whose.into_inner().user.unwrap_or_else(|| caller.name.clone());
    if user != caller.name && !caller.admin {
        return Err(Problem::new(403, "forbidden", "Only administrators may see the servers of others.").into());
    }
    let told = if user == caller.name { "yours" } else { "this one" };
    Ok(json(&list(&service.view(), &user, told)?))
}

fn list(view: &View, user: &str, told: &str) -> Result<ServerList, Problem> {
    let snapshot = view.snapshot.as_deref().ok_or(Refusal::NoInventory)?;
    let queue = Queue::new(snapshot);
    let of_user: Vec<_> = snapshot.servers.iter().filter(|server| server.user == user).collect();
    let ends = |server: &Server| server.progress == Progress::Ending;
    // Of a server that starts anew while its old pod is on its way out, the new one is meant.
    let is_old = |server: &Server| ends(server) && of_user.iter().any(|other| other.name == server.name && !ends(other));
    let servers = of_user.iter().filter(|server| !is_old(server)).map(|server| ServerRow {
        name: server.name.clone(),
        state: State::of(server),
        node: match &server.stage {
            Stage::Bound(node) => Some(node.to_string()),
            _ => None,
        },
        reasons: reasons(server, told, &queue, &view.catalogue, &elapsed),
    });
    Ok(ServerList {
        generation: snapshot.generation,
        observed_at: view.freshness.observed_at.clone(),
        stale: view.freshness.stale,
        servers: servers.collect(),
    })
}
