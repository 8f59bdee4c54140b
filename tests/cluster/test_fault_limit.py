"""Owns why the overlay sets `hub.consecutiveFailureLimit` to 0: JupyterHub 5.5 counts each refusal as a failed spawn.

With the stock chart's five, five of them in a row end the hub for everybody; with 0 they don't, and JupyterHub 6 does
not count a refusal at all.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml
from berth import CHECKOUT
from browser import Browser
from faults import FaultyWorld, follow, not_offered
from hub import Hub
from rest import RestUser
from table import FaultTable
from waiting import eventually
from witness import site_hub
from world import World

STOCK_LIMIT = 5
REFUSED = not_offered("no-such")
ABORTED = "Aborting due to 5 consecutive spawn failures"


@pytest.fixture
def hub_with_limit(world: World, table: FaultTable) -> Iterator[Hub]:
    with site_hub(world, table, "limit_5") as site:
        yield site.hub


def refuse(hub: Hub, times: int) -> str:
    """That many refusals of one user; what his page said last."""
    user = "nina"
    hub.call("POST", f"/users/{user}")
    token = RestUser(hub, user, hub.token_of(user))
    browser: Browser = hub.log_in(user)
    page = ""
    for _ in range(times):
        assert token.start({"profile": "no-such"}).status == 202
        outcome = follow(browser)
        assert outcome.status == 422, outcome
        page = outcome.page
    return page


def test_five_refusals_end_a_hub_without_the_overlay(hub_with_limit: Hub, table: FaultTable) -> None:
    page = refuse(hub_with_limit, STOCK_LIMIT)
    eventually(lambda: hub_with_limit.program.exit_status() is not None, "the hub ends", 10)
    assert hub_with_limit.program.exit_status() == 1
    assert ABORTED in hub_with_limit.program.log.read_text(errors="replace")
    table.add_loss("five refusals in a row, JupyterHub 5.5, limit 5, no overlay", shown=page, sentence=REFUSED,
                   lost="the hub: it ends with SystemExit")  # fmt: skip


def test_more_refusals_do_not_end_a_hub_with_the_overlay(faulty: FaultyWorld) -> None:
    page = refuse(faulty.hub, STOCK_LIMIT + 1)
    # What JupyterHub would do it does two seconds after the fifth; by then it has logged it.
    assert ABORTED not in faulty.hub.program.log.read_text(errors="replace")
    faulty.row("six refusals in a row, JupyterHub 5.5, the overlay's limit 0", page, REFUSED)


def test_the_overlay_sets_the_limit_that_was_shown() -> None:
    overlay = yaml.safe_load((CHECKOUT / "hub-config" / "values.yaml").read_text())
    assert overlay["hub"]["consecutiveFailureLimit"] == 0
