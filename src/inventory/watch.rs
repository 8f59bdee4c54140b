//! One watch: lists a kind page by page, then follows its events, for ever.
//!
//! kube's own watcher hides bookmarks and reconnections, and those are the only signs that an idle stream is alive;
//! Berth must know how old its numbers are, so it reads the stream itself. Each object is decoded on its own from its
//! JSON: one that can't be read is skipped, logged and counted, and the stream goes on.
//! Source of the protocol: <https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::AsyncBufReadExt;
use kube::Client;
use kube::core::Request;
use kube::core::params::{ListParams, WatchParams};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use thiserror::Error;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::facts::{self, Decoded};
use super::health::Health;
use super::index::{Change, Update};
use super::objects::Metadata;

/// Objects of one page of a list. A page is held as text while it is decoded, so this bounds the peak of memory.
const PAGE_SIZE: u32 = 500;
/// The server sends a bookmark about every minute. A stream silent for longer than this is dead.
const LONGEST_SILENCE: Duration = Duration::from_secs(90);
/// The server ends a watch after so many seconds; it is then resumed from the last version seen.
const WATCH_SECONDS: u32 = 290;

/// Between tries while the apiserver is away. Short, because users wait for the truth when it is back, and three watches
/// are no load.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Between looks whether a right that Berth can do without has been given meanwhile.
const MISSING_PAUSE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Nodes,
    Pods,
    Claims,
    Volumes,
    Classes,
    Quotas,
    Events,
}

impl Kind {
    pub const ALL: [Self; 7] = [Self::Nodes, Self::Pods, Self::Claims, Self::Volumes, Self::Classes, Self::Quotas, Self::Events];
    /// Those that the numbers are made of. Without the others Berth knows less of why a pod may wait, and goes on.
    pub const NEEDED: [Self; 3] = [Self::Nodes, Self::Pods, Self::Claims];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Pods => "pods",
            Self::Claims => "persistentvolumeclaims",
            Self::Volumes => "persistentvolumes",
            Self::Classes => "storageclasses",
            Self::Quotas => "resourcequotas",
            Self::Events => "events",
        }
    }
}

/// What to watch and how to read it.
pub struct Watch<O, F> {
    pub kind: Kind,
    /// The path of the collection, such as `/api/v1/pods`.
    pub path: String,
    pub field_selector: Option<&'static str>,
    pub read: fn(O) -> Decoded<F>,
    pub wrap: fn(Update<F>) -> Change,
}

