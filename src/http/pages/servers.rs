//! Who runs what: everybody their own servers, administrators all that have GPUs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use maud::{Markup, html};

use super::{ago, counted, elapsed, sentence};
use crate::catalogue::Catalogue;
use crate::domain::gpu::Kind;
use crate::domain::server::{Progress, Server, Stage};
use crate::domain::snapshot::Snapshot;
use crate::http::people::{People, Seen};
use crate::profiles::User;
use crate::profiles::waiting::{Queue, kinds_of, reasons};

/// Rows at most, the longest running first; the hub's own pages have them all.
const MOST_ROWS: usize = 500;
/// Of those that wait, so many are told why; each is judged against every node with GPUs.
const MOST_EXPLAINED: usize = 50;

/// The servers of one moment, for one page.
pub struct Servers<'a> {
    snapshot: &'a Snapshot,
    queue: Queue<'a>,
    catalogue: &'a Catalogue,
    /// The hub's base URL.
    hub: Option<&'a str>,
}

impl<'a> Servers<'a> {
    pub fn new(snapshot: &'a Snapshot, catalogue: &'a Catalogue, hub: Option<&'a str>) -> Self {
        Self { snapshot, queue: Queue::new(snapshot), catalogue, hub }
    }

    /// The user's own servers, with or without GPUs.
    pub fn own(&self, user: &User) -> Markup {
        let Self { snapshot, hub, .. } = *self;
        let servers: Vec<&Arc<Server>> = snapshot.servers.iter().filter(|server| server.user == user.name).collect();
        html! {
            section data-part="own" id="own" aria-labelledby="own-title" {
                h2 #own-title { "Your servers" }
                @if servers.is_empty() {
                    p.faint { "You have none in the cluster." @if let Some(hub) = hub { " " a href=(format!("{hub}hub/home")) { "Start one" } } }
                } @else {
                    table.cards {
                        caption.unseen { "Your servers, where they are, and why they wait" }
                        thead { tr { th scope="col" { "Server" } th scope="col" { "GPUs" } th scope="col" { "State" } th.number scope="col" { "Since" } } }
                        tbody {
                            @for server in servers {
                                tr {
                                    th scope="row" { (name(server)) }
                                    td data-label="GPUs" { (gpus(server, snapshot)) }
                                    td data-label="State" { (self.state(server, Some("yours"))) }
                                    td.number data-label="Since" { (since(server)) }
                                }
                            }
                        }
                    }
                    @if let Some(hub) = hub { p { a href=(format!("{hub}hub/home")) { "Stop or start a server" } } }
                }
            }
        }
    }

    /// Every server that has or wants GPUs. Only ever for administrators.
    pub fn all(&self, people: Option<&People>) -> Markup {
        let Self { snapshot, hub, .. } = *self;
        let mut servers: Vec<&Arc<Server>> =
            snapshot.servers.iter().filter(|server| snapshot.gpus_of(&server.requests) > 0).collect();
        servers.sort_by(|a, b| (a.since.is_empty(), &a.since).cmp(&(b.since.is_empty(), &b.since)));
        let wait = servers.iter().filter(|server| !matches!(server.stage, Stage::Bound(_)));
        let told: BTreeSet<_> = wait.take(MOST_EXPLAINED).map(|server| server.owner()).collect();
        let held = servers.iter().filter(|server| matches!(server.stage, Stage::Bound(_)));
        let held = held.fold(0_u64, |sum, server| sum.saturating_add(snapshot.gpus_of(&server.requests)));
        let used = snapshot.kinds.iter().fold(0_u64, |sum, count| sum.saturating_add(count.used));
        html! {
            section data-part="all" id="all" aria-labelledby="all-title" {
                h2 #all-title { "Servers with GPUs" }
                p.faint {
                    "Only administrators see this. The hub's servers use " (counted(usize::try_from(held).unwrap_or(usize::MAX), "GPU"))
                    @if used > held { ", other pods of the cluster " (used - held) }
                    "."
                    @if people.is_none() && hub.is_some() { " The hub did not say since when notebooks have been idle." }
                }
                @if !servers.is_empty() {
                    table.cards {
                        caption.unseen { "Servers with GPUs: whose, where, since when, and since when idle; the longest running first" }
                        thead { tr {
                            th scope="col" { "User" } th scope="col" { "Server" } th scope="col" { "GPUs" } th scope="col" { "State" }
                            th.number scope="col" { "Since" } th.number scope="col" { "Idle" }
                            @if hub.is_some() { th scope="col" { span.unseen { "In the hub" } } }
                        } }
                        tbody {
                            @for server in servers.iter().take(MOST_ROWS) {
                                (self.row(server, told.contains(&server.owner()), people))
                            }
                        }
                    }
                    @if servers.len() > MOST_ROWS { p.faint { "And " (servers.len() - MOST_ROWS) " more." } }
                }
            }
        }
    }

