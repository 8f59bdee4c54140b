//! Offers: the profiles of one user as KubeSpawner's `profile_list` wants them, with what is free now.
//!
//! `display_name` and `description` are rendered as raw HTML by the stock form, so they are escaped here; the `berth`
//! block is raw text for a template that escapes. There is no `kubespawner_override` anywhere: KubeSpawner applies
//! overrides after the hook, so all settings come with the patch.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::User;
use super::choices::{OptionOffer, gpu_nodes, kind_numbers, options};
use super::limits::Allowance;
use super::plan::{Request, allowed_kinds, default_count, plan};
use super::refusal::Refusal;
use super::slug;
use super::survey::{KindState, pickable, survey};
use crate::catalogue::{Catalogue, Profile, SharedCodeUse, WhenFull};
use crate::domain::base::Base;
use crate::domain::fit::Availability;
use crate::domain::gpu::Sharing;
use crate::domain::report::Freshness;
use crate::domain::snapshot::Snapshot;

/// An entry of the profile list.
#[derive(Clone, Debug, Serialize)]
pub struct Offer {
    pub slug: String,
    pub display_name: String,
    pub description: String,
    pub default: bool,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub profile_options: Map<String, Value>,
    pub berth: Details,
}

/// What a form template shows; plain text throughout.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    pub title: String,
    pub description: String,
    pub availability: Availability,
    /// GPUs free now and in all, of the kinds that this offer allows; 0 without a GPU.
    pub free: u64,
    pub total: u64,
    pub kinds: Vec<KindDetails>,
    pub reasons: Vec<String>,
    pub image: String,
    /// Whether a spawn would not be refused at once.
    pub pickable: bool,
    /// Whether a server that finds nothing free waits for it, and at most how long; `None`: as the hub has it.
    pub waits: bool,
    pub wait_up_to_seconds: Option<u64>,
    /// By kind and for `any`; empty without a GPU.
    pub choices: BTreeMap<String, KindState>,
    /// Options that are not asked, since one choice is left, with that choice.
    pub fixed: BTreeMap<&'static str, String>,
    /// Whether it is judged by what the hub's configuration asks of this server's pod. Where that is not known, only
    /// numbers are good.
    pub hub_settings_known: bool,
    /// The moment of these numbers, RFC 3339, and whether the source is lost since.
    pub observed_at: String,
    pub stale: bool,
    /// Where Berth answers behind the hub's proxy.
    pub prefix: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KindDetails {
    pub id: String,
    pub name: String,
    #[serde(rename = "memoryMiB")]
    pub memory_mib: Option<u64>,
    pub sharing: Sharing,
    /// What the sharing means for the user.
    pub meaning: &'static str,
    pub free: u64,
    pub total: u64,
}

/// What offers are made of, beside the user.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// `None` before the first inventory.
    pub snapshot: Option<&'a Snapshot>,
    pub freshness: &'a Freshness,
    pub catalogue: &'a Catalogue,
    pub prefix: &'a str,
    /// The name of the server that is asked for; empty for the default one.
    pub server: &'a str,
}

impl Context<'_> {
    /// What the user may still take, where there is a limit.
    pub fn allowance(&self, user: &User) -> Option<Allowance> {
        Allowance::of(user, self.server, self.snapshot?, self.catalogue)
    }
}

