"""Owns the programs of the test cluster: builds them once from package registries and keeps them in the user's cache.

A checkout is thrown away after a run, the cache is not. So each family of programs lives in a folder named by a hash
of what pins it (go.mod and go.sum, package-lock.json): a second run finds it and builds nothing. A build happens in a
temporary folder that is renamed at the end, so a folder that exists is complete.

Run as a program it builds what the test cluster needs and says what it does: `python tests/cluster/tools.py`. With the
word `chart` it builds the programs of the chart's tests, with `browser` also what the browser's tests need.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "tools"
STILL_ALIVE_EVERY = 15.0

# The stages that make a simulated node Ready and its pods Running; nothing else of KWOK is wanted.
KWOK_STAGES = ("node/fast", "node/heartbeat-with-lease", "pod/fast")


class ToolError(RuntimeError):
    """A program could not be built; the message holds the end of the builder's output."""


@dataclass(frozen=True)
class Family:
    """Programs that are pinned and built together."""

    name: str
    pins: tuple[str, ...]
    why: str
    build: Callable[[Family, Path], None]
    programs: tuple[tuple[str, str], ...] = ()

    @property
    def source(self) -> Path:
        return SOURCES / self.name

    @property
    def digest(self) -> str:
        total = hashlib.sha256()
        for pin in self.pins:
            total.update((self.source / pin).read_bytes())
        return total.hexdigest()[:16]

    @property
    def home(self) -> Path:
        return cache_root() / f"{self.name}-{self.digest}"


@dataclass(frozen=True)
class Tools:
    """Where the finished programs are."""

    kube_apiserver: Path
    kube_controller_manager: Path
    kube_scheduler: Path
    kubectl: Path
    etcd: Path
    kwok: Path
    kwok_stages: Path
    proxy: Path


@dataclass(frozen=True)
class ChartTools:
    """Where the programs of the chart's tests are; `schemas` is a folder."""

    helm: Path
    helm_unittest: Path
    kubeconform: Path
    helm_docs: Path
    schemas: Path


