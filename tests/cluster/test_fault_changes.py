"""Owns what changes under a user's feet: a profile, kind, node or group that is gone between the form and the start,
between two starts, or while a server runs.

The catalogue is Berth's file, changed on disk as a new ConfigMap would be.
"""

from __future__ import annotations

from typing import Any

import nodes
import pytest
from browser import Browser, Outcome
from faults import FaultGuest, FaultyWorld, follow, may_not_use, not_offered, start_unseen
from hub import NAMESPACE
from nodes import NodeSpec
from rest import RestUser
from waiting import eventually
from world import Guest, until_form

H100 = NodeSpec("node-passing", nodes.H100, 1)
ON_H100 = f"gpu-on-{H100.name}"
Catalogue = dict[str, Any]


INSTEAD = "“📚 Standard Environment (CPU)” is selected instead."


def drop_agent_dev(catalogue: Catalogue) -> None:
    catalogue["profiles"] = [each for each in catalogue["profiles"] if each["slug"] != "agent-dev"]


def rename_agent_dev(catalogue: Catalogue) -> None:
    for profile in catalogue["profiles"]:
        if profile["slug"] == "agent-dev":
            profile["slug"] = "agents"
    catalogue["redirects"]["agent-dev"] = "agents"


def lose_group(guest: Guest, user: str, group: str) -> None:
    guest.world.hub.call("DELETE", f"/groups/{group}/users", json={"users": [user]})


def assert_refused(guest: Guest, outcome: Outcome, status: int, user: str = "rosa") -> None:
    assert outcome.failed
    assert outcome.status == status, outcome
    assert guest.kube.find("Pod", f"jupyter-{user}", NAMESPACE) is None


@pytest.fixture
def browser(fault_guest: FaultGuest) -> Browser:
    browser = fault_guest.browser("rosa")
    fault_guest.assert_live(browser)
    return browser


def test_a_profile_gone_between_form_and_start(faulty: FaultyWorld, fault_guest: FaultGuest, browser: Browser) -> None:
    assert "agent-dev" in browser.form().slugs
    faulty.change_catalogue(drop_agent_dev)
    outcome = start_unseen(browser, "agent-dev")
    assert_refused(fault_guest, outcome, 422)
    faulty.row("a profile gone between form and start", outcome.page,
               not_offered("agent-dev"))  # fmt: skip


def test_a_profile_gone_between_two_starts(faulty: FaultyWorld, fault_guest: FaultGuest, browser: Browser) -> None:
    fault_guest.spawn("rosa", "agent-dev")
    browser.stop()
    faulty.change_catalogue(drop_agent_dev)
    form = browser.form()
    assert form.profile("cpu").checked
    faulty.row("a profile gone between two starts: the form", form.text,
               "Your last choice, “agent-dev”, is not offered any more. " + INSTEAD)  # fmt: skip
    RestUser(faulty.hub, "rosa", fault_guest.token("rosa")).start(None)
    outcome = follow(browser)
    assert_refused(fault_guest, outcome, 422)
    faulty.row("a profile gone between two starts: the last choice is started again", outcome.page,
               not_offered("agent-dev"))  # fmt: skip


def test_a_profile_gone_while_a_server_runs(faulty: FaultyWorld, fault_guest: FaultGuest, browser: Browser) -> None:
    pod = fault_guest.spawn("rosa", "agent-dev")
    faulty.change_catalogue(drop_agent_dev)
    faulty.hub.restart()
    page = browser.get("/user/rosa/api")
    assert page.json()["version"] == "stub"
    assert fault_guest.pod_of("rosa")["metadata"]["uid"] == pod["metadata"]["uid"]
    faulty.row("a profile gone while a server runs, the hub restarted", page.text, '"version": "stub"')
    browser.stop()
    assert fault_guest.spawn("rosa", "cpu")


def test_a_profile_renamed_between_form_and_start(
    faulty: FaultyWorld, fault_guest: FaultGuest, browser: Browser
) -> None:
    assert "agent-dev" in browser.form().slugs
    faulty.change_catalogue(rename_agent_dev)
    outcome = start_unseen(browser, "agent-dev")
    assert outcome.ready, outcome
    assert fault_guest.pod_of("rosa")["metadata"]["annotations"]["berth/profile"] == "agents"
    faulty.row("a profile renamed between form and start", " ".join(outcome.messages), "Server ready at /user/rosa/")


