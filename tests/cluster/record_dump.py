"""Records tests/data/mixed-cluster.json: what `kubectl get nodes,pods,pvc -A -o json` says of a mixed GPU cluster in
use.

It's made by the real control plane, so it holds what a real one writes (defaults, conditions, taints); only the nodes
are simulated. `make try` and the Rust tests read the file. Run again to renew it: `python
tests/cluster/record_dump.py`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import nodes
import pods
from control_plane import ControlPlane
from kube import Json, Kube
from nodes import GPU, NodeSpec
from storage import claim_manifest, create_claims

TARGET = Path(__file__).resolve().parents[1] / "data" / "mixed-cluster.json"
HUB = "jupyterhub"
GPU_TAINT = {"key": GPU, "value": "present", "effect": "NoSchedule"}

NODES = (
    NodeSpec("a100-1", nodes.A100_80, 8, cpu="128", memory="2Ti", taints=(GPU_TAINT,), unhealthy=1),
    NodeSpec("a100-2", nodes.A100_80, 8, cpu="128", memory="2Ti", taints=(GPU_TAINT,)),
    NodeSpec("a100-40g", nodes.A100_40, 4, memory="1Ti", taints=(GPU_TAINT,)),
    NodeSpec("h100-1", nodes.H100, 4, cpu="96", memory="1Ti", taints=(GPU_TAINT,)),
    NodeSpec("l4-1", nodes.L4, 2, cpu="32", memory="128Gi"),
    NodeSpec("l4-2", nodes.L4, 2, cpu="32", memory="128Gi"),
    NodeSpec("l4-3", nodes.L4, 2, cpu="32", memory="128Gi"),
    NodeSpec("t4-shared", nodes.T4, 2, replicas=4, cpu="32", memory="128Gi"),
    NodeSpec("cpu-1", cpu="32", memory="256Gi"),
    NodeSpec("cpu-2", cpu="32", memory="256Gi"),
    NodeSpec("cpu-3", cpu="32", memory="256Gi", labels={"hub.jupyter.org/node-purpose": "user"}),
    nodes.control_plane_node("control-1"),
)

# namespace, name, GPUs, node
WORK: tuple[tuple[str, str, int, str | None], ...] = (
    ("training", "llm-0", 4, "a100-1"), ("training", "llm-1", 4, "a100-2"), ("training", "vision-0", 1, "a100-1"),
    ("training", "vision-1", 1, "a100-40g"), ("training", "vision-2", 1, "a100-40g"),
    ("training", "sweep-0", 2, "h100-1"),
    ("training", "sweep-waiting", 8, "a100-2"), ("training", "wide-waiting", 4, "h100-1"),
    ("inference", "chat-0", 1, "l4-1"), ("inference", "chat-1", 1, "l4-1"), ("inference", "embed-0", 1, "l4-2"),
    ("inference", "embed-1", 1, "t4-shared"), ("inference", "embed-2", 1, "t4-shared"),
    ("inference", "rerank", 1, "l4-3"),
    ("research", "alice-run", 1, "a100-2"), ("research", "bob-run", 2, "h100-1"), ("research", "big-waiting", 16, None),
)  # fmt: skip
NOTEBOOKS: tuple[tuple[str, int, str | None], ...] = (
    ("dana", 1, "a100-2"), ("erik", 0, None), ("fumiko", 0, None), ("goran", 1, "t4-shared"), ("hana", 0, "cpu-3"),
)  # fmt: skip
BACKGROUND = ("cpu-1", "cpu-2", "cpu-3", "a100-1", "a100-2", "h100-1", "l4-1")


def _work() -> list[Json]:
    made = [
        pods.manifest(name, space, gpus=gpus, node=node, cpu="4", memory="32Gi") for space, name, gpus, node in WORK
    ]
    for user, gpus, node in NOTEBOOKS:
        pod = pods.manifest(f"jupyter-{user}", HUB, gpus=gpus, node=node, cpu="1", memory="8Gi")
        pod["metadata"]["labels"] = {
            "app": "jupyterhub", "component": "singleuser-server", "hub.jupyter.org/username": user,
        }  # fmt: skip
        made.append(pod)
    made += [
        pods.manifest(f"exporter-{node}", "monitoring", node=node, cpu="100m", memory="128Mi") for node in BACKGROUND
    ]
    made += [pods.manifest(f"etl-{number}", "data", cpu="2", memory="8Gi") for number in range(10)]
    return made


def _settled(pod: Json) -> bool:
    return pods.is_running(pod) or pods.refuse_reason(pod) is not None


def build(kube: Kube) -> None:
    """Nodes first, then the work, then what befalls the nodes that must look ill."""
    nodes.create(kube, *NODES)
    for space in (HUB, "training", "inference", "research", "monitoring", "data"):
        pods.ensure_namespace(kube, space)
    create_claims(kube, HUB)
    kube.create(claim_manifest("berth-scratch-pool", HUB, storage_class="not-there-yet"))
    for pod in _work():
        kube.create(pod)
        meta = pod["metadata"]
        kube.wait_until("Pod", meta["name"], _settled, "runs or was refused", namespace=meta["namespace"])
    for name, phase, reason in (("finished", "Succeeded", None), ("rejected", "Failed", "UnexpectedAdmissionError")):
        pods.start(kube, pods.manifest(name, "training", gpus=1, node="l4-3"))
        status = {"phase": phase, **({"reason": reason} if reason else {})}
        kube.patch("Pod", name, {"status": status}, namespace="training", sub="/status")
    image = {"names": ["registry.example.org/library/jupyter-ml-gpu:1.0"], "sizeBytes": 9_800_000_000}
    kube.patch("Node", "a100-2", {"status": {"images": [image]}}, sub="/status")
    nodes.cordon(kube, "l4-3")
    nodes.make_not_ready(kube, "a100-40g")


def record(kubectl: Path, kubeconfig: Path) -> int:
    """kubectl's own words; it leaves managedFields out by itself."""
    command = [str(kubectl), f"--kubeconfig={kubeconfig}", "get", "nodes,pods,pvc", "-A", "-o", "json"]
    said = subprocess.run(command, check=True, capture_output=True).stdout
    TARGET.parent.mkdir(exist_ok=True)
    return TARGET.write_bytes(said)


if __name__ == "__main__":
    with ControlPlane() as plane:
        build(plane.kube)
        print(f"{TARGET}: {record(plane.tools.kubectl, plane.kubeconfig_admin)} bytes")
