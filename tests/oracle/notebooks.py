"""Owns the very pod that a hub makes: the real hook merges Berth's patch into a real KubeSpawner with the base's
configuration, and KubeSpawner makes the pod of it.

Only the hook's question to Berth over HTTP is left out: the answer is the one that `berth explain` has printed.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kubespawner.spawner
from choices import Traits
from kube import Json
from kubernetes_asyncio.client import ApiClient
from kubespawner import KubeSpawner
from plane import HUB
from traitlets.config import Config

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "hub-config"))
import berth_hub

# KubeSpawner would look for a cluster to talk to when it is made.
kubespawner.spawner.load_config = lambda **_: None
kubespawner.spawner.shared_client = lambda *_: None

USER = "ada"
# Only to serialise, as KubeSpawner does. Made in full it would read every certificate of the machine each time.
_CLIENT = ApiClient.__new__(ApiClient)


class _Answered(berth_hub._Berth):
    """The hook, with its answer at hand."""

    def __init__(self, answer: Json) -> None:
        super().__init__("http://berth.invalid", "token", Path("/nonexistent/fallback"), None)
        self._answer = answer

    async def _ask(self, call: str, _spawner: KubeSpawner, **_more: object) -> dict[str, Any]:
        assert call == "spawn-options"
        return self._answer


def spawner(traits: Traits) -> KubeSpawner:
    """As the hub makes one; 1G of memory is the stock chart's own guarantee."""
    config = Config({"KubeSpawner": {"namespace": HUB, "mem_guarantee": "1G", **traits}})
    user = SimpleNamespace(name=USER, id=1, url=f"/user/{USER}/", admin=False, groups=[])
    hub = SimpleNamespace(public_host="", url="", base_url="/hub/", api_url="http://hub:8081/hub/api")
    return KubeSpawner(
        _mock=True, config=config, user=user, hub=hub, orm_spawner=SimpleNamespace(name="", server=None)
    )  # fmt: skip


def base(traits: Traits) -> Json:
    """What the hook tells Berth of the hub's configuration."""
    told: Json = berth_hub._question(spawner(traits))["base"]
    return told


def pod(traits: Traits, options: dict[str, str], answer: Json) -> Json:
    """The pod that the hub would create after this answer to these options."""
    return asyncio.run(_pod(traits, options, answer))


async def _pod(traits: Traits, options: dict[str, str], answer: Json) -> Json:
    server = spawner(traits)
    server.user_options = dict(options)
    hook = _Answered(answer)
    await hook.pre_spawn_hook(server)
    server.profile_list = hook.profile_list
    await server.load_user_options()  # the first thing in KubeSpawner.start()
    made: Json = _CLIENT.sanitize_for_serialization(await server.get_pod_manifest())
    return made
