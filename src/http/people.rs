//! What the hub says of its users: names and groups to choose from, and when a notebook was last active.
//!
//! Asked with the service's own token, kept for a minute, one question in flight at a time. What the token's scopes do
//! not show is simply not there, and a hub that does not answer leaves a page without it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;
use serde::Deserialize;
use tracing::warn;

use super::{Access, Service};

const KEEP: Duration = Duration::from_secs(60);
const KEEP_FAILED: Duration = Duration::from_secs(10);
/// A page does not wait longer for its less important half.
const LONGEST: Duration = Duration::from_secs(3);
/// The hub gives at most so many at a time, and less where it is configured so.
const EACH: usize = 200;
/// The type of an answer that says where the next part begins.
const PAGES: &str = "application/jupyterhub-pagination+json";
/// Users read at most.
const MOST: usize = 5_000;

/// A user as the hub lists them. Source: JupyterHub's REST API, `GET /users`.
#[derive(Debug, Deserialize)]
pub struct Person {
    pub name: String,
    #[serde(default)]
    pub groups: Vec<String>,
    /// Those that run; absent without the scope to see them.
    servers: Option<BTreeMap<String, Activity>>,
}

#[derive(Debug, Deserialize)]
struct Activity {
    last_activity: Option<String>,
}

/// A part of the list.
#[derive(Debug, Deserialize)]
struct Part {
    items: Vec<Person>,
    #[serde(rename = "_pagination")]
    pagination: Pagination,
}

#[derive(Debug, Deserialize)]
struct Pagination {
    next: Option<Next>,
}

#[derive(Debug, Deserialize)]
struct Next {
    offset: usize,
    limit: usize,
}

#[derive(Debug, Default)]
pub struct People {
    /// In the order of the hub.
    pub all: Vec<Person>,
    by_name: BTreeMap<String, usize>,
}

/// What the hub knows of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'a> {
    /// Last at this moment, RFC 3339.
    Active(&'a str),
    NotSaid,
    /// It runs no such server.
    Nowhere,
}

impl People {
    fn new(all: Vec<Person>) -> Self {
        let by_name = all.iter().enumerate().map(|(at, person)| (person.name.clone(), at)).collect();
        Self { all, by_name }
    }

    pub fn person(&self, name: &str) -> Option<&Person> {
        self.all.get(*self.by_name.get(name)?)
    }

    pub fn seen(&self, (user, server): (&str, &str)) -> Seen<'_> {
        let Some(person) = self.person(user) else { return Seen::Nowhere };
        let Some(servers) = &person.servers else { return Seen::NotSaid };
        match servers.get(server) {
            Some(Activity { last_activity: Some(moment) }) => Seen::Active(moment),
            Some(_) => Seen::NotSaid,
            None => Seen::Nowhere,
        }
    }

    /// Every group that somebody is in, sorted.
    pub fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = self.all.iter().flat_map(|person| &person.groups).map(String::as_str).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

type Answer = Option<Arc<People>>;

struct ByOutcome;

impl Expiry<(), Answer> for ByOutcome {
    fn expire_after_create(&self, (): &(), answer: &Answer, _: Instant) -> Option<Duration> {
        Some(if answer.is_some() { KEEP } else { KEEP_FAILED })
    }
}

/// The hub's users, remembered.
#[derive(Debug)]
pub struct Directory(Cache<(), Answer>);

impl Default for Directory {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(1).expire_after(ByOutcome).build())
    }
}

impl Service {
    /// The hub's users; `None` without a hub that answers.
    pub async fn people(&self) -> Option<Arc<People>> {
        self.directory.0.get_with((), async { tokio::time::timeout(LONGEST, self.ask_for_people()).await.ok().flatten() }).await
    }

    async fn ask_for_people(&self) -> Answer {
        let Access::Tokens { hub, identities, .. } = &self.access else { return None };
        let token = hub.borrow().clone();
        let mut all: Vec<Person> = Vec::new();
        let mut next = Some(Next { offset: 0, limit: EACH });
        while let Some(Next { offset, limit }) = next.take().filter(|_| all.len() < MOST) {
            let path = format!("/users?offset={offset}&limit={limit}");
            let answer = identities.get(&path, &token, PAGES).await.ok()?;
            if !answer.status().is_success() {
                let status = answer.status().as_u16();
                warn!(status, "the hub does not list its users; the role of the service berth needs the scope list:users");
                return None;
            }
            let some: Part = answer.json().await.inspect_err(|error| warn!(%error, "the hub's users can't be read")).ok()?;
            // A part without anybody would be the first of many.
            next = some.pagination.next.filter(|_| !some.items.is_empty());
            all.extend(some.items);
        }
        Some(Arc::new(People::new(all)))
    }
}
