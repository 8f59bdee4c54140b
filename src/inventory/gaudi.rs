//! Intel Gaudi, made by Habana: whole cards only. The labels of its feature discovery vary by release, so that the
//! product's name comes from the cloud or from the resource.

use std::sync::Arc;

use super::gpus::{Offered, Reading, vendor_slug};
use crate::domain::gpu::GpuPool;

const VENDOR: &str = "habana";

pub fn knows(resource: &str) -> bool {
    ["habana.ai/gaudi", "habana.ai/goya"].contains(&resource)
}

pub fn pool(resource: &Arc<str>, node: &Offered<'_>) -> Option<GpuPool> {
    let (own, mark) = if resource.ends_with("goya") { ("Goya", ".goya") } else { ("Gaudi", "") };
    let product = node.product(VENDOR, &[]);
    let name = product.map_or(own, |(_, value)| value);
    let mark = if product.is_some() { mark } else { "" };
    let labels = product.and_then(|(key, _)| node.pair(key)).into_iter().collect();
    let id = format!("{}{mark}", vendor_slug(VENDOR, name));
    Reading { labels, ..Reading::whole(id, VENDOR, name) }.pool(resource, node)
}
