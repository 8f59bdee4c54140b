"""Owns the chart's generated files: the catalogue's own schema inside `values.schema.json`, and the table of values in
`README.md`.

Helm reads one schema file and follows no reference to another, so the catalogue's is copied into it. `make chart`
writes both files; a test says when they are stale.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "chart"
sys.path.insert(0, str(ROOT / "tests" / "cluster"))

from tools import HELM_DOCS, ensure  # noqa: E402


def values_schema() -> str:
    """The schema of the values as it should be: written by hand but for `properties.catalogue` and `$defs`."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    catalogue = json.loads((CHART / "catalogue.schema.json").read_text())
    del catalogue["$schema"]
    # The references in it begin at the root of the file, so the definitions move there.
    schema["$defs"] = catalogue.pop("$defs")
    schema["properties"]["catalogue"] = {**catalogue, "title": "The catalogue of Berth"}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def readme() -> str:
    """The chart's README as helm-docs makes it."""
    command = [
        str(ensure(HELM_DOCS) / "helm-docs"), "--chart-search-root", str(CHART), "--dry-run", "--log-level", "error",
        "--sort-values-order", "file", "--ignore-non-descriptions",
    ]  # fmt: skip
    made = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return made.stdout.strip() + "\n"


def main() -> None:
    (CHART / "values.schema.json").write_text(values_schema())
    (CHART / "README.md").write_text(readme())


if __name__ == "__main__":
    main()
