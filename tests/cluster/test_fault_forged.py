"""Owns what nobody's form sends: options made up by a program with a user's token, and names that are text for one
program and code for the next. Each ends in a sentence with a 4xx or in a correct pod.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import manifests
import nodes
import pods
import pytest
import yaml
from berth import CHECKOUT
from browser import message_of
from bs4 import BeautifulSoup
from faults import FaultGuest, FaultyWorld, follow, may_not_use, not_offered, start_unseen
from hub import NAMESPACE
from kube import Json
from nodes import Gpu, NodeSpec
from rest import RestUser
from witness import SiteGuest
from world import Guest, until_form

MALFORMED = "The spawn options are not a map of words."


def nested(depth: int) -> bytes:
    return b'{"profile": "gpu", "gpus": ' + b"[" * depth + b"]" * depth + b"}"


@dataclass(frozen=True)
class Forged:
    name: str
    options: Any
    status: int
    sentence: str


FORGED = (
    Forged("another group's profile", {"profile": "fine-tuning"}, 403,
           may_not_use("fine-tuning")),
    Forged("an unknown profile", {"profile": "no-such"}, 422,
           not_offered("no-such")),
    Forged("HTML as profile", {"profile": "<script>alert(1)</script>"}, 422,
           not_offered("<script>alert(1)</script>")),
    Forged("braces as profile", {"profile": "{userid.__class__}"}, 422,
           not_offered("{userid.__class__}")),
    Forged("half a character as profile", b'{"profile": "\\ud800"}', 400, MALFORMED),
    Forged("a list as profile", {"profile": ["cpu"]}, 400, "The option profile is not a word."),
    Forged("a number as profile", {"profile": 7}, 400, "The option profile is not a word."),
    Forged("a number of GPUs", {"profile": "gpu", "gpus": 2}, 400, "The option “gpus” is not a word."),
    Forged("nesting", {"profile": "gpu", "gpus": {"a": [{"b": []}]}}, 400, "The option “gpus” is not a word."),
    Forged("nesting, 200 deep", nested(200), 400, MALFORMED),
    Forged("nesting, 800 deep", nested(800), 400, MALFORMED),
    Forged("more GPUs than there are", {"profile": "gpu", "gpus": "99999999999999999999"}, 422,
           "“99999999999999999999” is not a number of GPUs that gpu offers. Choose again from the list."),
    Forged("less than none", {"profile": "gpu", "gpus": "-1"}, 422,
           "“-1” is not a number of GPUs that gpu offers. Choose again from the list."),
    Forged("an image of one's own", {"profile": "cpu", "image": "evil:latest"}, 422,
           "The profile cpu does not offer the image “evil:latest”. Choose again from the list."),
    Forged("a setting of the pod", {"profile": "cpu", "extra_resource_limits": '{"nvidia.com/gpu": "8"}'}, 422,
           "The profile cpu has no option “extra_resource_limits”. Choose again from the list."),
    Forged("10 MB of junk", {"profile": "cpu", "junk": "x" * 10_000_000}, 413, "These server options are too large."),
    Forged("10 MB of keys", {f"k{n}": "x" * 90 for n in range(100_000)}, 413, "These server options are too large."),
)  # fmt: skip
NAMES = (
    "<img src=x onerror=alert(1)>",
    "o\"neil's & co",
    "{userid.__class__}",
    "{",
    "ünïcödé-名前-🚀",
    "m" * 63,
    "n" * 200,
)


def own_pods(guest: Guest, user: str) -> list[Json]:
    found = guest.kube.list_of("Pod", NAMESPACE)
    return [pod for pod in found if pod["metadata"]["annotations"].get("hub.jupyter.org/username") == user]


@pytest.mark.parametrize("forged", FORGED, ids=lambda forged: forged.name)
def test_forged_options_by_rest(forged: Forged, list_guest: SiteGuest) -> None:
    """On a hub that waits 10 s, so the answer to the request itself tells what became of it."""
    program = RestUser(list_guest.world.hub, "sam", list_guest.token("sam"))
    answer = program.start(forged.options)
    assert answer.status == forged.status, answer
    list_guest.site.row(f"forged by REST: {forged.name}", answer.message, forged.sentence or answer.message)
    for leak in ("Traceback", "Error(", "No such profile"):
        assert leak not in answer.message, answer.message
    assert own_pods(list_guest, "sam") == []


@pytest.mark.parametrize(
    "options",
    [nested(200), nested(800), {"profile": ["cpu"]}, {"profile": {}}],
    ids=["200-deep", "800-deep", "a-list", "a-map"],
)
def test_forged_options_while_berth_is_away(options: Any, faulty: FaultyWorld, fault_guest: FaultGuest) -> None:
    """No fallback for what nobody could have chosen, and no error of the hub's own."""
    fault_guest.assert_live(fault_guest.browser("rosa"))
    faulty.hub_wire.refuse()
    browser = fault_guest.browser("sam")
    program = RestUser(faulty.hub, "sam", fault_guest.token("sam"))
    assert program.start(options).status in (202, 400), "the hub's slow_spawn_timeout is 0"
    outcome = follow(browser)
    assert outcome.failed
    assert 400 <= outcome.status < 500 or outcome.status == 503, outcome
    assert outcome.page, outcome
    assert own_pods(fault_guest, "sam") == []


