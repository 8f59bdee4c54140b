"""Owns what one test run stands on: the cluster's nodes, the users, and handing out browsers and pods that are
cleaned up afterwards.

Nodes for good: an A100 node (2 cards, tainted as GPU operators do), an L4 node (2, not tainted), a T4 node (1), two
CPU nodes, and a control-plane node as kubeadm leaves it. What a test adds, it adds through `Guest`, which takes it
away again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from urllib.parse import quote

import nodes
import pods
from berth import Berth
from browser import Browser, Profile, SpawnForm
from control_plane import ControlPlane
from hub import NAMESPACE, Hub
from kube import Json, Kube
from nodes import GPU, NodeSpec
from timings import Timings
from waiting import eventually

OTHERS = "other-team"
HUB_KEY = "hub.jupyter.org"
GPU_TAINT = {"key": GPU, "value": "present", "effect": "NoSchedule"}
A100, L4, T4, CONTROL = "node-a100", "node-l4", "node-t4", "node-control"
CPU_NODES = ("node-cpu-1", "node-cpu-2")
NODES = (
    NodeSpec(A100, nodes.A100_80, 2, taints=(GPU_TAINT,)),
    NodeSpec(L4, nodes.L4, 2),
    NodeSpec(T4, nodes.T4, 1),
    *(NodeSpec(name, cpu="32", memory="256Gi") for name in CPU_NODES),
    nodes.control_plane_node(CONTROL),
)
GPUS = {A100: 2, L4: 2, T4: 1}
# Everybody else is in no group.
GROUPS: dict[str, tuple[str, ...]] = {"rosa": ("research",), "ravi": ("research",), "sam": ("students",)}
# For names of pods: KWOK may still be about to delete an earlier pod, which it does by name.
NUMBERS = count(1)


@dataclass(frozen=True)
class World:
    """Everything that stands for the whole run."""

    plane: ControlPlane
    hub: Hub
    stock: Hub
    berth: Berth
    timings: Timings

    @property
    def kube(self) -> Kube:
        return self.plane.kube


class Guest:
    """What one test does to the world, undone at its end."""

    def __init__(self, world: World, stack: ExitStack) -> None:
        self.world = world
        self.kube = world.kube
        self._stack = stack
        self._users: set[tuple[Hub, str]] = set()

    def user(self, name: str, hub: Hub | None = None) -> None:
        """A user whom the hub has never seen: it remembers what somebody chose last, and shows it on his next form."""
        hub = hub or self.world.hub
        if (hub, name) in self._users:
            return
        self._users.add((hub, name))
        hub.call("POST", f"/users/{quote(name, safe='')}")
        self._stack.callback(self._remove_user, hub, name)
        for group in GROUPS.get(name, ()):
            hub.call("POST", f"/groups/{group}/users", json={"users": [name]})

    def browser(self, user: str) -> Browser:
        """A browser in which the user has logged in."""
        self.user(user)
        return self.world.hub.log_in(user)

    def token(self, user: str) -> str:
        """An API token of the user."""
        self.user(user)
        return self.world.hub.token_of(user)

    def spawn(self, user: str, profile: str, *, server: str = "", **options: str) -> Json:
        """Through the hub's pages to a running server; its pod as the apiserver holds it."""
        outcome = self.browser(user).spawn(profile, server=server, **options)
        assert outcome.ready, f"{user} got no {profile}: {outcome}"
        return self.pod_of(user, server)

    def pod_of(self, user: str, server: str = "") -> Json:
        """The one pod behind a server that the hub calls ready."""
        mine = self._pods_of(user)
        found = [pod for pod in mine if pod["metadata"]["annotations"].get(f"{HUB_KEY}/servername", "") == server]
        assert len(found) == 1, f"{user} has {len(found)} pods for {server!r}"
        assert pods.is_running(found[0]), f"the hub says ready, the pod is {found[0]['status']}"
        return found[0]

    def base_pod(self, user: str) -> Json:
        """The pod that the same user gets from the same hub configuration without Berth."""
        self.user(user, self.world.stock)
        outcome = self.world.stock.log_in(user).spawn_at_once()
        assert outcome.ready, f"the stock hub gave {user} nothing: {outcome}"
        pod = self.pod_of(user)
        self.stop_servers(self.world.stock, user)
        return pod

    def take_gpus(self, node: str, count: int) -> str:
        """Someone else's pod on that node; its name."""
        name = f"work-{node}-{next(NUMBERS)}"
        self._stack.callback(pods.remove, self.kube, name, OTHERS)
        pods.start(self.kube, pods.manifest(name, OTHERS, gpus=count, node=node))
        return name

    def undo(self, step: Callable[..., object], *what: object) -> None:
        """Done at the test's end, before what was registered earlier."""
        self._stack.callback(step, *what)

    def wait_in_vain(self, gpus: int) -> None:
        """Someone else's pod that asks for GPUs which nobody has free."""
        name = f"waits-{next(NUMBERS)}"
        self._stack.callback(pods.remove, self.kube, name, OTHERS)
        self.kube.create(pods.manifest(name, OTHERS, gpus=gpus))

    def node(self, spec: NodeSpec) -> None:
        """One more node."""
        self._stack.callback(nodes.delete, self.kube, spec.name)
        nodes.create(self.kube, spec)

    def _remove_user(self, hub: Hub, user: str) -> None:
        self.stop_servers(hub, user)
        hub.call("DELETE", f"/users/{quote(user, safe='')}")

    def stop_servers(self, hub: Hub, user: str) -> None:
        path = f"/users/{quote(user, safe='')}"
        for name in hub.call("GET", path).json().get("servers", {}):
            hub.call("DELETE", f"{path}/servers/{quote(name, safe='')}" if name else f"{path}/server")
        eventually(lambda: not hub.call("GET", path).json().get("servers"), f"{user} has no server", 20)
        for pod in self._pods_of(user):
            self.kube.wait_gone("Pod", pod["metadata"]["name"], NAMESPACE)

    def _pods_of(self, user: str) -> list[Json]:
        """By the annotation, which holds any name as it is; a label cannot."""
        found = self.kube.list_of("Pod", NAMESPACE)
        return [pod for pod in found if pod["metadata"].get("annotations", {}).get(f"{HUB_KEY}/username") == user]


def until_form(browser: Browser, shows: Callable[[SpawnForm], bool], what: str, deadline: float = 10.0) -> SpawnForm:
    """Reload the spawn form until it shows something."""

    def look() -> SpawnForm | None:
        form = browser.form()
        assert shows(form), f"the form shows {[(each.slug, each.text) for each in form.profiles]}"
        return form

    return eventually(look, what, deadline)


def counts(profile: Profile) -> tuple[int, int]:
    """The GPUs that the form says are free for this profile, and of how many."""
    assert profile.gpus_free is not None, f"{profile.slug} shows no GPU count: {profile.text}"
    return profile.gpus_free


def kind_text(form: SpawnForm, gpu: nodes.Gpu, profile: str = "gpu") -> str:
    """What the form says of one kind of GPU."""
    return form.profile(profile).choice("gpu-kind", gpu.kind).text
