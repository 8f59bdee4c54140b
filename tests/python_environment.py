"""Owns the Python environments of the tests: each made once from a file such as `requirements.txt`, kept in the user's
cache, found again by its hash.

Prints the path of its interpreter and nothing else to standard output, so that a Makefile can say `$(python3
tests/python_environment.py) -m pytest`. Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent / "requirements.txt"
COMPLETE = ".complete"


def cache_root() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "berth"


def venv_home(requirements: Path = REQUIREMENTS) -> Path:
    """Named by what is installed and by whom: another Python needs other wheels."""
    pins = requirements.read_bytes() + sys.version.encode() + os.path.realpath(sys.executable).encode()
    return cache_root() / f"venv-{hashlib.sha256(pins).hexdigest()[:16]}"


def ensure_venv(requirements: Path = REQUIREMENTS) -> Path:
    """The interpreter of a complete environment, made now if there is none."""
    home = venv_home(requirements)
    python = home / "bin" / "python"
    cache_root().mkdir(parents=True, exist_ok=True)
    with (cache_root() / "venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (home / COMPLETE).exists():
            return python
        print(
            f"venv: not in the cache ({home}), installing {requirements.name}: about a minute",
            file=sys.stderr,
            flush=True,
        )
        begun = time.monotonic()
        # A venv's scripts hold its path, so it cannot be renamed: a mark, written last, says that it is whole.
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, stdout=sys.stderr)
        pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--no-deps"]
        subprocess.run([*pip, "-r", str(requirements)], check=True, stdout=sys.stderr)
        (home / COMPLETE).touch()
        print(f"venv: ready after {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return python


if __name__ == "__main__":
    try:
        print(ensure_venv(*(Path(name).resolve() for name in sys.argv[1:2])))
    except (OSError, subprocess.CalledProcessError) as problem:
        sys.exit(f"venv: {problem}")
