//! Log-in of a browser through the hub, by the hub's own OAuth: away to the hub, back with a code, a session cookie.
//!
//! All addresses are relative to the host, as the hub configures them for its services. A log-in is bound to the browser
//! that began it by a cookie of its own, so that several tabs may log in at once; the cookie holds the state, the PKCE
//! verifier and the page to go back to. Nothing of these is taken from an address.

use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::http::header::{ACCEPT, CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError, web};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::Cookie;
use cookie::time::Duration;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use tracing::{error, info, warn};

use super::auth::identity_problem;
use super::identity::{Identities, IdentityError};
use super::problem::Problem;
use super::session::{Cookies, hub_sessions};
use super::{Access, Service};
use crate::profiles::offer::escape_html;

pub const SESSION: &str = "berth-session";
/// Each log-in has a cookie of this name and the first characters of its state.
const BEGUN: &str = "berth-login-";
const STATE_IN_NAME: usize = 8;
const SECONDS_TO_LOG_IN: u64 = 600;
/// Log-ins that one browser may have begun; the oldest go first.
const MOST_BEGUN: usize = 5;
/// Bytes of a page's address to go back to; a longer one leads to Berth's first page.
const LONGEST_NEXT: usize = 512;
/// Below the service prefix; the hub's default for a service.
pub const CALLBACK: &str = "oauth_callback";

/// What a browser is told about the hub.
#[derive(Debug)]
pub struct Login {
    /// Berth's name in the hub's OAuth, such as `service-berth`.
    pub client_id: String,
    /// The path below which the hub's proxy puts everything, such as `/`.
    pub base_url: String,
}

/// What a browser remembers of a log-in that has begun.
#[derive(Debug, Serialize, Deserialize)]
struct Begun {
    state: String,
    verifier: String,
    next: String,
    /// Seconds since 1970.
    at: u64,
}

impl Begun {
    fn is_fresh(&self) -> bool {
        // Saturating: another replica's clock may be ahead.
        now().saturating_sub(self.at) < SECONDS_TO_LOG_IN
    }
}

/// The address of a page that was asked for, as far as it surely lies below the prefix.
pub fn safe_next(prefix: &str, request: &HttpRequest) -> String {
    let asked = request.uri().path_and_query().map_or("", |asked| asked.as_str());
    let path = request.path().to_ascii_lowercase();
    let climbs = path.contains("..") || path.contains("%2e") || path.contains('\\') || path.starts_with("//");
    let safe = asked.starts_with(prefix) && !climbs && asked.is_ascii() && asked.len() <= LONGEST_NEXT;
    if safe { asked.to_owned() } else { prefix.to_owned() }
}

/// Sends a browser to the hub.
pub fn begin(login: &Login, prefix: &str, cookies: &Cookies<'_>, request: &HttpRequest) -> HttpResponse {
    let (Some(state), Some(verifier)) = (random(), random()) else {
        error!("the system gives no random numbers");
        return Problem::new(500, "internal", "Berth could not begin a log-in.").error_response();
    };
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
    let redirect_uri = format!("{prefix}{CALLBACK}");
    let query = serde_urlencoded::to_string([
        ("client_id", login.client_id.as_str()),
        ("redirect_uri", &redirect_uri),
        ("response_type", "code"),
        ("state", &state),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ]);
    let name = begun_name(&state).unwrap_or_default();
    let begun = Begun { state, verifier, next: safe_next(prefix, request), at: now() };
    let (Ok(query), Ok(begun)) = (query, serde_json::to_string(&begun)) else {
        error!("a log-in could not be written");
        return Problem::new(500, "internal", "Berth could not begin a log-in.").error_response();
    };
    let mut response = redirect(&format!("{}hub/api/oauth2/authorize?{query}", login.base_url));
    let keep = Duration::seconds(SECONDS_TO_LOG_IN.try_into().unwrap_or_default());
    set_cookie(&mut response, &cookies.seal(&name, begun, Some(keep)));
    for name in too_many(cookies) {
        set_cookie(&mut response, &cookies.removal(&name));
    }
    response.finish()
}

