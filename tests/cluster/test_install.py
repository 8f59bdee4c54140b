"""Owns the proof that the chart, installed by real Helm, gives Berth what it needs and nothing more.

It has a cluster of its own, since the others hold objects of the same names. Where no kubelet runs, Berth is started as
a process with what the Deployment says: its service account, its arguments and variables, its mounted files. The
commands are those of the README, read from it.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import nodes
import pods
import pytest
import requests
import yaml
from berth import CHECKOUT
from control_plane import ControlPlane
from hub import NAMESPACE, BerthAddress, Hub, give_rights
from installation import (
    AT_THE_HUB,
    CLUSTER_ROLE,
    CONFIG_MAPS,
    DEPLOYMENT,
    EVERYWHERE,
    EXTRA,
    READ,
    REVIEWS,
    ROLE,
    FromDeployment,
    Site,
    readme_command,
    token_of,
    volume,
    write_token,
)
from kube import ApiError, Json, Kube
from processes import ProcessError
from storage import CLAIMS, claim_manifest
from waiting import eventually
from world import GPU_TAINT, OTHERS

# === what stands ===


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A cluster with a hub's namespace, its Secret, a GPU node, and SeaweedFS's volumes; no trace of Berth."""
    with ControlPlane() as plane:
        for space in (NAMESPACE, OTHERS):
            pods.ensure_namespace(plane.kube, space)
        give_rights(plane, "hub_rights.yaml")
        nodes.create(
            plane.kube, nodes.NodeSpec("gpu-1", nodes.L4, 2, taints=(GPU_TAINT,)), nodes.NodeSpec("cpu-1", cpu="32")
        )
        for claim in CLAIMS:
            plane.kube.create(volume(claim))
        write_token(plane.kube, secrets.token_urlsafe(24))
        yield Site(plane, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def installed(site: Site) -> Site:
    """The site after the README's first commands."""
    site.succeeds(readme_command("(echo"))
    notes = site.succeeds(readme_command("helm install berth"))
    assert "helm upgrade jupyterhub jupyterhub/jupyterhub" in notes
    for claim in CLAIMS:
        site.kube.wait_until(
            "PersistentVolumeClaim", claim, lambda item: item["status"].get("phase") == "Bound", "is bound",
            namespace=NAMESPACE,
        )  # fmt: skip
    return site


@pytest.fixture
def berth(installed: Site, request: pytest.FixtureRequest) -> Iterator[FromDeployment]:
    name = re.sub(r"\W+", "-", request.node.name).strip("-")
    with FromDeployment(installed, name) as berth:
        yield berth


# === installed ===


def test_a_user_of_the_hub_gets_what_berth_offers(installed: Site, berth: FromDeployment) -> None:
    hub = Hub(installed.plane, name="hub-of-the-site", berth=BerthAddress(berth.url, token_of(installed.kube)))
    berth.start(hub.api_url)
    eventually(berth.is_ready, "Berth is ready", 30)
    with hub:
        browser = hub.log_in("ada")
        form = browser.form()
        assert {"cpu", "gpu", "gpu-on-gpu-1"} <= set(form.slugs)
        assert form.profile("gpu").gpus_free == (2, 2)
        outcome = browser.spawn("gpu")
        assert outcome.ready, outcome
        pod = installed.kube.get("Pod", "jupyter-ada", NAMESPACE)
        assert pod["spec"]["nodeName"] == "gpu-1"
        claims = {each["persistentVolumeClaim"]["claimName"] for each in pod["spec"]["volumes"]
                  if "persistentVolumeClaim" in each}  # fmt: skip
        assert claims == set(CLAIMS)
        # Who asks is known by the hub, at the address that the chart's variables give.
        own = requests.get(
            f"{berth.url}/profiles", headers={"Authorization": f"Bearer {hub.token_of('ada')}", "Accept": "*/*"},
            timeout=10,
        )  # fmt: skip
        assert own.status_code == 200, own.text
        browser.stop()
        installed.kube.wait_gone("Pod", "jupyter-ada", NAMESPACE)


def test_a_new_token_is_taken_without_a_restart(installed: Site, berth: FromDeployment) -> None:
    berth.start()
    eventually(berth.is_ready, "Berth is ready", 30)
    old, new = token_of(installed.kube), secrets.token_urlsafe(24)
    assert berth.ask("profile-list", new).status_code == 401
    write_token(installed.kube, new)
    berth.write_files()
    eventually(lambda: berth.ask("profile-list", new).status_code == 200, "the new token is taken", 10)
    assert berth.ask("profile-list", old).status_code == 401


def test_the_notes_the_overlay_and_the_readme_tell_the_same_command(installed: Site) -> None:
    """The hub's own chart is no package, so that command cannot be run here: its files and keys are compared."""
    notes = installed.succeeds("helm get notes berth --namespace jupyterhub")
    command = readme_command("helm upgrade jupyterhub ")
    files = set(re.findall(r"--set-file '[^']+'", command))
    assert len(files) == 3
    for text in (notes, (CHECKOUT / "hub-config" / "values.yaml").read_text()):
        assert set(re.findall(r"--set-file '[^']+'", text)) == files
    assert "--values hub-config/values.yaml" in command
    for file in re.findall(r"hub-config/[\w./-]+", command):
        assert (CHECKOUT / file).is_file(), file


# === rights ===


@pytest.fixture(scope="module")
def as_berth(installed: Site) -> Kube:
    return installed.account("berth")


def may(kube: Kube, verb: str, group: str, resource: str, namespace: str = "") -> bool:
    name, _, sub = resource.partition("/")
    asked = {"verb": verb, "group": group, "resource": name, "subresource": sub, "namespace": namespace}
    body = {"apiVersion": REVIEWS, "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": asked}}
    answer = kube.call("POST", f"/apis/{REVIEWS}/selfsubjectaccessreviews", body)
    return bool(answer["status"]["allowed"])


