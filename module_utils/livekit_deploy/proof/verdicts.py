# SPDX-License-Identifier: Apache-2.0
"""From observations to a verdict on one agent name: who gets its jobs. Pure; what is not proven good is not good.

Facts it rests on (livekit-server 1.13.5 and livekit-agents 1.8.9, measured): a worker that answers a request with
``reject(terminate=False)`` makes the server ask every other available worker of the name. So a foreign worker takes a
probe that ours pass on, if it is available. What no worker took 10 s after its creation never gets a job. A worker id
is new at every reconnect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict

from ..gather.server_log import RETURN_SECONDS, Registration, came_back
from ..livekit.probe import ProbeResult
from .server_evidence import ServerEvidence

EXCLUSIVE, SHARED, FOREIGN, INCONCLUSIVE, UNREACHABLE = "exclusive", "shared", "foreign", "inconclusive", "unreachable"
GOOD = (EXCLUSIVE, SHARED)
WINDOW_SECONDS = 10.0
# The probability of having missed an equal worker that is still good enough: seven plain dispatches to one worker.
SAMPLING_LIMIT = 0.01
THROUGH, SAMPLING, SERVER = "reject-through probe", "sampling", "server evidence"
ABSENT = ("full", "over its load threshold", "draining", "reconnecting", "slower than 2.8 s", "rejecting")
_UNKNOWN_PROCESS = "the probe hook of the image is older than that, or its log line is gone"
COPY = f"a copy of this host with its running containers ({_UNKNOWN_PROCESS})"
ELSEWHERE = ("of another job type", "of another deployment label")


@dataclass(frozen=True)
class Member:
    """A host of the pool: whether it could be read, every worker id in its log, and the rooms its worker was asked for.

    ``worker_id`` is the latest one. ``workers`` counts those that take jobs now; without the hook an old release's does
    too. ``copied``: a copy of the host would pass a probe on like its worker, whose hook draws nothing of its own.
    ``reached`` is None where no probe was sent to it, so that nothing is known.
    """

    host: str
    readable: bool = True
    worker_ids: frozenset[str] = frozenset()
    rooms: frozenset[str] = frozenset()
    reached: bool | None = True
    cause: str = ""
    worker_id: str = ""
    workers: int = 1
    copied: bool = False


@dataclass(frozen=True)
class Evidence:
    """All that was observed of one agent name.

    A pool with a worker that has no hook is sampled: such a worker would take a probe that was directed at another.
    """

    name: str
    members: tuple[Member, ...]
    through: ProbeResult = field(default_factory=ProbeResult)
    samples: Sequence[ProbeResult] = ()
    # Directed probes and previews under the name: they say who took them, and nothing about who else could have.
    others: Sequence[ProbeResult] = ()
    server: ServerEvidence | None = None
    nodes: int = 1

    @property
    def own_ids(self) -> frozenset[str]:
        return frozenset().union(*(member.worker_ids for member in self.members))

    @property
    def unread(self) -> list[str]:
        """Return the members whose worker id is not known, so that an unknown id may be theirs."""
        return [member.host for member in self.members if not member.readable or not member.worker_ids]

    @property
    def log(self) -> ServerEvidence | None:
        """Return the server's log as far as it can be believed."""
        return None if self.contradiction else self.server

    @property
    def log_has_all(self) -> bool:
        return self.log is not None and self.log.complete

    @property
    def contradiction(self) -> str:
        """Return why the log is not this server's: it claims to have all, and lacks a worker that just got a job."""
        if self.server is None or not self.server.complete:
            return ""
        known = {registration.worker_id for registration in self.server.recent} | self.server.worker_ids
        proven = [member for member in self.members if member.worker_id and member.reached]
        lost = ", ".join(member.worker_id for member in proven if not member.worker_ids & known)
        return f"it lacks {lost}, which just got a job: is it the log of this server, at level info?" if lost else ""


class VerdictRow(TypedDict):
    """A verdict in a report."""

    verdict: str
    reason: str
    method: str
    seconds: float
    not_seen: list[str]  # what the method cannot see
    foreign: list[str]  # worker ids


@dataclass(frozen=True)
class Verdict:
    verdict: str
    reason: str
    method: str
    seconds: float
    not_seen: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    def as_dict(self) -> VerdictRow:
        return {
            "verdict": self.verdict,
            "reason": self.reason,
            "method": self.method,
            "seconds": self.seconds,
            "not_seen": list(self.not_seen),
            "foreign": list(self.foreign),
        }


