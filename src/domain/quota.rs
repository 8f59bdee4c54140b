//! Quotas of the hub's namespace. The apiserver refuses a pod beyond one when it is made, so there is nothing to wait for:
//! whoever asks is told before.
//!
//! Source: <https://kubernetes.io/docs/concepts/policy/resource-quotas/>; for extended resources only the prefix
//! `requests.` exists.

use std::collections::BTreeMap;
use std::fmt;

use super::quantity::Quantity;
use super::resources::Resources;

/// A quota without scopes: it counts every pod of the namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    pub name: String,
    pub hard: BTreeMap<String, Quantity>,
    pub used: BTreeMap<String, Quantity>,
}

/// What a quota leaves is less than what a pod asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excess {
    pub quota: String,
    /// As the quota names it, such as `requests.nvidia.com/gpu`.
    pub resource: String,
    pub hard: Quantity,
    pub used: Quantity,
    /// More than the whole quota: no pod that ends makes room for it.
    pub for_ever: bool,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { quota, resource, hard, used, .. } = self;
        write!(f, "the quota {quota} allows {hard} of {resource} in the hub's namespace, and {used} are in use")
    }
}

impl Quota {
    /// Counts a pod that is promised and not made yet, as the apiserver will.
    pub fn promise(&mut self, requests: &Resources) {
        for resource in self.hard.keys() {
            if let Some(asked) = asked(resource, requests) {
                let used = self.used.entry(resource.clone()).or_default();
                *used = used.plus_millis(asked);
            }
        }
    }

    /// What of a pod's requests is more than the quota leaves.
    pub fn excess(&self, requests: &Resources) -> Option<Excess> {
        let excesses = self.hard.iter().filter_map(|(resource, hard)| {
            let needed = asked(resource, requests)?;
            let used = self.used.get(resource).copied().unwrap_or(Quantity::ZERO);
            let thousandths = |quantity: Quantity| quantity.millis();
            let (most, taken) = (thousandths(*hard), thousandths(used));
            (needed > 0 && taken.saturating_add(needed) > most).then(|| Excess {
                quota: self.name.clone(),
                resource: resource.clone(),
                hard: *hard,
                used,
                for_ever: needed > most,
            })
        });
        worst(excesses)
    }
}

/// The first that is for ever, or the first: there is no waiting for one quota while another never lets the pod in.
pub fn worst(excesses: impl Iterator<Item = Excess>) -> Option<Excess> {
    excesses.min_by_key(|excess| !excess.for_ever)
}

/// What a pod asks for of what a quota counts, in thousandths of a unit; `None` if the quota counts something else.
fn asked(resource: &str, requests: &Resources) -> Option<i128> {
    let whole = |units: u64| i128::from(units).saturating_mul(1000);
    match resource {
        "cpu" | "requests.cpu" => Some(i128::from(requests.cpu)),
        "memory" | "requests.memory" => Some(whole(requests.memory)),
        "pods" | "count/pods" => Some(whole(requests.pods)),
        "ephemeral-storage" => Some(whole(requests.other(resource))),
        _ => Some(whole(requests.other(resource.strip_prefix("requests.")?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(hard: &[(&str, &str)], used: &[(&str, &str)]) -> Quota {
        let amounts = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, text)| ((*name).to_owned(), text.parse().expect("a quantity"))).collect()
        };
        Quota { name: "team".into(), hard: amounts(hard), used: amounts(used) }
    }

    fn pod(gpus: u64) -> Resources {
        let other = BTreeMap::from([("nvidia.com/gpu".into(), gpus), ("ephemeral-storage".into(), 2 << 30)]);
        Resources { cpu: 1500, memory: 1 << 30, pods: 1, other }
    }

    #[test]
    fn a_pod_beyond_a_quota_is_named() {
        let gpus = quota(&[("requests.nvidia.com/gpu", "4")], &[("requests.nvidia.com/gpu", "3")]);
        assert_eq!(gpus.excess(&pod(1)), None);
        let excess = gpus.excess(&pod(2)).expect("an excess");
        assert!(!excess.for_ever);
        assert_eq!(
            excess.to_string(),
            "the quota team allows 4 of requests.nvidia.com/gpu in the hub's namespace, and 3 are in use"
        );
        assert!(gpus.excess(&pod(5)).is_some_and(|excess| excess.for_ever));
    }

    #[test]
    fn what_is_for_ever_is_told_before_what_may_pass() {
        let both = quota(&[("cpu", "2"), ("requests.nvidia.com/gpu", "1")], &[("cpu", "2")]);
        assert!(both.excess(&pod(2)).is_some_and(|excess| excess.for_ever && excess.resource == "requests.nvidia.com/gpu"));
        assert!(both.excess(&pod(1)).is_some_and(|excess| !excess.for_ever && excess.resource == "cpu"));
    }

    #[test]
    fn a_promised_pod_is_in_use() {
        let mut quota = quota(&[("requests.nvidia.com/gpu", "2"), ("cpu", "4"), ("limits.cpu", "1")], &[("cpu", "500m")]);
        quota.promise(&pod(1));
        assert_eq!(quota.used.get("cpu").map(ToString::to_string).as_deref(), Some("2"));
        assert_eq!(quota.used.get("limits.cpu"), None, "not for Berth to count");
        assert_eq!(quota.excess(&pod(1)), None);
        assert!(quota.excess(&pod(2)).is_some_and(|excess| excess.used == Quantity::from_value(1)));
    }

    #[test]
    fn cpu_memory_disk_and_pods_count_by_either_name() {
        for (resource, hard, fits) in [
            ("cpu", "1500m", true),
            ("requests.cpu", "1", false),
            ("memory", "1Gi", true),
            ("requests.memory", "1Mi", false),
            ("pods", "1", true),
            ("count/pods", "0", false),
            ("ephemeral-storage", "1Gi", false),
            ("requests.ephemeral-storage", "2Gi", true),
            ("limits.cpu", "0", true),
            ("requests.amd.com/gpu", "0", true),
        ] {
            assert_eq!(quota(&[(resource, hard)], &[]).excess(&pod(1)).is_none(), fits, "{resource}");
        }
    }
}
