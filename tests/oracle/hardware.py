"""Owns what a node can be made of: the labels and resources that a kubelet, the vendors' device plugins and their
label writers give it, by kind of hardware.

Sources: NVIDIA/k8s-device-plugin (`internal/lm`, `api/config/v1`), ROCm/k8s-device-plugin (`cmd/k8s-node-labeller`),
intel-device-plugins-for-kubernetes (`cmd/gpu_plugin`), the Gaudi device plugin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import nodes
from nodes import GPU, Gpu, NodeSpec

MODELS = (nodes.A100_40, nodes.A100_80, nodes.H100, nodes.L4, nodes.T4)
MIG_PROFILES = {
    nodes.A100_40.product: (("1g.5gb", 7, 4864), ("3g.20gb", 2, 19968), ("1g.5gb.me", 1, 4864)),
    nodes.A100_80.product: (("1g.10gb", 7, 9728), ("2g.20gb", 3, 19968)),
    nodes.H100.product: (("1g.10gb", 7, 9984), ("3g.40gb", 2, 40448), ("1g.10gb.me", 1, 9984)),
}


@dataclass
class Hardware:
    """Labels, and units of each device resource. `cards` says how the resource is lost when one card is ill."""

    labels: dict[str, str] = field(default_factory=dict)
    units: dict[str, int] = field(default_factory=dict)
    per_card: dict[str, int] = field(default_factory=dict)
    taint_key: str | None = None


def _labels(gpu: Gpu, count: int, replicas: int = 1) -> dict[str, str]:
    return NodeSpec("any", gpu, count, replicas).gpu_labels()


def no_gpu(_random: Random) -> Hardware:
    return Hardware()


def whole(random: Random) -> Hardware:
    count = random.choice((1, 2, 4, 8))
    return Hardware(_labels(random.choice(MODELS), count), {GPU: count}, {GPU: 1}, GPU)


def time_sliced(random: Random) -> Hardware:
    count, replicas = random.choice((1, 2)), random.choice((2, 3, 4))
    labels = _labels(random.choice(MODELS), count, replicas)
    return Hardware(labels, {GPU: count * replicas}, {GPU: replicas}, GPU)


def mps(random: Random) -> Hardware:
    shared = time_sliced(random)
    shared.labels |= {f"{GPU}.sharing-strategy": "mps", "nvidia.com/mps.capable": "true"}
    return shared


def renamed(random: Random) -> Hardware:
    """Shared under `renameByDefault`: no suffix on the product, a name of its own for the resource."""
    shared = time_sliced(random)
    shared.labels[f"{GPU}.product"] = shared.labels[f"{GPU}.product"].removesuffix("-SHARED")
    name = f"{GPU}.shared"
    return Hardware(shared.labels, {name: shared.units[GPU]}, {name: shared.per_card[GPU]}, GPU)


def mig_single(random: Random) -> Hardware:
    gpu = random.choice(MODELS[:3])
    profile, slices, memory = random.choice(MIG_PROFILES[gpu.product])
    cards = random.choice((1, 2))
    labels = _labels(gpu, cards * slices) | {
        f"{GPU}.product": f"{gpu.product}-MIG-{profile}", f"{GPU}.memory": str(memory),
        "nvidia.com/mig.strategy": "single", "nvidia.com/mig.config": f"all-{profile}",
        "nvidia.com/mig.config.state": "success",
    }  # fmt: skip
    return Hardware(labels, {GPU: cards * slices}, {GPU: slices}, GPU)


def mig_mixed(random: Random) -> Hardware:
    """Some cards cut up, the others whole; the node's own product label stays that of the card."""
    gpu = random.choice(MODELS[:3])
    cards, cut = random.choice(((4, 2), (2, 2), (8, 1)))
    labels = _labels(gpu, cards) | {"nvidia.com/mig.strategy": "mixed", "nvidia.com/mig.config.state": "success"}
    units, per_card = {GPU: cards - cut}, {GPU: 1}
    for profile, slices, memory in random.sample(MIG_PROFILES[gpu.product], 2):
        name = f"nvidia.com/mig-{profile}"
        units[name], per_card[name] = slices * cut, slices
        labels |= {
            f"{name}.product": f"{gpu.product}-MIG-{profile}", f"{name}.count": str(slices * cut),
            f"{name}.memory": str(memory), f"{name}.replicas": "1", f"{name}.sharing-strategy": "none",
        }  # fmt: skip
    return Hardware(labels, units, per_card, GPU)


def mig_invalid(random: Random) -> Hardware:
    """Cards split unevenly; whole ones beside them may still be advertised, and are nobody's to have."""
    gpu = random.choice(MODELS[:3])
    labels = _labels(gpu, 0) | {
        f"{GPU}.product": f"{gpu.product}-MIG-INVALID", f"{GPU}.memory": "0", f"{GPU}.replicas": "0",
        f"{GPU}.sharing-strategy": "", "nvidia.com/mig.strategy": "single",
    }  # fmt: skip
    return Hardware(labels, {GPU: random.choice((0, 3))}, {GPU: 1}, GPU)


