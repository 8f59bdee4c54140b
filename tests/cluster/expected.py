"""Owns what each profile of `catalogue.yaml` must come to in the apiserver, written out by hand: the tests compare
pods with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from kube import Json
from world import A100, CONTROL, CPU_NODES, L4, T4

GIB = 2**30
EVERY_NODE = frozenset({A100, L4, T4, CONTROL, *CPU_NODES})
BASE_TOLERATIONS: list[Json] = [
    {"key": key, "operator": "Equal", "value": "user", "effect": "NoSchedule"}
    for key in ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated")
]
BASE_PREFERENCE: Json = {
    "weight": 100,
    "preference": {"matchExpressions": [{"key": "hub.jupyter.org/node-purpose", "operator": "In", "values": ["user"]}]},
}
BASE_MOUNT = "/etc/site"
STORAGE = {
    "/home/jovyan/notebooks": "berth-notebooks",
    "/home/jovyan/datasets": "berth-datasets",
    "/home/jovyan/models": "berth-models",
}
SCRATCH = "/home/jovyan/scratch"
SHM = "/dev/shm"
SHARED_CODE = "/home/jovyan/shared-code-reference"


@dataclass(frozen=True)
class Expected:
    """One profile's pod. `allowed`: the nodes that its required terms leave; `lands_on`: where it may end up."""

    slug: str
    image: str
    cpu: tuple[int, int]
    memory_gib: tuple[int, int]
    lands_on: frozenset[str]
    gpus: int = 0
    allowed: frozenset[str] = EVERY_NODE
    tolerates_gpu_taint: bool = False
    mounts: frozenset[str] = frozenset()
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def resources(self) -> dict[str, dict[str, Decimal]]:
        gpu = {"nvidia.com/gpu": Decimal(self.gpus)} if self.gpus else {}
        return {
            "requests": {"cpu": Decimal(self.cpu[0]), "memory": Decimal(self.memory_gib[0] * GIB), **gpu},
            "limits": {"cpu": Decimal(self.cpu[1]), "memory": Decimal(self.memory_gib[1] * GIB), **gpu},
        }

    @property
    def all_mounts(self) -> set[str]:
        return {BASE_MOUNT, *STORAGE, SCRATCH, *self.mounts}


VOID = {"NVIDIA_VISIBLE_DEVICES": "void"}
PROFILES = (
    Expected("cpu", "jupyter-ml-cpu", (1, 4), (4, 8), frozenset(CPU_NODES), environment=VOID),
    Expected("gpu", "jupyter-ml-gpu", (2, 8), (8, 16), frozenset({A100, L4, T4}), gpus=1,
             tolerates_gpu_taint=True, mounts=frozenset({SHM})),
    Expected("fine-tuning", "jupyter-fine-tuning", (4, 8), (16, 32), frozenset({A100, L4}), gpus=1,
             allowed=frozenset({A100, L4}), tolerates_gpu_taint=True),
    Expected("agent-dev", "jupyter-agent-dev", (1, 2), (4, 8), EVERY_NODE - {A100, CONTROL},
             environment={**VOID, "LANGCHAIN_TRACING_V2": "false"}),
    Expected(f"gpu-on-{A100}", "jupyter-ml-gpu", (2, 8), (8, 16), frozenset({A100}), gpus=1,
             allowed=frozenset({A100}), tolerates_gpu_taint=True),
    Expected(f"gpu-on-{L4}", "jupyter-ml-gpu", (2, 8), (8, 16), frozenset({L4}), gpus=1, allowed=frozenset({L4})),
)  # fmt: skip
