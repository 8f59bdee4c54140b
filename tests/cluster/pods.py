"""Owns the pods that aren't notebooks: other people's work in other namespaces, which takes GPUs that the hub never
hears of.
"""

from __future__ import annotations

from kube import Json, Kube
from nodes import GPU

TERMINAL = ("Succeeded", "Failed")


def manifest(
    name: str, namespace: str, *, gpus: int = 0, node: str | None = None, cpu: str = "1", memory: str = "4Gi"
) -> Json:
    """One container; pinned to a node by its name where one is given. It tolerates the usual GPU taint."""
    resources: Json = {"requests": {"cpu": cpu, "memory": memory}}
    if gpus:
        resources["limits"] = {GPU: str(gpus)}
    spec: Json = {
        "containers": [{"name": "work", "image": "registry.example.org/team/work:1", "resources": resources}],
        "tolerations": [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}],
        "terminationGracePeriodSeconds": 0,
    }
    if node is not None:
        term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
        spec["affinity"] = {"nodeAffinity": required}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def ensure_namespace(kube: Kube, name: str) -> None:
    """The namespace, and the service account without which no pod can be made in it."""
    if kube.find("Namespace", name) is None:
        kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    kube.wait_until("ServiceAccount", "default", lambda _: True, "exists", namespace=name)


def is_running(pod: Json) -> bool:
    return bool(pod["spec"].get("nodeName")) and pod["status"].get("phase") == "Running"


def start(kube: Kube, pod: Json) -> Json:
    """Make the pod and wait until it runs."""
    kube.create(pod)
    meta = pod["metadata"]
    return kube.wait_until("Pod", meta["name"], is_running, "runs", namespace=meta["namespace"])


def remove(kube: Kube, name: str, namespace: str) -> None:
    kube.delete("Pod", name, namespace, grace=0)
    kube.wait_gone("Pod", name, namespace)


def refuse_reason(pod: Json) -> str | None:
    """Why the scheduler hasn't bound it, from its condition: events of one reason keep their first text only."""
    for condition in pod["status"].get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(condition.get("message", ""))
    return None
