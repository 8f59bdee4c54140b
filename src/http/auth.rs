//! Credentials of a request: the hub's token, that of a hub user, or a browser's session.

use actix_web::error::InternalError;
use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{HttpRequest, ResponseError};
use subtle::ConstantTimeEq;

use super::identity::{Identity, IdentityError};
use super::login::{SESSION, begin, can_log_in, safe_next, show};
use super::problem::Problem;
use super::session::{Cookies, hub_sessions};
use super::{Access, Service};

/// Longer than any token that a hub makes.
const LONGEST_TOKEN: usize = 512;

/// Admits the hub.
pub fn admit_hub(service: &Service, request: &HttpRequest) -> Result<(), Problem> {
    let Access::Tokens { hub, .. } = &service.access else { return Ok(()) };
    let token = token(request).unwrap_or_default();
    if bool::from(token.as_bytes().ct_eq(hub.borrow().as_bytes())) {
        return Ok(());
    }
    Err(Problem::new(401, "unauthorized", "This call is the hub's. Send the token of the hub's service berth."))
}

/// Admits a user of the hub who may access this service, by the token of a program or the session of a browser. What it
/// returns otherwise is the whole answer: a problem, a page for who reads pages, or the way to the hub's log-in.
///
/// A browser sends its cookies with whatever a page of another site makes it send, so they count for GET alone, which
/// changes nothing here, and below the service prefix alone, where browsers come in. A route that writes must not take
/// them.
pub async fn admit_user(service: &Service, request: &HttpRequest) -> actix_web::Result<Identity> {
    let Access::Tokens { hub, identities, login } = &service.access else { return Ok(Identity::anyone()) };
    let takes_cookies = request.method() == Method::GET && request.path().starts_with(&service.prefix);
    if !takes_cookies || request.headers().contains_key(AUTHORIZATION) {
        let token = token(request).ok_or_else(no_credential)?;
        return Ok(identities.resolve(token).await.map_err(identity_problem)?);
    }
    let token = hub.borrow().clone();
    let cookies = Cookies::new(&token, &service.prefix, request);
    let mut known = Err(IdentityError::LoggedOut);
    for session in cookies.open(SESSION) {
        known = identities.resolve_session(&session, &hub_sessions(request)).await;
        // Another cookie of this name may be of the hub session that the browser is in.
        if known != Err(IdentityError::LoggedOut) {
            break;
        }
    }
    let refusal = match known {
        Ok(identity) => return Ok(identity),
        Err(IdentityError::LoggedOut) if can_log_in(request) => begin(login, &service.prefix, &cookies, request),
        Err(IdentityError::LoggedOut) => no_credential().error_response(),
        Err(error) => show(request, &identity_problem(error), &safe_next(&service.prefix, request)),
    };
    Err(InternalError::from_response("not admitted", refusal).into())
}

fn no_credential() -> Problem {
    let detail = "Log in to the hub in this browser, or send a token of the hub: Authorization: Bearer <token>.";
    Problem::new(401, "unauthorized", detail)
}

/// Why the hub's answer about a user lets nobody in.
pub fn identity_problem(error: IdentityError) -> Problem {
    match error {
        IdentityError::Invalid => {
            Problem::new(401, "unauthorized", "The hub does not know this token. Make a new one in the hub.")
        }
        IdentityError::NotAUser => Problem::new(403, "forbidden", "This token is not that of a hub user."),
        IdentityError::NoScope => Problem::new(
            403,
            "forbidden",
            "You lack the scope access:services!service=berth, or your token does. Ask the administrator of this hub.",
        ),
        IdentityError::LoggedOut => Problem::new(
            401,
            "unauthorized",
            "This browser is not in the hub session of this log-in. Log in to the hub, and allow its cookies.",
        ),
        IdentityError::HubUnreachable => {
            Problem::new(503, "hub-unreachable", "The hub did not answer, so you can't be recognised. Try again in a moment.")
        }
    }
}

/// `Authorization: Bearer <token>`, or `token <token>` as older JupyterHub clients send it.
fn token(request: &HttpRequest) -> Option<&str> {
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    let known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
    let token = token.trim();
    (known && !token.is_empty() && token.len() <= LONGEST_TOKEN).then_some(token)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test may stop at the first thing that is not as it says")]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use actix_web::test::TestRequest;
    use tokio::sync::watch;

    use super::*;
    use crate::catalogue::Catalogue;
    use crate::http::holds::Holds;
    use crate::http::identity::Identities;
    use crate::http::login::Login;

    #[actix_web::test]
    async fn cookies_and_the_way_to_the_log_in_are_for_get_below_the_prefix() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let login = Login { client_id: "service-berth".into(), base_url: "/".into() };
        let identities = Identities::new("http://127.0.0.1:1/hub/api", Duration::ZERO).expect("a client");
        let service = Service {
            inventory: crate::inventory::new().1,
            holds: Arc::new(Holds::new(None)),
            bases: Default::default(),
            streams: Arc::default(),
            directory: Default::default(),
            catalogue: watch::channel(Arc::new(Catalogue::built_in().expect("a catalogue"))).1,
            access: Access::Tokens { hub: watch::channel("token".to_owned()).1, identities, login },
            prefix: "/services/berth/".into(),
        };
        for (request, path, status) in [
            (TestRequest::get(), "/services/berth/profiles", 302),
            (TestRequest::get(), "/profiles", 401),
            (TestRequest::post(), "/services/berth/profiles", 401),
            (TestRequest::delete(), "/services/berth/profiles", 401),
        ] {
            let request = request.uri(path).insert_header(("accept", "text/html")).to_http_request();
            let refused = admit_user(&service, &request).await.expect_err("no credential");
            assert_eq!(refused.error_response().status(), status, "{} {path}", request.method());
        }
    }
}
