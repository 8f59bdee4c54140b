"""How an open board comes through what befalls its connection: it says what it has lost, mends it by itself, asks less
and less often meanwhile, and holds nothing open while nobody looks.
"""

from __future__ import annotations

from conftest import A100
from playwright.sync_api import Page, Route, expect
from test_board import BOARD
from test_refresh import HIDE
from visitor import Visitor
from waiting import eventually
from world import Guest, World

EVENTS = "**/api/v1/gpus/events?**"
PAGE = "**/services/berth/"
# Keeps the page's streams for the test to look at.
WATCH = """
  const Real = window.EventSource;
  window.streams = [];
  window.EventSource = class extends Real {
    constructor(url) { super(url); window.streams.push(this); }
  };
"""
# A connection that died unseen: it opens, and then neither an event nor an error comes.
DEAD = """
  window.streams = [];
  window.EventSource = class {
    static OPEN = 1;
    readyState = 1;
    constructor() { window.streams.push(this); }
    close() { this.readyState = 2; }
  };
"""
OPEN_STREAMS = "window.streams.filter(stream => stream.readyState === 1).length"


def open_board(page: Page) -> None:
    page.goto(BOARD)
    expect(page.locator("#connection")).to_have_text("Live")


def refuse(page: Page, status: int) -> list[str]:
    """Every request of the open board is answered like this; they are listed."""
    seen: list[str] = []

    def answer(route: Route) -> None:
        if route.request.is_navigation_request():
            route.fallback()
        else:
            seen.append(route.request.url)
            route.fulfill(status=status, content_type="text/html", body="<h1>Sorry</h1>")

    page.route(EVENTS, answer)
    page.route(PAGE, answer)
    return seen


def test_a_berth_that_stops_and_starts_is_told_and_made_good(world: World, guest: Guest, visitor: Visitor) -> None:
    page = visitor.log_in("tariq")
    open_board(page)
    expect(page.locator("#kinds")).to_contain_text("4 of 4 free")
    page.evaluate("window.still = true")
    world.berth.stop()
    try:
        expect(page.locator("#connection")).to_have_text("Connection lost, trying again.")
        expect(page.get_by_role("link", name="Reload")).to_be_visible()
        expect(page.locator("#kinds")).to_contain_text("4 of 4 free")
    finally:
        world.berth.start_again()
    guest.take_gpus(A100, 3)
    expect(page.locator("#connection")).to_have_text("Live", timeout=30_000)
    expect(page.locator("#kinds")).to_contain_text("1 of 4 free")
    assert page.evaluate("window.still"), "the page was loaded anew"


def test_a_proxy_that_knows_no_route_yet_is_waited_for(visitor: Visitor) -> None:
    page = visitor.log_in("tariq")
    seen = refuse(page, 404)
    page.goto(BOARD)
    connection = page.locator("#connection")
    expect(connection).to_have_text("Connection lost, trying again.")
    eventually(lambda: page.evaluate("true") and len(seen) >= 4, "it has tried again")
    expect(connection).to_have_text("Connection lost, trying again.")
    page.unroute_all()
    expect(connection).to_have_text("Live")


def test_who_has_logged_out_is_told_so(visitor: Visitor) -> None:
    page = visitor.log_in("tariq")
    page.route(EVENTS, lambda route: route.fulfill(status=401))
    page.goto(BOARD)
    connection = page.locator("#connection")
    expect(connection).to_contain_text("Connection lost")
    page.context.clear_cookies()
    expect(connection).to_contain_text("You are logged out")


def test_a_connection_that_died_unseen_is_made_anew(visitor: Visitor) -> None:
    page = visitor.log_in("tariq")
    page.add_init_script(DEAD)
    page.clock.install()
    page.goto(BOARD)
    page.evaluate("window.streams[0].onmessage()")
    connection = page.locator("#connection")
    expect(connection).to_have_text("Live")
    page.clock.run_for(74_000)
    assert page.evaluate("window.streams.length") == 1
    page.clock.run_for(1_000)
    expect(connection).to_have_text("Connection lost, trying again.")
    page.clock.run_for(2_000)
    assert page.evaluate("window.streams.map(stream => stream.readyState)") == [2, 1]
    page.evaluate("window.streams[1].onmessage()")
    expect(connection).to_have_text("Live")


def test_a_board_that_nobody_sees_holds_no_connection(guest: Guest, visitor: Visitor) -> None:
    page = visitor.log_in("tariq")
    page.add_init_script(WATCH)
    open_board(page)
    assert page.evaluate(OPEN_STREAMS) == 1
    page.evaluate(HIDE, True)
    assert page.evaluate(OPEN_STREAMS) == 0
    guest.take_gpus(A100, 2)
    expect(page.locator("#kinds")).to_contain_text("4 of 4 free")
    page.evaluate(HIDE, False)
    expect(page.locator("#kinds")).to_contain_text("2 of 4 free", timeout=2000)
    expect(page.locator("#connection")).to_have_text("Live")
    assert page.evaluate(OPEN_STREAMS) == 1


def test_during_a_long_outage_a_board_asks_less_and_less_often(visitor: Visitor) -> None:
    page = visitor.log_in("tariq")
    page.clock.install()
    open_board(page)
    seen = refuse(page, 503)
    page.evaluate(HIDE, True)
    page.evaluate(HIDE, False)
    for _ in range(40):
        page.clock.run_for(5_000)
        page.wait_for_timeout(50)  # the answers are real
    # At 0, 2, 6, 14, 30, 62, 122 and 182 s, each time for the stream and the page.
    assert len(seen) <= 16, seen
    expect(page.locator("#connection")).to_have_text("Connection lost, trying again.")
