"""Owns limits: nobody holds more GPUs at once than the catalogue says, over all servers of a user wherever they run or
wait, and whoever is refused reads what is in use.
"""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import pods
import pytest
from browser import Browser, Outcome
from faults import FaultGuest, FaultyWorld, follow, press_at_once, start_unseen
from hub import NAMESPACE
from rest import RestUser
from waiting import eventually
from witness import SiteGuest
from world import HUB_KEY, L4, OTHERS, T4, Guest, until_form

LIMITS = {"gpusPerUser": 1, "groups": {"research": 3}}
AUTO = "🚀 GPU Environment (Auto-select)"
ADVICE = "Stop a server, or ask for fewer."


def over_limit(needs: int, limit: int, *in_use: str, title: str = AUTO) -> str:
    """What Berth says of a server too many."""
    gpus = {1: "1 GPU"}
    needed, allowed = gpus.get(needs, f"{needs} GPUs"), gpus.get(limit, f"{limit} GPUs")
    return f"{title} needs {needed}, but you may hold {allowed} at once; in use: {', '.join(in_use)}. {ADVICE}"


@pytest.fixture(autouse=True)
def catalogue(faulty: FaultyWorld, fault_guest: FaultGuest) -> None:
    faulty.change_catalogue(lambda catalogue: catalogue.update(limits=LIMITS))


def assert_refused(guest: Guest, outcome: Outcome, sentence: str, pods_before: int) -> None:
    assert (outcome.failed, outcome.status) == (True, 403), outcome
    assert sentence in outcome.page, outcome.page
    assert len(own_pods(guest)) == pods_before


def own_pods(guest: Guest, user: str = "tariq") -> list[str]:
    found = [pod["metadata"] for pod in guest.kube.list_of("Pod")]
    return [each["name"] for each in found if each.get("annotations", {}).get(f"{HUB_KEY}/username") == user]


def until_nothing_in_use(browser: Browser, server: str) -> None:
    """A stopped server counts no more, as soon as Berth has seen its pod go too."""
    eventually(lambda: "in use:" not in browser.form(server).profile("gpu").text, "nothing is in use", 10)


def test_a_second_server_is_refused_until_the_first_is_stopped(faulty: FaultyWorld, fault_guest: FaultGuest) -> None:
    browser = fault_guest.browser("tariq")
    form = browser.form()
    assert "gpus" not in form.profile("gpu").options, "two are never offered to somebody who may hold one"
    assert start_unseen(browser, "gpu").ready
    profile = browser.form("second").profile("gpu")
    assert "Busy now" in profile.text
    assert "you may hold 1 GPU at once; in use: 1 by your default server" in profile.text
    outcome = start_unseen(browser, "gpu", "second")
    assert_refused(fault_guest, outcome, over_limit(1, 1, "1 by your default server"), 1)
    faulty.row("a server beyond the user's limit", outcome.page, over_limit(1, 1, "1 by your default server"))
    assert start_unseen(browser, "cpu", "second").ready, "what needs no GPU goes on"
    browser.stop()
    until_nothing_in_use(browser, "third")
    assert start_unseen(browser, "gpu", "third").ready


def test_a_group_has_a_limit_of_its_own_and_named_servers_add_up(fault_guest: FaultGuest) -> None:
    browser = fault_guest.browser("rosa")
    assert start_unseen(browser, "gpu", gpus="2").ready
    outcome = start_unseen(browser, "gpu", "second", gpus="2")
    assert_refused(fault_guest, outcome, over_limit(2, 3, "2 by your default server"), 0)
    assert start_unseen(browser, f"gpu-on-{T4}", "second").ready, "one more is within the limit"
    form = browser.form("third")
    assert "in use: 2 by your default server, 1 by your server second" in form.profile("gpu").text
    outcome = start_unseen(browser, f"gpu-on-{L4}", "third")
    sentence = over_limit(
        1, 3, "2 by your default server", "1 by your server second", title=f"💻 GPU on {L4}"
    )  # fmt: skip
    assert (outcome.status, sentence in outcome.page) == (403, True), outcome
    assert len(own_pods(fault_guest, "rosa")) == 2


def test_a_server_that_waits_for_a_gpu_counts(fault_guest: FaultGuest) -> None:
    fault_guest.take_gpus(T4, 1)
    browser = fault_guest.browser("tariq")
    assert browser.submit(f"gpu-on-{T4}").status_code == 302
    fault_guest.kube.wait_until(
        "Pod", "jupyter-tariq", lambda pod: pods.refuse_reason(pod) is not None, "waits", namespace=NAMESPACE
    )
    outcome = start_unseen(browser, "gpu", "second")
    assert_refused(fault_guest, outcome, over_limit(1, 1, "1 by your default server"), 1)
    browser.stop()
    until_nothing_in_use(browser, "second")
    assert start_unseen(browser, "gpu", "second").ready


def test_a_server_in_another_namespace_counts(fault_guest: FaultGuest) -> None:
    """As a hub with `enable_user_namespaces` makes them: the pod says whose it is and which hub made it."""
    pod = pods.manifest("jupyter-tariq--away", OTHERS, gpus=1, node=L4)
    pod["metadata"]["annotations"] = {
        f"{HUB_KEY}/username": "tariq", f"{HUB_KEY}/servername": "away", "berth/hub": NAMESPACE,
    }  # fmt: skip
    browser = fault_guest.browser("tariq")
    try:
        pods.start(fault_guest.kube, pod)
        in_use = "in use: 1 by your server away"
        until_form(browser, lambda form: in_use in form.profile("gpu").text, "it is counted")
        outcome = start_unseen(browser, "gpu")
        assert_refused(fault_guest, outcome, over_limit(1, 1, "1 by your server away"), 1)
    finally:
        pods.remove(fault_guest.kube, pod["metadata"]["name"], OTHERS)
    until_form(browser, lambda form: "you may hold" not in form.text, "it is free again")
    assert start_unseen(browser, "gpu").ready


def test_two_servers_of_one_user_at_once_cannot_both_pass(faulty: FaultyWorld, fault_guest: FaultGuest) -> None:
    browsers = {server: fault_guest.browser("tariq") for server in ("one", "two")}
    with ThreadPoolExecutor(2) as pool:
        with faulty.plane.paused_scheduler():
            press_at_once([(browser, server) for server, browser in browsers.items()], "gpu")
            followed = {server: pool.submit(follow, browser, server) for server, browser in browsers.items()}
            done, _ = wait(followed.values(), timeout=30, return_when=FIRST_COMPLETED)
            refused, passed = sorted(followed, key=lambda server: followed[server] not in done)
            outcome = followed[refused].result()
            assert outcome.status == 403, outcome
            assert over_limit(1, 1, f"1 by your server {passed}") in outcome.page
        assert followed[passed].result().ready
    assert len(own_pods(fault_guest)) == 1


def test_a_program_gets_the_refusal_as_the_answer(patient_guest: SiteGuest) -> None:
    """By REST, on a hub that waits for the spawn before it answers."""
    program = RestUser(patient_guest.world.hub, "tariq", patient_guest.token("tariq"))
    assert program.start({"profile": "gpu"}, "first").status in (201, 202)
    pods_of = eventually(lambda: own_pods(patient_guest), "its pod is there")
    answer = program.start({"profile": "gpu"}, "second")
    assert (answer.status, answer.message) == (403, over_limit(1, 1, "1 by your server first"))
    assert own_pods(patient_guest) == pods_of
    assert program.start({"profile": "cpu"}, "second").status in (201, 202)
    patient_guest.site.row("a server beyond the user's limit, by REST", answer.message, ADVICE)
