"""Owns the log-in of browsers through the hub: on both versions of JupyterHub, and below a hub with a base URL of its
own. Only a group may use Berth there, so that access can be withdrawn.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from berth import CHECKOUT, Berth
from browser import Browser, message_of
from control_plane import ControlPlane
from hub import BerthAddress, Hub
from waiting import eventually

sys.path.insert(0, str(CHECKOUT / "tests"))
from python_environment import ensure_venv

GPUS = "/services/berth/api/v1/gpus"
PROFILES = "/services/berth/profiles"
PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
# What a browser sends for fetch(…, {headers: {Accept: 'application/json'}}) in the hub's spawn form.
FETCH = {
    "Accept": "application/json", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty",
}  # fmt: skip
PROGRAM = {"Accept": "application/json"}
GROUP = "research"
# An answer of the hub about a user is kept for 60 s.
FORGOTTEN = 61


@dataclass(frozen=True)
class Place:
    """A hub with a Berth of its own."""

    hub: Hub
    berth: Berth

    def user(self, name: str, *, allowed: bool = True) -> str:
        self.hub.call("POST", f"/users/{name}")
        if allowed:
            self.hub.call("POST", f"/groups/{GROUP}/users", json={"users": [name]})
        return name

    def browser(self, name: str, *, allowed: bool = True) -> Browser:
        """A new user's browser, in which he has logged in to the hub."""
        return self.hub.log_in(self.user(name, allowed=allowed))

    def path_of(self, answer: requests.Response) -> str:
        """Where a browser ended, below the hub's base URL."""
        path = urlsplit(answer.url).path
        assert path.startswith(self.hub.base_url), path
        return "/" + path.removeprefix(self.hub.base_url)


PLACES = {"5": ("/", False), "6": ("/", True), "5-below-jupyter": ("/jupyter/", False), "6-below-a-b": ("/a/b/", True)}


@pytest.fixture(scope="module")
def places(plane: ControlPlane) -> Iterator[dict[str, Place]]:
    """All at once, so that the minute of the withdrawal is waited for once."""
    six: Path = ensure_venv(CHECKOUT / "tests" / "requirements-hub6.txt")
    with ExitStack() as stack:
        found = {}
        for name, (base_url, is_six) in PLACES.items():
            berth = stack.enter_context(Berth(plane, secrets.token_urlsafe(24), name=f"berth-login-{name}"))
            hub = Hub(
                plane, name=f"hub-login-{name}", berth=BerthAddress(berth.url, berth.token),
                python=six if is_six else None, base_url=base_url, berth_group=GROUP,
            )  # fmt: skip
            berth.start(hub.api_url, base_url=base_url)
            found[name] = Place(stack.enter_context(hub), berth)
        yield found


@pytest.fixture(params=PLACES)
def place(places: dict[str, Place], request: pytest.FixtureRequest) -> Place:
    return places[str(request.param)]


def test_a_page_is_opened_without_a_question(place: Place) -> None:
    version = requests.get(place.hub.api_url, timeout=10).json()["version"]
    assert version.startswith("6." if "-6" in place.hub.name else "5.")
    browser = place.browser("page")
    for path in (f"{GPUS}?a=1%2Fb", f"{GPUS}?b=2"):
        answer = browser.get(path, headers=PAGE)
        assert answer.status_code == 200, answer.text
        assert answer.url == place.hub.url + path, "it ends where it was asked for"
        assert "generation" in answer.json()
    assert not answer.history, "the second page needs no log-in"


def test_the_forms_fetch_gets_json_without_a_question(place: Place) -> None:
    browser = place.browser("fetch")
    answer = browser.get(PROFILES, headers=FETCH)
    assert (answer.status_code, place.path_of(answer)) == (200, PROFILES), answer.text
    assert answer.json()["profiles"]
    assert [each.status_code for each in answer.history] == [302, 302, 302]
    # Without https a browser says nothing of where a script belongs.
    assert place.browser("fetch-plain").get(GPUS, headers=PROGRAM).status_code == 200


