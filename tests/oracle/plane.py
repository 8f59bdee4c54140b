"""Owns the control plane of the oracle: etcd, apiserver, controller-manager and scheduler, and one watch over all pods
that the scheduler is asked about.

Without KWOK: nobody answers for the nodes, so the controller-manager is told to be patient with them, and a node is
Ready or not as its status was written. What the controller-manager makes of a condition (taints) is its own.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from claims import AT_ONCE, HUB
from control_plane import ControlPlane
from kube import Json, Kube, path_of
from loads import OVERHEAD, RUNTIME, SPACES
from processes import Program

PRIORITY = "oracle"  # probes never evict anybody
# Labels of ours on what we make: which cluster it belongs to, and which question a pod belongs to.
CLUSTER = "oracle/cluster"
QUESTION = "oracle/question"


class OraclePlane(ControlPlane):
    """A context manager like its parent; `client()` gives each thread one of its own."""

    scheduler_pace = {"qps": 2000, "burst": 4000}  # noqa: RUF012

    def _programs(self) -> list[Program]:
        return [self._controller_manager(), self._scheduler()]

    def _controller_manager(self) -> Program:
        program = super()._controller_manager()
        wanted = ("serviceaccount-controller", "node-lifecycle-controller", "taint-eviction-controller")
        program.command += [
            "--node-monitor-grace-period=10h", f"--controllers={','.join(wanted)}",
            "--kube-api-qps=2000", "--kube-api-burst=4000",
        ]  # fmt: skip
        return program

    def client(self) -> Kube:
        return self.client_for(self.kubeconfig_admin)

    def prepare(self) -> None:
        """Namespaces, the probes' priority, a runtime with an overhead, and a storage class."""
        for name in SPACES:
            self.kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        for name in SPACES:
            self.kube.wait_until("ServiceAccount", "default", lambda _: True, "exists", namespace=name)
        self.kube.call("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", {
            "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": PRIORITY},
            "value": 0, "preemptionPolicy": "Never", "globalDefault": False,
        })  # fmt: skip
        self.kube.call("POST", "/apis/node.k8s.io/v1/runtimeclasses", {
            "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": RUNTIME},
            "handler": RUNTIME, "overhead": {"podFixed": OVERHEAD},
        })  # fmt: skip
        self.kube.create({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": AT_ONCE},
            "provisioner": "oracle.example.org/nobody", "volumeBindingMode": "Immediate",
        })  # fmt: skip


class Verdict:
    """What the scheduler said of one pod: the node that it bound it to, or why it did not."""

    def __init__(self, node: str | None, message: str) -> None:
        self.node = node
        self.message = message


def verdict_of(pod: Json) -> Verdict | None:
    """None: it has not been tried yet."""
    if node := pod["spec"].get("nodeName"):
        return Verdict(node, "")
    for condition in pod.get("status", {}).get("conditions", []):
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return Verdict(None, str(condition.get("message", "")))
    return None


class Verdicts:
    """One watch over the probes of all clusters. A context manager: inside it the watch runs."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._news = threading.Condition()
        self._seen: dict[str, Verdict] = {}
        self._failure: BaseException | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="verdicts", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()

    def wait_for(self, names: Iterable[str], deadline: float = 60.0) -> dict[str, Verdict]:
        """The first verdict on each of these pods. They are forgotten then: a name is used once."""
        wanted = set(names)
        until = time.monotonic() + deadline
        with self._news:
            while missing := wanted - self._seen.keys():
                if self._failure:
                    raise RuntimeError("the watch over the probes has ended") from self._failure
                if not self._news.wait(until - time.monotonic()):
                    raise TimeoutError(f"the scheduler said nothing of {sorted(missing)[:5]} within {deadline:g} s")
            return {name: self._seen.pop(name) for name in wanted}

    def _follow(self) -> None:
        try:
            version = self._kube.call("GET", path_of("Pod", HUB), params={"limit": "1"})["metadata"]["resourceVersion"]
            while not self._ended.is_set():
                version = self._watch(version)
        except BaseException as error:
            with self._news:
                self._failure = error
                self._news.notify_all()

    def _watch(self, version: str) -> str:
        for event, pod in self._kube.changes(path_of("Pod", HUB), version, 600, labelSelector=QUESTION):
            if event == "ERROR":
                raise RuntimeError(json.dumps(pod))
            version = pod["metadata"]["resourceVersion"]
            verdict = verdict_of(pod) if event != "DELETED" else None
            if verdict is not None:
                with self._news:
                    self._seen.setdefault(pod["metadata"]["name"], verdict)
                    self._news.notify_all()
            if self._ended.is_set():
                break
        return version
