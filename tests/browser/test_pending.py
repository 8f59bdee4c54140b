"""The hub's page of a server that starts: why the server waits, as the cluster changes, and without Berth."""

from __future__ import annotations

from pathlib import Path

import pods
import pytest
from conftest import A100, L4, T4
from playwright.sync_api import Page, expect
from test_board import check
from test_pictures import WINDOWS
from visitor import ADMIN, Visitor
from world import OTHERS, Guest

WAITS = "Your server waits."


def take_all(guest: Guest) -> list[str]:
    return [guest.take_gpus(node, count) for node, count in ((A100, 4), (L4, 2), (T4, 4))]


def start(visitor: Visitor, user: str, **window: object) -> Page:
    """Ask for any GPU; the page to which the hub then leads."""
    form = visitor.open_form(user, **window)
    form.card("gpu").radio.check()
    form.page.get_by_role("button", name="Start").click()
    form.page.wait_for_url(f"**/hub/spawn-pending/{user}**")
    return form.page


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
    second.wait_for_url("**/user/grace/**")


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
    form.card("gpu").radio.check()
    form.page.get_by_role("button", name="Start").click()
    form.page.wait_for_url("**/hub/spawn-pending/ada**")
    expect(form.page.locator("#progress-message")).not_to_be_empty()
    assert asked
    expect(form.page.locator("#berth-state")).to_be_empty()
    pods.remove(guest.kube, work[0], OTHERS)
    form.page.wait_for_url("**/user/ada/**")
