"""The hook and the life of a spawner object: what is asked, in which order, and what is left behind."""

from __future__ import annotations

import asyncio
import copy
import threading
from typing import Any

import pytest
from conftest import GPU, Hub, manifest, notebook, refuse, start
from jupyterhub.utils import maybe_future
from kubernetes_asyncio.client import (
    V1Container,
    V1NodeSelectorRequirement,
    V1NodeSelectorTerm,
    V1ResourceRequirements,
    V1Toleration,
)
from kubespawner import KubeSpawner
from tornado import web

GPU_PATCH = {
    "image": "gpu:1",
    "extra_resource_limits": {"nvidia.com/gpu": "1"},
    "environment": {"CUDA": "1"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}],
    "volume_mounts": [{"name": "shm", "mountPath": "/dev/shm"}],
    "node_affinity_required": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gpu-a"]}]}],
    "extra_pod_config": {"resourceClaims": [{"name": "gpu"}]},
    "extra_annotations": {"berth/hold": "h1"},
    "start_timeout": 1200,
    "priority_class_name": "gpu",
}
CPU_PATCH = {"image": "cpu:1", "extra_resource_limits": {"nvidia.com/gpu": None}}


# --- what Berth is asked


async def test_both_calls_say_who_asks_and_what_the_hub_wants_already(hub: Hub) -> None:
    options = {"profile": "gpu", "gpus": "2"}
    spawner = hub.configure().spawner(
        options,
        groups=("staff", "ml"),
        server="second",
        node_selector={"a_b": "c_d"},
        node_affinity_required={"z": {"match_expressions": [{"key": "b_c", "operator": "Exists"}]}},
        tolerations=[{"key": "site_x", "toleration_seconds": 5}, V1Toleration(key="m", operator="Exists")],
        scheduler_name="user-scheduler",
        extra_containers=[{"name": "proxy", "resources": {"requests": {"cpu": "100m"}}}],
    )
    spawner.user.admin = True
    await spawner.get_options_form()
    await start(spawner)
    (offers,), (spawn,) = hub.berth.questions("profile-list"), hub.berth.questions("spawn-options")
    assert offers.pop("last") == {"profile": "gpu"}
    assert spawn == {**offers, "options": options}
    assert offers == {
        "user": {"name": "ada", "groups": ["ml", "staff"], "admin": True},
        "server": "second",
        "base": {
            "node_selector": {"a_b": "c_d"},
            "node_affinity_required": [{"matchExpressions": [{"key": "b_c", "operator": "Exists"}]}],
            "tolerations": [{"key": "site_x", "tolerationSeconds": 5}, {"key": "m", "operator": "Exists"}],
            "requests": {"cpu": "0.1"},
            "scheduler_name": "user-scheduler",
        },
    }


async def test_a_bare_hub_asks_for_nothing(hub: Hub) -> None:
    await start(hub.configure().spawner())
    (question,) = hub.berth.questions("spawn-options")
    assert question["base"] == {
        "node_selector": {},
        "node_affinity_required": [],
        "tolerations": [],
        "requests": {},
        "scheduler_name": None,
    }
    assert question["user"] == {"name": "ada", "groups": [], "admin": False}
    assert question["server"] == ""
    assert question["options"] == {}