/// The offers of one user: never none.
///
/// # Errors
/// When no profile admits the user, or all that do need a node that is not there. KubeSpawner would start the hub's own
/// bare pod from an empty list.
pub fn offers(context: &Context<'_>, user: &User, base: &Base) -> Result<Vec<Offer>, Refusal> {
    let catalogue = context.catalogue;
    let allowance = context.allowance(user);
    let allowance = allowance.as_ref();
    let mut offers = Vec::new();
    for profile in catalogue.profiles.iter().filter(|profile| user.may_use(profile)) {
        let request = |node| default_request(profile, node, catalogue);
        match (&profile.per_node, context.snapshot) {
            (None, _) => offers.push(offer(context, request(None), false, allowance, base)),
            // Which nodes there are is not known yet.
            (Some(_), None) => {}
            (Some(per_node), Some(snapshot)) => {
                let Some(gpu) = &profile.gpu else { continue };
                let nodes = gpu_nodes(&request(None), gpu, snapshot);
                let many = nodes.len() > per_node.max_entries as usize;
                if let (true, Some((freest, ..))) = (many, nodes.first()) {
                    offers.push(offer(context, request(Some(freest.name())), true, allowance, base));
                } else {
                    let mut names: Vec<&str> = nodes.iter().map(|(node, ..)| node.name()).collect();
                    names.sort_unstable();
                    for name in names {
                        offers.push(offer(context, request(Some(name)), false, allowance, base));
                    }
                }
            }
        }
    }
    if !offers.iter().any(|offer| offer.default)
        && let Some(first) = offers.first_mut()
    {
        first.default = true;
    }
    if offers.is_empty() {
        return Err(nothing_to_offer(context, user));
    }
    Ok(offers)
}

fn nothing_to_offer(context: &Context<'_>, user: &User) -> Refusal {
    if !context.catalogue.profiles.iter().any(|profile| user.may_use(profile)) {
        let text = format!("There is no profile that {} may use. Ask the administrator of this hub for access.", user.name);
        return Refusal::NotAllowed(text);
    }
    if context.snapshot.is_none() {
        return Refusal::NoInventory;
    }
    Refusal::Full("No node with a GPU can be used now. Try again later, or tell the administrator of this hub.".to_owned())
}

/// A profile with every option at its default.
pub fn default_request<'a>(profile: &'a Profile, node: Option<&'a str>, catalogue: &Catalogue) -> Request<'a> {
    Request {
        profile,
        kind: None,
        gpus: profile.gpu.as_ref().map_or(0, |gpu| gpu.counts.first().copied().unwrap_or(1)),
        node,
        image: &profile.image,
        shared_code: profile.shared_code == SharedCodeUse::Required && catalogue.shared_code.enabled,
    }
}

fn offer(context: &Context<'_>, request: Request<'_>, node_choice: bool, allowance: Option<&Allowance>, base: &Base) -> Offer {
    let profile = request.profile;
    let (slug, title) = match request.node {
        None => (profile.slug.clone(), profile.title.clone()),
        Some(_) if node_choice => (profile.slug.clone(), profile.title.replace("{node}", "a node of your choice")),
        Some(node) => (slug::on_node(&profile.slug, node), profile.title.replace("{node}", node)),
    };
    // With a choice of nodes the offer is about all of them; only its default is about one.
    let mut asked = if node_choice { Request { node: None, ..request.clone() } } else { request.clone() };
    let mut availability = Availability::Unknown;
    let mut reasons = vec!["there is no picture of the cluster yet".to_owned()];
    let mut kinds = Vec::new();
    let mut profile_options = Map::new();
    let mut choices = BTreeMap::new();
    let mut fixed = BTreeMap::new();
    let mut refused = false;
    if let Some(snapshot) = context.snapshot {
        asked.gpus = default_count(&asked, allowance, snapshot, base, context.catalogue);
        let plan = plan(&asked, snapshot, base, context.catalogue);
        availability = plan.assessment.availability;
        refused = plan.quota.is_some();
        reasons = plan.assessment.reasons;
        if let Some((allowance, least)) = allowance.and_then(|allowance| Some((allowance, allowance.delays(asked.gpus)?))) {
            availability = availability.max(least);
            reasons.insert(0, allowance.sentence());
            refused = true;
        }
        kinds = kind_details(&asked, snapshot);
        choices = survey(&asked, node_choice, allowance, snapshot, base, context.catalogue);
        let (asked, given): (Vec<_>, Vec<_>) = options(&asked, node_choice, &choices, snapshot, context.catalogue)
            .into_iter()
            .partition(|option| option.choices.len() > 1);
        profile_options = option_map(asked);
        fixed = given.into_iter().filter_map(|option| Some((option.key, option.choices.into_iter().next()?.id))).collect();
        if let Some(node) = request.node.filter(|_| !node_choice) {
            fixed.insert("node", node.to_owned());
        }
    }
    let (free, total) = kinds
        .iter()
        .fold((0_u64, 0_u64), |(free, total), kind| (free.saturating_add(kind.free), total.saturating_add(kind.total)));
    let details = Details {
        title,
        description: profile.description.clone(),
        availability,
        free,
        total,
        kinds,
        reasons,
        image: request.image.reference.clone(),
        pickable: pickable(profile, availability, refused),
        waits: profile.when_full == WhenFull::Wait,
        wait_up_to_seconds: profile.wait_up_to.map(|longest| longest.as_secs()),
        choices,
        fixed,
        hub_settings_known: true,
        observed_at: context.freshness.observed_at.clone(),
        stale: context.freshness.stale,
        prefix: context.prefix.to_owned(),
    };
    let description = [profile.description.clone(), status(&details, profile, context.freshness)];
    let description: Vec<String> = description.into_iter().filter(|text| !text.is_empty()).collect();
    Offer {
        slug,
        display_name: escape_html(&details.title),
        description: escape_html(&description.join(" · ")),
        default: profile.default && (request.node.is_none() || node_choice),
        profile_options,
        berth: details,
    }
}

