"""Owns the Berth under test: runs the built program as the hub's service, with the rights of its own service account,
and asks its API.

BERTH_BIN names the program; without it the release build of this checkout is taken, else the debug build.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
from control_plane import ControlPlane
from processes import Program, free_ports

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]


def berth_program() -> Path:
    """The program to test."""
    if named := os.environ.get("BERTH_BIN"):
        return Path(named).resolve()
    built = [CHECKOUT / "target" / profile / "berth" for profile in ("release", "debug")]
    for path in built:
        if path.exists():
            return path
    raise FileNotFoundError(
        f"there is no Berth to test: set BERTH_BIN, or `cargo build` one of {[str(p) for p in built]}"
    )


class Berth:
    """A context manager; inside it Berth is ready. `url` and `token` are what the hub is told."""

    def __init__(
        self, plane: ControlPlane, token: str, *, name: str = "berth", account: str = "berth", server: str = ""
    ) -> None:
        """`account`: the service account whose rights it has; `server`: another address of the apiserver."""
        self._plane = plane
        self.token = token
        self.name = name
        self._account = account
        self._server = server
        listen, manage = free_ports(2)
        self.listen = f"127.0.0.1:{listen}"
        self.manage = f"127.0.0.1:{manage}"
        self.url = f"http://{self.listen}"
        self._program: Program | None = None

    def start(self, hub_api_url: str, catalogue: Path = HERE / "catalogue.yaml", base_url: str = "/") -> None:
        """Run it beside a hub below `base_url`; returns when /readyz says that the first inventory is there."""
        env = {
            "JUPYTERHUB_API_TOKEN": self.token,
            "JUPYTERHUB_API_URL": hub_api_url,
            "JUPYTERHUB_SERVICE_PREFIX": f"{base_url}services/berth/",
            "JUPYTERHUB_BASE_URL": base_url,
            "JUPYTERHUB_CLIENT_ID": "service-berth",
        }
        kubeconfig = self._plane.kubeconfig_for(self._account, "jupyterhub", self._server)
        self._program = Program(self.name, [
            berth_program(), "serve", "--listen", self.listen, "--manage", self.manage, "--config", catalogue,
            "--kubeconfig", kubeconfig, "--log", "text",
        ], self._plane.logs, env=env)  # fmt: skip
        self._program.start(self._is_ready, deadline=30)

    def stop(self) -> None:
        if self._program is not None:
            self._program.stop()

    @property
    def program(self) -> Program:
        assert self._program is not None, f"{self.name} was never started"
        return self._program

    def start_again(self) -> None:
        """As it was started last."""
        self.program.start(self._is_ready, deadline=30)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _is_ready(self) -> bool:
        try:
            return requests.get(f"http://{self.manage}/readyz", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    # === its API ===

    def profile_list(self, user: str, groups: tuple[str, ...] = (), *, admin: bool = False) -> requests.Response:
        """What the hook asks for a form."""
        return self._ask_as_hub("profile-list", {"user": {"name": user, "groups": list(groups), "admin": admin}})

    def spawn_options(self, user: str, options: Any, groups: tuple[str, ...] = ()) -> requests.Response:
        """What the hook asks for a spawn. A hold may follow: use it only where that does no harm."""
        body = {"user": {"name": user, "groups": list(groups), "admin": False}, "options": options}
        return self._ask_as_hub("spawn-options", body)

    def _ask_as_hub(self, route: str, body: Mapping[str, Any]) -> requests.Response:
        base: dict[str, Any] = {
            "node_selector": {}, "node_affinity_required": [], "tolerations": [], "requests": {},
            "scheduler_name": None,
        }  # fmt: skip
        return requests.post(
            f"{self.url}/api/v1/hub/{route}", json={**body, "server": "", "base": base}, timeout=10,
            headers={"Authorization": f"Bearer {self.token}"},
        )  # fmt: skip

    def metric(self, name: str, **labels: str) -> float:
        """One sample of /metrics."""
        text = requests.get(f"http://{self.manage}/metrics", timeout=10).text
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        for line in text.splitlines():
            series, _, value = line.rpartition(" ")
            found, _, inside = series.partition("{")
            if found == name and wanted <= set(inside.rstrip("}").split(",")):
                return float(value)
        raise AssertionError(f"no {name} with {labels} among the metrics")

    def get(self, path: str, user_token: str) -> requests.Response:
        """A route that any hub user may read."""
        headers = {"Authorization": f"Bearer {user_token}", "Accept": "application/json"}
        return requests.get(self.url + path, headers=headers, timeout=10)
