# SPDX-License-Identifier: Apache-2.0
"""One line of a worker's log as an event, in whatever form it is written. Pure.

Known forms: the JSON of livekit-agents ``start``; JSON of other loggers (structlog, loguru, python-json-logger); that
of agents-js (pino); the console format of ``dev``; text of loggers that name a level before the message, with the
fields as JSON or as ``key=value`` behind it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..common import ids, times
from ..common.text import cut, one_line, parsed_object, plain
from ..machine import logs
from .types import JobRequest, LogLine

LINE_CHARACTERS = 64 * 1024
PREFIX_CHARACTERS = 240
TEXT_CHARACTERS = 4000
ERRORS = frozenset({"ERROR", "CRITICAL", "FATAL", "EMERGENCY", "ALERT"})
MESSAGES, LEVELS = ("message", "msg", "event"), ("level", "levelname", "severity", "log.level")
TIMES = ("timestamp", "time", "ts", "@timestamp")
# agents-js has other words for the same.
ALIASES = {
    "agentName": "agent_name",
    "jobId": "job_id",
    "dispatchId": "dispatch_id",
    "room_name": "room",
    "roomName": "room",
}
PINO = {20: "DEBUG", 30: "INFO", 40: "WARNING", 50: "ERROR", 60: "FATAL"}
PYTHON = {10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}

LEVEL = r"(?P<level>TRACE|DEBUG|DEV|INFO|WARN(?:ING)?|ERROR|CRITICAL|FATAL)"
# What stands before a message: a time, a level, and the name of a logger or a place in the code.
NAME = r"[\w.<>/-]{1,80}(?::[\w<>.-]{1,60}){0,3}"
BEFORE = re.compile(
    rf"(?is)(?:[^a-z]|(?<=\d)[tz](?=[\d\s])){{0,80}}(?:\[{NAME}\]\W{{1,3}})?"
    rf"\b{LEVEL}\b\W{{0,12}}(?:\d+\W{{1,6}})?(?:{NAME}\W{{1,6}})?"
)
OF_ERROR = r"(?:(?P<level>ERROR|CRITICAL|FATAL)\b|\[(?P<other>error|critical|fatal)\s*\])"
TEXT_ERROR = re.compile(rf"(?:[^A-Za-z]|(?<=\d)[TZ](?=[\d\s])){{0,80}}{OF_ERROR}\W{{0,12}}(?P<rest>.*)", re.DOTALL)
KEYS = "id|agent_name|agentName|url|deployment|version|job_id|jobId|dispatch_id|room|room_name|error"
FIELD = re.compile(
    rf"""\b(?P<key>{KEYS})=(?:"(?P<double>[^"]{{0,500}})"|'(?P<single>[^']{{0,500}})'|(?P<bare>[^\s,}}\]]{{1,500}}))"""
)
FIELDS_BEGIN = re.compile(r"\s{2,}|\s[{\[]|\s\w+=")
TRACEBACK = "Traceback (most recent call last)"
KIND_OF_ERROR = r"[A-Za-z_][\w.]{0,200}(?:Error|Exception|Timeout|Interrupt|Exit|Failure|Warning)"
RAISED = re.compile(rf"(?:{KIND_OF_ERROR}|[a-z_][\w.]{{0,100}}\.[A-Z]\w{{0,100}})(?::|$)")

# The address in a connection's error may carry a token.
QUERY = re.compile(r"\?[^\s'\"]+")

Event = dict[str, Any]


def json_object(line: str) -> Event | None:
    """The JSON object on a line, also behind a prefix; None for any other line."""
    start = line.find("{")
    if start < 0 or not line.rstrip().endswith("}"):
        return None
    return parsed_object(line[start:], LINE_CHARACTERS) or None


def structured(line: str) -> Event | None:
    """The event on a line of JSON; None for any other line, also for text with fields behind it."""
    start = line.find("{")
    found = json_object(line) if 0 <= start <= PREFIX_CHARACTERS else None
    if found is None:
        return None
    event = normal(found)
    # Before the object there may be what a collector of logs puts there; with a level in it the object may be the
    # fields of a line of text.
    return None if BEFORE.match(line[:start]) and not (event["message"] and event["level"]) else event


def normal(found: Event) -> Event:
    """An event under the keys of livekit-agents, whichever logger wrote it."""
    record = found.get("record")
    if isinstance(record, Mapping) and "message" in record:
        return loguru_event(dict(record))
    event: Event = {**inner(found.get("extra")), **found}
    for key, name in ALIASES.items():
        if key in event:
            event.setdefault(name, event[key])
    event["message"] = first_text(found, MESSAGES)
    event["level"] = event_level(found)
    value = next((found[key] for key in TIMES if key in found), None)
    event["when"] = times.event_epoch(value)
    event["timestamp"] = value if isinstance(value, str) else event_stamp(event["when"])
    event["sdk"] = "node" if is_pino(found) else "python"
    if isinstance(event.get("error"), Mapping) or isinstance(event.get("err"), Mapping):
        event["error"] = first_text(inner(event.get("error")) or inner(event.get("err")), ("message", "type"))
    return event


