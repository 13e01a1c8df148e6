# SPDX-License-Identifier: Apache-2.0
"""The report of an eviction as a document: who holds each name, what was done, why the run fails. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from ..worker.types import StoppedWorker
from .eviction_text import document_lines
from .holders import Case, Worker, routing_of_row, unknown_worker_text, unknown_workers
from .stopping import eviction_failure, stop_refusal
from .types import (
    EvictionDecision,
    EvictionDocument,
    EvictionReport,
    HolderRow,
    NameEntry,
    UnknownWorker,
    UnknownWorkerRow,
)


def conclude(case: Case, decided: EvictionDecision) -> EvictionReport:
    """Return the documents and the lines of a finished run."""
    failure = eviction_failure(case, decided)
    document: EvictionDocument = {
        "names": {name: name_entry(case, name) for name in case.names},
        "on_no_known_host": [unknown_worker_row(entry) for entry in unknown_workers(case, case.names)],
        "not_read": {host: about["unread"] for host, about in case.hosts.items() if about["unread"]},
        "name_not_known": [holder_row(case, worker) for worker in case.nameless()],
        "requested": case.worker_id or None,
        "target": decided["target"],
        "drained": shown_drained(case.drained) if case.drained else None,
        "check_mode": case.checking,
        "problems": [refusal.as_dict() for refusal in [*decided["problems"], *decided["unproven"]]],
        "ok": not failure,
    }
    lines = document_lines(document)
    return {"report_documents": {"evict.json": document}, "report_lines": lines, "trouble": failure}


def unknown_worker_row(entry: UnknownWorker) -> UnknownWorkerRow:
    return {**entry, "told": unknown_worker_text(entry)}


def name_entry(case: Case, name: str) -> NameEntry:
    pools = case.claims(name)
    rows = [case.verdicts[host] for hosts in pools.values() for host in hosts if case.verdicts.get(host)]
    routing = routing_of_row(rows[0]) if rows else {}
    return {
        "pools": pools,
        "verdict": rows[0].get("verdict") if rows else None,
        "reason": routing.get("reason"),
        "method": routing.get("method"),
        "seconds": routing.get("seconds"),
        "not_seen": routing.get("not_seen"),
        "foreign": routing.get("foreign"),
        "workers": [holder_row(case, worker) for worker in case.holders(name)],
    }


def holder_row(case: Case, worker: Worker) -> HolderRow:
    refusal, read = stop_refusal(case, worker), worker.read
    return {
        "worker_id": read.get("worker_id"),
        "container": read.get("container"),
        "project": read.get("project"),
        "directory": read.get("directory"),
        "active_jobs": read.get("active_jobs"),
        "start_command": read.get("start_command"),
        "host": worker.host,
        "since": read.get("registered_since") or read.get("started_at"),
        "supervisor": supervisor_text(read.get("supervisor") or {}),
        "ours": worker.ours,
        "pool": worker.pool if worker.ours else None,
        "state": worker.state,
        "draining": case.was_told_to_stop(worker),
        "server": worker.elsewhere or None,
        "evictable": refusal is None,
        "why_not": refusal.found if refusal else None,
        "command": refusal.remedy if refusal else case.playbooks.start("evict.yml", evict_worker=worker.chosen_id),
    }


def supervisor_text(supervisor: Mapping[str, object]) -> str:
    name = str(supervisor.get("name") or "")
    texts = {
        "docker": f"docker, {supervisor.get('policy') or 'no'}",
        "systemd": f"systemd {name}{user_text(supervisor)}",
        "none": "nothing",
        "other": name,
    }
    return texts.get(str(supervisor.get("kind")), "not known")


def user_text(supervisor: Mapping[str, object]) -> str:
    return f" (user {supervisor['user']})" if supervisor.get("user") is not None else ""


def shown_drained(drained: StoppedWorker) -> StoppedWorker:
    """Return what the report shows of the worker that was told to stop."""
    return {
        "gone": drained["gone"],
        "draining": drained["draining"],
        "active_jobs": drained["active_jobs"],
        "container": drained["container"],
        "worker_ids": drained["worker_ids"],
        "supervisor": drained["supervisor"],
        "policy": drained["policy"],
        "commands": drained["commands"],
        "start_command": drained["start_command"],
        "also_at_boot": drained["also_at_boot"],
    }
