"""The spawn page in use: it stays current without losing what was picked, narrows choices, says what cannot be had,
and works with the keyboard alone and without JavaScript.
"""

from __future__ import annotations

import time
from pathlib import Path

import nodes
import pods
import pytest
from conftest import A100, L4, T4, fill
from playwright.sync_api import Page, expect
from visitor import Form, Visitor
from world import Guest, World

A100_KIND, L4_KIND, T4_KIND = nodes.A100_80.kind, nodes.L4.kind, "tesla-t4.shared-4"


@pytest.fixture
def form(visitor: Visitor) -> Form:
    return visitor.open_form("ada")


def test_a_gpu_that_is_taken_changes_the_open_page_within_two_seconds(world: World, guest: Guest, form: Form) -> None:
    gpu = form.card("gpu")
    gpu.radio.check()
    gpu.option("gpu-kind").select_option(L4_KIND)
    gpu.option("gpus").select_option("2")
    expect(gpu.free).to_have_text("2 of 2 GPUs free")
    form.page.evaluate("window.still_here = true")

    guest.take_gpus(L4, 1)
    taken = time.monotonic()
    expect(gpu.free).to_have_text("1 of 2 GPUs free", timeout=2000)
    world.timings.add("GPU taken to open page changed", time.monotonic() - taken)
    expect(gpu.state).to_have_text("Busy now")
    expect(gpu.choice("gpus", "2")).to_have_text("2 GPUs, in use now")
    expect(form.card("gpu-on-" + L4).free).to_have_text("1 of 2 GPUs free")

    assert form.page.evaluate("window.still_here"), "the page was loaded again"
    assert form.picked() == "gpu"
    assert (gpu.option("gpu-kind").input_value(), gpu.option("gpus").input_value()) == (L4_KIND, "2")
    expect(form.news).to_contain_text("Busy now")


def test_numbers_alone_are_not_announced(guest: Guest, form: Form) -> None:
    form.card("gpu").radio.check()
    guest.take_gpus(A100, 1)
    expect(form.card("gpu").free).to_have_text("9 of 10 GPUs free")
    expect(form.news).to_be_empty()


def test_a_kind_narrows_counts_and_nodes(form: Form) -> None:
    pick = form.card("pick")
    pick.radio.check()
    pick.option("node").select_option(A100)
    pick.option("gpu-kind").select_option(T4_KIND)
    expect(pick.choice("gpus", "2")).to_be_disabled()
    expect(pick.choice("gpus", "2")).to_contain_text("one server gets one share of a card at most")
    expect(pick.choice("node", T4)).to_be_enabled()
    for other in (A100, L4):
        expect(pick.choice("node", other)).to_be_disabled()
    assert pick.option("node").input_value() == T4, "the only one that has it"
    expect(form.news).to_contain_text(f"“{A100}” cannot be had here")
    expect(pick.free).to_have_text("4 of 4 GPUs free")
    pick.option("gpu-kind").select_option("any")
    expect(pick.choice("gpus", "2")).to_be_enabled()
    expect(pick.choice("node", A100)).to_be_enabled()


def test_a_node_that_cannot_give_so_many_is_said(form: Form, guest: Guest) -> None:
    pick = form.card("pick")
    pick.radio.check()
    pick.option("node").select_option(L4)
    pick.option("gpus").select_option("2")
    expect(pick.state).to_have_text("Free now")
    guest.take_gpus(L4, 1)
    expect(pick.state).to_have_text("Busy now")
    expect(pick.reasons).to_contain_text("only 1 of its GPUs free")


def test_full_waits_is_refused_or_is_impossible(guest: Guest, form: Form) -> None:
    fill(guest)
    gpu, refuses, huge = form.card("gpu"), form.card("fine-tuning"), form.card("huge")
    expect(gpu.state).to_have_text("Busy now")
    expect(gpu.wait).to_have_text(
        "Your server will wait until there is room, for up to 20 minutes. "
        "1 such GPU is asked for already, by servers and jobs that wait anywhere in the cluster."
    )
    gpu.radio.check()
    expect(refuses.radio).to_be_disabled()
    expect(refuses.wait).to_have_text("This profile does not wait: it can be picked when something is free.")
    expect(refuses.reasons).to_have_text("all of them are in use")
    expect(huge.radio).to_be_disabled()
    expect(huge.state).to_have_text("Not possible here")
    expect(huge.reasons).to_have_text("no node has 8 GPUs that this profile allows for one server")
    expect(form.card("gpu-on-" + L4).wait).to_contain_text("for up to 90 seconds")


