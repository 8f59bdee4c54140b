"""Owns waiting: a check is repeated until it holds or a deadline passes, and the last thing seen is in the failure's
text.

For what can't be watched (a page, a process that opens its port). Kubernetes objects are watched instead: see
`kube.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_never_set = threading.Event()


def eventually(check: Callable[[], T | None], what: str, deadline: float = 20.0, every: float = 0.1) -> T:
    """The first answer of `check` that is neither None nor False. An AssertionError in it means "not yet"."""
    until = time.monotonic() + deadline
    seen = "the check held never and said nothing"
    while True:
        try:
            answer = check()
            if answer is not None and answer is not False:
                return answer
        except AssertionError as not_yet:
            seen = str(not_yet)
        if time.monotonic() >= until:
            raise TimeoutError(f"{what}: not within {deadline:g} s; {seen}")
        _never_set.wait(every)
