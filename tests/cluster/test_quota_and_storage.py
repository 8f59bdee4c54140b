"""Owns what stands between a free GPU and a pod, and what gives way: quotas, volumes with a zone, claims that are not
bound, pools that an autoscaler grows, placeholders. Each with the real apiserver, controllers and scheduler.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import manifests
import nodes
import pods
import pytest
from faults import FaultGuest, FaultyWorld, follow, press_at_once, start_unseen
from hub import NAMESPACE
from kube import ApiError, Kube
from nodes import GPU, NodeSpec
from rest import RestUser
from storage import ZONE, claim_manifest, class_manifest, remove_claim, volume_manifest, wait_bound
from waiting import eventually
from witness import SiteGuest
from world import GPU_TAINT, T4, counts, until_form

QUOTA = "team-gpus"
COUNTED = f"requests.{GPU}"
AUTO = "🚀 GPU Environment (Auto-select)"
ON_A, ON_B = (NodeSpec(f"node-zone-{zone}", nodes.H100, 1, labels={ZONE: f"zone-{zone}"}) for zone in "ab")
POOL = {"cloud.google.com/gke-nodepool": "h100-pool"}
GROWN = NodeSpec("node-grown", nodes.H100, 1, labels=POOL, taints=(GPU_TAINT,))
H100: dict[str, Any] = {
    "slug": "h100", "title": "An H100", "image": "ml-gpu", "cpu": {"request": "1"},
    "gpu": {"counts": [1], "kinds": [nodes.H100.kind]}, "whenFull": "wait", "waitUpTo": "20m",
}  # fmt: skip


@contextmanager
def quota(kube: Kube, gpus: int) -> Iterator[None]:
    """A ResourceQuota of the hub's namespace; inside it the real controller has counted once."""
    kube.create({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": QUOTA, "namespace": NAMESPACE},
        "spec": {"hard": {COUNTED: str(gpus)}},
    })  # fmt: skip
    try:
        kube.wait_until(
            "ResourceQuota", QUOTA, lambda it: "used" in it.get("status", {}), "counts", namespace=NAMESPACE
        )
        yield
    finally:
        kube.delete("ResourceQuota", QUOTA, NAMESPACE)
        kube.wait_gone("ResourceQuota", QUOTA, NAMESPACE)


def raise_quota(kube: Kube, gpus: int) -> None:
    kube.patch("ResourceQuota", QUOTA, {"spec": {"hard": {COUNTED: str(gpus)}}}, namespace=NAMESPACE)


def exceeded(hard: int, used: int) -> str:
    return f"the quota {QUOTA} allows {hard} of {COUNTED} in the hub's namespace, and {used} are in use"


def test_a_quota_is_said_before_any_pod_is_made(faulty: FaultyWorld, fault_guest: FaultGuest) -> None:
    kube, browser = fault_guest.kube, fault_guest.browser("rosa")
    with quota(kube, 0):
        form = until_form(browser, lambda form: exceeded(0, 0) in form.profile("gpu").text, "the form says it")
        assert "Not possible here" in form.profile("gpu").text
        assert exceeded(0, 0) not in form.profile("cpu").text
        with pytest.raises(ApiError, match=f"403.*exceeded quota: {QUOTA}"):
            kube.create(pods.manifest("would-be-refused", NAMESPACE, gpus=1))
        outcome = start_unseen(browser, "gpu")
        assert outcome.status == 409, outcome
        faulty.row("a quota that leaves no GPU", outcome.page, f"{AUTO} can't be started: {exceeded(0, 0)}.")
        assert kube.find("Pod", "jupyter-rosa", NAMESPACE) is None
        assert start_unseen(browser, "cpu", "other").ready, "what the quota doesn't count goes on"
        raise_quota(kube, 1)
        until_form(browser, lambda form: "the quota" not in form.text, "the quota is raised")
        assert start_unseen(browser, "gpu").ready
        other = fault_guest.browser("ravi")
        form = until_form(other, lambda form: exceeded(1, 1) in form.profile("gpu").text, "it is used up")
        assert "Busy now" in form.profile("gpu").text
        assert start_unseen(other, "gpu").status == 409
        browser.stop()
        until_form(other, lambda form: "the quota" not in form.text, "it is given back")
        assert start_unseen(other, "gpu").ready


