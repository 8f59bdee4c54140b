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
from hub import NAMESPACE, BerthAddress, Hub, give_rights
from storage import create_claims
from timings import Timings
from world import NODES, OTHERS, Guest, World

TIMINGS = pytest.StashKey[Timings]()
LOGS = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TIMINGS] = Timings()
    # A run that's told to end must stop what it started; by default Python would just die.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if logs := config.stash.get(LOGS, None):
        terminalreporter.write_line(f"The logs of everything that ran are in {logs}")
    lines = config.stash[TIMINGS].lines()
    if lines:
        terminalreporter.section("measured on this machine")
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


@pytest.fixture
def guest(world: World) -> Iterator[Guest]:
    """The test's own dealings with the world, undone afterwards."""
    with ExitStack() as stack:
        yield Guest(world, stack)