class Finding(NamedTuple):
    """A verdict before it is known how it was reached."""

    verdict: str
    reason: str
    foreign: tuple[str, ...] = ()


def taker_ids(probes: Sequence[ProbeResult]) -> list[str]:
    """Return the worker ids that took one of these probes."""
    taken = [probe for probe in probes if probe.get("outcome") == "taken"]
    return [str(probe["worker_id"]) for probe in taken if probe.get("worker_id")]


def probing_seconds(evidence: Evidence) -> float:
    """Return the time from the first probe that was sent to the last answer."""
    sent = (evidence.through, *evidence.samples)
    ends = [float(probe.get("begun") or 0.0) + float(probe.get("seconds") or 0.0) for probe in sent]
    return round(max([0.0, *ends]), 1)


def methods_text(evidence: Evidence) -> str:
    used = [THROUGH] if evidence.through else []
    used += [SAMPLING] if evidence.samples else []
    used += [SERVER] if evidence.server else []
    return " and ".join(used) or "none"


def not_seen_by(evidence: Evidence) -> tuple[str, ...]:
    """Return what the methods used cannot see; nothing where the server's log has every worker of the name."""
    if evidence.log_has_all:
        return ()
    missed = miss_probability(evidence)
    chance = () if missed is None else (f"an equal worker, with probability {missed:.3f}",)
    copy = (COPY,) if evidence.through and any(member.copied for member in evidence.members) else ()
    return (*chance, *ABSENT, *ELSEWHERE, *copy)


def decide(evidence: Evidence) -> Verdict:
    """Return the verdict on one name. What speaks against the name comes before what speaks for it."""
    finding = foreign_finding(evidence) or unreachable_finding(evidence)
    finding = finding or inconclusive_finding(evidence) or good_finding(evidence)
    return Verdict(
        finding.verdict,
        finding.reason + log_note(evidence),
        method=methods_text(evidence),
        seconds=probing_seconds(evidence),
        not_seen=not_seen_by(evidence) if finding.verdict in GOOD else (),
        foreign=finding.foreign,
    )


def foreign_finding(evidence: Evidence) -> Finding | None:
    """Return a finding where a foreign worker has the name, or may have it."""
    taken = sorted(foreign_workers(evidence))
    back = sorted(set(reconnecting_workers(evidence)) - set(taken))
    foreign = (*taken, *back)
    if not foreign:
        return None
    who = f"{', '.join(foreign)} has the name {evidence.name}"
    if evidence.unread:
        return Finding(INCONCLUSIVE, f"{who}; the worker id of {', '.join(evidence.unread)} is not known")
    how = " (it reconnects again and again)" if back else ""
    return Finding(FOREIGN, f"{who}{how} and is no worker of this pool", foreign)


def unreachable_finding(evidence: Evidence) -> Finding | None:
    """Return a finding where a worker of ours gets no jobs."""
    readable = [member for member in evidence.members if member.readable]
    causes = [f"{member.host}: {cause}" for member in readable if (cause := member_cause(member, evidence))]
    return Finding(UNREACHABLE, "; ".join(causes)) if causes else None


def member_cause(member: Member, evidence: Evidence) -> str:
    """Return why no job reaches a worker, also in the words of the server's log; empty if one did, or none was sent."""
    found = [member.cause or "gets no jobs"] if member.reached is False else []
    log = evidence.log
    gone = log is not None and log.complete and member.worker_id and member.worker_id not in log.worker_ids
    if gone and not member.reached:
        found.append(f"the LiveKit server does not have its worker {member.worker_id} (any more)")
    return "; ".join(found)


def inconclusive_finding(evidence: Evidence) -> Finding | None:
    reason = inconclusive_reason(evidence)
    return Finding(INCONCLUSIVE, reason) if reason else None


def good_finding(evidence: Evidence) -> Finding:
    hosts = [member.host for member in evidence.members]
    whose = hosts[0] if len(hosts) == 1 else f"the pool of {', '.join(hosts)}"
    return Finding(EXCLUSIVE if len(hosts) == 1 else SHARED, f"jobs of {evidence.name} go to {whose} only")