def rules_of(kube: Kube, namespace: str) -> set[tuple[str, str, str]]:
    """All that the apiserver lets this account do there."""
    body = {"apiVersion": REVIEWS, "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    status = kube.call("POST", f"/apis/{REVIEWS}/selfsubjectrulesreviews", body)["status"]
    assert not status["incomplete"]
    return {
        (group, resource, verb)
        for rule in status["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize(
    ("namespace", "resources"),
    [(NAMESPACE, EVERYWHERE | AT_THE_HUB), (OTHERS, EVERYWHERE), ("kube-system", EVERYWHERE)],
)
def test_exactly_the_listed_rights(
    installed: Site, as_berth: Kube, namespace: str, resources: set[tuple[str, str]]
) -> None:
    # Kubernetes itself lets every account do some things.
    anybody = installed.account("default")
    granted = rules_of(as_berth, namespace) - rules_of(anybody, namespace)
    assert granted == {(*each, verb) for each in resources for verb in READ}


@pytest.mark.parametrize("namespace", [NAMESPACE, OTHERS])
@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        *((verb, "secrets") for verb in (*READ, "create", "update", "patch", "delete")),
        *((verb, "pods") for verb in ("create", "update", "patch", "delete", "deletecollection")),
        ("create", "pods/exec"), ("get", "pods/exec"), ("create", "pods/attach"), ("create", "pods/portforward"),
        ("create", "pods/eviction"), ("create", "pods/binding"), ("get", "pods/log"), ("patch", "pods/status"),
        *((verb, "nodes") for verb in ("create", "update", "patch", "delete", "proxy")),
        ("get", "nodes/proxy"), ("patch", "nodes/status"),
        *((verb, "persistentvolumeclaims") for verb in ("create", "update", "patch", "delete")),
        ("create", "events"), ("get", "configmaps"), ("create", "serviceaccounts/token"), ("impersonate", "users"),
    ],
)  # fmt: skip
def test_no_secret_no_shell_and_no_write(as_berth: Kube, namespace: str, verb: str, resource: str) -> None:
    assert not may(as_berth, verb, "", resource, namespace)


