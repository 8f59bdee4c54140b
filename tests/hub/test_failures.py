"""The failure table of the hub contract, row by row: what the form shows and what a spawn does."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import berth_hub
import pytest
from bs4 import BeautifulSoup
from conftest import CPU, OFFERS, TOKEN, Fault, Hub, StandIn, notebook, raw_bytes, refuse, respond, start, until
from jupyterhub.utils import format_exception, maybe_future
from tornado import web

pytestmark = pytest.mark.usefixtures("impatient")

SPAWNED = {"profile": "cpu", "patch": {"image": "cpu:1"}}
HALF = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n{"profiles": ['


def offers_with(**changes: Any) -> dict[str, Any]:
    return {**OFFERS, **changes}


def profile_with(**changes: Any) -> dict[str, Any]:
    return offers_with(profiles=[{**CPU, **changes}])


def either(offers: Any, spawned: Any, content_type: str = "application/json", status: int = 200) -> Fault:
    async def fault(handler: web.RequestHandler) -> None:
        body = offers if handler.request.path.endswith("profile-list") else spawned
        await respond(status, body, content_type)(handler)

    return fault


async def redirect(handler: web.RequestHandler) -> None:
    """To where a good answer is: whoever can redirect the hub's call could read its token there."""
    if handler.request.query == "moved":
        return await either(OFFERS, SPAWNED)(handler)
    handler.redirect(f"{handler.request.path}?moved", status=307)


# Made for a stand-in, since some wait until the test is over.
FAULTS: dict[str, Callable[[StandIn], Fault | None]] = {
    "stopped": lambda berth: berth.stop(),
    "hung": lambda berth: raw_bytes(b"", berth.never),
    "slow": lambda berth: raw_bytes(HALF, berth.never),
    "half-a-body": lambda _: raw_bytes(HALF),
    "no-http": lambda _: raw_bytes(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "closed-at-once": lambda _: raw_bytes(b""),
    "500": lambda _: respond(500, b"<h1>Internal Server Error</h1>", "text/html"),
    "500-with-a-good-body": lambda _: either(OFFERS, SPAWNED, status=500),
    "503-problem": lambda _: refuse(503, "No inventory yet."),
    "401": lambda _: refuse(401, "Unknown token."),
    "404-of-a-proxy": lambda _: respond(404, b"<h1>Not Found</h1>", "text/html"),
    "403-not-a-problem": lambda _: respond(403, {"detail": "blocked by policy"}),
    "403-without-detail": lambda _: respond(403, {"title": "No"}, "application/problem+json"),
    "403-with-empty-detail": lambda _: refuse(403, ""),
    "redirect": lambda _: redirect,
    "204": lambda _: respond(204, b""),
    "garbage": lambda _: respond(200, b"\xff\xfe{"),
    "empty": lambda _: respond(200, b""),
    "deep": lambda _: respond(200, b"[" * 200_000),
    "oversize": lambda _: either(offers_with(x="x" * 2_100_000), {**SPAWNED, "x": "x" * 2_100_000}),
    "wrong-type": lambda _: either(OFFERS, SPAWNED, "text/html"),
    "a-list": lambda _: respond(200, [1]),
    "no-profiles": lambda _: either(offers_with(profiles=None), {"profile": "cpu"}),
    "empty-profiles": lambda _: either(offers_with(profiles=[]), {"profile": "cpu", "patch": None}),
    "profiles-of-text": lambda _: either(offers_with(profiles=["cpu"]), {"profile": 1, "patch": {}}),
    "profile-without-slug": lambda _: either(profile_with(slug=None), {"patch": {}}),
    "profile-without-name": lambda _: either(profile_with(display_name=3), {"profile": "cpu", "patch": []}),
    "null-options": lambda _: either(profile_with(profile_options=None), {}),
    "option-without-choices": lambda _: either(profile_with(profile_options={"gpus": {}}), {}),
    "choices-of-text": lambda _: either(profile_with(profile_options={"gpus": {"choices": {"1": "x"}}}), {}),
    "block-of-text": lambda _: either(profile_with(berth="x"), {}),
    "fallback-of-text": lambda _: either(offers_with(fallback="cpu"), {}),
    "fallback-without-patch": lambda _: either(offers_with(fallback={"profile": CPU}), {}),
    "fallback-without-profile": lambda _: either(offers_with(fallback={"profile": {}, "patch": {}}), {}),
}
down = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())


