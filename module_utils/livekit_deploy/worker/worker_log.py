# SPDX-License-Identifier: Apache-2.0
"""What a worker's log says about its registration, its job requests and its troubles.

livekit-agents 1.2 to 1.8 and agents-js 1.9 say the same words, older ones with fewer fields (read in their sources;
1.8.9 measured). Their forms are those of ``log_events``. An application may print lines of its own in between: they are
passed over, unless they tell of an error.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any, cast

from ..common import ids
from ..common.text import cut, one_line, plain
from ..machine import logs
from . import log_events
from .log_events import QUERY, Event, cause, complete_time, event_line, event_text, job_request, line_time, short_text
from .log_words import (
    ANSWER_SECONDS,
    ANSWERED,
    ASSIGNMENT_LOST,
    ASSIGNMENT_SECONDS,
    ASSIGNMENT_UNKNOWN,
    DISCONNECTED,
    DRAINING,
    ENDINGS,
    ENTRYPOINT_FAILED,
    FAILED,
    FULL,
    GUARDED,
    NO_ANSWER,
    NOT_FULL,
    PASSED_ON,
    REGISTERED,
    REQUESTED,
    SDK_ENDING,
    STARTING,
    WORDS,
    tells,
    trouble_kind,
)
from .types import CountedLine, JobRequest, LogReading

UNAUTHORIZED = re.compile(r"(?:^|: )(?:401, message=|Unexpected server response: 401)")
# What the probe hook draws when its process starts.
PROCESS = re.compile(r"[0-9a-f]{16}")

# A worker that reconnects without pause logs hundreds of registrations a second.
REQUESTS_KEPT = 500
NAMED_KEPT = 5000
ASKED_KEPT = 10_000
REGISTRATIONS_KEPT = 50
WORKER_IDS_KEPT = 5000
LAST_LINES = 5
# Among so many first lines one has a time, or none has.
UNTIMED_LINES = 1000
# A log that has each line twice, as text and as JSON, has both within so many events.
TWINS = 6
TRACE_LINES = 100


def is_start(line: str) -> bool:
    """Whether a worker, or its hook, says that it starts."""
    text = logs.stamped(line)[1]
    event = log_events.structured(text) or log_events.of_text(text, WORDS)
    return bool(event and event["message"] in (STARTING, GUARDED))


class Fold:
    """Takes a log line by line; ``result`` is the reading. It holds no more than a bounded part of it."""

    def __init__(self, patterns: Iterable[str] = (), after: Collection[str] = (), since: float | None = None) -> None:
        self.after, self.since = set(after), since
        self.wanted = {pattern: re.compile(pattern) for pattern in patterns}
        self.matches: dict[str, float] = {}
        self.asked_after = not after
        self.asked_at: float | None = None
        self.now: float | None = None
        self.first: float | None = None
        # The first word of a worker's log: nothing of this process is missing before it, however late it comes.
        self.begins_with_start = False
        self.lines = 0
        self.asked: dict[str, float] = {}
        self.last: deque[str] = deque(maxlen=LAST_LINES)
        self.worker_ids: deque[str] = deque(maxlen=WORKER_IDS_KEPT)
        self.registrations: deque[str | None] = deque(maxlen=REGISTRATIONS_KEPT)
        self.requests: deque[JobRequest] = deque(maxlen=NAMED_KEPT if after else REQUESTS_KEPT)
        self.registered = 0
        self.events = 0
        # Text that may stand twice: the events whose twin is awaited, and those of JSON whose text may follow.
        self.awaiting: deque[tuple[int, Event]] = deque()
        self.recent: deque[str] = deque(maxlen=TWINS)
        self.raising: Event = {}
        self.trace = 0
        self.troubles: dict[str, CountedLine] = {}
        # The launcher tells of its process just before a worker says that it starts.
        self.identified = False
        self.state: Event = {
            **dict.fromkeys(
                ("agent_name", "worker_id", "registered_since", "url", "deployment", "sdk_version", "sdk", "unnamed")
            ),
            **dict.fromkeys(("connected", "draining", "full", "guarded"), False),
            **dict.fromkeys(("last_failure", "last_entrypoint_error", "last_unknown_error", "hook_process")),
            **dict.fromkeys(
                ("requests_total", "failures", "unauthorized", "unanswered", "late", "entrypoint_errors", "passed_on"),
                0,
            ),
            "unknown_errors": 0,
        }

    # --- lines ---

    def take(self, line: str) -> None:
        self.lines += 1
        self.last.append(line)
        after_asked = self.asked_after
        if self.first is None and self.lines <= UNTIMED_LINES:
            self.first = line_time(line)
            self.begins_with_start = is_start(line)
        if self.trace:
            self.follow(line)
        if tells(line):
            self.weigh(line)
        if self.wanted and after_asked:
            self.match(line)

    def weigh(self, line: str) -> None:
        stamp, text = logs.stamped(line)
        structured = log_events.structured(text)
        event = structured or log_events.of_text(text, WORDS)
        if event is None:
            if REGISTERED in text and self.state["worker_id"] is None:
                self.state["unnamed"] = cut(plain(text), 240)
        elif not (event.get("text") and log_events.is_error(event) and self.is_traceback_of_before(event)):
            complete_time(event, stamp, "" if structured else text)
            self.offer(event)

    def is_traceback_of_before(self, event: Event) -> bool:
        """Return True for the traceback of the line before; any other error is what the lines behind it are of."""
        if self.trace and event["message"].startswith(log_events.TRACEBACK):
            return True
        self.raising, self.trace = event, TRACE_LINES
        return False

    def follow(self, line: str) -> None:
        """The lines behind an error that was written as text: its traceback ends with what was raised."""
        _stamp, text = logs.stamped(line)
        self.trace -= 1
        if log_events.RAISED.match(text):
            self.trace = 0
            self.raising.setdefault("error", cut(QUERY.sub("?…", text), 500))

    def match(self, line: str) -> None:
        for pattern, compiled in self.wanted.items():
            if pattern not in self.matches and compiled.search(line):
                self.now = line_time(line) or self.now
                self.matches[pattern] = self.seconds()

    # --- a log that has each line twice, as text and as JSON ---

    def offer(self, event: Event) -> None:
        """Take an event once."""
        self.events += 1
        while self.awaiting and self.events - self.awaiting[0][0] > TWINS:
            self.handle(self.awaiting.popleft()[1])
        key = event["message"].partition("\n")[0].strip()
        if event.get("text"):
            if key in self.recent:
                self.recent.remove(key)
            else:
                self.awaiting.append((self.events, event))
            return
        twin = next((one for one in self.awaiting if one[1]["message"].strip() == key), None)
        if twin:
            self.awaiting.remove(twin)
        else:
            self.recent.append(key)
        self.handle(event)

    def finish(self) -> None:
        while self.awaiting:
            self.handle(self.awaiting.popleft()[1])

    # --- events ---

    def handle(self, event: Event) -> None:
        message = event["message"]
        self.now = event["when"] or self.now
        handler = EXACT.get(message) or next((take for start, take in STARTS if message.startswith(start)), None)
        if handler:
            handler(self, event)
        elif kind := trouble_kind(message):
            self.note(kind, event)
        elif log_events.is_error(event) and not message.startswith(ENDINGS) and not SDK_ENDING.match(message):
            self.fail_unknown(event)

    def in_window(self, event: Event) -> bool:
        """False for an event that is known to be older than ``since``."""
        return self.since is None or (event["when"] or self.since) >= self.since

    def count(self, name: str, event: Event) -> bool:
        if self.in_window(event):
            self.state[name] += 1
            return True
        return False

    def register(self, event: Event) -> None:
        worker_id = ids.worker(event.get("id"))
        if event.get("id") and not worker_id:
            return  # no line of livekit-agents: no server makes such an id
        self.registered += 1
        found = {key: one_line(event.get(key)) for key in ("agent_name", "url", "deployment")}
        if worker_id:
            self.worker_ids.append(worker_id)
        self.registrations.append(event["timestamp"])
        self.state.update(
            agent_name=found["agent_name"],
            worker_id=worker_id,
            registered_since=event["timestamp"],
            url=found["url"],
            deployment=found["deployment"],
            connected=True,
            sdk=event["sdk"],
            sdk_version=short_text(event.get("version")) or self.state["sdk_version"],
            unnamed=None if worker_id else event_text(event),  # kept, so that no message speaks against it
        )

    def start(self, event: Event) -> None:
        """A container that was restarted starts over: what the process before it said no longer holds."""
        self.state.update(
            sdk_version=short_text(event.get("version")), connected=False, draining=False, full=False, worker_id=None
        )
        self.state.update(unnamed=None, sdk=event["sdk"])
        if not self.identified:
            self.state["hook_process"] = None
        self.identified = False

    def drain(self, _event: Event) -> None:
        self.state["draining"] = True

    def fill(self, event: Event) -> None:
        self.state["full"] = event["message"].startswith(FULL)

    def fail(self, event: Event) -> None:
        error = cause(event)
        message = event["message"].partition("\n")[0][:500]
        self.state.update(
            connected=False, last_failure={"message": message, "time": event["timestamp"], "error": error}
        )
        self.count("failures", event)
        if UNAUTHORIZED.search(error or ""):
            self.count("unauthorized", event)

    def request(self, event: Event) -> None:
        request = job_request(event)
        self.asked[str(request["job_id"])] = event["when"] or 0.0
        while len(self.asked) > ASKED_KEPT:
            del self.asked[next(iter(self.asked))]
        named = bool({str(request["job_id"]), str(request["room"])} & self.after)
        if named and not self.asked_after:
            self.asked_after, self.asked_at = True, event["when"]
        if self.count("requests_total", event) and (named or not self.after):
            self.requests.append(request)

    def answer(self, event: Event, job_id: Any, waited: float = 0.0) -> None:
        """The worker answered a request, ``waited`` seconds before this line."""
        asked, now = self.asked.pop(str(job_id), 0.0), event["when"]
        if asked and now and now - waited - asked > ANSWER_SECONDS:
            self.count("late", event)

    def hook(self, event: Event) -> None:
        self.state["guarded"] = True
        process = event.get("hook_process")
        if isinstance(process, str) and PROCESS.fullmatch(process):
            self.state["hook_process"] = process
        self.identified = self.identified or event["message"] == GUARDED
        if event["message"] != GUARDED:
            self.answer(event, event.get("job_id"))
        if event["message"] == PASSED_ON:
            self.count("passed_on", event)

    def leave_unanswered(self, event: Event) -> None:
        self.count("unanswered", event)

    def lose_assignment(self, event: Event) -> None:
        lost = ASSIGNMENT_LOST.match(event["message"])
        if lost:
            self.count("unanswered", event)
            self.answer(event, lost.group(1), ASSIGNMENT_SECONDS)

    def crash(self, event: Event) -> None:
        if self.count("entrypoint_errors", event):
            self.state["last_entrypoint_error"] = cause(event)

    def note(self, kind: str, event: Event) -> None:
        """A trouble that loses jobs."""
        if self.in_window(event):
            count = self.troubles[kind]["count"] + 1 if kind in self.troubles else 1
            self.troubles[kind] = {**event_line(event), "count": count}

    def fail_unknown(self, event: Event) -> None:
        if self.count("unknown_errors", event):
            self.state["last_unknown_error"] = event_line(event)

    # --- the reading ---

    def seconds(self) -> float:
        """From the wanted request to the latest event; 0 where a time is not known."""
        return round(max(0.0, self.now - self.asked_at), 3) if self.now and self.asked_at else 0.0

    def result(self) -> Event:
        self.finish()
        return {
            **self.state,
            "worker_ids": list(self.worker_ids),
            "reconnects": max(0, self.registered - 1),
            "registrations": list(self.registrations),
            "requests": list(self.requests),
            "troubles": self.troubles,
            "last_lines": [log_events.short(line) for line in self.last],
            "log_matches": self.matches,
        }


Take = Callable[[Fold, Event], None]
EXACT: dict[str, Take] = {
    REGISTERED: Fold.register,
    REQUESTED: Fold.request,
    STARTING: Fold.start,
    DRAINING: Fold.drain,
    FAILED: Fold.fail,
    **dict.fromkeys((GUARDED, PASSED_ON, *ANSWERED), Fold.hook),
}
STARTS: list[tuple[str | tuple[str, ...], Take]] = [
    (DISCONNECTED, Fold.fail),
    (FULL, Fold.fill),
    (NOT_FULL, Fold.fill),
    (NO_ANSWER, Fold.leave_unanswered),
    (ASSIGNMENT_UNKNOWN, Fold.leave_unanswered),
    ("assignment for job ", Fold.lose_assignment),
    (ENTRYPOINT_FAILED, Fold.crash),
]


def log_reading(
    lines: Iterable[str] | logs.Log,
    patterns: Iterable[str] = (),
    after: Collection[str] = (),
    since: float | None = None,
) -> LogReading:
    """Fold a worker's log into one reading, counted from ``since`` (seconds since the epoch; None: the whole log).

    With ``after`` (job ids and rooms) it has the requests with one of them, and a pattern counts only once one was
    requested: what an earlier call logged proves nothing. The seconds of a match are by the log's own times.

    ``late`` knows the answers that the hook logs, and acceptances, by the assignment that never came. An application's
    own late refusal leaves no trace in the log and is not counted.
    """
    given = lines if isinstance(lines, logs.Log) else logs.Log(lines)
    wanted = list(patterns)
    fold, log = logs.folded(given, lambda: Fold(wanted, after, since))
    rest = {"reach": log.reach(fold.first, time.time(), fold.begins_with_start).result(), "unread": log.unread}
    return cast(LogReading, {**fold.result(), **rest})
