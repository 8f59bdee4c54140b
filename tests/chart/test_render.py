"""Owns what the chart renders, whole: that Kubernetes takes it, that the pod is closed, and that no right is in it
beyond the list.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from generate import CHART, ROOT
from kube_schemas import write_custom_schema, write_schemas
from rendering import EVERYTHING, VALUE_SETS, helm, pod_spec, render
from tools import SCHEMAS, ChartTools

# The oldest version that Berth is for, and the one that the end-to-end tests run.
VERSIONS = ("1.32.13", "1.37.2")
READ = {"get", "list", "watch"}


def value_set(path: Path) -> str:
    return path.stem


@pytest.fixture(scope="session")
def schemas(tools: ChartTools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one folder of schemas for each version."""
    folder = tmp_path_factory.mktemp("schemas")
    for version in VERSIONS:
        assert write_schemas(tools.schemas / f"kubernetes-v{version}.json", folder / version) > 100
        write_custom_schema(next(tools.schemas.glob("prometheus-operator-*.yaml")), folder / version)
    return folder


def conforms(tools: ChartTools, schemas: Path, version: str, manifests: str) -> tuple[bool, str]:
    location = f"{schemas / version}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
    ended = subprocess.run(
        [str(tools.kubeconform), "-strict", "-summary", "-kubernetes-version", version, "-schema-location", location],
        input=manifests, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("values", VALUE_SETS, ids=value_set)
def test_helm_lint_has_nothing_to_say(values: Path) -> None:
    outcome = helm("lint", "--strict", CHART, "--namespace", "jupyterhub", "--values", values)
    assert outcome.status == 0, outcome.out + outcome.said
    assert "[WARNING]" not in outcome.out
    assert "[ERROR]" not in outcome.out


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", VALUE_SETS, ids=value_set)
def test_every_object_is_one_that_kubernetes_takes(
    tools: ChartTools, schemas: Path, version: str, values: Path
) -> None:
    rendered = render(values)
    good, said = conforms(tools, schemas, version, rendered.out)
    assert good, said
    assert f"{len(rendered.objects)} resources found" in said
    assert "Skipped: 0" in said


@pytest.mark.parametrize("word", ["2024", "1e3", "true"])
def test_words_that_look_like_numbers_stay_words(tools: ChartTools, schemas: Path, word: str) -> None:
    settings = [
        *(f'{key}="{word}"' for key in ("hub.release", "hub.appLabel", "hub.tokenSecret.name", "hub.tokenSecret.key")),
        *(f'{key}="{word}"' for key in ("storage.className", "storage.notebooks.name", "image.tag")),
        *(f'{key}={{"a": "{word}"}}' for key in ("podAnnotations", "nodeSelector", "serviceMonitor.labels")),
        f'image.pullSecrets=["{word}"]',
    ]
    rendered = render(EVERYTHING, settings, release=word, namespace=word)
    good, said = conforms(tools, schemas, VERSIONS[-1], rendered.out)
    assert good, said
    deployment = rendered.only("Deployment")
    assert deployment["metadata"]["namespace"] == word
    assert deployment["metadata"]["labels"]["app.kubernetes.io/instance"] == word
    assert pod_spec(deployment)["volumes"][0]["secret"]["items"] == [{"key": word, "path": word}]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("kind", "path", "named"),
    [
        ("Deployment", ("spec", "template", "spec", "securityContext", "runAsUsr"), "runAsUsr"),
        ("NetworkPolicy", ("spec", "egres"), "egres"),
        ("PodDisruptionBudget", ("spec", "unhealthyPodEviction"), "unhealthyPodEviction"),
        ("ServiceMonitor", ("spec", "endpoint"), "endpoint"),
    ],
)
def test_the_schemas_would_name_a_wrong_field(
    tools: ChartTools, schemas: Path, version: str, kind: str, path: tuple[str, ...], named: str
) -> None:
    item = render(EVERYTHING).only(kind)
    at = item
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = "x"
    good, said = conforms(tools, schemas, version, json.dumps(item))
    assert not good
    assert named in said