def test_two_at_once_are_not_both_promised_what_a_quota_leaves_to_one(
    faulty: FaultyWorld, fault_guest: FaultGuest
) -> None:
    browsers = [fault_guest.browser(user) for user in ("rosa", "ravi")]
    with quota(fault_guest.kube, 0):
        until_form(browsers[0], lambda form: "the quota" in form.text, "the quota is known")
        raise_quota(fault_guest.kube, 1)
        until_form(browsers[0], lambda form: "the quota" not in form.text, "it is raised")
        press_at_once([(browser, "") for browser in browsers], "gpu")
        with ThreadPoolExecutor(2) as pool:
            outcomes = sorted(pool.map(follow, browsers), key=lambda outcome: outcome.ready)
        assert [outcome.status for outcome in outcomes] == [409, 200], outcomes
        assert QUOTA in outcomes[0].page


def test_a_program_reads_of_the_quota_in_the_answer(patient_guest: SiteGuest) -> None:
    program = RestUser(patient_guest.world.hub, "sam", patient_guest.token("sam"))
    with quota(patient_guest.kube, 0):
        browser = patient_guest.browser("sam")
        until_form(browser, lambda form: exceeded(0, 0) in form.profile("gpu").text, "the form says it")
        answer = program.start({"profile": "gpu"})
    assert (answer.status, answer.message) == (409, f"{AUTO} can't be started: {exceeded(0, 0)}.")


def mount(claim: str, catalogue: dict[str, Any]) -> None:
    volume = {"name": "more", "claim": claim, "mountPath": "/home/jovyan/more", "scope": "shared"}
    catalogue["volumes"].append(volume)
    catalogue["profiles"].append(H100)


def test_a_volume_of_one_zone_and_the_conflict_that_it_makes(faulty: FaultyWorld, fault_guest: FaultGuest) -> None:
    kube, claim = fault_guest.kube, "berth-zone"
    for node in (ON_A, ON_B):
        fault_guest.node(node)
    fault_guest.undo(remove_claim, kube, claim, NAMESPACE)
    kube.create(volume_manifest(claim, NAMESPACE, zone="zone-a"))
    kube.create(claim_manifest(claim, NAMESPACE))
    wait_bound(kube, claim, NAMESPACE)
    faulty.change_catalogue(lambda catalogue: mount(claim, catalogue))
    browser, other = fault_guest.browser("rosa"), fault_guest.browser("ravi")
    until_form(browser, lambda form: "Free now" in form.profile("h100").text, "the zone's node is free")
    assert fault_guest.spawn("rosa", "h100")["spec"]["nodeName"] == ON_A.name
    conflict = f"{ON_B.name} has room, but the volume of the storage claim {claim} can't be used there"
    form = until_form(other, lambda form: conflict in form.profile("h100").text, "the conflict is named")
    assert "Busy now" in form.profile("h100").text
    never = f"the volume of the storage claim {claim} can't be used on {ON_B.name}"
    pinned = form.profile(f"gpu-on-{ON_B.name}")
    assert "Not possible here" in pinned.text
    assert never in pinned.text
    outcome = start_unseen(other, pinned.slug)
    assert outcome.status == 422, outcome
    faulty.row("a volume of another zone than the node", outcome.page, never)
    assert other.submit("h100").status_code == 302
    waiting = kube.wait_until(
        "Pod", "jupyter-ravi", lambda pod: pods.refuse_reason(pod) is not None, "waits", namespace=NAMESPACE
    )
    assert "nodeName" not in waiting["spec"], "the scheduler knows no better"
    browser.stop()
    assert follow(other).ready
    assert fault_guest.pod_of("ravi")["spec"]["nodeName"] == ON_A.name


