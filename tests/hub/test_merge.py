"""Each merge rule, told by the pod that KubeSpawner would create."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from conftest import CPU, Hub, manifest, notebook, start
from jupyterhub.utils import maybe_future
from kubernetes_asyncio.client import V1NodeSelectorRequirement, V1NodeSelectorTerm, V1Volume, V1VolumeMount
from tornado import web


async def pod_of(hub: Hub, patch: dict[str, Any], **base: Any) -> dict[str, Any]:
    hub.berth.patches["gpu"] = patch
    return await start(hub.configure().spawner({"profile": "gpu"}, **base))


async def test_scalars_replace_the_base(hub: Hub) -> None:
    base = {"image": "base:1", "cpu_limit": 1, "mem_guarantee": "1G", "scheduler_name": "user-scheduler"}
    patch = {
        "image": "gpu:1",
        "image_pull_policy": "Always",
        "cpu_limit": 4.0,
        "cpu_guarantee": 0.5,
        "mem_limit": 16 * 2**30,
        "mem_guarantee": 8 * 2**30,
        "priority_class_name": "gpu",
    }
    pod = await pod_of(hub, patch, **base)
    container = notebook(pod)
    assert container["image"] == "gpu:1"
    assert container["imagePullPolicy"] == "Always"
    assert container["resources"]["limits"] == {"cpu": 4.0, "memory": 16 * 2**30}
    assert container["resources"]["requests"] == {"cpu": 0.5, "memory": 8 * 2**30}
    assert pod["spec"]["priorityClassName"] == "gpu"
    assert pod["spec"]["schedulerName"] == "user-scheduler", "a trait that the patch does not name stays"


async def test_scheduler_name_and_start_timeout_can_be_set(hub: Hub) -> None:
    hub.berth.patches["gpu"] = {"scheduler_name": None, "start_timeout": 1200}
    spawner = hub.configure().spawner({"profile": "gpu"}, scheduler_name="user-scheduler")
    pod = await start(spawner)
    assert "schedulerName" not in pod["spec"]
    assert spawner.start_timeout == 1200


async def test_dict_traits_merge_by_key_and_null_removes(hub: Hub) -> None:
    pod = await pod_of(
        hub,
        {
            "extra_resource_limits": {"nvidia.com/gpu": None, "amd.com/gpu": None, "b": "2"},
            "extra_resource_guarantees": {"nvidia.com/gpu": None},
            "environment": {"NVIDIA_VISIBLE_DEVICES": "void", "GONE": None, "SITE": "patched"},
            "extra_labels": {"berth/hold": "h1"},
            "extra_annotations": {"old": None, "new": "1"},
        },
        extra_resource_limits={"nvidia.com/gpu": "1", "a": "1"},
        extra_resource_guarantees={"nvidia.com/gpu": "1"},
        environment={"GONE": "x", "SITE": "base", "KEPT": "y", "EMPTY": None},
        extra_labels={"hub.jupyter.org/network-access-hub": "true"},
        extra_annotations={"old": "1", "kept": "1"},
    )
    container = notebook(pod)
    assert {key: container["resources"]["limits"].get(key) for key in ("a", "b")} == {"a": "1", "b": "2"}
    assert "gpu" not in str(container["resources"]), "a pod without GPU carries no GPU key at all"
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert (environment["NVIDIA_VISIBLE_DEVICES"], environment["SITE"], environment["KEPT"]) == ("void", "patched", "y")
    assert "GONE" not in environment
    assert "EMPTY" in environment, "only the patch's null removes"
    assert pod["metadata"]["labels"]["hub.jupyter.org/network-access-hub"] == "true"
    assert pod["metadata"]["labels"]["berth/hold"] == "h1"
    annotations = pod["metadata"]["annotations"]
    assert (annotations["new"], annotations["kept"], annotations.get("old")) == ("1", "1", None)


@pytest.mark.parametrize("base", [["site", {"name": "harbor-pull"}], "site"], ids=["list", "deprecated-string"])
async def test_pull_secrets_append_without_doubles(hub: Hub, base: Any) -> None:
    pod = await pod_of(hub, {"image_pull_secrets": ["harbor-pull", {"name": "site"}, "new"]}, image_pull_secrets=base)
    names = [secret["name"] for secret in pod["spec"]["imagePullSecrets"]]
    assert sorted(names) == ["harbor-pull", "new", "site"]
    assert names[0] == "site"


SITE_TOLERATION = {"key": "site", "operator": "Exists", "toleration_seconds": 5}
GPU_TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}


@pytest.mark.parametrize("base", [[SITE_TOLERATION], {"a": SITE_TOLERATION}], ids=["list", "dict"])
async def test_tolerations_append(hub: Hub, base: Any) -> None:
    pod = await pod_of(hub, {"tolerations": [GPU_TOLERATION]}, tolerations=base)
    site = {"key": "site", "operator": "Exists", "tolerationSeconds": 5}
    assert pod["spec"]["tolerations"] == [site, GPU_TOLERATION]


def expression(key: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": "In", "values": list(values)}


def preferred(weight: int, key: str) -> dict[str, Any]:
    return {"weight": weight, "preference": {"matchExpressions": [expression(key, "x")]}}


@pytest.mark.parametrize("base", [[preferred(100, "purpose")], {"a": preferred(100, "purpose")}], ids=["list", "dict"])
async def test_preferred_terms_append(hub: Hub, base: Any) -> None:
    patch = {"node_affinity_preferred": [preferred(60, "node")]}
    pod = await pod_of(hub, patch, node_affinity_preferred=base)
    terms = pod["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert terms == [preferred(100, "purpose"), preferred(60, "node")]


def required(pod: dict[str, Any]) -> Any:
    node = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    return node.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms")


def pin(name: str) -> dict[str, Any]:
    return {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]}


SNAKE = {"match_expressions": [expression("zone", "a")], "match_fields": pin("site")["matchFields"]}
CAMEL = {"matchExpressions": [expression("zone", "b")]}
MODEL = V1NodeSelectorTerm(match_expressions=[V1NodeSelectorRequirement(key="zone", operator="In", values=["b"])])


@pytest.mark.parametrize(
    "base", [[SNAKE, CAMEL], {"1": SNAKE, "2": CAMEL}, {"2": CAMEL, "1": SNAKE}], ids=["list", "dict", "dict-by-key"]
)
async def test_required_terms_multiply_out(hub: Hub, base: Any) -> None:
    ours = [
        {"match_expressions": [expression("kind", "a100")], **pin("gpu-a")},
        {"matchExpressions": [expression("k", "l")]},
    ]
    pod = await pod_of(hub, {"node_affinity_required": ours}, node_affinity_required=base)
    site, gpu_a = pin("site")["matchFields"], pin("gpu-a")["matchFields"]
    assert required(pod) == [
        {"matchExpressions": [expression("zone", "a"), expression("kind", "a100")], "matchFields": site + gpu_a},
        {"matchExpressions": [expression("zone", "a"), expression("k", "l")], "matchFields": site},
        {"matchExpressions": [expression("zone", "b"), expression("kind", "a100")], "matchFields": gpu_a},
        {"matchExpressions": [expression("zone", "b"), expression("k", "l")]},
    ]


async def test_a_required_term_alone_stays_as_it_is(hub: Hub) -> None:
    hub.configure()
    for ours, base, expected in (
        ([pin("gpu-a")], [], [pin("gpu-a")]),
        ([], [CAMEL], [CAMEL]),
        ([pin("gpu-a")], [MODEL], [{**CAMEL, **pin("gpu-a")}]),
    ):
        hub.berth.patches["gpu"] = {"node_affinity_required": ours}
        pod = await start(hub.spawner({"profile": "gpu"}, node_affinity_required=base))
        assert required(pod) == expected


async def test_an_empty_base_term_does_not_begin_to_match(hub: Hub) -> None:
    spawner_pod = await pod_of(hub, {"node_affinity_required": [pin("gpu-a")]}, node_affinity_required=[{}, CAMEL])
    assert required(spawner_pod) == [{}, {**CAMEL, **pin("gpu-a")}]


HOME = {"name": "home", "persistent_volume_claim": {"claimName": "home"}}
DATA = {"name": "data", "emptyDir": {}}
BASE_VOLUMES: list[Any] = [
    [HOME, DATA],
    {"b": DATA, "a": HOME},
    [V1Volume(name="home", persistent_volume_claim={"claimName": "home"}), DATA],
]


@pytest.mark.parametrize("base", BASE_VOLUMES, ids=["list", "dict", "model"])
async def test_volumes_merge_by_name_and_the_patch_wins(hub: Hub, base: Any) -> None:
    claim = {"name": "data", "persistentVolumeClaim": {"claimName": "berth-datasets"}}
    scratch = {"name": "scratch", "emptyDir": {"sizeLimit": "50Gi"}}
    pod = await pod_of(hub, {"volumes": [claim, scratch]}, volumes=base)
    home = {"name": "home", "persistentVolumeClaim": {"claimName": "home"}}
    assert pod["spec"]["volumes"] == [home, claim, scratch]


HOME_MOUNT = {"name": "home", "mount_path": "/home/jovyan/", "sub_path": "{username}"}
OLD_MOUNT = {"name": "files", "mountPath": "/home/jovyan/data"}
BASE_MOUNTS: list[Any] = [
    [HOME_MOUNT, OLD_MOUNT],
    {"home": HOME_MOUNT, "files": OLD_MOUNT},
    [V1VolumeMount(name="home", mount_path="/home/jovyan/", sub_path="{username}"), OLD_MOUNT],
]


@pytest.mark.parametrize("base", BASE_MOUNTS, ids=["list", "dict", "model"])
async def test_mounts_merge_by_path_and_the_patch_wins(hub: Hub, base: Any) -> None:
    ours = [
        {"name": "berth-home", "mountPath": "/home/jovyan", "subPath": "{username}"},
        {"name": "data", "mountPath": "/home/jovyan/data/", "readOnly": True},
        {"name": "models", "mountPath": "/home/jovyan/models"},
    ]
    mounts = notebook(await pod_of(hub, {"volume_mounts": ours}, volume_mounts=base))["volumeMounts"]
    assert {mount["mountPath"].rstrip("/"): mount["name"] for mount in mounts} == {
        "/home/jovyan": "berth-home",
        "/home/jovyan/data": "data",
        "/home/jovyan/models": "models",
    }
    assert len(mounts) == 3, "no path twice"
    assert next(mount for mount in mounts if mount["name"] == "berth-home")["subPath"] == "ada"


async def test_extra_configs_merge_by_top_level_key_in_either_case(hub: Hub) -> None:
    claims = [{"name": "gpu", "resourceClaimTemplateName": "berth-l4"}]
    pod = await pod_of(
        hub,
        {
            "extra_pod_config": {"resourceClaims": claims, "hostIPC": False, "runtimeClassName": None},
            "extra_container_config": {"resources": {"claims": [{"name": "gpu", "request": "gpu"}]}},
        },
        extra_pod_config={
            "resource_claims": [{"name": "site"}],
            "host_ipc": True,
            "dns_policy": "ClusterFirst",
            "runtime_class_name": "kata",
        },
        extra_container_config={"envFrom": [{"configMapRef": {"name": "site"}}], "resources": {"limits": {"cpu": "1"}}},
    )
    assert pod["spec"]["resourceClaims"] == claims
    assert pod["spec"]["hostIPC"] is False
    assert pod["spec"]["dnsPolicy"] == "ClusterFirst"
    assert "runtimeClassName" not in pod["spec"]
    container = notebook(pod)
    assert container["envFrom"] == [{"configMapRef": {"name": "site"}}]
    assert container["resources"] == {"claims": [{"name": "gpu", "request": "gpu"}]}


@pytest.mark.parametrize(
    "patch",
    [
        {"image": "gpu:1", "node_sellector": {"a": "b"}},
        {"image": "gpu:1", "service_account": "admin"},
        {"image": "gpu:1", "tolerations": {"a": GPU_TOLERATION}},
        {"image": "gpu:1", "environment": None},
        {"image": "gpu:1", "cpu_limit": "500m"},
        {"image": None},
        {"image": "gpu:1", "volumes": [{"emptyDir": {}}]},
    ],
    ids=["misspelled", "not-ours", "wrong-shape", "null-dict", "quantity-text", "null-image", "nameless-volume"],
)
async def test_a_patch_that_does_not_fit_is_refused_whole(
    hub: Hub, patch: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    hub.berth.patches["gpu"] = patch
    spawner = hub.configure().spawner({"profile": "gpu"}, image="base:1")
    with pytest.raises(web.HTTPError) as refused:
        await maybe_future(spawner.run_pre_spawn_hook())
    assert refused.value.status_code == 500
    assert "administrator" in refused.value.jupyterhub_message
    assert "cannot be applied" in caplog.text
    assert not hasattr(spawner, "node_sellector")
    assert spawner.image == "base:1", "nothing of it was applied"


async def test_neither_base_nor_patch_is_shared_with_the_spawner(hub: Hub) -> None:
    """KubeSpawner merges overrides into live values in place: a shared object would reach the next user."""
    hub.fallback_file.write_text("null")
    site = {"volumes": [copy.deepcopy(DATA)], "environment": {"A": "1"}, "tolerations": [dict(SITE_TOLERATION)]}
    fallback = {
        "volumes": [{"name": "v", "emptyDir": {}}],
        "environment": {"B": "2"},
        "tolerations": [dict(GPU_TOLERATION)],
        "extra_pod_config": {"resourceClaims": [{"name": "gpu"}]},
    }
    hub.berth.offers["fallback"] = {"profile": {**CPU}, "patch": fallback}
    hub.configure()
    await hub.spawner().get_options_form()
    hub.berth.stop()
    first, second = hub.spawner(**copy.deepcopy(site)), hub.spawner(**copy.deepcopy(site))
    await start(first)
    for value in (first.volumes, first.tolerations, first.extra_pod_config["resourceClaims"]):
        for entry in value:
            entry["name"] = "spoiled"
    first.environment["B"] = "spoiled"
    await start(second)
    assert "spoiled" not in str(await manifest(second))
    assert [toleration["key"] for toleration in second.tolerations] == ["site", "nvidia.com/gpu"]
