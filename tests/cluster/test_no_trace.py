"""Owns the oldest bug of GPU hubs: after a spawn with a GPU, nothing of it may be left in the same user's next one
without.
"""

from __future__ import annotations

import json

import manifests
from kube import Json
from world import A100, Guest


def assert_no_gpu(pod: Json) -> None:
    assert manifests.resource_names(pod) == {"cpu", "memory"}
    assert manifests.environment(pod)["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert "nvidia.com/gpu" not in json.dumps(manifests.tolerations(pod))
    assert manifests.required_terms(pod) == []
    assert "/dev/shm" not in manifests.mounts(pod)


def test_cpu_after_gpu_is_the_very_pod_of_cpu_alone(guest: Guest) -> None:
    browser = guest.browser("rosa")
    first = guest.spawn("rosa", "cpu")
    assert_no_gpu(first)
    browser.stop()
    with_gpu = guest.spawn("rosa", f"gpu-on-{A100}")
    assert manifests.resources(with_gpu)["limits"]["nvidia.com/gpu"] == 1
    assert "NVIDIA_VISIBLE_DEVICES" not in manifests.environment(with_gpu)
    browser.stop()
    after = guest.spawn("rosa", "cpu")
    assert_no_gpu(after)
    assert manifests.differences(manifests.comparable(first), manifests.comparable(after)) == {}


def test_cpu_after_a_gpu_spawn_that_was_cancelled(guest: Guest) -> None:
    guest.take_gpus(A100, 2)
    browser = guest.browser("rosa")
    assert browser.submit(f"gpu-on-{A100}").status_code == 302
    guest.kube.wait_until(
        "Pod", "jupyter-rosa", lambda pod: bool(pod["status"].get("conditions")), "was tried", namespace="jupyterhub"
    )
    browser.stop()
    assert_no_gpu(guest.spawn("rosa", "cpu"))


def test_one_users_gpu_is_not_in_another_users_pod(guest: Guest) -> None:
    guest.spawn("rosa", f"gpu-on-{A100}")
    assert_no_gpu(guest.spawn("ravi", "cpu"))


def test_agent_development_carries_no_gpu_either(guest: Guest) -> None:
    assert_no_gpu(guest.spawn("rosa", "agent-dev"))


def test_two_servers_of_one_user_keep_apart(guest: Guest) -> None:
    with_gpu = guest.spawn("rosa", f"gpu-on-{A100}", server="train")
    without = guest.spawn("rosa", "cpu", server="write")
    assert manifests.resources(with_gpu)["limits"]["nvidia.com/gpu"] == 1
    assert with_gpu["spec"]["nodeName"] == A100
    assert_no_gpu(without)
