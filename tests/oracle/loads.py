"""Owns the work that is on the nodes already: pods of every shape that the scheduler counts in a way of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from kube import Json

IMAGE = "registry.example.org/team/work:1"
RUNTIME = "sandboxed"  # a RuntimeClass with an overhead; see OVERHEAD
OVERHEAD = {"cpu": "250m", "memory": "160Mi"}
TERMINATING = "oracle/terminating"  # an annotation: delete it once it exists; nobody ends it then
SPACES = ("jupyterhub", "team-a", "team-b")
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "G": 10**9}


def number(quantity: str) -> float:
    """A quantity of those that the oracle draws."""
    if quantity.endswith("m"):
        return float(quantity[:-1]) / 1000
    unit = next((unit for unit in _UNITS if quantity.endswith(unit)), "")
    return float(quantity.removesuffix(unit)) * _UNITS.get(unit, 1)


@dataclass
class Room:
    """What a node can take: cores, bytes and devices."""

    cores: float
    memory: float
    slots: int
    devices: dict[str, int]

    @staticmethod
    def of(node: Json) -> Room:
        room = node["status"]["allocatable"]
        plain = {"cpu", "memory", "pods", "ephemeral-storage"}
        devices = {name: int(count) for name, count in room.items() if name not in plain}
        return Room(number(room["cpu"]), number(room["memory"]), int(room["pods"]), devices)


@dataclass(frozen=True)
class Need:
    """What one pod is meant to take."""

    cores: float
    memory: float
    devices: dict[str, int]

    def amounts(self, share: float = 1.0, *, devices: bool = True) -> dict[str, str]:
        """As quantities; a pod may well ask for none."""
        plain = {"cpu": f"{round(self.cores * share * 1000)}m", "memory": str(round(self.memory * share))}
        return plain | ({name: str(count) for name, count in self.devices.items()} if devices else {})


def _container(name: str, **resources: dict[str, str]) -> Json:
    return {"name": name, "image": IMAGE, "resources": resources}


def _devices(need: Need) -> dict[str, str]:
    return {name: str(count) for name, count in need.devices.items()}


def requests(need: Need, _random: Random) -> Json:
    return {"containers": [_container("work", requests=need.amounts(), limits=_devices(need))]}


def limits_only(need: Need, _random: Random) -> Json:
    return {"containers": [_container("work", limits=need.amounts())]}


def two_containers(need: Need, _random: Random) -> Json:
    half = need.amounts(0.5, devices=False)
    return {"containers": [
        _container("work", requests=half, limits=_devices(need)), _container("helper", requests=half),
    ]}  # fmt: skip


def large_init(need: Need, _random: Random) -> Json:
    """The first step asks for all, devices too; what goes on asks for little."""
    return {
        "initContainers": [_container("prepare", requests=need.amounts(), limits=_devices(need))],
        "containers": [_container("work", requests=need.amounts(0.1, devices=False))],
    }


def sidecar(need: Need, random: Random) -> Json:
    """A sidecar before or after a plain first step: it always runs on, and the order counts for the step."""
    step, work = random.choice(((0.1, 0.6), (0.6, 0.6), (0.6, 0.3)))
    init = [
        {**_container("proxy", requests=need.amounts(0.4, devices=False)), "restartPolicy": "Always"},
        _container("prepare", requests=need.amounts(step, devices=False)),
    ]
    random.shuffle(init)
    return {
        "initContainers": init,
        "containers": [_container("work", requests=need.amounts(work, devices=False), limits=_devices(need))],
    }


def pod_level(need: Need, _random: Random) -> Json:
    """The pod's own amounts stand before those of its containers."""
    return {
        "resources": {"requests": need.amounts(devices=False)},
        "containers": [_container("work", requests={"cpu": "1m"}, limits=_devices(need)), _container("helper")],
    }


def pod_level_part(need: Need, _random: Random) -> Json:
    """The pod speaks of its cores only."""
    cores = {"cpu": need.amounts()["cpu"]}
    memory = {"memory": need.amounts()["memory"]}
    return {
        "resources": {"requests": cores},
        "containers": [_container("work", requests=memory, limits=_devices(need))],
    }


def pod_level_limits(need: Need, _random: Random) -> Json:
    return {
        "resources": {"limits": need.amounts(devices=False)},
        "containers": [_container("work", limits=_devices(need)), _container("helper")],
    }


def with_overhead(need: Need, _random: Random) -> Json:
    return {**requests(need, _random), "runtimeClassName": RUNTIME}


