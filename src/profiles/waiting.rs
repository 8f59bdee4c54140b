//! Why a server waits, in words for its user: who is ahead, what is in use, how long the oldest has run.
//!
//! No name of another user is in these sentences, and nothing that only an administrator may know.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use crate::catalogue::Catalogue;
use crate::domain::base::Base;
use crate::domain::fit::{Availability, PodShape, assess};
use crate::domain::gpu::Kind;
use crate::domain::growth::Growth;
use crate::domain::node::NodeGpus;
use crate::domain::server::{Progress, Server, Stage};
use crate::domain::snapshot::Snapshot;
use crate::profiles::claims::volumes;

/// Tells the time since a moment in RFC 3339; `None` for what is no moment.
pub type Age<'a> = &'a dyn Fn(&str) -> Option<Duration>;

/// Sentences without a full stop; none for a server that runs. `whose` is `yours` to the server's own user.
pub fn reasons(server: &Server, whose: &str, queue: &Queue<'_>, catalogue: &Catalogue, age: Age<'_>) -> Vec<String> {
    match &server.stage {
        Stage::Bound(_) => on_node(&server.progress),
        Stage::Promised => vec!["the hub is about to make its pod".to_owned()],
        Stage::Waiting => vec!["the scheduler has not looked at it yet".to_owned()],
        Stage::Gated => vec!["a queue of the cluster has not let it through to the scheduler yet".to_owned()],
        Stage::Nominated(node) => {
            vec![format!("it goes to {node} as soon as its volume is made there, or other pods have made room for it")]
        }
        Stage::Unschedulable(_) => unschedulable(server, whose, queue, catalogue, age),
    }
}

fn on_node(progress: &Progress) -> Vec<String> {
    let reason = match progress {
        Progress::Running => return Vec::new(),
        Progress::Starting => "its container is being made".to_owned(),
        Progress::Pulling { image, bytes: Some(bytes) } => {
            format!("its image {image} is being pulled, {:.1} GB", *bytes as f64 / 1e9)
        }
        Progress::Pulling { image, bytes: None } => format!("its image {image} is being pulled"),
        Progress::PullFailed { image } => format!("its image {image} could not be pulled, and the node tries again"),
        Progress::MountFailed => "a volume of it can't be mounted yet, and the node tries again".to_owned(),
        Progress::SandboxFailed => "its node could not set up a place for its container, and tries again".to_owned(),
        Progress::ContainerFailed => "its container could not be made or started, and the node tries again".to_owned(),
        Progress::Ending => "it is being stopped, and keeps what it has until its pod is gone".to_owned(),
    };
    vec![reason]
}

fn unschedulable(server: &Server, whose: &str, queue: &Queue<'_>, catalogue: &Catalogue, age: Age<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    let snapshot = queue.snapshot;
    let usable = kinds_of(server, snapshot);
    let is_wanted = |kind: &Kind| usable.contains(kind.id.as_str());
    if !usable.is_empty() {
        reasons.push(in_use(server, snapshot, &is_wanted));
        let ahead = queue.ahead(server, &usable);
        reasons.push(match ahead {
            0 => format!("no other request of this hub is ahead of {whose}"),
            1 => format!("1 request is ahead of {whose}"),
            n => format!("{n} requests are ahead of {whose}"),
        });
        reasons.extend(match queue.others(&usable) {
            0 => None,
            1 => Some("1 such GPU is asked for by other pods of the cluster".to_owned()),
            n => Some(format!("{n} such GPUs are asked for by other pods of the cluster")),
        });
        reasons.extend(oldest(snapshot, &is_wanted, age).map(|run| format!("the oldest GPU server has run for {}", span(run))));
    }
    let shape = PodShape {
        requests: server.requests.clone(),
        requirements: server.requirements.clone(),
        gpu: gpus(server, snapshot).map(|kind| kind.resource.clone()).next(),
        // Of claims that the hub mounts by itself a pod's server does not tell.
        volumes: volumes(snapshot, &Base::default(), catalogue),
    };
    let nodes = if shape.gpu.is_some() { &snapshot.gpu_nodes } else { &snapshot.nodes };
    let growth: Vec<&Growth> = snapshot.growth.iter().collect();
    let assessment = assess(nodes, &growth, &shape);
    match assessment.availability {
        Availability::Now => reasons.push("there is room for it now, and the scheduler tries again in a moment".to_owned()),
        // Said above, with numbers.
        _ => reasons.extend(assessment.reasons.into_iter().filter(|reason| usable.is_empty() || reason != ALL_IN_USE)),
    }
    reasons
}

/// What `fit` says of GPUs that are all taken.
const ALL_IN_USE: &str = "all of them are in use";

/// The kinds whose resource a server asks for.
fn gpus<'a>(server: &'a Server, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Kind> {
    snapshot.kinds.iter().map(|count| count.kind.as_ref()).filter(|kind| server.requests.other(&kind.resource) > 0)
}

