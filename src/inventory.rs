//! The inventory: follows nodes, pods of all namespaces, claims, quotas and events of the hub's, and volumes, and
//! publishes snapshots.
//!
//! The watches decode objects into facts and send them to one writer. The writer owns the index; it gathers changes
//! for a moment and publishes an immutable, numbered [`Snapshot`] that everybody else reads. Pods are watched in every
//! namespace because a GPU taken elsewhere is not free here.
//!
//! Each vendor of GPUs has a module, and so have the catalogue's own rules; `gpus` asks them. DRA gets watches of its own.

mod amd;
mod dump;
mod events;
mod facts;
mod gaudi;
mod gpus;
mod health;
mod images;
mod index;
mod intel;
mod nvidia;
mod objects;
mod pods;
mod rules;
mod storage;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::{mpsc, watch as channel};
use tokio::time::Instant;
use tracing::{info, warn};

pub use dump::DumpError;
pub use health::{Health, STALE_AFTER};
pub use index::Index;

use crate::domain::node::{MIG_INVALID, Policy};
use crate::domain::snapshot::Snapshot;
use index::Change;
use watch::{Kind, Watch};

/// Changes are gathered for so long before a snapshot is made of them: many come together, and each makes a new one.
const GATHER: Duration = Duration::from_millis(50);
/// Facts on their way to the writer; a full queue makes the watches wait, it never drops.
const QUEUE: usize = 1024;
/// How often the apiserver is asked whether it is still there. An idle watch does not tell.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What readers get.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// `None` until everything has been listed once.
    pub snapshots: channel::Receiver<Option<Arc<Snapshot>>>,
    pub health: Arc<Health>,
}

impl Inventory {
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.snapshots.borrow().clone()
    }
}

/// The sending side, for the source that fills the inventory.
#[derive(Debug)]
pub struct Publisher {
    snapshots: channel::Sender<Option<Arc<Snapshot>>>,
    health: Arc<Health>,
    generation: u64,
}

pub fn new() -> (Publisher, Inventory) {
    let (sender, snapshots) = channel::channel(None);
    let health = Arc::new(Health::default());
    (Publisher { snapshots: sender, health: health.clone(), generation: 0 }, Inventory { snapshots, health })
}

impl Publisher {
    /// Publishes the index's state unless nothing in it changed.
    fn publish(&mut self, index: &mut Index, policy: &Policy) {
        let snapshot = index.snapshot(self.generation + 1, policy);
        let same = self
            .snapshots
            .borrow()
            .as_ref()
            .is_some_and(|last| Snapshot { generation: last.generation, ..snapshot.clone() } == **last);
        if !same {
            self.generation += 1;
            warn_of_news(self.snapshots.borrow().as_deref(), &snapshot);
            self.snapshots.send_replace(Some(Arc::new(snapshot)));
        }
    }

    /// Publishes what a dump holds.
    ///
    /// # Errors
    /// When the text is no dump; what was published before stays.
    pub fn publish_dump(&mut self, text: &str, namespace: &str, policy: &Policy) -> Result<(), DumpError> {
        let mut index = dump::read(text, namespace, &self.health)?;
        Kind::ALL.iter().for_each(|kind| self.health.heard(*kind));
        self.publish(&mut index, policy);
        Ok(())
    }

    /// Says that the dump could not be read again: its numbers grow old from here on.
    pub fn lose_dump(&self) {
        Kind::ALL.iter().for_each(|kind| self.health.lost(*kind));
    }

    /// Says that the dump is still what was read last.
    pub fn confirm_dump(&self) {
        Kind::ALL.iter().for_each(|kind| self.health.heard(*kind));
    }