async def shown(spawner: Any) -> str:
    return BeautifulSoup(await spawner.get_options_form(), "html.parser").get_text(" ", strip=True)


@down
async def test_down_without_a_fallback_is_a_sentence(hub: Hub, fault: Any) -> None:
    hub.configure()
    hub.berth.fault = fault(hub.berth)
    spawner = hub.spawner({"profile": "cpu"})
    for step in (spawner.get_options_form, spawner.run_pre_spawn_hook):
        with pytest.raises(web.HTTPError) as refused:
            await maybe_future(step())
        assert refused.value.status_code == 503
        text, raw_html = format_exception(refused.value)
        assert "does not answer" in text
        assert "try again" in text
        assert raw_html is None


@down
async def test_down_with_a_fallback_in_memory(hub: Hub, fault: Any, caplog: pytest.LogCaptureFixture) -> None:
    hub.configure()
    await hub.spawner().get_options_form()
    hub.berth.fault = fault(hub.berth)

    form = await shown(hub.spawner())
    assert "Standard (CPU)" in form
    assert "does not answer" in form
    assert "GPUs free" not in form

    for options in ({"profile": "cpu"}, {}, {"profile": None}, {"profile": ""}, {"profile": "cpu", "x": "yes"}):
        pod = await start(hub.spawner(options, extra_resource_limits={"nvidia.com/gpu": "1"}))
        assert notebook(pod)["image"] == "fallback-cpu:1"
        assert "gpu" not in str(notebook(pod)["resources"])
    assert "starts with the fallback" in caplog.text, "never silently"

    for profile in ("gpu", {}, [], 0, False, ["cpu"]):
        with pytest.raises(web.HTTPError) as refused:
            await maybe_future(hub.spawner({"profile": profile}).run_pre_spawn_hook())
        assert refused.value.status_code == 503
        assert "try again" in refused.value.jupyterhub_message


async def test_the_fallback_survives_a_restart_of_the_hub(hub: Hub) -> None:
    hub.configure()
    await hub.spawner().get_options_form()
    await until(hub.fallback_file.exists)
    hub.berth.stop()

    restarted = Hub(hub.berth, hub.fallback_file.parent).configure()
    assert "Standard (CPU)" in await shown(restarted.spawner())
    assert notebook(await start(restarted.spawner()))["image"] == "fallback-cpu:1"
    with pytest.raises(web.HTTPError, match="503"):
        await maybe_future(restarted.spawner({"profile": "gpu"}).run_pre_spawn_hook())


async def test_the_file_is_written_only_when_the_fallback_changes(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    renamed: list[Path] = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: (renamed.append(target), replace(self, target)))
    hub.configure()
    for _ in range(3):
        await hub.spawner().get_options_form()
    await until(hub.fallback_file.exists)
    await Hub(hub.berth, hub.fallback_file.parent).configure().spawner().get_options_form()
    assert renamed == [hub.fallback_file], "once, by renaming, and not again after a restart"

    hub.berth.offers["fallback"] = {"profile": CPU, "patch": {"image": "cpu:2"}}
    await hub.spawner().get_options_form()
    await until(lambda: "cpu:2" in hub.fallback_file.read_text())
    assert os.listdir(hub.fallback_file.parent) == [hub.fallback_file.name], "nothing is left lying about"


