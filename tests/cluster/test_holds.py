"""Owns holds: between Berth's answer and a bound pod nobody else is told that the GPU is free, its owner is never in
her own way, and nothing is held for longer than a minute.

The scheduler is paused where the moment between answer and binding has to last. There is no kube-proxy here: the wire
between hub and Berth stands for the Service, whose `sessionAffinity: ClientIP` (asserted in tests/chart) leads one hub
to one replica at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import manifests
import nodes
import pods
import pytest
from berth import Berth
from faults import FaultGuest, FaultyWorld, follow, press_at_once, start_unseen
from hub import NAMESPACE
from storage import claim_manifest, class_manifest, remove_claim, volume_manifest
from waiting import eventually
from world import L4, T4, until_form

# The cluster has one T4.
ONE_T4: dict[str, Any] = {
    "title": "One T4", "image": "ml-gpu", "cpu": {"request": "1"}, "gpu": {"counts": [1], "kinds": [nodes.T4.kind]},
}  # fmt: skip
REFUSES = {**ONE_T4, "slug": "t4-now", "whenFull": "refuse"}
WAITS = {**ONE_T4, "slug": "t4-later", "whenFull": "wait", "waitUpTo": "20m"}
PARTS = ("free", "used", "held", "unhealthy", "unusable")
TAKEN = (
    "One T4 has nothing free now, and does not wait: 1 just taken by others that are about to start; "
    "all of them are in use."
)
# Admission then refuses the hub's pods, whose first container is privileged, after Berth has promised a GPU.
ENFORCE = "pod-security.kubernetes.io/enforce"


@pytest.fixture(autouse=True)
def catalogue(faulty: FaultyWorld, token: str) -> None:
    """The last GPU is nobody's: requests that an earlier test gave up may have left a hold, for a minute at most."""
    faulty.change_catalogue(lambda catalogue: catalogue["profiles"].extend([REFUSES, WAITS]))
    until_t4(faulty.berth, token, 65, free=1)


@pytest.fixture
def token(fault_guest: FaultGuest) -> str:
    """Of somebody who looks at the numbers."""
    return fault_guest.token("sam")


def t4(berth: Berth, token: str) -> dict[str, int]:
    """What /api/v1/gpus says of the one T4. Its parts are always the whole."""
    row: dict[str, int] = next(
        each for each in berth.get("/api/v1/gpus", token).json()["kinds"] if each["id"] == nodes.T4.kind
    )
    assert row["total"] == sum(row[part] for part in PARTS) == 1, row
    return row


def until_t4(berth: Berth, token: str, deadline: float = 10.0, **wanted: int) -> None:
    def look() -> bool:
        row = t4(berth, token)
        return {name: row[name] for name in wanted} == wanted

    eventually(look, f"the T4 is {wanted}", deadline, every=0.05)


@contextmanager
def sampled(berth: Berth, token: str) -> Iterator[list[dict[str, int]]]:
    """All that /api/v1/gpus says meanwhile, as fast as it can be asked; at the end once more."""
    done, rows = threading.Event(), [t4(berth, token)]

    def look() -> None:
        while not done.wait(0.01):
            rows.append(t4(berth, token))

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            yield rows
        finally:
            done.set()
        looking.result()
        rows.append(t4(berth, token))


@contextmanager
def pods_refused(guest: FaultGuest) -> Iterator[None]:
    """No pod can be made in the hub's namespace, which Berth does not know."""
    guest.kube.patch("Namespace", NAMESPACE, {"metadata": {"labels": {ENFORCE: "restricted"}}})
    try:
        yield
    finally:
        guest.kube.patch("Namespace", NAMESPACE, {"metadata": {"labels": {ENFORCE: None}}})


def test_two_users_press_at_once_and_one_gets_the_last_gpu(
    faulty: FaultyWorld, fault_guest: FaultGuest, token: str
) -> None:
    browsers = [fault_guest.browser(user) for user in ("rosa", "ravi")]
    with sampled(faulty.berth, token) as rows, ThreadPoolExecutor(2) as pool:
        with faulty.plane.paused_scheduler():
            press_at_once([(browser, "") for browser in browsers], "t4-now")
            followed = {pool.submit(follow, browser): browser.user for browser in browsers}
            done, still = wait(followed, timeout=30, return_when=FIRST_COMPLETED)
            assert (len(done), len(still)) == (1, 1), "nothing was bound, so only a refusal can end a spawn"
            refused = done.pop().result()
            assert refused.status == 409, refused
            faulty.row("two users press at once for the last GPU: the second", refused.page, TAKEN)
            until_t4(faulty.berth, token, free=0, held=1, used=0)
        winner = still.pop()
        assert winner.result().ready, winner.result()
        until_t4(faulty.berth, token, free=0, held=0, used=1)
    assert [held for held, _ in groupby(row["held"] for row in rows)] == [0, 1, 0]
    assert [free for free, _ in groupby(row["free"] for row in rows)] == [1, 0]
    pod = fault_guest.pod_of(followed[winner])
    assert pod["spec"]["nodeName"] == T4
    assert pod["metadata"]["annotations"]["berth/hold"]


