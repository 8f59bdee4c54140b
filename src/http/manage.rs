//! Life and readiness on the second port, for the kubelet alone. A NetworkPolicy closes it to everybody but Prometheus.

use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::{Responder, web};

use super::Service;
use super::problem::Problem;

/// Set when Berth is asked to stop: readiness goes first, so that no new request comes while the last are answered.
#[derive(Debug, Default)]
pub struct Stopping(pub AtomicBool);

pub fn routes(config: &mut web::ServiceConfig) {
    config.route("/livez", web::get().to(livez)).route("/readyz", web::get().to(readyz));
}

/// Alive means that requests are answered; it never depends on the apiserver.
async fn livez() -> impl Responder {
    "ok\n"
}

/// Ready means that there is an inventory. An old one still serves: its age is told.
async fn readyz(service: web::Data<Service>, stopping: web::Data<Stopping>) -> Result<impl Responder, Problem> {
    if stopping.0.load(Ordering::Relaxed) {
        return Err(Problem::new(503, "stopping", "Berth is stopping."));
    }
    if service.holds.snapshot().is_none() {
        return Err(Problem::new(503, "no-inventory", "The cluster has not been listed yet."));
    }
    Ok("ok\n")
}
