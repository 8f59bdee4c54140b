"""Owns the fixtures of the browser's tests: the test cluster with a hub and Berth beside it for the whole run, one
Chromium, and for each test a visitor who logs in as people do.

It stands on the parts of `tests/cluster`. Whatever runs is stopped at the end; the logs and, with BERTH_SCREENSHOTS,
the pictures stay.
"""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cluster"))

import nodes
import pods
from berth import Berth
from control_plane import ControlPlane
from hub import NAMESPACE, BerthAddress, Hub, give_rights
from pictures import find_chromium
from storage import create_claims
from timings import Timings
from visitor import Visitor
from world import GPU_TAINT, OTHERS, Guest, World

CATALOGUE = Path(__file__).resolve().with_name("catalogue.yaml")
A100, L4, T4 = "gpu-a100", "gpu-l4", "gpu-t4"
NODES = (
    nodes.NodeSpec(A100, nodes.A100_80, 4, cpu="128", memory="1Ti", taints=(GPU_TAINT,)),
    nodes.NodeSpec(L4, nodes.L4, 2, cpu="32", memory="256Gi"),
    nodes.NodeSpec(T4, nodes.T4, 1, replicas=4, cpu="32", memory="128Gi"),
    nodes.NodeSpec("cpu-1", cpu="32", memory="256Gi"),
)
LOGS = pytest.StashKey[Path]()


def pytest_configure() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # an end by request still stops what was started


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if logs := config.stash.get(LOGS, None):
        terminalreporter.write_line(f"The logs of everything that ran are in {logs}")


@pytest.fixture(scope="session")
def plane(request: pytest.FixtureRequest) -> Iterator[ControlPlane]:
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
def world(plane: ControlPlane) -> Iterator[World]:
    token = secrets.token_urlsafe(24)
    with Berth(plane, token) as berth, Hub(plane, berth=BerthAddress(berth.url, token)) as hub:
        berth.start(hub.api_url, CATALOGUE)
        yield World(plane, hub, hub, berth, Timings())


def fill(guest: Guest) -> None:
    """Take every GPU; one more pod of somebody else waits for one."""
    for node, count in ((A100, 4), (L4, 2), (T4, 4)):
        guest.take_gpus(node, count)
    guest.wait_in_vain(gpus=1)


@pytest.fixture
def guest(world: World) -> Iterator[Guest]:
    with ExitStack() as stack:
        yield Guest(world, stack)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: for looking at, no test compares them."""
    folder = Path(os.environ.get("BERTH_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def visitor(world: World, guest: Guest, chromium: Browser) -> Iterator[Visitor]:
    """Hands out pages; every window is closed at the end."""
    with ExitStack() as stack:
        yield Visitor(world, guest, chromium, stack)
