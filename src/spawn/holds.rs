//! Holds: GPUs promised to a server that has no pod yet, so that nobody else is told they are free.
//!
//! Between a patch and the pod that comes of it lie some hundred milliseconds in which every picture of the cluster still
//! shows the GPU as free. A hold bridges them: one for each user and server, replaced by the next request, ended when its
//! pod is bound, nominated to a node, unschedulable or gone, after 60 s at the latest. Nothing is written down: a Berth that
//! starts anew knows the pods that exist, and a promise without a pod is a minute old at most.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Promise;
use crate::domain::selector::NodeRequirements;
use crate::domain::server::{Progress, Server, Stage};
use crate::domain::snapshot::Snapshot;

/// A spawn that failed on the way gives its GPU back after this.
pub const LONGEST: Duration = Duration::from_secs(60);
/// Holds at most. Each belongs to a server of a user of the hub; beyond this the oldest goes.
const MOST: usize = 10_000;

/// A user's name and that of a server, empty for the default one.
pub type Owner = (String, String);

/// All holds there are. Whoever decides on a spawn must own it from the look at the snapshot to the entry of the hold.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: BTreeMap<Owner, Entry>,
}

#[derive(Debug)]
struct Entry {
    id: String,
    promise: Promise,
    hub: String,
    ends: Instant,
    /// Its pod has been seen.
    spawned: bool,
}

impl Ledger {
    pub fn has(&self, owner: &Owner) -> bool {
        self.entries.contains_key(owner)
    }

    /// Replaces what the owner held; `None` ends it. Says whether anything changed.
    pub fn replace(&mut self, owner: Owner, promise: Option<(String, Promise)>, hub: &str, now: Instant) -> bool {
        let Some((id, promise)) = promise else { return self.entries.remove(&owner).is_some() };
        if self.entries.len() >= MOST
            && !self.has(&owner)
            && let Some(oldest) = self.entries.iter().min_by_key(|(_, entry)| entry.ends).map(|(owner, _)| owner.clone())
        {
            self.entries.remove(&oldest);
        }
        let entry = Entry { id, promise, hub: hub.to_owned(), ends: now + LONGEST, spawned: false };
        self.entries.insert(owner, entry);
        true
    }

    /// Ends what is over: too old, or its pod needs it no more. Says whether anything was.
    pub fn end(&mut self, inventory: Option<&Snapshot>, now: Instant) -> bool {
        let before = self.entries.len();
        let pods: HashMap<&str, &Stage> = inventory.into_iter().flat_map(stages).collect();
        self.entries.retain(|_, entry| {
            let over = match pods.get(entry.id.as_str()) {
                // A nominated pod is counted where the scheduler wants it.
                Some(Stage::Bound(_) | Stage::Nominated(_) | Stage::Unschedulable(_) | Stage::Gated) => true,
                Some(Stage::Waiting | Stage::Promised) => {
                    entry.spawned = true;
                    false
                }
                None => entry.spawned && inventory.is_some(),
            };
            !over && now < entry.ends
        });
        self.entries.len() != before
    }

    /// When the next hold ends by its age.
    pub fn next_end(&self) -> Option<Instant> {
        self.entries.values().map(|entry| entry.ends).min()
    }

    /// The inventory's snapshot with all holds laid over it but one owner's, under a generation of its own.
    pub fn lay_over(&self, inventory: &Snapshot, without: Option<&Owner>, generation: u64) -> Snapshot {
        let entries = || self.entries.iter().filter(|(owner, _)| Some(*owner) != without);
        let held = entries().filter_map(|(_, entry)| Some((entry.promise.node.as_deref()?, &entry.promise.requests)));
        // An earlier pod of the same server may still be on its way out: only the promise's own pod stands in its place.
        let pods: HashMap<&str, &Stage> = stages(inventory).collect();
        let has_pod = |entry: &Entry| pods.contains_key(entry.id.as_str());
        let servers = entries().filter(|(_, entry)| !has_pod(entry)).map(|(owner, entry)| Arc::new(entry.server(owner)));
        let mut snapshot = inventory.with_promises(held, servers.collect());
        snapshot.generation = generation;
        snapshot
    }
}

/// How far the pods are that came of holds, by the hold's id.
fn stages(inventory: &Snapshot) -> impl Iterator<Item = (&str, &Stage)> {
    inventory.servers.iter().filter_map(|server| Some((server.hold.as_deref()?, &server.stage)))
}

impl Entry {
    /// A server that is on its way and has no pod yet.
    fn server(&self, (user, name): &Owner) -> Server {
        Server {
            user: user.clone(),
            name: name.clone(),
            hub: self.hub.clone(),
            pod: String::new(),
            stage: Stage::Promised,
            progress: Progress::default(),
            since: String::new(),
            requests: self.promise.requests.clone(),
            requirements: NodeRequirements::default(),
            hold: Some(self.id.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::resources::Resources;

    #[test]
    fn whoever_asks_again_takes_nobody_elses_place() {
        let (mut ledger, begin) = (Ledger::default(), Instant::now());
        let owner = |number: usize| (format!("user-{number}"), String::new());
        let mut ask = |number: usize, second: u64| {
            let promise = Promise { node: None, requests: Resources::default() };
            ledger.replace(owner(number), Some((String::new(), promise)), "hub", begin + Duration::from_secs(second));
            (ledger.entries.len(), ledger.has(&owner(0)))
        };
        for number in 0..MOST {
            ask(number, u64::from(number > 0));
        }
        assert_eq!(ask(1, 2), (MOST, true), "the oldest stays");
        assert_eq!(ask(MOST, 3), (MOST, false), "the oldest goes");
    }
}
