"""What a livekit-agents worker's log says about its registration, its job requests and its troubles.

``start`` logs one JSON object a line (livekit-agents 1.8.9, measured; 1.0 to 1.5 say the same words, with fewer fields). An application may
print lines of its own in between, so everything that is no JSON object is passed over: also the console format of ``dev``.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any

from ansible.module_utils.livekit_deploy.times import epoch

REGISTERED = "registered worker"
REQUESTED = "received job request"
DRAINING = "draining worker"
STARTING = "starting worker"
FAILED = "worker failed"
DISCONNECTED = "failed to connect to livekit"
FULL = "worker is at full capacity"
NOT_FULL = "worker is below capacity"
NO_ANSWER = "no answer was given inside the job_request_fnc"
ASSIGNMENT_LOST = re.compile(r"assignment for job (\S+) timed out")
ASSIGNMENT_UNKNOWN = "received assignment for an unknown job"
ENTRYPOINT_FAILED = "unhandled exception while running the job task"
PASSED_ON = "request passed on, gate is closed"
ANSWERED = ("probe answered", "probe passed on")
GUARDED = "request handler is guarded"

# What the probe hook draws when its process starts.
PROCESS = re.compile(r"[0-9a-f]{16}")
UNAUTHORIZED = re.compile(r"(?:^|: )401, message=")
# The address in a connection's error may carry a token.
QUERY = re.compile(r"\?[^\s'\"]+")

# The server listens for about 2.8 s (measured); a worker that accepted waits 7.5 s for the assignment (livekit-agents 1.0 to 1.8).
ANSWER_SECONDS = 2.8
ASSIGNMENT_SECONDS = 7.5

# A worker that reconnects without pause logs hundreds of registrations a second.
REQUESTS_KEPT = 500
REGISTRATIONS_KEPT = 50
WORKER_IDS_KEPT = 5000


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


def cause(event: dict[str, Any]) -> str | None:
    """What an event names as its error: the field of that name, else the last line of its traceback."""
    # A job's traceback is part of its message (livekit-agents 1.8.9); older releases have that of a connection in exc_info.
    trace = str(event.get("exc_info") or "").strip() or str(event.get("message") or "").strip().partition("\n")[2]
    text = str(event.get("error") or "") or trace.rpartition("\n")[2]
    return QUERY.sub("?…", text)[:500] or None


class Fold:
    """Takes a log's events one by one; ``result`` is the reading."""

    def __init__(self, after: Collection[str], since: float | None) -> None:
        self.after = set(after)
        self.since = since
        self.asked_after = not after
        self.asked_at: float | None = None
        self.now: float | None = None
        self.asked: dict[str, float] = {}
        self.worker_ids: deque[str] = deque(maxlen=WORKER_IDS_KEPT)
        self.registrations: deque[str | None] = deque(maxlen=REGISTRATIONS_KEPT)
        self.requests: deque[dict[str, str | None]] = deque(maxlen=None if after else REQUESTS_KEPT)
        self.registered = 0
        # The launcher tells of its process just before a worker says that it starts.
        self.identified = False
        self.state: dict[str, Any] = {
            **dict.fromkeys(("agent_name", "worker_id", "registered_since", "url", "deployment", "sdk_version")),
            **dict.fromkeys(("connected", "draining", "full", "guarded"), False),
            **dict.fromkeys(("last_failure", "last_entrypoint_error", "hook_process")),
            **dict.fromkeys(("requests_total", "failures", "unauthorized", "unanswered", "late", "entrypoint_errors", "passed_on"), 0),
        }

    def take(self, event: dict[str, Any]) -> None:
        message = event.get("message")
        self.now = epoch(event.get("timestamp")) or self.now
        if not isinstance(message, str):
            return
        handler = EXACT.get(message) or next((take for start, take in STARTS if message.startswith(start)), None)
        if handler:
            handler(self, event)

    def count(self, name: str, event: dict[str, Any]) -> bool:
        """Count an event unless it is known to be older than ``since``."""
        if self.since is not None and (epoch(event.get("timestamp")) or self.since) < self.since:
            return False
        self.state[name] += 1
        return True

    def register(self, event: dict[str, Any]) -> None:
        self.registered += 1
        self.worker_ids.append(str(event.get("id")))
        self.registrations.append(event.get("timestamp"))
        self.state.update(
            agent_name=event.get("agent_name"),
            worker_id=event.get("id"),
            registered_since=event.get("timestamp"),
            url=event.get("url"),
            deployment=event.get("deployment"),
            connected=True,
        )

    def start(self, event: dict[str, Any]) -> None:
        """A container that was restarted starts over: what the process before it said no longer holds."""
        self.state.update(sdk_version=event.get("version"), connected=False, draining=False, full=False, worker_id=None)
        if not self.identified:
            self.state["hook_process"] = None
        self.identified = False

    def drain(self, _event: dict[str, Any]) -> None:
        self.state["draining"] = True

    def fill(self, event: dict[str, Any]) -> None:
        self.state["full"] = event["message"].startswith(FULL)

    def fail(self, event: dict[str, Any]) -> None:
        error = cause(event)
        message = event["message"].partition("\n")[0]
        self.state.update(connected=False, last_failure={"message": message, "time": event.get("timestamp"), "error": error})
        self.count("failures", event)
        if UNAUTHORIZED.search(error or ""):
            self.count("unauthorized", event)

    def request(self, event: dict[str, Any]) -> None:
        request = job_request(event)
        self.asked[str(request["job_id"])] = epoch(request["time"]) or 0.0
        named = bool({str(request["job_id"]), str(request["room"])} & self.after)
        if named and not self.asked_after:
            self.asked_after, self.asked_at = True, epoch(request["time"])
        if self.count("requests_total", event) and (named or not self.after):
            self.requests.append(request)

    def answer(self, event: dict[str, Any], job_id: Any, waited: float = 0.0) -> None:
        """The worker answered a request, ``waited`` seconds before this line."""
        asked, now = self.asked.pop(str(job_id), 0.0), epoch(event.get("timestamp"))
        if asked and now and now - waited - asked > ANSWER_SECONDS:
            self.count("late", event)

    def hook(self, event: dict[str, Any]) -> None:
        self.state["guarded"] = True
        process = event.get("hook_process")
        if isinstance(process, str) and PROCESS.fullmatch(process):
            self.state["hook_process"] = process
        self.identified = self.identified or event["message"] == GUARDED
        if event["message"] != GUARDED:
            self.answer(event, event.get("job_id"))
        if event["message"] == PASSED_ON:
            self.count("passed_on", event)

    def leave_unanswered(self, event: dict[str, Any]) -> None:
        self.count("unanswered", event)

    def lose_assignment(self, event: dict[str, Any]) -> None:
        lost = ASSIGNMENT_LOST.match(event["message"])
        if lost:
            self.count("unanswered", event)
            self.answer(event, lost.group(1), ASSIGNMENT_SECONDS)

    def crash(self, event: dict[str, Any]) -> None:
        if self.count("entrypoint_errors", event):
            self.state["last_entrypoint_error"] = cause(event)

    def seconds(self) -> float:
        """From the wanted request to the latest event; 0 where a time is not known."""
        return round(max(0.0, self.now - self.asked_at), 3) if self.now and self.asked_at else 0.0

    def result(self) -> dict[str, Any]:
        return {
            **self.state,
            "worker_ids": list(self.worker_ids),
            "reconnects": max(0, self.registered - 1),
            "registrations": list(self.registrations),
            "requests": list(self.requests),
        }