def test_a_pick_that_does_not_wait_stays_while_it_is_full(guest: Guest, form: Form) -> None:
    form.card("fine-tuning").radio.check()
    fill(guest)
    expect(form.card("fine-tuning").state).to_have_text("Busy now")
    assert form.picked() == "fine-tuning"
    expect(form.card("fine-tuning").radio).to_be_enabled()
    expect(form.news).to_contain_text("Fine-tuning (Unsloth + QLoRA): Busy now")


def test_a_pick_that_becomes_impossible_is_said_with_what_is_proposed(guest: Guest, visitor: Visitor) -> None:
    guest.node(nodes.NodeSpec("gpu-brief", nodes.L4, 1))
    visitor.world.plane.kube.wait_until("Node", "gpu-brief", nodes.is_schedulable, "can take pods")
    form = visitor.open_form("ada")
    brief = form.card("gpu-on-gpu-brief")
    brief.radio.check()
    brief.radio.focus()
    nodes.delete(guest.kube, "gpu-brief")
    expect(form.news).to_have_text(
        "“💻 GPU on gpu-brief” cannot be had now: it is not offered now. "
        "“📚 Standard Environment (CPU)” is selected instead."
    )
    assert form.picked() == "cpu"
    expect(brief.radio).to_be_disabled()
    expect(brief.state).to_have_text("Not offered now")
    expect(brief.whole).not_to_contain_text("free")
    expect(brief.whole.locator(".berth-kinds")).to_be_hidden()
    expect(brief.wait).to_have_text("")
    expect(form.card("cpu").radio).to_be_focused()


def test_a_picked_node_that_is_out_of_use_for_a_moment_stays_picked(form: Form, guest: Guest) -> None:
    pick = form.card("pick")
    pick.radio.check()
    pick.option("node").select_option(L4)
    guest.undo(nodes.uncordon, guest.kube, L4)
    nodes.cordon(guest.kube, L4)
    expect(pick.state).to_have_text("Starting up")
    expect(pick.reasons).to_have_text("the node is cordoned")
    assert (form.picked(), pick.option("node").input_value()) == ("pick", L4)
    nodes.uncordon(guest.kube, L4)
    expect(pick.state).to_have_text("Free now")
    assert pick.option("node").input_value() == L4


def test_a_picked_card_that_comes_back_is_picked_again(form: Form, guest: Guest) -> None:
    card = form.card("gpu-on-" + L4)
    card.radio.check()
    guest.undo(nodes.uncordon, guest.kube, L4)
    nodes.cordon(guest.kube, L4)
    expect(form.news).to_contain_text(f"“💻 GPU on {L4}” cannot be had now")
    assert form.picked() == "cpu"
    nodes.uncordon(guest.kube, L4)
    expect(form.news).to_have_text(f"“💻 GPU on {L4}” can be had again and is selected.")
    assert form.picked() == card.slug
    expect(card.state).to_have_text("Free now")
    expect(card.whole.locator(".berth-kinds")).to_be_visible()


def test_who_has_gone_on_with_something_else_is_left_alone(form: Form, guest: Guest) -> None:
    card = form.card("gpu-on-" + L4)
    card.radio.check()
    guest.undo(nodes.uncordon, guest.kube, L4)
    nodes.cordon(guest.kube, L4)
    expect(card.state).to_have_text("Not offered now")
    form.card("gpu").radio.check()
    nodes.uncordon(guest.kube, L4)
    expect(card.state).to_have_text("Free now")
    assert form.picked() == "gpu"


def test_what_was_lost_is_still_said_while_the_rest_is_full(guest: Guest, visitor: Visitor) -> None:
    guest.node(nodes.NodeSpec("gpu-brief", nodes.A100_40, 2))
    for node, count in ((A100, 4), (L4, 2), (T4, 4)):
        guest.take_gpus(node, count)
    form = visitor.open_form("ada")
    gpu = form.card("gpu")
    gpu.radio.check()
    gpu.option("gpu-kind").select_option(nodes.A100_40.kind)
    expect(gpu.state).to_have_text("Free now")
    nodes.delete(guest.kube, "gpu-brief")
    expect(gpu.state).to_have_text("Busy now")
    form.wait_refreshed(2)
    expect(form.news).to_contain_text(
        f"“{nodes.A100_40.kind}” cannot be had here: not offered now. Selected instead: Any"
    )
    assert gpu.option("gpu-kind").input_value() == "any"


def test_new_choices_are_told_and_not_forced_on_anyone(guest: Guest, form: Form) -> None:
    form.card("gpu").radio.check()
    guest.node(nodes.NodeSpec("gpu-new", nodes.A100_40, 2))
    expect(form.page.locator("#berth-more")).to_be_visible()
    gpu = form.card("gpu")
    expect(gpu.choice("gpu-kind", nodes.A100_40.kind)).to_have_text("NVIDIA A100 40 GB, 2 of 2 free")
    expect(gpu.whole.locator(f"[data-kind='{nodes.A100_40.kind}'] .berth-kind-free")).to_have_text("2 of 2 free")
    form.page.click("#berth-more a")
    expect(form.card("gpu-on-gpu-new").radio).to_be_enabled()


