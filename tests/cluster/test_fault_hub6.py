"""Owns the smoke on JupyterHub 6: one form, one spawn, the page of a start, one refusal, Berth down. The rest of the
suite runs on 5.5, which the stock chart ships.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import manifests
import pytest
import requests
from berth import CHECKOUT
from faults import ONLY_FALLBACK, UNAVAILABLE, assert_fallback_only, follow, not_offered, start_unseen
from rest import RestUser
from table import FaultTable
from wire import Wire
from witness import Site, SiteGuest, site_guest, site_hub
from world import A100, World, until_form

sys.path.insert(0, str(CHECKOUT / "tests"))
from python_environment import ensure_venv

REQUIREMENTS = CHECKOUT / "tests" / "requirements-hub6.txt"
REFUSED = not_offered("no-such")
MORE_THAN_THE_LIMIT = 6


@pytest.fixture(scope="module")
def wire(world: World) -> Iterator[Wire]:
    with Wire(world.berth.listen) as wire:
        yield wire


@pytest.fixture(scope="module")
def six(world: World, table: FaultTable, wire: Wire) -> Iterator[Site]:
    """A hub that would end after five failures: a refusal is none on JupyterHub 6."""
    python = ensure_venv(REQUIREMENTS)
    with site_hub(world, table, "limit_5", url=f"http://{wire.address}", python=python) as site:
        yield site


@pytest.fixture
def six_guest(six: Site, wire: Wire) -> Iterator[SiteGuest]:
    try:
        yield from site_guest(six)
    finally:
        wire.mend()


def test_it_is_jupyterhub_6(six: Site) -> None:
    assert requests.get(six.hub.api_url, timeout=10).json()["version"].startswith("6.")


def test_a_form_and_a_spawn(six_guest: SiteGuest) -> None:
    browser = six_guest.browser("rosa")
    until_form(browser, lambda form: form.profile("gpu").gpus_free == (5, 5), "all are free")
    pod = six_guest.spawn("rosa", f"gpu-on-{A100}")
    assert manifests.resources(pod)["limits"]["nvidia.com/gpu"] == 1
    assert pod["spec"]["nodeName"] == A100


def test_the_page_of_a_starting_server_is_the_hubs_with_berths_part(six_guest: SiteGuest) -> None:
    browser = six_guest.browser("rosa")
    with six_guest.world.plane.paused_scheduler():
        browser.submit(f"gpu-on-{A100}")
        page = browser.get("/hub/spawn-pending/rosa").text
        assert 'data-from="/services/berth/api/v1/servers?user=rosa"' in page
        assert "stop-server-btn" in page, "a button of JupyterHub 6's own page"
    assert follow(browser).ready


def test_refusals_are_sentences_and_do_not_count(six_guest: SiteGuest) -> None:
    browser = six_guest.browser("rosa")
    token = RestUser(six_guest.world.hub, "rosa", six_guest.token("rosa"))
    page = ""
    for _ in range(MORE_THAN_THE_LIMIT):
        token.start({"profile": "no-such"})
        outcome = follow(browser)
        assert outcome.status == 422, outcome
        page = outcome.page
    log = six_guest.world.hub.program.log.read_text(errors="replace")
    assert "consecutive spawn failures" not in log
    assert "consecutive spawns failed" not in log
    six_guest.site.row("six refusals in a row, JupyterHub 6.1, limit 5", page, REFUSED)


def test_berth_down(six_guest: SiteGuest, wire: Wire) -> None:
    browser = six_guest.browser("rosa")
    assert len(browser.form().slugs) > 1
    wire.refuse()
    form = browser.form()
    assert_fallback_only(form)
    six_guest.site.row("Berth stopped, JupyterHub 6.1: the form", form.text, ONLY_FALLBACK)
    refused = start_unseen(browser, "gpu")
    assert refused.status == 503
    six_guest.site.row("Berth stopped, JupyterHub 6.1: a GPU is started", refused.page, UNAVAILABLE)
    started = start_unseen(browser, "cpu")
    assert started.ready, started
    assert manifests.resource_names(six_guest.pod_of("rosa")) == {"cpu", "memory"}
