"""Owns what a site has configured already: Berth's patch leaves it as it is, and Berth judges the pod that comes of
both.

Two hubs have the same things in KubeSpawner's list and dict forms; a third keeps its notebooks away from every GPU.
"""

from __future__ import annotations

from collections.abc import Iterator

import manifests
import nodes
import pytest
from browser import Browser
from faults import not_offered, page_text
from kube import Json
from nodes import NodeSpec
from table import FaultTable
from witness import Site, SiteGuest, site_guest, site_hub
from world import A100, GPU_TAINT, L4, World, until_form

RESERVED = {"key": "site/reserved", "operator": "Exists", "effect": "NoSchedule"}
ARCH = {"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}
ANY_ARCH = {"key": "site/any-arch", "operator": "Exists"}
ON_A100 = {"key": "metadata.name", "operator": "In", "values": [A100]}
# The gpu profiles ask for 2 CPUs, the site's proxy for a quarter more.
SMALL = NodeSpec("node-small", nodes.H100, 1, cpu="2200m")
SET_APART = NodeSpec("node-set-apart", nodes.H100, 1, taints=({"key": "site/reserved", "effect": "NoSchedule"},))
# What Berth says when no node with a GPU is one that the hub itself asks for.
KEPT_OFF = "no node is of the kind that the request and the hub's own rules ask for"
FORMS = ("list_form", "dict_form")


@pytest.fixture(scope="module")
def dict_form(world: World, table: FaultTable) -> Iterator[Site]:
    with site_hub(world, table, "dict_form") as site:
        yield site


@pytest.fixture(scope="module")
def cpu_pool(world: World, table: FaultTable) -> Iterator[Site]:
    with site_hub(world, table, "cpu_pool") as site:
        yield site


@pytest.fixture
def cpu_guest(cpu_pool: Site) -> Iterator[SiteGuest]:
    yield from site_guest(cpu_pool)


@pytest.fixture
def either_guest(request: pytest.FixtureRequest) -> Iterator[SiteGuest]:
    yield from site_guest(request.getfixturevalue(request.param))


both_forms = pytest.mark.parametrize("either_guest", FORMS, indirect=True)


def containers(pod: Json) -> dict[str, Json]:
    return {each["name"]: each for each in pod["spec"]["containers"]}


@both_forms
def test_what_the_site_has_is_in_the_pod_beside_the_patch(either_guest: SiteGuest) -> None:
    browser = either_guest.browser("rosa")
    outcome = browser.spawn(f"gpu-on-{A100}")
    assert outcome.ready, outcome
    pod = either_guest.pod_of("rosa")
    site = either_guest.world.hub.name
    either_guest.site.row(f"a site's own settings ({site}): a GPU is started", " ".join(outcome.messages),
              "Server ready at /user/rosa/")  # fmt: skip

    assert manifests.resources(pod)["limits"]["nvidia.com/gpu"] == 1
    assert containers(pod)["proxy"]["resources"]["requests"] == {"cpu": "250m", "memory": "64Mi"}
    assert RESERVED in manifests.tolerations(pod)
    assert GPU_TAINT["key"] in {each["key"] for each in manifests.tolerations(pod)}
    assert [{"matchExpressions": [each], "matchFields": [ON_A100]} for each in (ARCH, ANY_ARCH)] == [
        {key: term[key] for key in sorted(term)} for term in manifests.required_terms(pod)
    ]
    mounts = manifests.mounts(pod)
    assert mounts["/etc/site"]["readOnly"] is True
    assert mounts["/home/jovyan/notebooks"]["volume"]["persistentVolumeClaim"]["claimName"] == "berth-notebooks"
    environment = manifests.environment(pod)
    assert environment["SITE_HOOK"] == "seen rosa"


def test_the_list_forms_own_settings(list_guest: SiteGuest) -> None:
    pod = list_guest.spawn("rosa", "cpu")
    environment = manifests.environment(pod)
    assert {name: environment[name] for name in ("SITE_PROXY", "SITE_NAME", "SITE_GROUP")} == {
        "SITE_PROXY": "http://proxy.example.org:3128", "SITE_NAME": "list", "SITE_GROUP": "research",
    }  # fmt: skip
    assert environment["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert pod["metadata"]["annotations"]["site/group"] == "research"
    assert pod["metadata"]["labels"]["site/hook"] == "seen"
    assert pod["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
    assert volumes["scratch"]["emptyDir"] == {"sizeLimit": "50Gi"}, "the catalogue's, under the site's name"
    paths = [each["mountPath"].rstrip("/") for each in manifests.notebook(pod)["volumeMounts"]]
    assert len(paths) == len(set(paths)), paths


def test_the_dict_forms_home_lies_under_the_catalogues_folders(dict_form: Site) -> None:
    for guest in site_guest(dict_form):
        paths = [each["mountPath"] for each in manifests.notebook(guest.spawn("rosa", "cpu"))["volumeMounts"]]
        assert paths.index("/home/jovyan") < paths.index("/home/jovyan/notebooks")


@both_forms
def test_the_requests_of_the_sites_containers_count(either_guest: SiteGuest) -> None:
    either_guest.node(SMALL)
    browser = either_guest.browser("rosa")
    slug = f"gpu-on-{SMALL.name}"
    form = until_form(browser, lambda form: slug in form.slugs, "the small node is offered")
    assert "Not possible here" in form.profile(slug).text
    site = either_guest.world.hub.name
    either_guest.site.row(f"a site's container leaves no room ({site}): the form", form.profile(slug).text,
              "no node is large enough for 2.25 CPU")  # fmt: skip
    refused = browser.spawn(slug)
    assert refused.failed
    assert refused.status == 422
    either_guest.site.row(f"a site's container leaves no room ({site}): it is started", refused.page,
              "no node is large enough for 2.25 CPU")  # fmt: skip


@both_forms
def test_a_node_set_apart_for_the_site_takes_its_pods(either_guest: SiteGuest) -> None:
    """The catalogue tolerates no such taint; the hub's own configuration does."""
    either_guest.node(SET_APART)
    browser = either_guest.browser("rosa")
    until_form(
        browser, lambda form: nodes.H100.kind in str(form.profile("gpu").options["gpu-kind"]), "the kind is offered"
    )
    assert either_guest.spawn("rosa", "gpu", gpu_kind=nodes.H100.kind)["spec"]["nodeName"] == SET_APART.name


def test_a_refusal_on_a_hub_that_waits_comes_on_the_form(list_guest: SiteGuest) -> None:
    """slow_spawn_timeout 10: what fails in the first second is told on the form itself."""
    browser = list_guest.browser("rosa")
    browser.form()
    answer = browser.submit("no-such-profile")
    assert answer.status_code != 302, answer.headers
    list_guest.site.row("an unknown profile, slow_spawn_timeout 10", page_text(answer),
              not_offered("no-such-profile"))  # fmt: skip
    assert answer.status_code < 500


def test_a_group_override_that_keeps_a_user_off_the_gpus(list_guest: SiteGuest) -> None:
    browser = list_guest.browser("sam")
    form = browser.form()
    assert "Not possible here" in form.profile("gpu").text
    assert "Free now" in form.profile("cpu").text
    list_guest.site.row("a group_override keeps off the GPU nodes: the form", form.profile("gpu").text,
              KEPT_OFF)  # fmt: skip
    assert list_guest.spawn("sam", "cpu")["spec"]["nodeName"] == "node-cpu-1"
    other = list_guest.browser("rosa").form()
    assert "Free now" in other.profile("gpu").text


def test_a_node_selector_that_no_gpu_node_has(cpu_guest: SiteGuest) -> None:
    browser: Browser = cpu_guest.browser("rosa")
    form = browser.form()
    for slug in ("gpu", f"gpu-on-{L4}"):
        assert "Not possible here" in form.profile(slug).text
    assert "Free now" in form.profile("cpu").text
    fault = "the site's node selector excludes every GPU node"
    cpu_guest.site.row(f"{fault}: the form", form.profile("gpu").text, KEPT_OFF)
    refused = browser.spawn(f"gpu-on-{L4}")
    assert refused.status == 422
    cpu_guest.site.row(f"{fault}: a GPU is started", refused.page, KEPT_OFF)
    assert browser.spawn("gpu").status == 422
    assert cpu_guest.spawn("rosa", "cpu")["spec"]["nodeName"] == "node-cpu-1"
