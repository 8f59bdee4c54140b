"""Two hundred GPU nodes: the form and the board come within a bound of time and of bytes, stay current in place, and
are no wider than a window.

Measured on two cores: the form 0.2 s and 171 KiB, each of its refreshes 123 KiB; the board 0.3 s and 118 KiB. The
bounds are wide: they catch what grows with the square of the nodes, not a slow machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import nodes
import pytest
from conftest import NODES
from demo import gpu_nodes
from kube import path_of
from playwright.sync_api import Page, Response, expect
from visitor import Form, Visitor
from waiting import eventually
from world import Guest, World

BOARD = "/services/berth/"
LABEL = "tests/large"
# With those that are there for all tests.
SPECS = tuple(
    replace(spec, name=f"large-{number:03}", labels={**spec.labels, LABEL: "yes"})
    for number, spec in enumerate(gpu_nodes(200 - sum(spec.gpu is not None for spec in NODES)))
)
FIRST = SPECS[0]
SECONDS = 3.0
KIB = 1024
LARGEST_FORM, LARGEST_REFRESH, LARGEST_BOARD = 320 * KIB, 256 * KIB, 256 * KIB
SOON = 4000  # ms; the form asks every 1.5 s


@pytest.fixture(scope="module")
def large(world: World) -> Iterator[World]:
    ours = {"labelSelector": LABEL}
    nodes.create(world.kube, *SPECS)
    yield world
    world.kube.call("DELETE", path_of("Node"), params=ours)
    eventually(lambda: not world.kube.list_of("Node", **ours), "the nodes are gone", 60)


WINDOWS: dict[str, dict[str, Any]] = {"desktop": {}, "phone": {"phone": True}}


def took(page: Page, path: str, ready: str) -> tuple[float, Response]:
    """Seconds until the page is whole, and the page."""
    begun = time.monotonic()
    answer = page.goto(path)
    assert answer is not None
    expect(page.locator(ready)).to_be_visible()
    return time.monotonic() - begun, answer


def check_width(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"


@pytest.mark.parametrize("window", WINDOWS)
def test_the_form_is_bounded_and_stays_current(large: World, guest: Guest, visitor: Visitor, window: str) -> None:
    page = visitor.log_in("ada", **WINDOWS[window])
    seconds, answer = took(page, "/hub/spawn/ada", "#berth-profiles.berth-live")
    form = Form(page)
    with page.expect_response(lambda each: "/services/berth/profiles" in each.url and each.ok) as refreshed:
        form.wait_refreshed()
    assert seconds < SECONDS
    assert len(answer.body()) < LARGEST_FORM
    assert len(refreshed.value.body()) < LARGEST_REFRESH
    pick = form.card("pick")
    assert pick.option("node").locator("option").count() == 200
    check_width(page)
    pick.radio.check()
    pick.option("node").select_option(FIRST.name)
    page.evaluate("window.still = true")
    guest.take_gpus(FIRST.name, FIRST.count)
    expect(pick.state).to_have_text("Busy now", timeout=SOON)
    assert page.evaluate("window.still"), "the page was loaded anew"
    assert pick.option("node").input_value() == FIRST.name
    check_width(page)


@pytest.mark.parametrize("window", WINDOWS)
def test_the_board_is_bounded_and_stays_current(large: World, guest: Guest, visitor: Visitor, window: str) -> None:
    page = visitor.log_in("ada", **WINDOWS[window])
    seconds, answer = took(page, BOARD, "#kinds")
    assert seconds < SECONDS
    assert len(answer.body()) < LARGEST_BOARD
    expect(page.locator("#connection")).to_contain_text("Live")
    check_width(page)
    page.evaluate("window.still = true")
    group = page.locator("#nodes details:not([open])").first
    opened = f"details[id='{group.get_attribute('id')}'][open]"
    group.locator("summary").click()
    gpus = sum(spec.count for spec in (*SPECS, *NODES) if spec.gpu == FIRST.gpu)
    expect(page.locator("#kinds")).to_contain_text(f"{gpus} of {gpus} free")
    guest.take_gpus(FIRST.name, 3)
    expect(page.locator("#kinds")).to_contain_text(f"{gpus - 3} of {gpus} free", timeout=SOON)
    assert page.evaluate("window.still"), "the page was loaded anew"
    expect(page.locator(opened)).to_be_visible()
    check_width(page)
