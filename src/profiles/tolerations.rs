//! Which taints a pod is let past: those that the nodes it may use carry, and no others.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::catalogue::Catalogue;
use crate::domain::growth::Growth;
use crate::domain::node::NodeState;
use crate::domain::selector::Toleration;

/// Tolerations for the taints that these nodes really carry, as far as the catalogue allows their keys. Those of nodes that
/// do not run yet are those of their pool's other nodes, or not known; the usual ones bear the vendor's name.
pub fn of<'a>(nodes: impl Iterator<Item = &'a Arc<NodeState>>, growth: &[&'a Growth], catalogue: &Catalogue) -> Vec<Toleration> {
    let vendors: BTreeSet<&str> = growth.iter().map(|growth| domain(&growth.pool.kind.resource)).collect();
    let usual = catalogue.tolerate.iter().map(String::as_str).filter(|key| vendors.contains(domain(key)));
    let taints: BTreeSet<(&str, &str)> = nodes
        .flat_map(|node| &node.facts.taints)
        .chain(growth.iter().flat_map(|growth| &growth.templates).flat_map(|template| &template.taints))
        .filter(|taint| tolerated(&taint.key, catalogue))
        .map(|taint| (taint.key.as_str(), taint.effect.as_str()))
        .chain(usual.map(|key| (key, "NoSchedule")))
        .collect();
    let toleration = |(key, effect): (&str, &str)| Toleration {
        key: Some(key.to_owned()),
        operator: Some("Exists".to_owned()),
        effect: Some(effect.to_owned()),
        ..Toleration::default()
    };
    taints.into_iter().map(toleration).collect()
}

/// `nvidia.com` of `nvidia.com/mig-1g.5gb`, of whose nodes the taint is usually `nvidia.com/gpu`.
fn domain(name: &str) -> &str {
    name.split('/').next().unwrap_or_default()
}

fn tolerated(key: &str, catalogue: &Catalogue) -> bool {
    catalogue.tolerate.iter().any(|known| known == key)
}
