"""`make demo`: the real control plane with a dozen simulated GPU nodes, work of other teams that comes and goes, and
the real hub with Berth beside it. It prints where to log in and stays until Ctrl-C; nothing is left behind.
"""

from __future__ import annotations

import random
import secrets
import shutil
import signal
import threading

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
# The other teams' pods: enough to make kinds run out now and then.
FEWEST_PODS, MOST_PODS = 40, 60
SECONDS_BETWEEN_CHANGES = 1.5


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
        gpus = self._random.choice((0, 1, 1, 1, 2, 2, 4))
        self._kube.create(pods.manifest(name, team, gpus=gpus, cpu="2", memory="8Gi"))
        self._running.append((name, team))


def prepare(plane: ControlPlane) -> OtherTeams:
    for space in (NAMESPACE, *TEAMS):
        pods.ensure_namespace(plane.kube, space)
    for file in ("hub_rights.yaml", "berth_rights.yaml"):
        give_rights(plane, file)
    nodes.create(plane.kube, *NODES)
    create_claims(plane.kube, NAMESPACE)
    others = OtherTeams(plane.kube)
    for _ in range(FEWEST_PODS):
        others.change()
    return others


def show(plane: ControlPlane) -> None:
    """The hub, and change in the cluster, for as long as everything lives."""
    token = secrets.token_urlsafe(24)
    others = prepare(plane)
    with Berth(plane, token) as berth, Hub(plane, berth=BerthAddress(berth.url, token)) as hub:
        berth.start(hub.api_url, CATALOGUE)
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
    for number in ENDS:
        signal.signal(number, interrupt)
    print("Starting etcd, Kubernetes, simulated nodes and the hub: about half a minute.", flush=True)
    try:
        plane = ControlPlane()
        try:
            with plane:
                show(plane)
        finally:
            shutil.rmtree(plane.folder, ignore_errors=True)
    except KeyboardInterrupt:
        print("\nStopped.", flush=True)


if __name__ == "__main__":
    main()