EXTRA = [
    {"name": "a", "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}}},
    {"name": "b", "resources": {"limits": {"cpu": 1, "memory": "1G", "example.com/my_device": "2"}}},
    {"name": "c"},
]


@pytest.mark.parametrize(
    "extra",
    [
        EXTRA,
        dict(enumerate(EXTRA)),
        [
            V1Container(name=each["name"], resources=V1ResourceRequirements(**each.get("resources", {})))
            for each in EXTRA
        ],
    ],
    ids=["list", "dict", "model"],
)
async def test_other_containers_requests_are_summed(hub: Hub, extra: Any) -> None:
    init = [
        {"name": "ends", "resources": {"requests": {"cpu": "8"}}},
        {"name": "goes-on", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1e-1"}}},
    ]
    await start(hub.configure().spawner(extra_containers=extra, init_containers=init))
    (question,) = hub.berth.questions("spawn-options")
    memory = 64 * 2**20 + 10**9
    assert question["base"]["requests"] == {"cpu": "1.35", "memory": str(memory), "example.com/my_device": "2"}
    assert question["base"]["init"] == {"cpu": "8"}


async def test_a_step_before_the_notebook_counts_beside_the_sidecars_started_before_it(hub: Hub) -> None:
    def step(cpu: str, **more: str) -> dict[str, Any]:
        return {"name": cpu, "resources": {"requests": {"cpu": cpu}}, **more}

    init = [step("3"), step("1", restartPolicy="Always"), step("2500m")]
    await start(hub.configure().spawner(init_containers=init))
    (question,) = hub.berth.questions("spawn-options")
    assert question["base"]["init"] == {"cpu": "3.5"}
    assert question["base"]["requests"] == {"cpu": "1"}


@pytest.mark.parametrize("in_a_dict", [False, True])
async def test_the_claims_that_the_hub_itself_mounts_are_told_by_their_names(hub: Hub, in_a_dict: bool) -> None:
    home = {"name": "home", "persistentVolumeClaim": {"claimName": "claim-{username}"}}
    snake = {"name": "data", "persistent_volume_claim": {"claim_name": "data"}}
    volumes = [home, snake, {"name": "tmp", "emptyDir": {}}]
    spawner = hub.configure().spawner(volumes=dict(enumerate(volumes)) if in_a_dict else volumes)
    await start(spawner)
    assert hub.berth.questions("spawn-options")[0]["base"]["claims"] == ["claim-ada", "data"]


async def test_what_the_hub_gives_the_notebook_itself_is_told_for_profiles_that_say_nothing(hub: Hub) -> None:
    spawner = hub.configure().spawner(
        mem_guarantee="1G", cpu_limit=2, extra_resource_limits={"smarter-devices/fuse": "1"}
    )
    await start(spawner)
    asked = {"memory": str(2**30), "cpu": "2.0", "smarter-devices/fuse": "1"}
    assert hub.berth.questions("spawn-options")[0]["base"]["notebook"] == asked
    await start(spawner)
    assert hub.berth.questions("spawn-options")[1]["base"]["notebook"] == asked, "not what an earlier patch made of it"


@pytest.mark.parametrize(
    ("quantity", "plain"),
    [
        ("1", "1"),
        ("1500m", "1.5"),
        ("2Ki", "2048"),
        ("2k", "2000"),
        ("1E", str(10**18)),
        ("1e3", "1000"),
        ("5u", "0.000005"),
    ],
)
async def test_quantities(hub: Hub, quantity: str, plain: str) -> None:
    extra = [{"name": "a", "resources": {"requests": {"cpu": quantity}}}]
    await start(hub.configure().spawner(extra_containers=extra))
    assert hub.berth.questions("spawn-options")[0]["base"]["requests"] == {"cpu": plain}


async def test_changes_made_before_the_hook_count_as_base(hub: Hub) -> None:
    """c.Spawner settings, an authenticator's pre_spawn_start and group_overrides reach the hook on live traits only."""
    hub.config.Spawner.environment = {"FROM": "c.Spawner"}
    hub.config.KubeSpawner.group_overrides = {
        "ml": {
            "groups": ["ml"],
            "spawner_override": {
                "tolerations": [{"key": "ml"}],
                "environment": {"GROUP": "ml"},
                "scheduler_name": "ml",
            },
        }
    }
    hub.berth.patches["gpu"] = GPU_PATCH
    spawner = hub.configure().spawner({"profile": "gpu"}, groups=("ml",))
    await spawner.get_options_form()
    spawner.volumes = [{"name": "set-by-pre-spawn-start", "emptyDir": {}}]
    pod = await start(spawner)
    (question,) = hub.berth.questions("spawn-options")
    assert question["base"]["tolerations"] == [{"key": "ml"}]
    assert question["base"]["scheduler_name"] == "ml"
    environment = {entry["name"]: entry.get("value") for entry in notebook(pod)["env"]}
    assert {key: environment[key] for key in ("FROM", "GROUP", "CUDA")} == {
        "FROM": "c.Spawner",
        "GROUP": "ml",
        "CUDA": "1",
    }
    assert [toleration["key"] for toleration in pod["spec"]["tolerations"]] == ["ml", "nvidia.com/gpu"]
    assert [volume["name"] for volume in pod["spec"]["volumes"]] == ["set-by-pre-spawn-start", "shm"]
    assert pod["spec"]["schedulerName"] == "ml"


async def test_group_overrides_count_on_the_form_and_are_not_left_behind(hub: Hub) -> None:
    hub.config.KubeSpawner.node_selector = {"site": "yes"}
    hub.config.KubeSpawner.group_overrides = {
        "ml": {
            "groups": ["ml"],
            "spawner_override": {
                "node_selector": {"pool": "ml", "site": None},
                "tolerations": [{"key": "ml"}],
                "environment": {"GROUP": "ml"},
                "scheduler_name": lambda spawner: f"of-{spawner.user.name}",
                "extra_containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}],
            },
        }
    }
    spawner = hub.configure().spawner(groups=("ml",))
    await spawner.get_options_form()
    base = hub.berth.questions("profile-list")[0]["base"]
    assert base["node_selector"] == {"pool": "ml"}
    assert base["tolerations"] == [{"key": "ml"}]
    assert base["scheduler_name"] == "of-ada"
    assert base["requests"] == {"cpu": "1"}

    assert spawner.node_selector == {"site": "yes"}
    assert (spawner.tolerations, spawner.environment, spawner.extra_containers) == ([], {}, [])
    assert spawner.scheduler_name is None
    await hub.spawner(groups=("others",)).get_options_form()
    assert hub.berth.questions("profile-list")[1]["base"]["node_selector"] == {"site": "yes"}


async def test_group_overrides_that_fail_do_not_take_the_form_away(hub: Hub) -> None:
    hub.config.KubeSpawner.group_overrides = {
        "ml": {"groups": ["ml"], "spawner_override": {"no_such_dict": lambda _: 1 / 0}}
    }
    await hub.configure().spawner(groups=("ml",)).get_options_form()
    assert hub.berth.questions("profile-list")


# --- a hook that was there before


@pytest.mark.parametrize("section", ["KubeSpawner", "Spawner"])
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_an_earlier_hook_is_awaited_first(hub: Hub, section: str, kind: str) -> None:
    def sync(spawner: KubeSpawner) -> None:
        assert not hub.berth.asked
        spawner.environment = {"SITE": "1"}
        spawner.node_selector = {"site": "yes"}

    async def asynchronous(spawner: KubeSpawner) -> None:
        sync(spawner)

    hub.config[section].pre_spawn_hook = {"sync": sync, "async": asynchronous}[kind]
    hub.berth.patches["gpu"] = GPU_PATCH
    pod = await start(hub.configure().spawner({"profile": "gpu"}))
    assert hub.berth.questions("spawn-options")[0]["base"]["node_selector"] == {"site": "yes"}
    assert {"SITE", "CUDA"} <= {entry["name"] for entry in notebook(pod)["env"]}


async def test_an_earlier_hooks_error_stays_its_own(hub: Hub) -> None:
    def hook(_spawner: KubeSpawner) -> None:
        raise web.HTTPError(402, "Pay first.")

    hub.config.KubeSpawner.pre_spawn_hook = hook
    with pytest.raises(web.HTTPError, match="402"):
        await start(hub.configure().spawner())
    assert not hub.berth.asked


async def test_an_earlier_hook_that_adds_to_a_list_adds_once_to_a_reused_object(hub: Hub) -> None:
    hub.config.KubeSpawner.pre_spawn_hook = lambda spawner: spawner.tolerations.append({"key": "site"})
    hub.berth.patches["gpu"] = GPU_PATCH
    spawner = hub.configure().spawner({"profile": "gpu"})
    await start(spawner)
    pod = await start(spawner)
    assert [toleration["key"] for toleration in pod["spec"]["tolerations"]] == ["site", "nvidia.com/gpu"]


# --- KubeSpawner's second call, inside start()


async def test_start_does_not_ask_for_profiles_again(hub: Hub) -> None:
    spawner = hub.configure().spawner({"profile": "gpu", "gpus": "2"})
    await start(spawner)
    assert [call for call, _ in hub.berth.asked] == ["spawn-options"]
    assert spawner.image == "gpu:1"


@pytest.mark.parametrize("options", [{"profile": "old-slug", "gpus": "7"}, {"profile": "gpu", "gpus": ["not", "text"]}])
async def test_a_choice_that_is_gone_passes_once_berth_accepted_it(hub: Hub, options: dict[str, Any]) -> None:
    """KubeSpawner would raise ValueError for the slug, KeyError or TypeError for the choice."""
    hub.berth.patches["old-slug"] = {"image": "successor:1"}
    hub.berth.spawn_answer = lambda asked: {"profile": "gpu", "patch": hub.berth.patches[asked["profile"]]}  # type: ignore[method-assign]
    spawner = hub.configure().spawner(options)
    await start(spawner)
    assert spawner.image == hub.berth.patches[options["profile"]]["image"]
    assert spawner.user_options == options, "what the user chose stays as it is"


@pytest.mark.parametrize("options", [None, {}, {"profile": None}, {"profile": ""}, {"profile": 0}, {"gpus": "1"}])
async def test_no_profile_means_the_default(hub: Hub, options: Any) -> None:
    await start(hub.configure().spawner(options))
    assert hub.berth.questions("spawn-options")[0]["options"] == (options or {})


@pytest.mark.parametrize(
    "options", [{"profile": ["gpu"]}, {"profile": 7}, {"profile": {"a": None}}, {"x": [[{}]], "y": 1e400}]
)
async def test_options_of_any_kind_reach_berth_as_they_are(hub: Hub, options: dict[str, Any]) -> None:
    hub.berth.spawn_answer = lambda _asked: {"profile": "cpu", "patch": {"image": "cpu:1"}}  # type: ignore[method-assign]
    spawner = hub.configure().spawner(options)
    await start(spawner)
    assert hub.berth.questions("spawn-options")[0]["options"] == options
    await spawner.get_options_form()


async def test_the_mark_is_used_once(hub: Hub) -> None:
    spawner = hub.configure().spawner({"profile": "gpu"})
    await start(spawner)
    assert len(await spawner.profile_list(spawner)) == 2


async def test_a_form_after_a_spawn_that_ended_before_start_is_live(hub: Hub) -> None:
    """With internal_ssl the hub can fail between hook and start, and some paths show the form from the same object."""
    spawner = hub.configure().spawner({"profile": "gpu"})
    spawner._spawn_pending = True
    await maybe_future(spawner.run_pre_spawn_hook())
    spawner._spawn_pending = False
    assert len(await spawner.profile_list(spawner)) == 2


async def test_the_mark_holds_while_the_spawn_is_pending(hub: Hub) -> None:
    spawner = hub.configure().spawner({"profile": "gpu"})
    spawner._spawn_pending = True
    await start(spawner)
    assert not hub.berth.questions("profile-list")


async def test_a_refused_spawn_clears_the_mark_of_the_one_before(hub: Hub) -> None:
    spawner = hub.configure().spawner({"profile": "gpu"})
    await maybe_future(spawner.run_pre_spawn_hook())
    hub.berth.fault = refuse(409, "None free.")
    with pytest.raises(web.HTTPError, match="409"):
        await maybe_future(spawner.run_pre_spawn_hook())
    hub.berth.fault = None
    assert [profile["slug"] for profile in await spawner.profile_list(spawner)] == ["cpu", "gpu"]


# --- an object that is used again


async def test_cpu_after_gpu_on_the_same_object_leaves_no_trace(hub: Hub) -> None:
    site = {
        "image": "base:1",
        "environment": {"SITE": "1"},
        "tolerations": [{"key": "site"}],
        "volumes": {"home": {"name": "home", "emptyDir": {}}},
        "priority_class_name": "base",
    }
    hub.berth.patches = {"gpu": GPU_PATCH, "cpu": CPU_PATCH}
    hub.configure()
    fresh = await start(hub.spawner({"profile": "cpu"}, **copy.deepcopy(site)))
    spawner = hub.spawner({"profile": "gpu"}, **copy.deepcopy(site))
    first = await start(spawner)
    assert await start(spawner) == first, "the same again: nothing doubles"
    spawner.user_options = {"profile": "cpu"}
    assert await start(spawner) == fresh
    assert spawner.start_timeout == hub.spawner().start_timeout
    spawner.user_options = {"profile": "gpu"}
    assert await start(spawner) == first


async def test_the_base_is_asked_about_without_the_patch_that_covers_it(hub: Hub) -> None:
    hub.berth.patches["gpu"] = GPU_PATCH | {"scheduler_name": "gpu-scheduler"}
    spawner = hub.configure().spawner({"profile": "gpu"}, tolerations=[{"key": "site"}])
    await start(spawner)
    before = await manifest(spawner)
    await spawner.get_options_form()
    assert await manifest(spawner) == before, "a form changes nothing on a spawner"
    await start(spawner)
    bases = [question["base"] for _, question in hub.berth.asked]
    assert bases[0] == bases[1] == bases[2]
    assert bases[1]["tolerations"] == [{"key": "site"}]


async def test_live_changes_between_two_spawns_count_where_no_patch_lies(hub: Hub) -> None:
    hub.berth.patches = {"cpu": CPU_PATCH, "gpu": GPU_PATCH}
    spawner = hub.configure().spawner({"profile": "cpu"})
    await start(spawner)
    spawner.tolerations = [{"key": "set-since"}]
    spawner.user_options = {"profile": "gpu"}
    pod = await start(spawner)
    assert [toleration["key"] for toleration in pod["spec"]["tolerations"]] == ["set-since", "nvidia.com/gpu"]


async def test_a_refusal_on_a_reused_object_leaves_the_base(hub: Hub) -> None:
    hub.berth.patches["gpu"] = GPU_PATCH
    spawner = hub.configure().spawner({"profile": "gpu"}, image="base:1")
    await start(spawner)
    hub.berth.fault = refuse(403, "No longer yours.")
    with pytest.raises(web.HTTPError, match="403"):
        await maybe_future(spawner.run_pre_spawn_hook())
    assert spawner.image == "base:1"
    assert spawner.extra_resource_limits == {}


async def test_a_patch_that_fails_half_way_leaves_the_base(hub: Hub) -> None:
    hub.berth.patches["gpu"] = GPU_PATCH | {"mem_limit": "16Gi"}
    spawner = hub.configure().spawner({"profile": "gpu"}, image="base:1")
    before = await manifest(spawner)
    with pytest.raises(web.HTTPError, match="500"):
        await maybe_future(spawner.run_pre_spawn_hook())
    assert await manifest(spawner) == before


async def test_one_users_patch_does_not_reach_anothers_spawner(hub: Hub) -> None:
    hub.config.KubeSpawner.environment = {"SITE": "1"}
    hub.berth.patches = {"cpu": CPU_PATCH, "gpu": GPU_PATCH}
    hub.configure()
    untouched = await start(hub.spawner({"profile": "cpu"}, name="bob"))
    await start(hub.spawner({"profile": "gpu"}, name="ada"))
    assert await start(hub.spawner({"profile": "cpu"}, name="bob")) == untouched


async def test_profiles_carry_no_overrides_of_their_own_into_the_pod(hub: Hub) -> None:
    """Even if some were sent: KubeSpawner would apply them over the patch."""
    hub.berth.offers["profiles"] = [{**GPU, "kubespawner_override": {"image": "sneaked-in:1"}}]
    spawner = hub.configure().spawner({"profile": "gpu"})
    await spawner.get_options_form()
    await start(spawner)
    assert spawner.image == "gpu:1"


async def test_two_event_loops_one_configuration(hub: Hub) -> None:
    """Nothing is bound to the loop in which the hub's configuration was read."""
    spawner = hub.configure().spawner({"profile": "gpu"})
    results: list[Any] = []

    def elsewhere() -> None:
        results.append(asyncio.run(spawner.profile_list(spawner)))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    results.append(await spawner.profile_list(spawner))
    assert [len(profiles) for profiles in results] == [2, 2]


async def test_a_base_of_client_models_is_told_as_the_api_spells_it(hub: Hub) -> None:
    """What is not set is None all the way down in a model, and no API object holds it."""
    requirement = V1NodeSelectorRequirement(key="kubernetes.io/os", operator="Exists")
    term = V1NodeSelectorTerm(match_expressions=[requirement])
    await start(hub.configure().spawner(node_affinity_required=[term]))
    (question,) = hub.berth.questions("spawn-options")
    expected = [{"matchExpressions": [{"key": "kubernetes.io/os", "operator": "Exists"}]}]
    assert question["base"]["node_affinity_required"] == expected
