//! What a log-in needs beside Berth: a hub that a small server stands in for, and a browser with its cookies.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use actix_web::http::StatusCode;
use actix_web::http::header::HeaderMap;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, test, web};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use berth::http::holds::Holds;
use berth::http::identity::{Identities, KEEP_KNOWN};
use berth::http::login::Login;
use berth::http::{self, Access, Service};
use berth::inventory;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::cluster::{catalogue, mixed};

pub const SERVICE_TOKEN: &str = "the-hub's-token";
pub const ACCESS: &str = "access:services!service=berth";
pub const HUB_SESSION: &str = "jupyterhub-session-id";

/// What the hub holds: codes that wait for their exchange, and tokens.
#[derive(Default)]
pub struct State {
    /// Code: challenge, redirect address, user, browser session.
    codes: HashMap<String, [String; 4]>,
    /// Token: user, browser session.
    tokens: HashMap<String, [String; 2]>,
    pub scopes: Vec<String>,
    /// Those of everybody.
    pub groups: Vec<String>,
    pub fails: bool,
    /// How often it was asked whose a token is.
    pub asked: usize,
    /// What it lists to who asks for its users; null refuses.
    pub users: Value,
    /// Users in one part of that list.
    pub part: usize,
    /// What of that list was asked for.
    pub lists: Vec<String>,
    /// Who asks for users gets no answer.
    pub stalled: bool,
}

#[derive(Clone)]
pub struct Hub {
    pub api: String,
    pub state: Arc<Mutex<State>>,
}

pub fn query(text: &str) -> HashMap<String, String> {
    serde_urlencoded::from_str(text.split_once('?').map_or(text, |(_, query)| query)).expect("a query")
}

impl Hub {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let api = format!("http://{}/hub/api", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(State { scopes: vec!["self".into(), ACCESS.into()], part: 1, ..State::default() }));
        let shared = web::Data::from(state.clone());
        let server = HttpServer::new(move || {
            let app = App::new().app_data(shared.clone());
            let app = app.route("/hub/api/users", web::get().to(users));
            app.route("/hub/api/user", web::get().to(owner)).route("/hub/api/oauth2/token", web::post().to(exchange))
        });
        actix_web::rt::spawn(server.workers(1).listen(listener).expect("a server").run());
        Self { api, state }
    }

    /// Makes a token of a user.
    pub fn token(&self, token: &str, user: &str) {
        self.state.lock().expect("a lock").tokens.insert(token.to_owned(), [user.to_owned(), String::new()]);
    }

    /// What the hub's authorize page does without a question: the address that the user's browser is sent back to.
    pub fn authorize(&self, location: &str, user: &str, session: &str) -> String {
        let asked = query(location);
        assert_eq!((&*asked["response_type"], &*asked["code_challenge_method"]), ("code", "S256"));
        assert_eq!(asked["client_id"], "service-berth");
        let mut state = self.state.lock().expect("a lock");
        let code = format!("code-{}", state.codes.len());
        let waiting = [&asked["code_challenge"], &asked["redirect_uri"], user, session].map(str::to_owned);
        state.codes.insert(code.clone(), waiting);
        format!("{}?code={code}&state={}", asked["redirect_uri"], asked["state"])
    }
}

async fn exchange(state: web::Data<Mutex<State>>, form: web::Form<HashMap<String, String>>) -> HttpResponse {
    let mut state = state.lock().expect("a lock");
    if state.fails {
        return HttpResponse::InternalServerError().finish();
    }
    let client = (form["client_id"].as_str(), form["client_secret"].as_str(), form["grant_type"].as_str());
    assert_eq!(client, ("service-berth", SERVICE_TOKEN, "authorization_code"));
    // Emptied, not removed: a code counts once.
    let waiting = state.codes.get_mut(&form["code"]).map(std::mem::take);
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, form["code_verifier"].as_bytes()));
    match waiting {
        Some([expected, redirect, user, session]) if expected == challenge && redirect == form["redirect_uri"] => {
            let token = format!("token-{}-of-{user}", state.tokens.len());
            state.tokens.insert(token.clone(), [user, session]);
            HttpResponse::Ok().json(json!({"access_token": token, "expires_in": 1_209_600, "token_type": "Bearer"}))
        }
        _ => HttpResponse::BadRequest().json(json!({"error": "invalid_grant"})),
    }
}

/// One user at a time, as a hub with very small pages would.
async fn users(state: web::Data<Mutex<State>>, request: HttpRequest) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    assert_eq!(header("authorization"), format!("Bearer {SERVICE_TOKEN}"));
    assert_eq!(header("accept"), "application/jupyterhub-pagination+json");
    let answer = {
        let mut state = state.lock().expect("a lock");
        state.lists.push(request.query_string().to_owned());
        if state.stalled { None } else { Some(part(&state, &query(request.query_string()))) }
    };
    match answer {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}

