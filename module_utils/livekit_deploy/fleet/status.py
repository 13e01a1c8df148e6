# SPDX-License-Identifier: Apache-2.0
"""What the fleet serves, as one document. What could not be read is said. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..common.times import epoch
from ..diagnosis.types import Evidence
from ..play import access
from ..play.run import STATUS, HostRun, Runs
from ..release.records import Record
from ..release.unmanaged import UNMANAGED
from ..worker.types import WorkerReading, no_worker
from .status_notes import UNFINISHED, host_notes, jobs_left, shown_name
from .types import AgedVerdict, DrainingWorker, HostStatus, StatusDocument, StatusInput, StatusRow, VerdictEntry

SERVING, EMPTY, BARE, UNREACHABLE, UNREAD = "serving", "no release", "not provisioned", "unreachable", "unread"


def fleet(runs: Runs, hosts: Sequence[str]) -> dict[str, StatusInput]:
    """What the inventory says of each host and what was read there, for `deployment_status_info`."""
    return {host: member(runs[host]) for host in hosts}


def member(run: HostRun) -> StatusInput:
    read: Any = run.result(STATUS)
    said: StatusInput = {
        "agent_name": text_of(run, "livekit_agent_name"),
        "pool": text_of(run, "livekit_agent_pool") or run.name,
    }
    if "workers" in read:
        return {**said, "evidence": read}
    return {
        **said,
        "evidence": {},
        "unreachable": bool(read.get("unreachable")),
        "unread": why(access.said(read) or "it was not asked"),
    }


def text_of(run: HostRun, name: str) -> str:
    """A variable as text; empty where it is missing or cannot be made: a status tells what is, it does not refuse."""
    try:
        value = run.setting(name)
    except Exception:
        return ""
    return "" if value is None else str(value)


def why(message: str) -> str:
    """One line of a message of Ansible: what ssh itself said where it did, without its warnings."""
    lines = [line.strip() for line in access.without_prefix(message).rpartition("over ssh: ")[2].splitlines()]
    return next((line for line in lines if line and not line.startswith("Warning: ")), "no message")


# --- the document ----------------------------------------------------------------------------------------------------


def status_document(
    hosts: Mapping[str, StatusInput],
    verdicts: Mapping[str, VerdictEntry],
    now: float,
) -> StatusDocument:
    """Return everything the table shows, and more, for machines."""
    rows = {host: status_row(given, verdicts.get(host) or VerdictEntry(), now) for host, given in hosts.items()}
    states = Counter(row["state"] for row in rows.values())
    jobs = sum((row["jobs"] or 0) + jobs_left(row) for row in rows.values())
    return {"time": now, "states": dict(states), "jobs": jobs, "hosts": rows}


def status_row(given: StatusInput, verdict: VerdictEntry, now: float) -> StatusRow:
    evidence = given.get("evidence") or Evidence()
    ours = own_workers(evidence)
    serving = next((one for one in ours if one.get("release") == release_record(evidence).get("id")), no_worker())
    row = host_status(given, ours, serving, aged(verdict, now) if verdict else None)
    foreign = [worker for worker in foreign_on_host(evidence, ours) if shown_name(worker) == row["agent_name"]]
    return {**row, "notes": host_notes(row, row["state"] == SERVING, serving, foreign)}


def host_status(
    given: StatusInput,
    ours: Sequence[WorkerReading],
    serving: WorkerReading,
    verdict: AgedVerdict | None,
) -> HostStatus:
    evidence = given.get("evidence") or Evidence()
    record = release_record(evidence)
    return {
        "agent_name": (record if record.get("rolled_back") else given).get("agent_name") or None,
        "rolled_back": record.get("rolled_back"),
        "pool": given.get("pool"),
        "state": host_state(given, evidence),
        "reason": given.get("unread") or ", ".join(evidence.get("missing") or []) or None,
        "release": record.get("id"),
        "served_since": record.get("served_at"),
        "worker_ids": registered_ids(ours),
        "worker_id": serving.get("worker_id"),
        "since": serving.get("registered_since"),
        "jobs": serving.get("active_jobs"),
        "load": serving.get("load"),
        "sdk_version": serving.get("sdk_version"),
        "draining": draining_workers(evidence, ours),
        "drift": list(evidence.get("drift") or []),
        "unfinished": unfinished_releases(evidence),
        "verdict": verdict,
    }


def release_record(evidence: Evidence) -> Record:
    return evidence.get("release") or Record()


def registered_ids(workers: Sequence[WorkerReading]) -> list[str]:
    return [str(worker["worker_id"]) for worker in workers if worker.get("worker_id")]


def own_workers(evidence: Evidence) -> list[WorkerReading]:
    """Return the running workers of the releases on record."""
    states = evidence.get("states") or {}
    workers = evidence.get("workers") or []
    return [worker for worker in workers if worker.get("release") in states and worker.get("running")]


def foreign_on_host(evidence: Evidence, ours: Sequence[WorkerReading]) -> list[WorkerReading]:
    return [worker for worker in evidence.get("workers") or [] if worker.get("running") and worker not in ours]


def draining_workers(evidence: Evidence, ours: Sequence[WorkerReading]) -> list[DrainingWorker]:
    """Return the workers of older releases; those of an unfinished one are none."""
    states = evidence.get("states") or {}
    older = [worker for worker in ours if worker.get("release") != release_record(evidence).get("id")]
    return [draining_worker(one) for one in older if states[str(one["release"])] not in UNFINISHED]


def draining_worker(worker: WorkerReading) -> DrainingWorker:
    jobs = worker.get("active_jobs")
    return {"release": worker.get("release"), "worker_id": worker.get("worker_id"), "active_jobs": jobs}


def unfinished_releases(evidence: Evidence) -> list[str]:
    states = evidence.get("states") or {}
    return [name for name in evidence.get("leftovers") or [] if states.get(name) in UNFINISHED]


def host_state(given: StatusInput, evidence: Evidence) -> str:
    if given.get("unreachable"):
        return UNREACHABLE
    if given.get("unread") or not evidence:
        return UNREAD
    if release_record(evidence).get("unmanaged"):
        return UNMANAGED
    if evidence.get("missing"):
        return BARE
    return SERVING if evidence.get("release") else EMPTY


def aged(verdict: VerdictEntry, now: float) -> AgedVerdict:
    return {**verdict, "age_seconds": age_seconds(verdict.get("at"), now)}


def age_seconds(at: object, now: float) -> float | None:
    """Return the seconds since a time as it is logged or recorded; None where it cannot be read."""
    then = epoch(at)
    return None if then is None else round(max(0.0, now - then), 1)
