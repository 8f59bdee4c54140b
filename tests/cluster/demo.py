"""`make demo`: the real control plane with a dozen simulated GPU nodes and 300 pods of other teams that come and go,
and the real hub with Berth beside it. It prints where to log in and stays until Ctrl-C; nothing is left behind.

    python tests/cluster/demo.py --gpu-nodes 200      # a large cluster
    python tests/cluster/demo.py --pictures FOLDER    # writes the pictures of the README and ends
"""

from __future__ import annotations

import argparse
import random
import secrets
import shutil
import signal
import threading
from dataclasses import replace
from pathlib import Path

import nodes
import pods
from berth import CHECKOUT, Berth
from control_plane import ControlPlane
from hub import NAMESPACE, BerthAddress, Hub, give_rights
from kube import Kube
from nodes import GPU, NodeSpec
from storage import create_claims

TEAMS = ("training", "inference")
GPU_TAINT = {"key": GPU, "value": "present", "effect": "NoSchedule"}
CATALOGUE = CHECKOUT / "src" / "catalogue" / "default.yaml"

NODES = (
    *(NodeSpec(f"a100-{n}", nodes.A100_80, 8, cpu="128", memory="2Ti", taints=(GPU_TAINT,)) for n in (1, 2, 3)),
    *(NodeSpec(f"h100-{n}", nodes.H100, 4, cpu="96", memory="1Ti", taints=(GPU_TAINT,)) for n in (1, 2)),
    NodeSpec("a100-40g", nodes.A100_40, 4, memory="1Ti", taints=(GPU_TAINT,), unhealthy=1),
    *(NodeSpec(f"l4-{n}", nodes.L4, 2, cpu="32", memory="128Gi") for n in (1, 2, 3, 4)),
    *(NodeSpec(f"t4-shared-{n}", nodes.T4, 2, replicas=4, cpu="32", memory="128Gi") for n in (1, 2)),
    *(NodeSpec(f"cpu-{n}", cpu="32", memory="256Gi") for n in (1, 2)),
    nodes.control_plane_node("control-1"),
)
# The other teams' pods, most of them without a GPU: enough to make kinds run out now and then.
FEWEST_PODS, MOST_PODS = 300, 320
GPUS = (*(0,) * 75, 1, 1, 1, 2, 2, 4)
SECONDS_BETWEEN_CHANGES = 1.5


def gpu_nodes(count: int) -> tuple[NodeSpec, ...]:
    """That many nodes with GPUs: those of `NODES` first, then the same again under other names."""
    patterns = [spec for spec in NODES if spec.gpu is not None]
    return tuple(
        replace(pattern, name=f"{pattern.name}-{turn}" if turn else pattern.name)
        for turn in range(-(-count // len(patterns)))
        for pattern in patterns
    )[:count]


class OtherTeams:
    """Work that comes and goes until it is told to end."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._random = random.Random(7)  # noqa: S311  the same show each time
        self._running: list[tuple[str, str]] = []
        self._started = 0

    def change(self) -> None:
        """One pod more, or one less."""
        running = len(self._running)
        if running < FEWEST_PODS or (running < MOST_PODS and self._random.random() < 0.5):
            self._begin()
        else:
            name, team = self._running.pop(self._random.randrange(running))
            self._kube.delete("Pod", name, team, grace=0)

    def _begin(self) -> None:
        name, team = f"job-{self._started}", self._random.choice(TEAMS)
        self._started += 1
        gpus = self._random.choice(GPUS)
        self._kube.create(pods.manifest(name, team, gpus=gpus, cpu="1", memory="4Gi"))
        self._running.append((name, team))


def prepare(plane: ControlPlane, gpu_node_count: int) -> OtherTeams:
    for space in (NAMESPACE, *TEAMS):
        pods.ensure_namespace(plane.kube, space)
    for file in ("hub_rights.yaml", "berth_rights.yaml"):
        give_rights(plane, file)
    rest = (spec for spec in NODES if spec.gpu is None)
    nodes.create(plane.kube, *gpu_nodes(gpu_node_count), *rest)
    create_claims(plane.kube, NAMESPACE)
    others = OtherTeams(plane.kube)
    for _ in range(FEWEST_PODS):
        others.change()
    return others


def show(plane: ControlPlane, gpu_node_count: int, pictures: Path | None) -> None:
    """The hub, and change in the cluster, for as long as everything lives; or its pictures, and an end."""
    token = secrets.token_urlsafe(24)
    others = prepare(plane, gpu_node_count)
    with Berth(plane, token) as berth, Hub(plane, berth=BerthAddress(berth.url, token)) as hub:
        berth.start(hub.api_url, CATALOGUE)
        if pictures:
            import pictures as camera  # needs a browser, which the demo itself does not

            camera.take(hub, pictures)
            return
        print(
            f"\n  Open {hub.url} and log in with any name and password, such as ada; admin is the administrator.\n"
            f"  Berth itself: {berth.url}/openapi.json, its numbers: http://{berth.manage}/metrics\n"
            "  Servers start but hold no notebook: the nodes are simulated.\n\n"
            "Ctrl-C ends everything.",
            flush=True,
        )
        turn = threading.Event()
        while not turn.wait(SECONDS_BETWEEN_CHANGES):
            others.change()


def interrupt(*_: object) -> None:
    """Ends the demo wherever it is; what ends it is not interrupted in turn."""
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    parser = argparse.ArgumentParser(description="Shows the real hub over a cluster of simulated GPU nodes.")
    parser.add_argument("--gpu-nodes", type=int, default=12, help="nodes with GPUs (12)")
    parser.add_argument("--pictures", type=Path, help="write the pictures of the README into this folder, and end")
    arguments = parser.parse_args()
    for number in ENDS:
        signal.signal(number, interrupt)
    print("Starting etcd, Kubernetes, simulated nodes and the hub: about half a minute.", flush=True)
    try:
        plane = ControlPlane()
        try:
            with plane:
                show(plane, arguments.gpu_nodes, arguments.pictures)
        finally:
            shutil.rmtree(plane.folder, ignore_errors=True)
    except KeyboardInterrupt:
        print("\nStopped.", flush=True)


if __name__ == "__main__":
    main()
