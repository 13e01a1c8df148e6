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

from ..gather.server_log import RETURN_SECONDS, Registration, came_back
from .server_evidence import ServerEvidence

EXCLUSIVE, SHARED, FOREIGN, INCONCLUSIVE, UNREACHABLE = "exclusive", "shared", "foreign", "inconclusive", "unreachable"
GOOD = (EXCLUSIVE, SHARED)
WINDOW_SECONDS = 10.0
# The probability of having missed an equal worker that is still called good enough: seven plain dispatches to one worker.
SAMPLING_LIMIT = 0.01
THROUGH, SAMPLING, SERVER = "reject-through probe", "sampling", "server evidence"
ABSENT = ("full", "over its load threshold", "draining", "reconnecting", "slower than 2.8 s", "rejecting")
COPY = "a copy of this host with its running containers (the probe hook of the image is older than that, or its log line is gone)"
ELSEWHERE = ("of another job type", "of another deployment label")


@dataclass(frozen=True)
class Member:
    """A host of the pool: whether it could be read, every worker id its log has seen, and the rooms its worker was asked for.

    ``worker_id`` is the latest one; ``workers`` counts those that take jobs now, which without the hook an old release's does, too.
    ``copied`` says that a copy of the host would pass a probe on like its worker, whose hook draws nothing of its own.
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
    through: Mapping[str, Any] = field(default_factory=dict)
    samples: Sequence[Mapping[str, Any]] = ()
    # Directed probes and previews under the name: they say who took them, and nothing about who else could have.
    others: Sequence[Mapping[str, Any]] = ()
    server: ServerEvidence | None = None
    nodes: int = 1

    @property
    def own_ids(self) -> frozenset[str]:
        return frozenset().union(*(member.worker_ids for member in self.members))

    @property
    def unread(self) -> list[str]:
        """Members whose worker id is not known, so that an unknown id may be theirs."""
        return [member.host for member in self.members if not member.readable or not member.worker_ids]

    @property
    def log(self) -> ServerEvidence | None:
        """The server's log as far as it can be believed."""
        return None if self.contradiction else self.server

    @property
    def log_has_all(self) -> bool:
        return self.log is not None and self.log.complete

    @property
    def contradiction(self) -> str:
        """A log that claims to have all and lacks a worker of ours that just got a job is not the log of this server."""
        if self.server is None or not self.server.complete:
            return ""
        known = {registration.worker_id for registration in self.server.recent} | self.server.worker_ids
        lacking = [member for member in self.members if member.worker_id and member.reached and not member.worker_ids & known]
        lost = ", ".join(member.worker_id for member in lacking)
        return f"it lacks {lost}, which just got a job: is it the log of this server, at level info?" if lost else ""


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
    """From the first probe that was sent to the last answer."""
    ends = [float(p.get("begun") or 0.0) + float(p.get("seconds") or 0.0) for p in (evidence.through, *evidence.samples)]
    return round(max([0.0, *ends]), 1)


def method_of(evidence: Evidence) -> str:
    used = [THROUGH] if evidence.through else []
    used += [SAMPLING] if evidence.samples else []
    used += [SERVER] if evidence.server else []
    return " and ".join(used) or "none"


def not_seen_by(evidence: Evidence) -> tuple[str, ...]:
    """What the methods used cannot see; nothing where the server's log has every worker of the name."""
    if evidence.log_has_all:
        return ()
    missed = missed_by(evidence)
    chance = () if missed is None else (f"an equal worker, with probability {missed:.3f}",)
    copy = (COPY,) if evidence.through and any(member.copied for member in evidence.members) else ()
    return (*chance, *ABSENT, *ELSEWHERE, *copy)


def decide(evidence: Evidence) -> Verdict:
    """The verdict on one name. The order matters: what speaks against the name comes before what speaks for it."""
    kind, reason, foreign = against(evidence) or lost(evidence) or doubtful(evidence) or good(evidence)
    blind = not_seen_by(evidence) if kind in GOOD else ()
    return Verdict(kind, reason + note_on_log(evidence), method_of(evidence), seconds_of(evidence), blind, foreign)


Finding = tuple[str, str, tuple[str, ...]]


def against(evidence: Evidence) -> Finding | None:
    """Somebody else has the name, or may have."""
    taken = sorted(strangers_of(evidence))
    back = sorted(set(reconnecting(evidence)) - set(taken))
    foreign = (*taken, *back)
    if not foreign:
        return None
    if evidence.unread:
        whose = f"the worker id of {', '.join(evidence.unread)} is not known"
        return INCONCLUSIVE, f"{', '.join(foreign)} has the name {evidence.name}; {whose}", ()
    how = " (it reconnects again and again)" if back else ""
    return FOREIGN, f"{', '.join(foreign)} has the name {evidence.name}{how} and is no worker of this pool", foreign