Take = Callable[[Fold, dict[str, Any]], None]
EXACT: dict[str, Take] = {
    REGISTERED: Fold.register,
    REQUESTED: Fold.request,
    STARTING: Fold.start,
    DRAINING: Fold.drain,
    FAILED: Fold.fail,
    **dict.fromkeys((GUARDED, PASSED_ON, *ANSWERED), Fold.hook),
}
STARTS: list[tuple[str, Take]] = [
    (DISCONNECTED, Fold.fail),
    (FULL, Fold.fill),
    (NOT_FULL, Fold.fill),
    (NO_ANSWER, Fold.leave_unanswered),
    (ASSIGNMENT_UNKNOWN, Fold.leave_unanswered),
    ("assignment for job ", Fold.lose_assignment),
    (ENTRYPOINT_FAILED, Fold.crash),
]


def read(lines: Iterable[str], patterns: Iterable[str] = (), after: Collection[str] = (), since: float | None = None) -> dict[str, Any]:
    """Fold a worker's log into one reading.

    Of the latest registration (None where its line is not in the log): ``agent_name``, ``worker_id``, ``registered_since`` (ISO 8601),
    ``url``, ``deployment``; ``connected`` tells that no connection failure followed. ``worker_ids`` (newest 5000), ``registrations``
    (their times, newest 50) and ``reconnects`` are of the whole log, like ``draining``, ``full``, ``sdk_version``, ``guarded`` (the
    hook spoke) and ``last_failure`` (of a connection, or of the worker: message, time, error).

    Counted from ``since`` (epoch seconds; None: the whole log): ``requests_total``, ``failures`` of the connection, those with status
    401 (``unauthorized``), ``unanswered`` requests (the handler said nothing, or no assignment came), ``entrypoint_errors`` with the
    ``last_entrypoint_error``, requests ``passed_on`` because the gate was closed, and ``late``: requests answered when the server had
    given up. ``late`` knows the answers that the hook logs, and acceptances, by the assignment that never came. An application's own
    late refusal leaves no trace in the log and is not counted.

    ``requests`` are the newest 500; with ``after`` (job ids and rooms) those with one of them, and a pattern counts only once one was
    requested: what an earlier call logged proves nothing. ``log_matches`` has for each pattern that was seen the seconds after that
    request, by the log's own times.
    """
    fold = Fold(after, since)
    wanted = {pattern: re.compile(pattern) for pattern in patterns}
    matches: dict[str, float] = {}
    for line in lines:
        event, after_asked = event_of(line), fold.asked_after
        if event:
            fold.take(event)
        for pattern, compiled in wanted.items() if after_asked else ():
            if pattern not in matches and compiled.search(line):
                matches[pattern] = fold.seconds()
    return {**fold.result(), "log_matches": matches}


def telling(lines: list[str], count: int) -> list[str]:
    """The last lines that are not about a request which never reached the application: under calls these hide what went wrong."""
    passing = (REQUESTED, PASSED_ON, *ANSWERED)
    return [line for line in lines if (event_of(line) or {}).get("message") not in passing][-count:]


def short(line: str, limit: int = 240) -> str:
    """A log line fit for a message: of a JSON line its level, message and the end of a traceback."""
    event = event_of(line)
    if event and "message" in event:
        # The traceback of a job's entrypoint is part of the message (livekit-agents 1.8.9), any other is in exc_info.
        message = str(event["message"]).strip().splitlines() or [""]
        trace = [*message[1:], *str(event.get("exc_info") or "").strip().splitlines()]
        line = ": ".join([str(event.get("level", "")), message[0], *trace[-1:]])
    return line if len(line) <= limit else line[: limit - 1] + "…"
