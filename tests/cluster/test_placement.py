"""Owns where pods land: on the node or the kind that was chosen and no other, and on what's really left when several
want the last ones.
"""

from __future__ import annotations

import manifests
import nodes
import pods
import pytest
from hub import NAMESPACE
from kube import Json
from nodes import NodeSpec
from waiting import eventually
from world import A100, GPU_TAINT, L4, T4, Guest, counts, kind_text, until_form

SECOND_A100 = NodeSpec("node-a100-2", nodes.A100_80, 2, taints=(GPU_TAINT,))


def pinned_to(pod: Json) -> set[str]:
    """The nodes named by the required terms' field selectors."""
    return {
        name
        for term in manifests.required_terms(pod)
        for field in term.get("matchFields", [])
        if field["key"] == "metadata.name" and field["operator"] == "In"
        for name in field["values"]
    }


@pytest.mark.parametrize("node", [A100, L4, T4])
def test_gpu_on_a_node_lands_there_and_can_land_nowhere_else(guest: Guest, node: str) -> None:
    guest.node(SECOND_A100)
    pod = guest.spawn("rosa", f"gpu-on-{node}")
    assert pod["spec"]["nodeName"] == node
    assert pinned_to(pod) == {node}
    assert manifests.nodes_allowed(pod, guest.kube.list_of("Node")) == {node}


def test_a_full_node_keeps_its_pod_waiting_rather_than_sending_it_elsewhere(guest: Guest) -> None:
    guest.take_gpus(L4, 2)
    browser = guest.browser("rosa")
    until_form(browser, lambda form: counts(form.profile(f"gpu-on-{L4}")) == (0, 2), "the node is shown as full")
    answer = browser.submit(f"gpu-on-{L4}")
    assert answer.status_code == 302
    waiting = guest.kube.wait_until(
        "Pod", "jupyter-rosa", lambda pod: pods.refuse_reason(pod) is not None, "is refused", namespace=NAMESPACE,
    )  # fmt: skip
    assert "nodeName" not in waiting["spec"]
    assert manifests.nodes_allowed(waiting, guest.kube.list_of("Node")) == {L4}


@pytest.mark.parametrize(
    ("gpu", "node"), [(nodes.A100_80, A100), (nodes.L4, L4), (nodes.T4, T4)], ids=["a100", "l4", "t4"]
)
def test_auto_select_lands_on_a_node_of_the_kind_chosen(guest: Guest, gpu: nodes.Gpu, node: str) -> None:
    pod = guest.spawn("rosa", "gpu", gpu_kind=gpu.kind)
    assert pod["spec"]["nodeName"] == node
    assert manifests.nodes_allowed(pod, guest.kube.list_of("Node")) == {node}


def test_a_kind_on_two_nodes_may_land_on_both(guest: Guest) -> None:
    guest.node(SECOND_A100)
    browser = guest.browser("rosa")
    until_form(browser, lambda form: "4 of 4 free" in kind_text(form, nodes.A100_80), "the new node is counted")
    pod = guest.spawn("rosa", "gpu", gpu_kind=nodes.A100_80.kind)
    assert manifests.nodes_allowed(pod, guest.kube.list_of("Node")) == {A100, SECOND_A100.name}
    assert pod["spec"]["nodeName"] in {A100, SECOND_A100.name}


def test_two_gpus_are_two_of_one_node(guest: Guest) -> None:
    guest.take_gpus(L4, 1)
    pod = guest.spawn("rosa", "gpu", gpus="2")
    assert manifests.resources(pod)["limits"]["nvidia.com/gpu"] == 2
    assert pod["spec"]["nodeName"] == A100


def test_any_kind_prefers_what_is_free_now_and_requires_nothing(guest: Guest) -> None:
    guest.take_gpus(A100, 2)
    guest.take_gpus(T4, 1)
    browser = guest.browser("rosa")
    until_form(browser, lambda form: counts(form.profile("gpu")) == (2, 5), "two are left")
    pod = guest.spawn("rosa", "gpu", gpu_kind="any")
    assert manifests.required_terms(pod) == []
    added = [each for each in manifests.preferred_terms(pod) if "matchFields" in each["preference"]]
    assert [each["weight"] for each in added] == [100]
    assert added[0]["preference"]["matchFields"][0]["values"] == [L4]
    assert pod["spec"]["nodeName"] == L4


def test_two_users_take_the_last_two_and_a_third_is_told_before_he_tries(guest: Guest) -> None:
    guest.take_gpus(L4, 2)
    guest.take_gpus(T4, 1)
    third = guest.browser("tariq")
    until_form(third, lambda form: counts(form.profile("gpu")) == (2, 5), "two are left")
    first_pod = guest.spawn("rosa", "gpu")
    second_pod = guest.spawn("ravi", "gpu")
    assert first_pod["spec"]["nodeName"] == second_pod["spec"]["nodeName"] == A100
    form = until_form(third, lambda form: counts(form.profile("gpu")) == (0, 5), "none is left")
    assert counts(form.profile(f"gpu-on-{A100}")) == (0, 2)
    assert "Busy now" in form.profile("gpu").text
    assert "0 of 2 free" in kind_text(form, nodes.A100_80)
    assert "0 of 2 free" in kind_text(form, nodes.L4)
    assert "0 of 1 free" in kind_text(form, nodes.T4)
    listed = guest.world.berth.profile_list("tariq").json()["profiles"]
    busy = {
        each["slug"]: (each["berth"]["availability"], each["berth"]["free"]) for each in listed if each["slug"] == "gpu"
    }
    assert busy == {"gpu": ("busy", 0)}


def test_a_gpu_given_back_is_offered_again(guest: Guest) -> None:
    browser = guest.browser("rosa")
    guest.spawn("rosa", f"gpu-on-{T4}")
    other = guest.browser("tariq")
    until_form(other, lambda form: counts(form.profile(f"gpu-on-{T4}")) == (0, 1), "the card is taken")
    browser.stop()
    until_form(other, lambda form: counts(form.profile(f"gpu-on-{T4}")) == (1, 1), "the card is back")
    eventually(lambda: guest.kube.find("Pod", "jupyter-rosa", NAMESPACE) is None, "the pod is gone")
