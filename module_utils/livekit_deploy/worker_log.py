# SPDX-License-Identifier: Apache-2.0
"""What a worker's log says about its registration, its job requests and its troubles.

livekit-agents 1.2 to 1.8 and agents-js 1.9 say the same words, older ones with fewer fields (read in their sources; 1.8.9 measured). Their
forms are those of ``log_events``. An application may print lines of its own in between: they are passed over, unless they tell of an error.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any

from ansible.module_utils.livekit_deploy import ids, log_events, logs
from ansible.module_utils.livekit_deploy.log_events import Event
from ansible.module_utils.livekit_deploy.text import cut, one_line, plain
from ansible.module_utils.livekit_deploy.times import epoch as epoch

REGISTERED = "registered worker"
REQUESTED = "received job request"
DRAINING = "draining worker"
STARTING = "starting worker"
FAILED = "worker failed"
DISCONNECTED = ("failed to connect to livekit", "failed to connect to LiveKit")
FULL = "worker is at full capacity"
NOT_FULL = "worker is below capacity"
NO_ANSWER = ("no answer was given inside the job_request_fnc", "no answer was given inside the jobRequestFunc")
ASSIGNMENT_LOST = re.compile(r"assignment for job (\S+) timed out")
ASSIGNMENT_UNKNOWN = ("received assignment for an unknown job", "received assignment for unknown job")
ENTRYPOINT_FAILED = ("unhandled exception while running the job task", "error in participant entrypoint")
PASSED_ON = "request passed on, gate is closed"
ANSWERED = ("probe answered", "probe passed on")
GUARDED = "request handler is guarded"

NODE_REMEDY = (
    "It is a Node worker (agents-js), which cannot ask the probe hook: set livekit_agent_hook: false (see docs/your-application.md, Node)"
)

# Why jobs that came are lost, by the kind of trouble.
MEMORY_LIMIT, KILLED, CRASHED, INITIALIZATION = "memory_limit", "killed", "crashed", "initialization"
UNRESPONSIVE, NO_PROCESS, REQUEST_HANDLER = "unresponsive", "no_process", "request_handler"
TROUBLES: tuple[tuple[str, str], ...] = (
    ("process exceeded memory limit, killing", MEMORY_LIMIT),  # 1.2 to 1.5
    ("job process exceeded memory limit, killing", MEMORY_LIMIT),  # since 1.6, agents-js
    ("inference process exceeded memory limit, killing", MEMORY_LIMIT),
    ("process exited with non-zero exit code -9", KILLED),
    ("process exited with non-zero exit code", CRASHED),
    ("job process exited unexpectedly", CRASHED),  # agents-js
    ("error initializing process", INITIALIZATION),
    ("all in-flight spawns failed to initialize", INITIALIZATION),
    ("error initializing inference runner", INITIALIZATION),
    ("supervised process run failed", INITIALIZATION),  # agents-js
    ("process is unresponsive, killing process", UNRESPONSIVE),
    ("job is unresponsive", UNRESPONSIVE),  # agents-js
    ("failed to acquire process for job", NO_PROCESS),
    ("failed to launch job on process after", NO_PROCESS),
    ("error launching job", NO_PROCESS),  # agents-js
    ("job_request_fnc failed", REQUEST_HANDLER),
    ("jobRequestFunc failed", REQUEST_HANDLER),  # agents-js
)
# Errors at the end of a call: the job was there.
ENDINGS = (
    "process did not ack shutdown in time",
    "process did not exit in time",
    "job did not ack shutdown in time",
    "job shutdown is taking too much time",
    "AgentSession.aclose() timed out",
    "on_session_end timed out",
    "error while executing the on_session_end callback",
    "error in job_ctx._on_session_end",
    "error while shutting down the job",
    "failed to save session report",
    "failed to upload the session report",
)
# The same of LiveKit's SDK, in its words: an agent whose room was deleted (livekit-agents 1.8.9, measured).
SDK_ENDING = re.compile(r"livekit::rtc_engine\S* - publisher data channel '[^']{0,80}' closed unexpectedly")
WORDS = (
    REGISTERED,
    REQUESTED,
    DRAINING,
    STARTING,
    FAILED,
    *DISCONNECTED,
    FULL,
    NOT_FULL,
    *NO_ANSWER,
    "assignment for job ",
    *ASSIGNMENT_UNKNOWN,
    *ENTRYPOINT_FAILED,
    PASSED_ON,
    *ANSWERED,
    GUARDED,
    *(words for words, _kind in TROUBLES),
    *ENDINGS,
)
# A line without any of these tells nothing here. It is not parsed: a log may have millions of them.
TELLING = (
    *("registered worker", "job request", "draining", "starting worker", "worker failed", "failed to ", "capacity", "no answer was given"),
    *("assignment for", "passed on", "probe answered", "is guarded", "exception while", "participant entrypoint", "memory limit"),
    *(
        "exited with",
        "exited unexpectedly",
        "error initializing",
        "error launching",
        "unresponsive",
        "process run failed",
        "request_fnc failed",
    ),
    *("RequestFunc failed", "ERROR", "CRITICAL", "FATAL", "Traceback", '"error"', "[error", '"critical"', '"level":5', '"level":6'),
)

# The message comes first in the JSON of livekit-agents, so that of most lines its beginning is enough.
MESSAGE, BEGINNING = '{"message": "', 8
BEGINNINGS = frozenset(words[:BEGINNING] for words in WORDS)

UNAUTHORIZED = re.compile(r"(?:^|: )(?:401, message=|Unexpected server response: 401)")
# What the probe hook draws when its process starts.
PROCESS = re.compile(r"[0-9a-f]{16}")
# The address in a connection's error may carry a token.
QUERY = re.compile(r"\?[^\s'\"]+")

# The server listens for about 2.8 s (measured); a worker that accepted waits 7.5 s for the assignment (livekit-agents 1.0 to 1.8).
ANSWER_SECONDS = 2.8
ASSIGNMENT_SECONDS = 7.5

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


def event_of(line: str) -> Event | None:
    """The JSON object on a log line as it is, or None for any other line."""
    return log_events.json_of(line)


def job_request(event: Event) -> dict[str, str | None]:
    """The fields of a "received job request" line that name the job."""
    return {
        "job_id": ids.job(event.get("job_id")),
        "dispatch_id": ids.dispatch(event.get("dispatch_id")),
        "room": one_line(event.get("room") or event.get("room_name")),
        "agent_name": one_line(event.get("agent_name")),
        "time": event.get("timestamp"),
    }


def cause(event: Event) -> str | None:
    """What an event names as its error: the field of that name, else the last line of its traceback."""
    # A job's traceback is part of its message (livekit-agents 1.8.9); older releases have that of a connection in exc_info.
    trace = str(event.get("exc_info") or event.get("exception") or "").strip() or event["message"].strip().partition("\n")[2]
    text = str(event.get("error") or "") or trace.rpartition("\n")[2]
    return QUERY.sub("?…", text)[:500] or None


def told(event: Event) -> str:
    """An event in one line: its message, and the error that it names."""
    return cut(": ".join(part for part in (event["message"].partition("\n")[0], cause(event) or "") if part), 400)


def trouble_of(message: str) -> str:
    return next((kind for words, kind in TROUBLES if message.startswith(words)), "")


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
        self.requests: deque[dict[str, str | None]] = deque(maxlen=NAMED_KEPT if after else REQUESTS_KEPT)
        self.registered = 0
        self.events = 0
        # Text that may stand twice: the events whose twin is awaited, and those of JSON whose text may follow.
        self.awaiting: deque[tuple[int, Event]] = deque()
        self.recent: deque[str] = deque(maxlen=TWINS)
        self.raising: Event = {}
        self.trace = 0
        self.troubles: dict[str, dict[str, Any]] = {}
        # The launcher tells of its process just before a worker says that it starts.
        self.identified = False
        self.state: dict[str, Any] = {
            **dict.fromkeys(("agent_name", "worker_id", "registered_since", "url", "deployment", "sdk_version", "sdk", "unnamed")),
            **dict.fromkeys(("connected", "draining", "full", "guarded"), False),
            **dict.fromkeys(("last_failure", "last_entrypoint_error", "last_unknown_error", "hook_process")),
            **dict.fromkeys(("requests_total", "failures", "unauthorized", "unanswered", "late", "entrypoint_errors", "passed_on"), 0),
            "unknown_errors": 0,
        }

    # --- lines ---

    def take(self, line: str) -> None:
        self.lines += 1
        self.last.append(line)
        after_asked = self.asked_after
        if self.first is None and self.lines <= UNTIMED_LINES:
            self.first = time_of(line)
            self.begins_with_start = is_start(line)
        if self.trace:
            self.follow(line)
        if tells(line):
            self.weigh(line)
        if self.wanted and after_asked:
            self.match(line)

    def weigh(self, line: str) -> None:
        stamp, text = logs.stamped(line)
        event = log_events.structured(text)
        told_as_text = event is None
        event = event or log_events.of_text(text, WORDS)
        if event and event.get("text") and log_events.is_error(event):
            if self.trace and event["message"].startswith(log_events.TRACEBACK):
                return  # that of the line before
            self.raising, self.trace = event, TRACE_LINES
        if event is None:
            if REGISTERED in text and self.state["worker_id"] is None:
                self.state["unnamed"] = cut(plain(text), 240)
            return
        if event["when"] is None:
            event["when"] = (logs.moment(stamp) if stamp else None) or (logs.written(text) if told_as_text else None)
        if not event["timestamp"] and event["when"] is not None:
            event["timestamp"] = logs.iso(event["when"])
        self.offer(event)

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
                self.now = time_of(line) or self.now
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
        elif kind := trouble_of(message):
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
            sdk_version=text_of(event.get("version")) or self.state["sdk_version"],
            unnamed=None if worker_id else told(event),  # kept, so that no message speaks against it
        )

    def start(self, event: Event) -> None:
        """A container that was restarted starts over: what the process before it said no longer holds."""
        self.state.update(sdk_version=text_of(event.get("version")), connected=False, draining=False, full=False, worker_id=None)
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
        self.state.update(connected=False, last_failure={"message": message, "time": event["timestamp"], "error": error})
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
            count = self.troubles.get(kind, {"count": 0})["count"] + 1
            self.troubles[kind] = {**line_of(event), "count": count}

    def fail_unknown(self, event: Event) -> None:
        if self.count("unknown_errors", event):
            self.state["last_unknown_error"] = line_of(event)

    # --- the reading ---

    def seconds(self) -> float:
        """From the wanted request to the latest event; 0 where a time is not known."""
        return round(max(0.0, self.now - self.asked_at), 3) if self.now and self.asked_at else 0.0

    def result(self) -> dict[str, Any]:
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


def line_of(event: Event) -> dict[str, Any]:
    return {"line": event["message"].partition("\n")[0][:300], "error": cause(event), "time": event["timestamp"]}


def text_of(value: Any) -> str | None:
    return None if value is None else str(value)[:500]


def time_of(line: str) -> float | None:
    """When a line was written, whatever it says."""
    stamp, text = logs.stamped(line)
    if stamp:
        return logs.moment(stamp)
    event = log_events.structured(text)
    return event["when"] if event else logs.written(text)


def tells(line: str) -> bool:
    """Whether a line may tell something; most do not, and are done with here."""
    start = line.find(MESSAGE)
    if start >= 0 and (' "level": "INFO"' in line or ' "level": "DEBUG"' in line):
        return line[start + len(MESSAGE) : start + len(MESSAGE) + BEGINNING] in BEGINNINGS
    for words in TELLING:  # noqa: SIM110  twice as fast as any()
        if words in line:
            return True
    return False


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


def read(
    lines: Iterable[str] | logs.Log, patterns: Iterable[str] = (), after: Collection[str] = (), since: float | None = None
) -> dict[str, Any]:
    """Fold a worker's log into one reading.

    Of the latest registration (None where its line is not in the log): ``agent_name``, ``worker_id``, ``registered_since`` (ISO 8601),
    ``url``, ``deployment``; ``connected`` tells that no connection failure followed; ``unnamed`` is its line where no id can be read in it.
    ``worker_ids`` (newest 5000), ``registrations`` (their times, newest 50) and ``reconnects`` are of the whole log, like ``draining``,
    ``full``, ``sdk`` (python or node), ``sdk_version``, ``guarded`` (the hook spoke), ``last_lines`` and ``last_failure`` (of a connection,
    or of the worker: message, time, error).

    Counted from ``since`` (epoch seconds; None: the whole log): ``requests_total``, ``failures`` of the connection, those with status
    401 (``unauthorized``), ``unanswered`` requests (the handler said nothing, or no assignment came), ``entrypoint_errors`` with the
    ``last_entrypoint_error``, requests ``passed_on`` because the gate was closed, and ``late``: requests answered when the server had
    given up. ``late`` knows the answers that the hook logs, and acceptances, by the assignment that never came. An application's own
    late refusal leaves no trace in the log and is not counted. ``troubles`` has for each kind of job that died its count, and the newest
    line, error and time; ``unknown_errors`` counts lines of level ERROR that nobody knows, ``last_unknown_error`` is the newest.

    ``requests`` are the newest 500; with ``after`` (job ids and rooms) those with one of them, and a pattern counts only once one was
    requested: what an earlier call logged proves nothing. ``log_matches`` has for each pattern that was seen the seconds after that
    request, by the log's own times.

    ``reach`` says from when to when all of that is known (see ``logs.Reach``), ``unread`` why nothing is.
    """
    given = lines if isinstance(lines, logs.Log) else logs.Log(lines)
    wanted = list(patterns)
    fold, log = logs.folded(given, lambda: Fold(wanted, after, since))
    return {**fold.result(), "reach": log.reach(fold.first, time.time(), fold.begins_with_start).result(), "unread": log.unread}


def telling(lines: Iterable[str], count: int) -> list[str]:
    """The last lines that are not about a request which never reached the application: under calls these hide what went wrong."""
    passing = (REQUESTED, PASSED_ON, *ANSWERED)
    kept: deque[str] = deque(maxlen=count)
    for line in lines:
        event = log_events.structured(line) if any(words in line for words in passing) else None
        if not event or event["message"] not in passing:
            kept.append(line)
    return list(kept)


def short(line: str, limit: int = 240) -> str:
    """A log line fit for a message: of a JSON line its level, message and the end of a traceback."""
    return log_events.short(line, limit)
