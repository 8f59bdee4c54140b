"""Owns what users meet while Berth is away, in every way in which a service can be away: the fallback or a sentence,
and live numbers again without a restart of the hub.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import manifests
import pytest
import yaml
from browser import Browser
from faults import (
    ONLY_FALLBACK,
    UNAVAILABLE,
    FaultGuest,
    FaultyWorld,
    assert_fallback_only,
    follow,
    page_text,
    start_unseen,
)
from hub import NAMESPACE
from kube import Json
from table import FaultTable
from waiting import eventually
from world import A100, OTHERS, T4, World

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
INTERNAL = b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<h1>Oops</h1>"


@dataclass(frozen=True)
class Away:
    """One way of being away."""

    name: str
    put: Callable[[FaultyWorld, World], None]


def stop(faulty: FaultyWorld, _world: World) -> None:
    faulty.berth.stop()
    faulty.hub_wire.refuse()


def use_a_berth_with_another_token(faulty: FaultyWorld, world: World) -> None:
    faulty.hub_wire.target = world.berth.listen


WAYS = (
    Away("Berth stopped", stop),
    Away("Berth hung (SIGSTOP)", lambda faulty, _: faulty.berth.program.pause()),
    Away("Berth slow (5 s)", lambda faulty, _: faulty.hub_wire.delay(5.0)),
    Away("Berth answers 500", lambda faulty, _: faulty.hub_wire.answer(INTERNAL)),
    Away("Berth answers garbage", lambda faulty, _: faulty.hub_wire.answer(HEAD % 9 + b"\xff\xfe<garba")),
    Away("Berth answers 401 (wrong token)", use_a_berth_with_another_token),
    Away("Berth answers half a body", lambda faulty, _: faulty.hub_wire.answer(HEAD % 9000 + b'{"profiles": [')),
)


def assert_plain_cpu(pod: Json) -> None:
    assert manifests.resource_names(pod) == {"cpu", "memory"}
    assert manifests.notebook(pod)["image"] == "registry.example.org/library/jupyter-ml-cpu:1.0"
    assert manifests.environment(pod)["NVIDIA_VISIBLE_DEVICES"] == "void"


@pytest.fixture
def browser(fault_guest: FaultGuest) -> Browser:
    """A user who has seen the live form, so the hub has a fallback in memory."""
    browser = fault_guest.browser("rosa")
    fault_guest.assert_live(browser)
    return browser


def test_the_table_takes_no_row_that_was_not_seen(faulty: FaultyWorld) -> None:
    table = FaultTable()
    with pytest.raises(AssertionError, match="should read"):
        table.add("a fault", shown="500: Internal Server Error", sentence=UNAVAILABLE, lost=[])
    assert faulty.witness.losses() == []
    faulty.hub.program.stop()
    with pytest.raises(AssertionError, match="lost: the hub"):
        table.add("a fault", shown=UNAVAILABLE, sentence=UNAVAILABLE, lost=faulty.witness.losses())
    faulty.hub.restart()
    assert faulty.witness.losses() == []
    assert table.lines() == []


@pytest.mark.parametrize("away", WAYS, ids=lambda away: away.name)
def test_with_a_fallback_in_memory(
    away: Away, faulty: FaultyWorld, world: World, fault_guest: FaultGuest, browser: Browser
) -> None:
    away.put(faulty, world)
    form = browser.form()
    assert_fallback_only(form)
    faulty.row(f"{away.name}: the form", form.text, ONLY_FALLBACK)

    refused = start_unseen(browser, "gpu")
    assert refused.failed
    assert refused.status == 503
    faulty.row(f"{away.name}: a GPU is started", refused.page, UNAVAILABLE)
    assert fault_guest.kube.find("Pod", "jupyter-rosa", NAMESPACE) is None

    started = start_unseen(browser, "cpu")
    assert started.ready, started
    assert_plain_cpu(fault_guest.pod_of("rosa"))
    faulty.row(f"{away.name}: the CPU profile is started", " ".join(started.messages), "Server ready at /user/rosa/")

    browser.stop()
    faulty.mend()
    fault_guest.assert_live(browser)


def test_a_berth_that_takes_a_second_is_no_fault(faulty: FaultyWorld, browser: Browser) -> None:
    faulty.hub_wire.delay(1.0)
    form = browser.form()
    assert "gpu" in form.slugs
    faulty.row("Berth slow (1 s): the form", form.profile("gpu").text, "5 of 5 GPUs free")


def test_without_a_fallback_it_is_a_sentence(faulty: FaultyWorld, fault_guest: FaultGuest) -> None:
    """A new hub beside a Berth that was never up; then Berth comes, and the hub needn't be told."""
    faulty.hub_wire.refuse()
    faulty.hub.restart(forget_fallback=True)
    browser = fault_guest.browser("rosa")
    page = browser.form_page()
    assert page.status_code == 503
    faulty.row("Berth down since the hub's first start: the form", page_text(page), UNAVAILABLE)
    for profile in ("cpu", None):
        refused = start_unseen(browser, profile)
        assert refused.failed
        assert refused.status == 503
        faulty.row(
            f"Berth down since the hub's first start: {profile or 'nothing'} is chosen", refused.page, UNAVAILABLE
        )
    assert fault_guest.kube.find("Pod", "jupyter-rosa", NAMESPACE) is None
    faulty.hub_wire.mend()
    fault_guest.assert_live(browser)
    assert fault_guest.spawn("rosa", f"gpu-on-{A100}")["spec"]["nodeName"] == A100


