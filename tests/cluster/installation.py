"""Owns the installed chart: an administrator's shell in the cluster, and a Berth that runs as its Deployment says.

No kubelet runs, so Berth is started as a process with what the Deployment holds: its service account, its arguments and
variables, its mounted files. The commands are those of the README, read from it.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
from berth import CHECKOUT, berth_program
from control_plane import ControlPlane
from hub import NAMESPACE
from kube import Json, Kube
from processes import Program, free_ports
from tools import ensure_helm

README = CHECKOUT / "README.md"
TOKEN_KEY = "hub.services.berth.apiToken"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/berth"
CONFIG_MAPS = f"/api/v1/namespaces/{NAMESPACE}/configmaps/"
REVIEWS = "authorization.k8s.io/v1"
EXTRA = "extra-claim"
CLUSTER_ROLE = ("ClusterRole", f"berth-{NAMESPACE}", None)
ROLE = ("Role", "berth", NAMESPACE)
READ = ("get", "list", "watch")
EVERYWHERE = {("", "nodes"), ("", "pods"), ("", "persistentvolumes"), ("storage.k8s.io", "storageclasses")}
AT_THE_HUB = {("", "persistentvolumeclaims"), ("", "resourcequotas"), ("", "events")}


class Site:
    """An administrator's shell: a folder with a copy of the repository, and a kubeconfig."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        self.kube = plane.kube
        self.folder = folder
        for name in ("chart", "hub-config", "src"):
            (folder / name).symlink_to(CHECKOUT / name)
        programs = folder / "bin"
        programs.mkdir()
        (programs / "helm").symlink_to(ensure_helm())
        self._env = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "KUBECONFIG": str(plane.kubeconfig_admin),
            "HELM_CACHE_HOME": str(folder / "helm"),
            "HELM_CONFIG_HOME": str(folder / "helm"),
            "HELM_DATA_HOME": str(folder / "helm"),
        }

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self._env, capture_output=True, text=True, check=False
        )

    def succeeds(self, command: str) -> str:
        ended = self.run(command)
        assert ended.returncode == 0, f"{command}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout

    def account(self, name: str) -> Kube:
        """A client with the rights of a service account."""
        return self.plane.client_for(self.plane.kubeconfig_for(name, NAMESPACE))

    @property
    def deployment(self) -> Json:
        return self.kube.call("GET", DEPLOYMENT)


def readme_commands() -> list[str]:
    """The commands of the README's section on installing, each on one line, in their order."""
    text = README.read_text()
    section = re.search(r"^## Install beside a stock hub\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert section, "the README has no section `Install beside a stock hub`"
    shown = "".join(re.findall(r"^ *```console\n(.*?)^ *```", section[1], re.MULTILINE | re.DOTALL))
    joined = re.sub(r" *\\\n *", " ", shown)
    return [line.strip().removeprefix("$ ") for line in joined.splitlines() if line.strip().startswith("$ ")]


def readme_command(*beginnings: str) -> str:
    found = [each for each in readme_commands() if each.startswith(beginnings)]
    assert len(found) == 1, f"the README has {len(found)} commands that begin with {beginnings}"
    return found[0]


def volume(claim: str) -> Json:
    """What SeaweedFS's CSI driver would provide."""
    return {
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": claim},
        "spec": {
            "capacity": {"storage": "1Ti"}, "accessModes": ["ReadWriteMany"], "hostPath": {"path": f"/srv/{claim}"},
            "storageClassName": "seaweedfs-storage", "claimRef": {"namespace": NAMESPACE, "name": claim},
        },
    }  # fmt: skip


def write_token(kube: Kube, token: str) -> None:
    """The stock chart's Secret, which holds other secrets too."""
    data = {TOKEN_KEY: token, "hub.config.ConfigurableHTTPProxy.auth_token": "a secret of the proxy"}
    secret: Json = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hub", "namespace": NAMESPACE}, "stringData": data,
    }  # fmt: skip
    if kube.find("Secret", "hub", NAMESPACE) is None:
        kube.create(secret)
    else:
        kube.patch("Secret", "hub", {"stringData": data}, NAMESPACE)


def token_of(kube: Kube) -> str:
    return base64.b64decode(kube.get("Secret", "hub", NAMESPACE)["data"][TOKEN_KEY]).decode()


