"""Owns the outage of the whole apiserver, for everybody at once. It runs last: the stock hub's own watches pause for up
to half a minute after it, and would hold up whatever came next.

A minute without an apiserver ends the watches of a stock hub for good (KubeSpawner gives up after 51 s); this outage is
as long as it takes until numbers are old.
"""

from __future__ import annotations

import re
import time

from faults import FaultGuest, FaultyWorld
from waiting import eventually
from world import counts, until_form

STALE = re.compile(r"The cluster cannot be watched at the moment: what is free is as of \d+ seconds ago\.")
RECOVERY = 60.0
OUTAGE = "apiserver back -> the form shows the truth"


def test_the_apiserver_is_away_and_comes_back(faulty: FaultyWorld, fault_guest: FaultGuest) -> None:
    browser = fault_guest.browser("rosa")
    token = fault_guest.token("rosa")
    faulty.renew_berth()
    fault_guest.assert_live(browser)
    before = counts(browser.form().profile("gpu"))
    pid = faulty.berth.program.pid
    faulty.plane.stop_apiserver()
    try:
        eventually(lambda: faulty.berth.metric("berth_inventory_age_seconds") > 30, "the numbers are old", 60)
        form = browser.form()
        sentence = STALE.search(form.text)
        assert sentence, form.text
        assert counts(form.profile("gpu")) == before
        gpus = faulty.berth.get("/api/v1/gpus", token).json()
        assert gpus["stale"] is True
    finally:
        faulty.plane.start_apiserver()
    faulty.row("the apiserver is away for half a minute: the form", form.text, sentence[0])

    begun = time.monotonic()
    form = until_form(browser, lambda form: not STALE.search(form.text), "the form is live again", RECOVERY)
    faulty.world.timings.add(OUTAGE, time.monotonic() - begun)
    assert counts(form.profile("gpu")) == before
    assert faulty.berth.get("/api/v1/gpus", token).json()["stale"] is False
    assert faulty.berth.program.pid == pid
    faulty.row("the apiserver is back: the form", form.profile("gpu").text, "5 of 5 GPUs free")


def test_a_whole_minute_away_is_nothing_to_berth_itself(faulty: FaultyWorld) -> None:
    """Asked as the hub asks, since the hub's own watches do not live so long."""
    faulty.renew_berth()
    berth = faulty.berth
    pid = berth.program.pid

    def is_stale() -> bool:
        answer = berth.profile_list("rosa")
        assert answer.status_code == 200, answer.text
        return bool(answer.json()["stale"])

    assert not is_stale()
    faulty.plane.stop_apiserver()
    try:
        eventually(lambda: berth.metric("berth_inventory_age_seconds") > 60, "a minute has passed", 90)
        assert is_stale()
    finally:
        faulty.plane.start_apiserver()
    eventually(lambda: not is_stale(), "the truth is told again", RECOVERY)
    assert berth.program.pid == pid