def test_a_hub_restarted_meanwhile_has_the_fallback_of_its_file(
    faulty: FaultyWorld, fault_guest: FaultGuest, browser: Browser
) -> None:
    eventually(faulty.hub.fallback_file.exists, "the fallback is in the file", 5)
    faulty.hub_wire.refuse()
    faulty.hub.restart()
    form = browser.form()
    assert_fallback_only(form)
    faulty.row("Berth down, the hub restarted: the form", form.text, ONLY_FALLBACK)
    assert start_unseen(browser, None).ready, "no choice is the default"
    assert_plain_cpu(fault_guest.pod_of("rosa"))
    browser.stop()
    faulty.hub_wire.mend()
    fault_guest.assert_live(browser)


def test_a_hub_restarted_beside_a_hung_berth_starts_all_the_same(faulty: FaultyWorld, browser: Browser) -> None:
    faulty.berth.program.pause()
    faulty.hub.restart()
    form = browser.form()
    assert_fallback_only(form)
    faulty.row("Berth hung, the hub restarted: the form", form.text, ONLY_FALLBACK)


def test_a_default_profile_with_a_gpu_is_no_fallback(
    faulty: FaultyWorld, fault_guest: FaultGuest, browser: Browser
) -> None:
    catalogue = yaml.safe_load(faulty.catalogue.read_text())
    for profile in catalogue["profiles"]:
        profile["default"] = profile["slug"] == "gpu"
    faulty.write_catalogue(catalogue)
    fault_guest.assert_live(browser)
    faulty.hub_wire.refuse()
    page = browser.form_page()
    assert page.status_code == 503
    faulty.row("Berth stopped, the default profile has a GPU: the form", page_text(page), UNAVAILABLE)


def test_berth_dies_between_the_patch_and_the_start(
    faulty: FaultyWorld, fault_guest: FaultGuest, browser: Browser
) -> None:
    """Killed while its answer is on the way to the hub: KubeSpawner asks for the profiles once more after that."""

    def die() -> None:
        faulty.berth.program.kill()

    faulty.hub_wire.after_answer_to(b"/api/v1/hub/spawn-options", die)
    started = start_unseen(browser, "gpu", gpus="2")
    assert started.ready, started
    assert not faulty.berth.program.is_running
    assert manifests.resources(fault_guest.pod_of("rosa"))["limits"]["nvidia.com/gpu"] == 2
    faulty.row("Berth dies between patch and start", " ".join(started.messages), "Server ready at /user/rosa/")


def test_berth_dies_while_the_pod_waits(faulty: FaultyWorld, fault_guest: FaultGuest, browser: Browser) -> None:
    taken = fault_guest.take_gpus(T4, 1)
    assert browser.submit(f"gpu-on-{T4}").status_code == 302
    fault_guest.kube.wait_until("Pod", "jupyter-rosa", lambda _: True, "is made", namespace=NAMESPACE)
    faulty.berth.program.kill()
    fault_guest.kube.delete("Pod", taken, OTHERS, grace=0)
    started = follow(browser)
    assert started.ready, started
    assert fault_guest.pod_of("rosa")["spec"]["nodeName"] == T4
    faulty.row("Berth dies while the pod waits for a GPU", " ".join(started.messages), "Server ready at /user/rosa/")
