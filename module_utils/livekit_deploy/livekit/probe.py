# SPDX-License-Identifier: Apache-2.0
"""What a probe is: one dispatch to send, what is expected of it, and what became of it. Does no I/O."""

from __future__ import annotations

import json
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

from ..common.text import parsed

COLD_SECONDS = 1.0
STAY_SECONDS = 0.5  # an agent that fails right after it joined is gone by then
ABOUT = (
    "Harmless routing check of a deployment: it proves which LiveKit worker serves this agent name. "
    "No call is on this room and nobody waits in it. If your worker got this job, it is registered under "
    "an agent name that the sender believes to be its own: one of you should choose another name."
)


class ApiRequest(TypedDict, total=False):
    """How the application's own API is asked for a room with an agent."""

    url: str
    method: str
    headers: Mapping[str, str]  # may be secret
    body: Any  # a text as it is, anything else as JSON
    validate_certs: bool
    ca_file: str
    server_name: str  # by which the server is asked where its address is no name
    room_key: str  # where in the answer the room's name or a token for it is; dots go deeper
    dispatch_key: str
    agent_name_key: str


class ApiAnswer(TypedDict):
    """What the application's API has answered on its own host."""

    status: int
    text: str


class GivenProbe(TypedDict, total=False):
    """A probe as ``livekit_dispatch`` takes it. What is null there is as good as missing."""

    id: str
    kind: str  # probe, plain, preview or rehearsal
    expect: str  # job, nobody or dispatch
    agent_name: str | None
    deployment: str
    mode: str  # of the probe hook: answer, pass or answer_if
    instance: str
    release: str
    process: str
    instances: list[str]  # those that pass a probe on
    metadata: str
    count: int
    spacing_seconds: float
    in_turn: bool
    own_ids: list[str]  # a dispatch in turn that another worker took is the last one
    window_seconds: float
    deadline_seconds: float
    stay_seconds: float
    tries: int
    request: ApiRequest
    answer: ApiAnswer


class ProbeResult(TypedDict, total=False):
    """What became of a probe. ``livekit_dispatch`` answers all keys; a proof takes any of them as missing."""

    kind: str
    expect: str
    agent_name: str | None  # that the dispatch went to
    nonce: str
    room: str | None
    dispatch_id: str | None
    job_id: str | None
    worker_id: str | None  # null with LiveKit servers before 1.9.1
    status: str | None  # of the job: JS_SUCCESS where the hook answered, JS_RUNNING where a job started
    latency_seconds: float | None
    in_room: bool | None
    error_kind: str | None
    outcome: str  # taken, nobody, dispatched or error
    reason: str
    begun: float
    seconds: float
    tried: dict[str, int]  # earlier tries by the worker that took them
    from_host: str  # why the controller got no connection, where the host itself asked its API


class SentProbe(TypedDict):
    """What ``collect`` needs of a probe that was left. There is no secret in it."""

    id: str
    kind: str
    expect: str
    agent_name: str
    nonce: str
    metadata: str
    deployment: str
    window: float
    deadline: float
    keep: float
    created: float  # 0 where the room could not be created


class Wait(TypedDict):
    """What a run had to wait for."""

    what: str
    seconds: float


@dataclass(frozen=True)
class ProbeSpec:
    """One dispatch to send and what is expected of it."""

    id: str
    kind: str
    expect: str
    agent_name: str
    nonce: str
    metadata: str = ""
    wanted: str = ""
    deployment: str = ""
    start_after: float = 0.0
    window: float = 10.0
    deadline: float = 20.0
    request: ApiRequest = field(default_factory=ApiRequest)
    answer: ApiAnswer | None = None
    tries: int = 1
    stay: float = STAY_SECONDS
    keep: float = 0.0
    turn: str = ""  # those of one turn go out one after the other
    own_ids: frozenset[str] = frozenset()

    @property
    def room(self) -> str:
        return f"livekit-deploy-{self.kind}-{self.nonce}"

    @property
    def empty_timeout(self) -> int:
        """Return when the server cleans up, should this run never do it. No answer is waited for so long."""
        return math.ceil(max(self.window, self.deadline, self.keep)) + 20