def loguru_event(record: Event) -> Event:
    """What loguru writes with ``serialize=True``."""
    extra = inner(record.get("extra"))
    when = times.event_epoch(inner(record.get("time")).get("timestamp"))
    event: Event = {**inner(extra.get("extra")), **extra, "message": first_text(record, ("message",)), "sdk": "python"}
    exception = inner(record.get("exception"))
    if exception:
        event["error"] = f"{exception.get('type')}: {exception.get('value')}"
    return {
        **event,
        "level": str(inner(record.get("level")).get("name") or "").upper(),
        "when": when,
        "timestamp": event_stamp(when),
    }


def inner(value: Any) -> Event:
    return dict(value) if isinstance(value, Mapping) else {}


def first_text(found: Event, keys: tuple[str, ...]) -> str:
    return next((found[key] for key in keys if isinstance(found.get(key), str)), "")


def is_pino(found: Event) -> bool:
    return (
        isinstance(found.get("msg"), str)
        and isinstance(found.get("time"), (int, float))
        and isinstance(found.get("level"), int)
    )


def event_level(found: Event) -> str:
    value = next((found[key] for key in LEVELS if key in found), "")
    if isinstance(value, int):
        return (PINO if is_pino(found) else PYTHON).get(value, "")
    return value.strip().upper() if isinstance(value, str) else ""


def event_stamp(when: float | None) -> str | None:
    return times.iso(when) if when is not None else None


def of_text(line: str, words: tuple[str, ...]) -> Event | None:
    """The event on a line of text: one of the known words behind a level, or an error; None for any other line."""
    text = plain(line[:TEXT_CHARACTERS]).strip()
    for word in words:
        start = text.find(word)
        if 0 < start <= PREFIX_CHARACTERS and (before := BEFORE.fullmatch(text[:start])):
            return text_event(before["level"], text[start:], word)
    error = TEXT_ERROR.match(text)
    if error:
        return text_event(error["level"] or error["other"], error["rest"], "")
    return text_event("ERROR", text, "") if text.startswith(TRACEBACK) else None


def text_event(level: str, text: str, word: str) -> Event:
    """The fields stand behind the message: as JSON (``dev``), or as key=value (structlog and others)."""
    start = text.find("{")
    behind = json_object(text[start:]) if start >= 0 else None
    message = (FIELDS_BEGIN.split(text, maxsplit=1)[0] if word else text[: start if behind else None]).strip()
    fields = {
        found["key"]: found["double"] or found["single"] or found["bare"] for found in FIELD.finditer(text[len(word) :])
    }
    event = normal({**fields, **(behind or {})})
    return {**event, "message": message, "level": level.upper(), "sdk": None, "text": True}


def is_error(event: Event) -> bool:
    return event.get("level") in ERRORS


def short(line: str, limit: int = 240) -> str:
    """A log line fit for a message: of a JSON line its level, message and the end of a traceback."""
    _stamp, line = logs.stamped(line)
    event = structured(line)
    if event and event["message"]:
        # The traceback of a job's entrypoint is part of the message (livekit-agents 1.8.9), any other is in exc_info.
        message = event["message"].strip().splitlines() or [""]
        trace = [*message[1:], *str(event.get("exc_info") or "").strip().splitlines()]
        raised = trace[-1:] or [text for text in [event.get("error")] if isinstance(text, str)]
        line = ": ".join([event["level"], message[0], *raised])
    return cut(line, limit)


# --- what an event says ---


def job_request(event: Event) -> JobRequest:
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
    # A job's traceback is part of its message (livekit-agents 1.8.9); older releases have that of a connection in
    # exc_info.
    trace = (
        str(event.get("exc_info") or event.get("exception") or "").strip()
        or event["message"].strip().partition("\n")[2]
    )
    text = str(event.get("error") or "") or trace.rpartition("\n")[2]
    return QUERY.sub("?…", text)[:500] or None


def event_text(event: Event) -> str:
    """An event in one line: its message, and the error that it names."""
    return cut(": ".join(part for part in (event["message"].partition("\n")[0], cause(event) or "") if part), 400)


def complete_time(event: Event, stamp: str, text: str) -> None:
    """Give an event that has no time that of its line: from before it, or as the text begins."""
    if event["when"] is None:
        event["when"] = logs.stamp_epoch(stamp) or times.line_epoch(text)
    if not event["timestamp"] and event["when"] is not None:
        event["timestamp"] = times.iso(event["when"])


def event_line(event: Event) -> LogLine:
    return {"line": event["message"].partition("\n")[0][:300], "error": cause(event), "time": event["timestamp"]}


def short_text(value: Any) -> str | None:
    return None if value is None else str(value)[:500]


def line_time(line: str) -> float | None:
    """When a line was written, whatever it says."""
    stamp, text = logs.stamped(line)
    if stamp:
        return logs.stamp_epoch(stamp)
    event = structured(text)
    return event["when"] if event else times.line_epoch(text)
