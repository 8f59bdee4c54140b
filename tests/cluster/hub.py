"""Owns the real JupyterHub of the tests: the hub with KubeSpawner, configurable-http-proxy, and a stub that answers
for the notebooks.

The hub runs outside the cluster, with a kubeconfig whose rights are those of the stock chart's hub. The proxy is its
own program, as in the chart, so it's started and stopped here. Without Berth (`berth=None`) it's the stock hub that
every manifest is compared with.
"""

from __future__ import annotations

import secrets
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import requests
from browser import Browser
from control_plane import ControlPlane
from kube import load_objects
from notebook_stub import NotebookStub
from processes import Program, free_ports

HERE = Path(__file__).resolve().parent
NAMESPACE = "jupyterhub"


@dataclass(frozen=True)
class BerthAddress:
    """Where the hub finds Berth, and the token that both know."""

    url: str
    token: str


class Hub:
    """A context manager; `url` is what a browser is pointed at."""

    def __init__(
        self,
        plane: ControlPlane,
        *,
        name: str = "hub",
        berth: BerthAddress | None = None,
        site: str = "",
        python: Path | None = None,
        base_url: str = "/",
        berth_group: str = "",
    ) -> None:
        """`site`: a file of `sites/` with what an operator has configured; `python`: whose JupyterHub to run;
        `base_url`: the path below which everything is; `berth_group`: who alone may use Berth.
        """
        self._plane = plane
        self._berth = berth
        self.name = name
        self._site = str(HERE / "sites" / site) if site else ""
        self._python = str(python or sys.executable)
        self.base_url = base_url
        self._berth_group = berth_group
        self._work = plane.folder / name
        self._hub: Program | None = None
        self._stack = ExitStack()
        self._token = secrets.token_urlsafe(24)
        public, api, proxy = free_ports(3)
        self._ports = {"HUB_PUBLIC_PORT": str(public), "HUB_API_PORT": str(api), "HUB_PROXY_PORT": str(proxy)}
        self.url = f"http://127.0.0.1:{public}{base_url.rstrip('/')}"
        self.api_url = f"http://127.0.0.1:{api}{base_url}hub/api"

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def program(self) -> Program:
        assert self._hub is not None, f"{self.name} was never started"
        return self._hub

    @property
    def fallback_file(self) -> Path:
        """Where the hook keeps the last fallback: in the stock chart the hub's data folder."""
        return self._work / "berth-fallback.json"

    def restart(self, *, forget_fallback: bool = False) -> None:
        """The hub alone, as a new pod of it: proxy, servers and its database stay."""
        self.program.stop()
        if forget_fallback:
            self.fallback_file.unlink(missing_ok=True)
        self.program.start(self._answers, deadline=90)

    def log_in(self, user: str) -> Browser:
        """A browser in which this user has logged in."""
        browser = Browser(self.url, user)
        browser.log_in()
        return browser

    def token_of(self, user: str) -> str:
        """An API token of the user, as he would make one on the hub's token page."""
        answer = self.call("POST", f"/users/{quote(user, safe='')}/tokens", json={"note": "tests"})
        return str(answer.json()["token"])

    def call(self, method: str, path: str, **more: object) -> requests.Response:
        """The hub's REST API, with an administrator's rights."""
        headers = {"Authorization": f"token {self._token}"}
        answer = requests.request(method, self.api_url + path, headers=headers, timeout=30, **more)  # type: ignore[arg-type]
        answer.raise_for_status()
        return answer

    def _start(self) -> None:
        kubeconfig = self._plane.kubeconfig_for("hub", NAMESPACE)
        self._work.mkdir()
        stub = self._stack.enter_context(NotebookStub())
        proxy_token = secrets.token_urlsafe(24)
        env = {
            **self._ports,
            "HUB_NOTEBOOK_PORT": str(stub.port),
            "HUB_TESTS_TOKEN": self._token,
            "CONFIGPROXY_AUTH_TOKEN": proxy_token,
            "KUBECONFIG": str(kubeconfig),
            "BERTH_URL": self._berth.url if self._berth else "",
            "BERTH_TOKEN": self._berth.token if self._berth else "",
            "HUB_SITE": self._site,
            "HUB_BASE_URL": self.base_url,
            "HUB_BERTH_GROUP": self._berth_group,
        }
        proxy = Program(f"{self.name}-proxy", [
            self._plane.tools.proxy, "--ip=127.0.0.1", f"--port={self._ports['HUB_PUBLIC_PORT']}",
            "--api-ip=127.0.0.1", f"--api-port={self._ports['HUB_PROXY_PORT']}",
            f"--default-target=http://127.0.0.1:{self._ports['HUB_API_PORT']}", "--error-target="
            f"http://127.0.0.1:{self._ports['HUB_API_PORT']}{self.base_url}hub/error",
        ], self._plane.logs, env=env)  # fmt: skip
        self._hub = Program(
            self.name, [self._python, "-m", "jupyterhub", "-f", HERE / "jupyterhub_config.py"],
            self._plane.logs, env=env, cwd=self._work,
        )  # fmt: skip
        for program in (proxy, self._hub):
            self._stack.callback(program.stop)
        proxy.start()
        self._hub.start(self._answers, deadline=90)

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/hub/health", timeout=5).status_code == 200
        except requests.RequestException:
            return False


def give_rights(plane: ControlPlane, file: str) -> None:
    """Create the objects of one of the rights files beside this module."""
    for item in load_objects(HERE / file):
        plane.kube.create(item)
