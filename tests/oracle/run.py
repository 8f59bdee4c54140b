"""Compares Berth with the real scheduler on demand:

    python tests/oracle/run.py                            # what `make test` does
    python tests/oracle/run.py --seed 4711 --clusters 20  # the 20 clusters from this seed on
    python tests/oracle/run.py --seed 4711 --nodes 12     # one cluster, of this size
    python tests/oracle/run.py --case FILE                # a case that was kept

BERTH_BIN names the program; without it the release build of this checkout is taken, else the debug build. What
disagrees is printed and kept in the folder of `--keep`: put a file of it into `cases/` once it is understood, and it is
asked first in every run.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "cluster"), str(HERE)]

from oracle import Case, Oracle, Outcome  # noqa: E402
from plane import OraclePlane, Verdicts  # noqa: E402

CASES = HERE / "cases"
FIRST_SEED, CLUSTERS, LEAST_CHOICES = 1, 100, 1000
AT_ONCE = 3  # while one waits for the scheduler, another asks Berth


def kept_cases(files: Iterable[Path]) -> list[Callable[[], Case]]:
    return [partial(Case.of_file, path) for path in sorted(files)]


@contextmanager
def at_work(kept: Path) -> Iterator[Oracle]:
    """An oracle with a control plane of its own."""
    with OraclePlane() as plane:
        plane.prepare()
        with Verdicts(plane.client()) as verdicts:
            yield Oracle(plane, verdicts, kept)


def compare(oracle: Oracle, cases: Iterable[Callable[[], Case]], say: Callable[[str], None]) -> Outcome:
    """Judge them all. Each disagreement is told as soon as it is found."""
    total = Outcome()
    begun = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        work = [pool.submit(_judge, oracle, make) for make in cases]
        try:
            for number, each in enumerate(work, start=1):
                outcome = each.result()
                total.add(outcome)
                for found in outcome.disagreements:
                    say(found.text)
                if number % 10 == 0:
                    seconds = time.monotonic() - begun
                    say(f"oracle: {number} of {len(work)} clusters, {total.compared} choices, {seconds:.0f} s")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    say(summary(total, len(work), time.monotonic() - begun))
    return total


def _judge(oracle: Oracle, make: Callable[[], Case]) -> Outcome:
    return oracle.judge(make())


def summary(total: Outcome, clusters: int, seconds: float) -> str:
    more = f"{total.fitting} nodes fit, {total.refused} choices refused, {total.unsteady} asked twice, {seconds:.0f} s"
    bad = len(total.disagreements)
    agree = "compared" if bad else "agree"
    said = f"{total.compared} choices and {total.refusals} refusals over {clusters} clusters {agree}, {bad} disagree"
    return f"oracle: {said}; {total.fills} greedy fills {agree} ({more})"


def seeds(first: int, count: int, size: int | None = None) -> list[Callable[[], Case]]:
    return [partial(Case.of_seed, seed, size) for seed in range(first, first + count)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, help="the first seed")
    parser.add_argument("--clusters", type=int, help="how many seeds from there on")
    parser.add_argument("--nodes", type=int, help="nodes of each cluster; drawn if not given")
    parser.add_argument("--case", type=Path, action="append", help="kept cases alone")
    parser.add_argument("--keep", type=Path, help="the folder for what disagrees")
    wanted = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if wanted.case:
        cases = kept_cases(wanted.case)
    elif wanted.seed is not None:
        cases = seeds(wanted.seed, wanted.clusters or 1, wanted.nodes)
    else:
        cases = kept_cases(CASES.glob("*.json")) + seeds(FIRST_SEED, wanted.clusters or CLUSTERS, wanted.nodes)
    kept = wanted.keep or Path(tempfile.mkdtemp(prefix="berth-oracle-kept-"))
    with at_work(kept) as oracle:
        total = compare(oracle, cases, lambda text: print(text, flush=True))
    return 1 if total.disagreements or not total.compared else 0


if __name__ == "__main__":
    sys.exit(main())
