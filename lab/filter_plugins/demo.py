# SPDX-License-Identifier: Apache-2.0
"""Filters of the demo: which dispatches to send, and where each landed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def dispatches(hosts: Sequence[str], hostvars: Mapping[str, Any], count: int, spacing: float) -> list[dict[str, Any]]:
    """``count`` plain dispatches to each host's agent name, ``spacing`` seconds apart."""
    common = {"kind": "plain", "count": count, "spacing_seconds": spacing}
    return [{"id": host, "agent_name": str(hostvars[host]["livekit_agent_name"]), **common} for host in hosts]


def landings(
    sent: Mapping[str, Any], hostvars: Mapping[str, Any], hosts: Sequence[str], ours: Sequence[str]
) -> dict[str, Any]:
    """A table of dispatches by name and by host, and how many went astray.

    A dispatch counts for a host only if both witnesses agree: the worker id in the server's list is one of that host's,
    and that worker's log has the job.
    """
    workers = {
        worker["worker_id"]: (host, worker) for host in hosts for worker in hostvars[host]["__demo_read"]["workers"]
    }
    counts: dict[str, dict[str, int]] = {host: {} for host in ours}
    for probe_id, probe in sent.items():
        host, worker = workers.get(probe["worker_id"], (None, None))
        logged = worker and any(r["job_id"] == probe["job_id"] for r in worker["requests"])
        landed = host if host and logged else "nowhere"
        row = counts[probe_id.rpartition("/")[0]]
        row[landed] = row.get(landed, 0) + 1
    astray = sum(n for name, row in counts.items() for landed, n in row.items() if landed != name)
    return {"table": table(counts, [*hosts, "nowhere"], hostvars), "astray": astray, "sent": len(sent)}


def table(counts: Mapping[str, Mapping[str, int]], columns: Sequence[str], hostvars: Mapping[str, Any]) -> list[str]:
    names = {host: str(hostvars[host]["livekit_agent_name"]) for host in counts}
    width = max(len(name) for name in names.values())
    lines = ["  ".join(["dispatched to".ljust(width), *columns])]
    for host, row in counts.items():
        cells = [str(row.get(column, 0)).rjust(len(column)) for column in columns]
        lines.append("  ".join([names[host].ljust(width), *cells]))
    return lines


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"demo_dispatches": dispatches, "demo_landings": landings}