# --- what the worker can read ----------------------------------------------------------------------------------------


def probe_metadata(probe: GivenProbe, nonce: str) -> str:
    """Return what the worker that is asked can read."""
    kind, given = probe["kind"], probe.get("metadata")
    own, dispatch = json_object(given or "{}"), {"livekit_deploy_dispatch": 1, "nonce": nonce, "about": ABOUT}
    if kind == "rehearsal":
        return json.dumps({**(own or {}), "livekit_deploy_rehearsal": probe.get("instance") or "", "nonce": nonce})
    if kind == "plain" and own is not None:
        return json.dumps({**own, **dispatch})
    if given:
        return str(given)
    return hook_metadata(probe, nonce) if kind == "probe" else json.dumps(dispatch)


def hook_metadata(probe: GivenProbe, nonce: str) -> str:
    given: Any = probe
    wanted = {key: given[key] for key in ("release", "instance", "process") if given.get(key)}
    if given.get("instances") is not None:
        wanted["instances"] = list(given["instances"])
    mode = given.get("mode") or "answer"
    return json.dumps({"livekit_deploy_probe": 1, "nonce": nonce, "mode": mode, **wanted, "about": ABOUT})


def json_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object that a text is, None where it is something else."""
    found = parsed(text)
    return found if isinstance(found, dict) else None


# --- why probes are not sent -----------------------------------------------------------------------------------------


def probe_refusals(probes: Sequence[GivenProbe], *, leave: bool = False) -> list[str]:
    """Return why the probes as given are not sent. None is sent while there is a reason."""
    times = Counter(spec.id for spec in probe_specs(probes, 0))
    found = [f"probe id {name!r} is used twice" for name, count in times.items() if count > 1]
    for probe in probes:
        if leave and (probe["kind"] not in ("probe", "plain") or probe.get("in_turn")):
            kind = probe["kind"]
            found.append(f"{probe['id']}: a {kind} has to be watched while it is under way, so it cannot be left")
        found += [f"{probe['id']}: {text}" for text, is_refused in REFUSALS.items() if is_refused(probe)]
    return found


REFUSALS: dict[str, Callable[[GivenProbe], bool]] = {
    "a preview needs request.url": lambda probe: probe["kind"] == "preview" and not probe_url(probe),
    "agent_name is missing or empty (an empty name would reach every worker without a name)": lambda probe: (
        probe["kind"] != "preview" and probe.get("expect") != "nobody" and not probe.get("agent_name")
    ),
    "mode answer_if needs instance or release": lambda probe: (
        (probe["kind"], probe.get("mode")) == ("probe", "answer_if") and not probe_target(probe)
    ),
    "count must be at least 1": lambda probe: (probe.get("count") or 1) < 1,
    "a preview cannot expect nobody": lambda probe: (probe["kind"], probe.get("expect")) == ("preview", "nobody"),
    "only a preview with agent_name can expect a dispatch": lambda probe: (
        probe.get("expect") == "dispatch" and not (probe["kind"] == "preview" and probe.get("agent_name"))
    ),
    "the metadata of a rehearsal has to be a JSON object, the instance is added to it": lambda probe: (
        probe["kind"] == "rehearsal" and json_object(probe.get("metadata") or "{}") is None
    ),
}


def probe_url(probe: GivenProbe) -> str:
    return (probe.get("request") or {}).get("url") or ""


def probe_target(probe: GivenProbe) -> str:
    """Return whom a probe is directed at: an instance or a release."""
    return probe.get("instance") or probe.get("release") or ""


# --- from what is given to what is sent ------------------------------------------------------------------------------

DEFAULTS: GivenProbe = {"expect": "job", "deployment": "", "deadline_seconds": 20.0, "request": {}, "tries": 1}


def probe_specs(probes: Sequence[GivenProbe], window: float) -> Specs:
    """Return the dispatches to send, those that wait out the whole window first."""
    specs = [spec for probe in probes for spec in repeated_specs(probe, window)]
    return sorted(specs, key=lambda spec: spec.expect != "nobody")


def repeated_specs(probe: GivenProbe, window: float) -> Iterator[ProbeSpec]:
    """Yield a spec for each of ``count``. A count above 1 gives the ids `<id>/1`, `<id>/2` and so on."""
    count, spacing = probe.get("count") or 1, probe.get("spacing_seconds") or 0.0
    for number in range(count):
        name = f"{probe['id']}/{number + 1}" if count > 1 else probe["id"]
        spec = replace(one_spec(probe, window), id=name, start_after=number * spacing)
        if probe.get("in_turn"):
            pause, own = spacing if number else 0.0, frozenset(probe.get("own_ids") or ())
            spec = replace(spec, turn=probe["id"], start_after=pause, own_ids=own)
        yield spec


def one_spec(probe: GivenProbe, window: float) -> ProbeSpec:
    nonce = secrets.token_hex(8)
    given: Any = {**DEFAULTS, "window_seconds": window, **{key: value for key, value in probe.items() if value}}
    return ProbeSpec(
        id=given["id"],
        kind=given["kind"],
        expect=given["expect"],
        agent_name=given.get("agent_name") or ("" if given["kind"] == "preview" else f"nobody-{secrets.token_hex(8)}"),
        nonce=nonce,
        metadata=probe_metadata(probe, nonce),
        wanted=probe_target(probe) if given.get("mode") == "answer_if" else "",
        deployment=given["deployment"],
        window=given["window_seconds"],
        deadline=given["deadline_seconds"],
        request=given["request"],
        answer=given.get("answer"),
        tries=given["tries"],
        stay=max(STAY_SECONDS, given.get("stay_seconds", 0.0)),
    )


# --- what became of it -----------------------------------------------------------------------------------------------


def blank_result(spec: ProbeSpec) -> ProbeResult:
    """Return a result before anything is known."""
    return {
        "kind": spec.kind,
        "expect": spec.expect,
        "agent_name": spec.agent_name or None,
        "nonce": spec.nonce,
        "room": None if spec.kind == "preview" else spec.room,
        "dispatch_id": None,
        "job_id": None,
        "worker_id": None,
        "status": None,
        "latency_seconds": None,
        "in_room": None,
        "error_kind": None,
        "outcome": "error",
        "reason": "interrupted before an answer",
        "begun": spec.start_after,
        "seconds": 0.0,
        "tried": {},
    }


def probe_waits(results: Mapping[str, ProbeResult], window: float) -> list[Wait]:
    """Return what the run had to wait for, once for each cause."""
    slow = [late for result in results.values() if (late := result["latency_seconds"] or 0.0) > COLD_SECONDS]
    empty = [result["seconds"] for result in results.values() if result["outcome"] == "nobody"]
    waits: list[Wait] = [{"what": "dispatch list cold", "seconds": max(slow)}] if slow else []
    return waits + ([{"what": "search window", "seconds": round(max([window, *empty]), 1)}] if empty else [])


Specs = list[ProbeSpec]
Results = dict[str, ProbeResult]  # by the probe's id


@dataclass
class Probe:
    """One dispatch under way, and what became of it."""

    spec: ProbeSpec
    result: ProbeResult
    crowd: list[int]  # how many probes are looking; shared
    identity: str = ""
    created: float = 0.0
    may_exist: bool = False
    begun: bool = False

    @property
    def room(self) -> str:
        """Return the room, empty where the application has not said it yet."""
        return self.result["room"] or ""

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.created

    def fail(self, reason: str, kind: str = "") -> None:
        self.result |= {"outcome": "error", "reason": reason, "error_kind": kind}

    def again(self) -> None:
        """Begin anew, in another room: the name of one that is gone is never used again."""
        self.spec = replace(self.spec, nonce=secrets.token_hex(8))
        self.identity, self.created, self.may_exist = "", 0.0, False
        tried, taker = dict(self.result["tried"]), self.result["worker_id"]
        if taker:
            tried[taker] = tried.get(taker, 0) + 1
        self.result |= {**blank_result(self.spec), "tried": tried}
