"""Owns stale choices: everything that a form ever offered still resolves after nodes, kinds, profiles, options and
groups have changed: to a server, or to a sentence that names what is gone. By the form, by a link, by starting a
stopped server again, and by REST.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import nodes
import pytest
import requests
from browser import Browser, Outcome, SpawnForm
from faults import FaultGuest, FaultyWorld, follow, may_not_use, not_offered
from hub import Hub
from kube import Kube
from nodes import Gpu, NodeSpec
from rest import RestUser
from waiting import eventually
from witness import Site, SiteGuest
from world import Guest, until_form

A10 = Gpu("NVIDIA-A10", 23028, "ampere", (8, 6), "nvidia-a10")
H200 = Gpu("NVIDIA-H200", 143771, "hopper", (9, 0), "nvidia-h200")
GONE, OLD = NodeSpec("node-gone", nodes.H100, 4), NodeSpec("node-old", nodes.H100, 4)
SWAPPED = NodeSpec("node-swapped", nodes.A100_40, 4)
SHARED, SLICED = NodeSpec("node-shared", A10, 4), NodeSpec("node-sliced", H200, 4)
BEFORE = (GONE, OLD, SWAPPED, SHARED, SLICED)
AFTER = (
    dataclasses.replace(OLD, name="node-new"),
    dataclasses.replace(SWAPPED, gpu=dataclasses.replace(A10, product="NVIDIA-A16", kind="nvidia-a16")),
    dataclasses.replace(SHARED, replicas=4),
    dataclasses.replace(SLICED, gpu=dataclasses.replace(H200, product="NVIDIA-H200-MIG-1g.18gb"), count=28),
)
ONLY_H100 = {"counts": [1], "kinds": [nodes.H100.kind]}
AGAIN = "Choose again from the list."
USER, PROGRAM = "rosa", "ravi"
Options = dict[str, str]


@dataclass(frozen=True)
class Stale:
    """A choice, and what becomes of it: a profile that starts, or a status with a sentence."""

    name: str
    options: Options
    status: int
    said: str


def no_kind(kind: str) -> str:
    return f"No node of this cluster has a GPU of kind “{kind}”. {AGAIN}"


def no_node(slug: str) -> str:
    return f"The node of the profile “{slug}” is no longer in the cluster. Choose another profile."


CHOICES = (
    Stale("node-deleted", {"profile": "gpu-on-node-gone"}, 422, no_node("gpu-on-node-gone")),
    Stale("node-renamed", {"profile": "gpu-on-node-old"}, 422, no_node("gpu-on-node-old")),
    Stale("node-option", {"profile": "anywhere", "node": "node-gone"}, 422,
          f"The node “node-gone” is no longer in the cluster. {AGAIN}"),
    Stale("kind-replaced", {"profile": "gpu", "gpu-kind": nodes.A100_40.kind}, 422, no_kind(nodes.A100_40.kind)),
    Stale("kind-now-shared", {"profile": "gpu", "gpu-kind": A10.kind}, 422, no_kind(A10.kind)),
    Stale("kind-now-sliced", {"profile": "gpu", "gpu-kind": H200.kind}, 422, no_kind(H200.kind)),
    Stale("node-now-shared", {"profile": "gpu-on-node-shared"}, 200, "gpu-on-node-shared"),
    Stale("node-now-sliced", {"profile": "gpu-on-node-sliced"}, 200, "gpu-on-node-sliced"),
    Stale("retired", {"profile": "retired"}, 422, not_offered("retired")),
    Stale("moved", {"profile": "moved"}, 200, "gpu"),
    Stale("image-removed", {"profile": "picks", "image": "agent-dev"}, 422,
          f"The profile picks does not offer the image “agent-dev”. {AGAIN}"),
    Stale("count-removed", {"profile": "counted", "gpus": "2"}, 422,
          f"“2” is not a number of GPUs that counted offers. {AGAIN}"),
    Stale("option-removed", {"profile": "cpu", "shared-code": "no"}, 422,
          f"The profile cpu has no option “shared-code”. {AGAIN}"),
    Stale("group-withdrawn", {"profile": "fine-tuning"}, 403, may_not_use("fine-tuning")),
)  # fmt: skip


class Watched(Browser):
    """Reads every answer for what nobody should ever see."""

    def __init__(self, url: str, user: str) -> None:
        super().__init__(url, user)
        self._session.hooks["response"].append(self._look)

    @staticmethod
    def _look(answer: requests.Response, *_: Any, **__: Any) -> None:
        assert answer.status_code < 500, f"{answer.url}: {answer.status_code} {answer.text}"
        if "event-stream" not in answer.headers.get("Content-Type", ""):
            assert "Traceback" not in answer.text, answer.text


def before(catalogue: dict[str, Any]) -> None:
    def profile(slug: str, **more: Any) -> dict[str, Any]:
        return {"slug": slug, "title": slug.title(), "cpu": {"request": "100m"}, **({"image": "ml-gpu"} | more)}

    catalogue["profiles"] += [
        profile("picks", image="ml-cpu", images=["ml-cpu", "agent-dev"]),
        profile("counted", gpu={**ONLY_H100, "counts": [1, 2]}),
        profile("anywhere", title="On {node}", gpu=ONLY_H100, perNode={"maxEntries": 1}),
        profile("retired"),
        profile("moved", gpu=ONLY_H100),
    ]
    profiles = {each["slug"]: each for each in catalogue["profiles"]}
    profiles["fine-tuning"]["gpu"]["kinds"] = [nodes.L4.kind]


def after(catalogue: dict[str, Any]) -> None:
    catalogue["profiles"] = [each for each in catalogue["profiles"] if each["slug"] not in ("retired", "moved")]
    catalogue["redirects"]["moved"] = "gpu"
    profiles = {each["slug"]: each for each in catalogue["profiles"]}
    profiles["picks"]["images"] = ["ml-cpu", "fine-tuning"]
    profiles["counted"]["gpu"]["counts"] = [1]
    del profiles["cpu"]["sharedCode"]


def change_nodes(kube: Kube, guest: Guest) -> None:
    for old in BEFORE:
        nodes.delete(kube, old.name)
    for new in AFTER:
        guest.node(new)


def offered(form: SpawnForm) -> list[Options]:
    """Every profile of the form, and every option of each."""
    found: list[Options] = []
    for profile in form.profiles:
        found.append({"profile": profile.slug})
        for name, choices in profile.options.items():
            found += [{"profile": profile.slug, name: choice.value} for choice in choices]
    return found


def servers_of(hub: Hub, user: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = hub.call("GET", f"/users/{user}").json()["servers"]
    return found


def start_all(guest: Guest, hub: Hub) -> None:
    """One named server for each choice, which the hub remembers with it, and stop them again."""
    program = RestUser(hub, USER, guest.token(USER))
    for stale in CHOICES:
        assert program.start(stale.options, stale.name).status in (201, 202)
    names = {stale.name for stale in CHOICES}
    eventually(
        lambda: {name for name, server in servers_of(hub, USER).items() if server["ready"]} == names, "all run", 60
    )
    guest.stop_servers(hub, USER)


@dataclass(frozen=True)
class Later:
    """The world after the changes, and all that the form offered before."""

    guest: FaultGuest
    browser: Watched
    offered: list[Options]


@pytest.fixture(scope="module")
def later(faulty: FaultyWorld, patient: Site) -> Iterator[Later]:
    with ExitStack() as stack:
        stack.callback(faulty.mend)
        guest, hub = FaultGuest(faulty, stack), faulty.hub
        for spec in BEFORE:
            guest.node(spec)
        faulty.change_catalogue(before)
        guest.user(USER)
        browser = Watched(hub.url, USER)
        browser.log_in()
        slugs = {stale.options["profile"] for stale in CHOICES}
        form = until_form(browser, lambda form: slugs <= set(form.slugs), "all is offered", 20)
        choices = offered(form)
        assert all(stale.options in choices for stale in CHOICES), choices
        start_all(guest, hub)
        change_nodes(guest.kube, guest)
        faulty.change_catalogue(after)
        hub.call("DELETE", "/groups/research/users", json={"users": [USER]})
        until_form(browser, lambda form: "gpu-on-node-new" in form.slugs, "the new node is offered", 20)
        yield Later(guest, browser, choices)


def assert_as_said(later: Later, stale: Stale, server: str, outcome: Outcome) -> None:
    if stale.status == 200:
        assert outcome.ready, outcome
        assert later.guest.pod_of(USER, server)["metadata"]["annotations"]["berth/profile"] == stale.said
        later.browser.stop(server)
    else:
        assert (outcome.failed, outcome.status) == (True, stale.status), outcome
        assert stale.said in outcome.page, outcome.page


@pytest.mark.parametrize("stale", CHOICES, ids=lambda stale: stale.name)
def test_a_stale_choice_starts_or_says_what_became_of_it(later: Later, stale: Stale) -> None:
    browser, hub = later.browser, later.guest.world.hub
    options = {name.replace("-", "_"): value for name, value in stale.options.items()}
    form, link = f"form-{stale.name}", f"link-{stale.name}"
    assert browser.submit(options.pop("profile"), form, **options).status_code == 302
    assert_as_said(later, stale, form, follow(browser, form))

    fields = {f"profile-option-{stale.options['profile']}--{name}": value for name, value in stale.options.items()}
    del fields[f"profile-option-{stale.options['profile']}--profile"]
    browser.get(f"/hub/spawn/{USER}/{link}?{urlencode({'profile': stale.options['profile'], **fields})}")
    assert_as_said(later, stale, link, follow(browser, link))

    browser.form(stale.name)
    RestUser(hub, USER, later.guest.token(USER)).start(None, stale.name)
    assert_as_said(later, stale, stale.name, follow(browser, stale.name))


@pytest.mark.parametrize(
    ("server", "picked", "said"),
    [
        ("moved", "gpu", "Your last choice, “moved”, is now “"),
        ("retired", "cpu", "Your last choice, “retired”, is not offered any more."),
        ("group-withdrawn", "cpu", "Your last choice, “fine-tuning”, cannot be had now: you may not use it any more."),
        ("count-removed", "counted", "Your last choice for the number of GPUs, “2”, is not offered any more: only “1”"),
    ],
)
def test_the_form_of_a_stopped_server_says_what_became_of_its_last_choice(
    later: Later, server: str, picked: str, said: str
) -> None:
    form = later.browser.form(server)
    assert form.profile(picked).checked
    assert said in form.text, form.text


def test_after_all_refusals_the_same_servers_start_something_else(later: Later) -> None:
    for server in ("form-retired", "link-group-withdrawn", "node-deleted"):
        outcome = later.browser.spawn("cpu", server=server)
        assert outcome.ready, outcome


def test_everything_ever_offered_resolves_by_rest(later: Later, patient_guest: SiteGuest) -> None:
    """On a hub that waits for the spawn, so that a refusal is the answer."""
    hub = patient_guest.world.hub
    program = RestUser(hub, PROGRAM, patient_guest.token(PROGRAM))
    hub.call("DELETE", "/groups/research/users", json={"users": [PROGRAM]})
    known = {tuple(stale.options.items()): stale for stale in CHOICES}

    def resolve(numbered: tuple[int, Options]) -> None:
        number, options = numbered
        server = f"s{number}"
        answer = program.start(options, server)
        stale = known.get(tuple(options.items()))
        if answer.status in (201, 202):
            assert stale is None or stale.status == 200, (options, answer)
            eventually(lambda: servers_of(hub, PROGRAM).get(server, {}).get("ready"), f"{options} runs", 30)
            hub.call("DELETE", f"/users/{PROGRAM}/servers/{server}")
        else:
            assert 400 <= answer.status < 500, (options, answer)
            assert any(value in answer.message for value in options.values()), (options, answer)
            assert stale is None or (answer.status, answer.message) == (stale.status, stale.said), (options, answer)

    # Few at a time: a hub that stalls for a second hears no answer of Berth, and starts its fallback.
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(resolve, enumerate(later.offered)))
    assert program.start({"profile": "agent-dev"}, "s0").status in (201, 202)
