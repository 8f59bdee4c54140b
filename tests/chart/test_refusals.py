"""Owns what the chart refuses, and that it says why by name: typing errors by the schema, contradictions in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from rendering import EVERYTHING, render


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
