//! What everybody sees of the cluster: kinds and nodes. No user is named here.

use std::collections::BTreeMap;
use std::sync::Arc;

use maud::{Markup, html};

use super::{counted, sentence};
use crate::domain::node::{NodeGpus, NodeState};
use crate::domain::snapshot::{KindCount, Snapshot};

/// Rows of one table of nodes at most; the API has them all.
const MOST_ROWS: usize = 250;
/// With more GPU nodes than this, those that need no look are folded by kind.
const MOST_FLAT: usize = 16;

pub fn kinds(snapshot: &Snapshot, admin: bool) -> Markup {
    html! {
        section data-part="kinds" id="kinds" aria-labelledby="kinds-title" {
            h2 #kinds-title { "Kinds of GPU" }
            @if snapshot.kinds.is_empty() {
                p { "No node has a GPU that Berth can count." }
            } @else {
                table.cards {
                    caption.unseen { "Kinds of GPU, and how many of each are free, used, held and broken" }
                    thead { tr {
                        th scope="col" { "Kind" } th scope="col" { "Free" } th.number.used scope="col" { "Used" }
                        th.number.held scope="col" { "Held" } th.number.broken scope="col" { "Broken" }
                        th.number.unusable scope="col" { "Unusable" } th.number scope="col" { "Waiting" }
                        th.number scope="col" { "Largest" }
                    } }
                    tbody { @for count in &snapshot.kinds { (kind_row(count)) } }
                }
                p.faint {
                    "Held: promised to servers that are starting. Broken: unhealthy, says the device plugin. Unusable: on nodes that can't be used "
                    "now. Waiting: what pods without a node ask for; one that would take several kinds counts for each. Largest: the most that one "
                    "server can get now."
                }
            }
            @if admin && !snapshot.unclassified.is_empty() {
                p.warning {
                    "No rule knows " (snapshot.unclassified.join(", "))
                    ", so these are not counted or offered. Name them under " code { "gpuResources" } " in the catalogue."
                }
            }
        }
    }
}

fn kind_row(count: &KindCount) -> Markup {
    let kind = &count.kind;
    html! {
        tr {
            th scope="row" {
                (kind.display_name())
                span.note title=(kind.id) {
                    (kind.sharing.meaning())
                    @if count.physical != count.total && count.physical > 0 {
                        " · on " (counted(usize::try_from(count.physical).unwrap_or(usize::MAX), "card"))
                    }
                }
            }
            td data-label="Free" {
                div.free { (bar(count.total, [count.used, count.held, count.unhealthy, count.unusable])) span { strong { (count.free) } " of " (count.total) " free" } }
                @if count.reclaimable > 0 { span.note { (count.reclaimable) " of them kept warm by placeholders" } }
            }
            (number("Used", count.used)) (number("Held", count.held)) (number("Broken", count.unhealthy))
            (number("Unusable", count.unusable)) (number("Waiting", count.pending)) (number("Largest", count.largest_free))
        }
    }
}

fn number(label: &str, count: u64) -> Markup {
    html! { td.number data-label=(label) .none[count == 0] { (count) } }
}

/// Used, held, broken and unusable from the left; what is left is free. An image of attributes: the policy forbids styles.
pub fn bar(total: u64, parts: [u64; 4]) -> Markup {
    const WIDTH: u64 = 1_000;
    let width =
        |part: u64| if total == 0 { 0 } else { (u128::from(part.min(total)) * u128::from(WIDTH) / u128::from(total)) as u64 };
    let mut at = 0;
    let segments: Vec<(&str, u64, u64)> = ["used", "held", "broken", "unusable"]
        .into_iter()
        .zip(parts)
        .map(|(name, part)| {
            let segment = (name, at, width(part).min(WIDTH - at));
            at += segment.2;
            segment
        })
        .filter(|(_, _, width)| *width > 0)
        .collect();
    html! {
        svg.bar viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
            rect.rest width="1000" height="10" {}
            @for (name, at, width) in segments { rect class=(name) x=(at) width=(width) height="10" {} }
        }
    }
}

pub fn nodes(snapshot: &Snapshot) -> Markup {
    let (troubled, well): (Vec<_>, Vec<_>) =
        snapshot.gpu_nodes.iter().partition(|node| !node.reasons.is_empty() || is_broken(node));
    let plain = snapshot.nodes.len() - snapshot.gpu_nodes.len();
    let plain_unusable = snapshot.nodes.iter().filter(|node| node.gpus.is_empty() && !node.usable()).count();
    html! {
        section data-part="nodes" id="nodes" aria-labelledby="nodes-title" {
            h2 #nodes-title { "Nodes with GPUs" }
            @if snapshot.gpu_nodes.len() <= MOST_FLAT {
                @if !snapshot.gpu_nodes.is_empty() { (table("Nodes with GPUs", &snapshot.gpu_nodes.iter().collect::<Vec<_>>())) }
            } @else {
                @if !troubled.is_empty() { (group("trouble", "Need a look", &troubled, true)) }
                @for (kind, nodes) in by_kind(&well) { (group(&kind.id, &kind.display_name(), &nodes, false)) }
            }
            @if plain > 0 {
                p.faint {
                    (counted(plain, "node")) " without a GPU"
                    @if plain_unusable > 0 { ", " (plain_unusable) " of them can't be used now" }
                    "."
                }
            }
        }
    }
}

