# SPDX-License-Identifier: Apache-2.0
"""What the hosts' tasks registered, as the diagnosis takes it: also what failed, was skipped or never ran."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.diagnosis import inputs
from ansible.module_utils.livekit_deploy.inventory import play_options
from ansible.module_utils.livekit_deploy.play.run import Runs

NOW = 1767323400.0
GROUPS = {"agent_hosts": ["one", "two"], "suspects": ["one", "other-1"]}
INVENTORY = {
    "livekit_agent_name": "support",
    "livekit_url": "ws://l:7880",
    "agent_release_app": "app",
    "ansible_host": "10.0.0.1",
}
ONCE: dict[str, dict[str, Any]] = {
    "__diagnosis_server": {"reachable": True, "key_accepted": True, "changed": False, "failed": False},
    "__verification_probes": {"probes": {"one/directed": {"outcome": "taken"}}},
    "__verification_verdict": {"report": {"one": {"verdict": "exclusive"}}},
    "__verification_servers": {"results": [{"__verification_server": "livekit-1", "complete": True, "workers": []}]},
}
Hostvars = dict[str, dict[str, Any]]


@pytest.fixture
def hostvars() -> Hostvars:
    read: dict[str, Any] = {
        "workers": [],
        "release": None,
        "changed": False,
        "failed": False,
        "invocation": {"module_args": {}},
    }
    agent = {**INVENTORY, "__diagnosis_read": read, "__diagnosis_suspect": {"skipped": True}}
    return {
        "one": dict(agent),
        "two": {**agent, **ONCE},
        "other-1": {"__diagnosis_read": {"skipped": True}, "__diagnosis_suspect": read},
    }


def host(hostvars: Hostvars, name: str = "one") -> dict[str, Any]:
    found: dict[str, Any] = inputs.inputs(Runs(hostvars), GROUPS)["hosts"][name]
    return found


def test_a_host_has_what_was_read_without_what_is_of_ansible(hostvars: Hostvars) -> None:
    assert (host(hostvars)["evidence"], host(hostvars)["unread"]) == ({"workers": [], "release": None}, "")


def test_a_host_has_its_place_in_the_inventory(hostvars: Hostvars) -> None:
    found = host(hostvars)
    expected = ("support", "one", "ws://l:7880", "app", "10.0.0.1", "agent_hosts")
    assert tuple(found[key] for key in ("agent_name", "pool", "livekit_url", "app", "address", "group")) == expected


def test_a_suspect_is_read_by_its_own_task(hostvars: Hostvars) -> None:
    assert (host(hostvars, "other-1")["group"], host(hostvars, "other-1")["evidence"]) == (
        "suspects",
        {"workers": [], "release": None},
    )


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (None, "not in this run (--limit)"),
        ({"failed": True, "msg": "the Engine refused"}, "the Engine refused"),
        (
            {"unreachable": True, "msg": "Task failed: Failed to connect to the host via ssh: Connection refused"},
            "host unreachable over SSH: Connection refused",
        ),
        ({"skipped": True}, "the task that reads it left no answer"),
    ],
)
def test_a_host_without_a_reading_says_why(hostvars: Hostvars, reading: Any, words: str) -> None:
    hostvars["one"]["__diagnosis_read"] = reading
    assert (host(hostvars)["evidence"], host(hostvars)["unread"]) == ({}, words)


def test_only_a_host_of_which_nothing_was_tried_is_outside(hostvars: Hostvars) -> None:
    hostvars["one"]["__diagnosis_read"] = {"unreachable": True, "msg": "refused"}
    assert not host(hostvars)["outside"]
    del hostvars["one"]["__diagnosis_read"]
    assert host(hostvars)["outside"]


def test_what_ran_once_is_taken_from_the_host_that_has_it(hostvars: Hostvars) -> None:
    found = inputs.inputs(Runs(hostvars), GROUPS)
    assert (found["server"], found["verdicts"]["one"]) == (
        {"reachable": True, "key_accepted": True},
        {"verdict": "exclusive"},
    )
    assert found["probes"] == ONCE["__verification_probes"]["probes"]
    assert found["server_logs"][0]["host"] == "livekit-1"


def test_what_never_ran_is_empty(hostvars: Hostvars) -> None:
    for name in ONCE:
        hostvars["two"][name] = {"skipped": True}
    found = inputs.inputs(Runs(hostvars), GROUPS)
    assert (found["probes"], found["verdicts"], found["server"], found["server_logs"]) == ({}, {}, {}, [])


def test_a_proof_that_is_there_needs_no_words(hostvars: Hostvars) -> None:
    assert inputs.inputs(Runs(hostvars), GROUPS)["not_proven"] == []


@pytest.mark.parametrize(
    ("name", "result", "words"),
    [
        (
            "__diagnosis_server",
            {"key_accepted": False},
            "no probe was sent, because the LiveKit server does not answer",
        ),
        ("__verification_probes", {"failed": True, "msg": "the probes broke"}, "the probes: the probes broke"),
        ("__verification_verdict", {"failed": True, "msg": "no idea"}, "the verdicts: no idea"),
        ("__verification_verdict", {"skipped": True}, "no host could be proven"),
    ],
)
def test_a_proof_that_is_missing_says_why(hostvars: Hostvars, name: str, result: dict[str, Any], words: str) -> None:
    hostvars["two"][name] = result
    assert words in inputs.inputs(Runs(hostvars), GROUPS)["not_proven"][0]


def test_the_witness_of_the_probes_is_handed_on(hostvars: Hostvars) -> None:
    hostvars["one"]["__verification_witness"] = {"workers": [{"worker_id": "AW"}]}
    assert host(hostvars)["witness"] == [{"worker_id": "AW"}]


def test_a_host_that_the_inventory_hardly_describes_is_there_all_the_same(hostvars: Hostvars) -> None:
    for name in INVENTORY:
        del hostvars["one"][name]
    assert (host(hostvars)["agent_name"], host(hostvars)["pool"]) == ("", "one")


def test_a_suspect_outside_the_run_is_searched_and_one_in_it_is_not_searched_twice(hostvars: Hostvars) -> None:
    assert inputs.suspects_outside(Runs(hostvars), GROUPS) == []
    del hostvars["other-1"]["__diagnosis_suspect"]
    assert inputs.suspects_outside(Runs(hostvars), GROUPS) == ["other-1"]


def test_a_suspect_outside_the_run_has_what_the_search_found(hostvars: Hostvars) -> None:
    del hostvars["other-1"]["__diagnosis_suspect"]
    hostvars["one"]["__diagnosis_outside"] = {
        "results": [{"__diagnosis_host": "other-1", "workers": [{"worker_id": "AW"}]}]
    }
    assert host(hostvars, "other-1")["evidence"] == {"workers": [{"worker_id": "AW"}]}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", None),
        (None, None),
        ("30", NOW - 1800),
        (30, NOW - 1800),
        ("1.5", NOW - 90),
        ("2026-01-02T03:00:00Z", NOW - 600),
    ],
)
def test_the_start_is_minutes_back_or_a_time(value: Any, seconds: float | None) -> None:
    assert play_options.since_seconds(value, NOW) == seconds


@pytest.mark.parametrize("value", ["soon", "-5", "0", "2027-01-02T03:00:00Z", "2026-13-01", "nan"])
def test_a_start_that_is_none_is_refused_with_what_is_expected(value: str) -> None:
    with pytest.raises(play_options.SinceError, match="expected minutes back"):
        play_options.since_seconds(value, NOW)
