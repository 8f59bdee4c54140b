"""Owns reading pods as the apiserver holds them: comparing two whole manifests, and asking what a pod's settings mean
for nodes.
"""

from __future__ import annotations

import copy
import re
from decimal import Decimal
from typing import Any

from kube import Json

SERVER_SET = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation")
# Admission adds these to every pod.
DEFAULT_TOLERATIONS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
UNITS: dict[str, int | Decimal] = {
    "": 1,
    "m": Decimal("0.001"),
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


def quantity(text: str) -> Decimal:
    """A Kubernetes quantity as a number: what's sent as 4.0 comes back as 4, what's sent as bytes as Gi or bytes."""
    matched = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", text)
    assert matched, f"not a quantity: {text!r}"
    return Decimal(matched[1]) * UNITS[matched[2]]


def notebook(pod: Json) -> Json:
    """The user's own container."""
    found: Json = next(each for each in pod["spec"]["containers"] if each["name"] == "notebook")
    return found


def environment(pod: Json) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in notebook(pod)["env"]}


def resources(pod: Json) -> dict[str, dict[str, Decimal]]:
    """Limits and requests of the notebook container, as numbers."""
    asked = notebook(pod)["resources"]
    return {
        part: {name: quantity(value) for name, value in asked.get(part, {}).items()} for part in ("limits", "requests")
    }


def resource_names(pod: Json) -> set[str]:
    """Every resource that any container of the pod names."""
    containers = pod["spec"]["containers"] + pod["spec"].get("initContainers", [])
    return {name for each in containers for part in ("limits", "requests") for name in each["resources"].get(part, {})}


def mounts(pod: Json) -> dict[str, Json]:
    """Mounts by path, each with the volume behind it under `volume`."""
    volumes = {each["name"]: each for each in pod["spec"].get("volumes", [])}
    return {each["mountPath"]: {**each, "volume": volumes[each["name"]]} for each in notebook(pod)["volumeMounts"]}


def tolerations(pod: Json) -> list[Json]:
    return [each for each in pod["spec"].get("tolerations", []) if each.get("key") not in DEFAULT_TOLERATIONS]


def node_affinity(pod: Json) -> Json:
    found: Json = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    return found


def required_terms(pod: Json) -> list[Json]:
    required = node_affinity(pod).get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    terms: list[Json] = required.get("nodeSelectorTerms", [])
    return terms


def preferred_terms(pod: Json) -> list[Json]:
    terms: list[Json] = node_affinity(pod).get("preferredDuringSchedulingIgnoredDuringExecution", [])
    return terms


def preferred_nodes(pod: Json) -> list[str]:
    """The nodes that the pod prefers by their names."""
    fields = [field for term in preferred_terms(pod) for field in term["preference"].get("matchFields", [])]
    return [name for field in fields for name in field["values"]]


def _holds(requirement: Json, values: dict[str, str]) -> bool:
    key, operator, wanted = requirement["key"], requirement["operator"], requirement.get("values", [])
    has = values.get(key)
    match operator:
        case "In":
            return has in wanted
        case "NotIn":
            return has not in wanted
        case "Exists":
            return has is not None
        case "DoesNotExist":
            return has is None
        case "Gt" | "Lt":
            return (
                has is not None and ((int(has) > int(wanted[0])) == (operator == "Gt")) and int(has) != int(wanted[0])
            )
    raise AssertionError(f"unknown operator {operator}")


def term_matches(term: Json, node: Json) -> bool:
    """One node selector term, as the scheduler reads it: all of it must hold, and an empty one matches nothing."""
    labels, fields = term.get("matchExpressions", []), term.get("matchFields", [])
    return bool(labels or fields) and (
        all(_holds(each, node["metadata"]["labels"]) for each in labels)
        and all(_holds(each, {"metadata.name": node["metadata"]["name"]}) for each in fields)
    )


def nodes_allowed(pod: Json, nodes: list[Json]) -> set[str]:
    """The nodes that the pod's selector and required terms leave, by name."""
    terms = required_terms(pod)
    selector = pod["spec"].get("nodeSelector", {})
    return {
        node["metadata"]["name"]
        for node in nodes
        if (not terms or any(term_matches(term, node) for term in terms))
        and all(node["metadata"]["labels"].get(key) == value for key, value in selector.items())
    }


def comparable(pod: Json) -> Json:
    """The manifest without what differs between any two pods of one user: what servers set, tokens, the hub's port."""
    whole = copy.deepcopy(pod)
    whole.pop("status", None)
    for each in SERVER_SET:
        whole["metadata"].pop(each, None)
    whole["spec"].pop("nodeName", None)
    container = notebook(whole)
    values = {each["name"]: each for each in container["env"]}
    for token in ("JPY_API_TOKEN", "JUPYTERHUB_API_TOKEN"):
        values[token]["value"] = "a token"
    container["env"] = {
        name: re.sub(r"(127\.0\.0\.1|0\.0\.0\.0):\d+", r"\1:PORT", each.get("value", ""))
        for name, each in values.items()
    }
    for port in container["ports"]:
        port["containerPort"] = "PORT"
    container["volumeMounts"] = {each["mountPath"]: each for each in container["volumeMounts"]}
    whole["spec"]["containers"] = {each["name"]: each for each in whole["spec"]["containers"]}
    whole["spec"]["volumes"] = {each["name"]: each for each in whole["spec"].get("volumes", [])}
    return whole


def differences(before: Any, after: Any, at: str = "") -> dict[str, tuple[Any, Any]]:
    """Where two manifests differ, by path. Lists are compared as wholes: their order and length mean something."""
    if isinstance(before, dict) and isinstance(after, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for key in sorted(before.keys() | after.keys()):
            found |= differences(before.get(key), after.get(key), f"{at}/{key}")
        return found
    return {} if before == after else {at: (before, after)}
