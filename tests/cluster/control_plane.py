"""Owns the real control plane of the tests: etcd, kube-apiserver, kube-controller-manager, kube-scheduler and KWOK,
as plain processes.

Everything is on free ports of the loopback and in one temporary folder. RBAC is on, so what runs against this cluster
runs with the rights that it would have in production. The logs are in BERTH_TEST_LOGS if that is set, else in a
folder that is kept if something fails.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import requests
import yaml
from certificates import make_certificates
from kube import Kube, path_of
from processes import Program, free_ports
from tools import ensure_all
from waiting import eventually

POD_NETWORK = "127.10.0.0/16"
# The API user behind each component's token, and its groups: what kubeadm's certificates would say.
COMPONENTS = {"admin": "system:masters", "system:kube-controller-manager": "", "system:kube-scheduler": ""}
SCHEDULER = {
    "apiVersion": "kubescheduler.config.k8s.io/v1",
    "kind": "KubeSchedulerConfiguration",
    "leaderElection": {"leaderElect": False},
    # A pod that didn't fit is tried again soon: the tests wait for it.
    "podInitialBackoffSeconds": 1,
    "podMaxBackoffSeconds": 2,
}


class ControlPlane:
    """A context manager: inside it the cluster answers, afterwards nothing of it is left running."""

    # How often the scheduler may call the apiserver; nothing means its own default, 50 a second.
    scheduler_pace: Mapping[str, int] = {}

    def __init__(self) -> None:
        self.tools = ensure_all()
        self.folder = Path(tempfile.mkdtemp(prefix="berth-cluster-"))
        self.logs = Path(os.environ.get("BERTH_TEST_LOGS") or self.folder / "logs")
        self.logs.mkdir(parents=True, exist_ok=True)
        self._ports = dict(zip(("etcd", "peer", "api", "controller", "scheduler"), free_ports(5), strict=True))
        self.server = f"https://127.0.0.1:{self._ports['api']}"
        self.ca = self.folder / "ca.crt"
        self._tokens = {user: secrets.token_urlsafe(24) for user in COMPONENTS}
        self.kube = Kube(self.server, self.ca, self._tokens["admin"])
        self.keep_folder = False
        self._stack = ExitStack()
        self._components: list[Program] = []
        self._apiserver = self._apiserver_program()

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
        if kind is None and not self.keep_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def kubeconfig_admin(self) -> Path:
        return self.folder / "admin.kubeconfig"

    def kubeconfig_for(self, service_account: str, namespace: str, server: str = "") -> Path:
        """A kubeconfig with a token of that service account, as the apiserver issues them to pods.

        `server`: another address of the apiserver, such as that of a wire in front of it.
        """
        path = path_of("ServiceAccount", namespace, service_account) + "/token"
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 86400}}
        token = self.kube.call("POST", path, body)["status"]["token"]
        return self._write_kubeconfig(f"{namespace}-{service_account}", token, namespace, server)

    def client_for(self, kubeconfig: Path) -> Kube:
        """A client with exactly the rights that the kubeconfig gives."""
        return Kube(self.server, self.ca, yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"])

    def stop_apiserver(self) -> None:
        """Take the apiserver away from everybody; etcd keeps its objects."""
        self._apiserver.stop()

    def start_apiserver(self) -> None:
        self._apiserver.start(self._apiserver_ready)

    def compact_history(self) -> None:
        """Make etcd forget every version but the present one."""
        etcd = f"http://127.0.0.1:{self._ports['etcd']}/v3/kv"
        nothing = {"key": "AA=="}
        now = requests.post(f"{etcd}/range", json=nothing, timeout=10).json()["header"]["revision"]
        requests.post(f"{etcd}/compaction", json={"revision": now, "physical": True}, timeout=10).raise_for_status()

    @contextmanager
    def paused_scheduler(self) -> Iterator[None]:
        """Inside it no pod is bound: the moment between a pod and its node lasts."""
        scheduler = next(each for each in self._components if each.name == "kube-scheduler")
        scheduler.pause()
        try:
            yield
        finally:
            scheduler.resume()

    # === starting ===

    def _start(self) -> None:
        make_certificates(self.folder)
        rows = [f'{token},{user},{user},"{COMPONENTS[user]}"' for user, token in self._tokens.items()]
        (self.folder / "tokens.csv").write_text("\n".join(rows) + "\n")
        for user, token in self._tokens.items():
            self._write_kubeconfig(user.removeprefix("system:"), token, "default")
        self._run(self._etcd())
        # Entered after etcd, so it is stopped before it: an apiserver without its store hangs.
        self._stack.callback(self._apiserver.stop)
        self.start_apiserver()
        self._components = self._programs()
        for program in self._components:
            self._run(program)
        eventually(self._at_work, "the controller-manager makes the default service account", 60)

    def _run(self, program: Program) -> None:
        self._stack.callback(program.stop)
        program.start()

    def _apiserver_ready(self) -> bool:
        # Not just an open port: /readyz waits for the built-in roles, without which the components end at once.
        try:
            return self.kube.is_ready()
        except requests.RequestException:
            return False

    def _at_work(self) -> bool:
        """The controller-manager is at work once it has made the service account that every pod needs."""
        for program in self._components:
            program.check_alive()
        return self.kube.find("ServiceAccount", "default", "default") is not None

    def _write_kubeconfig(self, name: str, token: str, namespace: str, server: str = "") -> Path:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {
                "server": server or self.server, "certificate-authority": str(self.ca),
            }}],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": name, "namespace": namespace}}],
            "current-context": "test",
        }  # fmt: skip
        path = self.folder / f"{name}{server.rsplit(':', 1)[-1] if server else ''}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config))
        return path

    # === the programs ===

    def _programs(self) -> list[Program]:
        """What works beside etcd and the apiserver."""
        return [self._controller_manager(), self._scheduler(), self._kwok()]

    def _etcd(self) -> Program:
        client, peer = (f"http://127.0.0.1:{self._ports[port]}" for port in ("etcd", "peer"))
        return Program("etcd", [
            self.tools.etcd, "--name=test", f"--data-dir={self.folder / 'etcd'}", "--unsafe-no-fsync",
            "--log-level=warn",
            f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=test={peer}",
        ], self.logs)  # fmt: skip

    def _apiserver_program(self) -> Program:
        return Program("kube-apiserver", [
            self.tools.kube_apiserver, f"--etcd-servers=http://127.0.0.1:{self._ports['etcd']}",
            "--bind-address=127.0.0.1", f"--secure-port={self._ports['api']}", "--advertise-address=127.0.0.1",
            f"--cert-dir={self.folder}", f"--client-ca-file={self.ca}",
            f"--tls-cert-file={self.folder / 'server.crt'}", f"--tls-private-key-file={self.folder / 'server.key'}",
            f"--token-auth-file={self.folder / 'tokens.csv'}", "--authorization-mode=Node,RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder / 'sa.key'}",
            f"--service-account-signing-key-file={self.folder / 'sa.key'}",
            "--service-cluster-ip-range=10.96.0.0/16", "--endpoint-reconciler-type=none", "--allow-privileged=true",
            "--kubelet-preferred-address-types=InternalIP",
        ], self.logs)  # fmt: skip

    def _controller_manager(self) -> Program:
        config = self.folder / "kube-controller-manager.kubeconfig"
        return Program("kube-controller-manager", [
            self.tools.kube_controller_manager, f"--kubeconfig={config}", f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}", "--bind-address=127.0.0.1",
            f"--secure-port={self._ports['controller']}", f"--cert-dir={self.folder / 'controller'}",
            f"--service-account-private-key-file={self.folder / 'sa.key'}", f"--root-ca-file={self.ca}",
            "--use-service-account-credentials", "--leader-elect=false",
            # On a busy machine KWOK's heartbeats come late, and a node that blinks is in no test's plan.
            "--node-monitor-grace-period=30m",
        ], self.logs)  # fmt: skip

    def _scheduler(self) -> Program:
        config = self.folder / "kube-scheduler.kubeconfig"
        settings = self.folder / "scheduler.yaml"
        connection = {"kubeconfig": str(config), **self.scheduler_pace}
        settings.write_text(yaml.safe_dump({**SCHEDULER, "clientConnection": connection}))
        return Program("kube-scheduler", [
            self.tools.kube_scheduler, f"--config={settings}", f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}", "--bind-address=127.0.0.1",
            f"--secure-port={self._ports['scheduler']}", f"--cert-dir={self.folder / 'scheduler'}",
        ], self.logs)  # fmt: skip

    def _kwok(self) -> Program:
        return Program("kwok", [
            self.tools.kwok, f"--kubeconfig={self.kubeconfig_admin}", f"--config={self.tools.kwok_stages}",
            "--manage-all-nodes=false", "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
            f"--cidr={POD_NETWORK}", "--node-ip=127.0.0.1",
        ], self.logs)  # fmt: skip
