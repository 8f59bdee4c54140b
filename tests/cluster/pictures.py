"""Owns the pictures in the README: the spawn page and the board as people see them in the demo."""

from __future__ import annotations

import shutil
from pathlib import Path

import nodes
from hub import Hub
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

WIDTH = 1280
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str:
    """The first of them that this machine has."""
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if not found:
        raise FileNotFoundError(f"there is none of {', '.join(CHROMIUMS)}")
    return found


def take(hub: Hub, folder: Path) -> None:
    """Write `spawn-page.png` and `board.png`: some servers have GPUs, and some wait for those that others hold."""
    folder.mkdir(parents=True, exist_ok=True)
    # Wherever the other teams' pods are, three times 4 are more than the 8 H100 of the demo.
    h100s = [(user, nodes.H100, 4) for user in ("linus", "mary", "tim")]
    for user, gpu, gpus in (("grace", nodes.A100_80, 2), ("rosa", nodes.L4, 1), *h100s):
        hub.call("POST", f"/users/{user}")
        options = {"profile": "gpu", "gpu-kind": gpu.kind, "gpus": str(gpus)}
        hub.call("POST", f"/users/{user}/server", json=options)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        board = _log_in(chromium, hub.url, "admin")
        board.goto(f"{hub.url}/services/berth/")
        servers = board.locator("#all tbody tr")
        expect(servers.filter(has_text="on a100-")).to_have_count(1, timeout=30_000)
        expect(servers.filter(has_text="on l4-")).to_have_count(1, timeout=30_000)
        expect(servers.filter(has_text="ahead of this one").first).to_be_visible(timeout=30_000)
        expect(servers.filter(has_text="starting")).to_have_count(0, timeout=30_000)
        expect(board.locator("#connection")).to_have_text("Live")
        form = _log_in(chromium, hub.url, "ada")
        form.goto(f"{hub.url}/hub/spawn/ada")
        card = form.locator("[data-slug='gpu']")
        card.locator("input[type=radio]").check()
        card.locator("select[name$='--gpu-kind']").select_option(nodes.H100.kind)
        card.locator("select[name$='--gpus']").select_option("4")
        expect(card.locator(".berth-word")).to_have_text("Busy now")
        _picture(form, form.locator("[data-slug='gpu-on-a100-1']"), folder / "spawn-page.png")
        # It has broken GPUs.
        _picture(board, board.locator("#nodes tbody tr", has_text="a100-40g"), folder / "board.png")
        chromium.close()


def _picture(page: Page, last: Locator, file: Path) -> None:
    """The page from its top to the end of what is to be seen last."""
    box = last.bounding_box()
    assert box is not None, "it is not on the page"
    height = box["y"] + box["height"] + 2
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": height}
    page.screenshot(path=file, full_page=True, animations="disabled", clip=clip)


def _log_in(chromium: Browser, hub: str, user: str) -> Page:
    page = chromium.new_context(viewport={"width": WIDTH, "height": 900}, color_scheme="light").new_page()
    page.goto(f"{hub}/hub/login?next=%2Fhub%2Fhome")
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", "any")
    page.click("#login_submit")
    page.wait_for_url("**/hub/home")
    return page
