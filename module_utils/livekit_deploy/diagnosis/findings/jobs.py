# SPDX-License-Identifier: Apache-2.0
"""Jobs that came and died, by what the worker's log says of them."""

from __future__ import annotations

from collections.abc import Callable

from ...worker.log_words import KILLED
from ..finding import Finding, Holds, RuledOut
from ..host_view import HostView
from ..missing import as_mapping
from ..moments import utc
from ..sightings import worker_place
from ..types import LogLines


def out_of_memory(host: HostView) -> Finding:
    worker, killed = host.worker, job_log_lines(host, KILLED)
    found = [log_lines_text(host, killed)] if killed else []
    if worker.get("oom_killed"):
        start = utc(worker.get("started_at"))
        found.append(f"since its start at {start} a process in {worker_place(worker)} was killed for want of memory")
    if found:
        certain = bool(killed) and (bool(worker.get("oom_killed")) or outnumbers(host, killed))
        return Holds(found, requests_against(host), certain)
    host.serving("oom_killed")
    return no_such_line(host, "of a process that was killed")


def job_failure(kind: str, what: str) -> Callable[[HostView], Finding]:
    """Return the finding of a cause that the worker's own log names."""

    def found(host: HostView) -> Finding:
        seen = job_log_lines(host, kind)
        if seen:
            return Holds([log_lines_text(host, seen)], requests_against(host), certain=outnumbers(host, seen))
        return no_such_line(host, what)

    return found


def job_log_lines(host: HostView, kind: str) -> LogLines:
    found: LogLines = as_mapping(as_mapping(host.worker.get("troubles")).get(kind))
    return found


def log_lines_text(host: HostView, seen: LogLines) -> str:
    line = ": ".join(str(part) for part in (seen.get("line"), seen.get("error")) if part)
    logged = f"{worker_place(host.worker)} logged it {seen.get('count')} times since {host.since}"
    return f"{logged}, last at {utc(seen.get('time'))}: {line}"


def requests_against(host: HostView) -> list[str]:
    return [f"{len(host.requests)} job requests in that time"] if host.requests else []


def outnumbers(host: HostView, seen: LogLines) -> bool:
    """Tell whether there are as many of it as requests: else it may explain some of the lost jobs only."""
    return int(seen.get("count") or 0) >= len(host.requests)


def no_such_line(host: HostView, what: str) -> Finding:
    host.serving("troubles")
    host.worker_log()
    host.no_unknown_errors()
    return RuledOut(f"no line {what} in {host.log_name} since {host.since}")
