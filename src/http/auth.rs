//! Credentials of a request: the hub's token, or that of a hub user.

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use super::identity::{Identity, IdentityError};
use super::problem::Problem;
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

/// Admits a user of the hub who may access this service.
pub async fn admit_user(service: &Service, request: &HttpRequest) -> Result<Identity, Problem> {
    let Access::Tokens { identities, .. } = &service.access else { return Ok(Identity::anyone()) };
    let Some(token) = token(request) else {
        return Err(Problem::new(401, "unauthorized", "Send a token of the hub: Authorization: Bearer <token>."));
    };
    identities.resolve(token).await.map_err(|error| match error {
        IdentityError::Invalid => {
            Problem::new(401, "unauthorized", "The hub does not know this token. Make a new one in the hub.")
        }
        IdentityError::NotAUser => Problem::new(403, "forbidden", "This token is not that of a hub user."),
        IdentityError::NoScope => Problem::new(
            403,
            "forbidden",
            "This token lacks the scope access:services!service=berth. Ask the administrator of this hub.",
        ),
        IdentityError::HubUnreachable => {
            Problem::new(503, "hub-unreachable", "The hub did not answer, so you can't be recognised. Try again in a moment.")
        }
    })
}

/// `Authorization: Bearer <token>`, or `token <token>` as older JupyterHub clients send it.
fn token(request: &HttpRequest) -> Option<&str> {
    let header = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = header.split_once(' ')?;
    let known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token");
    let token = token.trim();
    (known && !token.is_empty() && token.len() <= LONGEST_TOKEN).then_some(token)
}
