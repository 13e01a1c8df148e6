# SPDX-License-Identifier: Apache-2.0
"""What a probe is: one dispatch to send, what is expected of it, and what became of it. Does no I/O."""

from __future__ import annotations

import json
import math
import secrets
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from ..common.text import parsed

COLD_SECONDS = 1.0
STAY_SECONDS = 0.5  # an agent that fails right after it joined is gone by then
ABOUT = (
    "Harmless routing check of a deployment: it proves which LiveKit worker serves this agent name. "
    "No call is on this room and nobody waits in it. If your worker got this job, it is registered under "
    "an agent name that the sender believes to be its own: one of you should choose another name."
)


@dataclass(frozen=True)
class Spec:
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
    request: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] | None = None
    tries: int = 1
    stay: float = STAY_SECONDS

    @property
    def room(self) -> str:
        return f"livekit-deploy-{self.kind}-{self.nonce}"

    keep: float = 0.0

    @property
    def empty_timeout(self) -> int:
        """The server's own clean-up, should ours never happen; longer than what is waited for, or the answer is lost."""
        return math.ceil(max(self.window, self.deadline, self.keep)) + 20


def metadata_of(probe: dict[str, Any], nonce: str) -> str:
    """What the worker that is asked can read."""
    own = object_in(probe.get("metadata") or "{}")
    if probe["kind"] == "plain" and own is not None:
        return json.dumps({**own, "livekit_deploy_dispatch": 1, "nonce": nonce, "about": ABOUT})
    if probe["kind"] == "rehearsal":
        own = own or {}
        return json.dumps({**own, "livekit_deploy_rehearsal": probe.get("instance") or "", "nonce": nonce})
    if probe.get("metadata"):
        return str(probe["metadata"])
    if probe["kind"] != "probe":
        return json.dumps({"livekit_deploy_dispatch": 1, "nonce": nonce, "about": ABOUT})
    wanted = {key: probe[key] for key in ("release", "instance", "process") if probe.get(key)}
    if probe.get("instances") is not None:
        wanted["instances"] = list(probe["instances"])
    return json.dumps({"livekit_deploy_probe": 1, "nonce": nonce, "mode": probe.get("mode") or "answer", **wanted, "about": ABOUT})


def problems_of(probes: list[dict[str, Any]], *, leave: bool = False) -> list[str]:
    """What is wrong with the probes as given; nothing is sent while there is any."""
    found = [f"probe id {name!r} is used twice" for name, times in Counter(spec.id for spec in specs_of(probes, 0)).items() if times > 1]
    for probe in probes:
        name, kind, mode = probe["id"], probe["kind"], probe.get("mode") or "answer"
        if leave and kind not in ("probe", "plain"):
            found.append(f"{name}: a {kind} has to be watched while it is under way, so it cannot be left")
        if kind == "preview" and not (probe.get("request") or {}).get("url"):
            found.append(f"{name}: a preview needs request.url")
        if kind != "preview" and probe.get("expect") != "nobody" and not probe.get("agent_name"):
            found.append(f"{name}: agent_name is missing or empty (an empty name would reach every worker without a name)")
        if kind == "probe" and mode == "answer_if" and not (probe.get("instance") or probe.get("release")):
            found.append(f"{name}: mode answer_if needs instance or release")
        if (probe.get("count") or 1) < 1:
            found.append(f"{name}: count must be at least 1")
        if kind == "preview" and probe.get("expect") == "nobody":
            found.append(f"{name}: a preview cannot expect nobody")
        if probe.get("expect") == "dispatch" and not (kind == "preview" and probe.get("agent_name")):
            found.append(f"{name}: only a preview with agent_name can expect a dispatch")
        if kind == "rehearsal" and object_in(probe.get("metadata") or "{}") is None:
            found.append(f"{name}: the metadata of a rehearsal has to be a JSON object, the instance is added to it")
    return found


def object_in(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is, None where it is something else."""
    found = parsed(text)
    return found if isinstance(found, dict) else None


def specs_of(probes: list[dict[str, Any]], window: float) -> list[Spec]:
    """The dispatches to send, those that wait out the whole window first."""
    specs = [spec for probe in probes for spec in expanded(probe, window)]
    return sorted(specs, key=lambda spec: spec.expect != "nobody")


def expanded(probe: dict[str, Any], window: float) -> list[Spec]:
    """A count above 1 gives the ids `<id>/1`, `<id>/2` and so on."""
    count = probe.get("count") or 1
    return [
        replace(
            one_spec(probe, window),
            id=f"{probe['id']}/{number + 1}" if count > 1 else probe["id"],
            start_after=number * (probe.get("spacing_seconds") or 0.0),
        )
        for number in range(count)
    ]


def one_spec(probe: dict[str, Any], window: float) -> Spec:
    nonce = secrets.token_hex(8)
    name = probe.get("agent_name") or ("" if probe["kind"] == "preview" else f"nobody-{secrets.token_hex(8)}")
    return Spec(
        id=probe["id"],
        kind=probe["kind"],
        expect=probe.get("expect") or "job",
        agent_name=name,
        nonce=nonce,
        metadata=metadata_of(probe, nonce),
        wanted=(probe.get("instance") or probe.get("release") or "") if probe.get("mode") == "answer_if" else "",
        deployment=probe.get("deployment") or "",
        window=probe.get("window_seconds") or window,
        deadline=probe.get("deadline_seconds") or 20.0,
        request=probe.get("request") or {},
        answer=probe.get("answer"),
        tries=probe.get("tries") or 1,
        stay=max(STAY_SECONDS, probe.get("stay_seconds") or 0.0),
    )


def blank(spec: Spec) -> dict[str, Any]:
    """A result before anything is known."""
    empty = dict.fromkeys(("dispatch_id", "job_id", "worker_id", "status", "latency_seconds", "in_room", "error_kind"))
    known = {"kind": spec.kind, "expect": spec.expect, "agent_name": spec.agent_name or None, "nonce": spec.nonce}
    room = None if spec.kind == "preview" else spec.room
    return {
        **known,
        "room": room,
        **empty,
        "outcome": "error",
        "reason": "interrupted before an answer",
        "begun": spec.start_after,
        "seconds": 0.0,
        "tried": {},
    }


def waits_of(results: dict[str, dict[str, Any]], window: float) -> list[dict[str, Any]]:
    """What the run had to wait for, once for each cause."""
    slow = [r["latency_seconds"] for r in results.values() if (r["latency_seconds"] or 0) > COLD_SECONDS]
    empty = [r["seconds"] for r in results.values() if r["outcome"] == "nobody"]
    waits = [{"what": "dispatch list cold", "seconds": max(slow)}] if slow else []
    return waits + ([{"what": "search window", "seconds": round(max([window, *empty]), 1)}] if empty else [])


@dataclass
class Probe:
    """One dispatch under way, and what became of it."""

    spec: Spec
    result: dict[str, Any]
    crowd: list[int]  # how many probes are looking; shared
    identity: str = ""
    created: float = 0.0
    may_exist: bool = False

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.created

    def fail(self, reason: str, kind: str = "") -> None:
        self.result.update(outcome="error", reason=reason, error_kind=kind)

    def again(self) -> None:
        """Begin anew, in another room: the name of one that is gone is never used again."""
        self.spec = replace(self.spec, nonce=secrets.token_hex(8))
        self.identity, self.created, self.may_exist = "", 0.0, False
        tried, taker = dict(self.result["tried"]), self.result["worker_id"]
        if taker:
            tried[taker] = tried.get(taker, 0) + 1
        self.result.update(blank(self.spec), tried=tried)
