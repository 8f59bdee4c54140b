//! Users of the hub, recognised by a hub that a small server stands in for. The end-to-end tests use the real one.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Value, json};

use crate::http_routes::{get, with_hub};
use crate::login_hub::{self, Browser, SERVICE_TOKEN, berth};

/// A hub that knows some tokens and counts how often it is asked.
struct Hub {
    api: String,
    asked: Arc<AtomicUsize>,
}

fn owner(name: &str, kind: &str, admin: bool, scopes: &[&str]) -> Value {
    json!({"kind": kind, "name": name, "groups": ["lab"], "admin": admin, "scopes": scopes})
}

fn hub() -> Hub {
    let access = "access:services!service=berth";
    let owners = HashMap::from([
        ("ada", owner("ada", "user", false, &["self", access])),
        ("root", owner("root", "user", true, &["access:services", "list:users"])),
        ("narrow", owner("root", "user", true, &["access:services", "list:users!group=lab"])),
        ("outsider", owner("eve", "user", true, &["self", "access:servers!user=eve"])),
        ("service", owner("culler", "service", true, &[access])),
    ]);
    let asked = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let api = format!("http://{}/hub/api", listener.local_addr().expect("an address"));
    let state = web::Data::new((owners, asked.clone()));
    let server = HttpServer::new(move || App::new().app_data(state.clone()).route("/hub/api/user", web::get().to(who)));
    actix_web::rt::spawn(server.workers(1).listen(listener).expect("a server").run());
    Hub { api, asked }
}

async fn who(state: web::Data<(HashMap<&'static str, Value>, Arc<AtomicUsize>)>, request: HttpRequest) -> HttpResponse {
    state.1.fetch_add(1, Ordering::SeqCst);
    let header = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    match header.strip_prefix("Bearer ") {
        Some("broken") => HttpResponse::InternalServerError().finish(),
        Some(token) => {
            state.0.get(token).map_or_else(|| HttpResponse::Forbidden().finish(), |owner| HttpResponse::Ok().json(owner))
        }
        None => HttpResponse::Forbidden().finish(),
    }
}

#[actix_web::test]
async fn users_see_their_own_and_administrators_anyones() {
    let hub = hub();
    let service = with_hub(&hub.api);
    for (path, token, status) in [
        ("/profiles", Some("ada"), 200),
        ("/services/berth/profiles", Some("ada"), 200),
        ("/profiles?user=ada", Some("ada"), 200),
        ("/profiles?user=bob", Some("ada"), 403),
        ("/profiles?user=ada&groups=other", Some("ada"), 403),
        ("/profiles?admin=true", Some("ada"), 403),
        ("/profiles?as=ada", Some("ada"), 200),
        ("/profiles?as=ada", Some("root"), 401),
        ("/profiles?as=ada&unknown=1", Some("ada"), 400),
        ("/profiles?user=bob&groups=lab", Some("root"), 200),
        ("/profiles?user=bob&groups=lab", Some("narrow"), 403),
        ("/api/v1/servers?user=bob", Some("narrow"), 403),
        ("/profiles", Some("narrow"), 200),
        ("/api/v1/gpus", Some("ada"), 200),
        ("/profiles", Some("outsider"), 403),
        ("/profiles", Some("service"), 403),
        ("/profiles", Some("nobody"), 401),
        ("/profiles", Some("broken"), 503),
        ("/profiles", None, 401),
        ("/api/v1/gpus", None, 401),
        ("/openapi.json", None, 200),
    ] {
        let answer = get(&service, path, token).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {token:?}: {}", answer.text);
    }
}

#[actix_web::test]
async fn the_hub_is_asked_once_for_many_requests() {
    let hub = hub();
    let service = with_hub(&hub.api);
    let requests = (0..20).map(|_| get(&service, "/api/v1/gpus", Some("ada")));
    for answer in futures::future::join_all(requests).await {
        assert_eq!(answer.status, 200);
    }
    assert_eq!(hub.asked.load(Ordering::SeqCst), 1);
    for _ in 0..3 {
        assert_eq!(get(&service, "/api/v1/gpus", Some("nobody")).await.status, 401);
    }
    assert_eq!(hub.asked.load(Ordering::SeqCst), 2, "a refusal is remembered too");
}

#[actix_web::test]
async fn a_hub_that_is_away_is_said_so() {
    let answer = get(&with_hub("http://127.0.0.1:1/hub/api"), "/profiles", Some("ada")).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["reason"]), (503, &json!("hub-unreachable")));
}

#[actix_web::test]
async fn a_page_of_another_user_gets_nothing_and_a_new_log_in() {
    let hub = login_hub::Hub::start();
    let mut browser = Browser::new(&berth(&hub, "/", SERVICE_TOKEN), "one");
    let profiles = "/services/berth/profiles?as=ada";
    assert_eq!(browser.log_in(&hub, profiles, "ada").await.status, 200);
    // Bob logs in to the hub in the same session, and opens his form.
    let mut form = browser.with(&[("accept", "application/json"), ("sec-fetch-site", "same-origin")]);
    let refused = form.get("/services/berth/profiles?as=bob").await;
    assert_eq!((refused.status.as_u16(), refused.text.contains("other-user")), (401, true), "{}", refused.text);
    assert!(!refused.text.contains("availability"));
    let his = form.log_in(&hub, "/services/berth/profiles?as=bob", "bob").await;
    assert_eq!(his.status, 200, "{}", his.text);
    assert_eq!(form.get(profiles).await.status, 401, "ada's form, still open, does not show his");
}
