"""A hub below a base URL of its own: the form, the board and the page of a starting server find Berth there."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import quote, urlencode

import pytest
from berth import Berth
from conftest import A100, CATALOGUE, L4, fill
from control_plane import ControlPlane
from hub import BerthAddress, Hub
from playwright.sync_api import Browser, Page, Response, expect
from timings import Timings
from visitor import DESKTOP, Form
from world import Guest, World

BASE_URL = "/a/jupyter/"


@pytest.fixture(scope="module")
def below(plane: ControlPlane) -> Iterator[World]:
    berth = Berth(plane, secrets.token_urlsafe(24), name="berth-below")
    hub = Hub(plane, name="hub-below", berth=BerthAddress(berth.url, berth.token), base_url=BASE_URL)
    with berth, hub:
        berth.start(hub.api_url, CATALOGUE, base_url=BASE_URL)
        yield World(plane, hub, hub, berth, Timings())


class Window:
    """A window in which a new user has logged in to that hub; `seen`: what Berth answered it so far."""

    def __init__(self, world: World, guest: Guest, page: Page, user: str) -> None:
        self.guest = guest
        self.page = page
        self.url = world.hub.url
        self.user = user
        self.seen: list[Response] = []
        page.on("response", lambda answer: self.seen.append(answer) if "/services/berth/" in answer.url else None)
        guest.user(user)
        page.goto(f"{self.url}/hub/login?next={quote(BASE_URL + 'hub/home', safe='')}")
        page.fill("input[name=username]", user)
        page.fill("input[name=password]", "any")
        page.click("#login_submit")
        page.wait_for_url(f"{self.url}/hub/home")

    def open_form(self, server: str = "") -> Form:
        self.page.goto(f"{self.url}/hub/spawn/{self.user}{'/' + quote(server) if server else ''}")
        return Form(self.page)

    def answers(self, path: str) -> list[Response]:
        """Those of Berth to this path, with any query; log-ins on the way there are left out."""
        address = f"{self.url}/services/berth/{path}"
        return [each for each in self.seen if each.url.split("?")[0] == address and each.status != 302]


@pytest.fixture
def window(below: World, chromium: Browser) -> Iterator[Window]:
    with ExitStack() as stack:
        guest = Guest(below, stack)
        context = chromium.new_context(viewport=DESKTOP)
        context.set_default_timeout(15000)
        stack.callback(context.close)
        yield Window(below, guest, context.new_page(), "basil")


def test_the_form_opens_and_refreshes_in_place(window: Window) -> None:
    form = window.open_form()
    expect(form.card("gpu").free).to_have_text("10 of 10 GPUs free")
    form.page.evaluate("window.still = true")
    form.wait_refreshed()
    window.guest.take_gpus(A100, 2)
    expect(form.card("gpu").free).to_have_text("8 of 10 GPUs free", timeout=2000)
    assert form.page.evaluate("window.still"), "the page was loaded anew"
    assert {each.status for each in window.answers("profiles")} == {200}
    cookies = [each for each in form.page.context.cookies() if "berth" in each["name"]]
    assert {each["path"] for each in cookies} == {f"{BASE_URL}services/berth/"}
    assert cookies, "it has a session of its own"


@pytest.mark.parametrize("server", ["lab", "the big one & more"])
def test_the_form_of_a_named_server_asks_for_that_server(window: Window, server: str) -> None:
    form = window.open_form(server)
    form.wait_refreshed(2)
    asked = window.answers("profiles")
    assert {each.url.partition("?")[2] for each in asked} == {urlencode({"as": window.user, "server": server})}
    assert {each.status for each in asked} == {200}
    window.guest.take_gpus(L4, 1)
    expect(form.card("gpu").free).to_have_text("9 of 10 GPUs free")


def test_the_board_opens_and_stays_current(window: Window) -> None:
    window.page.goto(f"{window.url}/services/berth/")
    assert window.page.url == f"{window.url}/services/berth/", "it ends where it was asked for"
    expect(window.page.locator("#connection")).to_contain_text("Live")
    window.guest.take_gpus(A100, 3)
    expect(window.page.locator("#kinds")).to_contain_text("1 of 4 free", timeout=2000)
    parts = [each for each in window.seen if "/static/" in each.url]
    assert {each.status for each in parts} == {200}
    assert all(each.url.startswith(window.url) for each in window.seen)


def test_the_page_of_a_waiting_server_says_why_and_leads_to_the_board(window: Window) -> None:
    fill(window.guest)
    form = window.open_form("lab")
    form.card("gpu").radio.check()
    form.page.get_by_role("button", name="Start").click()
    form.page.wait_for_url(f"{window.url}/hub/spawn-pending/basil/lab**")
    expect(form.page.locator("#berth-state")).to_have_text("Your server waits.")
    expect(form.page.locator("#berth-reasons > li").first).to_have_text("10 of 10 GPUs that would do are in use.")
    form.page.get_by_role("link", name="All GPUs, and why servers wait").click()
    form.page.wait_for_url(f"{window.url}/services/berth/")
    expect(form.page.locator("#own")).to_contain_text("lab")