def test_who_is_not_logged_in_gets_the_hubs_page_first(place: Place) -> None:
    browser = Browser(place.hub.url, place.user("late"))
    page = browser.get(GPUS, headers=PAGE)
    assert (page.status_code, place.path_of(page)) == (200, "/hub/login")
    answer = browser.send_password(page.url)
    assert (answer.status_code, place.path_of(answer)) == (200, GPUS), answer.text
    assert answer.json()["kinds"]


def test_programs_are_not_sent_round(place: Place) -> None:
    for headers in (PROGRAM, FETCH, {"Accept": "*/*"}):
        answer = requests.get(place.hub.url + GPUS, headers=headers, timeout=10)
        assert (answer.status_code, len(answer.history)) == (401, 0)
        assert answer.headers["Content-Type"] == "application/problem+json"
    token = place.hub.token_of(place.user("program"))
    for headers in (PROGRAM, PAGE):
        answer = requests.get(
            place.hub.url + GPUS, headers={**headers, "Authorization": f"Bearer {token}"}, timeout=10
        )  # fmt: skip
        assert (answer.status_code, len(answer.history)) == (200, 0), answer.text


def test_log_out_is_seen_at_once(place: Place) -> None:
    browser = place.browser("leaver")
    assert browser.get(GPUS, headers=PAGE).status_code == 200
    browser.get("/hub/logout")
    answer = browser.get(GPUS, headers=FETCH)
    assert answer.status_code == 401, answer.text
    page = browser.get(GPUS, headers=PAGE)
    assert place.path_of(page) == "/hub/login"
    assert browser.send_password(page.url).json()["kinds"]


def test_two_users_stay_apart_in_two_browsers_and_in_one(place: Place) -> None:
    def is_offered(browser: Browser, whose: str) -> bool:
        answer = browser.get(f"{PROFILES}?user={whose}", headers=PAGE)
        assert answer.status_code in (200, 403), answer.text
        return answer.status_code == 200

    first, second = place.browser("first"), place.browser("second")
    for browser, other in ((first, second), (second, first), (first, second)):
        assert is_offered(browser, browser.user)
        assert not is_offered(browser, other.user)
    first.get("/hub/logout")
    first.user = second.user
    first.log_in()
    assert is_offered(first, "second")
    assert not is_offered(first, "first")


def test_without_the_scope_the_hub_says_no(place: Place) -> None:
    browser = place.browser("outsider", allowed=False)
    for headers in (PAGE, FETCH):
        answer = browser.get(GPUS, headers=headers)
        assert (answer.status_code, place.path_of(answer)) == (403, "/hub/api/oauth2/authorize"), answer.text
    assert "You do not have permission to access" in message_of(browser.get(GPUS, headers=PAGE).content)


def test_the_hubs_own_refusal_is_a_page_with_a_way_on(place: Place) -> None:
    browser = place.browser("refused")
    for code in ("error=access_denied", "code=never-given"):
        away = browser.get(GPUS, headers=PAGE, allow_redirects=False)
        state = away.headers["Location"].split("state=")[1].split("&")[0]
        page = browser.get(f"/services/berth/oauth_callback?{code}&state={state}", headers=PAGE)
        assert page.status_code == (403 if "error" in code else 400)
        assert not page.history
        assert f'<a href="{place.hub.base_url.rstrip("/")}{GPUS}">Try again</a>' in page.text


def test_withdrawn_access_ends_within_a_minute(places: dict[str, Place]) -> None:
    """Who lost the scope, and who was deleted: each on every hub, all at once."""
    inside = []
    for place in places.values():
        for name in ("withdrawn", "deleted"):
            browser = place.browser(name)
            assert browser.get(GPUS, headers=FETCH).status_code == 200
            inside.append((place, browser))
    begun = time.monotonic()
    for place in places.values():
        place.hub.call("DELETE", f"/groups/{GROUP}/users", json={"users": ["withdrawn"]})
        place.hub.call("DELETE", "/users/deleted")

    for place, browser in inside:

        def is_out(place: Place = place, browser: Browser = browser) -> bool:
            answer = browser.get(GPUS, headers=PAGE)
            if browser.user == "deleted":
                return place.path_of(answer) == "/hub/login"
            return answer.status_code == 403 and "access:services!service=berth" in answer.text

        eventually(is_out, f"{browser.user} is out at {place.hub.name}", FORGOTTEN - (time.monotonic() - begun), 1)
