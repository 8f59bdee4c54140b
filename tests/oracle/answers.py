"""Owns asking Berth: the program over a dump, as an administrator runs it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from berth import berth_program
from kube import Json
from notebooks import USER


class Refused(Exception):
    """Berth said no; the text is its sentence."""


def _ask(command: str, dump: Path, catalogue: Path | None = None, *more: str) -> Json:
    config = ["--config", str(catalogue)] if catalogue else []
    done = subprocess.run(
        [str(berth_program()), command, "--from", str(dump), *config, *more], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise Refused(done.stderr.strip())
    answer: Json = json.loads(done.stdout)
    return answer


def offers(dump: Path, catalogue: Path) -> list[Json]:
    profiles: list[Json] = _ask("profiles", dump, catalogue, "--user", USER)["profiles"]
    return profiles


def explanation(dump: Path, catalogue: Path, options: dict[str, str]) -> Json:
    return _ask("explain", dump, catalogue, "--user", USER, "--options", json.dumps(options))


def gpus(dump: Path, catalogue: Path) -> Json:
    """Which taints count as tolerated the catalogue says."""
    return _ask("gpus", dump, catalogue)
