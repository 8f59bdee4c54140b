//! Reads the options of a spawn: flat, values strings, as KubeSpawner makes them of the form.

use serde_json::{Map, Value};

use crate::catalogue::{Catalogue, ImageChoice, Profile, SharedCodeUse};
use crate::domain::base::Base;
use crate::domain::snapshot::Snapshot;
use crate::profiles::User;
use crate::profiles::offer::{Context, default_request};
use crate::profiles::plan::{Request, default_count, plans};
use crate::profiles::refusal::Refusal;
use crate::profiles::slug::{self, Resolved};
use crate::profiles::{choices, offer};

/// Options checked against catalogue and cluster.
#[derive(Clone, Debug)]
pub struct Settled<'a> {
    pub slug: String,
    profile: &'a Profile,
    kind: Option<String>,
    gpus: u32,
    node: Option<String>,
    image: &'a ImageChoice,
    shared_code: bool,
}

impl Settled<'_> {
    pub fn request(&self) -> Request<'_> {
        Request {
            profile: self.profile,
            kind: self.kind.as_deref(),
            gpus: self.gpus,
            node: self.node.as_deref(),
            image: self.image,
            shared_code: self.shared_code,
        }
    }

    pub fn title(&self) -> String {
        self.profile.title.replace("{node}", self.node.as_deref().unwrap_or("a node"))
    }
}

/// Checks options. Absent or null means the default profile with every option at its default.
pub fn settle<'a>(options: &Value, context: &Context<'a>, user: &User, base: &Base) -> Result<Settled<'a>, Refusal> {
    let snapshot = context.snapshot.ok_or(Refusal::NoInventory)?;
    let empty = Map::new();
    let options = match options {
        Value::Null => &empty,
        Value::Object(options) => options,
        _ => return Err(Refusal::Malformed("The spawn options are not a map of words.".to_owned())),
    };
    let wanted = match options.get("profile") {
        None | Some(Value::Null) => default_slug(context, user, base)?,
        // KubeSpawner takes an empty word for none.
        Some(Value::String(slug)) if slug.is_empty() => default_slug(context, user, base)?,
        Some(Value::String(slug)) => slug.clone(),
        Some(_) => return Err(Refusal::Malformed("The option profile is not a word.".to_owned())),
    };
    let mut settled = profile(&wanted, context.catalogue, snapshot, user)?;
    for (key, value) in options.iter().filter(|(key, _)| *key != "profile") {
        let value = match value {
            Value::Null => continue,
            Value::String(value) => value.as_str(),
            _ => return Err(Refusal::Malformed(format!("The option {} is not a word.", shown(key)))),
        };
        settled.choose(key, value, context.catalogue, snapshot)?;
    }
    if !options.get("gpus").is_some_and(Value::is_string) {
        let allowance = context.allowance(user);
        settled.gpus = default_count(&settled.request(), allowance.as_ref(), snapshot, base, context.catalogue);
    }
    if settled.profile.per_node.is_some() && settled.node.is_none() {
        settled.node = Some(best_node(&settled.request(), snapshot, base, context.catalogue)?);
        settled.slug = slug_of(&settled);
    }
    Ok(settled)
}

/// The default that the user's own form would preselect.
fn default_slug(context: &Context<'_>, user: &User, base: &Base) -> Result<String, Refusal> {
    if let Some(profile) = context.catalogue.profiles.iter().find(|profile| profile.default && user.may_use(profile)) {
        return Ok(profile.slug.clone());
    }
    let offers = offer::offers(context, user, base)?;
    offers.into_iter().find(|offer| offer.default).map(|offer| offer.slug).ok_or(Refusal::NoInventory)
}

fn profile<'a>(wanted: &str, catalogue: &'a Catalogue, snapshot: &Snapshot, user: &User) -> Result<Settled<'a>, Refusal> {
    let (profile, node) = match slug::resolve(wanted, catalogue, Some(snapshot)) {
        Resolved::Profile(profile) => (profile, None),
        Resolved::OnNode(profile, node) => (profile, Some(node)),
        Resolved::NodeGone(_) => {
            let text = format!("The node of the profile {} is no longer in the cluster. Choose another profile.", shown(wanted));
            return Err(Refusal::UnknownProfile(text));
        }
        Resolved::Unknown => {
            let text =
                format!("The profile {} is not offered here any more, or never was. Choose one from the list.", shown(wanted));
            return Err(Refusal::UnknownProfile(text));
        }
    };
    if !user.may_use(profile) {
        let text = format!("You may not use the profile {}. Ask the administrator of this hub for access.", shown(wanted));
        return Err(Refusal::NotAllowed(text));
    }
    let request = default_request(profile, None, catalogue);
    let mut settled = Settled {
        slug: String::new(),
        profile,
        kind: None,
        gpus: request.gpus,
        node,
        image: request.image,
        shared_code: request.shared_code,
    };
    settled.slug = slug_of(&settled);
    Ok(settled)
}

