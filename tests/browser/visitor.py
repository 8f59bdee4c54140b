"""Owns a person at a browser: a window of some size and theme, logging in on the hub's own page, and the spawn page as
this person sees it.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any
from urllib.parse import quote

from playwright.sync_api import Browser, Locator, Page, ViewportSize
from world import Guest, World

DESKTOP: ViewportSize = {"width": 1280, "height": 900}
ADMIN = "admin"  # the hub makes this one itself
PHONE: ViewportSize = {"width": 390, "height": 844}


class Card:
    """One profile on the page."""

    def __init__(self, page: Page, slug: str) -> None:
        self.page = page
        self.slug = slug
        self.whole = page.locator(f".berth-profile[data-slug='{slug}']")
        self.radio = self.whole.locator("input[type=radio]")
        self.state = self.whole.locator(".berth-word")
        self.free = self.whole.locator(".berth-free")
        self.reasons = self.whole.locator(".berth-reasons")
        self.wait = self.whole.locator(".berth-wait")

    def option(self, key: str) -> Locator:
        return self.whole.locator(f"select[name='profile-option-{self.slug}--{key}']")

    def choice(self, key: str, value: str) -> Locator:
        return self.option(key).locator(f"option[value='{value}']")


class Form:
    """The open spawn page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.whole = page.locator("#berth-profiles")
        self.news = page.locator("#berth-news")
        self.note = page.locator("#berth-note")

    def card(self, slug: str) -> Card:
        return Card(self.page, slug)

    def picked(self) -> str:
        return str(self.page.locator("input[name=profile]:checked").get_attribute("value"))

    def wait_refreshed(self, times: int = 1) -> None:
        """Until the page has asked for newer numbers so many times more."""
        before = int(self.whole.get_attribute("data-refreshed") or 0)
        self.page.wait_for_function(
            "wanted => Number(document.getElementById('berth-profiles').dataset.refreshed || 0) >= wanted",
            arg=before + times,
        )


class Visitor:
    """Opens pages for the users of one test."""

    def __init__(self, world: World, guest: Guest, chromium: Browser, stack: ExitStack) -> None:
        self.world = world
        self._guest = guest
        self._chromium = chromium
        self._stack = stack

    def log_in(self, user: str, *, url: str = "", phone: bool = False, dark: bool = False, **more: Any) -> Page:
        """A new window in which the user has logged in, on the hub's home page."""
        if not url and user != ADMIN:
            self._guest.user(user)
        url = url or self.world.hub.url
        context = self._chromium.new_context(
            base_url=url, viewport=PHONE if phone else DESKTOP, color_scheme="dark" if dark else "light",
            device_scale_factor=2 if phone else 1, has_touch=phone, is_mobile=phone, **more,
        )  # fmt: skip
        context.set_default_timeout(15000)
        self._stack.callback(context.close)
        page = context.new_page()
        page.goto("/hub/login?next=%2Fhub%2Fhome")
        page.fill("input[name=username]", user)
        page.fill("input[name=password]", "any")
        page.click("#login_submit")
        page.wait_for_url("**/hub/home")
        return page

    def open_form(self, user: str, *, whose: str = "", page: Page | None = None, **window: Any) -> Form:
        """The spawn page of the user."""
        page = page or self.log_in(user, **window)
        page.goto(f"/hub/spawn/{quote(whose or user, safe='')}")
        return Form(page)
