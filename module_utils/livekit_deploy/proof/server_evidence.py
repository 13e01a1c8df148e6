# SPDX-License-Identifier: Apache-2.0
"""What the logs of a LiveKit server's nodes say about one agent name. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from ..common.times import epoch
from ..gather.server_log import RETURN_SECONDS, Registration, registration
from ..gather.types import ServerWorker


class ServerLog(TypedDict, total=False):
    """A result of ``livekit_server_log_info`` with its host. One without ``workers`` could not be read."""

    host: str
    time: float  # of the reading
    since: str  # start of the server
    complete: bool
    reason: str  # why it is not complete
    workers: list[ServerWorker] | None
    msg: str  # why it could not be read


@dataclass(frozen=True)
class ServerEvidence:
    """What the logs of the LiveKit server show of a name, whatever the job type and deployment label of a worker.

    ``worker_ids`` are registered now. ``complete``: the logs of all nodes reach back to their start; else ``trouble``
    says why not. ``recent`` has also those that left lately, ``covered`` counts the nodes whose log is complete.
    """

    worker_ids: frozenset[str]
    complete: bool
    trouble: str = ""
    recent: tuple[Registration, ...] = ()
    covered: int = 1


def name_evidence(logs: Sequence[ServerLog], name: str, nodes: int = 1) -> ServerEvidence | None:
    """Return what the logs of all nodes show of a name; None where there is no log."""
    if not logs:
        return None
    gaps = [(log, gap) for log in logs if (gap := log_gap(log))]
    found = [f"{log.get('host') or 'a server'}: {gap}" for log, gap in gaps]
    found += [f"found the logs of {len(logs)} of {nodes} LiveKit nodes"] if len(logs) < nodes else []
    seen = tuple(one for log in logs for one in name_registrations(log, name))
    now = frozenset(worker.worker_id for worker in seen if worker.left is None)
    covered = min(len(logs) - len(gaps), nodes)
    return ServerEvidence(now, not found, trouble="; ".join(found), recent=seen, covered=covered)


def name_registrations(log: ServerLog, name: str) -> list[Registration]:
    ours = [entry for entry in log.get("workers") or [] if entry["agent_name"] == name]
    return [registration(entry, float(log["time"])) for entry in ours]


def log_gap(log: ServerLog) -> str:
    """Return why a log does not have every worker. After a server's start its workers need a while to come back."""
    if log.get("workers") is None:
        return str(log.get("msg") or "its log could not be read")
    if not log.get("complete"):
        return str(log.get("reason") or "its log is not complete")
    age = float(log["time"]) - (epoch(log.get("since")) or 0.0)
    if age < RETURN_SECONDS:
        found = f"the server started {age:.0f} s ago, expected at least {RETURN_SECONDS:.0f} s"
        return f"{found}: its workers may still be on their way back"
    return ""