def log_note(evidence: Evidence) -> str:
    """Return what keeps the server's log from deciding: the user has asked for it."""
    gap = evidence.contradiction or (evidence.server.trouble if evidence.server else "")
    return f" (the server's log does not decide: {gap})" if gap else ""


def foreign_workers(evidence: Evidence) -> set[str]:
    """Return the worker ids seen under the name that no member of the pool ever had."""
    seen = set(taker_ids([evidence.through, *evidence.samples, *evidence.others]))
    seen |= evidence.log.worker_ids if evidence.log else set()
    return seen - evidence.own_ids


def foreign_registrations(evidence: Evidence) -> list[Registration]:
    recent = evidence.log.recent if evidence.log else ()
    return [registration for registration in recent if registration.worker_id not in evidence.own_ids]


def reconnecting_workers(evidence: Evidence) -> list[str]:
    """Return foreign workers that left lately after one of them had come back.

    A worker that keeps losing its connection has a new id each time.
    """
    return sorted(just_left(evidence)) if came_back(foreign_registrations(evidence)) else []


def just_left(evidence: Evidence) -> dict[str, float]:
    """Return the seconds since each foreign worker left that had the name a moment ago: it may come back."""
    left = {one.worker_id: one.left for one in foreign_registrations(evidence) if one.left is not None}
    return {worker_id: seconds for worker_id, seconds in left.items() if seconds < RETURN_SECONDS}


def own_worker_count(evidence: Evidence) -> int:
    """Count our own workers that take jobs of the name."""
    return sum(max(1, member.workers) for member in evidence.members)


def miss_probability(evidence: Evidence) -> float | None:
    """Return the probability that sampling missed one equal worker; None where a reject-through probe decided.

    Beside n workers of ours an equal one gets each job with probability 1/(n+1). A refusal is no evidence.
    """
    if passed_on(evidence) or not evidence.samples:
        return None
    ours = own_worker_count(evidence)
    return float((ours / (ours + 1)) ** len(taker_ids(evidence.samples)))


def passed_on(evidence: Evidence) -> bool:
    """Return whether the probe went through: our worker passed it on, and nobody took it until the server gave up."""
    through = evidence.through
    asked = any(through.get("room") in member.rooms for member in evidence.members)
    waited = float(through.get("seconds") or 0.0) >= WINDOW_SECONDS
    return through.get("outcome") == "nobody" and asked and waited


def inconclusive_reason(evidence: Evidence) -> str:
    """Return why nothing is proven although nothing speaks against the name; empty when it is."""
    if not evidence.members:
        return "no host of the pool was looked at"
    if evidence.unread:
        return f"the worker id of {', '.join(evidence.unread)} is not known"
    if left := just_left(evidence):
        ago = [f"{one} had the name {evidence.name} until {seconds:.0f} s ago" for one, seconds in sorted(left.items())]
        return f"{', '.join(ago)} and may come back; run again in {RETURN_SECONDS:.0f} s"
    if evidence.log_has_all:
        return ""
    if evidence.nodes > 1:
        covered = max(1, evidence.log.covered if evidence.log else 0)
        return f"{covered} of {evidence.nodes} LiveKit nodes were covered: a worker on another one is not seen"
    if passed_on(evidence):
        return ""
    return inconclusive_samples(evidence) if evidence.samples else inconclusive_through(evidence)


def inconclusive_through(evidence: Evidence) -> str:
    through = evidence.through
    if not through:
        return "nothing was sent"
    if through.get("outcome") == "taken":
        own = f"our own worker {through.get('worker_id')}"
        return f"{own} took a probe that it should pass on: it does not ask the probe hook"
    if through.get("outcome") != "nobody":
        return str(through.get("reason") or "the probe failed")
    if float(through.get("seconds") or 0.0) < WINDOW_SECONDS:
        return f"only {through.get('seconds')} s of the server's search window of {WINDOW_SECONDS:.0f} s had passed"
    return "our worker was not asked, so the server's search did not get through to others either"


def inconclusive_samples(evidence: Evidence) -> str:
    counted, missed = len(taker_ids(evidence.samples)), miss_probability(evidence)
    if missed is not None and missed <= SAMPLING_LIMIT:
        return ""
    taken = f"{counted} of {len(evidence.samples)} sampled dispatches were taken"
    return f"{taken}: an equal worker is missed with probability {1.0 if missed is None else missed:.3f}"
