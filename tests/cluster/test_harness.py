"""Owns the proof that the cluster and the stock hub work by themselves, and that the rights are no wider than they
need to be.
"""

from __future__ import annotations

from pathlib import Path

import manifests
import pods
import pytest
from control_plane import ControlPlane
from hub import NAMESPACE, Hub
from kube import ApiError, Kube
from processes import ProcessError, Program
from world import OTHERS


@pytest.fixture(scope="module")
def as_berth(plane: ControlPlane) -> Kube:
    return plane.client_for(plane.kubeconfig_for("berth", NAMESPACE))


@pytest.fixture(scope="module")
def as_hub(plane: ControlPlane) -> Kube:
    return plane.client_for(plane.kubeconfig_for("hub", NAMESPACE))


def refused(kube: Kube, method: str, path: str) -> bool:
    with pytest.raises(ApiError) as refusal:
        kube.call(method, path, {"metadata": {"name": "x"}} if method in ("POST", "PATCH") else None)
    return refusal.value.status == 403


def test_the_stock_hub_alone_ends_in_a_bound_running_pod(plane: ControlPlane, stock_hub: Hub) -> None:
    browser = stock_hub.log_in("nora")
    outcome = browser.spawn_at_once()
    assert outcome.ready, outcome
    pod = plane.kube.get("Pod", "jupyter-nora", NAMESPACE)
    assert pods.is_running(pod)
    assert pod["status"]["podIP"].startswith("127.10.")
    assert manifests.resources(pod) == {"limits": {}, "requests": {"memory": 2**30}}
    assert browser.get("/user/nora/api").json() == {"version": "stub", "path": "/user/nora/api"}
    browser.stop()
    plane.kube.wait_gone("Pod", "jupyter-nora", NAMESPACE)


def test_berth_may_read_what_it_watches(as_berth: Kube, plane: ControlPlane) -> None:
    assert len(as_berth.list_of("Node")) == len(plane.kube.list_of("Node"))
    as_berth.list_of("Pod")
    assert {claim["status"]["phase"] for claim in as_berth.list_of("PersistentVolumeClaim", NAMESPACE)} == {"Bound"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/secrets"),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/secrets"),
        ("GET", "/api/v1/persistentvolumeclaims"),
        ("GET", f"/api/v1/namespaces/{OTHERS}/persistentvolumeclaims"),
        ("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps"),
        ("POST", f"/api/v1/namespaces/{NAMESPACE}/pods"),
        ("DELETE", f"/api/v1/namespaces/{NAMESPACE}/pods/jupyter-rosa"),
        ("PATCH", "/api/v1/nodes/node-l4"),
    ],
)
def test_berth_may_do_nothing_else(as_berth: Kube, method: str, path: str) -> None:
    assert refused(as_berth, method, path)


@pytest.mark.parametrize("path", ["/api/v1/nodes", "/api/v1/pods", f"/api/v1/namespaces/{OTHERS}/pods"])
def test_the_hub_sees_its_own_namespace_only(as_hub: Kube, path: str) -> None:
    assert refused(as_hub, "GET", path)
    assert as_hub.list_of("Pod", NAMESPACE) is not None


def test_the_logs_of_a_program_that_cannot_start_are_told(tmp_path: Path) -> None:
    broken = Program("broken", ["sh", "-c", "echo the reason; exit 3"], tmp_path)
    with pytest.raises(ProcessError, match=r"status 3[\s\S]*the reason"):
        broken.start(lambda: False, deadline=10)
