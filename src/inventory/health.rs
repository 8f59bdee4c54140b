//! How well the source is heard: when it was last known to be current, and what went wrong on the way.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Duration, Instant};

use super::watch::Kind;
use crate::domain::report::Freshness;

/// After so long without a sign of life the numbers are called old. The apiserver is asked every ten seconds.
pub const STALE_AFTER: Duration = Duration::from_secs(30);

/// Counters and signs of life of the watches. Shared by the watches, which write it, and the HTTP side.
#[derive(Debug, Default)]
pub struct Health {
    watches: [WatchHealth; Kind::ALL.len()],
    /// The last moment at which the source answered a question.
    heartbeat: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct WatchHealth {
    restarts: AtomicU64,
    skipped: AtomicU64,
    heard: Mutex<Heard>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    /// The stream is open.
    live: bool,
    last: Option<Instant>,
}

/// The numbers of one watch.
#[derive(Clone, Copy, Debug)]
pub struct WatchNumbers {
    pub kind: Kind,
    pub restarts: u64,
    pub skipped: u64,
}

impl Health {
    pub fn heard(&self, kind: Kind) {
        if let Some(mut heard) = self.heard_of(kind) {
            *heard = Heard { live: true, last: Some(Instant::now()) };
        }
    }

    pub fn lost(&self, kind: Kind) {
        if let Some(mut heard) = self.heard_of(kind) {
            heard.live = false;
        }
    }

    pub fn answered(&self) {
        if let Ok(mut heartbeat) = self.heartbeat.lock() {
            *heartbeat = Some(Instant::now());
        }
    }

    pub fn restarted(&self, kind: Kind) {
        if let Some(watch) = self.watches.get(kind as usize) {
            watch.restarts.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn skipped(&self, kind: Kind) {
        if let Some(watch) = self.watches.get(kind as usize) {
            watch.skipped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn numbers(&self) -> Vec<WatchNumbers> {
        let numbers = |kind: Kind| {
            let watch = self.watches.get(kind as usize)?;
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            Some(WatchNumbers { kind, restarts: read(&watch.restarts), skipped: read(&watch.skipped) })
        };
        Kind::ALL.into_iter().filter_map(numbers).collect()
    }

    /// For how long the numbers may have been wrong: zero to ten seconds while all is well, growing while a watch is
    /// lost or the source does not answer. `None` before the source was ever heard.
    pub fn age(&self) -> Option<Duration> {
        let heartbeat = self.heartbeat.lock().ok().and_then(|last| *last);
        let mut oldest: Option<Instant> = None;
        for kind in Kind::NEEDED {
            let heard = *self.heard_of(kind)?;
            // An open stream is silent when nothing happens: then the heartbeat speaks for it.
            let known = if heard.live { heard.last.max(heartbeat) } else { heard.last }?;
            oldest = Some(oldest.map_or(known, |oldest| oldest.min(known)));
        }
        oldest.map(|oldest| oldest.elapsed())
    }

    /// The moment at which the published numbers were last known to be current.
    pub fn freshness(&self) -> Freshness {
        let age = self.age();
        let now = Timestamp::now();
        let then = age.and_then(|age| now.checked_sub(SignedDuration::try_from(age).ok()?).ok()).unwrap_or(now);
        Freshness {
            observed_at: then.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            stale: age.is_some_and(|age| age > STALE_AFTER),
        }
    }

    fn heard_of(&self, kind: Kind) -> Option<std::sync::MutexGuard<'_, Heard>> {
        self.watches.get(kind as usize)?.heard.lock().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    fn age(health: &Health) -> Option<u64> {
        health.age().map(|age| age.as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn the_age_is_that_of_the_worst_watch() {
        let health = Health::default();
        assert_eq!(age(&health), None);
        Kind::ALL.iter().for_each(|kind| health.heard(*kind));
        pass(20).await;
        assert_eq!(age(&health), Some(20));
        health.answered();
        assert_eq!(age(&health), Some(0));
        health.lost(Kind::Pods);
        pass(20).await;
        health.answered();
        assert_eq!(age(&health), Some(40), "a heartbeat does not speak for a lost watch");
        health.heard(Kind::Pods);
        assert_eq!(age(&health), Some(0));
    }
}
