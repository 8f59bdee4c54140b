"""Owns liveness: what happens in the cluster, by whoever's hand, shows in the numbers of the hub's own form, within
seconds.
"""

from __future__ import annotations

import nodes
import pods
import pytest
from browser import Browser, SpawnForm
from nodes import NodeSpec
from world import OTHERS, Guest, counts, kind_text, until_form

ONE = NodeSpec("node-h100-1", nodes.H100, 4)
TWO = NodeSpec("node-h100-2", nodes.H100, 2)
ON_ONE, ON_TWO = f"gpu-on-{ONE.name}", f"gpu-on-{TWO.name}"


def says(free: int, total: int) -> str:
    return f"{free} of {total} free"


def shows_h100(form: SpawnForm, free: int, total: int) -> bool:
    return says(free, total) in kind_text(form, nodes.H100)


@pytest.fixture
def browser(guest: Guest) -> Browser:
    """A user who sees six H100 on two nodes that only this test has, and all of them free."""
    guest.node(ONE)
    guest.node(TWO)
    browser = guest.browser("tariq")
    until_form(browser, lambda form: ON_ONE in form.slugs and shows_h100(form, 6, 6), "the new nodes are offered")
    return browser


def test_a_pod_of_another_namespace_takes_a_gpu_and_gives_it_back(guest: Guest, browser: Browser) -> None:
    name = guest.take_gpus(ONE.name, 3)
    form = until_form(browser, lambda form: counts(form.profile(ON_ONE)) == (1, 4), "three are taken")
    assert shows_h100(form, 3, 6)
    assert counts(form.profile(ON_TWO)) == (2, 2)
    pods.remove(guest.kube, name, OTHERS)
    until_form(browser, lambda form: counts(form.profile(ON_ONE)) == (4, 4), "they are free again")


def test_a_finished_pod_gives_its_gpus_back_before_it_is_deleted(guest: Guest, browser: Browser) -> None:
    name = guest.take_gpus(TWO.name, 2)
    until_form(browser, lambda form: counts(form.profile(ON_TWO)) == (0, 2), "both are taken")
    guest.kube.patch("Pod", name, {"status": {"phase": "Succeeded"}}, namespace=OTHERS, sub="/status")
    until_form(browser, lambda form: counts(form.profile(ON_TWO)) == (2, 2), "both are free again")


def test_a_cordoned_node_is_not_offered(guest: Guest, browser: Browser) -> None:
    nodes.cordon(guest.kube, ONE.name)
    form = until_form(browser, lambda form: ON_ONE not in form.slugs, "the cordoned node is gone from the form")
    assert shows_h100(form, 2, 6)
    nodes.uncordon(guest.kube, ONE.name)
    form = until_form(browser, lambda form: ON_ONE in form.slugs, "it is back")
    assert shows_h100(form, 6, 6)


def test_a_drained_node_is_not_offered_and_its_pods_count_no_more(guest: Guest, browser: Browser) -> None:
    guest.take_gpus(ONE.name, 2)
    until_form(browser, lambda form: shows_h100(form, 4, 6), "two are taken")
    nodes.drain(guest.kube, ONE.name)
    form = until_form(browser, lambda form: ON_ONE not in form.slugs, "the drained node is gone from the form")
    assert shows_h100(form, 2, 6)
    nodes.uncordon(guest.kube, ONE.name)
    until_form(browser, lambda form: shows_h100(form, 6, 6), "all are free after the drain")


def test_a_node_that_is_not_ready_is_not_offered(guest: Guest, browser: Browser) -> None:
    nodes.make_not_ready(guest.kube, TWO.name)
    form = until_form(browser, lambda form: ON_TWO not in form.slugs, "the dead node is gone from the form")
    assert shows_h100(form, 4, 6)
    nodes.make_ready(guest.kube, TWO.name)
    until_form(browser, lambda form: ON_TWO in form.slugs and shows_h100(form, 6, 6), "it is back")


def test_a_deleted_node_is_gone_with_its_cards(guest: Guest, browser: Browser) -> None:
    nodes.delete(guest.kube, ONE.name)
    form = until_form(browser, lambda form: ON_ONE not in form.slugs, "the deleted node is gone from the form")
    assert shows_h100(form, 2, 2)
    nodes.delete(guest.kube, TWO.name)
    form = until_form(browser, lambda form: ON_TWO not in form.slugs, "the second one too")
    assert nodes.H100.kind not in [choice.value for choice in form.profile("gpu").options["gpu-kind"]]


def test_a_card_that_falls_ill_is_not_free(guest: Guest, browser: Browser) -> None:
    guest.kube.patch("Node", TWO.name, {"status": {"allocatable": {nodes.GPU: "1"}}}, sub="/status")
    form = until_form(browser, lambda form: counts(form.profile(ON_TWO))[0] == 1, "one of two is healthy")
    assert shows_h100(form, 5, 6)