def test_a_claim_that_its_class_should_have_bound_at_once(faulty: FaultyWorld, fault_guest: FaultGuest) -> None:
    kube, claim, name = fault_guest.kube, "berth-slow", "slow-class"
    fault_guest.undo(kube.delete, "StorageClass", name)
    kube.create(class_manifest(name, "Immediate"))
    fault_guest.undo(remove_claim, kube, claim, NAMESPACE)
    kube.create(claim_manifest(claim, NAMESPACE, name))
    faulty.change_catalogue(lambda catalogue: mount(claim, catalogue))
    browser = fault_guest.browser("rosa")
    sentence = f"the storage claim {claim} is not bound yet"
    form = until_form(browser, lambda form: sentence in form.profile("gpu").text, "the form says it")
    assert "Starting up" in form.profile("cpu").text
    assert browser.submit("cpu").status_code == 302
    kube.wait_until(
        "Pod", "jupyter-rosa", lambda pod: "unbound" in (pods.refuse_reason(pod) or ""), "waits", namespace=NAMESPACE
    )
    kube.create(volume_manifest(claim, NAMESPACE, name))
    wait_bound(kube, claim, NAMESPACE)
    assert follow(browser).ready
    until_form(fault_guest.browser("ravi"), lambda form: "Free now" in form.profile("gpu").text, "it is bound")


def test_a_pool_that_can_grow_is_starting_and_its_new_node_takes_the_pod(
    faulty: FaultyWorld, fault_guest: FaultGuest
) -> None:
    pool = {"kind": nodes.H100.kind, "memory": "80Gi", "gpusPerNode": 1, "maxNodes": 2, "labels": POOL}

    def grow(catalogue: dict[str, Any]) -> None:
        catalogue["profiles"].append(H100)
        catalogue["expandable"] = [pool]

    faulty.change_catalogue(grow)
    browser = fault_guest.browser("rosa")
    sentence = "no such node runs now, and the cluster can start one (up to 2)"
    form = until_form(browser, lambda form: sentence in form.profile("h100").text, "the form says it")
    assert "Starting up" in form.profile("h100").text
    assert browser.submit("h100").status_code == 302
    waiting = fault_guest.kube.wait_until(
        "Pod", "jupyter-rosa", lambda pod: pods.refuse_reason(pod) is not None, "waits", namespace=NAMESPACE
    )
    [(key, value)] = POOL.items()
    wanted = [{"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}]
    assert manifests.required_terms(waiting) == wanted, "what the autoscaler has to go by"
    fault_guest.node(GROWN)
    assert follow(browser).ready
    assert fault_guest.pod_of("rosa")["spec"]["nodeName"] == GROWN.name
    faulty.row("no node of a pool runs yet", form.profile("h100").text, sentence)


def test_a_placeholder_counts_as_free_and_gives_way(faulty: FaultyWorld, fault_guest: FaultGuest) -> None:
    kube, name, priority = fault_guest.kube, "user-placeholder-0", "test-user-placeholder-priority"
    fault_guest.undo(kube.delete, "PriorityClass", priority)
    kube.create({
        "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": priority}, "value": -10,
    })  # fmt: skip
    pod = pods.manifest(name, NAMESPACE, gpus=1, node=T4)
    pod["metadata"]["labels"] = {"app": "jupyterhub", "component": "user-placeholder"}
    pod["spec"]["priorityClassName"] = priority
    fault_guest.undo(pods.remove, kube, name, NAMESPACE)
    pods.start(kube, pod)
    browser, token = fault_guest.browser("rosa"), fault_guest.token("rosa")

    def row() -> dict[str, int]:
        kinds = faulty.berth.get("/api/v1/gpus", token).json()["kinds"]
        [found] = [each for each in kinds if each["id"] == nodes.T4.kind]
        return {part: found[part] for part in ("total", "free", "used", "held", "reclaimable")}

    eventually(lambda: row()["reclaimable"] == 1, "the placeholder is seen")
    assert row() == {"total": 1, "free": 1, "used": 0, "held": 0, "reclaimable": 1}
    assert counts(browser.form().profile(f"gpu-on-{T4}")) == (1, 1)
    assert fault_guest.spawn("rosa", f"gpu-on-{T4}")["spec"]["nodeName"] == T4
    assert kube.find("Pod", name, NAMESPACE) is None
    eventually(lambda: row()["used"] == 1, "it is taken")
    assert row() == {"total": 1, "free": 0, "used": 1, "held": 0, "reclaimable": 0}
