"""Berth's answers against the real scheduler's: 100 random clusters and what was kept of earlier disagreements.

`run.py` does the same on demand, with any seeds and sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import answers
import clusters
import hardware
import pytest
from kube import Json
from oracle import Case, Oracle, fill_sizes
from run import CASES, CLUSTERS, FIRST_SEED, LEAST_CHOICES, at_work, compare, kept_cases, seeds

SMALL = 8
LEAST_REFUSALS = 500
MOST_REFUSED = 0.75  # of all choices that are drawn


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    # pytest keeps the folders of its last three runs.
    with at_work(tmp_path_factory.mktemp("disagreements")) as oracle:
        yield oracle


def test_kept_cases_agree(oracle: Oracle, say: Callable[[str], None]) -> None:
    assert not compare(oracle, kept_cases(CASES.glob("*.json")), say).disagreements


def test_random_clusters_agree(oracle: Oracle, say: Callable[[str], None]) -> None:
    total = compare(oracle, seeds(FIRST_SEED, CLUSTERS), say)
    assert not total.disagreements
    assert total.compared >= LEAST_CHOICES
    assert total.fills > CLUSTERS
    assert total.fitting > total.compared / 2, "too many questions have the answer `nowhere`"
    assert total.refusals >= LEAST_REFUSALS
    assert total.refused < MOST_REFUSED * (total.refused + total.compared), "too many choices are refused"


# === the oracle itself ===


def _falsified(real: Callable[..., Json], change: Callable[[Json], None]) -> Callable[..., Json]:
    def answer(*arguments: Any) -> Json:
        given = real(*arguments)
        change(given)
        return given

    return answer


def _first_now_is_busy(said: Json) -> None:
    for node in [each for each in said["nodes"] if each["availability"] == "now"][:1]:
        node["availability"] = "busy"


def _one_more_is_now(said: Json) -> None:
    for node in [each for each in said["nodes"] if each["availability"] == "never"][:1]:
        node["availability"] = "now"


def _nothing_is_possible(said: Json) -> None:
    if said["answer"]:
        _refuse(said, said["answer"]["patch"])


def _no_gpu_is_named(said: Json) -> None:
    if said["answer"] and any(name.endswith("/gpu") for name, n in _asked(said) if n):
        _refuse(said, None)


def _asked(said: Json) -> Iterable[tuple[str, str | None]]:
    limits: dict[str, str | None] = said["answer"]["patch"]["extra_resource_limits"]
    return limits.items()


def _refuse(said: Json, patch: Json | None) -> None:
    for node in said["nodes"]:
        node["availability"] = "never"
    said.update(answer=None, refusal="it can't run on this cluster", patch_if_refused=patch)


def _one_more_is_free(report: Json) -> None:
    for node in [each for each in report["nodes"] if each["gpus"]][:1]:
        node["gpus"][0]["free"] += 1


def _largest_is_larger(report: Json) -> None:
    report["kinds"][0]["largestFree"] += 1


@pytest.mark.parametrize(
    ("command", "change", "told"),
    [
        ("explanation", _first_now_is_busy, "scheduler binds"),
        ("explanation", _one_more_is_now, "scheduler no"),
        ("explanation", _nothing_is_possible, "scheduler binds"),
        ("explanation", _no_gpu_is_named, "would do"),
        ("gpus", _one_more_is_free, "free, filled"),
        ("gpus", _largest_is_larger, "largest"),
    ],
)
def test_a_wrong_answer_is_found(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch, command: str, change: Callable[[Json], None], told: str
) -> None:
    monkeypatch.setattr(answers, command, _falsified(getattr(answers, command), change))
    found = oracle.judge(Case.of_seed(FIRST_SEED, SMALL)).disagreements
    assert any(told in each.text for each in found)


def test_what_disagrees_can_be_asked_again(oracle: Oracle, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(answers, "explanation", _falsified(answers.explanation, _first_now_is_busy))
        text = oracle.judge(Case.of_seed(FIRST_SEED, SMALL)).disagreements[0].text
    path = Path(text.splitlines()[-1].removeprefix("  kept in ").rpartition(",")[0])
    again = Case.of_file(path)
    assert len(again.cluster.nodes) < SMALL, "it was not made smaller"
    outcome = oracle.judge(again)
    assert outcome.compared == 1
    assert not outcome.disagreements


def test_a_seed_is_a_cluster() -> None:
    assert Case.of_seed(17) == Case.of_seed(17)
    assert Case.of_seed(17).cluster.nodes != Case.of_seed(18).cluster.nodes
    assert {len(clusters.make(seed).nodes) for seed in range(300)} == set(range(8, 31))
    assert len(clusters.make(17, 12).nodes) == 12


def test_every_sort_of_hardware_can_be_made() -> None:
    for make, _ in hardware.SORTS:
        made = make(Random(1))  # noqa: S311
        assert set(made.per_card) <= set(made.units), make.__name__


@pytest.mark.parametrize("free", [[], [1], [3, 5], [8, 8, 1, 0], [7] * 6])
def test_a_fill_takes_all_and_finds_its_end(free: list[int]) -> None:
    sizes = fill_sizes(free)
    assert sum(sizes) == sum(free) + max(free, default=0) + 1 + 2
    assert sizes == sorted(sizes, reverse=True)
