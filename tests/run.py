"""Runs every check of this repository and says at the end what passed, what failed and what could not run here.

`make test` calls it. A suite that a machine cannot run is skipped by name and never counted as passed; with CI=true a
skip is a failure. Programs that are not there yet are built once into the cache. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
sys.path.insert(0, str(TESTS))

from python_environment import ensure_venv  # noqa: E402


@dataclass
class Suite:
    """Commands that pass or fail together."""

    name: str
    needs: tuple[str, ...]
    commands: Callable[[], list[list[str]]]
    environment: dict[str, str]
    debian: tuple[str, ...] = ()  # the packages that bring what it needs, where apt-get may install them


def suites() -> list[Suite]:
    cargo = ("cargo", "rustc")
    python = ("python3",)
    cluster = (*cargo, *python, "go", "node", "npm")

    def in_venv(*arguments: str) -> list[str]:
        return [str(ensure_venv()), *arguments]

    sources = ["hub-config", "tests"]
    binary = ROOT / "target" / "release" / "berth"
    return [
        Suite("rust format and lints", cargo, lambda: [["cargo", "fmt", "--check"], CLIPPY], {}),
        Suite("rust tests", cargo, lambda: [["cargo", "test", "--locked"]], {}),
        Suite(
            "python format, lints and types",
            python,
            lambda: [
                in_venv("-m", "ruff", "check", *sources),
                in_venv("-m", "ruff", "format", "--check", *sources),
                in_venv("-m", "mypy"),
            ],
            {},
        ),
        Suite("hook with the real KubeSpawner", python, lambda: [in_venv("-m", "pytest", "-q", "tests/hub")], {}),
        Suite(
            "chart: templates, schemas, overlay",
            (*python, "go"),
            lambda: [in_venv("tests/cluster/tools.py", "chart"), in_venv("-m", "pytest", "-q", "tests/chart")],
            {},
        ),
        Suite(
            "end to end: real control plane and real hub",
            cluster,
            lambda: [
                ["cargo", "build", "--release", "--locked"],
                in_venv("tests/cluster/tools.py"),
                in_venv("tests/python_environment.py", "tests/requirements-hub6.txt"),
                in_venv("-m", "pytest", "-q", "tests/cluster"),
            ],
            {"BERTH_BIN": str(binary)},
        ),
        Suite(
            "oracle: the real scheduler",
            cluster,
            lambda: [
                ["cargo", "build", "--release", "--locked"],
                in_venv("tests/cluster/tools.py"),
                in_venv("-m", "pytest", "-q", "tests/oracle"),
            ],
            {"BERTH_BIN": str(binary)},
        ),
        Suite(
            "spawn page in a real browser",
            (*cluster, BROWSERS),
            lambda: [
                ["cargo", "build", "--release", "--locked"],
                in_venv("tests/cluster/tools.py", "browser"),
                in_venv("tests/python_environment.py", "tests/requirements-hub6.txt"),
                in_venv("-m", "pytest", "-q", "tests/browser"),
            ],
            {"BERTH_BIN": str(binary)},
            ("chromium", "fonts-noto-color-emoji"),
        ),
    ]


BROWSERS = "chromium or chromium-browser or google-chrome"  # any of them
CLIPPY = ["cargo", "clippy", "--all-targets", "--locked", "--", "-D", "warnings"]


def lacks(suite: Suite) -> list[str]:
    """What this machine lacks for it, after an attempt to install it where that is possible."""

    def missing() -> list[str]:
        return [need for need in suite.needs if not any(shutil.which(program) for program in need.split(" or "))]

    if missing() and suite.debian and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        print(f"-- apt-get install {' '.join(suite.debian)}", flush=True)
        for command in (["update", "-qq"], ["install", "-qq", "--no-install-recommends", *suite.debian]):
            subprocess.run(["apt-get", "-y", *command], env=environment, stdin=subprocess.DEVNULL)
    return missing()


def run(suite: Suite) -> bool:
    environment = {**os.environ, **suite.environment}
    for command in suite.commands():
        shown = " ".join(Path(part).name if part.startswith("/") else part for part in command)
        print(f"-- {shown}", flush=True)
        if subprocess.run(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL).returncode != 0:
            print(f"-- failed: {shown}", flush=True)
            return False
    return True


def main() -> int:
    wanted = sys.argv[1:]
    strict = os.environ.get("CI") == "true"
    chosen = [suite for suite in suites() if not wanted or any(word in suite.name for word in wanted)]
    if not chosen:
        print(f"no suite is called {' or '.join(wanted)}: {', '.join(suite.name for suite in suites())}")
        return 2
    results: list[tuple[str, str]] = []
    for suite in chosen:
        missing = lacks(suite)
        if missing:
            results.append(("skipped", f"{suite.name} (this machine lacks {', '.join(missing)})"))
            continue
        print(f"\n=== {suite.name} ===", flush=True)
        begun = time.monotonic()
        outcome = "passed" if run(suite) else "failed"
        results.append((outcome, f"{suite.name}, {time.monotonic() - begun:.0f} s"))
    print("\n=== summary ===")
    for outcome, text in results:
        print(f"{outcome:8} {text}")
    count = {word: sum(outcome == word for outcome, _ in results) for word in ("passed", "failed", "skipped")}
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped")
    return 1 if count["failed"] or (strict and count["skipped"]) else 0


if __name__ == "__main__":
    sys.exit(main())
