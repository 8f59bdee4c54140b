"""The hub has one event loop: the hook must not hold it up, at the real time limits."""

from __future__ import annotations

import asyncio
import time

import berth_hub
import pytest
from conftest import Hub, raw_bytes
from jupyterhub.utils import maybe_future
from tornado import web


class Gaps:
    """The longest time in which the loop did nothing else."""

    async def __aenter__(self) -> Gaps:
        self.largest, self._task = 0.0, asyncio.create_task(self._watch())
        await asyncio.sleep(0)
        return self

    async def _watch(self) -> None:
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            self.largest, last = max(self.largest, now - last), now

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()


async def spawns_while_hung(hub: Hub) -> tuple[float, float]:
    """The seconds that 64 spawns take against a Berth that never answers, and the loop's largest gap."""
    hub.berth.fault = raw_bytes(b"", hub.berth.never)
    spawners = [hub.spawner({"profile": "gpu"}, name=f"user{number}") for number in range(64)]
    began, before = time.perf_counter(), len(hub.berth.asked)
    async with Gaps() as gaps:
        calls = [maybe_future(spawner.run_pre_spawn_hook()) for spawner in spawners]
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, web.HTTPError) and result.status_code == 503 for result in results)
    assert len(hub.berth.asked) - before == 64, "none waited for another"
    return time.perf_counter() - began, gaps.largest


async def test_a_hung_berth_costs_three_seconds(hub: Hub) -> None:
    took, _ = await spawns_while_hung(hub.configure())
    assert berth_hub.TOTAL_SECONDS == 3
    assert 2.9 < took < 4


async def test_a_hung_berth_does_not_block_the_loop(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The best of some runs: a hook that blocks does so in each, a busy machine does not."""
    monkeypatch.setattr(berth_hub, "TOTAL_SECONDS", 0.3)
    hub.configure()
    gaps = [(await spawns_while_hung(hub))[1]]
    while min(gaps) >= 0.05 and len(gaps) < 10:
        gaps.append((await spawns_while_hung(hub))[1])
    with capsys.disabled():
        print(f"\n64 spawns, Berth hung: the loop's largest gap {min(gaps) * 1000:.1f} ms")
    assert min(gaps) < 0.05


async def test_64_spawns_and_forms_in_flight_get_their_own_answers(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.configure()
    spawners = [hub.spawner({"profile": ("cpu", "gpu")[n % 2]}, name=f"user{n}") for n in range(64)]
    async with Gaps() as gaps:
        forms = await asyncio.gather(*(spawner.profile_list(spawner) for spawner in spawners))
        await asyncio.gather(*(maybe_future(spawner.run_pre_spawn_hook()) for spawner in spawners))
    with capsys.disabled():
        print(f"\n64 forms and 64 spawns, Berth fine: the loop's largest gap {gaps.largest * 1000:.1f} ms")
    assert [len(profiles) for profiles in forms] == [2] * 64
    assert [spawner.image for spawner in spawners] == ["cpu:1", "gpu:1"] * 32
    for call in ("profile-list", "spawn-options"):
        assert {q["user"]["name"] for q in hub.berth.questions(call)} == {s.user.name for s in spawners}


async def test_a_large_form_does_not_block_the_loop(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    """Twelve profiles with two hundred nodes to choose from in each."""
    profile = hub.berth.offers["profiles"][1]
    nodes = {f"node-{n}": {"display_name": f"node-{n}, 3 of 8 free", "default": n == 0} for n in range(200)}
    profile["profile_options"]["node"] = {"display_name": "Node", "choices": nodes}
    hub.berth.offers["profiles"] += [{**profile, "slug": f"gpu-{number}"} for number in range(12)]
    spawner = hub.configure().spawner()
    largest = []
    for _ in range(10):
        async with Gaps() as gaps:
            profiles = await spawner.profile_list(spawner)
        assert len(profiles) == 14
        largest.append(gaps.largest)
    with capsys.disabled():
        print(f"\na form of 200 KB: the loop's largest gap {min(largest) * 1000:.1f} ms")
    assert min(largest) < 0.05
