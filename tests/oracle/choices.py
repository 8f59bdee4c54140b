"""Owns what is asked: the hub's own configuration (three bases), a random catalogue, and the choices of a user among
what Berth offers under them.

Drawn from a seed, as the clusters are. `GENERATOR` in `clusters.py` counts for these too.
"""

from __future__ import annotations

from random import Random
from typing import Any

import claims
from kube import Json
from loads import number
from nodes import CONTROL_PLANE, GPU

STOCK_TOLERATIONS: list[Json] = [
    {"key": key, "operator": "Equal", "value": "user", "effect": "NoSchedule"}
    for key in ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated")
]
NODE_PURPOSE: Json = {
    "weight": 100,
    "preference": {"matchExpressions": [{"key": "hub.jupyter.org/node-purpose", "operator": "In", "values": ["user"]}]},
}
BLOCK_METADATA: Json = {
    "name": "block-cloud-metadata", "image": "quay.io/jupyterhub/k8s-network-tools:4.4.0",
    "command": ["iptables", "-A", "OUTPUT", "-d", "169.254.169.254", "-j", "DROP"],
    "securityContext": {"privileged": True, "runAsUser": 0},
}  # fmt: skip
SIZES = ("2", "3", "4", "8", "64")
Traits = dict[str, Any]


def _stock(_random: Random) -> Traits:
    """What the stock chart sets."""
    return {
        "tolerations": list(STOCK_TOLERATIONS),
        "node_affinity_preferred": [NODE_PURPOSE],
        "init_containers": [BLOCK_METADATA],
        "extra_labels": {"hub.jupyter.org/network-access-hub": "true"},
    }


