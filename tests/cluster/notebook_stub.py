"""Owns what answers for every notebook: simulated pods run nothing, and their addresses are all this machine's
loopback.

The hub asks a new server for its API before it calls it started; this says yes, in the name of whichever pod was
asked.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

HUB_VERSION = "5.5.0"


class _Notebook(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"version": "stub", "path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-JupyterHub-Version", HUB_VERSION)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the hub logs what it asks."""


class NotebookStub:
    """One server on all addresses: pods have addresses in 127.10.0.0/16."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("0.0.0.0", 0), _Notebook)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
