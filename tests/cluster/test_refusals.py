"""Owns what a user reads when something can't be had: a sentence, on the page where he waits, and never a 500."""

from __future__ import annotations

import nodes
from browser import Outcome
from hub import NAMESPACE
from nodes import NodeSpec
from world import A100, L4, Guest, until_form

GONE = NodeSpec("node-gone", nodes.H100, 1)


def assert_sentence(outcome: Outcome, status: int, *words: str) -> None:
    assert outcome.failed
    assert outcome.status == status, outcome
    for word in words:
        assert word in outcome.page, outcome.page
    for leak in ("Traceback", "Error(", "No such profile", "HTTPError", "500"):
        assert leak not in outcome.page, outcome.page


def test_a_profile_that_never_was_is_refused_in_a_sentence(guest: Guest) -> None:
    outcome = guest.browser("rosa").spawn("no-such-profile")
    assert_sentence(outcome, 422, "no-such-profile")
    assert guest.kube.find("Pod", "jupyter-rosa", NAMESPACE) is None


def test_a_retired_profile_leads_to_its_successor(guest: Guest) -> None:
    pod = guest.spawn("rosa", "big-gpu")
    assert pod["metadata"]["annotations"]["berth/profile"] == "gpu"
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_a_node_that_vanished_after_the_form_is_refused_by_name(guest: Guest) -> None:
    guest.node(GONE)
    browser = guest.browser("rosa")
    slug = f"gpu-on-{GONE.name}"
    until_form(browser, lambda form: slug in form.slugs, "the node is offered")
    nodes.delete(guest.kube, GONE.name)
    until_form(browser, lambda form: slug not in form.slugs, "the node is gone")
    assert_sentence(browser.spawn(slug), 422, GONE.name)


def test_after_a_refusal_the_next_spawn_works(guest: Guest) -> None:
    assert guest.browser("rosa").spawn("no-such-profile").failed
    assert guest.spawn("rosa", "cpu")["status"]["phase"] == "Running"


def test_a_profile_of_another_group_is_neither_shown_nor_given(guest: Guest) -> None:
    browser = guest.browser("sam")
    assert "fine-tuning" not in browser.form().slugs
    assert_sentence(browser.spawn("fine-tuning"), 403)
    assert guest.kube.find("Pod", "jupyter-sam", NAMESPACE) is None


def test_a_profile_that_does_not_wait_is_refused_when_all_are_taken(guest: Guest) -> None:
    guest.take_gpus(A100, 2)
    guest.take_gpus(L4, 2)
    browser = guest.browser("rosa")
    until_form(browser, lambda form: form.profile("fine-tuning").gpus_free == (0, 4), "all large cards are taken")
    assert_sentence(browser.spawn("fine-tuning"), 409)


def test_a_foreign_option_is_refused(guest: Guest) -> None:
    outcome = guest.browser("rosa").spawn("gpu", gpu_kind="nvidia-b300")
    assert_sentence(outcome, 422, "nvidia-b300")
