//! The profiles of a user as a page. An administrator chooses whose, sees what is hidden from him, and tries a choice.

use maud::{Markup, PreEscaped, html};
use serde_json::Value;

use super::choices::{choices, terms};
use super::{counted, sentence};
use crate::domain::fit::Availability;
use crate::http::explain::Explanation;
use crate::http::people::People;
use crate::http::problem::Problem;
use crate::profiles::User;
use crate::profiles::hidden::{Hidden, kinds_left_out};
use crate::profiles::offer::{Context, Offer};
use crate::profiles::refusal::Refusal;

/// Names to choose from in a form; any other can be typed.
const MOST_NAMES: usize = 2_000;
/// Rows of the node by node answer.
const MOST_ROWS: usize = 250;

/// Whose list, as the form has it.
pub struct Asked<'a> {
    pub user: &'a User,
    pub server: &'a str,
    /// Groups as the hub has them.
    pub from_hub: bool,
    /// The hub was asked for the groups and does not know the user.
    pub unknown: bool,
    /// Whether it is known what the hub's own configuration asks of this server's pod.
    pub settings_known: bool,
    /// What was tried, and what came of it.
    pub tried: Option<(&'a Value, Result<Explanation, Refusal>)>,
}

/// The administrator's form.
pub fn form(asked: &Asked<'_>, people: Option<&People>) -> Markup {
    html! {
        form.who-form action="profiles" method="get" {
            label { "User" input name="user" list="users" value=(asked.user.name) autocomplete="off"; }
            label { "Server" input name="server" value=(asked.server) placeholder="default" autocomplete="off"; }
            fieldset {
                legend { "Groups" }
                label.inline { input type="radio" name="from" value="hub" checked[asked.from_hub] disabled[people.is_none()]; "as the hub has them" }
                label.inline { input type="radio" name="from" value="typed" checked[!asked.from_hub]; "these:" }
                input name="groups" list="groups" value=(asked.user.groups.join(",")) aria-label="Groups, separated by commas" autocomplete="off";
            }
            button { "Show" }
            @if let Some(people) = people {
                datalist #users { @for person in people.all.iter().take(MOST_NAMES) { option value=(person.name) {} } }
                datalist #groups { @for group in people.groups().iter().take(MOST_NAMES) { option value=(group) {} } }
            } @else {
                p.faint { "The hub did not list its users; type a name and groups." }
            }
        }
    }
}

/// What an administrator sees of somebody's list.
pub fn for_admin(asked: &Asked<'_>, offers: &Result<Vec<Offer>, Problem>, hidden: &[Hidden], context: &Context<'_>) -> Markup {
    let user = asked.user;
    html! {
        p {
            strong { (user.name) } " "
            @if user.groups.is_empty() { "in no group" } @else { "in " (user.groups.join(", ")) }
            " is offered this. A program gets it as JSON from " code { "profiles?" (query(asked, None)) } "."
        }
        @if asked.unknown { p.warning { "The hub knows no user " strong { (user.name) } ": the groups are those of the form." } }
        @if !asked.settings_known {
            p.warning { "The hub has not asked for this server's form since Berth started: judged without the hub's own settings." }
        }
        @if let Some((options, outcome)) = &asked.tried { (result(asked, options, outcome)) }
        (list(offers, Some((asked, context))))
        section aria-labelledby="hidden-title" {
            h2 #hidden-title { "Not on the list" }
            @if hidden.is_empty() { p.faint { "Every profile of the catalogue is." } } @else {
                table.cards {
                    caption.unseen { "Profiles that this user does not see, and why" }
                    thead { tr { th scope="col" { "Profile" } th scope="col" { "Why" } } }
                    tbody { @for each in hidden { tr {
                        th scope="row" { (each.title) span.note { (each.slug) } }
                        td data-label="Why" { (sentence(&each.reason)) }
                    } } }
                }
            }
        }
    }
}

/// The offers; for administrators with what each leaves out, and a form to try it.
pub fn list(offers: &Result<Vec<Offer>, Problem>, admin: Option<(&Asked<'_>, &Context<'_>)>) -> Markup {
    html! {
        section aria-labelledby="offers-title" {
            h2 #offers-title { "Profiles" }
            @match offers {
                Err(problem) => p.warning { (problem.detail) },
                Ok(offers) => {
                    @for offer in offers {
                        article.offer {
                            h3 { (offer.berth.title) " " (badge(offer.berth.availability)) @if offer.default { " " span.note { "default" } } }
                            @if !offer.berth.description.is_empty() { p { (offer.berth.description) } }
                            p.faint {
                                code { (offer.slug) }
                                @if offer.berth.total > 0 { " · " (offer.berth.free) " of " (offer.berth.total) " GPUs free" }
                                " · " (offer.berth.image) (terms(offer))
                            }
                            @if !offer.berth.reasons.is_empty() { ul.reasons { @for reason in &offer.berth.reasons { li { (sentence(reason)) } } } }
                            @if let Some((asked, context)) = admin {
                                (choices(offer, &kinds_left_out(context, offer)))
                                (trial(offer, asked))
                            } @else {
                                (choices(offer, &[]))
                            }
                        }
                    }
                }
            }
        }
    }
}

