//! What the hub says of its users: names and groups to choose from, and when a notebook was last active.
//!
//! Asked with the service's own token and kept for a minute; after that the old answer serves while a new one is fetched.
//! What the token's scopes do not show is simply not there, and a hub that does not answer leaves a page without it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use moka::Expiry;
use moka::future::Cache;
use serde::Deserialize;
use tokio::time::timeout;
use tracing::warn;

use super::{Access, Service};

const KEEP: Duration = Duration::from_secs(60);
const KEEP_FAILED: Duration = Duration::from_secs(10);
/// An old answer serves no longer than this.
const OLDEST: Duration = Duration::from_secs(600);
/// A whole list of many users takes a large hub a while, which no page waits for.
const LONGEST: Duration = Duration::from_secs(60);
/// The hub gives at most so many at a time, and less where it is configured so.
const EACH: usize = 200;
/// The type of an answer that says where the next part begins.
const PAGES: &str = "application/jupyterhub-pagination+json";
/// Users read at most.
const MOST: usize = 5_000;

/// Which of the hub's users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Which {
    Everybody,
    /// Those of whom a server runs or is about to.
    Active,
}

impl Which {
    fn query(self) -> &'static str {
        match self {
            Self::Everybody => "",
            Self::Active => "state=active&",
        }
    }

    /// How long a page waits for the first answer. The board is to show a change of the cluster within two seconds.
    fn patience(self) -> Duration {
        match self {
            Self::Everybody => Duration::from_secs(3),
            Self::Active => Duration::from_secs(1),
        }
    }
}

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

#[derive(Debug)]
pub struct People {
    /// In the order of the hub.
    pub all: Vec<Person>,
    by_name: BTreeMap<String, usize>,
    /// There are more.
    cut: bool,
    /// Before the hub was asked.
    asked: Timestamp,
    /// The same, for who waits.
    at: Instant,
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
    pub fn person(&self, name: &str) -> Option<&Person> {
        self.all.get(*self.by_name.get(name)?)
    }

    /// What the hub said of a server, of which there has been a pod `since` a moment in RFC 3339.
    pub fn seen(&self, (user, server): (&str, &str), since: &str) -> Seen<'_> {
        let servers = match self.person(user) {
            Some(Person { servers: None, .. }) => return Seen::NotSaid,
            Some(Person { servers: Some(servers), .. }) => servers.get(server),
            None => None,
        };
        match servers {
            Some(Activity { last_activity: Some(moment) }) => Seen::Active(moment),
            Some(_) => Seen::NotSaid,
            // It is not in the part that was read, or younger than the answer.
            None if self.cut || since.parse::<Timestamp>().is_ok_and(|since| since >= self.asked) => Seen::NotSaid,
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

/// For how long an answer is kept, a failure included.
struct ByOutcome(Duration);

impl Expiry<Which, Answer> for ByOutcome {
    fn expire_after_create(&self, _: &Which, answer: &Answer, _: Instant) -> Option<Duration> {
        Some(if answer.is_some() { self.0 } else { KEEP_FAILED.min(self.0) })
    }
}

/// The hub's users, remembered.
#[derive(Debug)]
pub struct Directory {
    answers: Cache<Which, Answer>,
    /// What was answered last, for who asks while a new answer is fetched; none after a failure.
    last: Mutex<Vec<(Which, Arc<People>)>>,
}

impl Default for Directory {
    fn default() -> Self {
        Self::keeping(KEEP)
    }
}

impl Directory {
    /// `keep`: how long an answer of the hub is new.
    pub fn keeping(keep: Duration) -> Self {
        Self { answers: Cache::builder().expire_after(ByOutcome(keep)).build(), last: Mutex::default() }
    }

    fn last(&self, which: Which) -> Answer {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter().find(|(each, people)| *each == which && people.at.elapsed() < OLDEST).map(|(_, people)| people.clone())
    }

    fn remember(&self, which: Which, answer: &Answer) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.retain(|(each, _)| *each != which);
        last.extend(answer.iter().map(|people| (which, people.clone())));
    }
}

impl Service {
    /// Users of the hub; `None` without a hub that answers.
    pub async fn people(self: &Arc<Self>, which: Which) -> Option<Arc<People>> {
        if let Some(answer) = self.directory.answers.get(&which).await {
            return answer;
        }
        let service = self.clone();
        // One question in flight at a time, which goes on when nobody waits for it any more.
        let asking = actix_web::rt::spawn(async move {
            let ask = async {
                let answer = timeout(LONGEST, service.ask_for_people(which)).await.ok().flatten();
                service.directory.remember(which, &answer);
                answer
            };
            service.directory.answers.get_with(which, ask).await
        });
        match self.directory.last(which) {
            Some(old) => Some(old),
            None => timeout(which.patience(), asking).await.ok()?.ok()?,
        }
    }

    async fn ask_for_people(&self, which: Which) -> Answer {
        let Access::Tokens { hub, identities, .. } = &self.access else { return None };
        let token = hub.borrow().clone();
        let (asked, at) = (Timestamp::now(), Instant::now());
        let mut all: Vec<Person> = Vec::new();
        let mut next = Some(Next { offset: 0, limit: EACH });
        while let Some(Next { offset, limit }) = next.take_if(|_| all.len() < MOST) {
            let path = format!("/users?{}offset={offset}&limit={limit}", which.query());
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
        let by_name = all.iter().enumerate().map(|(at, person)| (person.name.clone(), at)).collect();
        Some(Arc::new(People { all, by_name, cut: next.is_some(), asked, at }))
    }
}
