"""Owns the times that a run measures, and how they are told at its end."""

from __future__ import annotations

from collections import defaultdict
from math import ceil


class Timings:
    """Seconds by name, in the order in which the names first came."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = defaultdict(list)

    def add(self, name: str, seconds: float) -> None:
        self._seconds[name].append(seconds)

    def percentile(self, name: str, percent: float) -> float:
        """The nearest rank: a value that was really measured."""
        ranked = sorted(self._seconds[name])
        return ranked[ceil(percent / 100 * len(ranked)) - 1]

    def lines(self) -> list[str]:
        return [
            f"{name:42} n={len(found):<3} p50 {self._milliseconds(name, 50)}   p99 {self._milliseconds(name, 99)}"
            for name, found in self._seconds.items()
        ]

    def _milliseconds(self, name: str, percent: float) -> str:
        return f"{self.percentile(name, percent) * 1000:8.1f} ms"
