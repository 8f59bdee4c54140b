"""Owns putting questions to the real scheduler: a cluster is made, pods are tried on it, and it is taken away again.

Where does a pod fit? On each node of which Berth says so, a copy is tried that is pinned to it; one more copy is tried
that may go to all the others and must find no place. Together they cannot disturb each other. That is the whole set,
for a few pods instead of one a node; only where the two disagree each node is tried by itself. Probes have a priority
that evicts nobody.

The scheduler works on what it has seen, which is a little behind. So each cluster ends with a marker: its watches are
in order, and a pod that fits the marker's node and mounts its claim shows that it has seen everything before it.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from random import Random

import claims
import clusters
from clusters import Cluster
from kube import Json, path_of
from loads import SPACES, TERMINATING
from plane import CLUSTER, HUB, PRIORITY, QUESTION, OraclePlane, Verdict, Verdicts
from waiting import eventually

_numbers = itertools.count()
EVERYTHING = [{"operator": "Exists"}]


class Site:
    """One cluster on the control plane. A context manager: inside it the scheduler knows the cluster as it is."""

    def __init__(self, plane: OraclePlane, verdicts: Verdicts, cluster: Cluster) -> None:
        self._kube = plane.client()
        self._verdicts = verdicts
        self.cluster = cluster
        self.id = f"{cluster.seed}-{next(_numbers)}"
        self._storage = [*cluster.volumes, *cluster.claims]
        if self._storage:  # the marker's own, last
            marker = f"marker-{self.id}"
            self._storage += [claims.volume(marker, "anywhere", Random(0)), claims.claim(marker, "bound")]  # noqa: S311

    def __enter__(self) -> Site:
        try:
            self._make()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._remove()

    # === making it ===

    def _make(self) -> None:
        name = f"marker-{self.id}"
        marker = {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
            "status": {"allocatable": {"pods": "10"}, "capacity": {"pods": "10"}},
        }  # fmt: skip
        whole: Json = {"containers": [{"name": "x", "image": "x"}], "tolerations": EVERYTHING}
        for node in self.cluster.nodes:
            self._kube.create(self._ours(node))
        for node in self.cluster.nodes:
            if clusters.is_leaving(node):
                self._kube.delete("Node", node["metadata"]["name"])
        for pod in self.cluster.pods:
            self._create_load(pod)
        if self._storage:
            for thing in self._storage:
                self._create_storage(thing)
            whole["volumes"] = [{"name": "x", "persistentVolumeClaim": {"claimName": name}}]
        eventually(self._settled, f"cluster {self.cluster.seed} has its taints", 30, every=0.05)
        self._kube.create(marker)
        pinned = pin(whole, name)
        eventually(lambda: self._ask([pinned])[0].node, "the scheduler has seen the cluster", 30, every=0.02)
        self._kube.delete("Node", name)

    def _ours(self, thing: Json) -> Json:
        made = copy.deepcopy(thing)
        made["metadata"].setdefault("labels", {})[CLUSTER] = self.id
        return made

    def _create_load(self, pod: Json) -> None:
        self._kube.create(self._ours(pod))
        meta, status = pod["metadata"], pod.get("status", {})
        if status.get("phase", "Pending") != "Pending":
            self._kube.patch("Pod", meta["name"], {"status": status}, meta["namespace"], sub="/status")
        if TERMINATING in meta.get("annotations", {}):
            self._kube.delete("Pod", meta["name"], meta["namespace"])

    def _create_storage(self, thing: Json) -> None:
        meta = thing["metadata"]
        self._kube.create(self._ours(thing))
        self._kube.patch(
            thing["kind"], meta["name"], {"status": thing["status"]}, meta.get("namespace"), sub="/status"
        )  # fmt: skip

    def _settled(self) -> bool:
        """The controller-manager has made of each node's state the taints that it will have."""
        nodes = clusters.by_name(self.nodes())
        for node in self.cluster.nodes:
            taints = nodes[node["metadata"]["name"]]["spec"].get("taints", [])
            keys = {taint["key"] for taint in taints if taint["effect"] == "NoSchedule"}
            if {key for key in keys if key.startswith("node.kubernetes.io/")} != clusters.system_taints(node):
                return False
        return True

    def nodes(self) -> list[Json]:
        return self._kube.list_of("Node", labelSelector=f"{CLUSTER}={self.id}")

    def dump(self, path: Path) -> None:
        """What `kubectl get nodes,pods,pvc,pv,storageclass -A -o json` says of this cluster alone."""
        of_pods = ["Pod", "PersistentVolumeClaim", "PersistentVolume"] if self._storage else ["Pod"]
        kinds = {"Node": self.nodes()}
        kinds |= {kind: self._kube.list_of(kind, labelSelector=f"{CLUSTER}={self.id}") for kind in of_pods}
        if self._storage:
            kinds["StorageClass"] = self._kube.list_of("StorageClass")
        items = [{"apiVersion": "v1", "kind": kind, **item} for kind, found in kinds.items() for item in found]
        path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    def _remove(self) -> None:
        ours = {"labelSelector": f"{CLUSTER}={self.id}", "gracePeriodSeconds": "0"}
        for space in SPACES:
            self._kube.call("DELETE", path_of("Pod", space), params=ours)
        for node in self.cluster.nodes:
            if clusters.is_leaving(node) and self._kube.find("Node", node["metadata"]["name"]):
                self._kube.patch("Node", node["metadata"]["name"], {"metadata": {"finalizers": None}})
        self._kube.call("DELETE", path_of("Node"), params=ours)
        for thing in reversed(self._storage):
            kind, name, space = thing["kind"], thing["metadata"]["name"], thing["metadata"].get("namespace")
            self._kube.delete(kind, name, space)
            if self._kube.find(kind, name, space):  # nobody else takes away what protects it while it is in use
                self._kube.patch(kind, name, {"metadata": {"finalizers": None}}, space)
        eventually(lambda: not self.nodes(), f"the nodes of cluster {self.cluster.seed} are gone", 30)

    # === asking ===

    def fits(self, pod: Json, claimed: set[str], left_out: set[str]) -> dict[str, Verdict]:
        """The scheduler's verdict on each node that matters: all of them, but those of `left_out`.

        If it agrees with what Berth claims, the verdicts on the nodes beyond the claim are the one on all of them.
        """
        spec = pod["spec"]
        others = keep_off(spec, self.id, claimed | left_out)
        asked = sorted(claimed - left_out)
        first, *rest = self._ask([others, *(pin(spec, name) for name in asked)])
        verdicts = dict(zip(asked, rest, strict=True))
        beyond = set(self.cluster.names) - claimed - left_out
        if first.node is None and all(verdict.node for verdict in rest):
            return verdicts | dict.fromkeys(beyond, first)
        return self.fits_each(pod, (claimed | beyond) - left_out)

    def fits_each(self, pod: Json, names: Iterable[str]) -> dict[str, Verdict]:
        """One pinned copy for each node."""
        asked = sorted(names)
        return dict(zip(asked, self._ask([pin(pod["spec"], name) for name in asked]), strict=True))

    def fill(self, resource: str, sizes: list[int], tolerate: list[str], left_out: set[str]) -> dict[str, int]:
        """How many of a resource pods get on each node that ask for it and nothing else, the largest first."""
        tolerations = [{"key": key, "operator": "Exists"} for key in tolerate]
        pods = []
        for size in sizes:
            spec = {
                "containers": [{"name": "x", "image": "x", "resources": {"limits": {resource: str(size)}}}],
                "tolerations": tolerations,
            }  # fmt: skip
            pods.append(keep_off(spec, self.id, left_out))
        got: dict[str, int] = {}
        for size, verdict in zip(sizes, self._ask(pods), strict=True):
            if verdict.node:
                got[verdict.node] = got.get(verdict.node, 0) + size
        return got

    def give_slots(self) -> None:
        """Room for pods that ask for nothing but GPUs: a pod slot is taken by each."""
        many = {"status": {"allocatable": {"pods": "250"}}}
        for node in self.cluster.nodes:
            if int(node["status"]["allocatable"]["pods"]) < 100:
                self._kube.patch("Node", node["metadata"]["name"], many, sub="/status")

    def _ask(self, specs: list[Json]) -> list[Verdict]:
        """Create the pods in this order, wait for a verdict on each, and take them away."""
        question = f"q{next(_numbers)}"
        names = [f"{question}-{number}" for number in range(len(specs))]
        for name, spec in zip(names, specs, strict=True):
            self._kube.create({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": name, "namespace": HUB, "labels": {QUESTION: question, CLUSTER: self.id}},
                "spec": {**spec, "priorityClassName": PRIORITY},
            })  # fmt: skip
        try:
            found = self._verdicts.wait_for(names)
        finally:
            params = {"labelSelector": f"{QUESTION}={question}", "gracePeriodSeconds": "0"}
            self._kube.call("DELETE", path_of("Pod", HUB), params=params)
        return [found[name] for name in names]


def pin(spec: Json, node: str) -> Json:
    """The same pod, for this node alone. The name is a field: labels may say something else."""
    return _with(spec, {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]})


def keep_off(spec: Json, site: str, names: set[str]) -> Json:
    """The same pod, within the cluster and not on these nodes."""
    fields = [{"key": "metadata.name", "operator": "NotIn", "values": [name]} for name in sorted(names)]
    within = {"key": CLUSTER, "operator": "In", "values": [site]}
    return _with(spec, {"matchExpressions": [within], "matchFields": fields})


def _with(spec: Json, more: Json) -> Json:
    """The condition is ANDed into each of the alternatives. An empty one meets no node, and goes on to meet none."""
    made = copy.deepcopy(spec)
    affinity = made.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    required = affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {"nodeSelectorTerms": [more]})
    terms = required["nodeSelectorTerms"]
    required["nodeSelectorTerms"] = [
        more if term is more else {part: [*term.get(part, []), *more.get(part, [])] for part in {**term, **more}}
        for term in terms
        if term
    ] or [{}]
    return made
