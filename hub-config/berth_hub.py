"""The hub's side of Berth: offers live GPU profiles on the spawn form and applies the pod settings that Berth returns.

It owns three things and decides nothing: asking Berth in time (or doing without it), merging Berth's patch into what
the hub's own configuration says, and telling the user in a sentence why something cannot be had. In that configuration:

    berth_hub.configure(c, url="http://berth:8080", token=...)  # the token of hub.services.berth

KubeSpawner applies a profile's overrides after the pre_spawn_hook, so the profiles carry none: every setting comes from
the patch. It also asks for the profiles once more inside start() and fails on a choice that has gone meanwhile; that
one call is answered here with the choice that Berth has just accepted.
"""

from __future__ import annotations

import asyncio
import copy
import html
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import datetime, timezone
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, Template
from jupyterhub.utils import maybe_future
from kubespawner import KubeSpawner
from tornado import web
from tornado.httpclient import HTTPRequest, HTTPResponse
from tornado.log import app_log  # JupyterHub makes it part of its own log
from tornado.simple_httpclient import SimpleAsyncHTTPClient
from traitlets.config import Config, LazyConfigValue

try:
    from jupyterhub.spawner import SpawnException
except ImportError:  # JupyterHub 5
    SpawnException = None

CONNECT_SECONDS = 1.0
TOTAL_SECONDS = 3.0
RETRY_SECONDS = 0.2  # a Berth that restarts refuses connections for a moment, and a second replica may answer
MOST_SENT_BYTES = 256 * 1024
MOST_READ_BYTES = 2 * 1024 * 1024  # decoding more would hold up the hub's only loop
LONGEST_NAME = 500
SHOWN = ("slug", "display_name")
HIDING = ("options_form", "profile_form_template")
TEMPLATE_PATHS = "additional_profile_form_template_paths"
OURS = {"profile_list", "pre_spawn_hook", TEMPLATE_PATHS, *HIDING}
HOOKS_FAULT = ("bad-request", "not-found", "method-not-allowed")  # Berth's words for a call that no user can mend
TEMPLATES = str(Path(__file__).parent / "templates")

UNAVAILABLE = "The GPU service does not answer. Please try again in a minute; if it lasts, tell your administrator."
ONLY_FALLBACK = "The GPU service does not answer: only this can be started right now. Please try again in a minute."
STALE = "The cluster cannot be watched at the moment: what is free is as of {age}."
MISFIT = "The GPU service sent settings that this hub does not understand. Please tell your administrator."


class _Down(Exception):
    """Berth gave no answer that could be used. The text is for the log."""


def configure(
    c: Config, *, url: str, token: str, template_dir: str = TEMPLATES, fallback_file: str = "berth-fallback.json"
) -> None:
    """Put Berth into the hub's configuration. In the stock chart the working directory is the hub's data folder."""
    if not token:
        app_log.error("Berth: the token is empty: give berth_hub.configure the one of hub.services.berth")
    # A spawner class of the site's own has a section of its own, and what is set there wins.
    own = [c[name] for name in c if name not in ("KubeSpawner", "Spawner") and OURS & set(c[name])]
    hooks = [section.pre_spawn_hook for section in (*own, c.KubeSpawner, c.Spawner) if "pre_spawn_hook" in section]
    berth = _Berth(url, token, Path(fallback_file).absolute(), hooks[0] if hooks else None)
    for section in (*own, c.KubeSpawner):
        section.profile_list = berth.profile_list
        section.pre_spawn_hook = berth.pre_spawn_hook
        if section is c.KubeSpawner or TEMPLATE_PATHS in section:
            _add_path(section, TEMPLATE_PATHS, template_dir)
    for section in (*own, c.KubeSpawner, c.Spawner):
        for name in HIDING:
            if name in section:
                app_log.error("Berth: %s is set, so users do not see Berth's form: take it out", name)
    _add_path(c.JupyterHub, "template_paths", template_dir)