def test_a_pod_whose_volume_is_being_made_holds_its_gpu_once(
    faulty: FaultyWorld, fault_guest: FaultGuest, token: str
) -> None:
    """The scheduler has chosen a node and asks for the volume there; until somebody makes it, the pod is nominated."""
    kube, claim, name = fault_guest.kube, "berth-late", "late-class"
    fault_guest.undo(kube.delete, "StorageClass", name)
    kube.create(class_manifest(name, "WaitForFirstConsumer"))
    fault_guest.undo(remove_claim, kube, claim, NAMESPACE)
    kube.create(claim_manifest(claim, NAMESPACE, name))
    volume = {"name": "late", "claim": claim, "mountPath": "/home/jovyan/late", "scope": "shared"}
    faulty.change_catalogue(lambda catalogue: catalogue["volumes"].append(volume))
    browser, rosa = fault_guest.browser("rosa"), fault_guest.token("rosa")
    until_form(browser, lambda form: "Free now" in form.profile("t4-now").text, "the claim waits for a pod")
    with sampled(faulty.berth, token) as rows:
        assert browser.submit("t4-now").status_code == 302
        waiting = kube.wait_until(
            "Pod", "jupyter-rosa", lambda pod: pod["status"].get("nominatedNodeName") == T4, "is nominated",
            namespace=NAMESPACE,
        )  # fmt: skip
        assert ("nodeName" in waiting["spec"], pods.refuse_reason(waiting)) == (False, None)

        def is_told() -> bool:
            (server,) = faulty.berth.get("/api/v1/servers", rosa).json()["servers"]
            sentence = f"it goes to {T4} as soon as its volume is made there, or other pods have made room for it"
            return (server["state"], server["reasons"]) == ("waiting", [sentence])

        eventually(is_told, "the user is told what the server waits for")
        assert t4(faulty.berth, token)["held"] == 1
        refused = start_unseen(fault_guest.browser("ravi"), "t4-now")
        assert refused.status == 409
        faulty.row("a GPU is kept for a pod whose volume is being made", refused.page, "1 just taken by others")
        elsewhere = f"{L4} has room, but the volume of the storage claim {claim} was asked for on another node"
        until_form(fault_guest.browser("sam"), lambda form: elsewhere in form.profile("gpu").text, "no other node does")
        kube.create(volume_manifest(claim, NAMESPACE, name))
        assert follow(browser).ready
        until_t4(faulty.berth, token, free=0, held=0, used=1)
    assert [held for held, _ in groupby(row["held"] for row in rows)] == [0, 1, 0]
    assert [free for free, _ in groupby(row["free"] for row in rows)] == [1, 0]


