"""Owns the programs that a test run starts: their logs, waiting until they answer, and stopping exactly them, by
process id.

Each program leads its own session, so Ctrl-C reaches only the test run, which then stops them in the right order. If
the run itself is killed, the kernel ends them (the parent-death signal): nothing is left behind that eats a machine.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from waiting import eventually

PATIENCE = 5.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class ProcessError(RuntimeError):
    """A program didn't start or ended by itself; the message holds the tail of its log."""


def _die_with_parent() -> None:
    # Not SIGTERM: an apiserver that has lost its etcd doesn't end by it.
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_ports(count: int) -> list[int]:
    """Ports that nobody has just now: all are held open at once, so they differ."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


class Program:
    """One program that can be started, stopped and started again; its log grows in `logs/<name>.log`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        logs: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.command = [str(part) for part in command]
        self.log = logs / f"{name}.log"
        self.env = {**os.environ, **(env or {})}
        self.cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ProcessError(f"{self.name} isn't running")
        return self._process.pid

    def start(self, ready: Callable[[], bool] | None = None, deadline: float = 60.0) -> None:
        """Start it and wait until `ready` says yes; if it ends instead, raise with the tail of its log."""
        if self._process is not None:
            raise ProcessError(f"{self.name} is running already, pid {self._process.pid}")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=self.env, cwd=self.cwd, start_new_session=True, preexec_fn=_die_with_parent,
            )  # fmt: skip
        if ready is None:
            return

        def answered() -> bool:
            self.check_alive()
            return ready()

        try:
            eventually(answered, f"{self.name} answers", deadline)
        except TimeoutError as late:
            raise ProcessError(f"{late}\n{self.tail()}") from late

    def check_alive(self) -> None:
        if self._process is None or self._process.poll() is not None:
            status = None if self._process is None else self._process.returncode
            raise ProcessError(f"{self.name} has ended with status {status}\n{self.tail()}")

    def pause(self) -> None:
        """SIGSTOP: its ports stay open, and nothing in it moves."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, as a node that fails: it says no goodbye."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()

    def exit_status(self) -> int | None:
        """How it ended by itself; None while it runs."""
        if self._process is None:
            raise ProcessError(f"{self.name} isn't running")
        return self._process.poll()

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """SIGTERM, some patience, SIGKILL: to the process that we started, and only while it is ours to wait for."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def tail(self, lines: int = 30) -> str:
        text = self.log.read_text(errors="replace").splitlines()[-lines:] if self.log.exists() else []
        return "\n".join([f"--- the end of {self.log} ---", *text])
