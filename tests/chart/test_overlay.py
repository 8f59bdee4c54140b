"""Owns that the overlay fits the stock chart, by the chart's own schema, and Berth's chart, whose names it uses."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import jsonschema
import pytest
import yaml
from generate import ROOT
from rendering import render
from traitlets.config import Config

Json = dict[str, Any]

OVERLAY = ROOT / "hub-config" / "values.yaml"
SET_FILE = re.compile(r"--set-file 'hub\.extraFiles\.([^=]+)\.stringData=([^']+)'")


@pytest.fixture
def overlay() -> Json:
    """The overlay with its files, as the command in its head gives them."""
    text = OVERLAY.read_text()
    values: Json = yaml.safe_load(text)
    for key, file in SET_FILE.findall(text):
        values["hub"]["extraFiles"][key.replace("\\.", ".")]["stringData"] = (ROOT / file).read_text()
    return values


def stock_schema() -> Json:
    """The stock chart's, for a part of the values: what it requires, its own defaults hold."""
    schema: Json = json.loads((ROOT / "tests" / "data" / "z2jh-values.schema.json").read_text())

    def relax(part: Any) -> None:
        if isinstance(part, dict):
            # Not where it tells apart the ways to give a file.
            if isinstance(part.get("required"), list) and "properties" in part and "oneOf" not in part:
                del part["required"]
            for inner in part.values():
                relax(inner)

    relax(schema)
    return schema


def mistakes(values: Json) -> list[str]:
    return [
        f"{error.json_path}: {error.message}"
        for error in jsonschema.Draft7Validator(stock_schema()).iter_errors(values)
    ]


def test_the_stock_chart_takes_the_overlay(overlay: Json) -> None:
    assert mistakes(overlay) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("hub", "extraFile"), {}),
        (("hub", "networkPolicy", "egres"), []),
        (("hub", "consecutiveFailureLimit"), "never"),
        (("singleuser", "storage", "typ"), "none"),
        (("singleuser", "storage", "type"), "nothing"),
        (("cull", "enabled"), "yes"),
    ],
)
def test_the_schema_would_name_a_typing_error(overlay: Json, path: tuple[str, ...], value: Any) -> None:
    wrong = copy.deepcopy(overlay)
    at = wrong
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    assert mistakes(wrong) != []


def test_without_the_set_file_commands_the_stock_chart_refuses(overlay: Json) -> None:
    """The files are no part of the overlay, and nobody can forget them unnoticed."""
    found = mistakes(yaml.safe_load(OVERLAY.read_text()))
    assert len(found) == 3
    assert all("extraFiles" in each for each in found)


def test_hook_and_template_are_where_the_configuration_looks(overlay: Json) -> None:
    files = {name: each["mountPath"] for name, each in overlay["hub"]["extraFiles"].items()}
    assert files["berth_hub.py"] == "/usr/local/etc/jupyterhub/berth_hub.py"
    code = overlay["hub"]["extraConfig"]["zz-berth"]
    templates = re.search(r'template_dir="([^"]+)"', code)
    assert templates
    assert files["berth-form.html"] == f"{templates[1]}/form.html"
    assert files["berth-pending.html"] == f"{templates[1]}/spawn_pending.html"


def test_the_configuration_is_run_as_the_stock_chart_runs_it(
    overlay: Json, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "hub-config"))
    monkeypatch.chdir(tmp_path)
    asked: list[str] = []

    def get_secret_value(key: str) -> str:
        asked.append(key)
        return "a token"

    c = Config()
    for _, code in sorted({**overlay["hub"]["extraConfig"], "00-site": "site = 1"}.items()):
        exec(code, {"c": c, "get_secret_value": get_secret_value})  # noqa: S102
    assert asked == ["hub.services.berth.apiToken"]
    assert callable(c.KubeSpawner.profile_list)
    assert callable(c.KubeSpawner.pre_spawn_hook)
    paths = [c.KubeSpawner.additional_profile_form_template_paths, c.JupyterHub.template_paths]
    assert paths == [["/usr/local/etc/jupyterhub/berth/templates"]] * 2


def test_it_comes_last_in_the_order_of_keys(overlay: Json) -> None:
    assert list(overlay["hub"]["extraConfig"]) == ["zz-berth"]


def test_the_overlay_and_the_chart_mean_the_same_berth(overlay: Json) -> None:
    rendered = render()
    service, deployment = rendered.only("Service"), rendered.only("Deployment")
    name, port = service["metadata"]["name"], service["spec"]["ports"][0]["port"]
    assert overlay["hub"]["services"] == {
        "berth": {"url": f"http://{name}:{port}", "oauth_no_confirm": True, "display": True}
    }
    assert f'url="http://{name}:{port}"' in overlay["hub"]["extraConfig"]["zz-berth"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    target = deployment["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"]
    for policy in (overlay["hub"]["networkPolicy"], overlay["proxy"]["chp"]["networkPolicy"]):
        (rule,) = policy["egress"]
        (peer,) = rule["to"]
        assert peer["podSelector"]["matchLabels"].items() <= labels.items()
        # A policy sees the pod's port, not the Service's.
        assert rule["ports"] == [{"port": target, "protocol": "TCP"}]


def test_users_get_the_scope_and_nothing_more(overlay: Json) -> None:
    assert overlay["hub"]["loadRoles"] == {
        "user": {"scopes": ["self", "access:services!service=berth"]},
        "berth": {
            "services": ["berth"],
            "scopes": ["list:users", "read:users:name", "read:users:groups", "read:servers"],
        },
    }


def test_refusals_do_not_end_the_hub_and_idle_gpus_come_back(overlay: Json) -> None:
    assert overlay["hub"]["consecutiveFailureLimit"] == 0
    assert overlay["cull"]["enabled"] is True
    assert overlay["singleuser"]["storage"] == {"type": "none"}
    assert overlay["singleuser"]["defaultUrl"] == "/lab/tree/notebooks"