def test_the_newest_schemas_are_of_the_cluster_that_the_tests_run() -> None:
    """When the test cluster moves to another version, the schemas must follow."""
    pinned = (ROOT / "tests" / "cluster" / "tools" / "kubernetes" / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{VERSIONS[-1]}" in pinned
    lines = (SCHEMAS.source / "modules.txt").read_text().splitlines()
    assert [line.split()[1] for line in lines if line.startswith("k8s.io/kubernetes ")] == [f"v{v}" for v in VERSIONS]


@pytest.mark.parametrize("values", VALUE_SETS, ids=value_set)
def test_the_pod_is_closed(values: Path) -> None:
    spec = pod_spec(render(values).only("Deployment"))
    assert spec["securityContext"] == {
        "runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
    assert [container["name"] for container in spec["containers"]] == ["berth"]
    container = spec["containers"][0]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    assert "memory" in container["resources"]["limits"]
    assert all(mount["readOnly"] for mount in container["volumeMounts"])
    assert {kind for volume in spec["volumes"] for kind in volume if kind != "name"} <= {"secret", "configMap"}


@pytest.mark.parametrize("values", VALUE_SETS, ids=value_set)
def test_one_key_of_the_hubs_secret_is_mounted_and_no_secret_is_a_variable(values: Path) -> None:
    spec = pod_spec(render(values).only("Deployment"))
    secrets = [volume["secret"] for volume in spec["volumes"] if "secret" in volume]
    assert len(secrets) == 1
    key = "hub.services.berth.apiToken"
    assert secrets[0]["items"] == [{"key": key, "path": key}]
    # Readable for the group that fsGroup gives the file, and for nobody else.
    assert secrets[0]["defaultMode"] == 0o440
    container = spec["containers"][0]
    mount = next(each for each in container["volumeMounts"] if each["name"] == "token")
    assert "subPath" not in mount
    assert f"--api-token-file={mount['mountPath']}/{key}" in container["args"]
    assert all("valueFrom" not in variable for variable in container["env"])
    assert "envFrom" not in container


@pytest.mark.parametrize("values", VALUE_SETS, ids=value_set)
def test_no_right_beyond_the_list(values: Path) -> None:
    objects = render(values).objects
    granted = {
        (each["kind"], group, resource, verb)
        for each in objects
        if each["kind"] in ("Role", "ClusterRole")
        for rule in each["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == {
        *(("ClusterRole", "", resource, verb) for resource in ("nodes", "pods", "persistentvolumes") for verb in READ),
        *(("ClusterRole", "storage.k8s.io", "storageclasses", verb) for verb in READ),
        *(("Role", "", resource, verb) for resource in ("persistentvolumeclaims", "resourcequotas", "events") for verb in READ),
    }
    bindings = [each for each in objects if each["kind"].endswith("RoleBinding") or each["kind"] == "RoleBinding"]
    assert {(each["kind"], each["roleRef"]["kind"]) for each in bindings} == {
        ("ClusterRoleBinding", "ClusterRole"), ("RoleBinding", "Role"),
    }  # fmt: skip
    subject = {"kind": "ServiceAccount", "name": "berth", "namespace": "jupyterhub"}
    assert all(each["subjects"] == [subject] for each in bindings)


@pytest.mark.parametrize("values", VALUE_SETS, ids=value_set)
def test_the_hub_finds_berth_and_does_not_take_it_for_its_own(values: Path) -> None:
    """The overlay selects by one label and calls one name; the stock chart's selectors must not match."""
    rendered = render(values)
    labels = rendered.only("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert labels["app.kubernetes.io/name"] == "berth"
    assert labels["hub.jupyter.org/network-access-hub"] == "true"
    assert not {"app", "release", "component"} & labels.keys()
    service = rendered.only("Service")
    assert service["metadata"]["name"] == "berth"
    assert service["spec"]["selector"].items() <= labels.items()
    assert service["spec"]["ports"][0]["port"] == 8080


def test_the_catalogue_arrives_whole_with_the_releases_namespace(built_in: Path) -> None:
    given = yaml.safe_load(built_in.read_text())["catalogue"]
    rendered = render(built_in, namespace="lab")
    held = yaml.safe_load(rendered.only("ConfigMap")["data"]["catalogue.yaml"])
    assert held == {**given, "namespace": "lab"}
    assert "--config=/etc/berth/catalogue.yaml" in pod_spec(rendered.only("Deployment"))["containers"][0]["args"]


def test_only_a_changed_catalogue_rolls_the_pods(built_in: Path) -> None:
    def template(*settings: str) -> dict[str, object]:
        whole: dict[str, object] = render(built_in, settings).only("Deployment")["spec"]["template"]
        return whole

    assert template() == template("replicas=2")
    assert template() != template('catalogue.imagePullPolicy="Always"')


def test_claims_outlive_the_release_and_any_node_can_mount_them() -> None:
    claims = [each for each in render().objects if each["kind"] == "PersistentVolumeClaim"]
    assert [each["metadata"]["name"] for each in claims] == ["berth-notebooks", "berth-datasets", "berth-models"]
    for claim in claims:
        assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
        assert claim["spec"]["storageClassName"] == "seaweedfs-storage"
