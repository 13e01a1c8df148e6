# SPDX-License-Identifier: Apache-2.0
"""Which workers a LiveKit server has registered, from its log. Pure; the log is read once, line by line.

A server (1.13.5, measured) logs at INFO, as JSON or as tab separated text with a JSON end: ``starting LiveKit server``
when it starts, ``worker registered``, ``closing worker``, and before that ``last worker deregistered`` where it was the
last one of its name.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..common import ids
from ..common.text import one_line, parsed
from ..common.times import epoch, event_epoch, iso
from ..machine import logs
from .types import ServerReading, ServerWorker

STARTING, REGISTERED = "starting LiveKit server", "worker registered"
CLOSED = ("closing worker", "last worker deregistered")
INTERESTING = re.compile("|".join(re.escape(text) for text in (STARTING, REGISTERED, *CLOSED)))
CLOSED_KEPT = 50  # of each name: enough to see a worker come back, and bounded in a storm of reconnects
NAMES_KEPT = 10_000
# A worker that lost its connection tries again within 10 s (livekit-agents 1.8.9); a container that is started again
# takes longer.
RETURN_SECONDS = 30.0
RECENT_SECONDS = 120.0


# What a server logs beside a message.
Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Registration:
    """A worker in the server's log: the seconds since it registered and since it left; None where the log does not say,
    or it is there.
    """

    worker_id: str
    registered: float | None
    left: float | None = None


def time_text(moment: float | None) -> str | None:
    return None if moment is None else iso(moment, zone="Z")


def server_event(line: str) -> tuple[str, float | None, Fields] | None:
    """Message, time and fields of a line in either format, also behind a prefix; None for any other line."""
    columns = line.split("\t")
    tail = columns[-1] if len(columns) > 4 else line
    start = tail.find("{")
    fields = parsed(tail[start:]) if start >= 0 else {}
    if not isinstance(fields, dict):
        return None
    if len(columns) > 4:
        return columns[4].strip(), epoch((columns[0].split() or [""])[-1]), fields
    return str(fields.get("msg", "")), event_epoch(fields.get("ts")), fields


@dataclass
class Log:
    """A log as far as it was read."""

    lines: int = 0
    since: float | None = None
    complete: bool = False
    dropped: int = 0
    registered: dict[str, ServerWorker] = field(default_factory=dict)
    closed: dict[str, deque[ServerWorker]] = field(default_factory=dict)

    def take(self, line: str) -> None:
        self.lines += 1
        if not INTERESTING.search(line):
            self.dropped += bool(logs.DROPPED.fullmatch(line.strip()))
            return
        message, moment, fields = server_event(line) or ("", None, {})
        if message == STARTING:
            self.restart(moment)
        elif message == REGISTERED and ids.worker(fields.get("workerID")):
            self.register(moment, fields)
        elif message in CLOSED and ids.worker(fields.get("workerID")):
            self.close(moment, fields)

    def restart(self, moment: float | None) -> None:
        """Another process from here on: nobody is registered with it yet, and what the log lacks before no longer
        matters.
        """
        self.since, self.complete, self.dropped = moment, True, 0
        self.registered.clear()
        self.closed.clear()

    def register(self, moment: float | None, fields: Fields) -> None:
        self.since = moment if self.since is None else self.since
        self.registered[str(fields["workerID"])] = server_worker(moment, fields)

    def close(self, moment: float | None, fields: Fields) -> None:
        """The two lines of one worker become one entry; only the later line knows its deployment."""
        self.since = moment if self.since is None else self.since
        worker_id, past = str(fields["workerID"]), self.past(one_line(fields.get("agentName")) or "")
        entry = self.registered.pop(worker_id, None) or next((e for e in past if e["worker_id"] == worker_id), None)
        entry = server_worker(None, fields) if entry is None else entry
        if entry["closed"] is None:
            past.append(entry)
        entry["closed"] = entry["closed"] or time_text(moment or 0.0)
        entry["deployment"] = one_line(fields.get("deployment")) if "deployment" in fields else entry["deployment"]

    def past(self, name: str) -> deque[ServerWorker]:
        """Return the workers of a name that left; of too many names the oldest is forgotten."""
        if name not in self.closed and len(self.closed) >= NAMES_KEPT:
            self.closed.pop(next(iter(self.closed)))
        return self.closed.setdefault(name, deque(maxlen=CLOSED_KEPT))


def server_worker(registered: float | None, fields: Fields) -> ServerWorker:
    return {
        "worker_id": str(fields["workerID"]),
        "agent_name": one_line(fields.get("agentName")) or "",
        "job_type": one_line(fields.get("jobType")) or "",
        "deployment": one_line(fields.get("deployment")),
        "registered": time_text(registered),
        "closed": None,
    }


def read_registrations(lines: Iterable[str], now: float) -> ServerReading:
    """The workers registered at the end of a log, and those that left within the last minutes.

    ``complete`` where the log reaches back to the server's start and nothing is known to be missing; else ``reason``
    says why not.
    """
    log = Log()
    for line in lines:
        log.take(line)
    past = [
        entry
        for entries in log.closed.values()
        for entry in entries
        if now - (epoch(entry["closed"]) or 0.0) <= RECENT_SECONDS
    ]
    reason = log_trouble(log)
    return {
        "complete": not reason,
        "reason": reason,
        "since": time_text(log.since),
        "workers": [*log.registered.values(), *past],
        "lines": log.lines,
        "time": now,
    }


def log_trouble(log: Log) -> str:
    """Why the log does not have every worker; empty when it does."""
    if not log.lines:
        return "found an empty log, expected one from the server's start"
    if not log.complete:
        lacks = f"it lacks {STARTING!r}, which a server logs at level info"
        return f"the log does not reach back to the server's start: {lacks}"
    return (
        "the journal dropped lines of the server (see LogRateLimitIntervalSec in systemd.exec)" if log.dropped else ""
    )


def unsettled(found: ServerReading, names: Iterable[str], own_ids: Iterable[str]) -> bool:
    """Whether a worker that is not ours left one of the names so lately that it may come back, and it is not known yet
    that it does.
    """
    known = set(own_ids)
    for name in names:
        strange = [
            entry for entry in found["workers"] if entry["agent_name"] == name and entry["worker_id"] not in known
        ]
        seen = [registration(entry, float(found["time"])) for entry in strange]
        settled = came_back(seen) or any(worker.left is None for worker in seen)
        if not settled and any((worker.left or 0.0) < RETURN_SECONDS for worker in seen):
            return True
    return False


def came_back(registrations: Sequence[Registration]) -> bool:
    """Whether one registered soon after one had left.

    Two that only leave, as an old release does beside its new one, are no return.
    """
    began = [r.registered for r in registrations if r.registered is not None and r.registered <= RECENT_SECONDS]
    ended = [r.left for r in registrations if r.left is not None]
    return any(0.0 <= left - registered <= RETURN_SECONDS for registered in began for left in ended)


def registration(entry: ServerWorker, now: float) -> Registration:
    """An entry with the seconds that had passed when the log was read."""

    def ago(text: Any) -> float | None:
        moment = epoch(text)
        return None if moment is None else max(0.0, now - moment)

    return Registration(str(entry["worker_id"]), ago(entry.get("registered")), ago(entry.get("closed")))