def _selective(random: Random) -> Traits:
    """A selector, two alternative terms, and containers beside the notebook."""
    zones = random.sample("abc", 2)
    terms: list[Json] = [
        {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": zones}]},
        {
            "matchExpressions": [
                {"key": "site/pool", "operator": "In", "values": [random.choice(("research", "batch"))]},
                {"key": "hub.jupyter.org/node-purpose", "operator": "DoesNotExist"},
            ]
        },
    ]
    if random.random() < 0.25:
        terms.append({})  # it meets no node
    sidecar: Json = {
        "name": "proxy", "image": "registry.example.org/site/proxy:1",
        "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
    }  # fmt: skip
    if random.random() < 0.5:
        sidecar["resources"]["limits"]["ephemeral-storage"] = "3Gi"
    early: Json = {
        "name": "mounts", "image": "registry.example.org/site/mounts:1", "restartPolicy": "Always",
        "resources": {"limits": {"cpu": "0.1", "memory": "100M"}},
    }  # fmt: skip
    if random.random() < 0.5:
        early["resources"]["limits"]["smarter-devices/fuse"] = "1"
    traits: Traits = {
        **_stock(random), "node_affinity_required": terms, "extra_containers": [sidecar],
        "init_containers": [BLOCK_METADATA, early] if random.random() < 0.7 else [BLOCK_METADATA],
    }  # fmt: skip
    if random.random() < 0.6:
        traits["node_selector"] = {"kubernetes.io/os": "linux"}
        if random.random() < 0.3:
            traits["node_selector"]["topology.kubernetes.io/zone"] = zones[0]
    return traits


def _teams(random: Random) -> Traits:
    """A team's own nodes: its taint tolerated, and terms with every operator."""
    tolerations: list[Json] = [
        {"key": "team", "operator": "Equal", "value": "vision", "effect": "NoSchedule"},
        {"key": "team", "operator": "Equal", "value": "vision"},
        {"key": "team", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "team", "value": "speech"},
        {"key": "team"},
        {"key": "maintenance", "operator": "Exists", "toleration_seconds": 600, "effect": "NoExecute"},
        {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"},
        {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"},
    ]
    terms: list[Json] = [
        {"match_expressions": [
            {"key": "topology.kubernetes.io/zone", "operator": "NotIn", "values": [random.choice("abc")]},
            {"key": "kubernetes.io/hostname", "operator": "Exists"},
        ]},
        {"match_expressions": [
            {"key": "site/size", "operator": random.choice(("Gt", "Lt")), "values": [random.choice(SIZES)]},
        ]},
    ]  # fmt: skip
    random.shuffle(terms)
    drawn = random.sample(tolerations, random.randint(1, 4))
    return {"tolerations": [*STOCK_TOLERATIONS, *drawn], "node_affinity_required": terms[: random.choice((1, 2, 2))]}


BASES = {"stock": _stock, "selective": _selective, "teams": _teams}


def draw_base(name: str, seed: int) -> Traits:
    """The traits that the hub's own configuration sets."""
    return BASES[name](Random(f"base {name} {seed}"))  # noqa: S311


# === the catalogue ===

CORES = ("100m", "0.5", "1", "2", "3500m", "4", "7", "16", "31")
BYTES = ("256Mi", "1Gi", "2G", "4Gi", "7Gi", "16Gi", "30Gi", "100Gi", "250Gi")
GLOBS = ("*", "nvidia-*", "*a100*", "*t4*", "*l4*", "*.mig-*", "*.shared-*", "*80gb*", "amd-*", "*mi300x*", "*gaudi*")
SHARING = ("exclusive", "mig", "time-sliced", "mps")
KEYS = (
    GPU, "amd.com/gpu", "gpu.intel.com/i915", "habana.ai/gaudi", "hub.jupyter.org/dedicated",
    "hub.jupyter.org_dedicated",
)  # fmt: skip


def _bounds(values: tuple[str, ...], random: Random) -> Json:
    """Small ones more often: a pod that fits nowhere asks little of the judge."""
    first, second = sorted(min(random.randrange(len(values)), random.randrange(len(values))) for _ in range(2))
    shape = random.random()
    if shape < 0.2:
        return {"request": values[first]}
    if shape < 0.4:
        return {"limit": values[first]}
    return {"request": values[first], "limit": values[second]}


def _profile(slug: str, random: Random, **more: Any) -> Json:
    profile: Json = {"slug": slug, "title": slug, "image": "ml-gpu", **more}
    profile["cpu"] = _bounds(CORES, random)
    profile["memory"] = _bounds(BYTES, random)
    if random.random() < 0.3:
        profile["whenFull"] = "refuse"
    return profile


def draw_catalogue(seed: int) -> Json:
    """A catalogue, with the claims of the cluster of the same seed."""
    random = Random(f"catalogue {seed}")  # noqa: S311
    profiles = [_profile("cpu", random, default=True, avoidGpuNodes=random.choice(("no", "preferred", "required")))]
    profiles.append(_profile("plain", random, sharedCode=random.choice(("ask", "required"))))
    bare = _profile("bare", random)  # what it does not say, the hub's own configuration says
    del bare[random.choice(("cpu", "memory"))]
    profiles.append(bare)
    profiles.append(_profile("gpu", random, gpu={"counts": [1, 2, 4, 8], "kinds": ["*"]}))
    for letter in "ab":
        gpu: Json = {
            "counts": random.sample((1, 2, 4, 8), random.randint(1, 3)),
            "kinds": random.sample(GLOBS, random.randint(1, 2)) if random.random() < 0.6 else ["*"],
            "sharing": random.sample(SHARING, random.randint(1, 3)),
        }
        if random.random() < 0.5:
            gpu["minMemory"] = random.choice(("4Gi", "16Gi", "22Gi", "40Gi", "80Gi"))
        more = {"sharedCode": "ask"} if random.random() < 0.3 else {}
        profiles.append(_profile(f"gpu-{letter}", random, gpu=gpu, **more))
    pinned = {"counts": [1, 2], "sharing": random.sample(SHARING, 3)}
    profiles.append({
        **_profile("on", random, gpu=pinned), "title": "on {node}", "perNode": {"maxEntries": random.choice((1, 12))},
    })  # fmt: skip
    tolerate = list(KEYS) if random.random() < 0.6 else random.sample(KEYS, random.randint(1, 5))
    for key in (CONTROL_PLANE, "team", "maintenance"):
        if random.random() < 0.25:
            tolerate.append(key)
    return {
        "volumes": claims.draw(seed).catalogue(), "tolerate": tolerate, "profiles": profiles,
        "sharedCode": {"enabled": random.random() < 0.6, "nodes": {"site/code": "yes"}},
    }  # fmt: skip


def amounts(catalogue: Json) -> list[tuple[float, float]]:
    """The cores and bytes that the notebooks of each profile will ask for, where it says so."""
    asked = [[profile[what] for what in ("cpu", "memory") if what in profile] for profile in catalogue["profiles"]]
    return [
        (number(cpu.get("request", cpu.get("limit"))), number(memory.get("request", memory.get("limit"))))
        for cpu, memory in (pair for pair in asked if len(pair) == 2)
    ]


# === the user ===


def draw_options(offers: list[Json], random: Random) -> dict[str, str]:
    """One choice of what is offered. Profiles with options come up more often: they hold more questions."""
    weights = [1 + 2 * len(offer.get("profile_options", {})) for offer in offers]
    offer = random.choices(offers, weights)[0]
    options = {"profile": offer["slug"]}
    for key, option in offer.get("profile_options", {}).items():
        if random.random() < 0.75:
            options[key] = random.choice(sorted(option["choices"]))
    return options
