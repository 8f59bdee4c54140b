//! The board: `GET /services/berth/`, and `/` for programs in the cluster.

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};
use maud::html;

use super::Service;
use super::auth::admit_user;
use super::pages::servers::Servers;
use super::pages::{Page, cluster, hub_of};
use super::people::Which;

pub async fn board(service: web::Data<Service>, request: HttpRequest) -> actix_web::Result<HttpResponse> {
    let user = admit_user(&service, &request).await?.user;
    let hub = hub_of(&service);
    let view = service.view();
    let page = Page { title: "GPUs", user: &user, hub, live: true, freshness: &view.freshness };
    let Some(snapshot) = view.snapshot.as_deref() else {
        let nothing = html! { section data-part="kinds" id="kinds" { p { "Berth has no picture of the cluster yet." } } };
        return Ok(page.respond(StatusCode::SERVICE_UNAVAILABLE, &nothing));
    };
    let people = if user.admin { service.people(Which::Active).await } else { None };
    let servers = Servers::new(snapshot, &view.catalogue, hub);
    let content = html! {
        (servers.own(&user))
        (cluster::kinds(snapshot, user.admin))
        @if user.admin { (servers.all(people.as_deref())) }
        (cluster::nodes(snapshot))
    };
    Ok(page.respond(StatusCode::OK, &content))
}

/// The prefix without its slash: the page's relative addresses need it.
pub async fn with_slash(service: web::Data<Service>) -> HttpResponse {
    HttpResponse::Found().insert_header((LOCATION, service.prefix.as_str())).insert_header((CACHE_CONTROL, "no-store")).finish()
}