def test_eight_ask_in_the_same_instant_and_one_is_promised_the_last_gpu(faulty: FaultyWorld, token: str) -> None:
    """The hub asks for one after the other; here they really are at once."""
    users = [f"user-{number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda user: faulty.berth.spawn_options(user, {"profile": "t4-now"}), users))
    promised = [user for user, answer in zip(users, answers, strict=True) if answer.status_code == 200]
    assert len(promised) == 1, [answer.text for answer in answers]
    assert {answer.json()["detail"] for answer in answers if answer.status_code != 200} == {TAKEN}
    until_t4(faulty.berth, token, free=0, held=1)
    assert faulty.berth.spawn_options(promised[0], {"profile": "cpu"}).json()["hold"] is None
    until_t4(faulty.berth, token, free=1, held=0)


def test_with_a_profile_that_waits_both_get_a_pod_and_one_of_them_the_hope(
    faulty: FaultyWorld, fault_guest: FaultGuest, token: str
) -> None:
    browsers = {user: fault_guest.browser(user) for user in ("rosa", "ravi")}
    with ThreadPoolExecutor(2) as pool:
        with faulty.plane.paused_scheduler():
            press_at_once([(browser, "") for browser in browsers.values()], "t4-later")
            followed = {user: pool.submit(browser.follow, "", time.monotonic()) for user, browser in browsers.items()}
            waiting = {
                user: fault_guest.kube.wait_until("Pod", f"jupyter-{user}", lambda _: True, "is", namespace=NAMESPACE)
                for user in browsers
            }
            assert sorted(manifests.preferred_nodes(pod) for pod in waiting.values()) == [[], [T4]]
            form = until_form(
                fault_guest.browser("sam"),
                lambda form: form.profile("t4-later").gpus_free == (0, 1),
                "the third sees it as taken",
            )
            assert "Busy now" in form.profile("t4-later").text
            assert "1 just taken by others that are about to start" in form.profile("t4-later").text
        done, _ = wait(followed.values(), timeout=30, return_when=FIRST_COMPLETED)
        first = next(user for user, future in followed.items() if future in done)
        second = next(user for user in followed if user != first)
        assert followed[first].result().ready
        fault_guest.kube.wait_until(
            "Pod", f"jupyter-{second}", lambda pod: "Insufficient nvidia.com/gpu" in (pods.refuse_reason(pod) or ""),
            "waits for its GPU", namespace=NAMESPACE,
        )  # fmt: skip
        # Not told by KubeSpawner's messages: a stream that is opened before the start has marked the events of an
        # earlier pod of that name counts these too, and then passes over as many of the new ones.
        second_token = fault_guest.token(second)

        def is_told() -> bool:
            (server,) = faulty.berth.get("/api/v1/servers", second_token).json()["servers"]
            return server["state"] == "waiting" and "1 of 1 Tesla T4 15 GB are in use" in server["reasons"]

        eventually(is_told, "the user is told why the server waits")
        browsers[first].stop()
        assert followed[second].result().ready


def test_whoever_stops_a_pending_server_may_try_again_at_once(
    faulty: FaultyWorld, fault_guest: FaultGuest, token: str
) -> None:
    browser = fault_guest.browser("rosa")
    with faulty.plane.paused_scheduler():
        assert browser.submit("t4-now").status_code == 302
        fault_guest.kube.wait_until("Pod", "jupyter-rosa", lambda _: True, "is there", namespace=NAMESPACE)
        browser.stop()
        until_t4(faulty.berth, token, free=1, held=0)
        assert browser.submit("t4-now").status_code == 302
        until_t4(faulty.berth, token, free=0, held=1)
    assert follow(browser).ready


def test_a_hold_without_a_pod_ends_after_a_minute_and_never_blocks_its_owner(
    faulty: FaultyWorld, fault_guest: FaultGuest, token: str
) -> None:
    browser, other = fault_guest.browser("rosa"), fault_guest.browser("ravi")
    with pods_refused(fault_guest):
        assert start_unseen(browser, "t4-now").failed
    until_t4(faulty.berth, token, free=0, held=1)
    assert start_unseen(browser, "t4-now").ready, "her own hold is in her way"
    browser.stop()
    until_t4(faulty.berth, token, free=1, held=0)
    begun = time.monotonic()
    with pods_refused(fault_guest):
        assert start_unseen(browser, "t4-now").failed
    assert start_unseen(other, "t4-now").status == 409
    until_t4(faulty.berth, token, deadline=75, free=1, held=0)
    held_for = time.monotonic() - begun
    fault_guest.world.timings.add("hold of a spawn that made no pod", held_for)
    assert 55 < held_for < 62
    assert start_unseen(other, "t4-now").ready


def test_a_restart_of_berth_forgets_holds_and_counts_the_pods(
    faulty: FaultyWorld, fault_guest: FaultGuest, token: str
) -> None:
    browser = fault_guest.browser("rosa")
    with faulty.plane.paused_scheduler():
        assert browser.submit("t4-now").status_code == 302
        fault_guest.kube.wait_until("Pod", "jupyter-rosa", lambda _: True, "is there", namespace=NAMESPACE)
        until_t4(faulty.berth, token, free=0, held=1)
        faulty.renew_berth()
        until_t4(faulty.berth, token, free=1, held=0, pending=1)
    assert follow(browser).ready
    until_t4(faulty.berth, token, free=0, held=0, used=1, pending=0)
    assert start_unseen(fault_guest.browser("ravi"), "t4-now").status == 409
    browser.stop()
    until_t4(faulty.berth, token, free=1, held=0, used=0)


def test_a_second_replica_knows_the_pods_but_not_the_holds_of_the_first(
    faulty: FaultyWorld, fault_guest: FaultGuest, token: str
) -> None:
    """Hence the Service's affinity. When the hub is led to the other one, nothing that has a pod is promised again."""
    browser, other = fault_guest.browser("rosa"), fault_guest.browser("ravi")
    replica = Berth(faulty.plane, faulty.berth.token, name="berth-replica", account="berth-faulty")
    with replica:
        replica.start(faulty.hub.api_url, faulty.catalogue)
        with faulty.plane.paused_scheduler():
            assert browser.submit("t4-now").status_code == 302
            until_t4(faulty.berth, token, free=0, held=1)
            assert start_unseen(other, "t4-now").status == 409, "one hub, one replica: not promised twice"
            until_t4(replica, token, free=1, held=0, pending=1)
        assert follow(browser).ready
        until_t4(replica, token, free=0, used=1)
        faulty.hub_wire.target = replica.listen
        refused = start_unseen(other, "t4-now")
        assert refused.status == 409
        faulty.row("the other replica is asked for a GPU that is taken", refused.page, "all of them are in use")
        browser.stop()
        until_t4(replica, token, free=1, used=0)
        assert start_unseen(other, "t4-now").ready
        faulty.hub_wire.target = faulty.berth.listen
