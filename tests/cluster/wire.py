"""Owns a wire between two programs on which faults are put while they talk: a relay of TCP connections that can refuse,
fall silent, delay, answer by itself or break at a given moment.

Bytes are relayed as they are, so TLS passes through and both ends are the real ones.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

CHUNK = 65536
_NEVER_HELD = threading.Event()
_NEVER_HELD.set()


@dataclass
class Fault:
    """How the wire treats connections. `held` is cleared: nothing passes until it is set."""

    delay: float = 0.0
    answer: bytes | None = None
    held: threading.Event = field(default_factory=lambda: _NEVER_HELD)


WELL = Fault()


class Wire:
    """A context manager. `address` is what the caller is told instead of the target's own."""

    def __init__(self, target: str) -> None:
        self.target = target
        self._fault = WELL
        self._lock = threading.Lock()
        self._links: set[socket.socket] = set()
        self._closed = threading.Event()
        self._trap: tuple[bytes, Callable[[], None]] | None = None
        self._listener: socket.socket | None = None
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self.refuse()

    # === faults; each ends the connections that are open ===

    def mend(self) -> None:
        """As if there were no wire."""
        self._trap = None
        if self._fault != WELL:
            self._set(WELL)
        if self._listener is None:
            self._listen()

    def refuse(self) -> None:
        """Nobody listens."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self._set(WELL)

    def hold(self) -> None:
        """Connections open, and nothing ever comes."""
        self._set(Fault(held=threading.Event()))

    def delay(self, seconds: float) -> None:
        """Every piece of an answer comes so much later."""
        self._set(Fault(delay=seconds))

    def answer(self, raw: bytes) -> None:
        """These bytes come instead of the target's answer, and then the end of the connection."""
        self._set(Fault(answer=raw))

    def after_answer_to(self, request: bytes, then: Callable[[], None]) -> None:
        """Once: when the answer to a request with these bytes is on its way, do something before it arrives."""
        self._trap = (request, then)

    def cut(self) -> None:
        """End the connections that are open; new ones pass."""
        with self._lock:
            links, self._links = self._links, set()
        for link in links:
            _end(link)

    def _set(self, fault: Fault) -> None:
        old, self._fault = self._fault, fault
        self.cut()
        old.held.set()

    # === relaying ===

    def _listen(self) -> None:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(256)
        self.port = int(listener.getsockname()[1])
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                caller, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(caller, self._fault), daemon=True).start()

    def _serve(self, caller: socket.socket, fault: Fault) -> None:
        self._know(caller)
        if fault.answer is not None:
            with suppress(OSError):
                _read_request(caller)
                caller.sendall(fault.answer)
            _end(caller)
            return
        host, port = self.target.rsplit(":", 1)
        try:
            target = socket.create_connection((host, int(port)), timeout=5)
        except OSError:
            _end(caller)
            return
        target.settimeout(None)
        self._know(target)
        asked = bytearray()
        threading.Thread(target=self._pump, args=(caller, target, fault, asked, False), daemon=True).start()
        self._pump(target, caller, fault, asked, True)

    def _know(self, link: socket.socket) -> None:
        with self._lock:
            self._links.add(link)

    def _pump(
        self, source: socket.socket, sink: socket.socket, fault: Fault, asked: bytearray, is_answer: bool
    ) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if is_answer and fault.delay:
                    self._closed.wait(fault.delay)
                if not is_answer and self._trap:
                    asked += data
                fault.held.wait()
                if is_answer:
                    self._spring(asked)
                sink.sendall(data)
        _end(source)
        _end(sink)
        with self._lock:
            self._links -= {source, sink}

    def _spring(self, asked: bytearray) -> None:
        trap = self._trap
        if trap and trap[0] in asked:
            self._trap = None
            trap[1]()


def _read_request(caller: socket.socket) -> None:
    """One HTTP request to its end, as a server would before it answers."""
    caller.settimeout(5)
    raw = b""
    while b"\r\n\r\n" not in raw:
        if not (data := caller.recv(CHUNK)):
            return
        raw += data
    head, body = raw.split(b"\r\n\r\n", 1)
    lengths = [line.split(b":", 1)[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    left = int(lengths[0]) - len(body) if lengths else 0
    while left > 0 and (data := caller.recv(CHUNK)):
        left -= len(data)


def _end(link: socket.socket) -> None:
    with suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
    link.close()
