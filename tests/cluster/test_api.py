"""Owns Berth's own routes as they're reached from outside: with a user's token, through the hub's proxy, and with the
wrong credential.
"""

from __future__ import annotations

import pytest
import requests
from waiting import eventually
from world import A100, GPUS, GROUPS, Guest, World


@pytest.fixture
def rosa(guest: Guest) -> str:
    return guest.token("rosa")


def test_the_inventory_adds_up_and_names_no_user(guest: Guest, rosa: str) -> None:
    guest.spawn("ravi", f"gpu-on-{A100}")

    def settled() -> requests.Response | None:
        answer = guest.world.berth.get("/api/v1/gpus", rosa)
        node = next(each for each in answer.json()["nodes"] if each["name"] == A100)
        assert node["gpus"][0]["used"] == 1, node
        return answer

    answer = eventually(settled, "the notebook's GPU is counted", 10)
    body = answer.json()
    assert sum(kind["total"] for kind in body["kinds"]) == sum(GPUS.values())
    for kind in body["kinds"]:
        parts = kind["unhealthy"] + kind["used"] + kind["held"] + kind["free"] + kind["unusable"]
        assert kind["total"] == parts, kind
    assert body["stale"] is False
    assert "ravi" not in answer.text


@pytest.mark.parametrize("path", ["/api/v1/gpus", "/profiles"])
def test_a_route_answers_at_the_root_and_through_the_hubs_proxy(world: World, rosa: str, path: str) -> None:
    direct = world.berth.get(path, rosa)
    through = requests.get(
        f"{world.hub.url}/services/berth{path}", timeout=10,
        headers={"Authorization": f"Bearer {rosa}", "Accept": "application/json"},
    )  # fmt: skip
    assert (direct.status_code, through.status_code) == (200, 200), (direct.text, through.text)
    assert direct.json().keys() == through.json().keys()


def test_profiles_are_the_callers_own(guest: Guest) -> None:
    offered = {
        user: [each["slug"] for each in guest.world.berth.get("/profiles", guest.token(user)).json()["profiles"]]
        for user in ("rosa", "sam")
    }
    assert "fine-tuning" in offered["rosa"]
    assert "fine-tuning" not in offered["sam"]


@pytest.mark.parametrize("path", ["/api/v1/gpus", "/profiles"])
def test_without_a_valid_token_nothing_is_told(world: World, path: str) -> None:
    for token in ("", "not-a-token"):
        answer = world.berth.get(path, token)
        assert answer.status_code in (401, 403), (token, answer.text)
        assert answer.headers["Content-Type"].startswith("application/problem+json")


def test_the_hubs_routes_want_the_services_token_and_the_root(world: World, rosa: str) -> None:
    body = {"user": {"name": "rosa", "groups": list(GROUPS["rosa"]), "admin": False}, "server": "", "base": {}}
    as_user = {"Authorization": f"Bearer {rosa}"}
    as_hub = {"Authorization": f"Bearer {world.berth.token}"}
    route = "/api/v1/hub/profile-list"
    assert requests.post(world.berth.url + route, json=body, headers=as_user, timeout=10).status_code in (401, 403)
    assert requests.post(world.berth.url + route, json=body, headers=as_hub, timeout=10).status_code == 200
    through = requests.post(f"{world.hub.url}/services/berth{route}", json=body, headers=as_hub, timeout=10)
    assert through.status_code == 404


def test_no_profile_carries_an_override(world: World) -> None:
    answer = world.berth.profile_list("rosa", GROUPS["rosa"])
    assert answer.status_code == 200
    assert "kubespawner_override" not in answer.text


def test_the_managing_port_has_metrics_and_the_open_one_has_none(world: World) -> None:
    metrics = requests.get(f"http://{world.berth.manage}/metrics", timeout=10)
    assert metrics.status_code == 200
    assert "NVIDIA-A100-SXM4-80GB" in metrics.text
    assert requests.get(f"{world.berth.url}/metrics", timeout=10).status_code == 404
