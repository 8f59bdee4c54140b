"""Owns what is compared, a case that can be written down and asked again, and what came of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import choices
import clusters
from choices import Traits
from clusters import Cluster
from kube import Json


@dataclass
class Disagreement:
    """One answer that differs, with the nodes that it is about; `text` is a paragraph for people."""

    base: str
    options: dict[str, str]
    nodes: set[str]
    text: str


@dataclass
class Outcome:
    """What came of one cluster. `refusals`: those that were compared, of all that were met."""

    compared: int = 0
    refusals: int = 0
    refused: int = 0
    fills: int = 0
    fitting: int = 0
    unsteady: int = 0
    disagreements: list[Disagreement] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        self.compared += other.compared
        self.refusals += other.refusals
        self.refused += other.refused
        self.fills += other.fills
        self.fitting += other.fitting
        self.unsteady += other.unsteady
        self.disagreements += other.disagreements


@dataclass(frozen=True)
class Case:
    """What is compared: a cluster, a catalogue, and by base the traits of the hub and what users choose.

    `options`: None draws them among what Berth offers.
    """

    cluster: Cluster
    catalogue: Json
    bases: dict[str, Traits]
    options: list[dict[str, str]] | None = None
    note: str = ""

    @staticmethod
    def of_seed(seed: int, size: int | None = None) -> Case:
        bases = {name: choices.draw_base(name, seed) for name in choices.BASES}
        return Case(clusters.make(seed, size), choices.draw_catalogue(seed), bases)

    @staticmethod
    def of_file(path: Path) -> Case:
        kept = json.loads(path.read_text())
        cluster = Cluster(kept["seed"], kept["nodes"], kept["pods"], kept.get("claims", []), kept.get("volumes", []))
        return Case(cluster, kept["catalogue"], kept["bases"], kept["options"], kept["note"])

    def about(self, found: Disagreement) -> Case:
        """The same cluster with nothing but this one question. Without options it is about the counts."""
        options = [found.options] if found.options else []
        return Case(self.cluster, self.catalogue, {found.base: self.bases[found.base]}, options, found.text)

    def with_only(self, names: set[str]) -> Case:
        """Without the other nodes and their pods."""
        whole = self.cluster
        nodes = [node for node in whole.nodes if node["metadata"]["name"] in names]
        pods = [pod for pod in whole.pods if pod["spec"].get("nodeName") in names]
        return replace(self, cluster=replace(whole, nodes=nodes, pods=pods))

    def keep(self, path: Path) -> None:
        """Write down what is needed to ask this again, whatever becomes of the generator."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({
            "note": self.note, "seed": self.cluster.seed, "options": self.options, "bases": self.bases,
            "catalogue": self.catalogue, "nodes": self.cluster.nodes, "pods": self.cluster.pods,
            "claims": self.cluster.claims, "volumes": self.cluster.volumes,
        }, indent=1))  # fmt: skip
