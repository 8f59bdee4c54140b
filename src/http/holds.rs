//! The one place where spawns are decided, one after the other, and the snapshots that are served: those of the inventory
//! with the holds laid over them.
//!
//! The lock makes two decisions at the same instant impossible. It is held for as long as a pure function takes.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::domain::snapshot::Snapshot;
use crate::spawn::holds::{LONGEST, Ledger, Owner};
use crate::spawn::{Hold, Promise};

#[derive(Debug)]
pub struct Holds {
    state: Mutex<State>,
    published: watch::Sender<Option<Arc<Snapshot>>>,
    /// Tells the holds of this process from those of others, whose pods it may see too.
    process: u64,
}

#[derive(Debug, Default)]
struct State {
    /// As the inventory published it last.
    inventory: Option<Arc<Snapshot>>,
    generation: u64,
    ledger: Ledger,
    made: u64,
}

impl Holds {
    /// No holds yet, over what the inventory shows now.
    pub fn new(inventory: Option<Arc<Snapshot>>) -> Self {
        let process = RandomState::new().build_hasher().finish();
        let holds = Self { state: Mutex::default(), published: watch::Sender::new(None), process };
        holds.renew(inventory);
        holds
    }

    /// What is served; `None` before the first inventory.
    pub fn snapshot(&self) -> Option<Arc<Snapshot>> {
        self.published.borrow().clone()
    }

    /// Every snapshot that is served from here on.
    pub fn changes(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.published.subscribe()
    }

    /// What is served to the owner of a hold, which is not in its own way.
    pub fn snapshot_for(&self, owner: &Owner) -> Option<Arc<Snapshot>> {
        let state = self.lock();
        if state.ledger.has(owner) { state.without(owner) } else { self.snapshot() }
    }

    /// Decides on a spawn and keeps what was promised, both before anybody else decides. `decide` gets the snapshot and
    /// the id that a hold would have.
    ///
    /// # Errors
    /// Those of `decide`; the owner's earlier hold then stays as it was.
    pub fn reserve<T, E>(
        &self,
        owner: Owner,
        hub: &str,
        decide: impl FnOnce(Option<&Snapshot>, &str) -> Result<(T, Option<Promise>), E>,
    ) -> Result<(T, Option<Hold>), E> {
        let mut state = self.lock();
        let snapshot = if state.ledger.has(&owner) { state.without(&owner) } else { self.snapshot() };
        state.made += 1;
        let id = format!("{:016x}-{}", self.process, state.made);
        let (decided, promise) = decide(snapshot.as_deref(), &id)?;
        let charged = promise.as_ref().is_some_and(|promise| promise.node.is_some());
        let hold = charged.then(|| Hold { id: id.clone(), expires_at: expiry() });
        if state.ledger.replace(owner, promise.map(|promise| (id, promise)), hub, Instant::now().into_std()) {
            self.publish(&mut state);
        }
        Ok((decided, hold))
    }

    /// Follows the inventory and ends holds in time. Returns when the inventory is gone.
    pub async fn follow(self: Arc<Self>, mut inventory: watch::Receiver<Option<Arc<Snapshot>>>) {
        let mut changes = self.changes();
        loop {
            // Seen before the ends are read: a hold that is made in between is a change once more.
            changes.borrow_and_update();
            self.renew(inventory.borrow_and_update().clone());
            let next = self.lock().ledger.next_end();
            let end = async {
                match next {
                    Some(moment) => tokio::time::sleep_until(Instant::from_std(moment)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = inventory.changed() => if changed.is_err() { return },
                // A new hold may end before all others.
                _ = changes.changed() => {}
                () = end => {}
            }
        }
    }

    fn renew(&self, inventory: Option<Arc<Snapshot>>) {
        let mut state = self.lock();
        let ended = state.ledger.end(inventory.as_deref(), Instant::now().into_std());
        let same = match (&state.inventory, &inventory) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (old, new) => old.is_none() && new.is_none(),
        };
        if !same || ended {
            state.inventory = inventory;
            self.publish(&mut state);
        }
    }

    fn publish(&self, state: &mut State) {
        state.generation += 1;
        let laid_over = |inventory: &Arc<Snapshot>| Arc::new(state.ledger.lay_over(inventory, None, state.generation));
        self.published.send_replace(state.inventory.as_ref().map(laid_over));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in between leaves nothing half done: entries are whole, and the snapshot is made anew.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn without(&self, owner: &Owner) -> Option<Arc<Snapshot>> {
        let laid_over = |inventory: &Arc<Snapshot>| Arc::new(self.ledger.lay_over(inventory, Some(owner), self.generation));
        self.inventory.as_ref().map(laid_over)
    }
}

fn expiry() -> String {
    let later = SignedDuration::try_from(LONGEST).ok().and_then(|time| Timestamp::now().checked_add(time).ok());
    later.unwrap_or_else(Timestamp::now).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