async def test_a_withdrawn_fallback_is_forgotten_in_memory_and_file(hub: Hub) -> None:
    """The default profile may have become one that not everybody may use."""
    hub.configure()
    await hub.spawner().get_options_form()
    hub.berth.offers["fallback"] = None
    await hub.spawner().get_options_form()
    await until(lambda: hub.fallback_file.exists() and json.loads(hub.fallback_file.read_text()) is None)
    hub.berth.stop()
    for any_hub in (hub, Hub(hub.berth, hub.fallback_file.parent).configure()):
        with pytest.raises(web.HTTPError, match="503"):
            await any_hub.spawner().get_options_form()


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"{",
        b"\xff",
        b"[" * 200_000,
        b"7",
        b"{}",
        b'{"profile": "cpu", "patch": {}}',
        b'{"profile": {"slug": "cpu"}}',
    ],
)
async def test_a_damaged_file_does_not_keep_the_hub_from_starting(hub: Hub, damaged: bytes) -> None:
    hub.fallback_file.write_bytes(damaged)
    hub.configure()
    hub.berth.stop()
    for step in (hub.spawner().get_options_form, hub.spawner().run_pre_spawn_hook):
        with pytest.raises(web.HTTPError, match="503"):
            await maybe_future(step())
    hub.berth.start()
    await hub.spawner().get_options_form()
    await until(lambda: b"fallback-cpu" in hub.fallback_file.read_bytes())