/// Ids of the kinds that a server has, or that it would take.
pub fn kinds_of<'a>(server: &Server, snapshot: &'a Snapshot) -> BTreeSet<&'a str> {
    let nodes = match &server.stage {
        Stage::Bound(node) => snapshot.node(node).map(std::slice::from_ref).unwrap_or_default(),
        _ => &snapshot.gpu_nodes,
    };
    let bound = matches!(server.stage, Stage::Bound(_));
    let nodes = nodes.iter().filter(|node| bound || server.requirements.select(node.name(), &node.facts.labels));
    let asked = |gpu: &&NodeGpus| server.requests.other(&gpu.kind.resource) > 0;
    nodes.flat_map(|node| node.gpus.iter().filter(asked).map(|gpu| gpu.kind.id.as_str())).collect()
}

/// The servers that are not on a node yet, and which kinds each would take.
pub struct Queue<'a> {
    snapshot: &'a Snapshot,
    waiting: Vec<(&'a Server, Rc<BTreeSet<&'a str>>)>,
}

impl<'a> Queue<'a> {
    pub fn new(snapshot: &'a Snapshot) -> Self {
        // They are mostly copies of a few: what they accept is looked for once for all of a sort.
        let mut sorts: BTreeMap<_, Rc<BTreeSet<&str>>> = BTreeMap::new();
        let servers = snapshot.servers.iter().map(AsRef::as_ref);
        let waits = |stage: &Stage| matches!(stage, Stage::Waiting | Stage::Nominated(_) | Stage::Unschedulable(_));
        let waiting = servers.filter(|server| waits(&server.stage));
        let waiting = waiting.map(|server| {
            let asked: Vec<&str> = server.requests.other.keys().map(AsRef::as_ref).collect();
            let kinds = sorts.entry((&server.requirements, asked)).or_insert_with(|| Rc::new(kinds_of(server, snapshot)));
            (server, kinds.clone())
        });
        Self { snapshot, waiting: waiting.collect() }
    }

    /// How many wait longer already for something that this one would take too.
    fn ahead(&self, server: &Server, usable: &BTreeSet<&str>) -> usize {
        // All moments are in UTC and of one length, so that they sort as text.
        let earlier = |other: &Server| (&other.since, &other.pod) < (&server.since, &server.pod);
        // What is kept for one that is nominated is counted as in use.
        let waits = |other: &Server| !matches!(other.stage, Stage::Nominated(_));
        self.waiting.iter().filter(|(other, kinds)| waits(other) && earlier(other) && !kinds.is_disjoint(usable)).count()
    }

    /// GPUs of these kinds that pods ask for, without having got them, which are no servers of this hub.
    fn others(&self, usable: &BTreeSet<&str>) -> u64 {
        let ours = self.waiting.iter().filter(|(_, kinds)| !kinds.is_disjoint(usable));
        let ours = ours.fold(0_u64, |sum, (server, _)| sum.saturating_add(self.snapshot.gpus_of(&server.requests)));
        self.snapshot.ahead(&|id| usable.contains(id)).saturating_sub(ours)
    }
}

fn in_use(server: &Server, snapshot: &Snapshot, is_wanted: &dyn Fn(&Kind) -> bool) -> String {
    let nodes = snapshot.gpu_nodes.iter().filter(|node| server.requirements.select(node.name(), &node.facts.labels));
    let pools: Vec<&NodeGpus> = nodes.flat_map(|node| &node.gpus).filter(|gpu| is_wanted(&gpu.kind)).collect();
    let sum = |read: fn(&NodeGpus) -> u64| pools.iter().fold(0_u64, |sum, gpu| sum.saturating_add(read(gpu)));
    let names: BTreeSet<String> = pools.iter().map(|gpu| gpu.kind.display_name()).collect();
    let name = match names.first() {
        Some(name) if names.len() == 1 => name.as_str(),
        _ => "GPUs that would do",
    };
    // Those who are being evicted are there as long as the one for whom they go.
    let taken = sum(|gpu| gpu.used.saturating_add(gpu.held).min(gpu.total));
    let mut text = format!("{taken} of {} {name} are in use", sum(|gpu| gpu.total));
    for (count, what) in [(sum(|gpu| gpu.unhealthy), "broken"), (sum(|gpu| gpu.unusable), "on nodes that can't be used now")] {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text
}

fn oldest(snapshot: &Snapshot, is_wanted: &dyn Fn(&Kind) -> bool, age: Age<'_>) -> Option<Duration> {
    let has = |server: &&Server| {
        let Stage::Bound(node) = &server.stage else { return false };
        let Some(node) = snapshot.node(node) else { return false };
        node.gpus.iter().any(|gpu| is_wanted(&gpu.kind) && server.requests.other(&gpu.kind.resource) > 0)
    };
    snapshot.servers.iter().map(AsRef::as_ref).filter(has).filter_map(|server| age(&server.since)).max()
}

/// A time in its largest unit: `45 s`, `12 min`, `5 h`, `3 d`.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=89 => format!("{seconds} s"),
        90..=5_399 => format!("{} min", (seconds + 30) / 60),
        5_400..=172_799 => format!("{} h", (seconds + 1_800) / 3_600),
        _ => format!("{} d", (seconds + 43_200) / 86_400),
    }
}
