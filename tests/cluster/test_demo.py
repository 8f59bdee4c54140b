"""Owns the promise of `make demo`: it says where to log in, and whenever it is ended nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

DEMO = Path(__file__).resolve().parent / "demo.py"


@contextmanager
def demo(temporary: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo, with a folder for temporary files that only it uses. Its session holds all that it starts by itself."""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    process = subprocess.Popen([sys.executable, str(DEMO)], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def read_until(process: subprocess.Popen[str], words: str) -> str:
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if words in line:
            return seen
    raise AssertionError(f"{words!r} never came: {seen}")


def mentions(temporary: Path) -> list[str]:
    """Processes whose command line names the folder: everything of a demo does."""
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            text = command.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has just ended
            continue
        if str(temporary) in text:
            found.append(text)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_it_shows_the_hub_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with demo(tmp_path) as process:
        said = read_until(process, "Ctrl-C ends everything.")
        url = re.search(r"Open (http://\S+) and log in", said)
        assert url is not None
        assert requests.get(f"{url[1]}/hub/login", timeout=10).status_code == 200
        assert mentions(tmp_path), "nothing of the demo can be seen, so nothing could be missed"
        process.send_signal(number)
        read_until(process, "Stopped.")
        assert process.wait(timeout=60) == 0
    assert mentions(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_it_can_be_ended_while_it_starts(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        read_until(process, "Starting etcd")
        process.send_signal(signal.SIGINT)
        read_until(process, "Stopped.")
        assert process.wait(timeout=60) == 0
    assert mentions(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
