"""Owns a session that acts as a browser does on the hub's own pages: log in, read the spawn form, send it, follow the
progress, stop.

Only what the pages hold is used: form fields as they're rendered, the _xsrf cookie, the progress stream that the
pending page opens.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from bs4 import BeautifulSoup, Tag
from waiting import eventually


@dataclass(frozen=True)
class Choice:
    """One `<option>` of a select."""

    value: str
    text: str
    selected: bool


@dataclass(frozen=True)
class Profile:
    """One radio of the spawn form with all that the user reads beside it, and its selects by option name."""

    slug: str
    text: str
    checked: bool
    disabled: bool
    options: dict[str, tuple[Choice, ...]] = field(default_factory=dict)

    @property
    def gpus_free(self) -> tuple[int, int] | None:
        """The "3 of 8 GPUs free" that Berth's form shows beside the title."""
        found = re.search(r"(\d+) of (\d+) GPUs free", self.text)
        return (int(found[1]), int(found[2])) if found else None

    def choice(self, option: str, value: str) -> Choice:
        found = [each for each in self.options[option] if each.value == value]
        assert found, f"{self.slug}: no {value!r} among {[each.value for each in self.options[option]]}"
        return found[0]


@dataclass(frozen=True)
class SpawnForm:
    """The form as the user sees it."""

    profiles: tuple[Profile, ...]
    text: str

    @property
    def slugs(self) -> list[str]:
        return [profile.slug for profile in self.profiles]

    def profile(self, slug: str) -> Profile:
        found = [each for each in self.profiles if each.slug == slug]
        assert found, f"no profile {slug!r} on the form, which has {self.slugs}"
        return found[0]


@dataclass(frozen=True)
class Outcome:
    """How a spawn ended: what the progress stream said, and after a failure what the pending page shows."""

    ready: bool
    failed: bool
    messages: tuple[str, ...]
    status: int
    page: str
    seconds: float


def _words(tag: Tag) -> str:
    return " ".join(tag.get_text(" ", strip=True).split())


def _attribute(tag: Tag, name: str) -> str:
    value = tag.get(name, "")
    return value if isinstance(value, str) else " ".join(value or [])


def _selects(slug: str, form: Tag) -> dict[str, tuple[Choice, ...]]:
    prefix = f"profile-option-{slug}--"
    found: dict[str, tuple[Choice, ...]] = {}
    for select in form.find_all("select"):
        name = _attribute(select, "name")
        if name.startswith(prefix):
            found[name.removeprefix(prefix)] = tuple(
                Choice(_attribute(option, "value"), _words(option), option.has_attr("selected"))
                for option in select.find_all("option")
            )
    return found


def _around(radio: Tag) -> Tag:
    """The largest part of the page that speaks of this radio and of no other."""
    around = radio
    while around.parent is not None and len(around.parent.find_all("input", attrs={"name": "profile"})) == 1:
        around = around.parent
    return around


def read_form(html: bytes) -> SpawnForm:
    """The profiles of the page: the stock template and Berth's have one radio named `profile` for each.

    From bytes, since the hub names the charset in the page only.
    """
    form = BeautifulSoup(html, "lxml").find("form", id="spawn_form")
    assert isinstance(form, Tag), f"the page has no spawn form: {message_of(html)}"
    profiles = []
    for radio in form.find_all("input", attrs={"type": "radio", "name": "profile"}):
        slug = _attribute(radio, "value")
        profiles.append(
            Profile(
                slug,
                _words(_around(radio)),
                radio.has_attr("checked"),
                radio.has_attr("disabled"),
                _selects(slug, form),
            )
        )
    return SpawnForm(tuple(profiles), _words(form))