fn kind_details(request: &Request<'_>, snapshot: &Snapshot) -> Vec<KindDetails> {
    let Some(gpu) = &request.profile.gpu else { return Vec::new() };
    let node = request.node.and_then(|name| snapshot.node(name));
    allowed_kinds(gpu, request, snapshot)
        .map(|count| {
            let (free, total) = kind_numbers(count, node.map(|node| node.as_ref()));
            KindDetails {
                id: count.kind.id.clone(),
                name: count.kind.display_name(),
                memory_mib: count.kind.memory_mib,
                sharing: count.kind.sharing,
                meaning: count.kind.sharing.meaning(),
                free,
                total,
            }
        })
        .collect()
}

/// One sentence on what is free, for a form that has no place for more.
fn status(details: &Details, profile: &Profile, freshness: &Freshness) -> String {
    let mut text = String::new();
    if profile.gpu.is_some() && details.availability != Availability::Unknown {
        text = format!("{} of {} GPUs free", details.free, details.total);
    }
    let state = match details.availability {
        Availability::Now => "",
        Availability::Busy => "full now",
        Availability::Starting => "not available yet",
        Availability::Never => "cannot run here",
        Availability::Unknown => "availability unknown",
    };
    let reasons = details.reasons.join("; ");
    for part in [state, &reasons] {
        if !part.is_empty() {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(part);
        }
    }
    if let (WhenFull::Wait, Some(longest), Availability::Busy | Availability::Starting) =
        (profile.when_full, profile.wait_up_to, details.availability)
        && details.pickable
    {
        text.push_str(&format!("; a server waits for up to {}", humantime::format_duration(longest)));
    }
    if freshness.stale && !text.is_empty() {
        text.push_str(&format!(" (as of {})", freshness.observed_at));
    }
    text
}

/// The options as KubeSpawner wants them: a map of maps, in order.
fn option_map(options: Vec<OptionOffer>) -> Map<String, Value> {
    let entry = |option: OptionOffer| {
        let choices: Map<String, Value> = option
            .choices
            .into_iter()
            .enumerate()
            .map(|(at, choice)| (choice.id, json!({"display_name": escape_html(&choice.text), "default": at == 0})))
            .collect();
        (option.key.to_owned(), json!({"display_name": option.label, "choices": choices}))
    };
    options.into_iter().map(entry).collect()
}

pub fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
