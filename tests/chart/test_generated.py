"""Owns that the chart's generated files are fresh, and that its version is the program's."""

from __future__ import annotations

import tomllib

import yaml
from generate import CHART, ROOT, readme, values_schema


def test_the_catalogues_schema_in_the_values_schema_is_fresh() -> None:
    assert (CHART / "values.schema.json").read_text() == values_schema(), "stale: run `make chart`"


def test_the_table_of_values_is_fresh() -> None:
    assert (CHART / "README.md").read_text() == readme(), "stale: run `make chart`"


def test_every_value_is_in_the_table() -> None:
    """helm-docs leaves out what has no comment."""
    table = (CHART / "README.md").read_text()

    def leaves(values: object, path: str = "") -> list[str]:
        if not isinstance(values, dict) or not values or path == "resources":
            return [path]
        return [leaf for key, inner in values.items() for leaf in leaves(inner, f"{path}.{key}".lstrip("."))]

    missing = [
        leaf for leaf in leaves(yaml.safe_load((CHART / "values.yaml").read_text())) if f"| {leaf} |" not in table
    ]
    assert missing == []


def test_the_schema_is_closed_everywhere() -> None:
    """Only maps of free keys, and Kubernetes' own affinity, take any key."""
    free = {"nodeAffinity", "podAffinity", "podAntiAffinity", "global"}
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())

    def open_objects(part: object, name: str) -> list[str]:
        if isinstance(part, list):
            return [each for inner in part for each in open_objects(inner, name)]
        if not isinstance(part, dict):
            return []
        is_open = part.get("type") == "object" and "additionalProperties" not in part and name not in free
        return [name] * is_open + [each for key, inner in part.items() for each in open_objects(inner, key)]

    assert open_objects(schema["properties"], "") == []


def test_the_charts_version_is_the_programs() -> None:
    program = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (program, program)
