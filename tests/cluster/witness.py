"""Owns what says whether a fault has cost anything: somebody else's running server in the same hub. And the hubs of
sites, each with such a witness.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pods
from browser import Browser
from hub import NAMESPACE, BerthAddress, Hub
from kube import Kube
from processes import ProcessError
from table import FaultTable
from world import Guest, World


class Witness:
    """Somebody else's running server. What became of it says what a fault has cost."""

    def __init__(self, hub: Hub, kube: Kube) -> None:
        self._hub = hub
        self._kube = kube
        self._user = f"witness-of-{hub.name}"
        self._browser = Browser(hub.url, self._user)
        self._pod = ""

    def start(self) -> None:
        self._hub.call("POST", f"/users/{self._user}")
        self._browser.log_in()
        outcome = self._browser.spawn("cpu")
        assert outcome.ready, outcome
        self._pod = self._uid()
        assert self._pod, "its pod has the name that is looked for"

    def remove(self) -> None:
        """The hub may be gone; its pods are not."""
        pods.remove(self._kube, f"jupyter-{self._user}", NAMESPACE)

    def losses(self) -> list[str]:
        """What was lost: nothing, if all is well."""
        lost = []
        with suppress(ProcessError):
            self._hub.program.check_alive()
            if self._uid() != self._pod:
                lost.append("the pod of another user's server")
            page = self._browser.get(f"/user/{self._user}/api")
            if page.status_code != 200 or page.json().get("version") != "stub":
                lost.append(f"the way to another user's server ({page.status_code})")
            return lost
        return ["the hub"]

    def _uid(self) -> str:
        pod = self._kube.find("Pod", f"jupyter-{self._user}", NAMESPACE)
        return str(pod["metadata"]["uid"]) if pod and pod["status"].get("phase") == "Running" else ""


@dataclass(frozen=True)
class Site:
    """A hub with what a site has configured, beside the Berth of the other tests."""

    world: World
    table: FaultTable
    witness: Witness

    @property
    def hub(self) -> Hub:
        return self.world.hub

    def row(self, fault: str, shown: str, sentence: str) -> None:
        """What the user was shown holds the sentence, and nobody has lost anything."""
        self.table.add(fault, shown=shown, sentence=sentence, lost=self.witness.losses())


class SiteGuest(Guest):
    """A guest of a site's hub."""

    def __init__(self, site: Site, stack: ExitStack) -> None:
        super().__init__(site.world, stack)
        self.site = site


@contextmanager
def site_hub(
    world: World, table: FaultTable, name: str, *, url: str = "", python: Path | None = None
) -> Iterator[Site]:  # fmt: skip
    """`name`: a file of `sites/`; `url`: another address of Berth; `python`: whose JupyterHub to run."""
    address = BerthAddress(url or world.berth.url, world.berth.token)
    program = f"hub-{name.replace('_', '-')}{'-six' if python else ''}"
    with Hub(world.plane, name=program, berth=address, site=f"{name}.py", python=python) as hub:
        witness = Witness(hub, world.kube)
        try:
            witness.start()
            yield Site(World(world.plane, hub, world.stock, world.berth, world.timings), table, witness)
        finally:
            witness.remove()


def site_guest(site: Site) -> Iterator[SiteGuest]:
    with ExitStack() as stack:
        yield SiteGuest(site, stack)
