//! Amounts of what a node has and a pod asks for.
//!
//! CPU, memory and pod slots have fields of their own because every pod uses them; everything else (GPUs above all) is
//! kept by resource name. All amounts are whole units, so sums are exact.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::quantity::Quantity;

/// Amounts by resource. Sums saturate and differences stop at zero: a count is never negative.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Millicores.
    pub cpu: u64,
    /// Bytes.
    pub memory: u64,
    /// Pod slots.
    pub pods: u64,
    /// Every other resource in whole units, by its full name such as `nvidia.com/gpu`.
    pub other: BTreeMap<Arc<str>, u64>,
}

impl Resources {
    /// Sets one resource from a Kubernetes quantity. A negative amount counts as zero.
    pub fn set(&mut self, name: &str, quantity: Quantity) {
        match name {
            "cpu" => self.cpu = amount(quantity.millis()),
            "memory" => self.memory = amount(quantity.value()),
            "pods" => self.pods = amount(quantity.value()),
            _ => {
                let count = amount(quantity.value());
                if count > 0 {
                    self.other.insert(name.into(), count);
                }
            }
        }
    }

    /// The amount of a resource that has no field of its own; 0 when it is absent.
    pub fn other(&self, name: &str) -> u64 {
        self.other.get(name).copied().unwrap_or(0)
    }

    pub fn add(&mut self, more: &Resources) {
        self.cpu = self.cpu.saturating_add(more.cpu);
        self.memory = self.memory.saturating_add(more.memory);
        self.pods = self.pods.saturating_add(more.pods);
        for (name, count) in &more.other {
            let sum = self.other.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*count);
        }
    }

    /// Whether some sum was too large to hold, so that nothing can be taken away from it again.
    pub fn is_saturated(&self) -> bool {
        [self.cpu, self.memory, self.pods].contains(&u64::MAX) || self.other.values().any(|count| *count == u64::MAX)
    }

    pub fn subtract(&mut self, less: &Resources) {
        self.cpu = self.cpu.saturating_sub(less.cpu);
        self.memory = self.memory.saturating_sub(less.memory);
        self.pods = self.pods.saturating_sub(less.pods);
        for (name, count) in &less.other {
            if let Some(left) = self.other.get_mut(name) {
                *left = left.saturating_sub(*count);
            }
        }
        self.other.retain(|_, count| *count > 0);
    }

    /// The larger amount of each resource.
    pub fn raise_to(&mut self, floor: &Resources) {
        self.cpu = self.cpu.max(floor.cpu);
        self.memory = self.memory.max(floor.memory);
        self.pods = self.pods.max(floor.pods);
        for (name, count) in &floor.other {
            let largest = self.other.entry(name.clone()).or_default();
            *largest = (*largest).max(*count);
        }
    }
}

fn amount(value: i128) -> u64 {
    u64::try_from(value.max(0)).unwrap_or(u64::MAX)
}

/// What one container asks for, and whether it is a sidecar: an init container with `restartPolicy: Always`.
#[derive(Clone, Debug, Default)]
pub struct InitRequest {
    pub requests: Resources,
    pub sidecar: bool,
}

/// What the scheduler reserves for a pod: the larger of what runs for good (containers and sidecars) and the highest
/// step of the init phase (an init container beside the sidecars started before it), plus the overhead.
///
/// Source: `component-helpers/resource/helpers.go`, `PodRequests`.
pub fn pod_requests(init: &[InitRequest], containers: &[Resources], overhead: &Resources) -> Resources {
    let mut sidecars = Resources::default();
    let mut peak = Resources::default();
    for step in init {
        let mut during = sidecars.clone();
        during.add(&step.requests);
        if step.sidecar {
            sidecars = during.clone();
        }
        peak.raise_to(&during);
    }
    let mut total = sidecars;
    for container in containers {
        total.add(container);
    }
    total.raise_to(&peak);
    total.add(overhead);
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpus(count: u64) -> Resources {
        Resources { other: BTreeMap::from([("nvidia.com/gpu".into(), count)]), ..Resources::default() }
    }

    fn plain(count: u64) -> InitRequest {
        InitRequest { requests: gpus(count), sidecar: false }
    }

    fn sidecar(count: u64) -> InitRequest {
        InitRequest { requests: gpus(count), sidecar: true }
    }

    fn total(init: &[InitRequest], containers: &[Resources]) -> u64 {
        pod_requests(init, containers, &Resources::default()).other("nvidia.com/gpu")
    }

    #[test]
    fn an_init_container_larger_than_the_containers_decides() {
        assert_eq!(total(&[plain(3)], &[gpus(1)]), 3);
    }

    #[test]
    fn a_sidecar_started_before_an_init_container_counts_beside_it() {
        assert_eq!(total(&[sidecar(1), plain(2)], &[gpus(1)]), 3);
    }

    #[test]
    fn a_sidecar_started_after_an_init_container_does_not_count_beside_it() {
        assert_eq!(total(&[plain(2), sidecar(1)], &[gpus(1)]), 2);
    }

    #[test]
    fn containers_add_up_with_sidecars_and_overhead() {
        let sum = pod_requests(&[sidecar(1)], &[gpus(1), gpus(2)], &gpus(1));
        assert_eq!(sum.other("nvidia.com/gpu"), 5);
    }

    #[test]
    fn subtracting_stops_at_zero_and_forgets_empty_resources() {
        let mut have = gpus(1);
        have.subtract(&gpus(2));
        assert_eq!(have, Resources::default());
    }
}
