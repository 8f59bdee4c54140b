"""Owns the fixtures of the end-to-end tests: one cluster, one hub with Berth and one without, for the whole run; a
guest for each test.

Nothing here skips: where a part can't be built or started, the tests that need it fail and say why.
"""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import nodes
import pods
import pytest
from berth import Berth
from control_plane import ControlPlane
from faults import FaultGuest, FaultyWorld
from hub import NAMESPACE, BerthAddress, Hub, give_rights
from storage import create_claims
from table import FaultTable
from timings import Timings
from witness import Site, SiteGuest, site_guest, site_hub
from world import NODES, OTHERS, Guest, World

TIMINGS = pytest.StashKey[Timings]()
LOGS = pytest.StashKey[Path]()
TABLE = pytest.StashKey[FaultTable]()
# The hub's own watches need a minute to recover from it.
AT_THE_END = "test_fault_outage"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TIMINGS] = Timings()
    config.stash[TABLE] = FaultTable()
    # A run that's told to end must stop what it started; by default Python would just die.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem == AT_THE_END)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if logs := config.stash.get(LOGS, None):
        terminalreporter.write_line(f"The logs of everything that ran are in {logs}")
    sections = {
        "fault | what the user saw | what was lost": config.stash[TABLE].lines(),
        "measured on this machine": config.stash[TIMINGS].lines(),
    }
    for title, lines in sections.items():
        if lines:
            terminalreporter.section(title)
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
    """The control plane with the nodes, claims and rights that every test may count on."""
    with ControlPlane() as plane:
        for space in (NAMESPACE, OTHERS):
            pods.ensure_namespace(plane.kube, space)
        for file in ("hub_rights.yaml", "berth_rights.yaml"):
            give_rights(plane, file)
        nodes.create(plane.kube, *NODES)
        create_claims(plane.kube, NAMESPACE)
        yield plane
        if request.session.testsfailed:
            plane.keep_folder = True
            request.config.stash[LOGS] = plane.logs


@pytest.fixture(scope="session")
def stock_hub(plane: ControlPlane) -> Iterator[Hub]:
    """The same hub without Berth."""
    with Hub(plane, name="stock-hub") as hub:
        yield hub


@pytest.fixture(scope="session")
def world(plane: ControlPlane, stock_hub: Hub, request: pytest.FixtureRequest) -> Iterator[World]:
    """The hub with Berth beside it."""
    token = secrets.token_urlsafe(24)
    with Berth(plane, token) as berth, Hub(plane, berth=BerthAddress(berth.url, token)) as hub:
        berth.start(hub.api_url)
        yield World(plane, hub, stock_hub, berth, request.config.stash[TIMINGS])


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> FaultTable:
    return request.config.stash[TABLE]


@pytest.fixture(scope="session")
def faulty(
    plane: ControlPlane, stock_hub: Hub, table: FaultTable, request: pytest.FixtureRequest
) -> Iterator[FaultyWorld]:
    """A second hub and a second Berth, on which faults are put."""
    with FaultyWorld(plane, stock_hub, request.config.stash[TIMINGS], table) as faulty:
        yield faulty


@pytest.fixture
def fault_guest(faulty: FaultyWorld) -> Iterator[FaultGuest]:
    """The test's own dealings with the faulty world. First the faults are undone, then the dealings."""
    with ExitStack() as stack:
        try:
            yield FaultGuest(faulty, stack)
        finally:
            faulty.mend()


@pytest.fixture(scope="session")
def list_form(world: World, table: FaultTable) -> Iterator[Site]:
    """A hub with a site's own settings in list form, which waits 10 s for a spawn before it answers."""
    with site_hub(world, table, "list_form") as site:
        yield site


@pytest.fixture
def list_guest(list_form: Site) -> Iterator[SiteGuest]:
    yield from site_guest(list_form)


@pytest.fixture(scope="session")
def patient(faulty: FaultyWorld, table: FaultTable) -> Iterator[Site]:
    """A hub beside the faulty world's Berth that waits 10 s for a spawn before it answers."""
    with site_hub(faulty.world, table, "patient") as site:
        yield site


@pytest.fixture
def patient_guest(patient: Site) -> Iterator[SiteGuest]:
    yield from site_guest(patient)


@pytest.fixture
def guest(world: World) -> Iterator[Guest]:
    """The test's own dealings with the world, undone afterwards."""
    with ExitStack() as stack:
        yield Guest(world, stack)
