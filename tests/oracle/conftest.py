"""Puts the modules of the test cluster, and those beside this file, where tests can import them."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "cluster"), str(HERE)]


def pytest_configure() -> None:
    # A run that's told to end must stop what it started; by default Python would just die.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]):  # noqa: ANN201
    """Print past pytest's capture: a run of minutes shows that it is alive."""

    def out(text: str) -> None:
        with capsys.disabled():
            print(text, flush=True)

    return out
