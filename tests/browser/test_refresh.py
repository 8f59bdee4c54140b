"""How the page gets newer numbers: only while it is seen, as its own user, and when they stop coming it stays as it is
and says how old it is.
"""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path

import pytest
from berth import CHECKOUT, Berth
from conftest import A100, CATALOGUE
from control_plane import ControlPlane
from hub import BerthAddress, Hub
from playwright.sync_api import Page, Route, expect
from visitor import ADMIN, Form, Visitor
from waiting import eventually
from world import Guest, World

sys.path.insert(0, str(CHECKOUT / "tests"))
from python_environment import ensure_venv

REQUIREMENTS = CHECKOUT / "tests" / "requirements-hub6.txt"
PROFILES = "**/services/berth/profiles*"
HIDE = """hidden => {
  Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def asked(page: Page) -> list[str]:
    """Grows with every request for profiles."""
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url) if "/services/berth/profiles" in request.url else None)
    return seen


def test_a_page_that_nobody_sees_asks_nothing(visitor: Visitor, guest: Guest) -> None:
    form = visitor.open_form("ada")
    form.wait_refreshed()
    form.page.evaluate(HIDE, True)
    form.page.wait_for_load_state("networkidle")
    requests = asked(form.page)
    guest.take_gpus(A100, 2)
    form.page.wait_for_timeout(3500)  # nothing to wait for: nothing must happen
    assert requests == []
    expect(form.card("gpu").free).to_have_text("10 of 10 GPUs free")
    form.page.evaluate(HIDE, False)
    expect(form.card("gpu").free).to_have_text("8 of 10 GPUs free", timeout=1000)


def test_when_berth_is_away_the_page_stays_and_says_how_old_it_is(
    world: World, visitor: Visitor, guest: Guest, pictures: Path
) -> None:
    page = visitor.log_in("ada")
    page.clock.install()
    form = visitor.open_form("ada", page=page)
    form.card("gpu").radio.check()
    form.card("gpu").option("gpus").select_option("2")
    form.wait_refreshed()
    world.berth.program.stop()
    try:
        form.wait_refreshed(2)
        requests = asked(page)
        page.clock.run_for(180_000)
        expect(form.note).to_contain_text(
            "No newer numbers can be had at the moment: what is free is as of 3 minutes ago"
        )
        assert len(requests) < 15, "it asks less and less often"
        page.screenshot(path=pictures / "refresh-fails.png", full_page=True)
        assert (form.picked(), form.card("gpu").option("gpus").input_value()) == ("gpu", "2")
        expect(form.card("gpu").free).to_have_text("10 of 10 GPUs free")
    finally:
        world.berth.start_again()
    guest.take_gpus(A100, 1)

    def recovered() -> bool:
        page.clock.run_for(60_000)
        return "The numbers are new" in form.note.inner_text()

    eventually(recovered, "newer numbers come again")
    expect(form.note).to_contain_text("what can be started is as of")  # the new Berth has not heard from the hub
    expect(form.card("gpu").free).to_have_text("9 of 10 GPUs free")
    assert (form.picked(), form.card("gpu").option("gpus").input_value()) == ("gpu", "2")
    form = visitor.open_form("ada", page=page)
    form.wait_refreshed()
    page.clock.run_for(30_000)
    expect(form.note).to_be_hidden()


def test_where_the_hubs_settings_are_not_known_only_numbers_change(visitor: Visitor, guest: Guest) -> None:
    page = visitor.log_in("ada")
    page.clock.install()

    def forget(route: Route) -> None:
        response = route.fetch()
        body = response.json()
        for profile in body["profiles"]:
            never = {"availability": "never", "pickable": False, "reasons": ["judged without the hub"]}
            profile["berth"].update(never, hubSettingsKnown=False)
            for kind in profile["berth"]["choices"].values():
                kind.update(never)
                for state in [*kind["counts"].values(), *kind.get("nodes", {}).values()]:
                    state.update(never)
        route.fulfill(response=response, json=body)

    page.route(PROFILES, forget)
    form = visitor.open_form("ada", page=page)
    gpu = form.card("gpu")
    gpu.radio.check()
    gpu.option("gpus").select_option("2")
    guest.take_gpus(A100, 1)

    def told() -> bool:
        page.clock.run_for(2_000)
        sentence = "The numbers are new, but what can be started is as of"
        return gpu.free.inner_text() == "9 of 10 GPUs free" and sentence in form.note.inner_text()

    eventually(told, "the numbers are new, and what is old is told", 20)
    expect(gpu.state).to_have_text("Free now")
    expect(gpu.reasons).to_be_hidden()
    expect(gpu.radio).to_be_enabled()
    assert (form.picked(), gpu.option("gpus").input_value()) == ("gpu", "2")


@pytest.mark.parametrize("answer", ["login page", "garbage", "error", "network"])
def test_whatever_comes_instead_of_numbers_harms_nothing(answer: str, visitor: Visitor) -> None:
    page = visitor.log_in("ada")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))

    def instead(route: Route) -> None:
        if answer == "network":
            route.abort()
        elif answer == "login page":
            route.fulfill(status=200, content_type="text/html", body="<h1>Sign in</h1>")
        elif answer == "garbage":
            route.fulfill(status=200, content_type="application/json", body='{"profiles": 7}')
        else:
            route.fulfill(status=503, content_type="application/problem+json", body='{"detail": "no"}')

    page.route(PROFILES, instead)
    form = visitor.open_form("ada", page=page)
    form.card("gpu").radio.check()
    form.wait_refreshed()
    assert form.picked() == "gpu"
    expect(form.card("gpu").free).to_have_text("10 of 10 GPUs free")
    assert errors == []


def test_texts_of_an_answer_are_never_markup(visitor: Visitor) -> None:
    evil = "<img src=x onerror='window.hacked = true'>"
    page = visitor.log_in("ada")

    def spoil(route: Route) -> None:
        response = route.fetch()
        body = json.loads(response.text())
        for profile in body["profiles"]:
            berth = profile["berth"]
            berth.update(availability="busy", reasons=[evil])
            berth["kinds"] = [{**kind, "name": evil, "meaning": evil} for kind in berth["kinds"]]
            for kind in berth["choices"].values():
                kind.update(text=evil, reasons=[evil], ahead=evil)
                for state in kind["counts"].values():
                    state.update(text=evil, availability="busy", reasons=[evil])
        route.fulfill(response=response, json=body)

    page.route(PROFILES, spoil)
    form = visitor.open_form("ada", page=page)
    form.wait_refreshed()
    expect(form.card("gpu").reasons).to_have_text(evil)
    assert form.whole.locator("img").count() == 0
    assert not page.evaluate("window.hacked")


def test_an_old_picture_of_the_cluster_is_shown_with_its_age(visitor: Visitor, pictures: Path) -> None:
    page = visitor.log_in("ada")

    def age(route: Route) -> None:
        response = route.fetch()
        body = response.json()
        body.update(stale=True, observedAt="2020-01-01T00:00:00Z")
        route.fulfill(response=response, json=body)

    page.route(PROFILES, age)
    form = visitor.open_form("ada", page=page)
    expect(form.note).to_contain_text("The cluster cannot be watched at the moment: what is free is as of")
    expect(form.note).to_contain_text("days ago")
    page.screenshot(path=pictures / "stale.png", full_page=True)


@pytest.mark.parametrize("user", ["ada", ADMIN])
def test_a_page_that_was_old_when_it_came_says_how_old_it_is_now(user: str, visitor: Visitor, guest: Guest) -> None:
    guest.user("bob")
    page = visitor.log_in(user)
    page.clock.install()

    def older(route: Route) -> None:
        response = route.fetch()
        body = response.text().replace('"stale": false', '"stale": true, "ageSeconds": 600')
        route.fulfill(response=response, body=body)

    whose = "bob" if user == ADMIN else user
    page.route(f"**/hub/spawn/{whose}", older)
    page.route(PROFILES, lambda route: route.abort())
    form = visitor.open_form(user, whose=whose, page=page)
    page.clock.run_for(120_000)
    sentence = "The cluster cannot be watched at the moment: what is free is as of 12 minutes ago."
    if user == ADMIN:
        sentence += " These are the choices of bob. Reload the page for newer numbers."
    expect(form.note).to_have_text(sentence)


def test_who_logs_in_after_another_sees_only_his_own_choices(visitor: Visitor, guest: Guest) -> None:
    guest.user("bob")
    page = visitor.log_in("ada")
    hers = visitor.open_form("ada", page=page)
    hers.wait_refreshed()
    # Her log-in at the hub ends, not the browser's session: he logs in in the same one.
    page.context.clear_cookies(name="jupyterhub-hub-login")
    other = page.context.new_page()
    other.goto("/hub/login?next=%2Fhub%2Fspawn%2Fbob")
    other.fill("input[name=username]", "bob")
    other.fill("input[name=password]", "any")
    other.click("#login_submit")
    other.wait_for_url("**/hub/spawn/bob")
    sentence = "You are logged out, or somebody else is logged in now. Reload the page."
    expect(hers.note).to_have_text(sentence, timeout=20000)
    guest.take_gpus(A100, 3)
    expect(Form(other).card("gpu").free).to_have_text("7 of 10 GPUs free")
    expect(hers.card("gpu").free).to_have_text("10 of 10 GPUs free")


def test_choosing_for_somebody_else_shows_the_others_offers_and_no_newer_ones(visitor: Visitor, guest: Guest) -> None:
    guest.user("bob")
    page = visitor.log_in(ADMIN)
    page.clock.install()
    requests = asked(page)
    form = visitor.open_form(ADMIN, whose="bob", page=page)
    page.clock.run_for(130_000)
    expect(form.note).to_have_text(
        "These are the choices of bob, and their numbers are from 2 minutes ago. Reload the page for newer ones."
    )
    assert requests == []


def test_without_berth_only_the_fallback_is_shown(world: World, visitor: Visitor, pictures: Path) -> None:
    page = visitor.log_in("ada")
    page.clock.install()
    visitor.open_form("ada", page=page)
    world.berth.program.stop()
    try:
        form = visitor.open_form("ada", page=page)
        expect(form.note).to_contain_text("The GPU service does not answer: only this can be started right now.")
        assert form.page.locator(".berth-profile").count() == 1
        assert form.picked() == "cpu"
        page.clock.run_for(60_000)
        expect(form.note).to_contain_text("The GPU service does not answer: only this can be started right now.")
        page.screenshot(path=pictures / "fallback.png", full_page=True)
    finally:
        world.berth.start_again()
    form.note.get_by_role("link", name="Try again").click()
    expect(form.card("gpu").state).to_have_text("Free now")


def test_on_jupyterhub_6_it_follows_the_theme_and_stays_current(
    plane: ControlPlane, visitor: Visitor, guest: Guest, pictures: Path
) -> None:
    token = secrets.token_urlsafe(24)
    python = ensure_venv(REQUIREMENTS)
    address = Berth(plane, token, name="berth-six")
    with address as berth, Hub(plane, name="hub-six", berth=BerthAddress(berth.url, token), python=python) as hub:
        berth.start(hub.api_url, CATALOGUE)
        form = visitor.open_form("ada", url=hub.url, dark=True)
        expect(form.card("gpu").free).to_have_text("10 of 10 GPUs free")
        guest.take_gpus(A100, 2)
        expect(form.card("gpu").free).to_have_text("8 of 10 GPUs free")
        form.page.screenshot(path=pictures / "jupyterhub-6-dark.png", full_page=True)
        background = "getComputedStyle(document.querySelector('.berth-profile')).backgroundColor"
        assert form.page.evaluate(background) == form.page.evaluate("getComputedStyle(document.body).backgroundColor")
        form.page.click("#dark-theme-toggle")
        assert form.page.evaluate(background) == "rgb(255, 255, 255)"
