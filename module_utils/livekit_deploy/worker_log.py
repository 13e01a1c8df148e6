"""What a livekit-agents worker's log says about its registration and its job requests.

``start`` logs one JSON object a line (livekit-agents 1.8.9, measured). Older releases have fewer fields, and an application may
print lines of its own in between, so everything that is no JSON object is passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from typing import Any

REGISTERED = "registered worker"
REQUESTED = "received job request"
DRAINING = "draining worker"
STARTING = "starting worker"
FAILED = "worker failed"
DISCONNECTED = "failed to connect to livekit"


def event_of(line: str) -> dict[str, Any] | None:
    """The JSON object on a log line, or None for any other line."""
    start = line.find("{")
    if start < 0:
        return None
    try:
        event = json.loads(line[start:])
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def job_request(event: dict[str, Any]) -> dict[str, str | None]:
    """The fields of a "received job request" line that name the job."""
    return {
        "job_id": event.get("job_id"),
        "dispatch_id": event.get("dispatch_id"),
        "room": event.get("room") or event.get("room_name"),
        "agent_name": event.get("agent_name"),
        "time": event.get("timestamp"),
    }


def read(lines: Iterable[str], patterns: Iterable[str] = (), after: Collection[str] = ()) -> dict[str, Any]:
    """Fold a worker's log into one reading.

    Returns ``agent_name``, ``worker_id``, ``registered_since`` (ISO 8601), ``url`` and ``deployment`` of the latest registration (None
    where its line is not in the log), ``connected`` (no connection failure after it), ``worker_ids`` (of all registrations),
    ``reconnects`` (those after the first), ``draining``, ``sdk_version``, ``requests`` (all job requests) and ``log_matches``
    (pattern -> seen).

    With ``after`` (job ids and rooms) a pattern counts only once one of these jobs was requested: what an earlier call logged proves
    nothing.
    """
    state: dict[str, Any] = {
        "agent_name": None,
        "worker_id": None,
        "registered_since": None,
        "url": None,
        "deployment": None,
        "connected": False,
        "draining": False,
        "sdk_version": None,
    }
    ids: list[str] = []
    requests = []
    wanted = {pattern: re.compile(pattern) for pattern in patterns}
    matches = dict.fromkeys(wanted, False)
    counting = not after
    for line in lines:
        for pattern, compiled in wanted.items():
            matches[pattern] = matches[pattern] or (counting and bool(compiled.search(line)))
        event = event_of(line)
        message = event.get("message") if event else None
        if not event or not isinstance(message, str):
            continue
        if message == REGISTERED:
            ids.append(str(event.get("id")))
        elif message == REQUESTED:
            requests.append(job_request(event))
            counting = counting or bool({requests[-1]["job_id"], requests[-1]["room"]} & set(after))
        state.update(changes(message, event))
    return {**state, "worker_ids": ids, "reconnects": max(0, len(ids) - 1), "requests": requests, "log_matches": matches}


def changes(message: str, event: dict[str, Any]) -> dict[str, Any]:
    """What one log line changes in the reading."""
    if message == REGISTERED:
        return {
            "agent_name": event.get("agent_name"),
            "worker_id": event.get("id"),
            "registered_since": event.get("timestamp"),
            "url": event.get("url"),
            "deployment": event.get("deployment"),
            "connected": True,
        }
    if message == STARTING:
        # A container that was restarted starts over: what the process before it said no longer holds.
        return {"sdk_version": event.get("version"), "connected": False, "draining": False, "worker_id": None}
    if message.startswith(DISCONNECTED) or message == FAILED:
        return {"connected": False}
    if message == DRAINING:
        return {"draining": True}
    return {}


def short(line: str, limit: int = 240) -> str:
    """A log line fit for a message: of a JSON line its level, message and the end of a traceback."""
    event = event_of(line)
    if event and "message" in event:
        # The traceback of a job's entrypoint is part of the message (livekit-agents 1.8.9), any other is in exc_info.
        message = str(event["message"]).strip().splitlines() or [""]
        trace = [*message[1:], *str(event.get("exc_info") or "").strip().splitlines()]
        line = ": ".join([str(event.get("level", "")), message[0], *trace[-1:]])
    return line if len(line) <= limit else line[: limit - 1] + "…"
