//! What Prometheus reads. Counters live here; gauges are made from the snapshot at each scrape, so that a node or a kind
//! that is gone leaves no series behind. Labels come from the cluster's hardware, never from users or paths.

use std::time::Duration;

use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, body, dev, web};
use prometheus::{
    Encoder, Gauge, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::domain::snapshot::{KindCount, Snapshot};
use crate::http::Service;
use crate::http::problem::Problem;
use crate::inventory::Health;

/// Counts each request by route template, never by path: a path is the caller's to invent. Wraps the application.
pub async fn count_requests(
    metrics: web::Data<Metrics>,
    service: web::Data<Service>,
    request: dev::ServiceRequest,
    next: Next<impl body::MessageBody>,
) -> Result<dev::ServiceResponse<impl body::MessageBody>, Error> {
    let started = std::time::Instant::now();
    let pattern = request.match_pattern();
    let response = next.call(request).await?;
    let below = service.prefix.trim_end_matches('/');
    let route = pattern.as_deref().map_or("unmatched", |route| route.strip_prefix(below).unwrap_or(route));
    metrics.observe_request(route, response.status().as_u16(), started.elapsed());
    Ok(response)
}

/// `GET /metrics` of the second port.
pub async fn scrape(metrics: web::Data<Metrics>, service: web::Data<Service>) -> Result<HttpResponse, Problem> {
    let snapshot = service.holds.snapshot();
    let text = metrics.render(snapshot.as_deref(), &service.inventory.health).map_err(|error| {
        tracing::error!(%error, "metrics could not be written");
        Problem::new(500, "internal", "Berth could not write its metrics.")
    })?;
    Ok(HttpResponse::Ok().content_type(prometheus::TEXT_FORMAT).body(text))
}

/// Upper bounds in seconds; answers come from memory, so most are far below a millisecond.
const BUCKETS: [f64; 8] = [0.000_1, 0.000_5, 0.001, 0.002_5, 0.01, 0.05, 0.25, 1.0];

#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    seconds: HistogramVec,
    reload_failed: IntGauge,
}

impl Metrics {
    /// # Errors
    /// Only when a name or label here is not one that Prometheus allows.
    pub fn new() -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new("berth_http_requests_total", "Requests by route template and status."),
            &["route", "status"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new("berth_http_request_seconds", "Time to answer by route template.").buckets(BUCKETS.to_vec()),
            &["route"],
        )?;
        let reload_failed =
            IntGauge::new("berth_catalogue_reload_failed", "1 while the catalogue on disk is refused and an older one serves.")?;
        let registry = Registry::new();
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(reload_failed.clone()))?;
        Ok(Self { registry, requests, seconds, reload_failed })
    }

    fn observe_request(&self, route: &str, status: u16, took: Duration) {
        self.requests.with_label_values(&[route, &status.to_string()]).inc();
        self.seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }

    pub fn catalogue_reloaded(&self, accepted: bool) {
        self.reload_failed.set(i64::from(!accepted));
    }

    /// Everything in Prometheus' text format.
    fn render(&self, snapshot: Option<&Snapshot>, health: &Health) -> prometheus::Result<String> {
        let moment = Registry::new();
        if let Some(snapshot) = snapshot {
            register_gpus(&moment, snapshot)?;
        }
        register_health(&moment, health)?;
        let mut families = self.registry.gather();
        families.extend(moment.gather());
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// A gauge of GPUs: its name, its help, and the number it reads of a kind.
type GpuGauge = (&'static str, &'static str, fn(&KindCount) -> u64);

const GPU_GAUGES: [GpuGauge; 7] = [
    ("berth_gpus", "GPUs, slices or shares in all, healthy or not.", |count| count.total),
    ("berth_gpus_free", "GPUs free on usable nodes.", |count| count.free),
    ("berth_gpus_used", "GPUs that bound pods of all namespaces request.", |count| count.used),
    ("berth_gpus_held", "GPUs promised to pods that are not bound yet.", |count| count.held),
    ("berth_gpus_unhealthy", "GPUs that the device plugin calls unhealthy.", |count| count.unhealthy),
    ("berth_gpus_unusable", "GPUs that would be free if their nodes were usable.", |count| count.unusable),
    ("berth_gpus_pending", "GPUs that unbound pods ask for.", |count| count.pending),
];

fn register_gpus(registry: &Registry, snapshot: &Snapshot) -> prometheus::Result<()> {
    for (name, help, read) in GPU_GAUGES {
        let gauge = IntGaugeVec::new(Opts::new(name, help), &["resource", "product", "sharing"])?;
        for count in &snapshot.kinds {
            let labels = [count.kind.resource.as_ref(), count.kind.product.as_str(), count.kind.sharing.name()];
            // Kinds that differ in the number of shares only have the same labels here.
            gauge.with_label_values(&labels).add(i64::try_from(read(count)).unwrap_or(i64::MAX));
        }
        registry.register(Box::new(gauge))?;
    }
    let number = |name: &str, help: &str, value: usize| -> prometheus::Result<()> {
        let gauge = IntGauge::new(name, help)?;
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        registry.register(Box::new(gauge))
    };
    let unusable = snapshot.nodes.iter().filter(|node| !node.gpus.is_empty() && !node.usable()).count();
    let overcommitted = snapshot.nodes.iter().filter(|node| node.overcommitted()).count();
    number("berth_nodes", "Nodes of the cluster.", snapshot.nodes.len())?;
    number("berth_gpu_nodes_unusable", "Nodes with GPUs that can't be used now.", unusable)?;
    number("berth_gpu_nodes_overcommitted", "Nodes whose pods hold more GPUs than the node offers.", overcommitted)?;
    number("berth_unclassified_resources", "GPU-like resources that no rule knows.", snapshot.unclassified.len())
}

fn register_health(registry: &Registry, health: &Health) -> prometheus::Result<()> {
    if let Some(age) = health.age() {
        let gauge = Gauge::new("berth_inventory_age_seconds", "Time since the inventory was last known to be current.")?;
        gauge.set(age.as_secs_f64());
        registry.register(Box::new(gauge))?;
    }
    let restarts =
        IntCounterVec::new(Opts::new("berth_watch_restarts_total", "Watches that had to be started anew."), &["kind"])?;
    let skipped = IntCounterVec::new(Opts::new("berth_skipped_objects_total", "Objects that could not be read."), &["kind"])?;
    for numbers in health.numbers() {
        restarts.with_label_values(&[numbers.kind.name()]).inc_by(numbers.restarts);
        skipped.with_label_values(&[numbers.kind.name()]).inc_by(numbers.skipped);
    }
    registry.register(Box::new(restarts))?;
    registry.register(Box::new(skipped))
}
