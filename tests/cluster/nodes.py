"""Owns the simulated nodes: what they look like (as a kubelet and NVIDIA's GPU Feature Discovery would write them)
and what befalls them.

KWOK keeps every node Ready that bears its annotation, so a node that shall be not Ready is taken away from KWOK
first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kube import Json, Kube

KWOK = "kwok.x-k8s.io/node"
GPU = "nvidia.com/gpu"
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


@dataclass(frozen=True)
class Gpu:
    """One model of card, by the words of GPU Feature Discovery."""

    product: str
    memory_mib: int
    family: str
    compute: tuple[int, int]
    kind: str  # the id that Berth gives it when it isn't shared


A100_80 = Gpu("NVIDIA-A100-SXM4-80GB", 81920, "ampere", (8, 0), "nvidia-a100-sxm4-80gb")
A100_40 = Gpu("NVIDIA-A100-SXM4-40GB", 40960, "ampere", (8, 0), "nvidia-a100-sxm4-40gb")
H100 = Gpu("NVIDIA-H100-80GB-HBM3", 81559, "hopper", (9, 0), "nvidia-h100-80gb-hbm3")
L4 = Gpu("NVIDIA-L4", 23034, "ada-lovelace", (8, 9), "nvidia-l4")
T4 = Gpu("Tesla-T4", 15360, "turing", (7, 5), "tesla-t4")


@dataclass(frozen=True)
class NodeSpec:
    """A node to be made. `replicas` above 1: each card is shared in time."""

    name: str
    gpu: Gpu | None = None
    count: int = 0
    replicas: int = 1
    cpu: str = "64"
    memory: str = "512Gi"
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Json, ...] = ()
    unhealthy: int = 0

    def gpu_labels(self) -> dict[str, str]:
        gpu = self.gpu
        if gpu is None:
            return {}
        shared = self.replicas > 1
        return {
            f"{GPU}.product": gpu.product + ("-SHARED" if shared else ""),
            f"{GPU}.memory": str(gpu.memory_mib),
            f"{GPU}.count": str(self.count),
            f"{GPU}.replicas": str(self.replicas),
            f"{GPU}.sharing-strategy": "time-slicing" if shared else "none",
            f"{GPU}.family": gpu.family,
            f"{GPU}.compute.major": str(gpu.compute[0]),
            f"{GPU}.compute.minor": str(gpu.compute[1]),
            f"{GPU}.mode": "compute",
            f"{GPU}.present": "true",
            "nvidia.com/mig.capable": str(gpu.family in ("ampere", "hopper")).lower(),
            "nvidia.com/cuda.driver-version.full": "570.86.15",
            "nvidia.com/cuda.runtime-version.full": "12.8",
        }

    def manifest(self) -> Json:
        labels = {
            "kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
            "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64",
        }  # fmt: skip
        room = {"cpu": self.cpu, "memory": self.memory, "pods": "110", "ephemeral-storage": "500Gi"}
        capacity, allocatable = dict(room), dict(room)
        if self.gpu is not None:
            capacity[GPU] = str(self.count * self.replicas)
            allocatable[GPU] = str((self.count - self.unhealthy) * self.replicas)
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": self.name,
                "labels": {**labels, **self.gpu_labels(), **self.labels},
                "annotations": {KWOK: "fake"},
            },
            "spec": {"taints": list(self.taints)} if self.taints else {},
            "status": {"capacity": capacity, "allocatable": allocatable},
        }


def control_plane_node(name: str) -> NodeSpec:
    """As kubeadm leaves it, tainted."""
    taint = {"key": CONTROL_PLANE, "effect": "NoSchedule"}
    return NodeSpec(name, cpu="16", memory="64Gi", labels={CONTROL_PLANE: ""}, taints=(taint,))


def is_ready(node: Json) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def is_schedulable(node: Json) -> bool:
    """Ready, and without the taints that the controller-manager puts on a node until it has seen it Ready."""
    taints = {taint["key"] for taint in node["spec"].get("taints", [])}
    passing = {key for key in taints if key.startswith("node.kubernetes.io/")}
    return is_ready(node) and not passing and not node["spec"].get("unschedulable")


def create(kube: Kube, *specs: NodeSpec) -> None:
    """Make the nodes and wait until pods can be put on each."""
    for spec in specs:
        kube.create(spec.manifest())
    for spec in specs:
        wait_schedulable(kube, spec.name)


def wait_schedulable(kube: Kube, name: str) -> None:
    kube.wait_until("Node", name, is_schedulable, "can take pods")


def cordon(kube: Kube, name: str) -> None:
    kube.patch("Node", name, {"spec": {"unschedulable": True}})


def uncordon(kube: Kube, name: str) -> None:
    kube.patch("Node", name, {"spec": {"unschedulable": None}})
    wait_schedulable(kube, name)


def pods_on(kube: Kube, name: str) -> list[Json]:
    return kube.list_of("Pod", fieldSelector=f"spec.nodeName={name}")


def drain(kube: Kube, name: str) -> None:
    """Cordon it and evict its pods, as kubectl drain does; done when none is left."""
    cordon(kube, name)
    for pod in pods_on(kube, name):
        meta = pod["metadata"]
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": meta["name"]}}
        kube.call("POST", f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/eviction", eviction)
        kube.wait_gone("Pod", meta["name"], meta["namespace"])


def make_not_ready(kube: Kube, name: str) -> None:
    """As if its kubelet had gone: nobody answers for the node any more."""
    kube.patch("Node", name, {"metadata": {"annotations": {KWOK: None}}})
    condition = {
        "type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown",
        "message": "Kubelet stopped posting node status.",
    }  # fmt: skip
    kube.patch("Node", name, {"status": {"conditions": [condition]}}, sub="/status")
    kube.wait_until("Node", name, lambda node: not is_ready(node), "is not Ready")


def make_ready(kube: Kube, name: str) -> None:
    """Give it back to KWOK, which makes it Ready again."""
    kube.patch("Node", name, {"metadata": {"annotations": {KWOK: "fake"}}})
    wait_schedulable(kube, name)


def delete(kube: Kube, name: str) -> None:
    """Remove the node, and its pods, which have nobody left to end them."""
    kube.delete("Node", name)
    kube.wait_gone("Node", name)
    for pod in pods_on(kube, name):
        kube.delete("Pod", pod["metadata"]["name"], pod["metadata"]["namespace"], grace=0)
