"""Owns the main promise: each profile that the form offers ends in a Running pod that is what the catalogue says, and
the hub's base else.
"""

from __future__ import annotations

import json

import manifests
import pytest
from expected import BASE_PREFERENCE, BASE_TOLERATIONS, PROFILES, SCRATCH, SHARED_CODE, SHM, STORAGE, Expected
from kube import Json
from world import A100, CONTROL, GPU_TAINT, L4, T4, Guest

# What a patch may change in the hub's own pod; everything else must be equal.
MAY_DIFFER = (
    "/metadata/annotations/berth",
    "/spec/affinity",
    "/spec/containers/notebook/env/",
    "/spec/containers/notebook/image",
    "/spec/containers/notebook/resources",
    "/spec/containers/notebook/volumeMounts//home/jovyan/",
    f"/spec/containers/notebook/volumeMounts/{SHM}",
    "/spec/imagePullSecrets",
    "/spec/tolerations",
    "/spec/volumes/",
)
ENVIRONMENT_MAY_DIFFER = {
    "CPU_GUARANTEE", "CPU_LIMIT", "MEM_GUARANTEE", "MEM_LIMIT", "JUPYTER_IMAGE", "JUPYTER_IMAGE_SPEC",
    "NVIDIA_VISIBLE_DEVICES", "LANGCHAIN_TRACING_V2",
}  # fmt: skip
by_slug = pytest.mark.parametrize("expected", PROFILES, ids=lambda each: each.slug)


@pytest.fixture
def spawned(guest: Guest, expected: Expected) -> Json:
    return guest.spawn("rosa", expected.slug)


def check_image_and_resources(pod: Json, expected: Expected) -> None:
    container = manifests.notebook(pod)
    assert container["image"] == f"registry.example.org/library/{expected.image}:1.0"
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert pod["spec"]["imagePullSecrets"] == [{"name": "harbor-pull"}]
    assert manifests.resources(pod) == expected.resources
    environment = manifests.environment(pod)
    assert environment["SITE"] == "berth-tests"
    for name in ("NVIDIA_VISIBLE_DEVICES", "LANGCHAIN_TRACING_V2"):
        assert environment.get(name) == expected.environment.get(name), name


def check_placement(pod: Json, expected: Expected, nodes: list[Json]) -> None:
    assert pod["spec"]["nodeName"] in expected.lands_on
    assert manifests.nodes_allowed(pod, nodes) == expected.allowed
    assert "nodeSelector" not in pod["spec"]
    assert BASE_PREFERENCE in manifests.preferred_terms(pod)
    tolerations = manifests.tolerations(pod)
    assert tolerations[:2] == BASE_TOLERATIONS
    added = tolerations[2:]
    assert {each["key"] for each in added} == ({GPU_TAINT["key"]} if expected.tolerates_gpu_taint else set())
    assert all(
        each.get("value", "present") == "present" and each.get("effect") in (None, "NoSchedule") for each in added
    )


def check_mounts(pod: Json, expected: Expected, user: str) -> None:
    mounts = manifests.mounts(pod)
    assert set(mounts) == expected.all_mounts
    assert mounts["/etc/site"] == {
        "mountPath": "/etc/site", "name": "site-config", "readOnly": True,
        "volume": {"name": "site-config", "emptyDir": {}},
    }  # fmt: skip
    for path, claim in STORAGE.items():
        assert mounts[path]["volume"]["persistentVolumeClaim"] == {"claimName": claim}, path
        assert mounts[path].get("subPath") == (user if claim == "berth-notebooks" else None), path
        assert not mounts[path].get("readOnly"), path
    assert mounts[SCRATCH]["volume"]["emptyDir"] == {"sizeLimit": "50Gi"}
    if SHM in expected.mounts:
        assert mounts[SHM]["volume"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}


def check_rest_is_the_base(pod: Json, base: Json) -> None:
    found = manifests.differences(manifests.comparable(base), manifests.comparable(pod))
    assert found, "a spawn with Berth is the stock hub's spawn: nothing was applied"
    unexpected = {path: both for path, both in found.items() if not path.startswith(MAY_DIFFER)}
    assert unexpected == {}
    variables = {path.rsplit("/", 1)[1] for path in found if "/env/" in path}
    assert variables <= ENVIRONMENT_MAY_DIFFER
    assert "/spec/volumes/site-config" not in found


def test_the_form_offers_the_profiles_of_the_catalogue_with_live_numbers(guest: Guest) -> None:
    form = guest.browser("rosa").form()
    assert form.slugs == ["cpu", "gpu", "fine-tuning", "agent-dev", *(f"gpu-on-{node}" for node in (A100, L4, T4))]
    assert [profile.slug for profile in form.profiles if profile.checked] == ["cpu"]
    shown = {profile.slug: profile.gpus_free for profile in form.profiles}
    assert shown == {
        "cpu": None, "gpu": (5, 5), "fine-tuning": (4, 4), "agent-dev": None,
        f"gpu-on-{A100}": (2, 2), f"gpu-on-{L4}": (2, 2), f"gpu-on-{T4}": (1, 1),
    }  # fmt: skip
    assert "🚀 GPU Environment (Auto-select)" in form.profile("gpu").text
    assert f"💻 GPU on {L4}" in form.profile(f"gpu-on-{L4}").text


@by_slug
def test_profile_ends_in_a_running_pod_as_the_catalogue_says(guest: Guest, spawned: Json, expected: Expected) -> None:
    check_image_and_resources(spawned, expected)
    check_placement(spawned, expected, guest.kube.list_of("Node"))
    check_mounts(spawned, expected, "rosa")
    if not expected.gpus:
        assert manifests.resource_names(spawned) <= {"cpu", "memory"}


@pytest.mark.parametrize("slug", ["cpu", "gpu", "fine-tuning", "agent-dev", f"gpu-on-{A100}"])
def test_nothing_else_of_the_hubs_own_pod_is_changed(guest: Guest, slug: str) -> None:
    base = guest.base_pod("ravi")
    check_rest_is_the_base(guest.spawn("ravi", slug), base)


def test_shared_code_is_mounted_read_only_where_the_pod_surely_lands_on_it(guest: Guest) -> None:
    assert "shared-code" not in guest.browser("rosa").form().profile("gpu").options
    pod = guest.spawn("rosa", "cpu", shared_code="yes")
    assert pod["spec"]["nodeName"] == CONTROL
    assert manifests.nodes_allowed(pod, guest.kube.list_of("Node")) == {CONTROL}
    mount = manifests.mounts(pod)[SHARED_CODE]
    assert mount["readOnly"] is True
    assert mount["volume"]["hostPath"]["path"] == "/srv/shared-code"
    assert manifests.tolerations(pod)[:2] == BASE_TOLERATIONS
    assert [each["key"] for each in manifests.tolerations(pod)[2:]] == ["node-role.kubernetes.io/control-plane"]


def test_shared_code_is_not_mounted_where_it_is_uncertain(guest: Guest) -> None:
    pod = guest.spawn("rosa", "cpu", shared_code="no")
    assert SHARED_CODE not in manifests.mounts(pod)
    assert "/srv/shared-code" not in json.dumps(pod)
