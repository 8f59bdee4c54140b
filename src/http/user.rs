//! Routes for people and their programs: offers and inventory as JSON.

use actix_web::{HttpRequest, Responder, web};
use serde::Deserialize;

use super::auth::admit_user;
use super::hub::list_profiles;
use super::problem::Problem;
use super::{Service, json, openapi};
use crate::domain::report::GpuReport;
use crate::profiles::User;
use crate::profiles::refusal::Refusal;

/// Whose offers; none of it asks for the caller's own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Whose {
    user: Option<String>,
    /// Separated by commas.
    groups: Option<String>,
    admin: Option<bool>,
    /// The name of the server that the offers are for: what it holds itself is free for it.
    server: Option<String>,
}

impl Whose {
    fn other_user(self) -> Option<User> {
        if self.user.is_none() && self.groups.is_none() && self.admin.is_none() {
            return None;
        }
        Some(User {
            name: self.user.unwrap_or_default(),
            groups: split_groups(self.groups.as_deref().unwrap_or_default()),
            admin: self.admin.unwrap_or(false),
        })
    }
}

/// `a,b` as groups, empty words left out.
pub fn split_groups(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|group| !group.is_empty()).map(str::to_owned).collect()
}

/// What the caller may choose now; for administrators, what anyone may
#[utoipa::path(
    get, path = "/profiles", security(("user" = []), ("session" = [])),
    params(
        ("user" = Option<String>, Query, description = "A user's name"),
        ("groups" = Option<String>, Query, description = "The user's groups, separated by commas"),
        ("admin" = Option<bool>, Query, description = "Whether the user is an administrator"),
        ("server" = Option<String>, Query, description = "The name of the server; the default one if absent"),
    ),
    responses(
        (status = 200, body = openapi::ProfileList),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn profiles(service: web::Data<Service>, request: HttpRequest) -> actix_web::Result<impl Responder> {
    let caller = admit_user(&service, &request).await?.user;
    let whose = web::Query::<Whose>::from_query(request.query_string()).map_err(|error| {
        Problem::new(400, "malformed", format!("The query is not understood: {error}. It takes user, groups, admin and server."))
    })?;
    let mut whose = whose.into_inner();
    let server = whose.server.take();
    let user = match whose.other_user() {
        None => caller,
        Some(user) if user.name == caller.name && user.groups.is_empty() && !user.admin => caller,
        Some(_) if !caller.admin => {
            return Err(Problem::new(403, "forbidden", "Only administrators may see what others are offered.").into());
        }
        Some(user) => user,
    };
    let server = server.unwrap_or_default();
    let view = service.view_of(&(user.name.clone(), server.clone()));
    let base = service.base.borrow().clone();
    Ok(json(&list_profiles(&view, &service.prefix, &user, &server, base.as_ref().unwrap_or(&view.catalogue.base))?))
}

/// The GPUs of the cluster by kind and by node
#[utoipa::path(
    get, path = "/api/v1/gpus", security(("user" = []), ("session" = [])),
    responses(
        (status = 200, body = openapi::Gpus),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn gpus(service: web::Data<Service>, request: HttpRequest) -> actix_web::Result<impl Responder> {
    admit_user(&service, &request).await?;
    let view = service.view();
    let snapshot = view.snapshot.as_deref().ok_or_else(|| Problem::from(Refusal::NoInventory))?;
    Ok(json(&GpuReport::new(snapshot, &view.freshness)))
}
