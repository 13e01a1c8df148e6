# SPDX-License-Identifier: Apache-2.0
"""A LiveKit server's log: lines as server 1.13.5 wrote them, and what follows from them about one name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.gather import server_log
from ansible.module_utils.livekit_deploy.proof import server_evidence

NOW = 1795388500.0
START = (
    '{"level":"info","ts":1795388433.5465584,"logger":"livekit","caller":"service/server.go:292",'
    '"msg":"starting LiveKit server","portHttp":33081,"nodeID":"ND_X6HcGMR8mo79","nodeIP":"127.0.0.1",'
    '"version":"1.13.5","rtc.portUDP":{"Start":59781,"End":0}}'
)
CONSOLE_START = (
    "2026-11-22T23:00:40.968Z\tINFO\tlivekit\tservice/server.go:292\tstarting LiveKit server\t"
    '{"portHttp": 58393, "version": "1.13.5", "rtc.portUDP": {"Start":47963,"End":0}}'
)
CONSOLE_REGISTERED = (
    "2026-11-22T23:00:46.080Z\tINFO\tlivekit.agents\tservice/agentservice.go:303\tworker registered\t"
    '{"namespace": "", "jobType": "JT_ROOM", "agentName": "name-a", "workerID": "AW_1"}'
)
CONSOLE_CLOSED = (
    "2026-11-22T23:00:46.123Z\tINFO\tlivekit.agents\tagent/worker.go:488\tclosing worker\t"
    '{"workerID": "AW_1", "agentName": "name-a", "deployment": "", "jobType": "JT_ROOM", "workerID": "AW_1", '
    '"agentName": "name-a"}'
)


def line(message: str, worker_id: str, seconds: float, name: str = "name-a", **more: Any) -> str:
    head = {"level": "info", "ts": NOW - seconds, "logger": "livekit.agents", "msg": message}
    return json.dumps({**head, "jobType": "JT_ROOM", "agentName": name, "workerID": worker_id, **more})


def registered(worker_id: str, seconds: float, name: str = "name-a", **more: Any) -> str:
    return line("worker registered", worker_id, seconds, name, **more)


def closed(worker_id: str, seconds: float, name: str = "name-a") -> str:
    return line("closing worker", worker_id, seconds, name, deployment="blue")


def ids(found: Any, left: bool = False) -> list[str]:
    return [entry["worker_id"] for entry in found["workers"] if bool(entry["closed"]) is left]


def test_registered_and_not_closed_after_is_registered() -> None:
    found = server_log.read_registrations(
        [START, registered("AW_1", 50), registered("AW_2", 40), closed("AW_1", 10)], NOW
    )
    assert (ids(found), ids(found, left=True)) == (["AW_2"], ["AW_1"])


def test_console_format_says_the_same() -> None:
    found = server_log.read_registrations(
        [CONSOLE_START, CONSOLE_REGISTERED, CONSOLE_REGISTERED.replace("AW_1", "AW_2"), CONSOLE_CLOSED], NOW
    )
    assert (found["complete"], ids(found), ids(found, left=True)) == (True, ["AW_2"], ["AW_1"])
    assert found["workers"][0]["registered"] == "2026-11-22T23:00:46.080Z"


@pytest.mark.parametrize(
    "text", [START, CONSOLE_START, f"Nov 22 23:00:41 host livekit-server[1]: {START}", f"node-1 | {CONSOLE_START}"]
)
def test_start_of_the_server_makes_the_log_complete(text: str) -> None:
    assert server_log.read_registrations([text], NOW)["complete"]


def test_log_without_the_start_is_not_complete_and_says_why() -> None:
    found = server_log.read_registrations([registered("AW_1", 50)], NOW)
    assert (found["complete"], ids(found)) == (False, ["AW_1"])
    assert "starting LiveKit server" in found["reason"]


def test_empty_log_is_not_complete() -> None:
    assert server_log.read_registrations([], NOW)["reason"].startswith("found an empty log")


def test_workers_of_before_a_restart_are_gone() -> None:
    assert server_log.read_registrations([START, registered("AW_1", 50), START], NOW)["workers"] == []


def test_lines_that_the_journal_dropped_make_it_incomplete() -> None:
    found = server_log.read_registrations([START, "Suppressed 2982 messages from livekit-server.service"], NOW)
    assert (found["complete"], "dropped" in found["reason"]) == (False, True)


def test_lines_dropped_before_the_start_do_not_matter() -> None:
    assert server_log.read_registrations(["Suppressed 7 messages from livekit-server.service", START], NOW)["complete"]


def test_two_lines_about_one_end_are_one_entry() -> None:
    last = line("last worker deregistered", "AW_1", 10)
    found = server_log.read_registrations([START, registered("AW_1", 50), last, closed("AW_1", 10)], NOW)
    assert [(entry["worker_id"], entry["deployment"]) for entry in found["workers"]] == [("AW_1", "blue")]


def test_end_of_a_worker_whose_registration_is_not_in_the_log_is_kept() -> None:
    (entry,) = server_log.read_registrations([closed("AW_1", 10)], NOW)["workers"]
    assert (entry["registered"], entry["closed"] is not None) == (None, True)


def test_worker_that_left_long_ago_is_forgotten() -> None:
    assert server_log.read_registrations([START, registered("AW_1", 900), closed("AW_1", 800)], NOW)["workers"] == []


def test_name_that_is_left_out_is_the_empty_one() -> None:
    text = json.dumps({"ts": NOW - 5, "msg": "worker registered", "workerID": "AW_1"})
    (entry,) = server_log.read_registrations([START, text], NOW)["workers"]
    assert (entry["agent_name"], entry["job_type"]) == ("", "")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "worker registered",
        '"worker registered"',
        '{"msg":"worker registered"}',
        '{"msg":"worker registered","workerID":',
        '["worker registered"]',
        '{"msg":"API RoomService.CreateRoom","room":"worker registered","workerID":"AW_x"}',
        "a\tb\tc\td\tworker registered\tno json",
        "\x00\x1b[0m closing worker",
    ],
)
def test_any_other_line_is_passed_over(text: str) -> None:
    assert server_log.read_registrations([START, text], NOW)["workers"] == []


def storm(count: int) -> Iterator[str]:
    yield START
    for number in range(count):
        yield registered(f"AW_{number}", 100 - number / count)
        yield closed(f"AW_{number}", 100 - number / count)


def test_storm_of_reconnects_keeps_the_latest_only() -> None:
    found = server_log.read_registrations(storm(3000), NOW)
    assert (len(found["workers"]), found["workers"][-1]["worker_id"], found["lines"]) == (50, "AW_2999", 6001)


# --- what the logs say about one name ---


def log(*lines: str, host: str = "server-1", start: bool = True, age: float = 3600.0) -> Any:
    first = [json.dumps({"ts": NOW - age, "msg": "starting LiveKit server"})] if start else []
    return {"host": host, **server_log.read_registrations([*first, *lines], NOW)}


def test_no_log_is_no_evidence() -> None:
    assert server_evidence.name_evidence([], "name-a") is None


def test_workers_of_the_name_count_whatever_their_job_type() -> None:
    found = server_evidence.name_evidence(
        [log(registered("AW_1", 9), registered("AW_2", 9, jobType="JT_PUBLISHER"), registered("AW_3", 9, "else"))],
        "name-a",
    )
    assert found is not None
    assert (sorted(found.worker_ids), found.complete, found.trouble) == (["AW_1", "AW_2"], True, "")


def test_name_is_compared_to_the_letter() -> None:
    found = server_evidence.name_evidence([log(registered("AW_1", 9, "Name-A"))], "name-a")
    assert found is not None
    assert found.worker_ids == frozenset()


def test_worker_that_left_is_recent_and_not_registered() -> None:
    found = server_evidence.name_evidence([log(registered("AW_1", 50), closed("AW_1", 10))], "name-a")
    assert found is not None
    (entry,) = found.recent
    assert (found.worker_ids, entry.registered, entry.left) == (
        frozenset(),
        pytest.approx(50, abs=0.01),
        pytest.approx(10, abs=0.01),
    )


NODES: list[tuple[str, list[dict[str, Any]], int, bool, int, str]] = [
    ("both nodes", [log(), log(host="server-2")], 2, True, 2, ""),
    ("one of two", [log()], 2, False, 1, "found the logs of 1 of 2 LiveKit nodes"),
    ("one of two is too short", [log(), log(host="server-2", start=False)], 2, False, 1, "server-2: "),
    (
        "one could not be read",
        [log(), {"host": "server-2", "msg": "no such unit"}],
        2,
        False,
        1,
        "server-2: no such unit",
    ),
    ("one just started", [log(age=12)], 1, False, 0, "the server started 12 s ago"),
    ("more logs than nodes", [log(), log(host="server-2")], 1, True, 1, ""),
]


@pytest.mark.parametrize(
    ("logs", "nodes", "complete", "covered", "text"), [pytest.param(*rest, id=name) for name, *rest in NODES]
)
def test_logs_decide_only_when_every_node_has_a_complete_one(
    logs: list[Any], nodes: int, complete: bool, covered: int, text: str
) -> None:
    found = server_evidence.name_evidence(logs, "name-a", nodes)
    assert found is not None
    assert (found.complete, found.covered, text in found.trouble) == (complete, covered, True)


def test_workers_of_all_nodes_are_taken_together() -> None:
    found = server_evidence.name_evidence(
        [log(registered("AW_1", 9)), log(registered("AW_2", 9), host="server-2")], "name-a", 2
    )
    assert found is not None
    assert found.worker_ids == {"AW_1", "AW_2"}


UNSETTLED: list[tuple[str, list[str], bool]] = [
    ("left a moment ago", [registered("AW_x", 90), closed("AW_x", 10)], True),
    ("left long enough ago", [registered("AW_x", 90), closed("AW_x", 31)], False),
    ("ours left", [registered("AW_own", 90), closed("AW_own", 10)], False),
    ("under another name", [registered("AW_x", 90, "else"), closed("AW_x", 10, "else")], False),
    ("another one is there anyway", [registered("AW_y", 90), registered("AW_x", 90), closed("AW_x", 10)], False),
    (
        "it came back before",
        [registered("AW_x", 90), closed("AW_x", 60), registered("AW_y", 48), closed("AW_y", 10)],
        False,
    ),
    ("nobody was there", [], False),
]


@pytest.mark.parametrize(("lines", "expected"), [pytest.param(*rest, id=name) for name, *rest in UNSETTLED])
def test_it_is_waited_only_for_a_stranger_that_may_come_back(lines: list[str], expected: bool) -> None:
    assert server_log.unsettled(log(*lines), ["name-a"], ["AW_own"]) is expected


@pytest.mark.parametrize("depth", [1000, 10_000])
def test_line_of_deep_json_ends_no_reading(depth: int) -> None:
    deep = '{"msg":"worker registered","workerID":' + "[" * depth + "]" * depth + "}"
    assert server_log.read_registrations([START, deep], NOW)["complete"]


@pytest.mark.parametrize("moment", ["1e999", "-1e308", '"0001-01-01T00:00:00+14:00"', "NaN", "[]"])
def test_line_with_a_time_that_is_none_ends_no_reading(moment: str) -> None:
    line = '{"msg":"worker registered","workerID":"AW_1","agentName":"a","ts":' + moment + "}"
    assert [entry["worker_id"] for entry in server_log.read_registrations([START, line], NOW)["workers"]] == ["AW_1"]