pub fn badge(availability: Availability) -> Markup {
    let (class, text) = match availability {
        Availability::Now => ("now", "free now"),
        Availability::Busy => ("busy", "in use"),
        Availability::Starting => ("starting", "not available yet"),
        Availability::Never => ("never", "not possible here"),
        Availability::Unknown => ("unknown", "not known"),
    };
    html! { span.badge.(class) { (text) } }
}

/// A form with the offer's own options.
fn trial(offer: &Offer, asked: &Asked<'_>) -> Markup {
    let tried = asked.tried.as_ref().map(|(options, _)| *options).filter(|options| text(options, "profile") == offer.slug);
    let selected = |key: &str, id: &str, choice: &Value| match tried {
        Some(options) => text(options, key) == id,
        None => choice.get("default") == Some(&Value::Bool(true)),
    };
    html! {
        details id=(format!("try-{}", offer.slug)) open[tried.is_some()] {
            summary { "Dry run" }
            form.trial action="profiles#result" method="get" {
                input type="hidden" name="user" value=(asked.user.name);
                input type="hidden" name="server" value=(asked.server);
                input type="hidden" name="from" value=(if asked.from_hub { "hub" } else { "typed" });
                input type="hidden" name="groups" value=(asked.user.groups.join(","));
                @if asked.user.admin { input type="hidden" name="admin" value="true"; }
                input type="hidden" name="try.profile" value=(offer.slug);
                @for (key, option) in &offer.profile_options {
                    label {
                        (text(option, "display_name"))
                        select name=(format!("try.{key}")) {
                            @for (id, choice) in option.get("choices").and_then(Value::as_object).into_iter().flatten() {
                                // Escaped already, for KubeSpawner's own form.
                                option value=(id) selected[selected(key, id, choice)] { (PreEscaped(text(choice, "display_name"))) }
                            }
                        }
                    }
                }
                button { "Show the patch" }
            }
        }
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn query(asked: &Asked<'_>, options: Option<&Value>) -> String {
    let (groups, options) = (asked.user.groups.join(","), options.map(Value::to_string));
    let mut pairs = vec![("user", asked.user.name.as_str()), ("groups", &groups)];
    pairs.extend(asked.user.admin.then_some(("admin", "true")));
    pairs.extend((!asked.server.is_empty()).then_some(("server", asked.server)));
    pairs.extend(options.as_deref().map(|options| ("options", options)));
    serde_urlencoded::to_string(pairs).unwrap_or_default()
}

fn result(asked: &Asked<'_>, options: &Value, outcome: &Result<Explanation, Refusal>) -> Markup {
    html! {
        section.result #result aria-labelledby="result-title" {
            h2 #result-title { "Dry run" }
            p { "For the options " code { (options) } ". Nothing was reserved. " a href=(format!("api/v1/explain?{}", query(asked, Some(options)))) { "As JSON" } }
            @match outcome {
                Err(refusal) => p.warning { (refusal) },
                Ok(explanation) => (explained(explanation)),
            }
        }
    }
}

fn explained(explanation: &Explanation) -> Markup {
    html! {
        p { code { (explanation.profile) } " " (badge(explanation.availability)) }
        @if !explanation.reasons.is_empty() { ul.reasons { @for reason in &explanation.reasons { li { (sentence(reason)) } } } }
        @if let Some(refusal) = &explanation.refusal { p.warning { "The hub would be refused: " (refusal) } }
        @if let Some(answer) = &explanation.answer {
            p { (sentence(&answer.summary)) }
            h3 { "Patch" }
            pre tabindex="0" { (serde_json::to_string_pretty(&answer.patch).unwrap_or_default()) }
        }
        @if let Some(patch) = &explanation.patch_if_refused {
            h3 { "The patch, if it were not refused" }
            pre tabindex="0" { (serde_json::to_string_pretty(patch).unwrap_or_default()) }
        }
        details #verdicts {
            summary { "Node by node " span.faint { (counted(explanation.nodes.len(), "node")) } }
            table.cards {
                caption.unseen { "What each node says to this pod" }
                thead { tr { th scope="col" { "Node" } th scope="col" { "Answer" } th scope="col" { "Why" } } }
                tbody { @for node in explanation.nodes.iter().take(MOST_ROWS) { tr {
                    th scope="row" { (node.name) }
                    td data-label="Answer" { (badge(node.availability)) }
                    td data-label="Why" { @if let Some(reason) = &node.reason { (sentence(reason)) } }
                } } }
            }
            @if explanation.nodes.len() > MOST_ROWS { p.faint { "And " (explanation.nodes.len() - MOST_ROWS) " more, in the JSON." } }
        }
    }
}
