"""Owns the board behind the real hub: who sees what of it, and that a change of the cluster reaches an open page within
two seconds, through the hub's proxy.
"""

from __future__ import annotations

import json
import queue
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import nodes
import pods
import pytest
import requests
from berth import Berth
from browser import Browser
from bs4 import BeautifulSoup, Tag
from hub import NAMESPACE
from nodes import NodeSpec
from waiting import eventually
from world import Guest

BOARD = "/services/berth/"
EVENTS = "/services/berth/api/v1/gpus/events"
PAGE = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
NODE = NodeSpec("node-board-1", nodes.H100, 4)


def section(page: requests.Response, name: str) -> Tag | None:
    found = BeautifulSoup(page.content, "lxml").find("section", id=name)
    return found if isinstance(found, Tag) else None


def text_of(page: requests.Response, name: str) -> str:
    found = section(page, name)
    assert found is not None, f"there is no section {name}: {page.text[:500]}"
    return " ".join(found.get_text(" ", strip=True).split())


@contextmanager
def stream(browser: Browser) -> Iterator[queue.Queue[tuple[float, Any]]]:
    """What the stream brings, with the moment at which it came."""
    seen: queue.Queue[tuple[float, Any]] = queue.Queue()
    answer = browser.get(EVENTS, headers={"Accept": "text/event-stream", "Sec-Fetch-Site": "same-origin"}, stream=True)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "text/event-stream"

    def read() -> None:
        try:
            for line in answer.iter_lines(chunk_size=1):
                if line.startswith(b"data: "):
                    seen.put((time.monotonic(), json.loads(line.removeprefix(b"data: "))))
        except (requests.RequestException, AttributeError, ValueError):
            pass  # closed by the test

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield seen
    finally:
        answer.close()


def free(report: Any) -> int:
    return sum(kind["free"] for kind in report["kinds"] if kind["id"] == nodes.H100.kind)


def until_free(seen: queue.Queue[tuple[float, Any]], count: int) -> float:
    """The moment of the first event that shows so many free."""
    while True:
        at, report = seen.get(timeout=15)
        if free(report) == count:
            return at


@pytest.fixture
def holder(guest: Guest) -> str:
    """A user who has a server with a GPU."""
    guest.node(NODE)
    name = "gertrude"
    guest.spawn(name, "gpu")
    return name


def test_a_user_sees_the_numbers_and_no_other_user(guest: Guest, holder: str) -> None:
    page = guest.browser("ulf").get(BOARD, headers=PAGE)
    assert page.status_code == 200, page.text
    assert NODE.name in text_of(page, "nodes")
    assert "You have none in the cluster" in text_of(page, "own")
    assert section(page, "all") is None
    assert holder not in page.text
    mine = guest.browser(holder).get(BOARD, headers=PAGE)
    assert "1 ×" in text_of(mine, "own")


def test_an_administrator_sees_who_holds_what_and_gets_to_the_hubs_own_page(guest: Guest, holder: str) -> None:
    browser = guest.world.hub.log_in("admin")

    def row() -> Tag | None:
        found = section(browser.get(BOARD, headers=PAGE), "all")
        rows = found.find_all("tr") if found else []
        mine = [each for each in rows if isinstance(each, Tag) and holder in each.get_text()]
        # The hub's word on activity is a minute old at most.
        return mine[0] if mine and "not running" not in mine[0].get_text() else None

    mine = eventually(row, "the server is in the table with what the hub says of it", 90)
    assert "unknown" not in mine.get_text(), "the role of the service shows when a server was last active"
    link = mine.find("a")
    assert isinstance(link, Tag)
    assert link["href"] == f"/hub/admin#/?name_filter={holder}"
    assert browser.get(str(link["href"]), headers=PAGE).status_code == 200


def test_an_administrator_chooses_whose_profiles_to_see(guest: Guest) -> None:
    guest.user("ursula")
    browser = guest.world.hub.log_in("admin")
    page = browser.get("/services/berth/profiles?user=ursula&from=typed&try.profile=gpu&try.gpus=2", headers=PAGE)
    assert page.status_code == 200, page.text
    assert "ursula in no group is offered this" in " ".join(BeautifulSoup(page.content, "lxml").get_text(" ").split())
    assert '"nvidia.com/gpu": "2"' in text_of(page, "result")
    assert BeautifulSoup(page.content, "lxml").find("option", value="admin") is not None, (
        "the hub's users to choose from"
    )


def test_a_change_reaches_an_open_page_within_two_seconds(guest: Guest) -> None:
    guest.node(NODE)
    browser = guest.browser("ulf")
    browser.get(BOARD, headers=PAGE)
    with stream(browser) as seen:
        until_free(seen, NODE.count)
        begun = time.monotonic()
        name = guest.take_gpus(NODE.name, 3)
        took = until_free(seen, NODE.count - 3) - begun
        assert name
    # From before the pod is even made.
    assert took < 2, f"it took {took:.2f} s"


def test_an_image_that_is_pulled_is_named(guest: Guest) -> None:
    """No kubelet of the test's nodes pulls, so a pod is bound where nobody starts it, and the event is written."""
    user, name, image = "ulrike", "jupyter-ulrike-board", "registry.example.org/library/jupyter-ml-gpu:1.0"
    browser = guest.browser(user)
    pod = pods.manifest(name, NAMESPACE)
    pod["metadata"]["annotations"] = {"hub.jupyter.org/username": user, "hub.jupyter.org/servername": "pulling"}
    pod["spec"]["nodeName"] = "node-without-kubelet"
    guest.kube.create(pod)
    try:
        eventually(lambda: "Its container is being made." in own(browser), "the pod is seen", 10)
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        event = {
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": f"{name}.1", "namespace": NAMESPACE},
            "involvedObject": {"kind": "Pod", "namespace": NAMESPACE, "name": name},
            "type": "Normal", "reason": "Pulling", "message": f'Pulling image "{image}"',
            "source": {"component": "kubelet"}, "count": 1,
            # As a kubelet writes them: KubeSpawner of every hub here sorts by them.
            "firstTimestamp": moment, "lastTimestamp": moment,
        }  # fmt: skip
        guest.kube.create(event)
        eventually(lambda: f"Its image {image} is being pulled." in own(browser), "the event is told", 10)
    finally:
        guest.kube.delete("Event", f"{name}.1", NAMESPACE)
        pods.remove(guest.kube, name, NAMESPACE)


def own(browser: Browser) -> str:
    return text_of(browser.get(BOARD, headers=PAGE), "own")


def test_an_open_stream_keeps_berth_from_stopping_no_longer_than_other_requests(guest: Guest) -> None:
    with Berth(guest.world.plane, secrets.token_urlsafe(24), name="berth-stop") as berth:
        berth.start(guest.world.hub.api_url)
        answer = requests.get(
            f"{berth.url}/api/v1/gpus/events", stream=True, timeout=30,
            headers={"Authorization": f"Bearer {guest.token('uwe')}"},
        )  # fmt: skip
        lines = answer.iter_lines(chunk_size=1)
        assert next(lines).startswith(b"retry: ")
        begun = time.monotonic()
        berth.stop()
        took = time.monotonic() - begun
        assert all(line is not None for line in lines), "it ends as a whole answer does"
    # Berth gives requests five seconds, and would wait for a stream as long.
    assert took < 4, f"it took {took:.1f} s"
