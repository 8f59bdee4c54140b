"""Owns what the chart refuses, and that it says why by name: typing errors by the schema, contradictions in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from generate import CHART
from rendering import EVERYTHING, render

NULL_MEANS_SOMETHING = {"storage.className"}


def keys(values: dict[str, Any], path: str = "") -> Iterator[str]:
    """Every key of the values, at each depth."""
    for key, inner in values.items():
        yield f"{path}{key}"
        if isinstance(inner, dict):
            yield from keys(inner, f"{path}{key}.")


KEYS = list(keys(yaml.safe_load((CHART / "values.yaml").read_text())))


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("replica=2", "'replica' not allowed"),
        ("replicas=3", "at '/replicas'"),
        ('hub.relase="x"', "at '/hub': additional properties 'relase'"),
        ('hub.tokenSecret.nam="x"', "'nam' not allowed"),
        ('hub.baseUrl="lab"', "at '/hub/baseUrl'"),
        ('image.tags="1"', "'tags' not allowed"),
        ('image.pullPolicy="Sometimes"', "at '/image/pullPolicy'"),
        ('storage.notebook={"enabled": false}', "'notebook' not allowed"),
        ('storage.models.size="5 GB"', "at '/storage/models/size'"),
        ('resources.limit={"memory": "1Gi"}', "'limit' not allowed"),
        ('log.format="xml"', "at '/log/format'"),
        ('networkPolicy.metricsFrom=[{"podSelecto": {}}]', "'podSelecto' not allowed"),
        ("networkPolicy.apiServer.ports=[]", "at '/networkPolicy/apiServer/ports'"),
        ("serviceMonitor.enable=true", "'enable' not allowed"),
        ('tolerations=[{"kee": "x"}]', "'kee' not allowed"),
        ('affinity={"nodeAfinity": {}}', "'nodeAfinity' not allowed"),
        ('image.repository="registry.example.org/library/berth:1.2.3"', "at '/image/repository'"),
        ('image.repository="berth:1.2.3"', "at '/image/repository'"),
        ('hub.release=""', "at '/hub/release'"),
        ('hub.release="my hub"', "at '/hub/release'"),
        ("hub.release=2024", "at '/hub/release': got number, want string"),
        ('hub.appLabel="my hub"', "at '/hub/appLabel'"),
        ('hub.baseUrl="/lab"', "at '/hub/baseUrl'"),
        ('hub.baseUrl="/a b/"', "at '/hub/baseUrl'"),
        ('hub.baseUrl="/lab//"', "at '/hub/baseUrl'"),
        ('storage.className="SeaweedFS"', "at '/storage/className'"),
        ('storage.className="a..b"', "at '/storage/className'"),
        ('networkPolicy.apiServer.cidrs=["10.0.0.1"]', "at '/networkPolicy/apiServer/cidrs/0'"),
        ('networkPolicy.apiServer.cidrs=["10.0.0.256/32"]', "at '/networkPolicy/apiServer/cidrs/0'"),
        ('networkPolicy.apiServer.cidrs=["10.0.0.0/33"]', "at '/networkPolicy/apiServer/cidrs/0'"),
        ('networkPolicy.apiServer.cidrs=["fd00::/129"]', "at '/networkPolicy/apiServer/cidrs/0'"),
        ('networkPolicy.apiServer.cidrs=["abc/8"]', "at '/networkPolicy/apiServer/cidrs/0'"),
        ("networkPolicy.apiServer.ports=[null]", "at '/networkPolicy/apiServer/ports/0'"),
        ('networkPolicy.metricsFrom=[{"ipBlock": {}}]', "missing property 'cidr'"),
        ('networkPolicy.metricsFrom=[{"ipBlock": {"cidr": "anywhere"}}]', "/ipBlock/cidr'"),
        ('resources.limits.memory="1e"', "at '/resources/limits/memory'"),
        # The catalogue's own schema.
        ('catalogue.profile="x"', "at '/catalogue': additional properties 'profile'"),
        ('catalogue.profiles[0].slgu="x"', "at '/catalogue/profiles/0': additional properties 'slgu'"),
        ('catalogue.profiles[0].memory.limit="8Gx"', "/catalogue/profiles/0/memory"),
        ('catalogue.profiles[1].gpu.sharing=["half"]', "/catalogue/profiles/1/gpu"),
        ('catalogue.profiles[1].whenFull="hope"', "at '/catalogue/profiles/1/whenFull'"),
        ('catalogue.volumes[0].mountpath="/x"', "'mountpath' not allowed"),
    ],
)
def test_a_typing_error_is_named_where_it_stands(setting: str, named: str) -> None:
    outcome = render(EVERYTHING, [setting])
    assert outcome.status != 0
    assert named in outcome.said, outcome.said
    assert not outcome.out


@pytest.mark.parametrize(
    "setting",
    [
        'image.repository="localhost:5000/a_b/c-d/berth"',
        'image.repository="berth"',
        'hub.release="2024"',
        'hub.baseUrl="/"',
        'hub.baseUrl="/~lab/jupyter-2.0/"',
        'storage.className=""',
        'storage.className="csi.example.org"',
        'storage.models.size="1e12"',
        'networkPolicy.apiServer.cidrs=["0.0.0.0/0", "255.1.20.199/32", "::/0", "2001:db8::1/128"]',
        'networkPolicy.metricsFrom=[{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]',
        'resources.limits.memory="1e9"',
        "resources.limits.memory=1e9",
    ],
)
def test_what_kubernetes_takes_is_not_refused(setting: str) -> None:
    assert render(EVERYTHING, [setting]).said == ""


@pytest.mark.parametrize("key", [key for key in KEYS if key not in NULL_MEANS_SOMETHING])
def test_no_value_can_be_null(key: str) -> None:
    """Helm takes a null for the wish to have no such key: a switch that is not there would be off."""
    outcome = render(settings=[f"{key}=null"])
    parent, _, name = key.rpartition(".")
    at = "".join(f"/{part}" for part in parent.split(".") if part)
    assert outcome.status != 0
    assert f"at '{at}': missing property '{name}'" in outcome.said, outcome.said
    assert not outcome.out


@pytest.mark.parametrize("key", sorted(NULL_MEANS_SOMETHING))
def test_null_is_taken_where_it_means_something(key: str) -> None:
    assert key in KEYS
    assert render(settings=[f"{key}=null"]).status == 0


def test_the_built_in_catalogue_is_right_for_the_schema(built_in: Path) -> None:
    assert render(built_in).status == 0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (['image.repository=""'], "image.repository: say where your Berth image is"),
        (['storage.home={"enabled": true}'], "the built-in catalogue does not mount"),
        (['storage.models={"name": "berth-datasets"}'], "berth-datasets is the name of another claim too"),
        (['storage.models={"name": "lab-models"}'], "the built-in catalogue mounts berth-models"),
        (['catalogue={"namespace": "lab", "profiles": [{"slug": "a", "title": "A"}]}'], "install with --namespace lab"),
        (['catalogue={"registry": "registry.example.org"}'], "catalogue.profiles is missing"),
        (["serviceMonitor.enabled=true"], "name it in networkPolicy.metricsFrom"),
        (['podAnnotations={"checksum/catalogue": "x"}'], "podAnnotations has checksum/catalogue"),
    ],
)
def test_contradictions_are_told_in_a_sentence(settings: list[str], sentence: str) -> None:
    outcome = render(settings=settings)
    assert outcome.status != 0
    assert sentence in outcome.said, outcome.said


def test_all_contradictions_are_told_at_once() -> None:
    said = render(settings=['storage.home={"enabled": true}', "serviceMonitor.enabled=true"]).said
    assert "does not mount" in said
    assert "metricsFrom" in said


def test_the_built_in_catalogue_is_for_one_namespace(built_in: Path) -> None:
    assert "is for the namespace jupyterhub, not lab" in render(namespace="lab").said
    assert render(built_in, namespace="lab").status == 0
