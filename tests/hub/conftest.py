"""The hook stands between two things: the real KubeSpawner, here offline, and Berth, here a stand-in over real HTTP."""

from __future__ import annotations

import asyncio
import copy
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kubespawner.spawner
import pytest
from jupyterhub.utils import maybe_future
from kubernetes_asyncio.client import ApiClient
from kubespawner import KubeSpawner
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from traitlets.config import Config

sys.path.insert(0, str(Path(__file__).parents[2] / "hub-config"))
import berth_hub

TOKEN = "the-hub's-token"

CPU = {
    "slug": "cpu",
    "display_name": "Standard (CPU)",
    "description": "General work",
    "default": True,
    "berth": {"title": "Standard (CPU)", "description": "General work", "availability": "now", "free": 0, "total": 0},
}
GPU = {
    "slug": "gpu",
    "display_name": "GPU",
    "description": "3 of 8 GPUs free",
    "default": False,
    "profile_options": {
        "gpus": {
            "display_name": "Number of GPUs",
            "choices": {
                "1": {"display_name": "1 GPU, free now", "default": True},
                "2": {"display_name": "2 GPUs, in use now", "default": False},
            },
        }
    },
    "berth": {
        "title": "GPU",
        "description": "A card of your own",
        "availability": "busy",
        "free": 3,
        "total": 8,
        "reasons": ["all cards of node gpu-a are taken"],
    },
}
FALLBACK_PATCH = {"image": "fallback-cpu:1", "cpu_limit": 2.0, "extra_resource_limits": {"nvidia.com/gpu": None}}
OFFERS: dict[str, Any] = {
    "generation": 7,
    "observedAt": "2026-01-31T12:00:00Z",
    "stale": False,
    "profiles": [CPU, GPU],
    "fallback": {"profile": CPU, "patch": FALLBACK_PATCH},
}
Fault = Callable[[web.RequestHandler], Awaitable[None]]


class StandIn:
    """Berth's contract with the hub, in the test's own loop. `fault`, if set, answers instead."""

    def __init__(self) -> None:
        self.offers: dict[str, Any] = copy.deepcopy(OFFERS)
        self.patches: dict[str, dict[str, Any]] = {"cpu": {"image": "cpu:1"}, "gpu": {"image": "gpu:1"}}
        self.fault: Fault | None = None
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.never = asyncio.Event()
        self._socket, self.port = bind_unused_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: HTTPServer | None = None
        self.start(self._socket)

    def start(self, socket: Any = None) -> None:
        app = web.Application([(r"/api/v1/hub/(profile-list|spawn-options)", _Handler, {"berth": self})])
        self._server = HTTPServer(app)
        if socket:
            self._server.add_socket(socket)
        else:
            self._server.listen(self.port, "127.0.0.1")

    def stop(self) -> None:
        assert self._server is not None
        self._server.stop()

    async def close(self) -> None:
        self.never.set()
        self.stop()
        assert self._server is not None
        await self._server.close_all_connections()

    def questions(self, call: str) -> list[dict[str, Any]]:
        return [question for name, question in self.asked if name == call]

    def spawn_answer(self, options: dict[str, Any]) -> dict[str, Any]:
        profile = options.get("profile") or "cpu"
        return {"profile": profile, "summary": "", "generation": 7, "patch": self.patches[profile], "hold": None}


class _Handler(web.RequestHandler):
    def initialize(self, berth: StandIn) -> None:
        self.berth = berth

    def log_exception(self, *_args: object) -> None: ...

    async def post(self, call: str) -> None:
        assert self.request.headers["Content-Type"] == "application/json"
        question = json.loads(self.request.body)
        self.berth.asked.append((call, question))
        if self.berth.fault:
            return await self.berth.fault(self)
        if self.request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return await refuse(401, "No valid credential.")(self)
        answer = self.berth.offers if call == "profile-list" else self.berth.spawn_answer(question["options"])
        await respond(200, answer)(self)


def respond(status: int, body: Any, content_type: str = "application/json") -> Fault:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def fault(handler: web.RequestHandler) -> None:
        handler.set_status(status)
        handler.set_header("Content-Type", content_type)
        handler.finish(raw)

    return fault


def refuse(status: int, detail: str) -> Fault:
    return respond(status, {"title": "No", "detail": detail, "reason": "no"}, "application/problem+json")


def raw_bytes(sent: bytes, then_wait_for: asyncio.Event | None = None) -> Fault:
    """What no proper server sends: these bytes, and then silence or the end of the connection."""

    async def fault(handler: web.RequestHandler) -> None:
        stream = handler.detach()
        await stream.write(sent)
        if then_wait_for:
            await then_wait_for.wait()
        stream.close()

    return fault


@pytest.fixture
async def berth() -> AsyncIterator[StandIn]:
    stand_in = StandIn()
    yield stand_in
    await stand_in.close()


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubespawner.spawner, "load_config", lambda **_: None)
    monkeypatch.setattr(kubespawner.spawner, "shared_client", lambda *_: None)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time limits, a tenth as long."""
    for name in ("CONNECT_SECONDS", "TOTAL_SECONDS", "RETRY_SECONDS"):
        monkeypatch.setattr(berth_hub, name, getattr(berth_hub, name) / 10)


class Hub:
    """A configured hub: its spawners, and what JupyterHub does with one of them."""

    def __init__(self, berth: StandIn, folder: Path) -> None:
        self.berth = berth
        self.fallback_file = folder / "berth-fallback.json"
        self.config = Config()

    def configure(self, **options: Any) -> Hub:
        defaults = {"url": self.berth.url, "token": TOKEN, "fallback_file": str(self.fallback_file)}
        berth_hub.configure(self.config, **{**defaults, **options})
        return self

    def spawner(
        self, options: Any = None, *, name: str = "ada", groups: tuple[str, ...] = (), server: str = "", **traits: Any
    ) -> KubeSpawner:
        user = SimpleNamespace(
            name=name, id=1, url=f"/user/{name}/", admin=False, groups=[SimpleNamespace(name=group) for group in groups]
        )
        hub = SimpleNamespace(public_host="", url="", base_url="/hub/", api_url="http://hub:8081/hub/api")
        spawner = KubeSpawner(
            _mock=True,
            config=self.config,
            user=user,
            hub=hub,
            orm_spawner=SimpleNamespace(name=server, server=None),
            **traits,
        )
        spawner.user_options = options or {}
        return spawner


@pytest.fixture
def hub(berth: StandIn, tmp_path: Path) -> Hub:
    return Hub(berth, tmp_path)


async def start(spawner: KubeSpawner) -> dict[str, Any]:
    """The steps of JupyterHub's spawn that concern the hook, up to the pod that KubeSpawner would create."""
    await spawner.apply_group_overrides()
    await maybe_future(spawner.run_pre_spawn_hook())
    await spawner.load_user_options()  # the first thing in KubeSpawner.start()
    return await manifest(spawner)


async def manifest(spawner: KubeSpawner) -> dict[str, Any]:
    async with ApiClient() as client:
        return client.sanitize_for_serialization(await spawner.get_pod_manifest())


def notebook(pod: dict[str, Any]) -> dict[str, Any]:
    return next(container for container in pod["spec"]["containers"] if container["name"] == "notebook")


async def until(condition: Callable[[], bool]) -> None:
    """For what happens in another thread: give way until it has."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)