@pytest.mark.parametrize("options", [["gpu"], "gpu", 7], ids=str)
def test_options_that_are_no_map_fail_in_the_hub_as_without_berth(options: Any, list_guest: SiteGuest) -> None:
    """JupyterHub refuses them itself, before it asks anybody, and leaves the user's server for an administrator to
    remove. Berth makes it neither better nor worse."""
    hubs = {"with": list_guest.world.hub, "without": list_guest.world.stock}
    answers = {}
    for name, hub in hubs.items():
        user = f"no-map-{type(options).__name__}"
        hub.call("POST", f"/users/{user}")
        answers[name] = RestUser(hub, user, hub.token_of(user)).start(options)
        assert own_pods(list_guest, user) == []
    assert answers["with"].status == answers["without"].status
    assert answers["with"].message == answers["without"].message
    assert list_guest.spawn("rosa", "cpu")


@pytest.mark.parametrize("options", [{}, {"profile": None}, {"profile": ""}], ids=str)
def test_no_choice_is_the_default_profile(options: Any, list_guest: SiteGuest) -> None:
    program = RestUser(list_guest.world.hub, "sam", list_guest.token("sam"))
    assert program.start(options).status in (201, 202)
    pod = list_guest.kube.wait_until("Pod", "jupyter-sam", pods.is_running, "runs", namespace=NAMESPACE)
    assert manifests.resource_names(pod) == {"cpu", "memory"}
    assert pod["metadata"]["annotations"]["berth/profile"] == "cpu"


def test_forged_options_are_text_on_the_pending_page(guest: Guest) -> None:
    """With slow_spawn_timeout 0 the page tells it, and must tell it as text."""
    browser = guest.browser("sam")
    program = RestUser(guest.world.hub, "sam", guest.token("sam"))
    program.start({"profile": "<b id=injected>bold</b>"})
    outcome = follow(browser)
    assert outcome.status == 422, outcome
    assert "“<b id=injected>bold</b>”" in outcome.page
    page = browser.get("/hub/spawn-pending/sam")
    assert BeautifulSoup(page.content, "lxml").find(id="injected") is None
    form = browser.form_page()
    assert BeautifulSoup(form.content, "lxml").find(id="injected") is None, "the last choice is told on the form"


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name[:24])
def test_a_user_of_any_name_gets_a_correct_pod(name: str, faulty: FaultyWorld, fault_guest: FaultGuest) -> None:
    browser = fault_guest.browser(name)
    form = browser.form_page()
    assert form.status_code == 200
    assert_nothing_injected(form.content)
    outcome = browser.spawn("cpu")
    assert outcome.ready, outcome
    pod = fault_guest.pod_of(name)
    assert manifests.resource_names(pod) == {"cpu", "memory"}
    folder = manifests.mounts(pod)["/home/jovyan/notebooks"]["subPath"]
    assert folder
    assert "/" not in folder
    assert ".." not in folder
    assert manifests.environment(pod)["JUPYTERHUB_USER"] == name
    faulty.row(f"a user called {name[:24]!r}", " ".join(outcome.messages), "Server ready at /user/")