class Browser:
    """One user's browser."""

    def __init__(self, url: str, user: str) -> None:
        self.url = url
        self._base = urlsplit(url).path
        self.user = user
        self._name = quote(user, safe="")
        self._session = requests.Session()
        self._session.trust_env = False

    def get(self, path: str, **more: Any) -> requests.Response:
        return self._session.get(self.url + path, timeout=30, **more)

    def _xsrf(self, path: str) -> str:
        """The cookie that fits the path: the hub sets one for /hub/ and one per user server."""
        path = self._base + path
        cookies = [each for each in self._session.cookies if each.name == "_xsrf" and path.startswith(each.path)]
        assert cookies, f"no _xsrf cookie for {path}"
        return str(max(cookies, key=lambda each: len(each.path)).value)

    def log_in(self) -> None:
        self.get("/hub/login")
        home = quote(f"{self._base}/hub/home", safe="")
        answer = self.send_password(f"{self.url}/hub/login?next={home}")
        assert answer.status_code == 200, f"log-in of {self.user}: {answer.status_code}"
        assert "/hub/home" in answer.url, f"log-in of {self.user} ended at {answer.url}"

    def send_password(self, address: str) -> requests.Response:
        """Send the log-in form that is shown at this address."""
        fields = {"username": self.user, "password": "any", "_xsrf": self._xsrf("/hub/login")}
        return self._session.post(address, data=fields, timeout=30)

    def form(self, server: str = "") -> SpawnForm:
        answer = self.form_page(server)
        assert answer.status_code == 200, f"form GET: {answer.status_code} {message_of(answer.content)}"
        return read_form(answer.content)

    def form_page(self, server: str = "") -> requests.Response:
        return self.get(self._path("spawn", server))

    def _path(self, page: str, server: str) -> str:
        return f"/hub/{page}/{self._name}/{quote(server, safe='')}" if server else f"/hub/{page}/{self._name}"

    def _api(self, server: str) -> str:
        return f"/hub/api/users/{self._name}/server{'s/' + quote(server, safe='') if server else ''}"

    def submit(self, profile: str | None, server: str = "", **options: str) -> requests.Response:
        """Send the form. `options` are by name, with _ for -."""
        path = self._path("spawn", server)
        fields = {"_xsrf": self._xsrf(path)}
        if profile is not None:
            fields["profile"] = profile
            fields |= {f"profile-option-{profile}--{name.replace('_', '-')}": value for name, value in options.items()}
        return self._session.post(self.url + path, data=fields, timeout=30, allow_redirects=False)

    def spawn(self, profile: str, *, server: str = "", **options: str) -> Outcome:
        """Read the form, choose, send it, follow it to its end. A profile that the form lacks is sent all the same."""
        shown = [each for each in self.form(server).profiles if each.slug == profile]
        chosen = {
            name.replace("-", "_"): next((each.value for each in choices if each.selected), choices[0].value)
            for name, choices in (shown[0].options if shown else {}).items()
        }
        begun = time.monotonic()
        answer = self.submit(profile, server, **{**chosen, **options})
        if answer.status_code != 302:
            return Outcome(False, True, (), answer.status_code, message_of(answer.content), time.monotonic() - begun)
        return self.follow(server, begun)

    def spawn_at_once(self) -> Outcome:
        """Start on a hub that has no form: opening the page is enough."""
        begun = time.monotonic()
        page = self.form_page()
        assert "/hub/spawn-pending/" in page.url, f"the hub has a form: {page.url}"
        return self.follow("", begun)

    def follow(self, server: str, begun: float, deadline: float = 30.0) -> Outcome:
        """The progress stream to its last event, as the pending page's script reads it."""
        path = f"{self._api(server)}/progress"
        messages: list[str] = []
        params = {"_xsrf": self._xsrf("/hub/")}
        with self.get(path, stream=True, params=params) as stream:
            for line in stream.iter_lines(chunk_size=None):
                if not line.startswith(b"data:"):
                    continue
                event = json.loads(line.removeprefix(b"data:"))
                messages.append(str(event.get("message", "")))
                took = time.monotonic() - begun
                if event.get("ready"):
                    return Outcome(True, False, tuple(messages), 200, "", took)
                if event.get("failed"):
                    break
                if took > deadline:
                    return Outcome(False, False, tuple(messages), 200, "still pending", took)
        return self._after_failure(server, messages, begun)

    def _after_failure(self, server: str, messages: list[str], begun: float) -> Outcome:
        """A spawn that failed at once has no stream; the pending page shows the error once the hub has cleaned up."""
        path = self._path("spawn-pending", server)

        def settled() -> requests.Response | None:
            page = self.get(path)
            busy = "Your server is starting up" in page.text or "Your server is stopping" in page.text
            return None if page.status_code == 200 and busy else page

        page = eventually(settled, f"the spawn of {self.user} ends", 30)
        return Outcome(
            False, True, tuple(messages), page.status_code, message_of(page.content), time.monotonic() - begun
        )

    def stop(self, server: str = "", deadline: float = 30.0) -> None:
        """Press Stop on the home page, and wait until the hub has no such server any more."""
        path = self._api(server)
        headers = {"X-XSRFToken": self._xsrf("/hub/"), "Referer": f"{self.url}/hub/home"}
        answer = self._session.delete(self.url + path, headers=headers, timeout=30)
        assert answer.status_code in (202, 204), f"stop of {self.user}: {answer.status_code} {answer.text[:300]}"

        def gone() -> bool:
            shown = self.get(f"/hub/api/users/{self._name}", headers=headers).json()
            return server not in shown["servers"] or shown["servers"][server]["stopped"]

        eventually(gone, f"the server of {self.user} stops", deadline)


def message_of(html: bytes) -> str:
    """What the page says in its body, without the dialog that every page hides."""
    soup = BeautifulSoup(html, "lxml")
    for hidden in soup.find_all(class_="modal"):
        hidden.decompose()
    main = soup.find(class_="error") or soup.find("main") or soup.body or soup
    return _words(main)