    /// `told`: with the reasons for which it waits.
    fn row(&self, server: &Server, told: bool, people: Option<&People>) -> Markup {
        let Self { snapshot, hub, .. } = *self;
        let told = told || matches!(server.stage, Stage::Bound(_));
        html! {
            tr {
                th scope="row" { (server.user) }
                td data-label="Server" { (name(server)) }
                td data-label="GPUs" { (gpus(server, snapshot)) }
                td data-label="State" { (self.state(server, told.then_some("this one")))
                    @if let Stage::Unschedulable(words) = &server.stage {
                        details id=(format!("scheduler-{}", server.pod)) { summary { "The scheduler's words" } p.faint { (words) } }
                    } }
                td.number data-label="Since" { (since(server)) }
                td.number data-label="Idle" {
                    @match people.map(|people| people.seen(server.owner(), &server.since)) {
                        // A server that waits for its node has done nothing yet; the hub calls its start an activity.
                        _ if !matches!(server.stage, Stage::Bound(_)) => {}
                        Some(Seen::Active(moment)) => (ago(moment)),
                        Some(Seen::NotSaid) | None => span.faint { "unknown" },
                        Some(Seen::Nowhere) => span.faint title="This hub does not know the server as running" { "not running" },
                    }
                }
                @if let Some(hub) = hub {
                    td { a href=(admin_page(hub, &server.user)) aria-label=(stop(server)) { "Stop…" } }
                }
            }
        }
    }

    /// Where it is, or why it waits, told to `whose`. The scheduler's own words are not for everybody: they tell of every node.
    fn state(&self, server: &Server, whose: Option<&str>) -> Markup {
        let reasons = whose.map(|whose| reasons(server, whose, &self.queue, self.catalogue, &elapsed)).unwrap_or_default();
        html! {
            @match &server.stage {
                Stage::Bound(node) => {
                    "on " (node)
                    @if server.progress == Progress::Ending { ", " strong.waiting { "ending" } }
                    @else if !reasons.is_empty() { ", " strong.waiting { "starting" } }
                }
                _ => strong.waiting { "waits" },
            }
            @if !reasons.is_empty() { ul.reasons { @for reason in &reasons { li { (sentence(reason)) } } } }
        }
    }
}

/// The hub's own list, narrowed to a user: servers are stopped there, by who may. That page keeps its state behind a hash.
fn admin_page(hub: &str, user: &str) -> String {
    let query = serde_urlencoded::to_string([("name_filter", user)]).unwrap_or_default();
    format!("{hub}hub/admin#/?{query}")
}

/// Of one server among several of a user.
fn stop(server: &Server) -> String {
    let which = if server.name.is_empty() { "default server".to_owned() } else { format!("server {}", server.name) };
    format!("Stop the {which} of {} in the hub", server.user)
}

fn name(server: &Server) -> Markup {
    html! { @if server.name.is_empty() { span.faint { "default" } } @else { (server.name) } }
}

fn gpus(server: &Server, snapshot: &Snapshot) -> Markup {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let resources = snapshot.kinds.iter().map(|count| count.kind.resource.as_ref());
    counts.extend(resources.map(|resource| (resource, server.requests.other(resource))).filter(|(_, count)| *count > 0));
    let kinds: Vec<&Kind> = {
        let ids = kinds_of(server, snapshot);
        snapshot.kinds.iter().map(|count| count.kind.as_ref()).filter(|kind| ids.contains(kind.id.as_str())).collect()
    };
    html! {
        @if counts.is_empty() { span.faint { "none" } }
        @for (resource, count) in counts {
            @let mut names = kinds.iter().filter(|kind| *kind.resource == *resource);
            div {
                (count) " × "
                @match (names.next(), names.next()) {
                    (Some(kind), None) => (kind.display_name()),
                    (Some(_), Some(_)) => "any of several kinds",
                    (None, _) => (resource),
                }
            }
        }
    }
}

fn since(server: &Server) -> Markup {
    html! { @if server.since.is_empty() { span.faint { "now" } } @else { (ago(&server.since)) } }
}
