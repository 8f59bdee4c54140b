"""Owns three more Berths whose numbers grow old while other tests run, each since it lost sight of the cluster in
another way: the apiserver fell silent, or refuses it one kind.

Half a minute must pass before numbers are called old. So the faults begin with the run, and are looked at later.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from berth import HERE, Berth
from control_plane import ControlPlane
from kube import ApiError, Json, load_objects
from waiting import eventually
from wire import Wire

NAMESPACE = "jupyterhub"
SILENT, NO_PODS, NO_CLAIMS = "silent", "no-pods", "no-claims"
WAYS = (SILENT, NO_PODS, NO_CLAIMS)


@dataclass
class Aged:
    """One of them, with its wire to the apiserver and its first process."""

    berth: Berth
    wire: Wire
    pid: int


class Aging:
    """A context manager; inside it the three are old or on the way there."""

    def __init__(self, plane: ControlPlane, token: str, hub_api_url: str) -> None:
        self._plane = plane
        self._token = token
        self._hub_api_url = hub_api_url
        self._stack = ExitStack()
        self._rights: dict[str, Json] = {}
        self._all: dict[str, Aged] = {}

    def __enter__(self) -> Self:
        try:
            for way in WAYS:
                self._all[way] = self._start(way)
            self._begin()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __getitem__(self, way: str) -> Aged:
        return self._all[way]

    def restore(self) -> None:
        """All is well with the cluster again; nobody tells Berth."""
        for path, rules in self._rights.items():
            self._plane.kube.call("PATCH", path, rules)
        self._all[SILENT].wire.mend()

    def _start(self, way: str) -> Aged:
        account = f"berth-{way}"
        give_own_rights(self._plane, account)
        wire = self._stack.enter_context(Wire(self._plane.server.removeprefix("https://")))
        berth = Berth(
            self._plane, self._token, name=account, account=account, server=f"https://{wire.address}"
        )  # fmt: skip
        self._stack.enter_context(berth)
        berth.start(self._hub_api_url, HERE / "catalogue.yaml")
        return Aged(berth, wire, berth.program.pid)

    def _begin(self) -> None:
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        self._refuse(f"{rbac}/clusterroles/berth-{NO_PODS}", "/api/v1/pods", NO_PODS, keep=["nodes"])
        claims = f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims"
        self._refuse(f"{rbac}/namespaces/{NAMESPACE}/roles/berth-{NO_CLAIMS}", claims, NO_CLAIMS, keep=[])
        self._all[SILENT].wire.hold()

    def _refuse(self, role: str, path: str, way: str, keep: list[str]) -> None:
        """Take the right to one kind away; a watch that is open goes on, so it is cut."""
        kube = self._plane.kube
        self._rights[role] = {"rules": kube.call("GET", role)["rules"]}
        rules = [{"apiGroups": [""], "resources": keep, "verbs": ["get", "list", "watch"]}] if keep else []
        kube.call("PATCH", role, {"rules": rules})
        client = self._plane.client_for(self._plane.kubeconfig_for(f"berth-{way}", NAMESPACE))

        def refused() -> bool:
            try:
                client.call("GET", path)
            except ApiError as error:
                return error.status == 403
            return False

        eventually(refused, f"{path} is refused to {way}", 10)
        self._all[way].wire.cut()


def give_own_rights(plane: ControlPlane, account: str) -> None:
    """The rights of Berth, for a service account of another name, so that they can be taken from it alone."""
    for item in load_objects(Path(HERE) / "berth_rights.yaml"):
        item["metadata"]["name"] = account
        for part in [item.get("roleRef"), *item.get("subjects", [])]:
            if part:
                part["name"] = account
        plane.kube.create(item)
