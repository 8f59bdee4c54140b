//! The event stream: the numbers of `GET /api/v1/gpus` once at the start, and again after each change.
//!
//! A stream ends when its client goes, when Berth stops, and when its user may no longer look: the hub is asked again when
//! its last answer is too old for any other request.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use web::Bytes;

use super::auth::admit_user;
use super::problem::Problem;
use super::{Service, openapi};
use crate::domain::report::GpuReport;
use crate::domain::snapshot::Snapshot;

/// Between two events of a stream at least.
const PACE: Duration = Duration::from_millis(250);
/// How often a silent stream shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The event is sent again after so long without a change: a reader sees that it is still so, and its clocks are set.
const LONGEST_QUIET: Duration = Duration::from_secs(60);
/// After an answer of the hub has lapsed; between two questions about one user at least.
const GRACE: Duration = Duration::from_millis(100);
/// Streams open at once, of all users and of one.
const MOST: usize = 1_000;
const MOST_EACH: usize = 50;

/// The streams that are open.
#[derive(Debug, Default)]
pub struct Streams {
    open: Mutex<BTreeMap<String, usize>>,
    closing: watch::Sender<bool>,
    /// The event written last, for all streams that want the same.
    written: Mutex<BTreeMap<bool, Written>>,
}

#[derive(Clone, Debug)]
struct Written {
    generation: u64,
    stale: bool,
    at: Instant,
    event: Bytes,
}

/// A place among the streams, given back when dropped.
struct Place {
    streams: Arc<Streams>,
    user: String,
}

impl Streams {
    /// Ends every stream, and those that come later.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    fn enter(self: &Arc<Self>, user: &str) -> Result<Place, Problem> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = open.get(user).copied().unwrap_or_default();
        if mine >= MOST_EACH || open.values().sum::<usize>() >= MOST {
            return Err(Problem::new(
                503,
                "too-many-streams",
                "Too many event streams are open. Close a page, or try again later.",
            ));
        }
        open.insert(user.to_owned(), mine + 1);
        Ok(Place { streams: self.clone(), user: user.to_owned() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.streams.open.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.user) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.remove(&self.user);
            }
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Whether with the list of nodes, which is long in a large cluster.
    #[serde(default = "yes")]
    nodes: bool,
}

fn yes() -> bool {
    true
}

/// Server-sent events: the inventory now, and after each change
#[utoipa::path(
    get, path = "/api/v1/gpus/events", security(("user" = []), ("session" = [])),
    params(("nodes" = Option<bool>, Query, description = "Whether with the list of nodes; true where it is not said")),
    responses(
        (status = 200, body = openapi::Gpus, content_type = "text/event-stream"),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn events(service: web::Data<Service>, request: HttpRequest) -> actix_web::Result<HttpResponse> {
    let identity = admit_user(&service, &request).await?;
    let wanted = web::Query::<Wanted>::from_query(request.query_string())
        .map_err(|error| Problem::new(400, "malformed", format!("The query is not understood: {error}. It takes nodes.")))?;
    let place = service.streams.enter(&identity.user.name)?;
    let changes = service.holds.changes();
    let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let closing = service.streams.closing.subscribe();
    let stream = Stream {
        service,
        request,
        admitted: identity.until.into(),
        nodes: wanted.nodes,
        changes,
        closing,
        heartbeat,
        changed: true,
        next: Instant::now(),
        stale: None,
        _place: place,
    };
    let mut response = HttpResponse::Ok();
    response.content_type("text/event-stream").insert_header((CACHE_CONTROL, "no-store"));
    response.insert_header(("x-accel-buffering", "no"));
    Ok(response.streaming(futures::stream::unfold(stream, Stream::step)))
}

struct Stream {
    service: web::Data<Service>,
    request: HttpRequest,
    /// Until then the user may look.
    admitted: Instant,
    nodes: bool,
    changes: watch::Receiver<Option<Arc<Snapshot>>>,
    closing: watch::Receiver<bool>,
    heartbeat: Interval,
    /// There is something to tell.
    changed: bool,
    /// No event before this.
    next: Instant,
    /// What the last event said of it.
    stale: Option<bool>,
    _place: Place,
}

/// What a stream waited for.
enum Turn {
    Change,
    Heartbeat,
    Admission,
    End,
}

impl Stream {
    async fn step(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            let bytes = match self.turn().await {
                Turn::End => return None,
                Turn::Change => self.event(),
                Turn::Admission => {
                    let identity = admit_user(&self.service, &self.request).await.ok()?;
                    self.admitted = Instant::from(identity.until).max(Instant::now());
                    None
                }
                Turn::Heartbeat => {
                    // Nothing is published when the source is lost.
                    let stale = self.service.inventory.health.freshness().stale;
                    let news = self.stale.is_some_and(|said| said != stale) || self.next.elapsed() >= LONGEST_QUIET;
                    let event = if news { self.event() } else { None };
                    event.or_else(|| Some(Bytes::from_static(b": \n\n")))
                }
            };
            if let Some(bytes) = bytes {
                return Some((Ok(bytes), self));
            }
        }
    }

    async fn turn(&mut self) -> Turn {
        let (changes, changed, next, admitted) = (&mut self.changes, &mut self.changed, self.next, self.admitted);
        let change = async {
            if !*changed {
                changes.changed().await?;
                *changed = true;
            }
            // What happens until then is part of the same event.
            tokio::time::sleep_until(next).await;
            Ok::<_, watch::error::RecvError>(())
        };
        tokio::select! {
            biased;
            _ = self.closing.wait_for(|closing| *closing) => Turn::End,
            () = tokio::time::sleep_until(admitted + GRACE) => Turn::Admission,
            _ = self.heartbeat.tick() => Turn::Heartbeat,
            changed = change => if changed.is_ok() { Turn::Change } else { Turn::End },
        }
    }

    /// The event of the snapshot that is served now; none before the first.
    fn event(&mut self) -> Option<Bytes> {
        self.changed = false;
        let snapshot = self.changes.borrow_and_update().clone()?;
        self.next = Instant::now() + PACE;
        let freshness = self.service.inventory.health.freshness();
        self.stale = Some(freshness.stale);
        let mut written = self.service.streams.written.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |last: &&Written| {
            last.generation == snapshot.generation && last.stale == freshness.stale && last.at.elapsed() < Duration::from_secs(1)
        };
        if let Some(last) = written.get(&self.nodes).filter(same) {
            return Some(last.event.clone());
        }
        let report = GpuReport::new(&snapshot, &freshness);
        let report = if self.nodes { report } else { report.without_nodes() };
        let json =
            serde_json::to_string(&report).inspect_err(|error| tracing::error!(%error, "an event could not be written")).ok()?;
        let event = Bytes::from(format!("retry: 2000\nid: {}\ndata: {json}\n\n", snapshot.generation));
        let last = Written { generation: snapshot.generation, stale: freshness.stale, at: Instant::now(), event: event.clone() };
        written.insert(self.nodes, last);
        Some(event)
    }
}
