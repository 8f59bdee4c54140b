//! The cookies of a log-in: a browser's session, and what a log-in that has begun remembers until the hub sends the
//! browser back.
//!
//! Both are encrypted and signed by the cookie crate's private jar. The key comes from the service's token: replicas and
//! a restarted Berth read each other's cookies, and a new token ends every session. A cookie's name is signed with its
//! value, so none can stand in for another. All are limited to the service's path and hidden from scripts, and another
//! site's page can't send them along except by a link.

use actix_web::HttpRequest;
use actix_web::http::header::COOKIE;
use cookie::time::Duration;
use cookie::{Cookie, CookieJar, Key, SameSite};
use ring::digest;

/// What the hub calls its browser session; it shows every service this cookie, and takes it back at log-out.
const HUB_SESSION: &str = "jupyterhub-session-id";

/// Opens and seals the cookies of one request's browser.
pub struct Cookies<'a> {
    request: &'a HttpRequest,
    path: &'a str,
    key: Key,
}

impl<'a> Cookies<'a> {
    pub fn new(service_token: &str, path: &'a str, request: &'a HttpRequest) -> Self {
        // Of any length, where the key's derivation wants 32 bytes.
        let mut digest = digest::Context::new(&digest::SHA256);
        digest.update(b"berth cookies ");
        digest.update(service_token.as_bytes());
        Self { request, path, key: Key::derive_from(digest.finish().as_ref()) }
    }

    /// The texts sealed under this name by this key. A browser may hold several cookies of one name, for several paths.
    pub fn open(&self, name: &str) -> Vec<String> {
        let jar = CookieJar::new();
        let jar = jar.private(&self.key);
        let found = of_browser(self.request).filter(|cookie| cookie.name() == name);
        found.filter_map(|cookie| Some(jar.decrypt(cookie.into_owned())?.value().to_owned())).collect()
    }

    /// A cookie that only Berth can read, until the browser is closed or for the given time.
    pub fn seal(&self, name: &str, text: String, keep: Option<Duration>) -> Cookie<'static> {
        let mut plain = self.bare(name, text);
        plain.set_max_age(keep);
        let mut jar = CookieJar::new();
        jar.private_mut(&self.key).add(plain.clone());
        jar.get(name).cloned().unwrap_or(plain)
    }

    /// What takes a cookie away from the browser.
    pub fn removal(&self, name: &str) -> Cookie<'static> {
        let mut cookie = self.bare(name, String::new());
        cookie.make_removal();
        cookie
    }

    fn bare(&self, name: &str, value: String) -> Cookie<'static> {
        // The proxies in front say whether the browser came by https. A header of that name that the browser itself sent
        // comes first among theirs, and decides about nothing but this browser's own cookies.
        let secure = self.request.connection_info().scheme() == "https";
        let cookie = Cookie::build((name.to_owned(), value)).path(self.path.to_owned());
        cookie.http_only(true).same_site(SameSite::Lax).secure(secure).build()
    }

    /// Names of the browser's cookies that begin like this.
    pub fn names(&self, start: &str) -> Vec<String> {
        of_browser(self.request).map(|cookie| cookie.name().to_owned()).filter(|name| name.starts_with(start)).collect()
    }
}

/// The hub sessions that the browser is in: one, or none after a log-out. It may hold two cookies of one name.
pub fn hub_sessions(request: &HttpRequest) -> Vec<String> {
    let found = of_browser(request).filter(|cookie| cookie.name() == HUB_SESSION && !cookie.value().is_empty());
    found.map(|cookie| cookie.value().to_owned()).collect()
}

fn of_browser(request: &HttpRequest) -> impl Iterator<Item = Cookie<'_>> {
    let headers = request.headers().get_all(COOKIE).filter_map(|header| header.to_str().ok());
    headers.flat_map(|header| Cookie::split_parse(header).filter_map(Result::ok))
}