@contextmanager
def without(site: Site, as_berth: Kube, resource: str, verb: str) -> Iterator[None]:
    """The chart's rights but for one verb on one resource; the apiserver knows of it inside."""
    kind, name, namespace = ROLE if ("", resource) in AT_THE_HUB else CLUSTER_ROLE
    whole = site.kube.get(kind, name, namespace)["rules"]
    lessened: list[Json] = []
    for rule in whole:
        for each in rule["resources"]:
            verbs = [word for word in rule["verbs"] if (each, word) != (resource, verb)]
            lessened.append({"apiGroups": rule["apiGroups"], "resources": [each], "verbs": verbs})
    site.kube.patch(kind, name, {"rules": lessened}, namespace)
    eventually(lambda: not may(as_berth, verb, "", resource, NAMESPACE), f"{verb} {resource} is denied", 10)
    try:
        yield
    finally:
        site.kube.patch(kind, name, {"rules": whole}, namespace)
        eventually(lambda: may(as_berth, verb, "", resource, NAMESPACE), f"{verb} {resource} is allowed", 10)


WATCHED = ("nodes", "pods", "persistentvolumeclaims")


@pytest.mark.parametrize("resource", WATCHED)
def test_without_list_it_is_never_ready(installed: Site, as_berth: Kube, berth: FromDeployment, resource: str) -> None:
    with without(installed, as_berth, resource, "list"):
        berth.start()
        # It has tried, was refused, tried again, and was refused again.
        eventually(lambda: berth.refusals(resource, "list") >= 2, "it was refused twice", 30)
        assert not berth.is_ready()
        assert berth.spawn_of_cpu() == 503
    eventually(berth.is_ready, "with the right it is ready, without a restart", 30)


@contextmanager
def changed(site: Site, resource: str) -> Iterator[None]:
    """Something that matters to what Berth says."""
    kube = site.kube
    if resource == "nodes":
        nodes.create(kube, nodes.NodeSpec("gpu-2", nodes.L4, 2, taints=(GPU_TAINT,)))
    elif resource == "pods":
        pods.start(kube, pods.manifest("work", OTHERS, gpus=1, node="gpu-1"))
    else:
        kube.delete("PersistentVolumeClaim", EXTRA, NAMESPACE)
        kube.wait_gone("PersistentVolumeClaim", EXTRA, NAMESPACE)
    try:
        yield
    finally:
        nodes.delete(kube, "gpu-2")
        pods.remove(kube, "work", OTHERS)


@pytest.mark.parametrize(
    ("resource", "before", "after"),
    [("nodes", (2, 2, 200), (4, 4, 200)), ("pods", (2, 2, 200), (1, 2, 200)),
     ("persistentvolumeclaims", (2, 2, 200), (2, 2, 422))],
)  # fmt: skip
def test_without_watch_it_sees_no_change(
    installed: Site, as_berth: Kube, berth: FromDeployment, resource: str,
    before: tuple[int, int, int], after: tuple[int, int, int],
) -> None:  # fmt: skip
    def shown() -> tuple[int, int, int]:
        return (*berth.gpus(), berth.spawn_of_cpu())

    installed.kube.create(volume(EXTRA))
    installed.kube.create(claim_manifest(EXTRA, NAMESPACE, "seaweedfs-storage"))
    catalogue = yaml.safe_load(berth.catalogue.read_text())
    catalogue["volumes"].append({"name": "extra", "claim": EXTRA, "mountPath": "/srv/extra", "scope": "shared"})
    berth.catalogue.write_text(yaml.safe_dump(catalogue))
    try:
        with without(installed, as_berth, resource, "watch"):
            berth.start()
            eventually(berth.is_ready, "Berth has listed once", 30)
            assert shown() == before
            with changed(installed, resource):
                refused = berth.refusals(resource, "watch")
                eventually(lambda: berth.refusals(resource, "watch") >= refused + 2, "it was refused again", 40)
                assert shown() == before
        with changed(installed, resource):
            eventually(lambda: shown() == after, f"with the right it says {after}", 40)
    finally:
        installed.kube.delete("PersistentVolumeClaim", EXTRA, NAMESPACE)
        installed.kube.wait_gone("PersistentVolumeClaim", EXTRA, NAMESPACE)
        installed.kube.delete("PersistentVolume", EXTRA)
        installed.kube.wait_gone("PersistentVolume", EXTRA)