#[derive(Debug, Error)]
enum WatchError {
    #[error("{0}")]
    Request(#[from] kube::Error),
    #[error("a request could not be built: {0}")]
    Build(#[from] kube::core::request::Error),
    #[error("the stream broke: {0}")]
    Stream(#[from] std::io::Error),
    #[error("the answer is not what an apiserver sends: {0}")]
    Garbage(#[from] serde_json::Error),
    #[error("nothing was heard for {} seconds", LONGEST_SILENCE.as_secs())]
    Silence,
    #[error("the server no longer has the changes since the last one seen")]
    Expired,
    #[error("the server ended the watch: {0}")]
    Refused(String),
    #[error("Berth is stopping")]
    Stopping,
}

impl WatchError {
    /// The account lacks the right, or the cluster the resource.
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Request(kube::Error::Api(status)) if [403, 404].contains(&status.code))
    }
}

#[derive(Deserialize)]
struct Page<'a> {
    metadata: PageMetadata,
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMetadata {
    resource_version: String,
    #[serde(default)]
    r#continue: String,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    name: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Versioned {
    metadata: Version,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    resource_version: String,
}

#[derive(Deserialize)]
struct Named {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

impl<O: DeserializeOwned, F> Watch<O, F> {
    /// Runs until the receiver is gone. Each failure is logged with its reason and followed by a longer pause.
    pub async fn run(self, client: Client, changes: mpsc::Sender<Change>, health: Arc<Health>) {
        let pauses = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(Duration::from_millis(500))
            .with_max_delay(LONGEST_PAUSE)
            .without_max_times();
        let mut pause = pauses.build();
        let mut version = None;
        let mut missing = false;
        loop {
            let mut opened = false;
            let error = match self.follow(&client, &changes, &health, &mut version, &mut opened).await {
                Ok(()) => {
                    pause = pauses.build();
                    // A server that ends every watch at once must not be asked in a tight loop.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
                Err(WatchError::Stopping) => return,
                Err(error) => error,
            };
            if !Kind::NEEDED.contains(&self.kind) && error.is_refusal() {
                if !missing {
                    warn!(kind = self.kind.name(), %error, "not to be had, going on without");
                }
                missing = true;
                tokio::time::sleep(MISSING_PAUSE).await;
                continue;
            }
            health.restarted(self.kind);
            // A watch that had been open is a new loss, not one more try. A server that forgets is asked ever less often.
            if opened && !matches!(error, WatchError::Expired) {
                pause = pauses.build();
            }
            let wait = pause.next().unwrap_or(LONGEST_PAUSE);
            if matches!(error, WatchError::Expired) && version.take().is_some() {
                // A pause here too: a server that forgets at once would be asked for list after list.
                info!(kind = self.kind.name(), %error, ?wait, "listing anew");
                tokio::time::sleep(wait).await;
                continue;
            }
            health.lost(self.kind);
            warn!(kind = self.kind.name(), %error, ?wait, "the watch is lost, trying again");
            tokio::time::sleep(wait).await;
        }
    }

    /// Lists if there is no version to resume from, then reads one watch to its regular end. Says whether it was open.
    async fn follow(
        &self,
        client: &Client,
        changes: &mpsc::Sender<Change>,
        health: &Health,
        version: &mut Option<String>,
        opened: &mut bool,
    ) -> Result<(), WatchError> {
        let from = match version {
            Some(version) => version.clone(),
            None => {
                let (listed, facts) = self.list(client, health).await?;
                self.send(changes, Update::All(facts)).await?;
                version.insert(listed).clone()
            }
        };
        let parameters = WatchParams {
            field_selector: self.field_selector.map(str::to_owned),
            timeout: Some(WATCH_SECONDS),
            bookmarks: true,
            ..WatchParams::default()
        };
        let request = Request::new(&self.path).watch(&parameters, &from)?;
        let stream = in_time(client.request_stream(request)).await?.map_err(expired)?;
        health.heard(self.kind);
        *opened = true;
        let mut stream = pin!(stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            if in_time(stream.read_until(b'\n', &mut line)).await?? == 0 {
                return Ok(());
            }
            health.heard(self.kind);
            let event: Event<'_> = serde_json::from_slice(&line)?;
            if event.name == "ERROR" {
                let status: Status = serde_json::from_str(event.object.get())?;
                return Err(if status.code == 410 { WatchError::Expired } else { WatchError::Refused(status.message) });
            }
            if let Some(update) = self.update(&event, health) {
                self.send(changes, update).await?;
            }
            if let Ok(seen) = serde_json::from_str::<Versioned>(event.object.get()) {
                *version = Some(seen.metadata.resource_version);
            }
        }
    }

    fn update(&self, event: &Event<'_>, health: &Health) -> Option<Update<F>> {
        let json = event.object.get();
        match event.name {
            "ADDED" | "MODIFIED" => {
                let decoded = self.decode(json, health)?;
                Some(match decoded.fact {
                    Some(fact) => Update::Set(decoded.key, fact),
                    None => Update::Gone(decoded.key),
                })
            }
            // Only the name counts: an object too strange to be read can still be deleted.
            "DELETED" => serde_json::from_str::<Named>(json).ok().map(|named| Update::Gone(facts::key(&named.metadata))),
            _ => None,
        }
    }

    async fn list(&self, client: &Client, health: &Health) -> Result<(String, Vec<(String, F)>), WatchError> {
        let mut facts = Vec::new();
        let mut next = None;
        loop {
            let parameters = ListParams {
                field_selector: self.field_selector.map(str::to_owned),
                limit: Some(PAGE_SIZE),
                continue_token: next,
                ..ListParams::default()
            };
            let request = Request::new(&self.path).list(&parameters)?;
            let text = in_time(client.request_text(request)).await?.map_err(expired)?;
            let page: Page<'_> = serde_json::from_str(&text)?;
            for item in &page.items {
                if let Some(Decoded { key, fact: Some(fact) }) = self.decode(item.get(), health) {
                    facts.push((key, fact));
                }
            }
            if page.metadata.r#continue.is_empty() {
                return Ok((page.metadata.resource_version, facts));
            }
            next = Some(page.metadata.r#continue);
        }
    }

    fn decode(&self, json: &str, health: &Health) -> Option<Decoded<F>> {
        match serde_json::from_str(json) {
            Ok(object) => Some((self.read)(object)),
            Err(error) => {
                health.skipped(self.kind);
                let name = serde_json::from_str::<Named>(json).map(|named| facts::key(&named.metadata)).unwrap_or_default();
                warn!(kind = self.kind.name(), name, %error, "skipped an object that can't be read");
                None
            }
        }
    }

    async fn send(&self, changes: &mpsc::Sender<Change>, update: Update<F>) -> Result<(), WatchError> {
        changes.send((self.wrap)(update)).await.map_err(|_| WatchError::Stopping)
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> Result<T, WatchError> {
    tokio::time::timeout(LONGEST_SILENCE, work).await.map_err(|_| WatchError::Silence)
}

/// The server's 410: its history no longer reaches back to the version or the page asked for.
fn expired(error: kube::Error) -> WatchError {
    match &error {
        kube::Error::Api(status) if status.code == 410 => WatchError::Expired,
        _ => WatchError::Request(error),
    }
}
