//! The catalogue's own rules for GPU resources: which one reads a resource, and what it makes of it.
//!
//! A rule says all there is to say: no vendor's habit and no cloud's label is looked at beside it.

use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};

use super::gpus::{Offered, Reading, is_accessory, share_mark, slug, vendor_slug};
use super::nvidia::WHOLE;
use crate::domain::gpu::GpuPool;
use crate::domain::gpu_rule::{GpuRule, RESOURCE, is_glob};
use crate::domain::quantity::Quantity;

const MIB: u64 = 1 << 20;
/// Resources under which the built-in kinds have plain ids: a rule that re-reads one of them keeps those.
const PLAIN: [&str; 4] = [WHOLE, "amd.com/gpu", "gpu.intel.com/i915", "habana.ai/gaudi"];

/// Rules, ready to match.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Arc<[GpuRule]>,
    matchers: Vec<Option<Matcher>>,
}

/// What a rule takes and what it leaves.
#[derive(Debug)]
struct Matcher {
    resource: GlobMatcher,
    exclude: GlobSet,
}

impl Matcher {
    /// The catalogue let only globs in that compile.
    fn new(rule: &GpuRule) -> Option<Self> {
        let glob = |text: &str| GlobBuilder::new(text).literal_separator(true).build().ok();
        let mut exclude = GlobSetBuilder::new();
        for text in &rule.exclude {
            exclude.add(glob(text)?);
        }
        Some(Self { resource: glob(&rule.resource)?.compile_matcher(), exclude: exclude.build().ok()? })
    }

    fn takes(&self, resource: &str) -> bool {
        self.resource.is_match(resource) && !self.exclude.is_match(resource)
    }
}

impl Rules {
    pub fn new(rules: Arc<[GpuRule]>) -> Self {
        let matchers = rules.iter().map(Matcher::new).collect();
        Self { rules, matchers }
    }

    pub fn are(&self, rules: &[GpuRule]) -> bool {
        *self.rules == *rules
    }

    /// The first rule for a resource. What only belongs to cards has to be named in full.
    pub fn find(&self, resource: &str) -> Option<&GpuRule> {
        let named = |rule: &GpuRule| !is_glob(&rule.resource) || !is_accessory(resource);
        let takes = |matcher: &Option<Matcher>| matcher.as_ref().is_some_and(|matcher| matcher.takes(resource));
        self.rules.iter().zip(&self.matchers).find(|(rule, matcher)| takes(matcher) && named(rule)).map(|(rule, _)| rule)
    }

    /// Resources that labels promise while the node does not offer them.
    pub fn promised(&self, node: &Offered<'_>) -> impl Iterator<Item = Arc<str>> {
        let missing = |rule: &&GpuRule| node.capacity(&rule.resource) == 0 && promises(rule, &rule.resource, node);
        self.rules.iter().filter(missing).map(|rule| rule.resource.as_str().into())
    }
}

/// Whether a label says that the node has GPUs of a rule.
fn promises(rule: &GpuRule, resource: &str, node: &Offered<'_>) -> bool {
    let says = |key: &String| node.label(&key.replace(RESOURCE, resource)).is_some_and(|value| value != "false");
    rule.present_labels.iter().any(says)
}

pub fn pool(rule: &GpuRule, resource: &Arc<str>, node: &Offered<'_>) -> Option<GpuPool> {
    let (domain, short) = resource.split_once('/')?;
    let owner = domain.rsplit('.').nth(1).unwrap_or(domain);
    let vendor = rule.vendor.as_deref().unwrap_or(owner);
    let key = |key: &String| key.replace(RESOURCE, resource);
    let product = rule.product_labels.iter().find_map(|label| node.pair(&key(label)));
    let replicas_label = rule.replicas_label.as_ref().map(key);
    let replicas = replicas_label.as_deref().and_then(|key| node.number(key)).unwrap_or(1);
    let mut id = match &product {
        None => vendor_slug(vendor, resource),
        // NVIDIA's own label names it as the built-in reader would, of which the id has no vendor in front.
        Some((key, name)) if **resource == *WHOLE && key.starts_with(domain) => slug(name),
        Some((_, name)) if PLAIN.contains(&&**resource) && vendor == owner => vendor_slug(vendor, name),
        // Two resources may have cards of one product, and a kind is one resource.
        Some((_, name)) => format!("{}.{}", vendor_slug(vendor, name), slug(resource)),
    };
    id.push_str(&share_mark(rule.sharing, replicas));
    let name = product.as_ref().map_or(short, |(_, name)| name.as_str());
    let reading = Reading {
        memory_mib: rule.memory.as_ref().and_then(|label| memory(&key(&label.key), label.unit, node)),
        sharing: rule.sharing,
        replicas,
        promised: promises(rule, resource, node),
        ..Reading::whole(id, vendor, name)
    };
    let replicas_pair = replicas_label.and_then(|key| node.pair(&key)).filter(|_| product.is_some());
    Reading { labels: product.into_iter().chain(replicas_pair).collect(), ..reading }.pool(resource, node)
}

fn memory(key: &str, unit: u64, node: &Offered<'_>) -> Option<u64> {
    let text = node.label(key)?;
    let bytes = match text.parse::<u64>() {
        Ok(number) => number.saturating_mul(unit),
        Err(_) => u64::try_from(text.parse::<Quantity>().ok()?.value()).ok()?,
    };
    Some(bytes / MIB).filter(|mib| *mib > 0)
}