def test_a_catalogue_with_mistakes_changes_nothing(faulty: FaultyWorld, browser: Browser) -> None:
    before = faulty.catalogue.read_text()
    faulty.catalogue.write_text(before.replace("slug: gpu\n", "slug: g--pu\n"))
    eventually(lambda: faulty.berth.metric("berth_catalogue_reload_failed") == 1, "Berth refuses it", 10)
    form = browser.form()
    faulty.row("a mistake in the catalogue: the form", form.profile("gpu").text, "5 of 5 GPUs free")
    faulty.catalogue.write_text(before)
    eventually(lambda: faulty.berth.metric("berth_catalogue_reload_failed") == 0, "Berth takes the old one again", 10)


def test_a_kind_gone_between_form_and_start(faulty: FaultyWorld, fault_guest: FaultGuest, browser: Browser) -> None:
    fault_guest.node(H100)
    until_form(browser, lambda form: ON_H100 in form.slugs, "the kind is offered")
    nodes.delete(fault_guest.kube, H100.name)
    until_form(browser, lambda form: ON_H100 not in form.slugs, "it is gone")
    outcome = start_unseen(browser, "gpu", gpu_kind=nodes.H100.kind)
    assert_refused(fault_guest, outcome, 422)
    sentence = f"No node of this cluster has a GPU of kind “{nodes.H100.kind}”. Choose again from the list."
    faulty.row("a kind gone between form and start", outcome.page, sentence)


def test_a_node_gone_between_form_and_start(faulty: FaultyWorld, fault_guest: FaultGuest, browser: Browser) -> None:
    fault_guest.node(H100)
    until_form(browser, lambda form: ON_H100 in form.slugs, "the node is offered")
    nodes.delete(fault_guest.kube, H100.name)
    until_form(browser, lambda form: ON_H100 not in form.slugs, "it is gone")
    outcome = start_unseen(browser, ON_H100)
    assert_refused(fault_guest, outcome, 422)
    faulty.row("a node gone between form and start", outcome.page,
               f"The node of the profile “{ON_H100}” is no longer in the cluster. Choose another profile.")  # fmt: skip


def test_a_node_gone_between_two_starts(faulty: FaultyWorld, fault_guest: FaultGuest, browser: Browser) -> None:
    fault_guest.node(H100)
    until_form(browser, lambda form: ON_H100 in form.slugs, "the node is offered")
    fault_guest.spawn("rosa", ON_H100)
    browser.stop()
    nodes.delete(fault_guest.kube, H100.name)
    form = until_form(browser, lambda form: ON_H100 not in form.slugs, "it is gone")
    assert form.profile("cpu").checked
    faulty.row("a node gone between two starts: the form", form.text,
               f"Your last choice, “{ON_H100}”, is not offered any more. " + INSTEAD)  # fmt: skip


def test_a_node_gone_while_a_server_runs(faulty: FaultyWorld, fault_guest: FaultGuest, browser: Browser) -> None:
    """The server dies with its node; the hub finds out, and the user starts another."""
    fault_guest.node(H100)
    until_form(browser, lambda form: ON_H100 in form.slugs, "the node is offered")
    fault_guest.spawn("rosa", ON_H100)
    nodes.delete(fault_guest.kube, H100.name)
    api = RestUser(faulty.hub, "rosa", fault_guest.token("rosa"))
    assert api.start({"profile": "gpu"}).status in (201, 202), "the hub polls a server that is asked for again"
    outcome = follow(browser)
    assert outcome.ready, outcome
    assert fault_guest.pod_of("rosa")["spec"]["nodeName"] != H100.name
    faulty.row("a node gone while a server runs: a GPU is started", " ".join(outcome.messages),
               "Server ready at /user/rosa/")  # fmt: skip


def test_a_group_lost_between_form_and_start(faulty: FaultyWorld, fault_guest: FaultGuest, browser: Browser) -> None:
    assert "fine-tuning" in browser.form().slugs
    lose_group(fault_guest, "rosa", "research")
    outcome = start_unseen(browser, "fine-tuning")
    assert_refused(fault_guest, outcome, 403)
    faulty.row("a group lost between form and start", outcome.page,
               may_not_use("fine-tuning"))  # fmt: skip


def test_a_group_lost_while_a_server_runs(faulty: FaultyWorld, fault_guest: FaultGuest, browser: Browser) -> None:
    pod = fault_guest.spawn("rosa", "fine-tuning")
    lose_group(fault_guest, "rosa", "research")
    page = browser.get("/user/rosa/api")
    faulty.row("a group lost while a server runs", page.text, '"version": "stub"')
    assert fault_guest.pod_of("rosa")["metadata"]["uid"] == pod["metadata"]["uid"]
    browser.stop()
    RestUser(faulty.hub, "rosa", fault_guest.token("rosa")).start(None)
    outcome = follow(browser)
    assert_refused(fault_guest, outcome, 403)
    faulty.row("a group lost between two starts: the last choice is started again", outcome.page,
               may_not_use("fine-tuning"))  # fmt: skip
