"""Owns many at once: twenty spawns that all must come right, and sixty-four that wait for a hung Berth while the hub
answers everybody else.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import manifests
import nodes
from browser import Browser, read_form
from faults import ONLY_FALLBACK, UNAVAILABLE, FaultGuest, FaultyWorld, assert_fallback_only, follow
from nodes import NodeSpec
from rest import RestUser
from world import Guest, until_form

MANY = 20
IN_FLIGHT = 64
NODE = NodeSpec("node-many", nodes.H100, MANY, cpu="256", memory="2Ti")
# Sixty-four requests at once keep the hub itself busy for a second; a loop that waits for Berth would be blocked for
# three, and sixty-four times.
RESPONSIVE = 2.5
HUB = "hub's API while 64 wait for a hung Berth"


def latencies_until(done: threading.Event, browser: Browser) -> list[float]:
    """How long the hub's API takes to answer anybody, again and again until the others are served."""
    taken = []
    while not done.is_set():
        begun = time.monotonic()
        answer = browser.get("/hub/api/")
        taken.append(time.monotonic() - begun)
        assert answer.status_code == 200
        done.wait(0.05)
    return taken


def test_twenty_spawns_at_once(guest: Guest) -> None:
    """Half with a GPU, half without, one user each."""
    guest.node(NODE)
    users = [f"many-{number}" for number in range(MANY)]
    browsers = {user: guest.browser(user) for user in users}
    slug = f"gpu-on-{NODE.name}"
    until_form(browsers[users[0]], lambda form: slug in form.slugs, "the node is offered")
    with ThreadPoolExecutor(MANY) as pool:
        chosen = {user: slug if number % 2 else "cpu" for number, user in enumerate(users)}
        outcomes = dict(zip(users, pool.map(lambda user: browsers[user].spawn(chosen[user]), users), strict=True))
    for user, outcome in outcomes.items():
        assert outcome.ready, (user, outcome)
        pod = guest.pod_of(user)
        wanted = {"cpu", "memory", nodes.GPU} if chosen[user] == slug else {"cpu", "memory"}
        assert manifests.resource_names(pod) == wanted
        guest.world.timings.add("20 spawns at once: POST -> ready", outcome.seconds)


def test_named_servers_started_at_once_keep_apart(guest: Guest) -> None:
    """One user, a few servers at once, each with what was chosen for it."""
    browser = guest.browser("rosa")
    token = RestUser(guest.world.hub, "rosa", guest.token("rosa"))
    chosen = {"train": {"profile": "gpu"}, "write": {"profile": "cpu"}, "agent": {"profile": "agent-dev"}}
    with ThreadPoolExecutor(len(chosen)) as pool:
        list(pool.map(lambda server: token.start(chosen[server], server), chosen))
    for server, options in chosen.items():
        outcome = follow(browser, server)
        assert outcome.ready, (server, outcome)
        pod = guest.pod_of("rosa", server)
        assert pod["metadata"]["annotations"]["berth/profile"] == options["profile"]


def test_the_hub_answers_while_64_forms_wait_for_a_hung_berth(faulty: FaultyWorld, fault_guest: FaultGuest) -> None:
    browser = fault_guest.browser("rosa")
    fault_guest.assert_live(browser)
    faulty.berth.program.pause()
    done = threading.Event()
    with ThreadPoolExecutor(IN_FLIGHT + 1) as pool:
        other = pool.submit(latencies_until, done, fault_guest.browser("tariq"))
        try:
            pages = list(pool.map(lambda number: browser.form_page(f"server-{number}"), range(IN_FLIGHT)))
        finally:
            done.set()
    for page in pages:
        assert page.status_code == 200
        assert_fallback_only(read_form(page.content))
    faulty.row("64 forms at once beside a hung Berth", read_form(pages[0].content).text, ONLY_FALLBACK)
    report(faulty, other.result())


def test_the_hub_answers_while_64_spawns_wait_for_a_hung_berth(faulty: FaultyWorld, fault_guest: FaultGuest) -> None:
    browser = fault_guest.browser("rosa")
    fault_guest.assert_live(browser)
    faulty.berth.program.pause()
    token = RestUser(faulty.hub, "rosa", fault_guest.token("rosa"))
    other = fault_guest.browser("tariq")
    with ThreadPoolExecutor(IN_FLIGHT + 1) as pool:
        done = threading.Event()
        latency = pool.submit(latencies_until, done, other)
        try:
            servers = [f"server-{number}" for number in range(IN_FLIGHT)]
            answers = list(pool.map(lambda server: token.start({"profile": "gpu"}, server), servers))
            assert {answer.status for answer in answers} == {202}
            outcomes = list(pool.map(lambda server: follow(browser, server), servers))
        finally:
            done.set()
    for outcome in outcomes:
        assert outcome.status == 503, outcome
        assert UNAVAILABLE in outcome.page
    faulty.row("64 spawns at once beside a hung Berth", outcomes[0].page, UNAVAILABLE)
    report(faulty, latency.result())


def report(faulty: FaultyWorld, latencies: list[float]) -> None:
    assert len(latencies) > 10, "the hub was asked all the while"
    for each in latencies:
        faulty.world.timings.add(HUB, each)
    assert max(latencies) < RESPONSIVE, sorted(latencies)[-5:]
    assert faulty.world.timings.percentile(HUB, 50) < RESPONSIVE / 5
