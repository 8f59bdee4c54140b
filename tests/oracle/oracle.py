"""Owns the comparison: one seed's cluster, the choices under three bases, and the counts of its GPUs, each answered by
Berth and by the real scheduler.

Agreement on a wrong pod would be worth nothing, so where the scheduler lets it go is also held against what was chosen:
the kind, the node, the shared code, no GPU nodes.

Berth is stricter than the scheduler on purpose in two cases: it sends nobody to a node that is being deleted, and no
GPU pod to one whose GPUs are being repartitioned. There it must say no, and the scheduler isn't asked.

A refusal is an answer too: the pod that it is about must start nowhere. Where Berth names no GPU to ask for, there must
be none that the choice allows.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path
from random import Random

import answers
import choices
import clusters
import notebooks
import yaml
from answers import Refused
from choices import Traits
from clusters import Cluster
from kube import Json
from plane import OraclePlane, Verdicts
from questions import Site

CHOICES_PER_BASE = 5  # what one base lacks, the next one makes good
REFUSALS_PER_BASE = 3  # that the scheduler is asked about
MOST_SMALLER = 3  # disagreements of one cluster that are made smaller
MOST_TRIES = 40
NO_NODE = "No node of this cluster has such GPUs that can be used now."

SHARES = ("time-sliced", "mps")


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


class Oracle:
    """Compares on one control plane. `kept`: the folder for what disagrees."""

    def __init__(self, plane: OraclePlane, verdicts: Verdicts, kept: Path) -> None:
        self._plane = plane
        self._verdicts = verdicts
        self._kept = kept

    def judge(self, case: Case) -> Outcome:
        """What disagrees is kept as a case, with as few nodes as show it."""
        outcome = self._judge(case)
        for number, found in enumerate(outcome.disagreements):
            small = case.about(found)
            if number < MOST_SMALLER and found.nodes and found.nodes < set(case.cluster.names):
                smaller = small.with_only(found.nodes)
                small = smaller if self._judge(smaller).disagreements else small
            path = self._kept / f"seed-{case.cluster.seed}-{len(case.cluster.nodes)}-{found.base}-{number}.json"
            small.keep(path)
            found.text += f"\n  kept in {path}, {len(small.cluster.nodes)} nodes"
        return outcome

    def _judge(self, case: Case) -> Outcome:
        with (
            tempfile.TemporaryDirectory(prefix="berth-oracle-") as folder,
            Site(self._plane, self._verdicts, case.cluster) as site,
        ):
            return _Sitting(case, site, Path(folder)).run()


class _Sitting:
    """One case before the scheduler."""

    def __init__(self, case: Case, site: Site, folder: Path) -> None:
        self._case = case
        self._site = site
        self._folder = folder
        self._dump = folder / "dump.json"
        self._nodes = clusters.by_name(case.cluster.nodes)
        self._outcome = Outcome()
        self._report: Json = {}

    def run(self) -> Outcome:
        self._site.dump(self._dump)
        files = {base: self._catalogue(base, traits) for base, traits in self._case.bases.items()}
        self._report = answers.gpus(self._dump, next(iter(files.values())))
        for number, (base, file) in enumerate(files.items(), start=1):
            self._compare_all(base, file, CHOICES_PER_BASE * number)
        self._count(next(iter(files)), next(iter(files.values())))
        return self._outcome

    def _catalogue(self, base: str, traits: Traits) -> Path:
        """The catalogue as a file, with the base that the hook would send."""
        file = self._folder / f"{base}.yaml"
        file.write_text(yaml.safe_dump({**self._case.catalogue, "base": notebooks.base(traits)}))
        return file

    def _options(self, base: str, file: Path) -> list[dict[str, str]]:
        if self._case.options is not None:
            return self._case.options
        try:
            offers = answers.offers(self._dump, file)
        except Refused as no:
            # Nobody is offered anything: that is an answer only if no profile could ever be served.
            self._disagree(base, {}, set(), f"there are no offers: {no}")
            return []
        random = Random(f"options {base} {self._case.cluster.seed}")  # noqa: S311
        drawn: list[dict[str, str]] = []
        for _ in range(MOST_TRIES):
            options = choices.draw_options(offers, random)
            if options not in drawn:
                drawn.append(options)
        return drawn

    # === choices ===

    def _compare_all(self, base: str, file: Path, wanted: int) -> None:
        """Choices of one base, until as many are compared as are wanted by then."""
        most_refusals = self._outcome.refusals + REFUSALS_PER_BASE
        for options in self._options(base, file):
            if self._case.options is None and self._outcome.compared >= wanted:
                break
            try:
                said = answers.explanation(self._dump, file, options)
            except Refused as no:
                if NO_NODE not in str(no):
                    self._outcome.refused += 1
                    if self._case.options is None:  # else its node may have been left out
                        self._disagree(base, options, set(), f"offered, and there is no answer: {no}")
                    continue
                said = {"profile": options["profile"], "answer": None, "refusal": str(no), "patch_if_refused": None}
            self._outcome.refused += said["answer"] is None
            if said["answer"] or self._outcome.refusals < most_refusals:
                self._compare(base, options, said)

    def _compare(self, base: str, options: dict[str, str], said: Json) -> None:
        refused = said["answer"] is None
        self._outcome.compared += not refused
        self._outcome.refusals += refused
        patch = said["patch_if_refused"] if refused else said["answer"]["patch"]
        if patch is None:
            if wrong := self._unnamed(options, said["profile"]):
                self._disagree(base, options, set(), f"refused ({said['refusal']})\n{wrong}")
            return
        reasons = {node["name"]: node.get("reason", "") for node in said["nodes"]}
        now = {node["name"] for node in said["nodes"] if node["availability"] == "now"}
        if refused and now:
            self._disagree(base, options, set(), f"refused ({said['refusal']}), but `now` on {sorted(now)}")
        pod = notebooks.pod(self._case.bases[base], options, {"profile": said["profile"], "patch": patch})
        left_out = {name for name, node in self._nodes.items() if clusters.is_leaving(node)}
        fits = self._site.fits(pod, now, left_out)
        bound = {name for name, verdict in fits.items() if verdict.node}
        if bound != now:
            # A late view of the scheduler's would be over by now; what is asked again is asked alone.
            self._outcome.unsteady += 1
            doubtful = (bound ^ now) - left_out
            fits |= self._site.fits_each(pod, doubtful)
            bound = {name for name, verdict in fits.items() if verdict.node}
        self._outcome.fitting += len(bound)
        told = [
            f"  {name}: Berth {'now' if name in now else 'no, ' + reasons[name]}; scheduler "
            f"{'binds' if name in bound else 'no, ' + (fits[name].message if name in fits else 'not asked')}"
            for name in sorted(bound ^ now)
        ]
        if missing := set(self._nodes) ^ set(reasons):
            told.append(f"  Berth judges other nodes than there are: {sorted(missing)}")
        told += self._meaning(options, said["profile"], pod, bound)
        if told:
            sets = f"Berth {sorted(now)}, scheduler {sorted(bound)}"
            refusal = [f"  Berth refuses it: {said['refusal']}"] if refused else []
            text = "\n".join([sets, *refusal, *told, f"  pod {json.dumps(pod['spec'])[:3000]}"])
            self._disagree(base, options, bound ^ now, text)

    def _profile(self, options: dict[str, str]) -> Json:
        """The profile of the catalogue that was chosen."""
        found: Json = next(
            each for each in self._case.catalogue["profiles"]
            if options["profile"] in (each["slug"], *(f"{each['slug']}-{name}" for name in self._nodes))
        )  # fmt: skip
        return found

    def _pinned(self, options: dict[str, str], profile: Json, slug: str) -> str | None:
        """The node that was chosen, or that the slug names."""
        name = slug.removeprefix(f"{profile['slug']}-")
        return options.get("node", name if "perNode" in profile and name in self._nodes else None)

    def _allowed(self, options: dict[str, str], gpu: Json) -> set[str]:
        """The kinds that the choice leaves."""
        chosen = options.get("gpu-kind", "any")
        return {row["id"] for row in self._report["kinds"] if allows(gpu, row) and chosen in ("any", row["id"])}

    def _on(self) -> dict[str, set[str]]:
        """The kinds of each node."""
        return {row["name"]: {gpu["kind"] for gpu in row["gpus"]} for row in self._report["nodes"]}

    def _unnamed(self, options: dict[str, str], slug: str) -> str:
        """Berth names no GPU to ask for: there must be none that would do."""
        profile = self._profile(options)
        if not (gpu := profile.get("gpu")):
            return "  Berth makes no patch, and no GPU was asked for"
        allowed = self._allowed(options, gpu)
        usable = {row["name"] for row in self._report["nodes"] if row["usable"]}
        if int(options.get("gpus", gpu["counts"][0])) > 1:
            allowed -= {row["id"] for row in self._report["kinds"] if row["sharing"] in SHARES}
        node = self._pinned(options, profile, slug)
        nodes = {node} if node else usable if "perNode" in profile else set(self._nodes)
        would_do = {name: found for name in nodes if (found := self._on().get(name, set()) & allowed)}
        return f"  Berth names no GPU, but these would do: {would_do}" if would_do else ""

    def _meaning(self, options: dict[str, str], slug: str, pod: Json, bound: set[str]) -> list[str]:
        """Where the pod can go must be what was chosen: Berth and the scheduler could agree on a wrong pod."""
        profile = self._profile(options)
        on = self._on()
        wrong = []
        if off := {name for name in bound if clusters.is_foreign(self._nodes[name])}:
            wrong.append(f"  the pod fits {sorted(off)}, where no Linux program for amd64 runs")
        if gpu := profile.get("gpu"):
            allowed = self._allowed(options, gpu)
            if off := {name for name in bound if not on[name] & allowed}:
                wrong.append(f"  the pod fits {sorted(off)}, which have none of the kinds {sorted(allowed)}")
        elif profile.get("avoidGpuNodes") == "required" and (off := {name for name in bound if on[name]}):
            wrong.append(f"  the pod shall avoid GPU nodes and fits {sorted(off)}")
        code = profile.get("sharedCode") == "required" or options.get("shared-code") == "yes"
        if code and self._case.catalogue["sharedCode"]["enabled"]:
            label = self._case.catalogue["sharedCode"]["nodes"].items()
            if off := {name for name in bound if not label <= self._nodes[name]["metadata"]["labels"].items()}:
                wrong.append(f"  the pod fits {sorted(off)}, which lack the shared code")
        if (node := self._pinned(options, profile, slug)) and bound - {node}:
            wrong.append(f"  the pod is for {node} and fits {sorted(bound)}")
        volumes = pod["spec"].get("volumes", [])
        mounted = {volume.get("persistentVolumeClaim", {}).get("claimName") for volume in volumes}
        if unmounted := {volume["claim"] for volume in self._case.catalogue["volumes"]} - mounted:
            wrong.append(f"  the pod does not mount {sorted(unmounted)}")
        return wrong

    # === counts ===

    def _count(self, base: str, file: Path) -> None:
        """Every resource of which Berth counts GPUs, filled up by the scheduler."""
        self._site.give_slots()
        report = answers.gpus(self._dump, file)
        # What is not a notebook's to have, and of which its pod says so: these ask for GPUs and nothing else.
        not_ours = (clusters.is_leaving, clusters.is_reconfiguring, clusters.is_invalid, clusters.is_foreign)
        left_out = {name for name, node in self._nodes.items() if any(is_so(node) for is_so in not_ours)}
        for resource in sorted({row["resource"] for row in report["kinds"]}):
            kinds = [row for row in report["kinds"] if row["resource"] == resource]
            rows = [(node["name"], gpu) for node in report["nodes"] for gpu in node["gpus"]]
            rows = [(name, gpu) for name, gpu in rows if gpu["resource"] == resource]
            claim = {name: gpu["free"] for name, gpu in rows if gpu["free"]}
            sizes = fill_sizes(list(claim.values()))
            got = self._site.fill(resource, sizes, self._case.catalogue["tolerate"], left_out)
            if got != claim:
                self._outcome.unsteady += 1
                got = self._site.fill(resource, sizes, self._case.catalogue["tolerate"], left_out)
            sums = []
            for kind in kinds:
                free = [got.get(name, 0) for name, gpu in rows if gpu["kind"] == kind["id"]]
                # Of shares one server gets one, which the kubelet holds and the scheduler does not know.
                most = min(max(free, default=0), 1 if kind["sharing"] in SHARES else sum(free))
                if (kind["free"], kind["largestFree"]) != (sum(free), most):
                    sums.append(f"  {kind['id']}: free {kind['free']}, largest {kind['largestFree']}; filled {free}")
            self._outcome.fills += len(kinds)
            if got != claim or sums:
                told = [
                    f"  {name}: Berth {claim.get(name, 0)} free, filled {got.get(name, 0)}"
                    for name in sorted(claim.keys() | got.keys())
                    if claim.get(name) != got.get(name)
                ]
                apart = {name for name in claim.keys() | got.keys() if claim.get(name) != got.get(name)}
                self._disagree(base, {}, apart, "\n".join([f"free {resource}", *told, *sums]))

    def _disagree(self, base: str, options: dict[str, str], nodes: set[str], what: str) -> None:
        where = f"seed {self._case.cluster.seed}, {len(self._nodes)} nodes, base {base}, options {json.dumps(options)}"
        self._outcome.disagreements.append(Disagreement(base, options, nodes, f"{where}\n{what}"))


def allows(gpu: Json, kind: Json) -> bool:
    """Whether a profile takes a kind; a glob's letters count the same in both cases."""
    least = gpu.get("minMemory")
    enough = not least or (kind["memoryMiB"] or 0) >= int(least.removesuffix("Gi")) * 1024
    fits = any(fnmatch(kind["id"], glob) for glob in gpu.get("kinds", ["*"]))
    return fits and enough and kind["sharing"] in gpu.get("sharing", choices.SHARING)


def fill_sizes(free: list[int]) -> list[int]:
    """Pods that together take exactly what is claimed to be free, the largest first, and some that must find nothing.

    By powers of two: at each size as many as the nodes can take, so it does not matter which node takes which.
    """
    left = list(free)
    sizes = [max(free, default=0) + 1]
    for size in (64, 32, 16, 8, 4, 2, 1):
        sizes += [size] * sum(units // size for units in left)
        left = [units % size for units in left]
    return [*sizes, 1, 1]
