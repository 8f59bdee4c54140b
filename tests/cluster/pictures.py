"""Owns the pictures in the README: the spawn page and the board as people see them in the demo."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str:
    """The first of them that this machine has."""
    found = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if not found:
        raise FileNotFoundError(f"there is none of {', '.join(CHROMIUMS)}")
    return found


def take(hub: str, folder: Path) -> None:
    """Write `spawn-page.png` and `board.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        page = _log_in(chromium, hub, "ada")
        page.goto(f"{hub}/hub/spawn/ada")
        page.locator("#profile-item-gpu").check()
        page.screenshot(path=folder / "spawn-page.png")
        page = _log_in(chromium, hub, "admin")
        page.goto(f"{hub}/services/berth/")
        page.screenshot(path=folder / "board.png")
        chromium.close()


def _log_in(chromium: Browser, hub: str, user: str) -> Page:
    page = chromium.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light").new_page()
    page.goto(f"{hub}/hub/login?next=%2Fhub%2Fhome")
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", "any")
    page.click("#login_submit")
    page.wait_for_url("**/hub/home")
    return page
