# SPDX-License-Identifier: Apache-2.0
"""From observations to a routing verdict on one agent name: who gets its jobs. Pure; what is not proven good is not good.

Facts it rests on (livekit-server 1.13.5 and livekit-agents 1.8.9, measured): a worker that answers a request with
``reject(terminate=False)`` makes the server ask every other available worker of the name, so a probe that ours pass on is taken by a
foreign worker if one is available; what no worker took 10 s after its creation never gets a job; a worker id is new at every reconnect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

EXCLUSIVE, SHARED, FOREIGN, INCONCLUSIVE, UNREACHABLE = "exclusive", "shared", "foreign", "inconclusive", "unreachable"
WINDOW_SECONDS = 10.0
# The probability of having missed an equal worker that is still called good enough: seven plain dispatches.
SAMPLING_LIMIT = 0.01

THROUGH, SAMPLING, SERVER = "reject-through probe", "sampling", "server evidence"
ABSENT = ("full", "over its load threshold", "draining", "reconnecting", "slower than 2.8 s", "rejecting")
ELSEWHERE = ("of another job type", "of another deployment label")


@dataclass(frozen=True)
class Member:
    """A host of the pool: whether it could be read, every worker id its log has seen, and the rooms its worker was asked for."""

    host: str
    readable: bool = True
    worker_ids: frozenset[str] = frozenset()
    rooms: frozenset[str] = frozenset()
    reached: bool = True
    cause: str = ""


@dataclass(frozen=True)
class ServerEvidence:
    """Workers that the LiveKit server's log has as registered under the name; ``complete`` when the log reaches back to its start."""

    worker_ids: frozenset[str]
    complete: bool


@dataclass(frozen=True)
class Evidence:
    """All that was observed of one agent name."""

    name: str
    members: tuple[Member, ...]
    through: Mapping[str, Any] = field(default_factory=dict)
    samples: Sequence[Mapping[str, Any]] = ()
    # Directed probes and previews under the name: they say who took them, and nothing about who else could have.
    others: Sequence[Mapping[str, Any]] = ()
    server: ServerEvidence | None = None
    nodes: int = 1
    nodes_covered: int = 1

    @property
    def own_ids(self) -> frozenset[str]:
        return frozenset().union(*(member.worker_ids for member in self.members))

    @property
    def unread(self) -> list[str]:
        """Members whose worker id is not known, so that an unknown id may be theirs."""
        return [member.host for member in self.members if not member.readable or not member.worker_ids]


@dataclass(frozen=True)
class Verdict:
    verdict: str
    reason: str
    method: str
    seconds: float
    not_seen: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "method": self.method,
            "seconds": self.seconds,
            "not_seen": list(self.not_seen),
            "foreign": list(self.foreign),
        }


