"""What `berth_hub.configure` sets, and what of a site's own it keeps or names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import berth_hub
import pytest
from conftest import CPU, TOKEN, Hub
from jupyterhub.app import JupyterHub
from kubespawner import KubeSpawner


async def test_configuring_keeps_template_paths_and_nothing_of_the_service_is_copied(hub: Hub) -> None:
    hub.config.KubeSpawner.additional_profile_form_template_paths = ["/site"]
    hub.configure(template_dir="/berth")
    first, second = hub.spawner(), hub.spawner()
    assert first.additional_profile_form_template_paths == ["/site", "/berth"]
    assert first.profile_list.__self__ is second.profile_list.__self__, "one fallback, one file writer for all"
    lazy = Hub(hub.berth, hub.fallback_file.parent)
    lazy.config.KubeSpawner.additional_profile_form_template_paths.append("/site")
    assert lazy.configure(template_dir="/berth").spawner().additional_profile_form_template_paths == ["/site", "/berth"]


def test_the_default_template_and_file_are_where_they_belong(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "berth-fallback.json").write_text(json.dumps({"profile": CPU, "patch": {}}))
    config = berth_hub.Config()
    berth_hub.configure(config, url="http://127.0.0.1:1", token=TOKEN)
    spawner = KubeSpawner(_mock=True, config=config)
    assert spawner.profile_list.__self__._fallback["profile"] == CPU, "read from the hub's working directory"
    (templates,) = spawner.additional_profile_form_template_paths
    assert {page.name for page in Path(templates).iterdir()} == {"form.html", "spawn_pending.html"}
    assert config.JupyterHub.template_paths == [templates]


class OwnSpawner(KubeSpawner):
    """A site's own class, configured in a section of its own."""


async def test_a_section_of_the_sites_own_class_does_not_bypass_berth(hub: Hub) -> None:
    seen = []
    hub.config.OwnSpawner.profile_list = [{"slug": "old", "display_name": "Old"}]
    hub.config.OwnSpawner.pre_spawn_hook = seen.append
    hub.configure()
    assert hub.config.OwnSpawner.profile_list == hub.config.KubeSpawner.profile_list
    spawner = hub.spawner({"profile": "gpu"})
    await hub.config.OwnSpawner.pre_spawn_hook(spawner)
    assert seen == [spawner]
    assert spawner.image == "gpu:1"


@pytest.mark.parametrize("paths", ["/site", ("/site",), ["/site"]])
def test_template_paths_of_the_site_are_kept_in_any_form(hub: Hub, paths: Any) -> None:
    hub.config.KubeSpawner.additional_profile_form_template_paths = paths
    hub.config.JupyterHub.template_paths = paths
    hub.configure(template_dir="/berth")
    assert hub.config.KubeSpawner.additional_profile_form_template_paths == ["/site", "/berth"]
    assert hub.config.JupyterHub.template_paths == ["/site", "/berth"]


def test_the_hub_searches_the_stock_pages_last(hub: Hub) -> None:
    """It puts them behind a list, but in front of what was added to its default."""
    hub.config.JupyterHub.template_paths.append("/site")
    hub.configure(template_dir="/berth")
    app = JupyterHub(config=hub.config)
    assert app.template_paths == ["/site", "/berth"]


def test_template_paths_of_the_sites_own_class_do_not_hide_the_form(hub: Hub) -> None:
    hub.config.OwnSpawner.additional_profile_form_template_paths = ["/site"]
    hub.configure(template_dir="/berth")
    assert hub.config.OwnSpawner.additional_profile_form_template_paths == ["/site", "/berth"]


@pytest.mark.parametrize("section", ["KubeSpawner", "Spawner", "OwnSpawner"])
@pytest.mark.parametrize("name", ["options_form", "profile_form_template"])
def test_what_hides_the_form_is_named_at_start(
    hub: Hub, section: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    setattr(hub.config[section], name, "mine")
    hub.configure(token="")
    assert f"Berth: {name} is set" in caplog.text
    assert "the token is empty" in caplog.text
