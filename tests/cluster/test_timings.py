"""Owns the times that a user feels: from a change in the cluster to the served answer, and the spawn form through the
hub.

They're printed at the end of the run. The bounds here are wide: they catch a list call on a request path, not a slow
machine.
"""

from __future__ import annotations

import time

import nodes
import pods
import pytest
from nodes import NodeSpec
from world import A100, OTHERS, Guest

SAMPLES = 30
SPAWNS = 5
NODE = NodeSpec("node-timing", nodes.H100, SAMPLES)
SERVED = "pod bound -> GET /api/v1/gpus shows it"
FORM = "form GET through the hub"


def used_on(guest: Guest, token: str, node: str) -> int:
    answer = guest.world.berth.get("/api/v1/gpus", token)
    assert answer.status_code == 200, answer.text
    found = [each for each in answer.json()["nodes"] if each["name"] == node]
    return int(found[0]["gpus"][0]["used"]) if found else -1


def wait_for_use(guest: Guest, token: str, used: int) -> None:
    until = time.monotonic() + 10
    while (seen := used_on(guest, token, NODE.name)) != used:
        assert time.monotonic() < until, f"{used} GPUs of {NODE.name} are in use, Berth says {seen}"


def test_a_bound_pod_is_served_in_a_moment(guest: Guest) -> None:
    token = guest.token("rosa")
    guest.node(NODE)
    wait_for_use(guest, token, 0)
    for number in range(SAMPLES):
        # Bound from the start: the time of the scheduler isn't Berth's.
        pod = pods.manifest(f"timing-{number}", OTHERS, gpus=1)
        pod["spec"]["nodeName"] = NODE.name
        guest.kube.create(pod)
        begun = time.monotonic()
        wait_for_use(guest, token, number + 1)
        guest.world.timings.add(SERVED, time.monotonic() - begun)
    assert guest.world.timings.percentile(SERVED, 99) < 1.0


def test_the_form_comes_quickly(guest: Guest) -> None:
    browser = guest.browser("rosa")
    for _ in range(SAMPLES):
        begun = time.monotonic()
        answer = browser.form_page()
        guest.world.timings.add(FORM, time.monotonic() - begun)
        assert answer.status_code == 200
    assert guest.world.timings.percentile(FORM, 99) < 2.0


@pytest.mark.parametrize("slug", ["cpu", "gpu", "fine-tuning", "agent-dev", f"gpu-on-{A100}"])
def test_a_server_starts_quickly(guest: Guest, slug: str) -> None:
    name = f"spawn {slug}: POST -> ready"
    browser = guest.browser("rosa")
    for _ in range(SPAWNS):
        outcome = browser.spawn(slug)
        assert outcome.ready, outcome
        assert guest.pod_of("rosa")["status"]["phase"] == "Running"
        guest.world.timings.add(name, outcome.seconds)
        browser.stop()
    assert guest.world.timings.percentile(name, 99) < 10.0