class FromDeployment:
    """Berth as a process, by what the apiserver holds of its Deployment. Addresses and folders are this machine's.

    A context manager: it ends with it. Whether it becomes ready is the test's question.
    """

    def __init__(self, site: Site, name: str) -> None:
        self.site = site
        self.name = name
        listen, manage = free_ports(2)
        self._ports = {"8080": listen, "9090": manage}
        self.url, self.manage = f"http://127.0.0.1:{listen}", f"http://127.0.0.1:{manage}"
        self._spec: Json = site.deployment["spec"]["template"]["spec"]
        (self._container,) = self._spec["containers"]
        self._folders = self.write_files()
        self._program: Program | None = None

    def start(self, hub_api_url: str = "http://127.0.0.1:1/hub/api") -> None:
        variables = {each["name"]: each["value"] for each in self._container["env"]}
        assert variables["JUPYTERHUB_API_URL"] == "http://hub:8081/hub/api"
        variables["JUPYTERHUB_API_URL"] = hub_api_url
        # In a pod the account's token is in a folder that Berth knows by itself.
        account = self._spec["serviceAccountName"]
        variables["KUBECONFIG"] = str(self.site.plane.kubeconfig_for(account, NAMESPACE))
        arguments = [self._here(argument) for argument in self._container["args"]]
        self._program = Program(self.name, [berth_program(), *arguments], self.site.plane.logs, env=variables)
        self._program.start(lambda: self._answers("livez"), deadline=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._program is not None:
            self._program.stop()

    @property
    def catalogue(self) -> Path:
        return self._folders["/etc/berth"] / "catalogue.yaml"

    def write_files(self) -> dict[str, Path]:
        """What the kubelet mounts, and renews within a minute of a change; mountPath to folder."""
        kube, folders = self.site.kube, {}
        for mount in self._container["volumeMounts"]:
            (source,) = [each for each in self._spec["volumes"] if each["name"] == mount["name"]]
            if secret := source.get("secret"):
                data = kube.get("Secret", secret["secretName"], NAMESPACE)["data"]
                files = {item["path"]: base64.b64decode(data[item["key"]]).decode() for item in secret["items"]}
            else:
                files = kube.call("GET", CONFIG_MAPS + source["configMap"]["name"])["data"]
            folder = folders[mount["mountPath"]] = self.site.folder / self.name / mount["name"]
            folder.mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                (folder / name).write_text(text)
        return folders

    def _here(self, argument: str) -> str:
        name, _, value = argument.partition("=")
        if address := re.fullmatch(r"0\.0\.0\.0:(\d+)", value):
            return f"{name}=127.0.0.1:{self._ports[address[1]]}"
        for path, folder in self._folders.items():
            if value.startswith(f"{path}/"):
                return f"{name}={folder}{value.removeprefix(path)}"
        return argument

    # === what it says ===

    def _answers(self, probe: str) -> bool:
        try:
            return requests.get(f"{self.manage}/{probe}", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def is_ready(self) -> bool:
        return self._answers("readyz")

    def refusals(self, resource: str, verb: str) -> int:
        """How often its log says that the apiserver forbade this."""
        assert self._program is not None
        text = self._program.log.read_text(errors="replace")
        return sum(f"{resource} is forbidden" in line and f"cannot {verb} " in line for line in text.splitlines())

    def ask(self, route: str, token: str = "", **more: Any) -> requests.Response:
        """As the hook does."""
        base: Json = {
            "node_selector": {}, "node_affinity_required": [], "tolerations": [], "requests": {},
            "scheduler_name": None,
        }  # fmt: skip
        body = {"user": {"name": "ada", "groups": [], "admin": False}, "server": "", "base": base, **more}
        headers = {"Authorization": f"Bearer {token or token_of(self.site.kube)}"}
        return requests.post(f"{self.url}/api/v1/hub/{route}", json=body, headers=headers, timeout=10)

    def gpus(self) -> tuple[int, int]:
        """Free and in all, as the auto-select profile says."""
        profiles = self.ask("profile-list").json()["profiles"]
        berth = next(each for each in profiles if each["slug"] == "gpu")["berth"]
        return berth["free"], berth["total"]

    def spawn_of_cpu(self) -> int:
        """The status of asking for the plain profile."""
        return self.ask("spawn-options", options={"profile": "cpu"}).status_code