def cache_root() -> Path:
    """The folder that outlives checkouts."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "berth"


def say(text: str) -> None:
    print(f"tools: {text}", file=sys.stderr, flush=True)


@contextmanager
def only_one_builder(family: Family) -> Iterator[None]:
    """Two test runs may start together; the second waits for the first one's build."""
    cache_root().mkdir(parents=True, exist_ok=True)
    with (cache_root() / f"{family.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run_step(step: str, command: list[str], cwd: Path) -> None:
    """Run one builder, say how long it takes, and show that a long one is alive."""
    begun = time.monotonic()
    with (
        tempfile.TemporaryFile("w+") as output,
        subprocess.Popen(command, cwd=cwd, stdout=output, stderr=subprocess.STDOUT, text=True) as process,
    ):
        while True:
            try:
                status = process.wait(timeout=STILL_ALIVE_EVERY)
                break
            except subprocess.TimeoutExpired:
                say(f"{step}: still at it after {time.monotonic() - begun:.0f} s")
            except BaseException:
                process.kill()
                raise
        if status != 0:
            output.seek(0)
            raise ToolError(f"{step}: `{' '.join(command)}` ended with {status}\n{output.read()[-4000:]}")
    say(f"{step}: done in {time.monotonic() - begun:.0f} s")


def build_go(family: Family, target: Path, link_flags: str = "-s -w") -> None:
    """One `go build` per program: each is shown by name, and Go shares what they have in common."""
    for number, (program, package) in enumerate(family.programs, start=1):
        step = f"{family.name} {number}/{len(family.programs)}, {program}"
        say(f"{step}: go build {package}")
        command = ["go", "build", "-trimpath", "-ldflags", link_flags, "-o", str(target / program), package]
        run_step(step, command, family.source)


def build_kubernetes(family: Family, target: Path) -> None:
    """Kubernetes learns its version from the linker; without it the apiserver calls itself v0.0.0."""
    pinned = re.search(r"k8s\.io/kubernetes v((\d+)\.(\d+)\.\d+)", (family.source / "go.mod").read_text())
    if pinned is None:
        raise ToolError(f"{family.source / 'go.mod'} pins no k8s.io/kubernetes")
    facts = {"gitVersion": f"v{pinned[1]}", "gitMajor": pinned[2], "gitMinor": pinned[3]}
    stamps = [f"-X k8s.io/component-base/version.{name}={value}" for name, value in facts.items()]
    build_go(family, target, " ".join(["-s -w", *stamps]))


def build_kwok(family: Family, target: Path) -> None:
    build_go(family, target)
    found = subprocess.run(
        ["go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kwok"],
        cwd=family.source, check=True, capture_output=True, text=True,
    )  # fmt: skip
    stages: list[str] = []
    for stage in KWOK_STAGES:
        folder = Path(found.stdout.strip()) / "kustomize" / "stage" / stage
        stages += [path.read_text() for path in sorted(folder.glob("*.yaml")) if path.name != "kustomization.yaml"]
    (target / "stages.yaml").write_text("\n---\n".join(stages))


def build_npm(family: Family, target: Path) -> None:
    for pin in family.pins:
        shutil.copy(family.source / pin, target / pin)
    run_step(f"{family.name}, {family.why}", ["npm", "ci", "--omit=dev", "--no-audit", "--no-fund"], target)


def build_schemas(family: Family, target: Path) -> None:
    """What apiservers of pinned versions accept, as their own source describes it: files named `<module>-<version>`.

    A line of modules.txt is: module, version, the sum that go.sum would hold, the file in it.
    """
    for line in (family.source / "modules.txt").read_text().splitlines():
        module, version, pinned, file = line.split()
        say(f"{family.name}: go mod download {module}@{version}")
        command = ["go", "mod", "download", "-json", f"{module}@{version}"]
        # Outside any module, so that only this one is fetched and not all that it needs.
        found = subprocess.run(command, cwd=target, check=True, capture_output=True, text=True)
        module_facts = json.loads(found.stdout)
        if module_facts["Sum"] != pinned:
            raise ToolError(f"{module}@{version} is {module_facts['Sum']}, pinned is {pinned}")
        source = Path(module_facts["Dir"]) / file
        shutil.copyfile(source, target / f"{Path(module).name}-{version}{source.suffix}")


GO_PINS = ("go.mod", "go.sum")
K8S = Family(
    "kubernetes", GO_PINS, "the control plane and kubectl, about 8 minutes on 2 cores the first time", build_kubernetes,
    tuple((name, f"k8s.io/kubernetes/cmd/{name}")
          for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")),
)  # fmt: skip
ETCD = Family("etcd", GO_PINS, "the apiserver's store", build_go, (("etcd", "go.etcd.io/etcd/server/v3"),))
KWOK = Family("kwok", GO_PINS, "simulates nodes", build_kwok, (("kwok", "sigs.k8s.io/kwok/cmd/kwok"),))
NPM_PINS = ("package.json", "package-lock.json")
PROXY = Family("proxy", NPM_PINS, "JupyterHub's own proxy", build_npm)
AXE = Family("axe", NPM_PINS, "finds what keeps people from using a page", build_npm)
HELM = Family("helm", GO_PINS, "installs the chart", build_go, (("helm", "helm.sh/helm/v4/cmd/helm"),))
HELM_UNITTEST = Family(
    "helm-unittest", GO_PINS, "tests of the chart's templates", build_go,
    (("helm-unittest", "github.com/helm-unittest/helm-unittest/cmd/helm-unittest"),),
)  # fmt: skip
KUBECONFORM = Family(
    "kubeconform", GO_PINS, "checks manifests against schemas", build_go,
    (("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform"),),
)  # fmt: skip
HELM_DOCS = Family(
    "helm-docs", GO_PINS, "writes the chart's table of values", build_go,
    (("helm-docs", "github.com/norwoodj/helm-docs/cmd/helm-docs"),),
)  # fmt: skip
SCHEMAS = Family("kubernetes-schemas", ("modules.txt",), "what Kubernetes 1.32 and the newest accept", build_schemas)
FAMILIES = (ETCD, KWOK, PROXY, K8S)
CHART_FAMILIES = (HELM, HELM_UNITTEST, KUBECONFORM, HELM_DOCS, SCHEMAS)


def ensure(family: Family) -> Path:
    """The family's folder, built now if the cache lacks it."""
    with only_one_builder(family):
        if family.home.is_dir():
            return family.home
        say(f"{family.name}: not in the cache ({family.home}), building it: {family.why}")
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(
            prefix=f".{family.name}-", dir=cache_root(), ignore_cleanup_errors=True
        ) as work:
            target = Path(work) / "out"
            target.mkdir()
            family.build(family, target)
            target.rename(family.home)
        say(f"{family.name}: ready after {time.monotonic() - begun:.0f} s")
        return family.home


def ensure_all() -> Tools:
    """Every program the test cluster needs."""
    homes = {family.name: ensure(family) for family in FAMILIES}
    k8s = homes["kubernetes"]
    return Tools(
        kube_apiserver=k8s / "kube-apiserver",
        kube_controller_manager=k8s / "kube-controller-manager",
        kube_scheduler=k8s / "kube-scheduler",
        kubectl=k8s / "kubectl",
        etcd=homes["etcd"] / "etcd",
        kwok=homes["kwok"] / "kwok",
        kwok_stages=homes["kwok"] / "stages.yaml",
        proxy=homes["proxy"] / "node_modules" / ".bin" / "configurable-http-proxy",
    )


def ensure_chart_tools() -> ChartTools:
    """Every program that the chart's tests need."""
    homes = {family.name: ensure(family) for family in CHART_FAMILIES}
    return ChartTools(
        helm=homes["helm"] / "helm",
        helm_unittest=homes["helm-unittest"] / "helm-unittest",
        kubeconform=homes["kubeconform"] / "kubeconform",
        helm_docs=homes["helm-docs"] / "helm-docs",
        schemas=homes["kubernetes-schemas"],
    )


def ensure_helm() -> Path:
    """Helm alone: the cluster's tests install the chart with it."""
    return ensure(HELM) / "helm"


def ensure_axe() -> Path:
    """The script of axe-core, which a page is given to be checked."""
    return ensure(AXE) / "node_modules" / "axe-core" / "axe.min.js"


def wanted(words: list[str]) -> dict[str, Path]:
    """`chart` means the chart's programs, `browser` axe-core too; without a word it is what the test cluster needs."""
    if words == ["chart"]:
        return vars(ensure_chart_tools())
    if words == ["browser"]:
        return {**vars(ensure_all()), "axe": ensure_axe()}
    return {**vars(ensure_all()), "helm": ensure_helm()}


if __name__ == "__main__":
    try:
        for name, path in wanted(sys.argv[1:]).items():
            print(f"{name:24} {path}")
    except (ToolError, OSError, subprocess.CalledProcessError) as problem:
        sys.exit(f"tools: {problem}")
