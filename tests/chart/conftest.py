"""Owns the fixtures of the chart's tests. Nothing here skips: what can't be built fails and says why."""

from __future__ import annotations

from pathlib import Path

import generate
import pytest
from tools import ChartTools, ensure_chart_tools


@pytest.fixture(scope="session")
def tools() -> ChartTools:
    return ensure_chart_tools()


@pytest.fixture(scope="session")
def built_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Values with the built-in catalogue, made as the README says: a copy, without its namespace."""
    file = generate.ROOT / "src" / "catalogue" / "default.yaml"
    lines = [line for line in file.read_text().splitlines() if not line.startswith("namespace:")]
    values = tmp_path_factory.mktemp("values") / "built-in.yaml"
    image = "image: {repository: registry.example.org/library/berth}"
    values.write_text("\n".join([image, "catalogue:", *(f"  {line}" for line in lines)]) + "\n")
    return values