def _add_path(section: Config, name: str, path: str) -> None:
    """Behind the site's own. The stock templates are searched last, and not found where these have one of that name."""
    paths = section[name]
    if isinstance(paths, LazyConfigValue):  # nothing was set, or only added to the default
        paths = paths.get_value([])
    section[name] = [*([paths] if isinstance(paths, str) else paths), path]


class _Berth:
    """The service as the hub sees it, and the last fallback that it gave."""

    def __init__(self, url: str, token: str, fallback_file: Path, earlier_hook: Callable[..., Any] | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._earlier_hook = earlier_hook or (lambda _spawner: None)
        self._fallback_file = fallback_file
        self._fallback = self._read_fallback()
        self._file_writer = ThreadPoolExecutor(1, "berth-fallback")  # one thread: writes stay in order, off the loop

    def __deepcopy__(self, _memo: object) -> _Berth:
        return self  # traitlets deep-copies what is configured for each spawner, and with a method its object

    async def profile_list(self, spawner: KubeSpawner) -> list[dict[str, Any]]:
        pending, accepted = vars(spawner).pop("_berth_accepted", (None, None))
        if accepted and pending == spawner.pending:  # no longer pending: that spawn ended before KubeSpawner asked
            return [accepted]
        try:
            preview = await _with_group_overrides(spawner)
            answer = await self._ask("profile-list", preview, last=_last(spawner.user_options))
            match answer.get("profiles"):
                case [_, *_] as profiles if all(map(_is_profile, profiles)):
                    self._remember(_fallback_of(answer.get("fallback"), profiles))
                case _:
                    raise _Down("its answer holds no profiles that could be shown")
        except _Down as down:
            app_log.error("Berth: %s. The form of %s shows the fallback at most", down, spawner.user.name)
            if not self._fallback:
                raise _refusal(503, UNAVAILABLE) from down
            return _with_form(_with_note([copy.deepcopy(self._fallback["profile"])], ONLY_FALLBACK))
        if answer.get("stale"):
            age = _age(answer.get("observedAt"))
            profiles = _with_note(profiles, STALE.format(age=_ago(age)), ageSeconds=age)
        return _with_form(_with_what_the_hub_knows(profiles, preview, answer.get("last")))

    async def pre_spawn_hook(self, spawner: KubeSpawner) -> None:
        _restore(spawner)
        base = {trait: copy.deepcopy(getattr(spawner, trait)) for trait in MERGES}
        await maybe_future(self._earlier_hook(spawner))

        profile, patch = await self._patch(spawner)
        try:
            merged = {trait: _merged(spawner, trait, value) for trait, value in patch.items()}
            spawner._berth_base = {trait: base[trait] for trait in merged}
            for trait, value in merged.items():
                setattr(spawner, trait, value)
        except Exception as error:
            _restore(spawner)
            app_log.error("Berth's patch for the profile %s cannot be applied: %s", profile, error)
            raise _refusal(500, MISFIT) from error
        slug = spawner.user_options.get("profile") or profile  # the user's own: a retired one may mean another profile
        spawner._berth_accepted = spawner.pending, {"slug": slug, "display_name": profile, "default": True}

    async def _patch(self, spawner: KubeSpawner) -> tuple[str, dict[str, Any]]:
        """The profile and the patch for what the user chose."""
        try:
            match await self._ask("spawn-options", spawner, options=spawner.user_options):
                case {"profile": str(profile), "patch": dict(patch)}:
                    return profile, patch
            raise _Down("its answer holds no profile and patch")
        except _Down as down:
            wanted, fallback = spawner.user_options.get("profile"), self._fallback
            if not fallback or wanted not in (None, "", fallback["profile"]["slug"]):
                app_log.error("Berth: %s. %s cannot start %s", down, spawner.user.name, wanted or "the default profile")
                raise _refusal(503, UNAVAILABLE) from down
            app_log.error("Berth: %s. %s starts with the fallback", down, spawner.user.name)
            return fallback["profile"]["slug"], fallback["patch"]

    async def _ask(self, call: str, spawner: KubeSpawner, **more: object) -> dict[str, Any]:
        """Berth's answer; _Down if there is none, web.HTTPError if it says no."""
        try:
            body = json.dumps({**_question(spawner), **more}).encode()
        except Exception as error:
            raise _Down(f"what this hub asks of a pod cannot be told ({type(error).__name__}: {error})") from error
        try:
            if len(body) > MOST_SENT_BYTES:
                raise _refusal(413, "These server options are too large.")
            try:
                response = await self._post(call, body, TOTAL_SECONDS)
            except ConnectionRefusedError:
                await asyncio.sleep(RETRY_SECONDS)
                response = await self._post(call, body, TOTAL_SECONDS - CONNECT_SECONDS - RETRY_SECONDS)
        except web.HTTPError:
            raise
        except Exception as error:  # whatever a network and a broken server can do must not reach the user
            raise _Down(f"no answer from {self._url} ({type(error).__name__}: {error})") from error

        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        answer = None
        with suppress(ValueError, RecursionError):
            answer = json.loads(response.body)
        if response.code == 200 and kind == "application/json" and isinstance(answer, dict):
            return answer
        if response.code == 401:
            raise _Down("it refuses the token: give berth_hub.configure the one of hub.services.berth, restart the hub")
        if 400 <= response.code < 500 and kind == "application/problem+json":
            match answer:
                case {"detail": str(sentence), **more_said} if sentence and more_said.get("reason") not in HOOKS_FAULT:
                    raise _refusal(response.code, sentence)
        raise _Down(f"{self._url} answered {response.code} {kind}: {response.body[:200]!r}")

    async def _post(self, call: str, body: bytes, seconds: float) -> HTTPResponse:
        # A client for each request: the shared one carries the hub's calls to its proxy and queues beyond ten.
        with closing(SimpleAsyncHTTPClient(force_instance=True, max_body_size=MOST_READ_BYTES)) as client:
            request = HTTPRequest(f"{self._url}/api/v1/hub/{call}", "POST", self._headers, body)
            request.connect_timeout, request.request_timeout = CONNECT_SECONDS, seconds
            request.follow_redirects = request.decompress_response = False
            return await client.fetch(request, raise_error=False)

    def _remember(self, fallback: dict[str, Any] | None) -> None:
        if fallback != self._fallback:
            self._fallback = fallback
            self._file_writer.submit(self._write_fallback, fallback)

    def _write_fallback(self, fallback: dict[str, Any] | None) -> None:
        new = self._fallback_file.with_name(f"{self._fallback_file.name}.new")
        try:
            new.write_text(json.dumps(fallback))
            new.replace(self._fallback_file)
        except OSError as error:
            app_log.warning("Berth's fallback will not outlive this hub: %s", error)

    def _read_fallback(self) -> dict[str, Any] | None:
        try:
            match json.loads(self._fallback_file.read_text()):
                case {"profile": profile, "patch": dict()} as fallback if _is_profile(profile):
                    return fallback
        except (OSError, ValueError, RecursionError) as error:  # none yet, or damaged: the hub starts all the same
            app_log.info("Berth's fallback is not known from a file: %s", error)
        return None


def _refusal(status: int, sentence: str) -> web.HTTPError:
    """An error that every page and stream of the hub shows as this sentence. They show jupyterhub_message as text."""
    error: Any = web.HTTPError(status, sentence)
    if SpawnException:  # JupyterHub 6: the one kind that never counts towards consecutive_failure_limit, even as a 503
        error = SpawnException(sentence, reason="berth", status_code=status)
    error.jupyterhub_message = sentence
    return error


def _is_profile(profile: Any) -> bool:
    """Whether KubeSpawner and the form can render it."""
    try:
        options = [option["choices"] for option in profile.get("profile_options", {}).values()]
        objects = [profile.get("berth", {}), *(choice for choices in options for choice in choices.values())]
        return all(isinstance(item, dict) for item in objects) and all(isinstance(profile[name], str) for name in SHOWN)
    except (AttributeError, LookupError, TypeError):
        return False


def _fallback_of(fallback: Any, profiles: list[dict[str, Any]]) -> dict[str, Any] | None:
    """What to offer while Berth is down: the profile without options and numbers, which would be old, and its patch."""
    match fallback:
        case None:
            return None
        case {"profile": profile, "patch": dict(patch)}:
            profile = next((each for each in profiles if each["slug"] == profile), profile)  # whole, or only its slug
            if _is_profile(profile):
                raw = {name: profile.get("berth", {}).get(name) for name in ("title", "description")}
                kept = {name: profile[name] for name in SHOWN} | {"default": True, "berth": raw}
                return {"profile": kept, "patch": patch}
    raise _Down("its fallback is no profile with a patch")


def _with_note(profiles: list[dict[str, Any]], note: str, **more: Any) -> list[dict[str, Any]]:
    """The note for our form, and in the description for the stock form, which renders that as HTML."""
    for profile in profiles:
        profile["description"] = f"{profile.get('description') or ''} <em>{html.escape(note)}</em>".strip()
        profile["berth"] = {**profile.get("berth", {}), "note": note, **more}
    return profiles


def _with_what_the_hub_knows(profiles: list[dict[str, Any]], spawner: Any, last: Any) -> list[dict[str, Any]]:
    """How long the hub lets a server start where the profile says nothing, and where the last choice is found now."""
    longest = getattr(spawner, "_berth_base", {}).get("start_timeout", spawner.start_timeout)
    for profile in profiles:
        berth = profile.get("berth", {})
        if berth.get("waits") and berth.get("waitUpToSeconds") is None and longest > 0:
            profile["berth"] = {**berth, "waitUpToSeconds": longest}
    if isinstance(last, dict):
        profiles[0]["berth"] = {**profiles[0].get("berth", {}), "last": last}
    return profiles


def _last(options: Any) -> dict[str, str]:
    """What the server was last started with, as far as it names a place on the form. It is any user's own text."""
    told = {name: options.get(name) for name in ("profile", "node")} if isinstance(options, dict) else {}
    return {name: value for name, value in told.items() if isinstance(value, str) and len(value) <= LONGEST_NAME}


def _with_form(profiles: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The profiles with what our form template asks for: to be rendered without being compiled each time."""
    return [{**profiles[0], "berth_render": _render}, *profiles[1:]]


def _render(source: str, profile_list: list[dict[str, Any]], user_options: Any) -> str:
    return _compiled(source).render(profile_list=profile_list, user_options=user_options)


@lru_cache(maxsize=2)
def _compiled(source: str) -> Template:
    environment = Environment(autoescape=True)
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # as KubeSpawner has it
    return environment.from_string(source)


def _age(observed_at: object) -> float | None:
    try:
        return max(0.0, (datetime.now(timezone.utc) - datetime.fromisoformat(str(observed_at))).total_seconds())
    except (TypeError, ValueError):
        return None


def _ago(seconds: float | None) -> str:
    if seconds is None:
        return "an unknown time"
    return f"{seconds:.0f} seconds ago" if seconds < 120 else f"{seconds / 60:.0f} minutes ago"


def _question(spawner: KubeSpawner) -> dict[str, Any]:
    """Who asks, and the base: what the hub's configuration, below an earlier patch, asks of the pod already."""
    covered = getattr(spawner, "_berth_base", {})
    base = {trait: covered.get(trait, getattr(spawner, trait)) for trait in ("node_selector", *MERGES)}
    groups = sorted(group.name for group in spawner.user.groups)
    others, first_steps = _requests(spawner)
    seldom = {"notebook": _notebook(base), "init": first_steps, "claims": _claims(spawner, base["volumes"])}
    return {
        "user": {"name": spawner.user.name, "groups": groups, "admin": bool(spawner.user.admin)},
        "server": spawner.name,
        "base": {
            "node_selector": base["node_selector"],
            "node_affinity_required": _as_api(base["node_affinity_required"]),
            "tolerations": _as_api(base["tolerations"]),
            "requests": others,
            "scheduler_name": base["scheduler_name"],
            **{name: told for name, told in seldom.items() if told},
        },
    }


class _Preview:
    """A spawner on which something is tried: what is changed here stays here."""

    apply_group_overrides, _apply_overrides = KubeSpawner.apply_group_overrides, KubeSpawner._apply_overrides

    def __init__(self, spawner: KubeSpawner) -> None:
        self._spawner = spawner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._spawner, name)
        if isinstance(value, (dict, list)):
            value = copy.deepcopy(value)
            setattr(self, name, value)
        return value


async def _with_group_overrides(spawner: KubeSpawner) -> Any:
    """The hub applies them when it starts a server, and what it then asks for counts on the form already."""
    preview = _Preview(spawner)
    with suppress(Exception):  # what is wrong with them the spawn tells
        await preview.apply_group_overrides()
    return preview


_POWERS = {"n": -3, "u": -2, "m": -1, "": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


def _requests(spawner: KubeSpawner) -> tuple[dict[str, str], dict[str, str]]:
    """What the containers beside the notebook request, and the most that a step before the notebook does."""
    running: dict[str, Decimal] = {}
    highest: dict[str, Decimal] = {}
    for container in _as_api(spawner.init_containers):
        during = _sum(running, _amounts(container))
        highest = {name: max(highest.get(name, Decimal(0)), amount) for name, amount in {**highest, **during}.items()}
        if container.get("restartPolicy") == "Always":  # a sidecar: it goes on beside all that follows
            running = during
    for container in _as_api(spawner.extra_containers):
        running = _sum(running, _amounts(container))
    return _written(running), _written(highest)


def _notebook(base: dict[str, Any]) -> dict[str, str]:
    """What the notebook itself requests where a profile says nothing."""
    limits = {"cpu": base["cpu_limit"], "memory": base["mem_limit"], **base["extra_resource_limits"]}
    guarantees = {"cpu": base["cpu_guarantee"], "memory": base["mem_guarantee"], **base["extra_resource_guarantees"]}
    asked = {**limits, **{name: amount for name, amount in guarantees.items() if amount is not None}}
    return {name: str(amount) for name, amount in asked.items() if amount is not None}


def _claims(spawner: KubeSpawner, volumes: Any) -> list[str]:
    """The storage claims that the hub itself mounts: their volumes may be in one zone."""
    sources = [volume.get("persistentVolumeClaim") or {} for volume in _as_api(volumes)]
    return [spawner._expand_all(source["claimName"]) for source in sources if "claimName" in source]


def _amounts(container: dict[str, Any]) -> dict[str, Decimal]:
    resources = container.get("resources") or {}
    amounts = {}
    for name, quantity in {**(resources.get("limits") or {}), **(resources.get("requests") or {})}.items():
        number, unit, binary = re.fullmatch("(.*?)([numkKMGTPE]?)(i?)", str(quantity)).groups()  # type: ignore
        amounts[name] = Decimal(number) * Decimal(1024 if binary else 1000) ** _POWERS[unit]
    return amounts


def _sum(left: dict[str, Decimal], right: dict[str, Decimal]) -> dict[str, Decimal]:
    return {name: left.get(name, Decimal(0)) + right.get(name, Decimal(0)) for name in {**left, **right}}


def _written(amounts: dict[str, Decimal]) -> dict[str, str]:
    return {name: f"{amount.normalize():f}" for name, amount in amounts.items()}


def _restore(spawner: KubeSpawner) -> None:
    """Undo an earlier patch: the hub now and then reuses a spawner object whose last start went wrong."""
    for trait, value in vars(spawner).pop("_berth_base", {}).items():
        setattr(spawner, trait, value)
    vars(spawner).pop("_berth_accepted", None)


def _merged(spawner: KubeSpawner, trait: str, value: object) -> Any:
    """The trait's new value, which shares no object with the configuration or with the patch."""
    shape, merge = MERGES.get(trait, ((), None))
    if merge is None or not isinstance(value, shape):
        raise TypeError(f"{trait} is not to be set to a {type(value).__name__}")
    return copy.deepcopy(merge(getattr(spawner, trait), value))


def _by_key(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**base, **patch}.items() if key not in patch or value is not None}


def _by_field(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Like _by_key, where host_ipc and hostIPC are the same key."""
    named = {key.replace("_", "").lower() for key in patch}
    return _by_key({key: value for key, value in base.items() if key.replace("_", "").lower() not in named}, patch)


def _by_identity(field: str) -> Callable[[Any, list[Any]], list[Any]]:
    """A merge of lists where the patch's entry replaces the base's of the same identity, in its place."""

    def identity(entry: Any) -> str:  # a pull secret may be its bare name
        return entry if isinstance(entry, str) else _as_api([entry])[0][field].rstrip("/")

    return lambda base, patch: list({identity(entry): entry for entry in [*_listed(base), *patch]}.values())


def _product(base: Any, patch: list[Any]) -> list[Any]:
    """Terms are ORed and what is inside one is ANDed: join each of the base's terms with each of the patch's."""
    ours, theirs = _as_api(base), _as_api(patch)
    if not (ours and theirs):
        return ours or theirs
    pairs = [(a, b) if a and b else ({}, {}) for a in ours for b in theirs]  # an empty term matches no node
    return [{part: [*a.get(part, []), *b.get(part, [])] for part in {**a, **b}} for a, b in pairs]


def _listed(entries: Any) -> list[Any]:
    """KubeSpawner takes a list, or a dict whose values it uses in the order of the keys."""
    return [entries[key] for key in sorted(entries)] if isinstance(entries, dict) else list(entries)


def _as_api(entries: Any) -> list[dict[str, Any]]:
    """The entries as the API spells them: KubeSpawner takes snake_case keys, and models of its client, too."""
    return [_plain(entry) for entry in _listed(entries)]


def _plain(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        value = value.to_dict()
    if isinstance(value, dict):
        return {_camel(key): _plain(each) for key, each in value.items() if each is not None}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _camel(key: str) -> str:
    # Keys with a slash name a resource, which is spelt as it is.
    return key if "/" in key else re.sub("_([a-z])", lambda match: match[1].upper(), key)


_REPLACE = (object, lambda _base, patch: patch)
MERGES: dict[str, tuple[type, Callable[[Any, Any], Any]]] = {
    **dict.fromkeys(("image", "image_pull_policy", "priority_class_name", "scheduler_name", "start_timeout"), _REPLACE),
    **dict.fromkeys(("cpu_limit", "cpu_guarantee", "mem_limit", "mem_guarantee"), _REPLACE),
    **dict.fromkeys(("extra_resource_limits", "extra_resource_guarantees", "environment"), (dict, _by_key)),
    **dict.fromkeys(("extra_labels", "extra_annotations"), (dict, _by_key)),
    **dict.fromkeys(("extra_pod_config", "extra_container_config"), (dict, _by_field)),
    **dict.fromkeys(("tolerations", "node_affinity_preferred"), (list, lambda base, patch: [*_listed(base), *patch])),
    **dict.fromkeys(("image_pull_secrets", "volumes"), (list, _by_identity("name"))),
    "volume_mounts": (list, _by_identity("mountPath")),
    "node_affinity_required": (list, _product),
}
