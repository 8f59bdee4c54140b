"""Owns running helm-unittest: one suite for each part of the chart, a test for each switch."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from generate import CHART
from tools import ChartTools

UNIT = Path(__file__).parent / "unit"


@pytest.mark.parametrize("suite", sorted(UNIT.glob("*_test.yaml")), ids=lambda path: path.stem)
def test_every_switch_does_what_it_says(tools: ChartTools, suite: Path) -> None:
    command = [str(tools.helm_unittest), "--strict", "--file", f"../tests/chart/unit/{suite.name}", str(CHART)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    # A pattern that finds no file would pass as well.
    assert "Test Suites: 1 passed, 1 total" in ended.stdout, ended.stdout
