"""The board and the administrator's page of profiles in a real browser, behind the real hub: how they look on a desk
and on a phone, light and dark, with and without JavaScript, and that a change of the cluster reaches an open page by
itself. How an open page comes through what befalls its connection is in `test_board_connection.py`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import A100, fill
from playwright.sync_api import Page, expect
from test_pictures import WINDOWS
from tools import ensure_axe
from visitor import ADMIN, Visitor
from waiting import eventually
from world import Guest

BOARD = "/services/berth/"
PROFILES = "/services/berth/profiles?user=rosa&groups=research"


def open_page(visitor: Visitor, user: str, path: str, **window: Any) -> Page:
    page = visitor.log_in(user, **window)
    page.goto(path)
    return page


def check(page: Page, picture: Path, within: str = "html") -> None:
    """`within`: what of the page is ours to mend."""
    page.screenshot(path=picture, full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    page.add_script_tag(path=ensure_axe())
    found = page.evaluate("within => axe.run(within, {resultTypes: ['violations']})", within)["violations"]
    serious = [each for each in found if each["impact"] in ("serious", "critical")]
    assert not serious, [(each["id"], [node["target"] for node in each["nodes"]]) for each in serious]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("user", "path"), [("tariq", BOARD), (ADMIN, BOARD), (ADMIN, PROFILES)])
def test_the_pages_are_fit_to_be_seen(
    guest: Guest, visitor: Visitor, pictures: Path, user: str, path: str, window: str
) -> None:
    guest.take_gpus(A100, 1)
    guest.spawn("rosa", "gpu")
    # The strict policy would keep axe-core out, which is put into the page.
    page = open_page(visitor, user, path, bypass_csp=True, **WINDOWS[window])
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    name = "profiles" if "profiles" in path else "board"
    check(page, pictures / f"{name}-{user}-{window}.png")


def free_a100(page: Page) -> int:
    row = page.locator("#kinds").get_by_text(re.compile(r"\d of 4 free")).first
    return int(row.inner_text().split(" of ")[0].split()[-1])


def test_a_gpu_that_is_taken_changes_the_open_board_within_two_seconds(guest: Guest, visitor: Visitor) -> None:
    page = open_page(visitor, "tariq", BOARD)
    before = free_a100(page)
    assert before == 4
    page.evaluate("window.still = true")
    guest.take_gpus(A100, 3)
    expect(page.locator("#kinds")).to_contain_text("1 of 4 free", timeout=2000)
    assert page.evaluate("window.still"), "the page was loaded anew"


def test_the_board_is_whole_without_javascript(guest: Guest, visitor: Visitor, pictures: Path) -> None:
    guest.take_gpus(A100, 3)
    page = open_page(visitor, "tariq", BOARD, java_script_enabled=False)
    expect(page.locator("#kinds")).to_contain_text("1 of 4 free")
    expect(page.locator("#nodes")).to_contain_text(A100)
    expect(page.locator("#own")).to_contain_text("You have none in the cluster")
    expect(page.locator("#age")).to_have_text(re.compile(r"Numbers from \d\d:\d\d:\d\d UTC"))
    page.screenshot(path=pictures / "board-tariq-no-script.png", full_page=True)
    guest.take_gpus(A100, 1)
    page.get_by_role("link", name="Reload").click()
    expect(page.locator("#kinds")).to_contain_text("0 of 4 free")


def test_an_open_list_and_the_focus_outlive_new_numbers(guest: Guest, visitor: Visitor) -> None:
    fill(guest)
    guest.browser("rosa").submit("gpu")
    page = open_page(visitor, ADMIN, BOARD)
    words = page.locator("#all details")
    words.locator("summary").press("Enter")
    expect(words).to_have_attribute("open", "")
    words.evaluate("details => { window.old = details; }")
    guest.wait_in_vain(gpus=4)
    eventually(lambda: not page.evaluate("window.old.isConnected"), "its part of the page is swapped")
    expect(words).to_have_attribute("open", "")
    expect(words.locator("summary")).to_be_focused()


def test_only_administrators_see_who_holds_what(guest: Guest, visitor: Visitor) -> None:
    pod = guest.spawn("rosa", "gpu")
    theirs = open_page(visitor, ADMIN, BOARD)
    expect(theirs.locator("#all")).to_contain_text("rosa")
    others = open_page(visitor, "tariq", BOARD)
    expect(others.locator("#kinds")).to_be_visible()
    assert "rosa" not in others.content()
    mine = open_page(visitor, "rosa", BOARD)
    own = mine.locator("#own tbody tr")
    expect(own).to_have_count(1)
    expect(own).to_contain_text("1 ×")
    expect(own).to_contain_text(f"on {pod['spec']['nodeName']}")


def test_an_administrator_tries_a_choice_of_somebody_else(guest: Guest, visitor: Visitor) -> None:
    page = open_page(visitor, ADMIN, PROFILES)
    expect(page.locator("main")).to_contain_text("rosa")
    page.locator("#try-gpu > summary").click()
    page.locator("#try-gpu").get_by_role("button").click()
    expect(page.locator("main")).to_contain_text("extra_resource_limits")
