//! The second port, for the kubelet and Prometheus alone. A NetworkPolicy closes it to everybody else.

use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::{HttpResponse, Responder, web};

use super::Service;
use super::problem::Problem;

/// Set when Berth is asked to stop: readiness goes first, so that no new request comes while the last are answered.
#[derive(Debug, Default)]
pub struct Stopping(pub AtomicBool);

pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/livez", web::get().to(livez))
        .route("/readyz", web::get().to(readyz))
        .route("/metrics", web::get().to(metrics));
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
    if service.inventory.snapshot().is_none() {
        return Err(Problem::new(503, "no-inventory", "The cluster has not been listed yet."));
    }
    Ok("ok\n")
}

async fn metrics(service: web::Data<Service>) -> Result<impl Responder, Problem> {
    let view = service.view();
    let text = service.metrics.render(view.snapshot.as_deref(), &service.inventory.health).map_err(|error| {
        tracing::error!(%error, "metrics could not be written");
        Problem::new(500, "internal", "Berth could not write its metrics.")
    })?;
    Ok(HttpResponse::Ok().content_type(prometheus::TEXT_FORMAT).body(text))
}
