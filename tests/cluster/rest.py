"""Owns a program that starts servers by the hub's REST API with a user's own token, and may send whatever it likes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests
from hub import Hub


@dataclass(frozen=True)
class Answer:
    """The hub's answer; `message` is the sentence in it, or its raw text."""

    status: int
    message: str
    seconds: float


class RestUser:
    """One user's token in use."""

    def __init__(self, hub: Hub, user: str, token: str) -> None:
        self._hub = hub
        self._path = f"{hub.url}/hub/api/users/{quote(user, safe='')}"
        self._headers = {"Authorization": f"token {token}"}

    def start(self, options: Any, server: str = "") -> Answer:
        """Ask for a server with these options: JSON, or bytes as they are; None sends no body at all."""
        return self.call("POST", self._server(server), options)

    def call(self, method: str, path: str = "", options: Any = None) -> Answer:
        more = {"data": options} if isinstance(options, bytes) else {"json": options} if options is not None else {}
        answer = requests.request(method, self._path + path, headers=self._headers, timeout=60, **more)
        return Answer(answer.status_code, _message(answer), answer.elapsed.total_seconds())

    def _server(self, name: str) -> str:
        return f"/servers/{quote(name, safe='')}" if name else "/server"


def _message(answer: requests.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return answer.text
    return str(body.get("message", answer.text)) if isinstance(body, dict) else answer.text
