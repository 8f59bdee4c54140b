//! Intel Gaudi, made by Habana: whole cards only. The labels of its feature discovery vary by release, so that the
//! product's name comes from the cloud or from the resource.

use std::sync::Arc;

use super::gpus::{Offered, Reading, vendor_slug};
use crate::domain::gpu::GpuPool;

const VENDOR: &str = "habana";
const GAUDI: &str = "habana.ai/gaudi";

pub fn knows(resource: &str) -> bool {
    [GAUDI, "habana.ai/goya"].contains(&resource)
}

/// The cards that the cloud's labels speak of while the node offers none.
pub fn promised(node: &Offered<'_>) -> Option<Arc<str>> {
    (node.cloud_names(VENDOR) && !node.advertises(knows)).then(|| GAUDI.into())
}

pub fn pool(resource: &Arc<str>, node: &Offered<'_>) -> Option<GpuPool> {
    let (own, mark) = if resource.ends_with("goya") { ("Goya", ".goya") } else { ("Gaudi", "") };
    let product = node.product(VENDOR, &[]);
    let name = product.map_or(own, |(_, value)| value);
    let mark = if product.is_some() { mark } else { "" };
    let labels = product.and_then(|(key, _)| node.pair(key)).into_iter().collect();
    let id = format!("{}{mark}", vendor_slug(VENDOR, name));
    let promised = **resource == *GAUDI && node.cloud_names(VENDOR);
    Reading { labels, promised, ..Reading::whole(id, VENDOR, name) }.pool(resource, node)
}
