# SPDX-License-Identifier: Apache-2.0
"""The answer as a whole: where dispatches went, the order of things, what was not read."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.common.commands import Playbooks
from ansible.module_utils.livekit_deploy.diagnosis import decide
from ansible.module_utils.livekit_deploy.diagnosis.flow import flow
from ansible.module_utils.livekit_deploy.diagnosis.moments import epoch_seconds, utc
from ansible.module_utils.livekit_deploy.diagnosis.timeline import timeline
from ansible.module_utils.livekit_deploy.diagnosis.world import World

Fleet = dict[str, Any]


def host_of(fleet: Fleet, name: str = "one") -> Any:
    return next(host for host in World(**fleet).agent_hosts if host.name == name)


def evidence(fleet: Fleet, name: str = "one") -> dict[str, Any]:
    found: dict[str, Any] = fleet["data"][name]["evidence"]
    return found


def test_dispatches_are_followed_to_the_worker_whose_log_has_them(fleet: Fleet) -> None:
    found = flow(host_of(fleet))
    assert [(to["host"], to["container"], to["count"]) for to in found["to"]] == [("one", "app-one-agent-worker-1", 2)]
    assert (found["requests"], found["dispatches"], found["unknown"]) == (2, 2, 0)


def test_a_dispatch_in_the_log_of_another_host_went_there(fleet: Fleet) -> None:
    evidence(fleet, "other-1")["workers"][0]["requests"] = evidence(fleet)["workers"][0]["requests"]
    evidence(fleet)["workers"][0]["requests"] = []
    assert [(to["host"], to["count"]) for to in flow(host_of(fleet))["to"]] == [("other-1", 2)]


def test_a_dispatch_that_no_log_has_is_unknown(fleet: Fleet) -> None:
    evidence(fleet)["workers"][0]["requests"].pop()
    assert flow(host_of(fleet))["unknown"] == 1


def test_who_is_in_a_living_room_counts_more_than_who_was_asked(fleet: Fleet) -> None:
    fleet["rooms"] = {
        "room-one-0": [{"id": "AD_one-0", "agent_name": "support-one", "jobs": [{"id": "AJ", "worker_id": "AW_other"}]}]
    }
    assert {(to["host"], to["count"]) for to in flow(host_of(fleet))["to"]} == {("one", 1), ("other-1", 1)}


def test_a_job_of_a_worker_that_nobody_read_is_told_by_its_id(fleet: Fleet) -> None:
    fleet["rooms"] = {
        "room-one-0": [{"id": "AD_one-0", "agent_name": "support-one", "jobs": [{"id": "AJ", "worker_id": "AW_far"}]}]
    }
    assert ("AW_far", None) in {(to["worker_id"], to["host"]) for to in flow(host_of(fleet))["to"]}


def test_a_room_that_was_used_twice_is_not_taken_for_the_other_dispatch(fleet: Fleet) -> None:
    other = {**evidence(fleet)["workers"][0]["requests"][0], "dispatch_id": "AD_another"}
    evidence(fleet)["workers"][0]["requests"] = [other]
    assert flow(host_of(fleet))["unknown"] == 2


def test_examples_are_at_most_five(fleet: Fleet) -> None:
    evidence(fleet)["api"]["dispatches"] *= 10
    assert len(flow(host_of(fleet))["examples"]) == 5


@pytest.mark.parametrize("part", ["proxy", "api"])
def test_an_unread_log_is_no_count_of_zero(fleet: Fleet, part: str) -> None:
    evidence(fleet)[part]["read"] = False
    assert dict(flow(host_of(fleet)))[{"proxy": "requests", "api": "dispatches"}[part]] is None


def test_the_timeline_is_in_order_and_names_host_and_worker(fleet: Fleet) -> None:
    times = [event["time"] for event in timeline(World(**fleet))]
    texts = " ".join(event["event"] for event in timeline(World(**fleet)))
    assert times == sorted(times)
    assert [
        word
        for word in ("one: release", "registered as 'support-one' (AW_one)", "first dispatch", "nginx")
        if word not in texts
    ] == []


def test_the_timeline_leaves_out_workers_of_other_names(fleet: Fleet) -> None:
    assert "other-worker-1" not in str(timeline(World(**fleet)))


def test_what_has_no_time_is_not_in_the_timeline(fleet: Fleet) -> None:
    evidence(fleet)["workers"][0].update(registered_since=None, started_at="", requests=[])
    assert "unknown time" not in str(timeline(World(**fleet)))


def test_what_was_not_read_is_listed_once_each(fleet: Fleet) -> None:
    fleet["data"]["other-1"].update(evidence={}, unread="host unreachable over SSH: refused")
    evidence(fleet)["unread"] = ["the proxy's access log: rotated away"]
    fleet["server_logs"] = [{"host": "livekit-1", "complete": False, "reason": "its start is missing", "workers": []}]
    assert decide.diagnose(World(**fleet))["not_read"] == [
        "other-1: host unreachable over SSH: refused",
        "one: the proxy's access log: rotated away",
        "the LiveKit server's log on livekit-1: its start is missing",
    ]


def test_hosts_outside_the_run_have_no_answer_and_are_told_together(fleet: Fleet) -> None:
    for name in ("two", "three"):
        fleet["data"][name] = {
            "agent_name": name,
            "group": "agent_hosts",
            "evidence": {},
            "unread": "not in this run",
            "outside": True,
        }
    answer = decide.diagnose(World(**fleet))
    assert (list(answer["hosts"]), answer["not_read"]) == (["one"], ["outside this run (--limit): two, three"])


def test_the_whole_is_ok_only_when_nothing_is_wrong_anywhere(fleet: Fleet) -> None:
    assert decide.diagnose(World(**fleet))["ok"]
    evidence(fleet)["gate"] = "closed"
    assert not decide.diagnose(World(**fleet))["ok"]


def test_no_host_at_all_is_not_ok() -> None:
    assert not decide.diagnose(World({}))["ok"]


def test_commands_name_the_inventory_of_the_run(fleet: Fleet) -> None:
    evidence(fleet)["release"]["agent_name"] = "old"
    (cause,) = decide.diagnose(World(**fleet), Playbooks(["inventory/a"]))["hosts"]["one"]["causes"]
    assert cause["remedy"] == "ansible-playbook -i inventory/a deploy.yml --limit one"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1767323400, "2026-01-02T03:10:00Z"),
        ("2026-01-02T03:10:00.123456789Z", "2026-01-02T03:10:00Z"),
        ("2026-01-02T04:10:00+01:00", "2026-01-02T03:10:00Z"),
        ("2026-01-02T03:10:00", "2026-01-02T03:10:00Z"),
        (None, "an unknown time"),
        ("yesterday", "an unknown time"),
        (True, "an unknown time"),
    ],
)
def test_times_are_told_in_utc(value: Any, text: str) -> None:
    assert utc(value) == text


def test_the_year_one_of_docker_is_no_time() -> None:
    assert epoch_seconds("0001-01-01T00:00:00Z") is None