# === upgraded and removed ===


def test_a_changed_catalogue_rolls_the_pods_and_a_wrong_one_changes_nothing(installed: Site) -> None:
    command = readme_command("helm upgrade berth ")
    first = installed.deployment
    installed.succeeds(command)
    same = installed.deployment
    assert same["spec"]["template"] == first["spec"]["template"]
    installed.succeeds(f"""{command} --set-json 'catalogue.profiles[0].title="Another title"'""")
    other = installed.deployment
    annotation = "checksum/catalogue"
    sums = [each["spec"]["template"]["metadata"]["annotations"][annotation] for each in (first, other)]
    assert sums[0] != sums[1]
    assert other["metadata"]["generation"] == same["metadata"]["generation"] + 1
    assert "Another title" in installed.kube.call("GET", f"{CONFIG_MAPS}berth")["data"]["catalogue.yaml"]

    refused = installed.run(f"""{command} --set-json 'catalogue.profiles[0].titel="x"'""")
    assert refused.returncode != 0
    assert "'titel' not allowed" in refused.stderr
    assert installed.deployment["metadata"]["generation"] == other["metadata"]["generation"]


def test_a_mistake_that_no_schema_sees_ends_the_new_pod_with_a_sentence(installed: Site) -> None:
    """The old pod goes on meanwhile: none may be unavailable during a roll-out."""
    command = readme_command("helm upgrade berth ")
    installed.succeeds(f"""{command} --set-json 'catalogue.profiles[1].slug="cpu"'""")
    try:
        with (
            FromDeployment(installed, "with-a-slug-twice") as berth,
            pytest.raises(ProcessError, match=r"(?s)status 1.*profiles\[1\]\.slug"),
        ):
            berth.start()
        strategy = installed.deployment["spec"]["strategy"]
        assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    finally:
        installed.succeeds(command)


def test_the_apiserver_holds_the_octal_mode_that_is_meant(installed: Site) -> None:
    (secret,) = [each["secret"] for each in installed.deployment["spec"]["template"]["spec"]["volumes"]
                 if "secret" in each]  # fmt: skip
    assert secret["defaultMode"] == 0o440


def test_removed_it_leaves_the_users_work_and_nothing_else(installed: Site) -> None:
    kube = installed.kube
    before = {claim: kube.get("PersistentVolumeClaim", claim, NAMESPACE)["metadata"]["uid"] for claim in CLAIMS}
    installed.succeeds(readme_command("helm uninstall berth"))

    def held() -> dict[str, str]:
        found = [kube.get("PersistentVolumeClaim", claim, NAMESPACE) for claim in CLAIMS]
        assert all(each["status"]["phase"] == "Bound" for each in found)
        return {each["metadata"]["name"]: each["metadata"]["uid"] for each in found}

    assert held() == before
    for kind, name, namespace in (
        CLUSTER_ROLE, ("ClusterRoleBinding", f"berth-{NAMESPACE}", None), ROLE, ("RoleBinding", "berth", NAMESPACE),
        ("ServiceAccount", "berth", NAMESPACE),
    ):  # fmt: skip
        assert kube.find(kind, name, namespace) is None, kind
    with pytest.raises(ApiError, match="404"):
        kube.call("GET", DEPLOYMENT)

    # And a second time: it takes the same claims again.
    installed.succeeds(readme_command("helm install berth"))
    assert held() == before