fn slug_of(settled: &Settled<'_>) -> String {
    match &settled.node {
        Some(node) => slug::on_node(&settled.profile.slug, node),
        None => settled.profile.slug.clone(),
    }
}

/// The node that the form would preselect, of those that the other options leave.
fn best_node(request: &Request<'_>, snapshot: &Snapshot, base: &Base, catalogue: &Catalogue) -> Result<String, Refusal> {
    let plans = plans(request, snapshot, base, catalogue);
    let plans: Vec<_> = plans.iter().collect();
    let nodes = request.profile.gpu.as_ref().map(|gpu| choices::ranked_nodes(request, gpu, &plans, snapshot));
    let best = nodes.into_iter().flatten().next().map(|node| node.name().to_owned());
    best.ok_or_else(|| Refusal::NeverFits("No node of this cluster has such GPUs that can be used now.".to_owned()))
}

impl Settled<'_> {
    fn choose(&mut self, key: &str, value: &str, catalogue: &Catalogue, snapshot: &Snapshot) -> Result<(), Refusal> {
        let unknown = |what: String| Err(Refusal::UnknownOption(format!("{what} Choose again from the list.")));
        let gpu = self.profile.gpu.as_ref();
        match (key, gpu) {
            ("gpu-kind", Some(gpu)) if value == choices::ANY_KIND || gpu.kinds.matches(value) => {
                let known = value == choices::ANY_KIND || snapshot.kind(value).is_some();
                if !known {
                    return unknown(format!("No node of this cluster has a GPU of kind {}.", shown(value)));
                }
                self.kind = (value != choices::ANY_KIND).then(|| value.to_owned());
            }
            ("gpus", Some(gpu)) => match gpu.counts.iter().find(|count| count.to_string() == value) {
                Some(count) => self.gpus = *count,
                None => return unknown(format!("{} is not a number of GPUs that {} offers.", shown(value), self.profile.slug)),
            },
            ("node", Some(_)) if self.node.as_deref().is_some_and(|node| node != value) => {
                return unknown(format!(
                    "The profile {} is for the node {} alone.",
                    self.slug,
                    self.node.as_deref().unwrap_or_default()
                ));
            }
            ("node", Some(_)) if self.profile.per_node.is_some() => match snapshot.node(value) {
                Some(node) => {
                    self.node = Some(node.name().to_owned());
                    self.slug = slug_of(self);
                }
                None => return unknown(format!("The node {} is no longer in the cluster.", shown(value))),
            },
            ("image", _) => match self.profile.images.iter().find(|image| image.id == value) {
                Some(image) => self.image = image,
                None => return unknown(format!("The profile {} does not offer the image {}.", self.profile.slug, shown(value))),
            },
            ("shared-code", _) if self.profile.shared_code != SharedCodeUse::No && catalogue.shared_code.enabled => match value {
                "yes" => self.shared_code = true,
                "no" => self.shared_code = self.profile.shared_code == SharedCodeUse::Required,
                _ => return unknown(format!("The option shared-code takes yes or no, not {}.", shown(value))),
            },
            ("gpu-kind", Some(_)) => {
                return unknown(format!("The profile {} does not offer GPUs of kind {}.", self.profile.slug, shown(value)));
            }
            _ => return unknown(format!("The profile {} has no option {}.", self.profile.slug, shown(key))),
        }
        Ok(())
    }
}

/// A user's own words in a sentence: in quotes, short, and without characters that nobody sees.
fn shown(text: &str) -> String {
    const LONGEST: usize = 80;
    // Marks without a width, and those that turn the text around.
    let unseen = |c: &char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let mut short: String = text.chars().filter(|c| !c.is_control() && !unseen(c)).take(LONGEST).collect();
    if text.chars().count() > LONGEST {
        short.push('…');
    }
    format!("“{short}”")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_words_cannot_rearrange_a_sentence() {
        assert_eq!(shown("a\u{202e}b\u{200b}c\nd ü 📚"), "“abcd ü 📚”");
        assert_eq!(shown(&"x".repeat(81)), format!("“{}…”", "x".repeat(80)));
    }
}
