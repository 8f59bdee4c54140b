//! What can be chosen with an offer: kinds, counts and nodes, each with what is free and why it can't be had.

use std::collections::BTreeMap;
use std::time::Duration;

use maud::{Markup, html};

use super::offers::badge;
use super::sentence;
use crate::domain::fit::Availability;
use crate::profiles::choices::ANY_KIND;
use crate::profiles::hidden::Hidden;
use crate::profiles::offer::Offer;
use crate::profiles::survey::State;
use crate::profiles::waiting::span;

/// The choices, the one that leaves the kind open first, and the kinds of the cluster that are none of them.
pub fn choices(offer: &Offer, left_out: &[Hidden]) -> Markup {
    let (open, kinds): (Vec<_>, Vec<_>) = offer.berth.choices.iter().partition(|(id, _)| *id == ANY_KIND);
    let Some((_, any)) = open.first() else { return html! {} };
    let is_asked = |key: &str| offer.profile_options.contains_key(key);
    html! {
        details id=(format!("choices-{}", offer.slug)) {
            summary { "Choices" }
            table.cards {
                caption.unseen { "What can be chosen with " (offer.berth.title) ", and why something can't be had" }
                thead { tr { th scope="col" { "Choice" } th scope="col" { "State" } th scope="col" { "Why" } } }
                tbody {
                    @for (_, kind) in open.iter().chain(&kinds) { (row(&kind.state, None)) }
                    @for each in left_out { tr {
                        th scope="row" { (each.title) span.note { (each.slug) } }
                        td data-label="State" { span.badge { "not offered" } }
                        td data-label="Why" { (sentence(&each.reason)) }
                    } }
                    (counts(&any.counts))
                    @for node in any.nodes.values() { (row(&node.state, None)) }
                }
            }
            @for (key, what) in [("gpu-kind", "kind"), ("gpus", "number of GPUs")] {
                @if !is_asked(key) { p.faint { "The " (what) " is not asked for: there is no choice." } }
            }
        }
    }
}

/// With any kind; what no node could ever serve, or the user may never hold, is not on the form.
fn counts(counts: &BTreeMap<String, State>) -> Markup {
    let mut counts: Vec<(u32, &State)> = counts.iter().map(|(count, state)| (count.parse().unwrap_or(u32::MAX), state)).collect();
    counts.sort_by_key(|(count, _)| *count);
    html! { @for (_, state) in counts { (row(state, (state.availability == Availability::Never).then_some("not offered"))) } }
}

fn row(state: &State, instead: Option<&str>) -> Markup {
    html! {
        tr {
            th scope="row" { (state.text) }
            td data-label="State" {
                @if let Some(text) = instead { span.badge { (text) } } @else {
                    (badge(state.availability))
                    @if !state.pickable && state.availability != Availability::Never { " " span.faint { "can't be picked" } }
                }
            }
            td data-label="Why" { @for reason in &state.reasons { div { (sentence(reason)) } } }
        }
    }
}

/// What a user reads of an offer beside its numbers: how its GPUs are shared, and whether a server waits.
pub fn terms(offer: &Offer) -> Markup {
    let berth = &offer.berth;
    let mut meanings: Vec<&str> = berth.kinds.iter().map(|kind| kind.meaning).collect();
    meanings.sort_unstable();
    meanings.dedup();
    html! {
        @if !meanings.is_empty() { " · " (meanings.join("; ")) }
        @if berth.total > 0 || !berth.choices.is_empty() {
            @match (berth.waits, berth.wait_up_to_seconds) {
                (false, _) => " · does not wait",
                (true, Some(seconds)) => { " · waits for up to " (span(Duration::from_secs(seconds))) }
                (true, None) => " · waits for as long as the hub lets it",
            }
        }
        @if !berth.pickable { " · can't be picked now" }
    }
}
