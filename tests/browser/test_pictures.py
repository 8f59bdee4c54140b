"""The page as it looks in its states, light and dark, on a desk and on a phone: axe-core finds nothing serious, nothing
sticks out, and a picture is written for looking at.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import A100, T4, fill
from playwright.sync_api import Page
from tools import ensure_axe
from visitor import Form, Visitor
from world import Guest

WINDOWS: dict[str, dict[str, Any]] = {
    "light": {},
    "dark": {"dark": True},
    "phone": {"phone": True},
    "phone-dark": {"phone": True, "dark": True},
}
STICKS_OUT = """[...document.querySelectorAll('#berth-profiles, #berth-profiles *')]
  .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline')
  .map(e => e.outerHTML.slice(0, 200))"""
Given = Callable[[Guest, Visitor], None]


def partly(guest: Guest, visitor: Visitor) -> None:
    guest.take_gpus(A100, 1)
    guest.take_gpus(T4, 3)


def full(guest: Guest, visitor: Visitor) -> None:
    """Nothing is free, and somebody waits."""
    fill(guest)


def inspect(page: Page) -> list[str]:
    """What axe-core calls serious or critical in the form."""
    page.add_script_tag(path=ensure_axe())
    found = page.evaluate("axe.run('#berth-profiles', {resultTypes: ['violations']})")
    return [
        f"{each['id']}: {each['help']} {[node['target'] for node in each['nodes']]}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


def check(form: Form, picture: Path) -> None:
    page = form.page
    page.screenshot(path=picture, full_page=True)
    assert page.evaluate(STICKS_OUT) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page scrolls sideways"
    assert inspect(page) == []


LOOKS = [
    (partly, "light"), (partly, "dark"), (partly, "phone"), (full, "light"), (full, "phone-dark"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "window"), LOOKS, ids=lambda part: getattr(part, "__name__", part))
def test_it_looks_right(given: Given, window: str, guest: Guest, visitor: Visitor, pictures: Path) -> None:
    given(guest, visitor)
    form = visitor.open_form("ada", **WINDOWS[window])
    form.wait_refreshed()
    if given is partly:
        form.card("gpu").radio.check()
        form.card("gpu").option("gpu-kind").select_option("nvidia-a100-sxm4-80gb")
    check(form, pictures / f"{given.__name__}-{window}.png")


def test_it_is_whole_without_javascript(guest: Guest, visitor: Visitor, pictures: Path) -> None:
    partly(guest, visitor)
    form = visitor.open_form("ada", java_script_enabled=False)
    form.page.screenshot(path=pictures / "no-javascript.png", full_page=True)
    assert form.card("gpu").option("gpus").is_visible()