fn part(state: &State, asked: &HashMap<String, String>) -> HttpResponse {
    let Some(users) = state.users.as_array() else { return HttpResponse::Forbidden().finish() };
    let is_active = |user: &&Value| user["servers"].as_object().is_none_or(|servers| !servers.is_empty());
    let users: Vec<&Value> = users.iter().filter(|user| !asked.contains_key("state") || is_active(user)).collect();
    let at: usize = asked["offset"].parse().expect("a number");
    let next = at + state.part;
    let items: Vec<_> = users.iter().skip(at).take(state.part).collect();
    let next = (next < users.len()).then(|| json!({"offset": next, "limit": state.part}));
    HttpResponse::Ok().json(json!({"items": items, "_pagination": {"next": next}}))
}

async fn owner(state: web::Data<Mutex<State>>, request: HttpRequest) -> HttpResponse {
    let mut state = state.lock().expect("a lock");
    state.asked += 1;
    let header = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some([user, session]) = state.tokens.get(header.trim_start_matches("Bearer ")) else {
        return HttpResponse::Forbidden().finish();
    };
    let mut scopes = state.scopes.clone();
    // A token that he made has all that its owner has; that of a log-in has not.
    if user == "root" && session.is_empty() {
        scopes.push("list:users".into());
    }
    HttpResponse::Ok().json(json!({
        "kind": "user", "name": user, "groups": state.groups, "admin": user == "root", "scopes": scopes, "session_id": session
    }))
}

/// A Berth below a hub's base URL, which remembers nothing that it was asked before.
pub fn berth(hub: &Hub, base_url: &str, token: &str) -> web::Data<Service> {
    berth::app::install_crypto();
    let (mut publisher, inventory) = inventory::new();
    let (catalogue, dump) = (catalogue(""), mixed().text());
    publisher.publish_dump(&dump, &catalogue.namespace, &catalogue.policy()).expect("a dump");
    let login = Login { client_id: "service-berth".into(), base_url: base_url.into() };
    let identities = Identities::new(&hub.api, KEEP_KNOWN).expect("a client");
    let access = Access::Tokens { hub: watch::channel(token.to_owned()).1, identities, login };
    let catalogue = watch::channel(Arc::new(catalogue)).1;
    let holds = Arc::new(Holds::new(inventory.snapshot()));
    let prefix = format!("{base_url}services/berth/");
    web::Data::new(Service {
        inventory,
        holds,
        catalogue,
        access,
        bases: Default::default(),
        streams: Arc::default(),
        directory: Default::default(),
        prefix,
    })
}

pub struct Page {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Page {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub fn location(&self) -> &str {
        self.header("location")
    }

    pub fn set_cookies(&self) -> Vec<String> {
        self.headers.get_all("set-cookie").map(|value| value.to_str().expect("text").to_owned()).collect()
    }
}

/// A browser: its cookies, and the headers that it sends with everything.
#[derive(Clone)]
pub struct Browser {
    pub service: web::Data<Service>,
    pub cookies: HashMap<String, String>,
    pub headers: Vec<(&'static str, &'static str)>,
}

impl Browser {
    /// One that opens pages, in a hub session.
    pub fn new(service: &web::Data<Service>, session: &str) -> Self {
        let cookies = HashMap::from([(HUB_SESSION.to_owned(), session.to_owned())]);
        Self { service: service.clone(), cookies, headers: vec![("accept", "text/html,application/xhtml+xml,*/*;q=0.8")] }
    }

    pub fn with(mut self, headers: &[(&'static str, &'static str)]) -> Self {
        self.headers = headers.to_vec();
        self
    }

    pub async fn send(&mut self, request: test::TestRequest) -> Page {
        let app = App::new().configure(|config| http::configure(config, self.service.clone()));
        let app = test::init_service(app).await;
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = self.headers.iter().fold(request, |request, header| request.insert_header(*header));
        let request = request.insert_header(("cookie", cookies.join("; ")));
        let response = test::call_service(&app, request.to_request()).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let text = String::from_utf8(test::read_body(response).await.to_vec()).expect("text");
        let page = Page { status, headers, text };
        for cookie in page.set_cookies() {
            let cookie = cookie::Cookie::parse(cookie).expect("a cookie");
            match cookie.max_age().is_some_and(|age| age.is_zero()) {
                true => self.cookies.remove(cookie.name()),
                false => self.cookies.insert(cookie.name().to_owned(), cookie.value().to_owned()),
            };
        }
        page
    }

    pub async fn get(&mut self, path: &str) -> Page {
        self.send(test::TestRequest::get().uri(path)).await
    }

    /// Opens a page, is sent round, and says what it got at the end.
    pub async fn log_in(&mut self, hub: &Hub, path: &str, user: &str) -> Page {
        let away = self.get(path).await;
        assert_eq!(away.status, 302, "{}", away.text);
        let session = self.cookies.get(HUB_SESSION).cloned().unwrap_or_default();
        let back = self.get(&hub.authorize(away.location(), user, &session)).await;
        assert_eq!(back.status, 302, "{}", back.text);
        self.get(back.location()).await
    }
}