def test_the_saved_choice_is_selected_and_a_lost_one_is_explained(
    guest: Guest, visitor: Visitor, pictures: Path
) -> None:
    guest.node(nodes.NodeSpec("gpu-brief", nodes.L4, 1))
    page = visitor.log_in("ada")
    start(visitor.open_form("ada", page=page), "gpu-on-gpu-brief")
    stop(page)
    assert visitor.open_form("ada", page=page).picked() == "gpu-on-gpu-brief"
    nodes.delete(guest.kube, "gpu-brief")
    form = Form(page)
    form.wait_refreshed(2)
    form = visitor.open_form("ada", page=page)
    expect(page.locator("#berth-saved")).to_have_text(
        "Your last choice, “gpu-on-gpu-brief”, is not offered any more. "
        "“📚 Standard Environment (CPU)” is selected instead."
    )
    assert form.picked() == "cpu"
    page.screenshot(path=pictures / "saved-choice-gone.png", full_page=True)


def test_a_saved_kind_that_is_gone_is_explained_until_another_is_chosen(guest: Guest, visitor: Visitor) -> None:
    guest.node(nodes.NodeSpec("gpu-brief", nodes.A100_40, 2))
    page = visitor.log_in("ada")
    gpu = visitor.open_form("ada", page=page).card("gpu")
    gpu.radio.check()
    gpu.option("gpu-kind").select_option(nodes.A100_40.kind)
    start(Form(page), "gpu")
    stop(page)
    form = visitor.open_form("ada", page=page)
    assert form.card("gpu").option("gpu-kind").input_value() == nodes.A100_40.kind
    nodes.delete(guest.kube, "gpu-brief")
    form.wait_refreshed(2)
    gpu = visitor.open_form("ada", page=page).card("gpu")
    lost = gpu.whole.locator(".berth-lost")
    sentence = f"Your last choice here, “{nodes.A100_40.kind}”, is not offered any more. The default is selected."
    expect(lost).to_have_text(sentence)
    assert (form.picked(), gpu.option("gpu-kind").input_value()) == ("gpu", "any")
    gpu.option("gpu-kind").select_option(L4_KIND)
    expect(lost).to_have_count(0)


def start(form: Form, slug: str) -> None:
    form.card(slug).radio.check()
    form.page.get_by_role("button", name="Start").click()
    form.page.wait_for_url("**/user/ada/**")


def stop(page: Page) -> None:
    page.goto("/hub/home")
    page.click("#stop")
    expect(page.locator("#start")).to_have_text("Start My Server", timeout=20000)


def test_the_keyboard_is_enough(guest: Guest, form: Form) -> None:
    page = form.page
    form.card("cpu").radio.focus()
    page.keyboard.press("ArrowDown")
    assert form.picked() == "gpu"
    page.keyboard.press("Tab")
    expect(form.card("gpu").option("gpu-kind")).to_be_focused()
    page.keyboard.type("NVIDIA L4")
    page.keyboard.press("Tab")
    expect(form.card("gpu").option("gpus")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="the board")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Start")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/user/ada/**")
    pod = guest.pod_of("ada")
    assert pod["spec"]["nodeName"] == L4
    assert pod["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "2"


def test_without_javascript_it_is_a_plain_form(guest: Guest, visitor: Visitor) -> None:
    form = visitor.open_form("ada", java_script_enabled=False)
    gpu = form.card("gpu")
    expect(gpu.free).to_have_text("10 of 10 GPUs free")
    expect(form.card("huge").radio).to_be_disabled()
    gpu.radio.check()
    gpu.option("gpu-kind").select_option(A100_KIND)
    gpu.option("gpus").select_option("4")
    form.page.get_by_role("button", name="Start").click()
    form.page.wait_for_url("**/hub/spawn-pending/ada**")
    started = guest.kube.wait_until("Pod", "jupyter-ada", pods.is_running, "runs", namespace="jupyterhub")
    assert started["spec"]["nodeName"] == A100
    assert started["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "4"


def test_a_click_anywhere_in_a_card_picks_it(form: Form) -> None:
    form.card("gpu-on-" + T4).whole.locator(".berth-image").click()
    assert form.picked() == "gpu-on-" + T4
    form.card("huge").whole.locator(".berth-image").click()
    assert form.picked() == "gpu-on-" + T4, "what is impossible cannot be picked"