def takers(probes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Worker ids that took one of these probes."""
    return [str(p["worker_id"]) for p in probes if p.get("outcome") == "taken" and p.get("worker_id")]


def seconds_of(evidence: Evidence) -> float:
    return round(max([0.0, *(float(p.get("seconds") or 0.0) for p in (evidence.through, *evidence.samples))]), 1)


def method_of(evidence: Evidence) -> str:
    used = [THROUGH] if evidence.through else []
    used += [SAMPLING] if evidence.samples else []
    used += [SERVER] if evidence.server else []
    return " and ".join(used) or "none"


def not_seen_by(evidence: Evidence, missed: float | None = None) -> tuple[str, ...]:
    """What the methods used cannot see; a complete server log sees every registered worker of the name."""
    complete = evidence.server is not None and evidence.server.complete
    blind = list(ELSEWHERE) if complete else [*ABSENT, *ELSEWHERE]
    if missed is not None and not complete:
        blind.insert(0, f"an equal worker, with probability {missed:.3f}")
    return tuple(blind)


def decide(evidence: Evidence) -> Verdict:
    """The verdict on one name. The order matters: what speaks against the name comes before what speaks for it."""

    def verdict(kind: str, reason: str, *, missed: float | None = None, foreign: Sequence[str] = ()) -> Verdict:
        blind = not_seen_by(evidence, missed) if kind in (EXCLUSIVE, SHARED) else ()
        return Verdict(kind, reason, method_of(evidence), seconds_of(evidence), blind, tuple(foreign))

    strangers = sorted(strangers_of(evidence))
    if strangers and evidence.unread:
        text = f"{', '.join(strangers)} has the name {evidence.name}; the worker id of {', '.join(evidence.unread)} is not known"
        return verdict(INCONCLUSIVE, text)
    if strangers:
        return verdict(FOREIGN, f"{', '.join(strangers)} has the name {evidence.name} and is no worker of this pool", foreign=strangers)
    lost = [member for member in evidence.members if member.readable and not member.reached]
    if lost:
        return verdict(UNREACHABLE, "; ".join(f"{member.host}: {member.cause or 'gets no jobs'}" for member in lost))
    doubt = doubt_of(evidence)
    if doubt:
        return verdict(INCONCLUSIVE, doubt)
    good = EXCLUSIVE if len(evidence.members) == 1 else SHARED
    whose = evidence.members[0].host if good == EXCLUSIVE else f"the pool of {', '.join(m.host for m in evidence.members)}"
    return verdict(good, f"jobs of {evidence.name} go to {whose} only", missed=missed_by(evidence))


def strangers_of(evidence: Evidence) -> set[str]:
    """Worker ids seen under the name that no member of the pool ever had."""
    seen = set(takers([evidence.through, *evidence.samples, *evidence.others]))
    seen |= evidence.server.worker_ids if evidence.server else set()
    return seen - evidence.own_ids


def missed_by(evidence: Evidence) -> float | None:
    """Probability that sampling missed one equal worker; None where a reject-through probe decided. A refusal is no evidence."""
    if passed_on(evidence):
        return None
    return 0.5 ** len(takers(evidence.samples)) if evidence.samples else None


def passed_on(evidence: Evidence) -> bool:
    """The probe went through: our worker was asked, passed it on, and nobody took it until the server gave up."""
    through = evidence.through
    asked = any(through.get("room") in member.rooms for member in evidence.members)
    waited = float(through.get("seconds") or 0.0) >= WINDOW_SECONDS
    return through.get("outcome") == "nobody" and asked and waited


def doubt_of(evidence: Evidence) -> str:
    """Why nothing is proven although nothing speaks against the name; empty when it is."""
    if not evidence.members:
        return "no host of the pool was looked at"
    if evidence.unread:
        return f"the worker id of {', '.join(evidence.unread)} is not known"
    if evidence.nodes_covered < evidence.nodes:
        return f"{evidence.nodes_covered} of {evidence.nodes} LiveKit nodes were asked: a worker on another one is not seen"
    if evidence.server and evidence.server.complete:
        return ""
    if passed_on(evidence):
        return ""
    if evidence.samples:
        return doubt_of_samples(evidence)
    return doubt_of_through(evidence)


def doubt_of_through(evidence: Evidence) -> str:
    through = evidence.through
    if not through:
        return "no probe was sent"
    if through.get("outcome") == "taken":
        return f"our own worker {through.get('worker_id')} took a probe that it should pass on: it does not ask the probe hook"
    if through.get("outcome") != "nobody":
        return str(through.get("reason") or "the probe failed")
    if float(through.get("seconds") or 0.0) < WINDOW_SECONDS:
        return f"only {through.get('seconds')} s of the server's search window of {WINDOW_SECONDS:.0f} s had passed"
    return "our worker was not asked, so the server's search did not get through to others either"


def doubt_of_samples(evidence: Evidence) -> str:
    counted = len(takers(evidence.samples))
    missed = 0.5**counted
    if missed <= SAMPLING_LIMIT:
        return ""
    return f"{counted} of {len(evidence.samples)} sampled dispatches were taken: an equal worker is missed with probability {missed:.3f}"
