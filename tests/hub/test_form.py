"""The spawn form as KubeSpawner renders it, with our template and with the stock one."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from bs4 import BeautifulSoup
from conftest import CPU, GPU, Hub, notebook, start

EVIL = "<script>alert(1)</script>\"'&{{ 7*7 }}"
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;{{ 7*7 }}"
STOCK = {"template_dir": "/nowhere"}


async def form(hub: Hub, options: Any = None, **configured: Any) -> BeautifulSoup:
    if "profile_list" not in hub.config.KubeSpawner:
        hub.configure(**configured)
    return BeautifulSoup(await hub.spawner(options).get_options_form(), "html.parser")


def checked(page: BeautifulSoup) -> list[str]:
    return [radio["value"] for radio in page.select("input[type=radio][checked]")]


def text(page: BeautifulSoup) -> str:
    """What is shown: no scripts and styles, nothing hidden."""
    page = BeautifulSoup(str(page), "html.parser")
    for unseen in page.select("script, style, template, [hidden]"):
        unseen.decompose()
    return " ".join(page.get_text(" ").split())


def foreign_scripts(page: BeautifulSoup) -> list[str]:
    """All that would run beside the form's own script. The data's one is only read, and is JSON without any markup."""
    for data in page.select("script[type='application/json']"):
        assert "<" not in data.text
        assert isinstance(json.loads(data.text), dict)
        data.decompose()
    return [script.text for script in page.select("script") if "alert(1)" in script.text]


async def test_a_profile_shows_what_is_free_and_why(hub: Hub) -> None:
    page = await form(hub)
    cpu, gpu = page.select(".berth-profile")
    assert "General work" in text(cpu)
    assert "Free now" in text(cpu)
    assert "GPUs free" not in text(cpu)
    assert "A card of your own" in text(gpu)
    assert "Busy now 3 of 8 GPUs free" in text(gpu)
    assert "all cards of node gpu-a are taken" in text(gpu)
    assert "2 GPUs, in use now" in text(gpu)
    assert not page.select(".alert:not([hidden]):not(:empty)"), "nothing to say"


async def test_field_names_are_the_stock_forms(hub: Hub) -> None:
    ours, stock = await form(hub), BeautifulSoup("", "html.parser")
    other = Hub(hub.berth, hub.fallback_file.parent)
    stock = await form(other, **STOCK)
    assert "kubespawner-profiles-list" in str(stock)

    def fields(page: BeautifulSoup) -> set[tuple[str, ...]]:
        radios = {(radio["name"], radio["value"]) for radio in page.select("input[type=radio]")}
        return radios | {(s["name"], *(o["value"] for o in s.select("option"))) for s in page.select("select")}

    assert fields(ours) == fields(stock)
    assert ("profile-option-gpu--gpus", "1", "2") in fields(ours)


async def test_what_the_form_sends_becomes_the_options_berth_gets(hub: Hub) -> None:
    page = await form(hub)
    sent = {select["name"]: [select.select("option")[1]["value"]] for select in page.select("select")}
    spawner = hub.spawner()
    spawner.user_options = spawner.options_from_form({"profile": ["gpu"], **sent})
    assert notebook(await start(spawner))["image"] == "gpu:1"
    assert hub.berth.questions("spawn-options")[0]["options"] == {"profile": "gpu", "gpus": "2"}


async def test_every_control_has_its_label(hub: Hub) -> None:
    page = await form(hub)
    controls = page.select("input, select")
    ids = [control["id"] for control in controls]
    assert len(controls) == 3
    assert sorted(ids) == sorted(set(ids)) == sorted(label["for"] for label in page.select("label"))
    assert page.select_one("fieldset > legend")
    for radio in page.select("input"):
        assert all(page.find(id=part) for part in radio["aria-describedby"].split())


async def test_a_card_is_described_by_its_state_alone(hub: Hub) -> None:
    hub.berth.offers["profiles"][1]["berth"].update(waits=False, kinds=[{"id": "t4", "name": "Tesla T4"}])
    radio = (await form(hub)).select_one("input[value=gpu]")
    assert radio
    assert radio["aria-describedby"] == "profile-item-gpu-state profile-item-gpu-reasons profile-item-gpu-wait"


@pytest.mark.parametrize("options", [None, {}, {"profile": ""}])
async def test_without_a_saved_choice_the_default_is_checked(hub: Hub, options: Any) -> None:
    page = await form(hub, options)
    assert checked(page) == ["cpu"]
    assert [option["value"] for option in page.select("option[selected]")] == ["1"]


async def test_the_saved_choice_is_selected(hub: Hub) -> None:
    page = await form(hub, {"profile": "gpu", "gpus": "2"})
    assert checked(page) == ["gpu"]
    assert [option["value"] for option in page.select("option[selected]")] == ["2"]
    assert "last choice" not in text(page)


@pytest.mark.parametrize("slug", ["gone", EVIL, ["gpu"], {"a": 1}, 7])
async def test_a_saved_profile_that_is_gone_is_said_and_the_default_checked(hub: Hub, slug: Any) -> None:
    page = await form(hub, {"profile": slug, "gpus": "2"})
    assert checked(page) == ["cpu"]
    assert "is not offered any more. “Standard (CPU)” is selected instead." in text(page)
    assert not foreign_scripts(page)


@pytest.mark.parametrize("count", ["16", EVIL, ["1"], {"a": 1}, 2])
async def test_a_saved_option_that_is_gone_is_said_and_its_default_selected(hub: Hub, count: Any) -> None:
    page = await form(hub, {"profile": "gpu", "gpus": count})
    assert checked(page) == ["gpu"]
    assert [option["value"] for option in page.select("option[selected]")] == ["1"]
    assert "Your last choice here" in text(page)
    assert not foreign_scripts(page)


def closed(hub: Hub, availability: str = "never") -> None:
    """The GPU profile cannot be picked, and would not wait."""
    hub.berth.offers["profiles"][1]["berth"].update(availability=availability, pickable=False, waits=False)


@pytest.mark.parametrize("availability", ["never", "busy"])
async def test_what_cannot_be_had_is_disabled_with_the_reason(hub: Hub, availability: str) -> None:
    closed(hub, availability)
    page = await form(hub)
    cpu, gpu = page.select("input[type=radio]")
    assert not cpu.has_attr("disabled")
    assert gpu.has_attr("disabled")
    assert gpu["aria-describedby"].split()[1] == "profile-item-gpu-reasons"
    assert "all cards of node gpu-a are taken" in text(page.find(id="profile-item-gpu-reasons"))


async def test_a_saved_profile_that_cannot_be_had_is_said_and_another_one_checked(hub: Hub) -> None:
    closed(hub)
    page = await form(hub, {"profile": "gpu", "gpus": "2"})
    assert checked(page) == ["cpu"]
    assert "Your last choice, “GPU”, cannot be had now. “Standard (CPU)” is selected instead." in text(page)


async def test_a_default_that_cannot_be_had_is_not_checked(hub: Hub) -> None:
    hub.berth.offers["profiles"][0]["berth"].update(availability="never", pickable=False)
    assert checked(await form(hub)) == ["gpu"]


async def test_a_busy_profile_says_how_long_it_waits_and_for_how_many(hub: Hub) -> None:
    block = hub.berth.offers["profiles"][1]["berth"]
    block.update(pickable=True, waits=True, waitUpToSeconds=1200, choices={"any": {"ahead": 2}})
    said = text(await form(hub))
    assert "Your server will wait until there is room, for up to 20 minutes." in said
    assert "2 such GPUs are asked for already, by servers and jobs that wait anywhere in the cluster." in said


async def test_where_a_profile_sets_no_time_the_hubs_own_is_said(hub: Hub) -> None:
    hub.berth.offers["profiles"][1]["berth"].update(pickable=True, waits=True, waitUpToSeconds=None)
    hub.config.KubeSpawner.start_timeout = 300
    assert "Your server will wait until there is room, for up to 5 minutes." in text(await form(hub))


async def test_kinds_are_listed_with_what_sharing_means(hub: Hub) -> None:
    meaning = "Shared with others, memory is not isolated"
    kind = {"id": "t4", "name": "Tesla T4 15 GB", "sharing": "time-sliced", "meaning": meaning, "free": 1, "total": 4}
    hub.berth.offers["profiles"][1]["berth"]["kinds"] = [kind, {**kind, "id": "other", "name": EVIL}]
    page = await form(hub)
    rows = [text(row) for row in page.select(".berth-kinds > li")]
    assert rows == [f"Tesla T4 15 GB 1 of 4 free {meaning}", f"{EVIL} 1 of 4 free {meaning}"]
    assert [bar["style"] for bar in page.select(".berth-kinds .berth-bar > span")] == ["width: 25.0%"] * 2


@pytest.mark.parametrize("count", ["1", "2"])
async def test_a_saved_option_that_is_not_asked_any_more_is_said(hub: Hub, count: str) -> None:
    gpu = hub.berth.offers["profiles"][1]
    gpu["berth"]["fixed"] = {"gpu-kind": "t4", "gpus": "1"}
    del gpu["profile_options"]
    shown = text(await form(hub, {"profile": "gpu", "gpus": count, "gpu-kind": "any", "other": "x"}))
    sentence = "Your last choice for the number of GPUs, “2”, is not offered any more: only “1” is left."
    assert (sentence in shown) == (count == "2")
    assert ("Your last choice" in shown) == (count == "2"), "what is left was chosen"
    assert "only “t4” is left" in text(await form(hub, {"profile": "gpu", "gpu-kind": EVIL}))


async def test_before_the_first_inventory_saved_options_are_told_to_come(hub: Hub) -> None:
    gpu = hub.berth.offers["profiles"][1]
    gpu["berth"].update(availability="unknown", fixed={})
    del gpu["profile_options"]
    shown = text(await form(hub, {"profile": "gpu", "gpus": "2", "gpu-kind": "t4"}))
    assert shown.count("Your last choices here cannot be shown yet. Reload the page in a moment.") == 1


async def test_berth_is_asked_where_the_last_choice_is_now(hub: Hub) -> None:
    hub.berth.offers["last"] = {"profile": "gpu", "node": None, "reason": None}
    page = await form(hub, {"profile": "old-gpu", "gpus": "2", "node": "gpu-a"})
    assert hub.berth.questions("profile-list")[0]["last"] == {"profile": "old-gpu", "node": "gpu-a"}
    assert checked(page) == ["gpu"]
    assert [option["value"] for option in page.select("option[selected]")] == ["2"]
    assert "Your last choice, “old-gpu”, is now “GPU”." in text(page)
    assert "instead" not in text(page)


async def test_a_choice_that_is_away_for_a_moment_is_not_said_to_be_gone(hub: Hub) -> None:
    hub.berth.offers["last"] = {"profile": None, "node": None, "reason": EVIL}
    page = await form(hub, {"profile": "gpu-on-x"})
    assert checked(page) == ["cpu"]
    sentence = f"Your last choice, “gpu-on-x”, cannot be had now: {EVIL}. “Standard (CPU)” is selected instead."
    assert sentence in text(page)
    assert not foreign_scripts(page)


@pytest.mark.parametrize("options", [None, {"profile": ["gpu"]}, {"profile": "x" * 501, "node": 7}])
async def test_only_words_of_the_last_choice_are_sent(hub: Hub, options: Any) -> None:
    await form(hub, options)
    assert hub.berth.questions("profile-list")[0]["last"] == {}


@pytest.mark.parametrize("last", [7, [], {"profile": 7}, {"profile": ["gpu"]}, {"node": {}}, {"reason": {"a": 1}}])
async def test_an_odd_answer_about_the_last_choice_does_not_break_the_form(hub: Hub, last: Any) -> None:
    hub.berth.offers["last"] = last
    assert checked(await form(hub, {"profile": "gone"})) == ["cpu"]


async def test_what_cannot_be_picked_says_why_without_javascript(hub: Hub) -> None:
    counts = {"1": {"pickable": True}, "2": {"pickable": False, "reasons": [f"you may hold 1 GPU {EVIL}"]}}
    hub.berth.offers["profiles"][1]["berth"]["choices"] = {"any": {"counts": counts}}
    page = await form(hub)
    option = page.select_one("option[value='2']")
    assert option
    assert option.has_attr("disabled")
    assert option.text.strip() == f"2 GPUs, in use now: you may hold 1 GPU {EVIL}"


async def test_a_saved_node_that_is_out_of_use_is_said_with_the_reason(hub: Hub) -> None:
    gpu = hub.berth.offers["profiles"][1]
    choices = {"a": {"display_name": "a", "default": True}, "b": {"display_name": "b", "default": False}}
    gpu["profile_options"] = {"node": {"display_name": "Node", "choices": choices}}
    away = {"pickable": False, "reasons": ["the node is cordoned"]}
    gpu["berth"]["choices"] = {"any": {"nodes": {"a": {}, "b": {}, "c": away}}}
    shown = text(await form(hub, {"profile": "gpu", "node": "c"}))
    assert "Your last choice here, “c”, cannot be had now: the node is cordoned. The default is selected." in shown


async def test_an_option_saved_for_another_profile_does_not_matter(hub: Hub) -> None:
    page = await form(hub, {"profile": "cpu", "gpus": "2"})
    assert [option["value"] for option in page.select("option[selected]")] == ["1"]
    assert "last choice" not in text(page)


def evil_offers(hub: Hub) -> None:
    """Berth escapes what the stock form renders raw, and sends raw what our template escapes."""
    profile = copy.deepcopy(GPU)
    profile.update(display_name=ESCAPED, description=ESCAPED, default=True)
    profile["profile_options"]["gpus"]["choices"]["1"]["display_name"] = ESCAPED
    profile["berth"].update(title=EVIL, description=EVIL, reasons=[EVIL], availability=EVIL)
    hub.berth.offers.update(profiles=[profile], fallback={"profile": profile, "patch": {}})


@pytest.mark.parametrize("template", [{}, STOCK], ids=["ours", "stock"])
@pytest.mark.parametrize("state", ["fine", "stale", "down"])
async def test_names_and_reasons_stay_text(hub: Hub, template: dict[str, str], state: str) -> None:
    evil_offers(hub)
    hub.berth.offers["stale"] = state == "stale"
    page = await form(hub, **template)
    if state == "down":
        hub.berth.stop()
        page = await form(hub)
    assert not foreign_scripts(page)
    assert EVIL in text(page), "shown as it is written"


@pytest.mark.parametrize("template", [{}, STOCK], ids=["ours", "stock"])
async def test_the_notes_are_visible_on_either_form(hub: Hub, template: dict[str, str]) -> None:
    hub.berth.offers["stale"] = True
    assert "what is free is as of" in text(await form(hub, **template))
    hub.berth.stop()
    page = await form(hub)
    assert "only this can be started right now" in text(page)
    assert "Standard (CPU)" in text(page)
    assert checked(page) == ["cpu"]
    assert not page.select("select")


async def test_a_fallback_may_be_named_by_its_slug(hub: Hub) -> None:
    hub.berth.offers["fallback"] = {"profile": "cpu", "patch": {}}
    await form(hub)
    hub.berth.stop()
    assert "General work" in text(await form(hub))


async def test_a_fallback_shows_no_choices_and_no_old_numbers(hub: Hub) -> None:
    hub.berth.offers["fallback"] = {"profile": GPU, "patch": {}}
    await form(hub)
    hub.berth.stop()
    page = await form(hub)
    assert "A card of your own" in text(page)
    assert "3 of 8" not in text(page)
    assert "all cards" not in text(page)
    assert not page.select("select")


async def test_our_form_says_the_note_once(hub: Hub) -> None:
    hub.berth.offers["stale"] = True
    hub.berth.offers["profiles"][0]["berth"]["description"] = ""
    assert text(await form(hub)).count("what is free is as of") == 1


async def test_the_note_does_not_add_up_while_berth_stays_down(hub: Hub) -> None:
    await form(hub, **STOCK)
    hub.berth.stop()
    for _ in range(2):
        assert text(await form(hub)).count("only this can be started right now") == 1


async def test_profiles_of_another_site_still_render(hub: Hub) -> None:
    """Static profiles beside our template: no berth block, HTML in the texts, no slug, no options."""
    hub.configure()
    hub.config.KubeSpawner.profile_list = [
        {"display_name": "Site <em>profile</em>", "description": "With <b>markup</b>"},
        {**{key: value for key, value in GPU.items() if key != "berth"}},
    ]
    page = await form(hub)
    assert checked(page) == [page.select("input")[0]["value"]]
    assert page.select_one("label em")
    assert page.select_one("p b")
    assert "Number of GPUs" in text(page)


@pytest.mark.parametrize("reasons", [None, "text", 7, {"a": 1}])
async def test_an_odd_block_does_not_break_the_form(hub: Hub, reasons: Any) -> None:
    profile = {**CPU, "berth": {"title": 3, "free": "x", "total": "y", "reasons": reasons, "availability": ["now"]}}
    hub.berth.offers.update(profiles=[profile], fallback=None)
    assert checked(await form(hub)) == ["cpu"]
