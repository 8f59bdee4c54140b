//! `--from FILE`: the output of `kubectl get nodes,pods,pvc -A -o json` (or YAML) instead of a cluster.
//!
//! The same code reads the objects as in a watch, so what is shown offline is what would be shown live.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;
use tracing::warn;

use super::events::{self, EventFacts};
use super::facts::{self, Decoded, NodeNews};
use super::health::Health;
use super::index::{Change, Index, Update};
use super::pods::{self, PodFacts};
use super::storage::{self, ClaimFacts, ClassFacts, VolumeFacts};
use super::watch::Kind;
use crate::domain::quota::Quota;

#[derive(Debug, Error)]
pub enum DumpError {
    #[error("it is neither JSON nor YAML: {0}")]
    Syntax(String),
    #[error("it is not a list of objects; make it with `kubectl get nodes,pods,pvc -A -o json`")]
    Shape,
    #[error("it holds no node, so nothing can be offered; make it with `kubectl get nodes,pods,pvc -A -o json`")]
    NoNodes,
}

#[derive(Deserialize)]
struct List {
    items: Vec<Value>,
}

/// Reads a whole dump into an index of its own. Claims count only in the hub's namespace.
pub fn read(text: &str, namespace: &str, health: &Health) -> Result<Index, DumpError> {
    let mut objects = Objects::new(namespace, health);
    for item in items(text)? {
        objects.take(item);
    }
    if objects.nodes.is_empty() {
        return Err(DumpError::NoNodes);
    }
    let mut index = Index::new(namespace);
    index.apply(Change::Nodes(Update::All(objects.nodes)));
    index.apply(Change::Pods(Update::All(objects.pods)));
    // A dump without any was made without asking for them.
    if !objects.volumes.is_empty() {
        index.apply(Change::Volumes(Update::All(objects.volumes)));
    }
    if !objects.classes.is_empty() {
        index.apply(Change::Classes(Update::All(objects.classes)));
    }
    index.apply(Change::Quotas(Update::All(objects.quotas)));
    index.apply(Change::Events(Update::All(objects.events)));
    if objects.claimless {
        index.forget_claims();
    } else {
        index.apply(Change::Claims(Update::All(objects.claims)));
    }
    Ok(index)
}

/// JSON is tried first: it is what `kubectl` is told to write, and reading it as YAML would be slow.
fn items(text: &str) -> Result<Vec<Value>, DumpError> {
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(json) if text.trim_start().starts_with(['{', '[']) => return Err(DumpError::Syntax(json.to_string())),
        Err(_) => serde_saphyr::from_str(text).map_err(|yaml| DumpError::Syntax(yaml.to_string()))?,
    };
    List::deserialize(value).map(|list| list.items).map_err(|_| DumpError::Shape)
}

struct Objects<'a> {
    namespace: &'a str,
    health: &'a Health,
    nodes: Vec<(String, NodeNews)>,
    pods: Vec<(String, PodFacts)>,
    claims: Vec<(String, ClaimFacts)>,
    claimless: bool,
    volumes: Vec<(String, VolumeFacts)>,
    classes: Vec<(String, ClassFacts)>,
    quotas: Vec<(String, Quota)>,
    events: Vec<(String, EventFacts)>,
}

impl<'a> Objects<'a> {
    fn new(namespace: &'a str, health: &'a Health) -> Self {
        Self {
            namespace,
            health,
            nodes: Vec::new(),
            pods: Vec::new(),
            claims: Vec::new(),
            claimless: true,
            volumes: Vec::new(),
            classes: Vec::new(),
            quotas: Vec::new(),
            events: Vec::new(),
        }
    }

    fn take(&mut self, item: Value) {
        let ours = item.pointer("/metadata/namespace").and_then(Value::as_str) == Some(self.namespace);
        let health = self.health;
        match item.get("kind").and_then(Value::as_str) {
            Some("Node") => keep(&mut self.nodes, Kind::Nodes, health, item, facts::node),
            Some("Pod") => keep(&mut self.pods, Kind::Pods, health, item, pods::pod),
            Some("PersistentVolumeClaim") => {
                self.claimless = false;
                if ours {
                    keep(&mut self.claims, Kind::Claims, health, item, storage::claim);
                }
            }
            Some("PersistentVolume") => keep(&mut self.volumes, Kind::Volumes, health, item, storage::volume),
            Some("StorageClass") => keep(&mut self.classes, Kind::Classes, health, item, storage::class),
            Some("Event") if ours => keep(&mut self.events, Kind::Events, health, item, events::event),
            Some("ResourceQuota") if ours => keep(&mut self.quotas, Kind::Quotas, health, item, facts::quota),
            _ => {}
        }
    }
}

fn keep<O: DeserializeOwned, F>(
    facts: &mut Vec<(String, F)>,
    kind: Kind,
    health: &Health,
    item: Value,
    read: fn(O) -> Decoded<F>,
) {
    let name = item.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    match O::deserialize(item) {
        Ok(object) => {
            let decoded = read(object);
            facts.extend(decoded.fact.map(|fact| (decoded.key, fact)));
        }
        Err(error) => {
            health.skipped(kind);
            warn!(kind = kind.name(), name, %error, "skipped an object that can't be read");
        }
    }
}
