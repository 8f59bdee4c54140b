"""Owns the storage claims that a cluster's notebooks mount: bound to a volume of some zone, waiting for one, or lost.

Nobody binds claims on the oracle's control plane. They are made as the binding would leave them, and stay so.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from kube import Json

HUB = "jupyterhub"
AT_ONCE = "oracle-at-once"  # a class that binds its claims before any pod comes; see `plane.py`
ZONE = "topology.kubernetes.io/zone"
OLD_ZONE = "failure-domain.beta.kubernetes.io/zone"
# How often a claim's volume is where: in some zones by its affinity, by a label, or by a label's old name; or anywhere.
PLACES = {"affinity": 4, "label": 2, "old label": 1, "anywhere": 2}
# What becomes of a claim. Most are bound, or nothing would fit.
FATES = {"bound": 27, "waiting": 1, "lost": 1, "missing": 1}


@dataclass(frozen=True)
class Storage:
    """The claims that are mounted, by name; and the objects that exist."""

    mounted: tuple[str, ...] = ()
    claims: tuple[Json, ...] = ()
    volumes: tuple[Json, ...] = ()

    def catalogue(self) -> list[Json]:
        """As the catalogue names them."""
        return [
            {"name": claim, "claim": claim, "mountPath": f"/home/jovyan/{claim}", "scope": "shared"}
            for claim in self.mounted
        ]


def _drawn(weights: dict[str, int], random: Random) -> str:
    return random.choices(list(weights), list(weights.values()))[0]


def draw(seed: int) -> Storage:
    """A third of the clusters have claims. A cluster without any tells Berth nothing of them."""
    random = Random(f"claims {seed}")  # noqa: S311
    if random.random() < 2 / 3:
        return Storage()
    mounted = tuple(f"s{seed}-{name}" for name in ("home", "data")[: random.choice((1, 1, 2))])
    made = [(name, _drawn(FATES, random)) for name in mounted]
    present = [(name, fate) for name, fate in made if fate != "missing"]
    if not present:  # a dump without claims says nothing of them, and so not that one is missing
        present = [(f"s{seed}-other", "bound")]
    volumes = tuple(volume(name, _drawn(PLACES, random), random) for name, fate in present if fate == "bound")
    return Storage(mounted, tuple(claim(*each) for each in present), volumes)


def claim(name: str, fate: str) -> Json:
    spec: Json = {
        "accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": AT_ONCE if fate == "waiting" else "",
    }  # fmt: skip
    metadata: Json = {"name": name, "namespace": HUB}
    if fate != "waiting":
        spec["volumeName"] = name
        metadata["annotations"] = {"pv.kubernetes.io/bind-completed": "yes"}
    phase = {"bound": "Bound", "waiting": "Pending", "lost": "Lost"}[fate]
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec,
        "status": {"phase": phase},
    }  # fmt: skip


def volume(name: str, place: str, random: Random) -> Json:
    zones = random.sample("abc", random.choice((1, 2, 2)))
    labels = {"label": {ZONE: "__".join(zones)}, "old label": {OLD_ZONE: zones[0]}}.get(place, {})
    spec: dict[str, Any] = {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany"], "hostPath": {"path": f"/srv/{name}"},
        "persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": HUB, "name": name},
    }  # fmt: skip
    if place == "affinity":
        chosen = {"matchExpressions": [{"key": ZONE, "operator": "In", "values": zones}]}
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [chosen]}}
    return {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name, "labels": labels}, "spec": spec,
        "status": {"phase": "Bound"},
    }  # fmt: skip
