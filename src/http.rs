//! The HTTP side: who may ask, and answers out of the last published snapshot.
//!
//! A request is: authenticate, read the snapshot, a pure function, bytes. Nothing here lists, locks long or waits for the
//! apiserver; only the lookup of a user's token asks the hub, and that is cached.

mod auth;
pub mod bases;
pub mod board;
pub mod events;
pub mod explain;
pub mod holds;
pub mod hub;
pub mod identity;
pub mod login;
pub mod manage;
pub mod openapi;
pub mod pages;
pub mod people;
pub mod problem;
pub mod servers;
mod session;
pub mod user;

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, Resource, web};
use tokio::sync::watch;

use crate::catalogue::Catalogue;
use crate::domain::report::Freshness;
use crate::domain::snapshot::Snapshot;
use crate::inventory::Inventory;
use crate::profiles::offer::Context;
use crate::spawn::holds::Owner;
use bases::Bases;
use events::Streams;
use holds::Holds;
use identity::Identities;
use login::Login;
use people::Directory;
use problem::Problem;

/// What every route needs. Shared by the workers.
#[derive(Debug)]
pub struct Service {
    pub inventory: Inventory,
    /// The snapshots that are served: those of the inventory with what has been promised since.
    pub holds: Arc<Holds>,
    pub catalogue: watch::Receiver<Arc<Catalogue>>,
    pub access: Access,
    /// What the hub's configuration asked of each server's pod.
    pub bases: Bases,
    /// Event streams that are open.
    pub streams: Arc<Streams>,
    /// The hub's users.
    pub directory: Directory,
    /// The path below which the hub's proxy reaches Berth, such as `/services/berth/`.
    pub prefix: String,
}

/// How callers prove who they are.
#[derive(Debug)]
pub enum Access {
    /// Everyone is the hub and an administrator; only ever on a loopback address.
    Open,
    Tokens {
        /// The token of the service: the hub presents it to Berth, and Berth to the hub.
        hub: watch::Receiver<String>,
        identities: Identities,
        login: Login,
    },
}

/// One consistent view for one request.
pub struct View {
    pub snapshot: Option<Arc<Snapshot>>,
    pub freshness: Freshness,
    pub catalogue: Arc<Catalogue>,
}

impl Service {
    pub fn view(&self) -> View {
        self.view_with(self.holds.snapshot())
    }

    /// The view of somebody who may hold something already, which is free for them.
    pub fn view_of(&self, owner: &Owner) -> View {
        self.view_with(self.holds.snapshot_for(owner))
    }

    fn view_with(&self, snapshot: Option<Arc<Snapshot>>) -> View {
        View { snapshot, freshness: self.inventory.health.freshness(), catalogue: self.catalogue.borrow().clone() }
    }
}

impl View {
    pub fn context<'a>(&'a self, prefix: &'a str, server: &'a str) -> Context<'a> {
        Context { snapshot: self.snapshot.as_deref(), freshness: &self.freshness, catalogue: &self.catalogue, prefix, server }
    }
}

/// Everything of the first port: the service's state and its routes. Those for users answer below the service prefix too;
/// those for the hub do not, since whatever comes that way comes from a browser.
pub fn configure(config: &mut web::ServiceConfig, service: web::Data<Service>) {
    let prefix = service.prefix.clone();
    config.app_data(service).default_service(web::to(not_found));
    config.service(resource("/api/v1/hub/profile-list", web::post().to(hub::profile_list)));
    config.service(resource("/api/v1/hub/spawn-options", web::post().to(hub::spawn_options)));
    let below = prefix.trim_end_matches('/');
    config.service(resource(&format!("{below}/{}", login::CALLBACK), web::get().to(login::callback)));
    if !below.is_empty() {
        config.service(resource(below, web::get().to(board::with_slash)));
    }
    let places = if below.is_empty() { vec![""] } else { vec!["", below] };
    for place in places {
        config.service(resource(&format!("{place}/"), web::get().to(board::board)));
        config.service(resource(&format!("{place}/static/{{name}}"), web::get().to(pages::file)));
        config.service(resource(&format!("{place}/api/v1/gpus/events"), web::get().to(events::events)));
        config.service(resource(&format!("{place}/api/v1/servers"), web::get().to(servers::servers)));
        config.service(resource(&format!("{place}/api/v1/explain"), web::get().to(explain::explanation)));
        config.service(resource(&format!("{place}/profiles"), web::get().to(user::profiles)));
        config.service(resource(&format!("{place}/api/v1/gpus"), web::get().to(user::gpus)));
        config.service(resource(&format!("{place}/openapi.json"), web::get().to(openapi::document)));
    }
}

/// A route that answers other methods with a problem too.
fn resource(path: &str, route: actix_web::Route) -> Resource {
    web::resource(path.to_owned()).route(route).default_service(web::to(method_not_allowed))
}

async fn method_not_allowed(request: HttpRequest) -> Problem {
    Problem::new(405, "method-not-allowed", format!("{} does not answer {}.", request.path(), request.method()))
}

async fn not_found(request: HttpRequest) -> Problem {
    Problem::new(404, "not-found", format!("There is nothing at {}.", request.path()))
}

/// JSON that no cache may keep: every answer is about now.
fn json(value: &impl serde::Serialize) -> HttpResponse {
    match serde_json::to_vec(value) {
        Ok(bytes) => HttpResponse::Ok().content_type("application/json").insert_header(("cache-control", "no-store")).body(bytes),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            actix_web::ResponseError::error_response(&Problem::new(500, "internal", "Berth could not write its answer."))
        }
    }
}