/// Cookies of log-ins that were never finished, beyond the newest few.
fn too_many(cookies: &Cookies<'_>) -> Vec<String> {
    let mut names = cookies.names(BEGUN);
    names.sort_by_key(|name| std::cmp::Reverse(read_begun(cookies, name).map_or(0, |begun| begun.at)));
    names.into_iter().skip(MOST_BEGUN - 1).collect()
}

fn read_begun(cookies: &Cookies<'_>, name: &str) -> Option<Begun> {
    cookies.open(name).iter().find_map(|text| serde_json::from_str(text).ok())
}

fn begun_name(state: &str) -> Option<String> {
    Some(format!("{BEGUN}{}", state.get(..STATE_IN_NAME)?))
}

/// What the hub adds to the address on the way back.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    #[serde(default)]
    state: String,
    code: Option<String>,
}

/// `GET {prefix}oauth_callback`: the browser comes back from the hub.
pub async fn callback(service: web::Data<Service>, request: HttpRequest) -> HttpResponse {
    let Access::Tokens { hub, identities, login } = &service.access else {
        return Problem::new(404, "not-found", "Nobody logs in to this Berth: it runs without authentication.").error_response();
    };
    let prefix = service.prefix.as_str();
    let token = hub.borrow().clone();
    let cookies = Cookies::new(&token, prefix, &request);
    let answer = web::Query::<Answer>::from_query(request.query_string()).map(web::Query::into_inner).unwrap_or_default();
    let name = begun_name(&answer.state);
    let begun = name.as_deref().and_then(|name| read_begun(&cookies, name));
    let same = |begun: &Begun| bool::from(begun.state.as_bytes().ct_eq(answer.state.as_bytes())) && begun.is_fresh();
    let (Some(begun), Some(name)) = (begun.filter(same), name) else {
        let problem = Problem::new(
            400,
            "login-unknown",
            "This log-in was not begun in this browser, was finished already, or took longer than ten minutes. Begin anew.",
        );
        return show(&request, &problem, prefix);
    };
    let exchange = Exchange { login, identities, prefix, token: &token, verifier: &begun.verifier };
    let mut response = match exchange.finish(answer.code.as_deref(), &request).await {
        Ok(user_token) => {
            let mut response = redirect(&begun.next);
            set_cookie(&mut response, &cookies.seal(SESSION, user_token, None));
            response.finish()
        }
        Err(problem) => show(&request, &problem, &begun.next),
    };
    // Once only, however it ended.
    if let Ok(removal) = cookies.removal(&name).to_string().try_into() {
        response.headers_mut().append(SET_COOKIE, removal);
    }
    response
}

/// The second half of a log-in.
struct Exchange<'a> {
    login: &'a Login,
    identities: &'a Identities,
    prefix: &'a str,
    token: &'a str,
    verifier: &'a str,
}