async def test_a_folder_that_cannot_be_written_only_costs_the_file(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    hub.configure(fallback_file=str(hub.fallback_file.parent / "missing" / "f.json"))
    assert "Standard (CPU)" in await shown(hub.spawner())
    await until(lambda: "will not outlive" in caplog.text)
    hub.berth.stop()
    assert "Standard (CPU)" in await shown(hub.spawner())


async def test_live_again_without_a_restart_of_the_hub(hub: Hub) -> None:
    hub.configure()
    await hub.spawner().get_options_form()
    hub.berth.stop()
    assert "3 of 8 GPUs free" not in await shown(hub.spawner())
    hub.berth.start()
    assert "3 of 8 GPUs free" in await shown(hub.spawner())
    assert notebook(await start(hub.spawner({"profile": "gpu"})))["image"] == "gpu:1"


async def test_berth_dying_between_patch_and_start_is_not_noticed(hub: Hub) -> None:
    spawner = hub.configure().spawner({"profile": "gpu", "gpus": "2"})
    await maybe_future(spawner.run_pre_spawn_hook())
    hub.berth.stop()
    await spawner.load_user_options()
    assert spawner.image == "gpu:1"


@pytest.mark.parametrize("status", [400, 403, 409, 422, 429])
async def test_a_refusal_is_the_users_sentence(hub: Hub, status: int) -> None:
    """With a fallback at hand, too: a no is no outage."""
    sentence = "Your group <b>may not</b> use 100% of this; ask “ops”."
    hub.configure()
    await hub.spawner().get_options_form()
    hub.berth.fault = refuse(status, sentence)
    spawner = hub.spawner({"profile": "cpu"}, image="base:1")
    for step in (spawner.get_options_form, spawner.run_pre_spawn_hook):
        with pytest.raises(web.HTTPError) as refused:
            await maybe_future(step())
        assert refused.value.status_code == status
        # The hub shows jupyterhub_message as text and jupyterhub_html_message as HTML, which must not exist.
        assert format_exception(refused.value) == (sentence, None)
        assert sentence in str(refused.value), "and in the hub's log"
    assert spawner.image == "base:1"


@pytest.mark.parametrize("reason", ["bad-request", "not-found", "method-not-allowed"])
async def test_a_call_that_berth_does_not_understand_is_no_refusal_of_the_user(
    hub: Hub, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    hub.configure()
    await hub.spawner().get_options_form()
    problem = {"title": "No", "detail": "invalid type: null, expected a sequence at line 1", "reason": reason}
    hub.berth.fault = respond(400, problem, "application/problem+json")
    form = await hub.spawner().get_options_form()
    assert "only this can be started right now" in form
    assert "invalid type" not in form
    assert "invalid type" in caplog.text


@pytest.mark.parametrize("fault", [refuse(403, "No."), respond(500, b"")], ids=["refused", "down"])
async def test_no_refusal_counts_towards_the_hubs_end_on_jupyterhub_6(hub: Hub, fault: Fault) -> None:
    """JupyterHub 6 counts each failed spawn but SpawnException and other HTTPErrors below 500; 5.5 counts every one."""
    hub.configure()
    hub.berth.fault = fault
    with pytest.raises(web.HTTPError) as refused:
        await maybe_future(hub.spawner().run_pre_spawn_hook())
    if berth_hub.SpawnException:
        assert isinstance(refused.value, berth_hub.SpawnException)
        assert refused.value.message == refused.value.jupyterhub_message


async def test_a_wrong_token_is_the_operators_problem(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    hub.configure(token="a-wrong-one")
    with pytest.raises(web.HTTPError) as refused:
        await hub.spawner().get_options_form()
    assert refused.value.status_code == 503
    assert "token" not in refused.value.jupyterhub_message
    assert "hub.services.berth" in caplog.text
    assert "a-wrong-one" not in caplog.text


@pytest.mark.parametrize("fault", ["stopped", "hung", "500", "garbage", "401"])
async def test_the_token_is_never_logged(hub: Hub, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    hub.configure()
    hub.berth.fault = FAULTS[fault](hub.berth)
    with pytest.raises(web.HTTPError):
        await hub.spawner().get_options_form()
    assert TOKEN not in caplog.text


async def test_options_too_large_to_be_sent_are_refused(hub: Hub) -> None:
    spawner = hub.configure().spawner({"profile": "gpu", "junk": "x" * 10_000_000})
    with pytest.raises(web.HTTPError) as refused:
        await maybe_future(spawner.run_pre_spawn_hook())
    assert refused.value.status_code == 413
    assert "too large" in refused.value.jupyterhub_message
    assert not hub.berth.asked


async def test_a_refused_connection_is_tried_once_more(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    async def post(self: Any, *args: Any) -> Any:
        tries.append(args)
        if len(tries) == 1:
            hub.berth.stop()
        try:
            return await original(self, *args)
        finally:
            if len(tries) == 1:
                hub.berth.start()

    original = berth_hub._Berth._post
    monkeypatch.setattr(berth_hub._Berth, "_post", post)
    assert "3 of 8 GPUs free" in await shown(hub.configure().spawner())
    assert len(tries) == 2

    tries.clear()
    hub.berth.stop()
    monkeypatch.setattr(hub.berth, "start", lambda: None)
    await hub.spawner().get_options_form()
    assert len(tries) == 2, "once more, not for ever"


async def test_only_a_refused_connection_is_tried_again(hub: Hub) -> None:
    hub.configure()
    hub.berth.fault = raw_bytes(HALF)
    with pytest.raises(web.HTTPError, match="503"):
        await hub.spawner().get_options_form()
    assert len(hub.berth.asked) == 1


async def test_a_stale_inventory_shows_its_age(hub: Hub) -> None:
    hub.configure()
    hub.berth.offers.update(stale=True, observedAt="2026-01-31T12:00:00Z")
    form = await shown(hub.spawner())
    assert "minutes ago" in form
    assert "GPU" in form
    assert notebook(await start(hub.spawner({"profile": "gpu"})))["image"] == "gpu:1", "the scheduler decides"
    hub.berth.offers["observedAt"] = None
    assert "unknown time" in await shown(hub.spawner())


async def test_a_host_that_drops_packets_costs_the_connect_time_only(hub: Hub) -> None:
    """A full backlog: the kernel drops the SYN, as a network policy would."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        clients = [socket.socket() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        hub.configure(url=f"http://127.0.0.1:{full.getsockname()[1]}")
        began = time.perf_counter()
        with pytest.raises(web.HTTPError, match="503"):
            await hub.spawner().get_options_form()
        assert time.perf_counter() - began < berth_hub.TOTAL_SECONDS
        for client in clients:
            client.close()


async def test_a_name_that_does_not_resolve_in_time_does_not_block(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(*_: Any, **__: Any) -> Any:
        await hub.berth.never.wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    hub.configure(url="http://berth:8080")
    with pytest.raises(web.HTTPError, match="503"):
        await hub.spawner().get_options_form()
