"""Owns the part of a test run on which faults are put: a Berth of its own between two wires, one to the apiserver and
one from a hub of its own, and somebody else's server in that hub, which must survive all of it.

Nothing here touches the hub and the Berth that the other tests use. `mend` undoes every fault.
"""

from __future__ import annotations

import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import requests
import yaml
from aging import Aging, give_own_rights
from berth import HERE, Berth
from browser import Browser, Outcome, SpawnForm, message_of
from control_plane import ControlPlane
from hub import BerthAddress, Hub
from table import FaultTable
from timings import Timings
from waiting import eventually
from wire import Wire
from witness import Witness
from world import Guest, World

CATALOGUE = HERE / "catalogue.yaml"

# What the hook says when it has no answer.
UNAVAILABLE = "The GPU service does not answer. Please try again in a minute; if it lasts, tell your administrator."
ONLY_FALLBACK = "The GPU service does not answer: only this can be started right now. Please try again in a minute."


def not_offered(profile: str) -> str:
    """What Berth says of a profile that is not there."""
    return f"The profile “{profile}” is not offered here any more, or never was. Choose one from the list."


def may_not_use(profile: str) -> str:
    """What Berth says of a profile that is for other groups."""
    return f"You may not use the profile “{profile}”. Ask the administrator of this hub for access."


class FaultyWorld:
    """A context manager: hub, Berth and the wires, all well at first."""

    def __init__(self, plane: ControlPlane, stock: Hub, timings: Timings, table: FaultTable) -> None:
        self.plane = plane
        self.table = table
        self.catalogue = plane.folder / "faulty-catalogue.yaml"
        self._stack = ExitStack()
        token = secrets.token_urlsafe(24)
        self.api_wire = self._stack.enter_context(Wire(plane.server.removeprefix("https://")))
        give_own_rights(plane, "berth-faulty")
        self.berth = Berth(
            plane, token, name="berth-faulty", account="berth-faulty", server=f"https://{self.api_wire.address}"
        )
        self.hub_wire = self._stack.enter_context(Wire(self.berth.listen))
        self.hub = Hub(plane, name="hub-faulty", berth=BerthAddress(f"http://{self.hub_wire.address}", token))
        self.world = World(plane, self.hub, stock, self.berth, timings)
        self.witness = Witness(self.hub, plane.kube)

    def __enter__(self) -> Self:
        try:
            self._stack.enter_context(self.berth)
            self._stack.enter_context(self.hub)
            shutil.copy(CATALOGUE, self.catalogue)
            self.berth.start(self.hub.api_url, self.catalogue)
            self.aging = self._stack.enter_context(Aging(self.plane, self.berth.token, self.hub.api_url))
            self.witness.start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.mend()
        self._stack.close()

    def mend(self) -> None:
        """Undo every fault; done when Berth answers as at first."""
        self.hub_wire.target = self.berth.listen
        for wire in (self.api_wire, self.hub_wire):
            wire.mend()
        if self.berth.program.is_running:
            self.berth.program.resume()
        else:
            self.berth.start_again()
        if not self.hub.program.is_running:
            self.hub.restart()
        self.write_catalogue(yaml.safe_load(CATALOGUE.read_text()))

    def renew_berth(self) -> None:
        """A new process, which hasn't met any fault: the pauses between its tries are short."""
        self.berth.stop()
        self.berth.start_again()

    def write_catalogue(self, catalogue: dict[str, Any]) -> None:
        """A new catalogue, and a moment until Berth has taken it."""
        text = yaml.safe_dump(catalogue, allow_unicode=True, sort_keys=False)
        if yaml.safe_load(self.catalogue.read_text()) == catalogue:
            return
        seen = self.berth.program.log.read_text(errors="replace").count("the catalogue was read anew")
        self.catalogue.write_text(text)

        def taken() -> bool:
            log = self.berth.program.log.read_text(errors="replace")
            return log.count("the catalogue was read anew") > seen

        eventually(taken, "Berth takes the new catalogue", 10)

    def change_catalogue(self, how: Callable[[dict[str, Any]], object]) -> None:
        catalogue = yaml.safe_load(self.catalogue.read_text())
        how(catalogue)
        self.write_catalogue(catalogue)

    def row(self, fault: str, shown: str, sentence: str) -> None:
        """What the user was shown holds the sentence, and nobody has lost anything."""
        self.table.add(fault, shown=shown, sentence=sentence, lost=self.witness.losses())


class FaultGuest(Guest):
    """A guest of the faulty world."""

    def __init__(self, faulty: FaultyWorld, stack: ExitStack) -> None:
        super().__init__(faulty.world, stack)
        self.faulty = faulty

    def assert_live(self, browser: Browser) -> None:
        """The form tells live numbers and knows of no trouble."""
        eventually(lambda: _is_live(browser), "the form is live again", 15)


def _is_live(browser: Browser) -> bool:
    form = browser.form()
    assert len(form.slugs) > 1, form.text
    assert "does not answer" not in form.text, form.text
    assert "cannot be watched" not in form.text, form.text
    return bool(re.search(r"\d of \d+ GPUs free", form.text))


def assert_fallback_only(form: SpawnForm) -> None:
    """The default profile alone, without numbers and options, which would be old."""
    assert form.slugs == ["cpu"], form.slugs
    assert form.profiles[0].checked
    assert not form.profiles[0].options
    assert "free" not in form.text.lower(), form.text


def start_unseen(browser: Browser, profile: str | None, server: str = "", **options: str) -> Outcome:
    """Send the form without reading it first, as a page that was open before the fault does."""
    answer = browser.submit(profile, server, **options)
    assert answer.status_code == 302, f"{answer.status_code} {answer.text[:500]}"
    return follow(browser, server)


def press_at_once(presses: Sequence[tuple[Browser, str]], profile: str) -> None:
    """Several buttons, each of a browser and for a server, in the same tenth of a second."""
    barrier = threading.Barrier(len(presses))

    def press(browser: Browser, server: str) -> float:
        barrier.wait(10)
        begun = time.monotonic()
        assert browser.submit(profile, server).status_code == 302
        return begun

    with ThreadPoolExecutor(len(presses)) as pool:
        moments = list(pool.map(press, *zip(*presses, strict=True)))
    assert max(moments) - min(moments) < 0.1, "this machine was too slow for the test to mean anything"


def follow(browser: Browser, server: str = "") -> Outcome:
    """A spawn that was asked for already, to its end."""
    return browser.follow(server, time.monotonic())


def page_text(answer: requests.Response) -> str:
    """What a page says in words."""
    return message_of(answer.content)
