"""Owns talking to the test cluster's apiserver: a thin client over its REST paths, and waiting for objects by
watching them.

Thin on purpose: the tests compare what the apiserver really holds, so objects stay the JSON they are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import requests
import yaml

Json = dict[str, Any]

KINDS = {
    "Node": "/api/v1/nodes",
    "Namespace": "/api/v1/namespaces",
    "PersistentVolume": "/api/v1/persistentvolumes",
    "StorageClass": "/apis/storage.k8s.io/v1/storageclasses",
    "PriorityClass": "/apis/scheduling.k8s.io/v1/priorityclasses",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
}
NAMESPACED = {
    "Pod": ("/api/v1", "pods"),
    "Secret": ("/api/v1", "secrets"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "ResourceQuota": ("/api/v1", "resourcequotas"),
    "Event": ("/api/v1", "events"),
    "Role": ("/apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
}


class ApiError(RuntimeError):
    """The apiserver said no; `status` is its HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text[:1000]}")
        self.status = status


def path_of(kind: str, namespace: str | None = None, name: str | None = None) -> str:
    """The REST path of a collection, or with a name of one object."""
    if kind in KINDS:
        base = KINDS[kind]
    else:
        group, plural = NAMESPACED[kind]
        base = f"{group}/namespaces/{namespace}/{plural}" if namespace else f"{group}/{plural}"
    return f"{base}/{name}" if name else base


def load_objects(path: Path) -> list[Json]:
    """The objects of a YAML file with several documents."""
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


class Kube:
    """A client with the rights of one token."""

    def __init__(self, server: str, ca: Path, token: str) -> None:
        self.server = server
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(ca)
        self._session.headers["Authorization"] = f"Bearer {token}"

    def call(
        self, method: str, path: str, body: Any = None, params: Mapping[str, str] | None = None
    ) -> Json:  # fmt: skip
        headers = {"Content-Type": "application/json"}
        if method == "PATCH":
            headers["Content-Type"] = (
                f"application/{'json-patch' if isinstance(body, list) else 'strategic-merge-patch'}+json"
            )
        answer = self._session.request(
            method, self.server + path, params=params, headers=headers, timeout=30,
            data=None if body is None else json.dumps(body),
        )  # fmt: skip
        if answer.status_code >= 400:
            raise ApiError(answer.status_code, answer.text)
        decoded: Json = answer.json()
        return decoded

    def is_ready(self) -> bool:
        return self._session.get(f"{self.server}/readyz", timeout=5).status_code == 200

    def get(self, kind: str, name: str, namespace: str | None = None) -> Json:
        return self.call("GET", path_of(kind, namespace, name))

    def list_of(self, kind: str, namespace: str | None = None, **params: str) -> list[Json]:
        items: list[Json] = self.call("GET", path_of(kind, namespace), params=params)["items"]
        return items

    def create(self, body: Json) -> Json:
        return self.call("POST", path_of(body["kind"], body["metadata"].get("namespace")), body)

    def patch(self, kind: str, name: str, body: Json | list[Json], namespace: str | None = None, sub: str = "") -> Json:
        return self.call("PATCH", path_of(kind, namespace, name) + sub, body)

    def delete(self, kind: str, name: str, namespace: str | None = None, *, grace: int | None = None) -> None:
        """Delete it; that it is gone already is fine."""
        try:
            params = {} if grace is None else {"gracePeriodSeconds": str(grace)}
            self.call("DELETE", path_of(kind, namespace, name), params=params)
        except ApiError as error:
            if error.status != 404:
                raise

    def find(self, kind: str, name: str, namespace: str | None = None) -> Json | None:
        try:
            return self.get(kind, name, namespace)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    def changes(self, path: str, version: str, seconds: float, **selectors: str) -> Iterator[tuple[str, Json]]:
        """The watch events of a collection, or of what selectors leave of it, until the apiserver ends the watch."""
        params = {"watch": "1", "resourceVersion": version, "timeoutSeconds": str(max(1, int(seconds))), **selectors}
        with self._session.get(self.server + path, params=params, stream=True, timeout=(5, seconds + 5)) as answer:
            if answer.status_code >= 400:
                raise ApiError(answer.status_code, answer.text)
            # Without chunk_size=None events are held back until 512 bytes have come.
            for line in answer.iter_lines(chunk_size=None):
                if line:
                    event = json.loads(line)
                    yield event["type"], event["object"]

    def wait_for(
        self, kind: str, name: str, holds: Callable[[Json | None], bool], what: str, *,
        namespace: str | None = None, deadline: float = 30.0,
    ) -> Json | None:  # fmt: skip
        """Watch one object until `holds` says yes to it (None: there is no such object), and return what it was."""
        until = time.monotonic() + deadline
        path = path_of(kind, namespace)
        seen: Json | None = None
        while (left := until - time.monotonic()) > 0:
            found = self.call("GET", path, params={"fieldSelector": f"metadata.name={name}"})
            seen = found["items"][0] if found["items"] else None
            if holds(seen):
                return seen
            version = found["metadata"]["resourceVersion"]
            for event, item in self.changes(path, version, left, fieldSelector=f"metadata.name={name}"):
                if event == "ERROR":
                    break
                seen = None if event == "DELETED" else item
                if holds(seen):
                    return seen
        raise TimeoutError(f"{kind} {name}: {what}: not within {deadline:g} s; last seen {json.dumps(seen)[:2000]}")

    def wait_until(
        self, kind: str, name: str, holds: Callable[[Json], bool], what: str, *,
        namespace: str | None = None, deadline: float = 30.0,
    ) -> Json:  # fmt: skip
        """As `wait_for`, for an object that must exist."""
        found = self.wait_for(
            kind, name, lambda item: item is not None and holds(item), what, namespace=namespace, deadline=deadline
        )
        assert found is not None
        return found

    def wait_gone(self, kind: str, name: str, namespace: str | None = None, deadline: float = 30.0) -> None:
        self.wait_for(kind, name, lambda item: item is None, "is gone", namespace=namespace, deadline=deadline)
