"""The hub's page of a server that starts: why the server waits, as the cluster changes, and without Berth."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pods
import pytest
from conftest import A100, L4, T4
from playwright.sync_api import Page, expect
from test_board import check
from test_pictures import WINDOWS
from visitor import ADMIN, Form, Visitor
from world import OTHERS, Guest

WAITS = "Your server waits."


def take_all(guest: Guest) -> list[str]:
    return [guest.take_gpus(node, count) for node, count in ((A100, 4), (L4, 1), (L4, 1), (T4, 4))]


def ask_for_gpu(form: Form) -> Page:
    """The page to which the hub then leads."""
    form.card("gpu").radio.check()
    form.page.get_by_role("button", name="Start").click()
    form.page.wait_for_url("**/hub/spawn-pending/**")
    return form.page


def start(visitor: Visitor, user: str, **window: Any) -> Page:
    return ask_for_gpu(visitor.open_form(user, **window))


@pytest.mark.parametrize("window", ["light", "phone-dark"])
def test_it_says_why_the_server_waits(guest: Guest, visitor: Visitor, pictures: Path, window: str) -> None:
    take_all(guest)
    guest.wait_in_vain(gpus=1)
    page = start(visitor, "ada", **WINDOWS[window])
    expect(page.locator("#berth-state")).to_have_text(WAITS)
    reasons = page.locator("#berth-reasons > li")
    expect(reasons.nth(0)).to_have_text("10 of 10 GPUs that would do are in use.")
    expect(reasons.nth(1)).to_have_text("No other request of this hub is ahead of yours.")
    expect(reasons.nth(2)).to_have_text("1 such GPU is asked for by other pods of the cluster.")
    expect(page.locator("#progress-message")).not_to_be_empty()
    check(page, pictures / f"pending-{window}.png", within="#berth-start")
    page.get_by_role("link", name="All GPUs, and why servers wait").click()
    page.wait_for_url("**/services/berth/")


def test_it_follows_the_cluster_until_the_server_runs(guest: Guest, visitor: Visitor) -> None:
    work = take_all(guest)
    first = start(visitor, "ada")
    expect(first.locator("#berth-state")).to_have_text(WAITS)
    second = start(visitor, "grace")
    expect(second.locator("#berth-reasons")).to_contain_text("1 request is ahead of yours.")
    pods.remove(guest.kube, work[1], OTHERS)
    first.wait_for_url("**/user/ada/**")
    expect(second.locator("#berth-reasons")).to_contain_text("No other request of this hub is ahead of yours.")
    pods.remove(guest.kube, work[2], OTHERS)
    second.wait_for_url("**/user/grace/**")


def test_any_name_of_a_user_and_a_server_will_do(guest: Guest, visitor: Visitor) -> None:
    take_all(guest)
    user, server = "zoë & ann's", "the big one"
    page = visitor.log_in(user)
    page.goto(f"/hub/spawn/{quote(user)}/{quote(server)}")
    page = ask_for_gpu(Form(page))
    expect(page.locator("#berth-state")).to_have_text(WAITS)
    expect(page.locator("#berth-reasons > li").nth(0)).to_have_text("10 of 10 GPUs that would do are in use.")


def test_a_server_that_runs_and_does_not_answer_is_no_riddle(guest: Guest, visitor: Visitor) -> None:
    page = visitor.log_in("ada")
    running = {"name": "", "state": "running", "node": A100, "reasons": []}
    told = {"generation": 1, "observedAt": "2026-01-31T12:00:00Z", "stale": False, "servers": [running]}
    page.route("**/services/berth/api/v1/servers?**", lambda route: route.fulfill(json=told))
    take_all(guest)
    ask_for_gpu(visitor.open_form("ada", page=page))
    expect(page.locator("#berth-state")).to_have_text(
        f"Your server runs on {A100}, and the hub waits for it to answer."
    )


def test_an_administrator_sees_it_for_somebody_else(guest: Guest, visitor: Visitor) -> None:
    take_all(guest)
    start(visitor, "ada")
    page = visitor.log_in(ADMIN)
    page.goto("/hub/spawn-pending/ada")
    expect(page.locator("#berth-state")).to_have_text(WAITS)


def test_it_is_the_hubs_own_page_when_berth_does_not_answer(guest: Guest, visitor: Visitor) -> None:
    work = take_all(guest)
    form = visitor.open_form("ada")
    asked: list[str] = []
    form.page.route(
        "**/services/berth/api/v1/servers?**", lambda route: (asked.append(route.request.url), route.abort())
    )
    ask_for_gpu(form)
    expect(form.page.locator("#progress-message")).not_to_be_empty()
    assert asked
    expect(form.page.locator("#berth-state")).to_be_empty()
    pods.remove(guest.kube, work[0], OTHERS)
    form.page.wait_for_url("**/user/ada/**")