def odd_amounts(need: Need, random: Random) -> Json:
    """Quantities as people write them."""
    cpu = random.choice(("0.1", "1e-1", "1500u", "0.0005", "1.5", "2e0"))
    memory = random.choice(("1e9", "0.5Gi", "123456789", "129M", "1500m", "1.5Gi", "64Ki"))
    asked = {"cpu": cpu, "memory": memory, "ephemeral-storage": random.choice(("1Gi", "1G", "1500Mi"))}
    return {"containers": [_container("work", requests=asked, limits=_devices(need))]}


def greedless(need: Need, _random: Random) -> Json:
    return {"containers": [_container("work", limits=_devices(need))]}


SHAPES: tuple[Callable[[Need, Random], Json], ...] = (
    requests, requests, limits_only, two_containers, large_init, sidecar, pod_level, pod_level_part,
    pod_level_limits, with_overhead,
    odd_amounts, greedless,
)  # fmt: skip
# What has become of a pod, and how often.
FATES = {"Running": 70, "Pending": 8, "Terminating": 8, "Succeeded": 7, "Failed": 7}


def draw_loads(node: str, room: Room, edges: list[tuple[float, float]], random: Random) -> list[Json]:
    """Nothing, some, as much as fits, more than that, or just so much that one of the edges is left."""
    if random.random() < 0.3:
        return [_to_the_edge(node, room, random.choice(edges), random)]
    if room.slots < 10 and random.random() < 0.5:
        slots = range(room.slots - random.choice((0, 0, 1)))
        return [_bound(f"{node}-p{slot}", node, greedless(Need(0, 0, {}), random), "Running", random) for slot in slots]
    fill = random.choice((0.0, 0.0, 0.3, 0.6, 0.9, 1.0, 1.05))
    count = min(random.randint(1, 4), room.slots + 1)
    if not fill:
        return []
    pods = []
    left = dict(room.devices)
    for number in range(count):
        part = fill / count * random.uniform(0.6, 1.2)
        taken = {}
        for name, units in left.items():
            most = min(units, 8)
            # What is left of a device plugin that restarts is used all the same.
            wanted = random.randint(0, most) if most else random.choice((0, 0, 0, 1))
            if wanted and random.random() < 0.6:
                taken[name] = wanted
                left[name] = max(0, units - wanted)
        need = Need(room.cores * part, room.memory * part * random.uniform(0.5, 1.0), taken)
        fate = random.choices(list(FATES), list(FATES.values()))[0]
        if fate in ("Succeeded", "Failed"):
            left = {name: left[name] + taken.get(name, 0) for name in left}
        pods.append(_bound(f"{node}-p{number}", node, random.choice(SHAPES)(need, random), fate, random))
    return pods


def _to_the_edge(node: str, room: Room, edge: tuple[float, float], random: Random) -> Json:
    """One pod that leaves these cores or these bytes, or a thousandth of a core or a byte more or less."""
    cores, memory = edge
    off = random.choice((-1, 0, 0, 1))
    need = Need(0.2, 2.0**20, {})
    if random.random() < 0.5 and room.cores > cores:
        need = Need(room.cores - cores + off / 1000, need.memory, {})
    elif room.memory > memory:
        need = Need(need.cores, room.memory - memory + off, {})
    exact = (requests, limits_only, large_init, sidecar, pod_level, pod_level_part, pod_level_limits)
    return _bound(f"{node}-p0", node, random.choice(exact)(need, random), "Running", random)


def _bound(name: str, node: str, spec: Json, fate: str, random: Random) -> Json:
    pod = _pod(name, spec, random)
    pod["spec"]["nodeName"] = node
    # It stays there whatever taint the node has.
    pod["spec"]["tolerations"] = [{"operator": "Exists"}]
    pod["status"] = {"phase": {"Terminating": "Running"}.get(fate, fate)}
    if fate == "Terminating":
        pod["metadata"]["annotations"] = {TERMINATING: "yes"}
    return pod


def _pod(name: str, spec: Json, random: Random) -> Json:
    whole: dict[str, Any] = {"terminationGracePeriodSeconds": 3600, "automountServiceAccountToken": False, **spec}
    metadata = {"name": name, "namespace": random.choice(SPACES)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": whole}


def draw_waiting(prefix: str, random: Random) -> list[Json]:
    """Pods without a node, and without hope of one: they must not get in the way of the questions."""
    pods = []
    for number in range(random.randint(0, 3)):
        need = Need(1.0, 2.0**30, {"nvidia.com/gpu": random.randint(1, 8)} if random.random() < 0.7 else {})
        pod = _pod(f"{prefix}-w{number}", random.choice(SHAPES)(need, random), random)
        if random.random() < 0.5:
            pod["spec"]["schedulingGates"] = [{"name": "oracle.example.org/never"}]
        else:
            pod["spec"]["nodeSelector"] = {"oracle/nowhere": "yes"}
        pods.append(pod)
    return pods