def two_models(random: Random) -> Hardware:
    """The labels tell of one model only; allocatable counts both."""
    first, _ = random.sample(MODELS, 2)
    return Hardware(_labels(first, 2), {GPU: 4}, {GPU: 1}, GPU)


def unlabelled(random: Random) -> Hardware:
    count = random.choice((1, 2, 4))
    return Hardware({}, {GPU: count}, {GPU: 1}, GPU)


def cloud(random: Random) -> Hardware:
    """Named by the cloud's label alone."""
    key, value = random.choice((
        ("cloud.google.com/gke-accelerator", "nvidia-tesla-t4"), ("k8s.amazonaws.com/accelerator", "nvidia-l4"),
        ("kubernetes.azure.com/accelerator", "nvidia"), ("node.kubernetes.io/instance-type", "g5.xlarge"),
    ))  # fmt: skip
    return Hardware({key: value}, {GPU: random.choice((1, 2))}, {GPU: 1}, GPU)


def gke_shared(_random: Random) -> Hardware:
    """GKE shares the card by its own plugin, of which feature discovery knows nothing."""
    labels = _labels(nodes.T4, 1) | {
        "cloud.google.com/gke-max-shared-clients-per-gpu": "4",
        "cloud.google.com/gke-gpu-sharing-strategy": "time-sharing",
    }  # fmt: skip
    return Hardware(labels, {GPU: 4}, {GPU: 4}, GPU)


def loading(random: Random) -> Hardware:
    """The labels are there, the device plugin is not."""
    labels = random.choice((_labels(random.choice(MODELS), 2), {"cloud.google.com/gke-accelerator": "nvidia-l4"}))
    return Hardware(labels, {}, {}, GPU)


def amd(random: Random) -> Hardware:
    name, vram = random.choice((("Instinct_MI300X", "192G"), ("Instinct_MI210", "64G")))
    labels = {"amd.com/gpu.product-name": name, "amd.com/gpu.vram": vram, "amd.com/gpu.family": "AI"}
    return Hardware(labels, {"amd.com/gpu": 4}, {"amd.com/gpu": 1}, "amd.com/gpu")


def amd_counters(_random: Random) -> Hardware:
    """Several models: counters in the place of a plain label."""
    labels = {"amd.com/gpu.product-name.Instinct_MI300X": "2", "amd.com/gpu.product-name.Instinct_MI210": "2"}
    return Hardware(labels, {"amd.com/gpu": 4}, {"amd.com/gpu": 1}, "amd.com/gpu")


def amd_partitions(_random: Random) -> Hardware:
    labels = {
        "amd.com/gpu.product-name": "Instinct_MI300X", "amd.com/gpu.vram": "192G",
        "amd.com/gpu.compute-memory-partition": "cpx_nps4",
    }  # fmt: skip
    return Hardware(labels, {"amd.com/cpx_nps4": 8}, {"amd.com/cpx_nps4": 8}, "amd.com/gpu")


def intel(random: Random) -> Hardware:
    driver = random.choice(("i915", "xe"))
    name, monitor = f"gpu.intel.com/{driver}", f"gpu.intel.com/{driver}_monitoring"
    product = random.choice(("Flex_170", "Max_1550"))
    labels = {"gpu.intel.com/product": product, "intel.feature.node.kubernetes.io/gpu": "true"}
    return Hardware(labels, {name: 2, monitor: 1}, {name: 1, monitor: 0}, "gpu.intel.com/i915")


def gaudi(_random: Random) -> Hardware:
    return Hardware({}, {"habana.ai/gaudi": 8}, {"habana.ai/gaudi": 1}, "habana.ai/gaudi")


def custom(_random: Random) -> Hardware:
    """A device plugin of the site's own."""
    return Hardware({"example.org/accelerator": "warp-2"}, {"example.org/gpu": 2}, {"example.org/gpu": 1})


# How often each is drawn, beside the others.
SORTS: tuple[tuple[Callable[[Random], Hardware], int], ...] = (
    (no_gpu, 8), (whole, 12), (time_sliced, 4), (mps, 2), (renamed, 2), (mig_single, 3), (mig_mixed, 2),
    (mig_invalid, 2), (gke_shared, 1), (two_models, 2), (unlabelled, 2), (cloud, 2), (loading, 1), (amd, 2),
    (amd_counters, 1), (amd_partitions, 1), (intel, 2), (gaudi, 1), (custom, 1),
)  # fmt: skip


def draw(random: Random) -> Hardware:
    sorts, weights = zip(*SORTS, strict=True)
    return random.choices(sorts, weights)[0](random)