fn is_broken(node: &NodeState) -> bool {
    node.gpus.iter().any(|gpu| gpu.unhealthy > 0) || node.overcommitted()
}

/// Nodes by the first of their kinds.
fn by_kind<'a>(nodes: &[&'a Arc<NodeState>]) -> Vec<(&'a crate::domain::gpu::Kind, Vec<&'a Arc<NodeState>>)> {
    let mut groups: BTreeMap<&str, (&crate::domain::gpu::Kind, Vec<&Arc<NodeState>>)> = BTreeMap::new();
    for node in nodes {
        if let Some(first) = node.gpus.first() {
            groups.entry(&first.kind.id).or_insert_with(|| (&first.kind, Vec::new())).1.push(node);
        }
    }
    groups.into_values().collect()
}

fn group(id: &str, title: &str, nodes: &[&Arc<NodeState>], open: bool) -> Markup {
    let gpus = nodes.iter().flat_map(|node| &node.gpus);
    let (free, total) =
        gpus.fold((0_u64, 0_u64), |(free, total), gpu| (free.saturating_add(gpu.free), total.saturating_add(gpu.total)));
    // The freest first, for who looks for a place.
    let mut nodes = nodes.to_vec();
    nodes.sort_by_key(|node| std::cmp::Reverse(node.gpus.iter().fold(0_u64, |sum, gpu| sum.saturating_add(gpu.free))));
    html! {
        details id=(format!("nodes-{id}")) open[open] {
            summary { strong { (title) } span.faint { (counted(nodes.len(), "node")) " · " (free) " of " (total) " free" } }
            (table(title, &nodes))
        }
    }
}

fn table(title: &str, nodes: &[&Arc<NodeState>]) -> Markup {
    html! {
        table.cards {
            caption.unseen { (title) ": GPUs, state, processors and memory of each node" }
            thead { tr {
                th scope="col" { "Node" } th scope="col" { "GPUs" } th scope="col" { "State" }
                th.number scope="col" { "Processors free" } th.number scope="col" { "Memory free" }
            } }
            tbody { @for node in nodes.iter().take(MOST_ROWS) { (node_row(node)) } }
        }
        @if nodes.len() > MOST_ROWS { p.faint { "And " (nodes.len() - MOST_ROWS) " more; " a href="api/v1/gpus" { "the API" } " has all." } }
    }
}

fn node_row(node: &NodeState) -> Markup {
    let (facts, free) = (&node.facts, &node.free);
    html! {
        tr {
            th scope="row" { (node.name()) }
            td data-label="GPUs" { @for gpu in &node.gpus { (node_gpus(gpu)) } }
            td data-label="State" {
                @if node.usable() && node.reasons.is_empty() && !node.overcommitted() { span.faint { "ready" } } @else {
                    @for reason in &node.reasons { div .bad[!node.usable()] { (sentence(reason)) } }
                }
                @if node.overcommitted() { div.bad { "Its pods hold more GPUs than it offers." } }
            }
            td.number data-label="Processors free" { (cores(free.cpu)) span.faint { " of " (cores(facts.allocatable.cpu)) } }
            td.number data-label="Memory free" { (gib(free.memory >> 20)) span.faint { " of " (gib(facts.allocatable.memory >> 20)) " GiB" } }
        }
    }
}

fn node_gpus(gpu: &NodeGpus) -> Markup {
    html! {
        div.free {
            (bar(gpu.total, [gpu.used, gpu.held, gpu.unhealthy, gpu.unusable]))
            span {
                strong { (gpu.free) } " of " (gpu.total) " free"
                @if gpu.used > 0 { ", " (gpu.used) " used" }
                @if gpu.held > 0 { ", " (gpu.held) " held" }
                @if gpu.unhealthy > 0 { span.bad { ", " (gpu.unhealthy) " broken" } }
                @if gpu.unusable > 0 { ", " (gpu.unusable) " unusable" }
                span.note { (gpu.kind.display_name()) }
            }
        }
    }
}

fn cores(millis: u64) -> String {
    let text = format!("{:.1}", millis as f64 / 1000.0);
    text.trim_end_matches(".0").to_owned()
}

fn gib(mib: u64) -> String {
    let text = format!("{:.1}", mib as f64 / 1024.0);
    if mib >= 10 << 10 { format!("{:.0}", mib as f64 / 1024.0) } else { text.trim_end_matches(".0").to_owned() }
}
