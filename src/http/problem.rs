//! The one body of every error: RFC 9457 `application/problem+json`. `detail` is safe to show to a user.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, Responder, ResponseError};
use serde::Serialize;

use crate::profiles::refusal::Refusal;

#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Problem {
    pub status: u16,
    /// The status in words.
    pub title: &'static str,
    /// What happened, to which object, and what to do next.
    pub detail: String,
    /// A fixed word for programs.
    pub reason: &'static str,
}

impl Problem {
    pub fn new(status: u16, reason: &'static str, detail: impl Into<String>) -> Self {
        let title = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error");
        Self { status, title, detail: detail.into(), reason }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (status, reason) = match &refusal {
            Refusal::Malformed(_) => (400, "malformed"),
            Refusal::NotAllowed(_) => (403, "not-allowed"),
            Refusal::OverLimit(_) => (403, "over-limit"),
            Refusal::OverQuota(_) => (409, "over-quota"),
            Refusal::Full(_) => (409, "full"),
            Refusal::UnknownProfile(_) => (422, "unknown-profile"),
            Refusal::UnknownOption(_) => (422, "unknown-option"),
            Refusal::NeverFits(_) => (422, "never-fits"),
            Refusal::MissingClaim(_) => (422, "missing-claim"),
            Refusal::NoInventory => (503, "no-inventory"),
        };
        Self::new(status, reason, refusal.to_string())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} {})", self.detail, self.status, self.reason)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.content_type("application/problem+json").insert_header(("cache-control", "no-store"));
        if self.status == 401 {
            response.insert_header(("www-authenticate", "Bearer"));
        }
        response.body(serde_json::to_vec(self).unwrap_or_default())
    }
}

impl Responder for Problem {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        self.error_response()
    }
}
