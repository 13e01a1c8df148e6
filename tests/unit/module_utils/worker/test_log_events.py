# SPDX-License-Identifier: Apache-2.0
"""Logs in other forms than the JSON of ``start``, of each release from 1.2 on and of agents-js: real lines, trimmed."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.common import times
from ansible.module_utils.livekit_deploy.worker import (
    log_events,
    log_words,
    own_answer,
    readings,
    registration,
    worker_log,
)

PLAIN, RESET, GREEN, RED, GRAY = "\x1b[0m", "\x1b[0m", "\x1b[32m", "\x1b[31m", "\x1b[90m"
FIELDS = '{"agent_name": "a", "id": "AW_1", "url": "ws://l"}'
JSON = json.dumps(
    {"message": "registered worker", "level": "INFO", "name": "livekit.agents", "id": "AW_1", "agent_name": "a"}
)
PINO = {"level": 30, "time": 1764273660123, "pid": 7, "hostname": "h"}
LOGURU = {
    "text": "registered worker\n",
    "record": {
        "message": "registered worker",
        "level": {"name": "INFO", "no": 20},
        "time": {"repr": "2025-11-27 20:01:00.123+00:00", "timestamp": 1764273660.123},
        "extra": {"id": "AW_1", "agent_name": "a"},
        "exception": None,
    },
}
REGISTRATIONS = {
    "start": JSON,
    "start behind a collector's prefix": "2026 agent | " + JSON,
    "dev until 1.6": (
        f"2025-11-27 20:01:00,123 - {GREEN}INFO{RESET} livekit.agents - registered worker {GRAY}{FIELDS}{RESET}"
    ),
    "dev since 1.7": f"20:01:00 {GREEN}INFO{RESET} livekit.agents registered worker {GRAY}{FIELDS}{RESET}",
    "structlog as JSON": '{"event": "registered worker", "level": "info", "timestamp": "2025-11-27T20:01:00Z", '
    '"id": "AW_1", "agent_name": "a"}',
    "structlog as text": (
        "2025-11-27T20:01:00Z [info     ] registered worker              [livekit.agents] agent_name=a "
        "id=AW_1 url=ws://l"
    ),
    "loguru as JSON": json.dumps(LOGURU),
    "python-json-logger": '{"asctime": "2025-11-27 20:01:00,123", "levelname": "INFO", "message": "registered worker", '
    '"id": "AW_1", "agent_name": "a"}',
    "severity of Google Cloud": '{"severity": "INFO", "message": "registered worker", "id": "AW_1", "agent_name": "a"}',
    "text with fields as key=value": 'INFO:livekit.agents:registered worker id=AW_1 agent_name="a" url=ws://l',
    "agents-js": json.dumps(
        {**PINO, "id": "AW_1", "agentName": "a", "agentNameIsEnv": True, "msg": "registered worker"}
    ),
}


def compact(event: dict[str, Any]) -> str:
    """A line as pino writes it."""
    return json.dumps(event, separators=(",", ":"))


def read(*lines: str, **options: Any) -> Any:
    return worker_log.log_reading(list(lines), **options)


@pytest.mark.parametrize("form", REGISTRATIONS)
def test_registration_is_read_in_every_form(form: str) -> None:
    found = read("some words before", REGISTRATIONS[form], "some words after")
    assert (found["worker_id"], found["agent_name"], found["connected"], found["unnamed"]) == ("AW_1", "a", True, None)


@pytest.mark.parametrize("form", REGISTRATIONS)
def test_line_that_docker_stamped_has_that_time_or_its_own(form: str) -> None:
    found = read("2025-11-27T20:01:00.5Z " + REGISTRATIONS[form])
    assert times.epoch(found["registered_since"]) == pytest.approx(1764273660, abs=1)
    assert found["reach"]["begins"] == pytest.approx(1764273660.5)


WITHOUT_FIELDS = {
    "logging.basicConfig": "INFO:livekit.agents:registered worker",
    "logging with a time": "2025-11-27 20:01:00,123 - livekit.agents - INFO - registered worker",
    "loguru as text": (
        "2025-11-27 20:01:00.123 | INFO     | livekit.agents.worker:_handle_register:1253 - registered worker"
    ),
    "pino-pretty, as agents-js in dev": "[20:01:00.123] INFO (12345): registered worker",
    "a form that nobody knows": "registered worker <i> AW_1",
}


@pytest.mark.parametrize("form", WITHOUT_FIELDS)
def test_registration_without_an_id_is_no_missing_one(form: str) -> None:
    found: Any = {
        **read(WITHOUT_FIELDS[form]),
        "running": True,
        "restarts": 0,
        "exit_code": None,
        "answered_name": None,
    }
    trouble = registration.registration_trouble([found], "a")
    assert trouble is not None
    assert (
        "mentions a registration in which its id cannot be read" in trouble.text,
        "has not registered" in trouble.text,
    ) == (True, False)
    assert "docs/your-application.md" in trouble.text


@pytest.mark.parametrize(
    "line", ['user said: registered worker {"id": "AW_x"}', 'INFO:app:the user said registered worker {"id": "AW_x"}']
)
def test_words_of_a_user_are_no_registration(line: str) -> None:
    assert read(line)["worker_id"] is None


TWICE = {
    "text first": ["INFO:livekit.agents:registered worker", JSON],
    "JSON first": [JSON, "INFO:livekit.agents:registered worker"],
}


@pytest.mark.parametrize("order", TWICE)
def test_log_that_has_each_line_twice_is_counted_once(order: str) -> None:
    text, asked = (
        "INFO:livekit.agents:received job request",
        json.dumps({"message": "received job request", "level": "INFO", "job_id": "AJ_1"}),
    )
    pair = [text, asked] if order == "text first" else [asked, text]
    failed = ["ERROR:livekit.agents:job_request_fnc failed", '{"message": "job_request_fnc failed", "level": "ERROR"}']
    found = read(*TWICE[order], *pair * 3, *(failed if order == "text first" else failed[::-1]))
    assert (found["worker_id"], found["reconnects"], found["requests_total"]) == ("AW_1", 0, 3)
    assert (found["troubles"]["request_handler"]["count"], found["unknown_errors"]) == (1, 0)


def test_error_as_text_in_a_log_of_json_is_not_taken_for_a_twin() -> None:
    assert read(JSON, "ERROR: the codec is broken", JSON)["unknown_errors"] == 1


# --- releases: what each logs of a registration, a request, a start; and answers on its port --------------------------

RELEASES = {
    # (fields of the registration, key of the room): 1.2 logs no name.
    "1.2.0": ({}, "room_name"),
    "1.2.18": ({}, "room_name"),
    "1.3.12": ({"agent_name": "a"}, "room"),
    "1.4.6": ({"agent_name": "a"}, "room"),
    "1.5.6": ({"agent_name": "a"}, "room"),
    "1.6.0": ({"agent_name": "a", "deployment": ""}, "room"),
    "1.7.0": ({"agent_name": "a", "deployment": ""}, "room"),
    "1.8.9": ({"agent_name": "a", "deployment": "", "server_version": "1.13.5"}, "room"),
}


def line(message: str, **fields: Any) -> str:
    known = {"message": message, "level": "INFO", "name": "livekit.agents", **fields, "pid": 7}
    return json.dumps({**known, "timestamp": "2025-11-27T20:01:00.123456+00:00"})


@pytest.mark.parametrize("version", RELEASES)
def test_worker_of_every_release_is_recognised(version: str) -> None:
    registered, room = RELEASES[version]
    log = [
        line("starting worker", version=version, **{"rtc-version": "1.0.0"}),
        line("registered worker", **registered, id="AW_1", url="ws://l", region="", protocol=16),
        line("received job request", job_id="AJ_1", dispatch_id="AD_1", **{room: "r1"}, agent_name="a", resuming=False),
    ]
    found: Any = {**read(*log), "answered_name": "a", "env": {}}
    assert (found["worker_id"], found["sdk_version"], found["sdk"], readings.worker_name(found)) == (
        "AW_1",
        version,
        "python",
        "a",
    )
    assert [(one["job_id"], one["room"]) for one in found["requests"]] == [("AJ_1", "r1")]


NODE = [
    {**PINO, "version": "1.9.0", "msg": "starting worker"},
    {
        **PINO,
        "id": "AW_1",
        "agentName": "a",
        "deployment": "",
        "server_info": {"nodeId": "ND_1"},
        "msg": "registered worker",
    },
    {**PINO, "jobId": "AJ_1", "room_id": "RM_1", "resuming": False, "agentName": "a", "msg": "received job request"},
]
NODE_REFUSED = {
    **PINO,
    "level": 40,
    "error": {"type": "Error", "message": "Unexpected server response: 401", "stack": "Error: x"},
    "msg": "failed to connect to LiveKit server (ws://l), retrying in 2 seconds: (1/16)",
}


def test_node_worker_is_recognised() -> None:
    found = read(*map(json.dumps, NODE))
    assert (found["worker_id"], found["agent_name"], found["sdk"], found["connected"]) == ("AW_1", "a", "node", True)
    assert [(one["job_id"], one["agent_name"], one["room"]) for one in found["requests"]] == [("AJ_1", "a", None)]
    assert found["registered_since"].startswith("2025-11-27T20:01:00.123")


def test_node_worker_whose_key_is_refused_says_so() -> None:
    found = read(json.dumps(NODE_REFUSED))
    assert (found["failures"], found["unauthorized"], found["last_failure"]["error"]) == (
        1,
        1,
        "Unexpected server response: 401",
    )


def test_node_worker_with_another_name_gets_advice_for_node() -> None:
    found: Any = {**read(*map(json.dumps, NODE)), "running": True, "restarts": 0, "exit_code": None}
    trouble = registration.registration_trouble([found], "b")
    assert trouble is not None
    assert ("ServerOptions" in trouble.text, "livekit-agents 1.5.7" in trouble.text) == (True, False)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            '{"agent_name": "a", "sdk_version": "1.9.0", "project_type": "nodejs"}',
            {"agent_name": "a", "project_type": "nodejs"},
            id="node",
        ),
        pytest.param('{"worker_load": "high", "active_jobs": -1, "agent_name": 7}', {}, id="other types"),
        pytest.param("[" * 5000, {}, id="deep"),
    ],
)
def test_answer_of_a_worker_is_read_with_care(
    monkeypatch: pytest.MonkeyPatch, body: str, expected: dict[str, Any]
) -> None:
    monkeypatch.setattr(own_answer.web, "ask", lambda *_: own_answer.web.Answer(200, body.encode()))
    assert own_answer.ask_worker(("127.0.0.1", 8081)).items() >= expected.items()


# --- what happens to jobs that came -----------------------------------------------------------------------------------

DIED = {
    '{"message": "process exited with non-zero exit code -9", "level": "ERROR", "pid": 77}': "killed",
    '{"message": "process exited with non-zero exit code -11", "level": "ERROR"}': "crashed",
    (
        '{"message": "process exceeded memory limit, killing process", "level": "ERROR", "memory_usage_mb": 900}'
    ): "memory_limit",
    '{"message": "job process exceeded memory limit, killing it", "level": "ERROR"}': "memory_limit",
    '{"message": "error initializing process", "level": "ERROR", '
    '"exc_info": "Traceback\\nTimeoutError: process initialization timed out"}': "initialization",
    '{"message": "all in-flight spawns failed to initialize, retrying", "level": "WARNING"}': "initialization",
    '{"message": "process is unresponsive, killing process", "level": "ERROR"}': "unresponsive",
    (
        '{"message": "failed to acquire process for job after 3 attempts", "level": "ERROR", "job_id": "AJ_1"}'
    ): "no_process",
    '{"message": "failed to launch job on process after 3 attempts", "level": "ERROR"}': "no_process",
    '{"message": "job_request_fnc failed", "level": "ERROR", "exc_info": "Traceback\\nKeyError: 1"}': "request_handler",
    compact({**PINO, "level": 50, "msg": "job process exceeded memory limit, killing it"}): "memory_limit",
    json.dumps({**PINO, "level": 40, "msg": "job is unresponsive"}): "unresponsive",
    json.dumps({**PINO, "msg": "jobRequestFunc failed"}): "request_handler",
    json.dumps(
        {
            **PINO,
            "level": 40,
            "error": {"message": "runner initialization timed out"},
            "msg": "supervised process run failed",
        }
    ): ("initialization"),
    (
        f"2025-11-27 20:01:00,123 - {RED}ERROR{RESET} livekit.agents - process exited with non-zero exit code -9 "
        f"{GRAY}{{}}{RESET}"
    ): "killed",
}


@pytest.mark.parametrize("died", DIED)
def test_line_of_a_job_that_died_is_counted_by_its_kind(died: str) -> None:
    found = read(JSON, died, died)
    assert {kind: seen["count"] for kind, seen in found["troubles"].items()} == {DIED[died]: 2}
    assert found["unknown_errors"] == 0


def test_error_behind_the_line_is_told() -> None:
    line_of_it = next(text for text in DIED if "initialization timed out" in text)
    assert read(line_of_it)["troubles"]["initialization"]["error"] == "TimeoutError: process initialization timed out"


@pytest.mark.parametrize(
    "error",
    [
        pytest.param('{"message": "the bridge is down", "level": "ERROR"}', id="JSON"),
        pytest.param('{"event": "the bridge is down", "level": "error"}', id="structlog"),
        pytest.param(compact({**PINO, "level": 50, "msg": "the bridge is down"}), id="pino"),
        pytest.param("ERROR:bridge:the bridge is down", id="text"),
        pytest.param("2025-11-27 20:01:00 [error    ] the bridge is down", id="structlog as text"),
    ],
)
def test_error_that_nobody_knows_is_counted_and_kept(error: str) -> None:
    found = read(error)
    assert (found["unknown_errors"], found["troubles"]) == (1, {})
    assert "the bridge is down" in found["last_unknown_error"]["line"]


def test_traceback_as_text_is_one_error_with_what_was_raised() -> None:
    found = read(
        "ERROR:root:it failed",
        "Traceback (most recent call last):",
        '  File "x.py", line 1',
        "ValueError: no bridge",
        "more",
    )
    assert (found["unknown_errors"], found["last_unknown_error"]["error"]) == (1, "ValueError: no bridge")


@pytest.mark.parametrize("ending", log_words.ENDINGS)
def test_error_at_the_end_of_a_call_is_known(ending: str) -> None:
    assert read(json.dumps({"message": f"{ending} 60", "level": "ERROR"}))["unknown_errors"] == 0


@pytest.mark.parametrize(("channel", "unknown"), [("_data_track", 0), ("_reliable", 0), ("x" * 100, 1)])
def test_error_of_the_sdk_at_the_end_of_a_call_is_known(channel: str, unknown: int) -> None:
    session = "livekit::rtc_engine::rtc_session"
    message = f"{session}:704:{session} - publisher data channel '{channel}' closed unexpectedly"
    assert read(json.dumps({"message": message, "level": "ERROR"}))["unknown_errors"] == unknown


@pytest.mark.parametrize(
    ("line", "start"),
    [
        ('{"message": "starting worker", "level": "INFO"}', True),
        ("2025-11-27 20:01:00,500 - INFO livekit.agents - starting worker", True),
        ('{"message": "request handler is guarded", "level": "INFO"}', True),
        ('{"message": "received job request", "level": "INFO"}', False),
        ("not yet starting worker threads", False),
    ],
)
def test_start_of_a_worker_is_known_by_its_first_line(line: str, start: bool) -> None:
    assert worker_log.is_start(f"2025-11-27T20:01:00.5Z {line}") is start


def test_errors_before_the_time_looked_at_are_not_counted() -> None:
    old = json.dumps({"message": "the bridge is down", "level": "ERROR", "timestamp": "2025-11-27T20:00:00+00:00"})
    assert read(old, since=1764273660.0)["unknown_errors"] == 0


# --- text that means harm ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [100, 1000, 10_000, 30_000])
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_line_of_deep_json_ends_no_reading(depth: int, opening: str) -> None:
    deep = '{"message": "registered worker", "x": ' + opening * depth + "]" * depth + "}"
    found = read(JSON, deep, json.dumps({"message": "draining worker", "level": "INFO"}))
    assert (found["worker_id"], found["draining"]) == ("AW_1", True)


@pytest.mark.parametrize(
    "evil",
    [
        "ERROR " + "[" * 60_000,
        "ERROR:" + ":a" * 30_000,
        "registered worker " + "a." * 30_000,
        " " * 60_000 + "ERROR x",
        "id=" * 20_000 + " registered worker",
    ],
)
def test_long_line_is_weighed_in_bounded_time(evil: str) -> None:
    started = time.process_time()
    read(*[evil] * 20)
    assert time.process_time() - started < 2.0


def test_fields_of_a_line_of_text_are_no_message() -> None:
    assert log_events.structured(REGISTRATIONS["dev since 1.7"]) is None