def test_a_server_of_any_name(guest: Guest) -> None:
    server = "{x} <b>&\"'ü"
    outcome = guest.browser("rosa").spawn("cpu", server=server)
    assert outcome.ready, outcome
    assert manifests.resource_names(guest.pod_of("rosa", server)) == {"cpu", "memory"}


def test_a_name_in_a_refusal_is_text(faulty: FaultyWorld, fault_guest: FaultGuest) -> None:
    catalogue = yaml.safe_load(faulty.catalogue.read_text())
    for profile in catalogue["profiles"]:
        profile["access"] = {"groups": ["research"]}
    faulty.write_catalogue(catalogue)
    name = "<img src=x onerror=alert(1)>"
    page = fault_guest.browser(name).form_page()
    assert page.status_code == 403
    assert_nothing_injected(page.content)
    faulty.row("no profile for a user with HTML in his name", message_of(page.content),
               f"There is no profile that {name} may use. Ask the administrator of this hub for access.")  # fmt: skip


def test_groups_of_any_name(guest: Guest) -> None:
    guest.user("tariq")
    hub = guest.world.hub
    for group in ("<script>alert(1)</script>", "{research}", "research, admin", "ü" * 100):
        path = f"/groups/{quote(group, safe='')}"
        hub.call("POST", path)
        hub.call("POST", f"{path}/users", json={"users": ["tariq"]})
        form = guest.browser("tariq").form()
        hub.call("DELETE", path)
        assert "gpu" in form.slugs
        assert "fine-tuning" not in form.slugs, "not of the group research"


@pytest.mark.parametrize(
    "spec",
    [
        NodeSpec("n" * 63, Gpu("X" * 63, 81920, "hopper", (9, 0), "x" * 63), 1),
        NodeSpec(".".join(["gpu-0", "rack-1", "z" * 20, "example.org"]), nodes.H100, 1),
        NodeSpec("node-odd-product", Gpu("A_b.c--D", 81920, "hopper", (9, 0), "a-b-c-d"), 1),
    ],
    ids=["63-characters", "dots", "odd-product"],
)  # fmt: skip
def test_a_node_of_any_name_and_product(spec: NodeSpec, guest: Guest) -> None:
    guest.node(spec)
    browser = guest.browser("rosa")
    form = until_form(browser, lambda form: any(spec.name in each.text for each in form.profiles), "it is offered")
    slug = next(each.slug for each in form.profiles if spec.name in each.text)
    assert "--" not in slug
    assert guest.spawn("rosa", slug)["spec"]["nodeName"] == spec.name
    browser.stop()
    kinds = [each.value for each in browser.form().profile("gpu").options["gpu-kind"]]
    kind = next(each for each in kinds if each not in {"any", nodes.A100_80.kind, nodes.L4.kind, nodes.T4.kind})
    assert guest.spawn("rosa", "gpu", gpu_kind=kind)["spec"]["nodeName"] == spec.name


def test_a_catalogue_with_html_and_braces_in_its_words(faulty: FaultyWorld, fault_guest: FaultGuest) -> None:
    catalogue = yaml.safe_load(faulty.catalogue.read_text())
    title = '<img src=x onerror=alert(1)> {username} & "co"'
    catalogue["profiles"][0] |= {"title": title, "description": "<script>alert(2)</script> {{ 7*7 }}"}
    faulty.write_catalogue(catalogue)
    browser = fault_guest.browser("rosa")
    page = browser.form_page()
    assert_nothing_injected(page.content)
    shown = browser.form().profile("cpu").text
    faulty.row("HTML in a profile's title: the form", shown, title)
    assert "{{ 7*7 }}" in shown
    assert start_unseen(browser, "cpu").ready
    assert json.dumps(title)[1:-1] not in json.dumps(fault_guest.pod_of("rosa")["metadata"]["labels"])


FORM = (CHECKOUT / "hub-config" / "templates" / "form.html").read_text()


def assert_nothing_injected(html: bytes) -> None:
    page = BeautifulSoup(html, "lxml")
    assert not page.select("[onerror]")
    for script in (each for form in page.find_all("form") for each in form.find_all("script")):
        if script.get("type") == "application/json":
            assert "<" not in script.text
        else:
            assert script.text in FORM
