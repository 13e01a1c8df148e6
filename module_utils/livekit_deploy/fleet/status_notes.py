# SPDX-License-Identifier: Apache-2.0
"""What a person should know of a host beyond its line in the status. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..diagnosis.types import WorkerReading
from .types import AgedVerdict, DrainingWorker, HostStatus, StatusNote

UNFINISHED = ("staged", "switching")
# Kinds of notes, the most pressing first.
WORKER, FOREIGN, VERDICT, ROLLED_BACK = "worker", "other worker", "verdict", "rolled back"
DRIFT, STAGED, DRAINING = "drift", "unfinished", "draining"
KINDS = (WORKER, FOREIGN, VERDICT, ROLLED_BACK, DRIFT, STAGED, DRAINING)


def host_notes(
    row: HostStatus,
    serves: bool,
    serving: WorkerReading,
    foreign: Sequence[WorkerReading],
) -> list[StatusNote]:
    texts = {
        WORKER: worker_notes(row, serving) if serves else [],
        FOREIGN: [foreign_note(worker) for worker in foreign],
        VERDICT: verdict_notes(row),
        ROLLED_BACK: rolled_back_notes(row),
        DRIFT: [f"drift: {sentence}" for sentence in row["drift"]],
        STAGED: [unfinished_note(name) for name in row["unfinished"]],
        DRAINING: [drain_note(entry) for entry in row["draining"]],
    }
    return [{"kind": kind, "text": text} for kind in KINDS for text in texts[kind]]


def worker_notes(row: HostStatus, worker: WorkerReading) -> list[str]:
    if not worker:
        known = any("agent-worker is not running" in sentence for sentence in row["drift"])
        return [] if known else ["no worker of the release runs"]
    return [*registration_notes(row, worker), *state_notes(worker)]


def registration_notes(row: HostStatus, worker: WorkerReading) -> list[str]:
    notes = []
    if not worker.get("worker_id"):
        notes.append("the worker's log has no registration: it never registered, or the log has rotated")
    elif not worker.get("connected"):
        notes.append("the worker lost its connection to the LiveKit server and has not registered again")
    if row["agent_name"] and shown_name(worker) not in (None, row["agent_name"]):
        notes.append(f"the worker registered as {shown_name(worker)}, the inventory says {row['agent_name']}")
    return notes


def state_notes(worker: WorkerReading) -> list[str]:
    notes = ["the serving worker drains"] if worker.get("draining") else []
    notes += ["the worker is full"] if worker.get("full") else []
    if worker.get("restarts"):
        notes.append(f"the worker's container was restarted {worker['restarts']} times by Docker")
    return notes


def shown_name(worker: WorkerReading) -> str | None:
    """Return the name that a worker registered under, else the one that it answers with."""
    return worker.get("agent_name") or worker.get("answered_name")


def foreign_note(worker: WorkerReading) -> str:
    who = f"{worker.get('container')} ({worker.get('worker_id') or 'no id'})"
    return f"another worker on the host has the name: {who}"


def verdict_notes(row: HostStatus) -> list[str]:
    verdict = row["verdict"]
    return [*bad_verdict_notes(verdict), *old_verdict_notes(verdict, row)] if verdict else []


def bad_verdict_notes(verdict: AgedVerdict) -> list[str]:
    if verdict.get("ok", True):
        return []
    return [f"the last {verdict.get('playbook') or 'run'} said {verdict.get('verdict')}: {verdict.get('reason')}"]


def old_verdict_notes(verdict: AgedVerdict, row: HostStatus) -> list[str]:
    """Return whether a verdict is about another name or release than the host has now."""
    name, release = verdict.get("agent_name"), verdict.get("release")
    if name and row["agent_name"] and name != row["agent_name"]:
        return [f"the last verdict is about the name {name}, not {row['agent_name']}"]
    if release and row["release"] and release != row["release"]:
        return [f"the last verdict is about release {short_release(release)}, not the one that serves"]
    return []


def unfinished_note(release: str) -> str:
    return f"release {short_release(release)} was left unfinished; the next deployment clears it"


def drain_note(entry: DrainingWorker) -> str:
    jobs = entry["active_jobs"]
    busy = "its jobs could not be read" if jobs is None else f"{with_count(jobs, 'job')} left"
    return f"release {short_release(entry['release'])} still drains: {busy} ({entry['worker_id'] or 'no id'})"


def rolled_back_notes(row: HostStatus) -> list[str]:
    back = row["rolled_back"]
    if not back:
        return []
    what = "to the shared name" if back["kind"] == "shared_name" else f"to release {short_release(back['to'])}"
    serves = f"serves {row['agent_name']}; the next deployment ends that"
    return [f"rolled back {what} on purpose at {back['at']}, {serves}"]


def short_release(release: str | None) -> str:
    """Return the date part of a release id, to the minute: what a glob on the host takes, and short."""
    return str(release).partition("-")[0][:13]


def with_count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def jobs_left(row: HostStatus) -> int:
    """Return the jobs of the workers that drain."""
    return sum(entry["active_jobs"] or 0 for entry in row["draining"])
