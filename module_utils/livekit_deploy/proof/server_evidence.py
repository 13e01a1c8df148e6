# SPDX-License-Identifier: Apache-2.0
"""What the logs of a LiveKit server's nodes say about one agent name. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..common.times import epoch
from ..gather.server_log import RETURN_SECONDS, Registration, registration


@dataclass(frozen=True)
class ServerEvidence:
    """What the logs of the LiveKit server say about the name, whatever the job type and deployment label of a worker.

    ``worker_ids`` are registered now, ``complete`` when the logs of all nodes reach back to their start (else ``trouble`` says why not),
    ``recent`` has also those that left lately, ``covered`` counts the nodes whose log is complete.
    """

    worker_ids: frozenset[str]
    complete: bool
    trouble: str = ""
    recent: tuple[Registration, ...] = ()
    covered: int = 1


def evidence(logs: Sequence[Mapping[str, Any]], name: str, nodes: int = 1) -> ServerEvidence | None:
    """What the logs of all nodes say about a name; None where there is no log.

    ``logs`` are results of ``livekit_server_log_info``, each with ``host``; one without ``workers`` could not be read.
    """
    if not logs:
        return None
    troubles = [f"{log.get('host') or 'a server'}: {trouble}" for log in logs if (trouble := trouble_of_reading(log))]
    missing = nodes - len(logs)
    troubles += [f"found the logs of {len(logs)} of {nodes} LiveKit nodes"] if missing > 0 else []
    seen = [registration(entry, float(log["time"])) for log in logs for entry in log.get("workers") or [] if entry["agent_name"] == name]
    covered = len([log for log in logs if not trouble_of_reading(log)])
    now = frozenset(worker.worker_id for worker in seen if worker.left is None)
    return ServerEvidence(now, not troubles, "; ".join(troubles), tuple(seen), min(covered, nodes))


def trouble_of_reading(log: Mapping[str, Any]) -> str:
    """Why a reading does not have every worker. After a server's start its workers need a while until they are back."""
    if log.get("workers") is None:
        return str(log.get("msg") or "its log could not be read")
    if not log.get("complete"):
        return str(log.get("reason") or "its log is not complete")
    age = float(log["time"]) - (epoch(log.get("since")) or 0.0)
    if age < RETURN_SECONDS:
        return f"the server started {age:.0f} s ago, expected at least {RETURN_SECONDS:.0f} s: its workers may still be on their way back"
    return ""
