"""Owns running Helm over the chart: what it makes of values, and what it says when it refuses."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from generate import CHART
from tools import HELM, ensure

Json = dict[str, Any]

NAMESPACE = "jupyterhub"
VALUE_SETS = tuple(sorted((CHART / "ci").glob("*.yaml")))
DEFAULT = CHART / "ci" / "default-values.yaml"
EVERYTHING = CHART / "ci" / "everything-values.yaml"


@dataclass(frozen=True)
class Outcome:
    """How a run of Helm ended."""

    status: int
    out: str
    said: str

    @property
    def objects(self) -> list[Json]:
        assert self.status == 0, self.said
        return [each for each in yaml.safe_load_all(self.out) if each]

    def only(self, kind: str) -> Json:
        """The one object of a kind."""
        found = [each for each in self.objects if each["kind"] == kind]
        assert len(found) == 1, f"{len(found)} of {kind}"
        return found[0]


def helm(*arguments: str | Path) -> Outcome:
    command = [str(ensure(HELM) / "helm"), *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    return Outcome(ended.returncode, ended.stdout, ended.stderr)


def render(
    values: Path = DEFAULT, settings: Sequence[str] = (), *, release: str = "berth", namespace: str = NAMESPACE
) -> Outcome:
    """`helm template`, as `helm install` would render it."""
    more = [part for setting in settings for part in ("--set-json", setting)]
    return helm("template", release, CHART, "--namespace", namespace, "--values", values, *more)


def pod_spec(deployment: Json) -> Json:
    spec: Json = deployment["spec"]["template"]["spec"]
    return spec