impl Exchange<'_> {
    /// The token of the user who came back, if he may come in.
    async fn finish(&self, code: Option<&str>, request: &HttpRequest) -> Result<String, Problem> {
        let Some(code) = code else {
            return Err(Problem::new(403, "login-denied", "The hub did not let you in. Ask the administrator of this hub."));
        };
        let user_token = self.redeem(code).await?;
        let identity = self.identities.resolve_session(&user_token, &hub_sessions(request)).await.map_err(identity_problem)?;
        info!(user = identity.user.name, "logged in");
        Ok(user_token)
    }

    async fn redeem(&self, code: &str) -> Result<String, Problem> {
        #[derive(Deserialize)]
        struct Granted {
            access_token: String,
        }
        let redirect_uri = format!("{}{CALLBACK}", self.prefix);
        let form = [
            ("client_id", self.login.client_id.as_str()),
            ("client_secret", self.token),
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redirect_uri),
            ("code_verifier", self.verifier),
        ];
        let away = |_: reqwest::Error| identity_problem(IdentityError::HubUnreachable);
        let answer = self.identities.post("/oauth2/token", &form).await.map_err(identity_problem)?;
        match answer.status().as_u16() {
            200 => answer.json::<Granted>().await.map(|granted| granted.access_token).map_err(away),
            status @ 400..500 => {
                warn!(status, "the hub refused a log-in; 401 means that it has another token for the service berth");
                Err(Problem::new(400, "login-refused", "The hub did not accept this log-in; it may be too old. Begin anew."))
            }
            status => {
                warn!(status, "the hub gave no answer to a log-in");
                Err(identity_problem(IdentityError::HubUnreachable))
            }
        }
    }
}

/// Whether the caller reads pages.
pub fn wants_page(request: &HttpRequest) -> bool {
    header(request, ACCEPT.as_str()).is_some_and(|accept| accept.contains("text/html"))
}

/// Whether to send a caller without a session to the hub: a browser that opens a page; or a script in a page of this
/// very host, such as the hub's spawn form, in a browser that is logged in to the hub and so is sent round unseen. A
/// program has no such cookie. Without https a browser does not say which page a script belongs to; but it sends the
/// cookie to no other site's scripts.
pub fn can_log_in(request: &HttpRequest) -> bool {
    let own_script = header(request, "sec-fetch-site").is_none_or(|site| site == "same-origin");
    wants_page(request) || (own_script && !hub_sessions(request).is_empty())
}

/// A problem as a page with a link for who reads pages.
pub fn show(request: &HttpRequest, problem: &Problem, retry: &str) -> HttpResponse {
    if !wants_page(request) {
        return problem.error_response();
    }
    let [title, detail, retry] = [problem.title, &problem.detail, retry].map(escape_html);
    let page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title} · Berth</title></head>\n\
         <body><main><h1>{title}</h1>\n<p>{detail}</p>\n<p><a href=\"{retry}\">Try again</a></p></main></body>\n</html>\n"
    );
    let mut response = HttpResponse::build(problem.status_code());
    response.content_type("text/html; charset=utf-8").insert_header(("cache-control", "no-store"));
    response.insert_header((CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"));
    response.insert_header((REFERRER_POLICY, "no-referrer")).body(page)
}

fn redirect(to: &str) -> HttpResponseBuilder {
    let mut response = HttpResponse::Found();
    response.insert_header((LOCATION, to)).insert_header(("cache-control", "no-store"));
    response.insert_header((REFERRER_POLICY, "no-referrer"));
    response
}

fn set_cookie(response: &mut HttpResponseBuilder, cookie: &Cookie<'_>) {
    response.append_header((SET_COOKIE, cookie.to_string()));
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name)?.to_str().ok()
}

fn random() -> Option<String> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_may_take_ten_minutes() {
        let begun = |at| Begun { state: String::new(), verifier: String::new(), next: String::new(), at };
        assert!(begun(now() - 590).is_fresh() && begun(now() + 30).is_fresh());
        assert!(!begun(now() - 600).is_fresh());
    }

    #[test]
    fn only_what_lies_below_the_prefix_is_gone_back_to() {
        let next = |prefix, uri: &str| safe_next(prefix, &actix_web::test::TestRequest::with_uri(uri).to_http_request());
        assert_eq!(next("/services/berth/", "/services/berth/profiles?a=//b"), "/services/berth/profiles?a=//b");
        for uri in ["/hub/logout", "/services/berth/../../hub", "/services/berth/%2E%2e/x", "/services/berth"] {
            assert_eq!(next("/services/berth/", uri), "/services/berth/", "{uri}");
        }
        assert_eq!(next("/", "//evil.example/profiles"), "/");
    }
}
