//! The catalogue's own rules for GPU resources: which one reads a resource, and what it makes of it.
//!
//! A rule says all there is to say: no vendor's habit and no cloud's label is looked at beside it.

use std::sync::Arc;

use globset::{GlobBuilder, GlobMatcher};

use super::gpus::{Offered, Reading, share_mark, slug, vendor_slug};
use crate::domain::gpu::GpuPool;
use crate::domain::gpu_rule::{GpuRule, MemoryLabel};
use crate::domain::quantity::Quantity;

const MIB: u64 = 1 << 20;
/// Resources under which the built-in kinds have plain ids: a rule that re-reads one of them keeps those.
const PLAIN: [&str; 4] = ["nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "habana.ai/gaudi"];

/// Rules, ready to match.
#[derive(Debug, Default)]
pub struct Rules {
    rules: Arc<[GpuRule]>,
    matchers: Vec<Option<GlobMatcher>>,
}

impl Rules {
    pub fn new(rules: Arc<[GpuRule]>) -> Self {
        // The catalogue let only globs in that compile.
        let compile = |rule: &GpuRule| GlobBuilder::new(&rule.resource).literal_separator(true).build().ok();
        let matchers = rules.iter().map(|rule| compile(rule).map(|glob| glob.compile_matcher())).collect();
        Self { rules, matchers }
    }

    pub fn are(&self, rules: &[GpuRule]) -> bool {
        *self.rules == *rules
    }

    /// The first rule for a resource.
    pub fn find(&self, resource: &str) -> Option<&GpuRule> {
        let matches = |matcher: &Option<GlobMatcher>| matcher.as_ref().is_some_and(|matcher| matcher.is_match(resource));
        self.rules.iter().zip(&self.matchers).find(|(_, matcher)| matches(matcher)).map(|(rule, _)| rule)
    }
}

pub fn pool(rule: &GpuRule, resource: &Arc<str>, node: &Offered<'_>) -> Option<GpuPool> {
    let (domain, short) = resource.split_once('/')?;
    let owner = domain.rsplit('.').nth(1).unwrap_or(domain);
    let vendor = rule.vendor.as_deref().unwrap_or(owner);
    let product = rule.product_labels.iter().find_map(|key| node.pair(key));
    let replicas = rule.replicas_label.as_deref().and_then(|key| node.number(key)).unwrap_or(1);
    let mut id = match &product {
        None => vendor_slug(vendor, resource),
        // The vendor's own label names it as the built-in reader would.
        Some((key, name)) if PLAIN.contains(&&**resource) && key.starts_with(domain) => slug(name),
        Some((_, name)) if PLAIN.contains(&&**resource) && vendor == owner => vendor_slug(vendor, name),
        // Two resources may have cards of one product, and a kind is one resource.
        Some((_, name)) => format!("{}.{}", vendor_slug(vendor, name), slug(resource)),
    };
    id.push_str(&share_mark(rule.sharing, replicas));
    let name = product.as_ref().map_or(short, |(_, name)| name.as_str());
    let reading = Reading {
        memory_mib: rule.memory.as_ref().and_then(|label| memory(label, node)),
        sharing: rule.sharing,
        replicas,
        ..Reading::whole(id, vendor, name)
    };
    let replicas_pair = rule.replicas_label.as_deref().and_then(|key| node.pair(key)).filter(|_| product.is_some());
    Reading { labels: product.into_iter().chain(replicas_pair).collect(), ..reading }.pool(resource, node)
}

fn memory(label: &MemoryLabel, node: &Offered<'_>) -> Option<u64> {
    let text = node.label(&label.key)?;
    let bytes = match text.parse::<u64>() {
        Ok(number) => number.saturating_mul(label.unit),
        Err(_) => u64::try_from(text.parse::<Quantity>().ok()?.value()).ok()?,
    };
    Some(bytes / MIB).filter(|mib| *mib > 0)
}
