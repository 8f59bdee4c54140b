"""Owns what users see while Berth cannot see the cluster: numbers with their age, spawns that the scheduler decides,
and then the truth again without a restart of Berth.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from aging import NO_CLAIMS, NO_PODS, SILENT, WAYS
from berth import Berth
from browser import Browser, Outcome, SpawnForm
from faults import FaultGuest, FaultyWorld
from kube import Json
from waiting import eventually
from world import L4, OTHERS, counts, until_form

STALE = re.compile(r"The cluster cannot be watched at the moment: what is free is as of \d+ (seconds|minutes) ago\.")
FAULTS = {
    SILENT: "the apiserver answers nothing",
    NO_PODS: "the apiserver refuses Berth the pods (RBAC)",
    NO_CLAIMS: "the apiserver refuses Berth the claims (RBAC)",
}
# What each still knows of one more GPU that was taken meanwhile: only a watch of the pods can tell.
SEES_PODS = {SILENT: (5, 5), NO_PODS: (5, 5), NO_CLAIMS: (4, 5)}
# Pauses between tries grow to 15 s, and up to as much again by chance.
RECOVERY = 45.0


@dataclass(frozen=True)
class Told:
    """What one Berth told at one time."""

    form: SpawnForm
    gpus: Json
    age: float


@dataclass(frozen=True)
class Seen:
    """One of the three: while its numbers were old, what came of a spawn then, and afterwards."""

    old: Told
    started: Outcome
    after: Told
    same_process: bool
    log: str


@pytest.fixture(scope="module")
def seen(faulty: FaultyWorld) -> dict[str, Seen]:
    """All three looked at, mended together, and looked at again."""
    with ExitStack() as stack:
        guest = FaultGuest(faulty, stack)
        browser = guest.browser("tariq")
        token = guest.token("tariq")
        guest.take_gpus(L4, 1)
        old, started = {}, {}
        for way in WAYS:
            old[way] = look_at_old(way, faulty, browser, token)
            started[way] = browser.spawn("gpu")
            assert started[way].ready, started[way]
            assert guest.pod_of("tariq")["spec"]["nodeName"]
            browser.stop()
        faulty.aging.restore()
        after = {way: look_at_mended(way, faulty, browser, token) for way in WAYS}
        faulty.mend()
    return {
        way: Seen(
            old[way],
            started[way],
            after[way],
            faulty.aging[way].berth.program.pid == faulty.aging[way].pid,
            faulty.aging[way].berth.program.log.read_text(errors="replace"),
        )
        for way in WAYS
    }


def told(berth: Berth, form: SpawnForm, token: str) -> Told:
    return Told(form, berth.get("/api/v1/gpus", token).json(), berth.metric("berth_inventory_age_seconds"))


def look_at_old(way: str, faulty: FaultyWorld, browser: Browser, token: str) -> Told:
    berth = faulty.aging[way].berth
    eventually(lambda: berth.metric("berth_inventory_age_seconds") > 30, f"{way}: the numbers are old", 60)
    faulty.hub_wire.target = berth.listen
    form = until_form(browser, lambda form: counts(form.profile("gpu")) == SEES_PODS[way], "what it knows", 5)
    return told(berth, form, token)


def look_at_mended(way: str, faulty: FaultyWorld, browser: Browser, token: str) -> Told:
    aged = faulty.aging[way]
    faulty.hub_wire.target = aged.berth.listen
    form = until_form(
        browser,
        lambda form: counts(form.profile("gpu")) == (4, 5) and not STALE.search(form.text),
        f"{way}: the truth is shown again",
        RECOVERY,
    )
    return told(aged.berth, form, token)


each_way = pytest.mark.parametrize("way", WAYS)


def seconds_since(moment: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()


@each_way
def test_old_numbers_are_shown_with_their_age(way: str, seen: dict[str, Seen], faulty: FaultyWorld) -> None:
    old = seen[way].old
    sentence = STALE.search(old.form.text)
    assert sentence, old.form.text
    faulty.row(f"{FAULTS[way]}: the form", old.form.text, sentence[0])
    assert old.gpus["stale"] is True
    assert seconds_since(old.gpus["observedAt"]) > 30
    assert old.age > 30


@each_way
def test_a_spawn_goes_on_and_the_scheduler_decides(way: str, seen: dict[str, Seen], faulty: FaultyWorld) -> None:
    faulty.row(f"{FAULTS[way]}: a GPU is started", " ".join(seen[way].started.messages), "Server ready at /user/tariq/")


@each_way
def test_then_the_truth_again_without_a_restart(way: str, seen: dict[str, Seen], faulty: FaultyWorld) -> None:
    after = seen[way].after
    assert seen[way].same_process
    assert after.gpus["stale"] is False
    assert after.age < 15
    faulty.row(f"{FAULTS[way]}, then all is well: the form", after.form.profile("gpu").text, "4 of 5 GPUs free")


@pytest.mark.parametrize("way", [NO_PODS, NO_CLAIMS])
def test_the_log_says_what_is_refused(way: str, seen: dict[str, Seen]) -> None:
    kind = {NO_PODS: "pods", NO_CLAIMS: "persistentvolumeclaims"}[way]
    assert re.search(rf"the watch is lost.*{kind}.*forbidden|{kind}.*forbidden.*", seen[way].log)


def test_a_history_that_is_gone_is_listed_anew(faulty: FaultyWorld, fault_guest: FaultGuest) -> None:
    """Berth comes back with a version that etcd has compacted and a new apiserver has never seen: its watches are
    answered 410."""
    browser = fault_guest.browser("rosa")
    faulty.renew_berth()
    fault_guest.assert_live(browser)
    pid = faulty.berth.program.pid
    before = faulty.berth.metric("berth_watch_restarts_total", kind="pods")
    faulty.api_wire.refuse()
    fault_guest.take_gpus(L4, 2)
    faulty.plane.stop_apiserver()
    faulty.plane.compact_history()
    faulty.plane.start_apiserver()
    faulty.api_wire.mend()
    form = until_form(
        browser, lambda form: counts(form.profile("gpu")) == (3, 5), "what happened meanwhile is known", RECOVERY
    )
    faulty.row("the apiserver restarted, its history compacted: the form", form.profile("gpu").text, "3 of 5 GPUs free")
    assert faulty.berth.program.pid == pid
    assert faulty.berth.metric("berth_watch_restarts_total", kind="pods") > before
    assert "the server no longer has the changes since the last one seen" in faulty.berth.program.log.read_text()


def test_an_apiserver_that_answers_slowly(faulty: FaultyWorld, fault_guest: FaultGuest) -> None:
    browser = fault_guest.browser("rosa")
    faulty.renew_berth()
    fault_guest.assert_live(browser)
    faulty.api_wire.delay(2.0)
    fault_guest.take_gpus(L4, 2)
    form = until_form(browser, lambda form: counts(form.profile("gpu")) == (3, 5), "the change comes late", RECOVERY)
    faulty.row("the apiserver answers 2 s late: the form", form.profile("gpu").text, "3 of 5 GPUs free")
    assert not STALE.search(form.text)


def test_a_watch_that_recovered_is_soon_back_again(faulty: FaultyWorld, fault_guest: FaultGuest) -> None:
    """Each loss by itself, with a good watch in between: the pause before the next try must not grow from one to the
    next."""
    browser = fault_guest.browser("rosa")
    faulty.renew_berth()
    try:
        for number, deadline in enumerate((RECOVERY, RECOVERY, RECOVERY, 3.0)):
            faulty.api_wire.cut()
            name = fault_guest.take_gpus(L4, 1)
            until_form(browser, lambda form: counts(form.profile("gpu")) == (4, 5), f"loss {number}", deadline)
            fault_guest.kube.delete("Pod", name, OTHERS, grace=0)
            until_form(browser, lambda form: counts(form.profile("gpu")) == (5, 5), f"loss {number}: free again")
    finally:
        faulty.berth.stop()  # whoever comes next needn't wait for the long pause
