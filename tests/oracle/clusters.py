"""Owns the random clusters: what a seed and a number of nodes come to, as plain JSON objects and nothing else.

A cluster is made of a few pools, as real ones are: the nodes of one have the same hardware, labels and taints. Then
each node has its own luck, and some are left with just what one of the profiles asks for. The same seed gives the same
cluster for as long as GENERATOR stays the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import choices
import claims
import hardware
from hardware import Hardware
from kube import Json
from loads import Room, draw_loads, draw_waiting
from nodes import CONTROL_PLANE

GENERATOR = 3
FINALIZER = "oracle.example.org/hold"
RECONFIGURING = ("pending", "rebooting", "failed")

SIZES = (  # cores, memory, pod slots
    ("4", "8Gi", "110"), ("8", "32Gi", "110"), ("16", "65536Mi", "110"), ("32", "128Gi", "58"), ("64", "512Gi", "250"),
    ("3920m", "15842312Ki", "110"), ("2", "3Gi", "4"), ("8", "30G", "8"),
)  # fmt: skip
TAINTS: tuple[Json, ...] = (
    {"key": "hub.jupyter.org/dedicated", "value": "user", "effect": "NoSchedule"},
    {"key": "hub.jupyter.org/dedicated", "value": "core", "effect": "NoSchedule"},
    {"key": "hub.jupyter.org_dedicated", "value": "user", "effect": "NoSchedule"},
    {"key": "team", "value": "vision", "effect": "NoSchedule"},
    {"key": "team", "value": "vision", "effect": "NoExecute"},
    {"key": "team", "value": "speech", "effect": "NoSchedule"},
    {"key": "team", "effect": "NoSchedule"},
    {"key": "spot", "value": "true", "effect": "PreferNoSchedule"},
    {"key": "maintenance", "effect": "NoExecute"},
)
PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")


@dataclass
class Cluster:
    """Objects to make. A node with our finalizer is to be deleted once it exists, and stays."""

    seed: int
    nodes: list[Json] = field(default_factory=list)
    pods: list[Json] = field(default_factory=list)
    claims: list[Json] = field(default_factory=list)
    volumes: list[Json] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [node["metadata"]["name"] for node in self.nodes]


def make(seed: int, size: int | None = None) -> Cluster:
    """`size`: the number of nodes; None draws it, from 8 to 30."""
    random = Random(f"cluster {seed}")  # noqa: S311
    size = size or random.randint(8, 30)
    storage = claims.draw(seed)
    cluster = Cluster(seed, claims=list(storage.claims), volumes=list(storage.volumes))
    pools = [_Pool(random) for _ in range(random.randint(3, 7))]
    edges = choices.amounts(choices.draw_catalogue(seed))
    for number in range(size):
        name = f"s{seed}-n{number}"
        node = random.choice(pools).node(name, random)
        cluster.nodes.append(node)
        cluster.pods += draw_loads(name, Room.of(node), edges, random)
    cluster.pods += draw_waiting(f"s{seed}", random)
    return cluster


class _Pool:
    """What the nodes of a pool have in common."""

    def __init__(self, random: Random) -> None:
        self.hardware = hardware.draw(random)
        self.size = random.choice(SIZES)
        self.labels = {"topology.kubernetes.io/zone": random.choice("abc")} if random.random() < 0.9 else {}
        if random.random() < 0.6:
            self.labels["site/pool"] = random.choice(("general", "research", "batch"))
        if random.random() < 0.6:
            self.labels["site/size"] = random.choice(("2", "4", "8", "64", "003", "large", "08", ""))
        if random.random() < 0.3:
            self.labels["hub.jupyter.org/node-purpose"] = random.choice(("user", "core"))
        if random.random() < 0.25:
            self.labels["site/code"] = "yes"
        self.taints: list[Json] = []
        if self.hardware.taint_key and random.random() < 0.4:
            effect = random.choice(("NoSchedule", "NoSchedule", "NoExecute", "PreferNoSchedule"))
            self.taints.append({"key": self.hardware.taint_key, "value": "present", "effect": effect})
        if random.random() < 0.35:
            self.taints.append(random.choice(TAINTS))
        if not self.hardware.units and random.random() < 0.15:
            self.labels[CONTROL_PLANE] = ""
            self.taints.append({"key": CONTROL_PLANE, "effect": "NoSchedule"})
        self.platform = ("linux", "amd64")
        if random.random() < 0.08:
            self.platform = random.choice((("linux", "arm64"), ("windows", "amd64")))

    def node(self, name: str, random: Random) -> Json:
        return _node(name, self, random)


def _node(name: str, pool: _Pool, random: Random) -> Json:
    cpu, memory, slots = pool.size
    room = {"cpu": cpu, "memory": memory, "pods": slots, "ephemeral-storage": random.choice(("100Gi", "2Gi"))}
    if random.random() < 0.3:
        room["smarter-devices/fuse"] = random.choice(("0", "1", "20"))
    lost = _ill_cards(pool.hardware, random)
    os, arch = pool.platform
    hostname = name if random.random() < 0.9 else f"host-of-{name}"
    labels = {
        **pool.hardware.labels, **pool.labels, "kubernetes.io/hostname": hostname,
        "kubernetes.io/os": os, "kubernetes.io/arch": arch,
    }  # fmt: skip
    spec: Json = {"taints": list(pool.taints)}
    if random.random() < 0.08:
        spec["unschedulable"] = True
    if random.random() < 0.05:
        spec["taints"].append(random.choice(TAINTS))
    if "nvidia.com/gpu.product" in labels and random.random() < 0.04:
        labels["nvidia.com/mig.config.state"] = random.choice(RECONFIGURING)
    metadata: Json = {"name": name, "labels": labels}
    if random.random() < 0.03:
        metadata["finalizers"] = [FINALIZER]
    units = pool.hardware.units
    return {
        "apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": _without_twins(spec),
        "status": {
            "capacity": room | {name: str(count) for name, count in units.items()},
            "allocatable": room | {name: str(max(0, count - lost.get(name, 0))) for name, count in units.items()},
            "conditions": _conditions(random),
        },
    }  # fmt: skip


def _without_twins(spec: Json) -> Json:
    """The apiserver takes a key and effect once only."""
    spec["taints"] = list({(taint["key"], taint["effect"]): taint for taint in spec["taints"]}.values())
    return spec


def _ill_cards(made_of: Hardware, random: Random) -> dict[str, int]:
    luck = random.random()
    if luck < 0.85:
        return {}
    if luck < 0.88:  # the plugin is restarting
        return dict(made_of.units)
    return dict(made_of.per_card)


def _conditions(random: Random) -> list[Json]:
    ready = random.choices(("True", "False", "Unknown"), (92, 4, 4))[0]
    conditions = [{"type": "Ready", "status": ready}]
    if random.random() < 0.05:
        conditions.append({"type": random.choice(PRESSURES), "status": "True"})
    return [{**condition, "reason": "Drawn", "message": "drawn by lot"} for condition in conditions]


def system_taints(node: Json) -> set[str]:
    """The keys of the NoSchedule taints that the controller-manager makes of a node's state."""
    keys = {
        "MemoryPressure": "memory-pressure", "DiskPressure": "disk-pressure", "PIDPressure": "pid-pressure",
        "NetworkUnavailable": "network-unavailable",
    }  # fmt: skip
    status = {each["type"]: each["status"] for each in node["status"]["conditions"]}
    found = {keys[kind] for kind, value in status.items() if kind in keys and value == "True"}
    found |= {"False": {"not-ready"}, "Unknown": {"unreachable"}}.get(status["Ready"], set())
    if node["spec"].get("unschedulable"):
        found.add("unschedulable")
    return {f"node.kubernetes.io/{name}" for name in found}


def is_leaving(node: Json) -> bool:
    return bool(node["metadata"].get("finalizers"))


def is_reconfiguring(node: Json) -> bool:
    return node["metadata"]["labels"].get("nvidia.com/mig.config.state") in RECONFIGURING


def is_invalid(node: Json) -> bool:
    """Its MIG layout: what it advertises is never offered."""
    return str(node["metadata"]["labels"].get("nvidia.com/gpu.product", "")).endswith("-MIG-INVALID")


def is_foreign(node: Json) -> bool:
    labels = node["metadata"]["labels"]
    return (labels["kubernetes.io/os"], labels["kubernetes.io/arch"]) != ("linux", "amd64")


def devices(node: Json) -> dict[str, int]:
    """What a node has beside cores, memory, disk and pod slots."""
    plain = ("cpu", "memory", "pods", "ephemeral-storage")
    return {name: int(count) for name, count in node["status"]["allocatable"].items() if name not in plain}


def by_name(nodes: Sequence[Json]) -> dict[str, Json]:
    return {node["metadata"]["name"]: node for node in nodes}
