# SPDX-License-Identifier: Apache-2.0
"""The words of livekit-agents and agents-js that a reading of a log knows."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

from . import log_events

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
    "It is a Node worker (agents-js), which cannot ask the probe hook: set livekit_agent_hook: false "
    "(see docs/your-application.md, Node)"
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
    *(
        "registered worker",
        "job request",
        "draining",
        "starting worker",
        "worker failed",
        "failed to ",
        "capacity",
        "no answer was given",
    ),
    *(
        "assignment for",
        "passed on",
        "probe answered",
        "is guarded",
        "exception while",
        "participant entrypoint",
        "memory limit",
    ),
    *(
        "exited with",
        "exited unexpectedly",
        "error initializing",
        "error launching",
        "unresponsive",
        "process run failed",
        "request_fnc failed",
    ),
    *(
        "RequestFunc failed",
        "ERROR",
        "CRITICAL",
        "FATAL",
        "Traceback",
        '"error"',
        "[error",
        '"critical"',
        '"level":5',
        '"level":6',
    ),
)

# The message comes first in the JSON of livekit-agents, so that of most lines its beginning is enough.
MESSAGE, BEGINNING = '{"message": "', 8
BEGINNINGS = frozenset(words[:BEGINNING] for words in WORDS)
# The server listens for about 2.8 s (measured); a worker that accepted waits 7.5 s for the assignment (livekit-agents
# 1.0 to 1.8).
ANSWER_SECONDS = 2.8
ASSIGNMENT_SECONDS = 7.5


def trouble_kind(message: str) -> str:
    return next((kind for words, kind in TROUBLES if message.startswith(words)), "")


def tells(line: str) -> bool:
    """Whether a line may tell something; most do not, and are done with here."""
    start = line.find(MESSAGE)
    if start >= 0 and (' "level": "INFO"' in line or ' "level": "DEBUG"' in line):
        return line[start + len(MESSAGE) : start + len(MESSAGE) + BEGINNING] in BEGINNINGS
    for words in TELLING:  # noqa: SIM110  twice as fast as any()
        if words in line:
            return True
    return False


def telling(lines: Iterable[str], count: int) -> list[str]:
    """The last lines that are not about a request which never reached the application: under calls these hide what went
    wrong.
    """
    passing = (REQUESTED, PASSED_ON, *ANSWERED)
    kept: deque[str] = deque(maxlen=count)
    for line in lines:
        event = log_events.structured(line) if any(words in line for words in passing) else None
        if not event or event["message"] not in passing:
            kept.append(line)
    return list(kept)