    /// Follows a cluster until the policy's sender is gone.
    pub async fn follow_cluster(mut self, client: Client, namespace: &str, mut policy: channel::Receiver<Policy>) {
        let (sender, mut changes) = mpsc::channel(QUEUE);
        start_watches(&client, namespace, &sender, &self.health);
        drop(sender);
        let heartbeat = tokio::spawn(ask_regularly(client, self.health.clone()));
        let mut index = Index::new(namespace);
        let mut counted_by = Policy::default();
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Some(change) => index.apply(change),
                    None => break,
                },
                renewed = policy.changed() => if renewed.is_err() {
                    break;
                },
            }
            let until = Instant::now() + GATHER;
            while let Ok(Some(change)) = tokio::time::timeout_at(until, changes.recv()).await {
                index.apply(change);
            }
            if index.complete() {
                if self.generation == 0 {
                    info!("the inventory is complete");
                }
                let current = policy.borrow_and_update().clone();
                if current != counted_by {
                    index.recount();
                    counted_by = current;
                }
                self.publish(&mut index, &counted_by);
            }
        }
        heartbeat.abort();
    }
}

/// Says once what an administrator must look after, when it first appears: GPUs that nobody can count.
fn warn_of_news(last: Option<&Snapshot>, now: &Snapshot) {
    for resource in &now.unclassified {
        if last.is_none_or(|last| last.unclassified.binary_search(resource).is_err()) {
            warn!(%resource, "no rule knows this GPU resource, so it is not offered; name it under gpuResources in the catalogue");
        }
    }
    for node in now.nodes.iter().filter(|node| node.facts.mig_invalid) {
        if last.and_then(|last| last.node(node.name())).is_none_or(|before| !before.facts.mig_invalid) {
            warn!(node = node.name(), "{MIG_INVALID}");
        }
    }
}

fn start_watches(client: &Client, namespace: &str, changes: &mpsc::Sender<Change>, health: &Arc<Health>) {
    let nodes = Watch {
        kind: Kind::Nodes,
        path: "/api/v1/nodes".to_owned(),
        field_selector: None,
        read: facts::node,
        wrap: Change::Nodes,
    };
    let pods = Watch {
        kind: Kind::Pods,
        path: "/api/v1/pods".to_owned(),
        // The scheduler's own selector: a pod that finishes arrives as deleted.
        field_selector: Some("status.phase!=Succeeded,status.phase!=Failed"),
        read: pods::pod,
        wrap: Change::Pods,
    };
    let claims = Watch {
        kind: Kind::Claims,
        path: format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims"),
        field_selector: None,
        read: storage::claim,
        wrap: Change::Claims,
    };
    let volumes = Watch {
        kind: Kind::Volumes,
        path: "/api/v1/persistentvolumes".to_owned(),
        field_selector: None,
        read: storage::volume,
        wrap: Change::Volumes,
    };
    let classes = Watch {
        kind: Kind::Classes,
        path: "/apis/storage.k8s.io/v1/storageclasses".to_owned(),
        field_selector: None,
        read: storage::class,
        wrap: Change::Classes,
    };
    let quotas = Watch {
        kind: Kind::Quotas,
        path: format!("/api/v1/namespaces/{namespace}/resourcequotas"),
        field_selector: None,
        read: facts::quota,
        wrap: Change::Quotas,
    };

    let events = Watch {
        kind: Kind::Events,
        path: format!("/api/v1/namespaces/{namespace}/events"),
        field_selector: Some(events::SELECTOR),
        read: events::event,
        wrap: Change::Events,
    };
    tokio::spawn(events.run(client.clone(), changes.clone(), health.clone()));
    tokio::spawn(nodes.run(client.clone(), changes.clone(), health.clone()));
    tokio::spawn(pods.run(client.clone(), changes.clone(), health.clone()));
    tokio::spawn(claims.run(client.clone(), changes.clone(), health.clone()));
    tokio::spawn(volumes.run(client.clone(), changes.clone(), health.clone()));
    tokio::spawn(classes.run(client.clone(), changes.clone(), health.clone()));
    tokio::spawn(quotas.run(client.clone(), changes.clone(), health.clone()));
}

async fn ask_regularly(client: Client, health: Arc<Health>) {
    let mut turn = tokio::time::interval(HEARTBEAT);
    loop {
        turn.tick().await;
        match tokio::time::timeout(HEARTBEAT / 2, client.apiserver_version()).await {
            Ok(Ok(_)) => health.answered(),
            Ok(Err(error)) => warn!(%error, "the apiserver does not answer"),
            Err(_) => warn!("the apiserver does not answer in time"),
        }
    }
}
