//! Pages for browsers: the frame around each, the headers that keep foreign content out, and the few files they use.
//!
//! Everything is rendered here, by maud, which escapes what it is given. There is no inline script or style, so that the
//! policy can forbid both. All addresses are relative to the page, or below the hub's base URL.

mod choices;
pub mod cluster;
pub mod offers;
pub mod servers;

use std::fmt::Write;
use std::sync::LazyLock;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpRequest, HttpResponse};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};
use ring::digest::{SHA256, digest};

use super::{Access, Service};
use crate::domain::report::Freshness;
use crate::profiles::User;
use crate::profiles::waiting::span;

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Files by name: content, and its type.
const FILES: [(&str, &str, &str); 3] = [
    ("board.css", "text/css; charset=utf-8", include_str!("pages/board.css")),
    ("board.js", "text/javascript; charset=utf-8", include_str!("pages/board.js")),
    ("icon.svg", "image/svg+xml", include_str!("pages/icon.svg")),
];

/// The version of the files, in the addresses that pages give them.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let all: Vec<u8> = FILES.iter().flat_map(|(_, _, content)| content.bytes()).collect();
    let mut version = String::new();
    for byte in digest(&SHA256, &all).as_ref().iter().take(8) {
        let _ = write!(version, "{byte:02x}");
    }
    version
});

/// One page, and who looks at it.
pub struct Page<'a> {
    pub title: &'a str,
    pub user: &'a User,
    /// The hub's base URL; `None` without a hub.
    pub hub: Option<&'a str>,
    /// Whether a script keeps it up to date.
    pub live: bool,
    pub freshness: &'a Freshness,
}

/// The base URL of the hub whose users come here.
pub fn hub_of(service: &Service) -> Option<&str> {
    match &service.access {
        Access::Open => None,
        Access::Tokens { login, .. } => Some(&login.base_url),
    }
}

impl Page<'_> {
    pub fn respond(&self, status: StatusCode, content: &Markup) -> HttpResponse {
        let file = |name: &str| format!("static/{name}?v={}", *VERSION);
        let tab =
            |address: &str, text: &str, here: bool| html! { a href=(address) aria-current=[here.then_some("page")] { (text) } };
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · Berth" }
                    link rel="icon" type="image/svg+xml" href=(file("icon.svg"));
                    link rel="stylesheet" href=(file("board.css"));
                    @if self.live { script src=(file("board.js")) defer {} }
                }
                body {
                    a.skip href="#content" { "To the numbers" }
                    header {
                        nav aria-label="Pages" {
                            strong { "Berth" }
                            (tab("./", "GPUs", self.live))
                            (tab("profiles", "Profiles", !self.live))
                            @if let Some(hub) = self.hub {
                                a href=(format!("{hub}hub/home")) { "My servers" }
                                @if self.user.admin { a href=(format!("{hub}hub/admin")) { "Hub admin" } }
                            }
                        }
                        p.who { (self.user.name) @if self.user.admin { " · administrator" } }
                    }
                    main #content data-live=[self.live.then_some("api/v1/gpus/events?nodes=false")] {
                        div.title {
                            h1 { (self.title) }
                            (self.age())
                        }
                        (self.staleness())
                        (content)
                    }
                }
            }
        };
        let mut response = HttpResponse::build(status);
        response.content_type("text/html; charset=utf-8").insert_header((CACHE_CONTROL, "no-store"));
        response.insert_header((CONTENT_SECURITY_POLICY, POLICY)).insert_header((REFERRER_POLICY, "no-referrer"));
        response.insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff")).body(page.into_string())
    }

    /// The moment of the numbers, for who has no script; a script says here whether it still hears of changes.
    fn age(&self) -> Markup {
        let observed = &self.freshness.observed_at;
        html! {
            p.age {
                span #connection role="status" {}
                span data-part="age" id="age" {
                    "Numbers from " time datetime=(observed) data-clock="" { (clock(observed)) " UTC" }
                }
                a #reload href="" { "Reload" }
            }
        }
    }

    fn staleness(&self) -> Markup {
        let since = elapsed(&self.freshness.observed_at).map_or_else(|| "some time".to_owned(), span);
        html! {
            div data-part="stale" id="stale" {
                @if self.freshness.stale {
                    p.warning role="alert" { "The cluster has not answered for " (since) ". These numbers are old." }
                }
            }
        }
    }
}

/// `GET …/static/{name}`: open to all, since there is nothing in it but what is in the source.
pub async fn file(request: HttpRequest) -> HttpResponse {
    let name = request.match_info().query("name");
    let Some((_, kind, content)) = FILES.iter().find(|(known, ..)| *known == name) else {
        return HttpResponse::NotFound().insert_header((CACHE_CONTROL, "no-store")).finish();
    };
    // Another version's address must not keep this content.
    let kept = request.query_string() == format!("v={}", *VERSION);
    let keep = if kept { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = HttpResponse::Ok();
    response.content_type(*kind).insert_header((CACHE_CONTROL, keep)).insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    response.insert_header((ETAG, format!("\"{}\"", *VERSION))).insert_header((CONTENT_SECURITY_POLICY, POLICY)).body(*content)
}

/// The time of the day of a moment in RFC 3339.
pub fn clock(moment: &str) -> &str {
    moment.get(11..19).unwrap_or(moment)
}

/// The time since a moment in RFC 3339.
pub fn elapsed(moment: &str) -> Option<Duration> {
    let then: Timestamp = moment.parse().ok()?;
    Some(Duration::try_from(Timestamp::now().duration_since(then)).unwrap_or_default())
}

/// How long ago, renewed by the script where there is one.
pub fn ago(moment: &str) -> Markup {
    html! {
        @match elapsed(moment) {
            Some(time) => time datetime=(moment) title=(moment) data-since="" { (span(time)) },
            None => span.faint { "unknown" },
        }
    }
}

/// A reason as a sentence: a capital at the start, a full stop at the end.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

/// A word per count: `1 node`, `3 nodes`.
pub fn counted(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}
