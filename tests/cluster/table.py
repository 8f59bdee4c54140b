"""Owns the fault table: for each thing that can go wrong what the user read, word for word, and what was lost.

A row is asserted when it is made, so the table at the end of a run holds only what was seen. The run prints it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NOTHING = "nothing"


@dataclass(frozen=True)
class Row:
    fault: str
    saw: str
    lost: str


class FaultTable:
    """The rows of one run, in the order in which they were seen."""

    def __init__(self) -> None:
        self._rows: list[Row] = []

    def add(self, fault: str, *, shown: str, sentence: str, lost: Sequence[str]) -> None:
        """The user was shown a text that holds this sentence, and nothing was lost."""
        assert sentence in shown, f"{fault}: the user should read {sentence!r}, and was shown {shown!r}"
        assert not lost, f"{fault}: lost: {'; '.join(lost)}"
        self._rows.append(Row(fault, sentence, NOTHING))

    def add_loss(self, fault: str, *, shown: str, sentence: str, lost: str) -> None:
        """The rare row that shows what happens to a hub without Berth's settings."""
        assert sentence in shown, f"{fault}: the user should read {sentence!r}, and was shown {shown!r}"
        self._rows.append(Row(fault, sentence, lost))

    def lines(self) -> list[str]:
        return [f"{row.fault} | “{row.saw}” | {row.lost}" for row in self._rows]
