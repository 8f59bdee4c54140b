"""Owns turning what a Kubernetes version says of itself (its OpenAPI document, and a custom resource's definition) into
the JSON Schemas that kubeconform reads: one file for each kind, in which an unknown field is a mistake.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Json = dict[str, Any]

REF = "#/definitions/"
# The document calls these strings; an apiserver takes numbers too.
ALSO_NUMBERS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": ["string", "number"],
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": ["string", "integer"],
}


def write_schemas(document: Path, folder: Path) -> int:
    """The built-in kinds of one version; returns how many there are."""
    definitions: dict[str, Json] = json.loads(document.read_text())["definitions"]
    for name, types in ALSO_NUMBERS.items():
        definitions[name] = {"type": types}
    for definition in definitions.values():
        _close(definition)
    written = 0
    for name, definition in definitions.items():
        kinds = definition.get("x-kubernetes-group-version-kind", [])
        if len(kinds) != 1 or "kind" not in definition.get("properties", {}):
            continue  # options of requests, which many groups share, are no objects
        group, version, kind = (kinds[0][part] for part in ("group", "version", "kind"))
        needed = _closure(name, definitions)
        _write(folder, group, version, kind, {"$ref": REF + name, "definitions": needed})
        written += 1
    return written


def write_custom_schema(definition: Path, folder: Path) -> None:
    """The kind of one CustomResourceDefinition."""
    spec = yaml.safe_load(definition.read_text())["spec"]
    for version in spec["versions"]:
        schema = copy.deepcopy(version["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"type": "object"}
        _close(schema)
        _write(folder, spec["group"], version["name"], spec["names"]["kind"], schema)


def _write(folder: Path, group: str, version: str, kind: str, schema: Json) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    parts = [kind, *([group.split(".")[0]] if group else []), version]  # kubeconform's own way to name them
    (folder / f"{'-'.join(parts).lower()}.json").write_text(json.dumps(schema))


def _close(schema: Json) -> None:
    """An object whose fields are known has no others."""
    if schema.pop("x-kubernetes-int-or-string", False):
        schema.pop("anyOf", None)
        schema["type"] = ["string", "integer"]
    if "properties" in schema and "additionalProperties" not in schema:
        schema["additionalProperties"] = False
    for inner in _inner(schema):
        _close(inner)


def _inner(schema: Json) -> Iterator[Json]:
    yield from schema.get("properties", {}).values()
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield schema[key]


def _closure(name: str, definitions: dict[str, Json]) -> dict[str, Json]:
    """The definition and all that it refers to."""
    found: dict[str, Json] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found[current] = definitions[current]
            waiting += [target.removeprefix(REF) for target in _references(definitions[current])]
    return found


def _references(schema: Json) -> Iterator[str]:
    if "$ref" in schema:
        yield schema["$ref"]
    for inner in _inner(schema):
        yield from _references(inner)
