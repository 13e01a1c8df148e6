"""A worker's log becomes one reading: the latest registration counts, and only while nothing after it says otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy import worker_log


def line(message: str, **fields: Any) -> str:
    return json.dumps({"message": message, "level": "INFO", **fields})


def registered(worker_id: str, name: str = "sidekick") -> str:
    return line("registered worker", id=worker_id, agent_name=name, url="ws://livekit:7880", timestamp="2026-01-01T00:00:00+00:00")


DISCONNECTED = line("failed to connect to livekit, retrying in 2s")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], {"worker_id": None, "connected": False, "reconnects": 0}, id="empty log"),
        pytest.param(["no json at all", "{broken", "[1]"], {"worker_id": None}, id="lines of somebody else"),
        pytest.param([registered("AW_1")], {"worker_id": "AW_1", "agent_name": "sidekick", "connected": True, "reconnects": 0}, id="once"),
        pytest.param([registered("AW_1"), registered("AW_2")], {"worker_id": "AW_2", "reconnects": 1}, id="id is new at a reconnect"),
        pytest.param([registered("AW_1"), DISCONNECTED], {"worker_id": "AW_1", "connected": False}, id="connection lost afterwards"),
        pytest.param([DISCONNECTED, registered("AW_1")], {"connected": True}, id="connection lost before"),
        pytest.param([registered("AW_1"), line("worker failed")], {"connected": False}, id="worker failed"),
        pytest.param([registered("AW_1"), line("draining worker")], {"draining": True, "worker_id": "AW_1"}, id="draining"),
        pytest.param(
            [registered("AW_1"), line("draining worker"), line("starting worker", version="1.8.9")],
            {"worker_id": None, "draining": False, "connected": False, "sdk_version": "1.8.9"},
            id="a restarted process starts over",
        ),
        pytest.param(["2026 agent | " + registered("AW_1")], {"worker_id": "AW_1"}, id="a prefix before the object"),
    ],
)
def test_reading_follows_the_latest_registration(lines: list[str], expected: dict[str, Any]) -> None:
    found = worker_log.read(lines)
    assert {key: found[key] for key in expected} == expected


def test_reading_lists_each_job_request_with_its_ids() -> None:
    request = line("received job request", job_id="AJ_1", dispatch_id="AD_1", room="r1", agent_name="a", timestamp="t")
    expected = {"job_id": "AJ_1", "dispatch_id": "AD_1", "room": "r1", "agent_name": "a", "time": "t"}
    assert worker_log.read([request])["requests"] == [expected]


def test_reading_tells_which_patterns_appear() -> None:
    found = worker_log.read([line("tool call", tool="lookup_order")], ["tool call", "never said"])
    assert found["log_matches"] == {"tool call": True, "never said": False}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param({"new-room"}, False, id="said only before this call"),
        pytest.param({"old-room"}, True, id="said after it"),
        pytest.param(set(), True, id="no call named"),
    ],
)
def test_pattern_of_an_earlier_call_proves_nothing(after: set[str], expected: bool) -> None:
    lines = [line("received job request", room="old-room"), line("tool call"), line("received job request", room="new-room")]
    assert worker_log.read(lines, ["tool call"], after)["log_matches"] == {"tool call": expected}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (line("hello"), "INFO: hello"),
        (line("job crashed", exc_info="Traceback\n  File x\nRuntimeError: boom"), "INFO: job crashed: RuntimeError: boom"),
        ("plain text", "plain text"),
        ("x" * 300, "x" * 239 + "…"),
    ],
)
def test_short_line_keeps_what_a_message_needs(raw: str, expected: str) -> None:
    assert worker_log.short(raw) == expected