def lost(evidence: Evidence) -> Finding | None:
    """A worker of ours gets no jobs."""
    causes = [(m.host, cause) for m in evidence.members if m.readable and (cause := cause_of(m, evidence))]
    return (UNREACHABLE, "; ".join(f"{host}: {cause}" for host, cause in causes), ()) if causes else None


def cause_of(member: Member, evidence: Evidence) -> str:
    """Why no job reaches a worker, also in the words of the server's log; empty when one did, or nothing is known."""
    found = [member.cause or "gets no jobs"] if member.reached is False else []
    log = evidence.log
    gone = log is not None and log.complete and member.worker_id and member.worker_id not in log.worker_ids
    if gone and not member.reached:
        found.append(f"the LiveKit server does not have its worker {member.worker_id} (any more)")
    return "; ".join(found)


def doubtful(evidence: Evidence) -> Finding | None:
    doubt = doubt_of(evidence)
    return (INCONCLUSIVE, doubt, ()) if doubt else None


def good(evidence: Evidence) -> Finding:
    hosts = [member.host for member in evidence.members]
    whose = hosts[0] if len(hosts) == 1 else f"the pool of {', '.join(hosts)}"
    return EXCLUSIVE if len(hosts) == 1 else SHARED, f"jobs of {evidence.name} go to {whose} only", ()


def note_on_log(evidence: Evidence) -> str:
    """What keeps the server's log from deciding: it has been asked for, so it is said."""
    trouble = evidence.contradiction or (evidence.server.trouble if evidence.server else "")
    return f" (the server's log does not decide: {trouble})" if trouble else ""


def strangers_of(evidence: Evidence) -> set[str]:
    """Worker ids seen under the name that no member of the pool ever had."""
    seen = set(takers([evidence.through, *evidence.samples, *evidence.others]))
    seen |= evidence.log.worker_ids if evidence.log else set()
    return seen - evidence.own_ids


def strange_registrations(evidence: Evidence) -> list[Registration]:
    recent = evidence.log.recent if evidence.log else ()
    return [registration for registration in recent if registration.worker_id not in evidence.own_ids]


def reconnecting(evidence: Evidence) -> list[str]:
    """Strangers that left lately after one of them had come back: a worker that keeps losing its connection has a new id each time."""
    return sorted(just_left(evidence)) if came_back(strange_registrations(evidence)) else []


def just_left(evidence: Evidence) -> dict[str, float]:
    """Strangers that had the name a moment ago and may be about to come back, with the seconds since they left."""
    return {r.worker_id: r.left for r in strange_registrations(evidence) if r.left is not None and r.left < RETURN_SECONDS}


def workers_of(evidence: Evidence) -> int:
    """How many of our own workers take jobs of the name."""
    return sum(max(1, member.workers) for member in evidence.members)


def missed_by(evidence: Evidence) -> float | None:
    """Probability that sampling missed one equal worker; None where a reject-through probe decided. A refusal is no evidence.

    Beside n workers of ours an equal one gets each job with probability 1/(n+1).
    """
    if passed_on(evidence) or not evidence.samples:
        return None
    ours = workers_of(evidence)
    return float((ours / (ours + 1)) ** len(takers(evidence.samples)))


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
    if left := just_left(evidence):
        gone = ", ".join(
            f"{worker_id} had the name {evidence.name} until {seconds:.0f} s ago" for worker_id, seconds in sorted(left.items())
        )
        return f"{gone} and may come back; run again in {RETURN_SECONDS:.0f} s"
    if evidence.log_has_all:
        return ""
    if evidence.nodes > 1:
        covered = max(1, evidence.log.covered if evidence.log else 0)
        return f"{covered} of {evidence.nodes} LiveKit nodes were covered: a worker on another one is not seen"
    if passed_on(evidence):
        return ""
    return doubt_of_samples(evidence) if evidence.samples else doubt_of_through(evidence)


def doubt_of_through(evidence: Evidence) -> str:
    through = evidence.through
    if not through:
        return "nothing was sent"
    if through.get("outcome") == "taken":
        return f"our own worker {through.get('worker_id')} took a probe that it should pass on: it does not ask the probe hook"
    if through.get("outcome") != "nobody":
        return str(through.get("reason") or "the probe failed")
    if float(through.get("seconds") or 0.0) < WINDOW_SECONDS:
        return f"only {through.get('seconds')} s of the server's search window of {WINDOW_SECONDS:.0f} s had passed"
    return "our worker was not asked, so the server's search did not get through to others either"


def doubt_of_samples(evidence: Evidence) -> str:
    counted, missed = len(takers(evidence.samples)), missed_by(evidence)
    if missed is not None and missed <= SAMPLING_LIMIT:
        return ""
    chance = 1.0 if missed is None else missed
    return f"{counted} of {len(evidence.samples)} sampled dispatches were taken: an equal worker is missed with probability {chance:.3f}"
