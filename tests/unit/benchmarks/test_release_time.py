# SPDX-License-Identifier: Apache-2.0
"""What is made of the seconds that were measured."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import release_time
from tests.e2e.harness import Result, Run


def row(bound: float = 10.0, release: float = 30.0, unchanged: float = 14.0) -> dict[str, Any]:
    return {
        "bound_seconds": bound,
        "release_seconds": release,
        "release_waits": {"search window": 10.0, "dispatch list cold": 5.0},
        "unchanged_seconds": unchanged,
        "unchanged_waits": {"search window": 10.0},
        "release_floor_seconds": 8.0,
        "unchanged_floor_seconds": 2.5,
    }


def document(*rows: dict[str, Any]) -> dict[str, Any]:
    return release_time.document_of({3: rows}, "2026-11-22", {"python": "3"}, {"cores": 2})


def result(host: str, action: str) -> Result:
    return Result(host, host, "a task", "ok", False, "", action)


def test_floor_has_as_many_calls_as_the_host_with_most_and_the_controller() -> None:
    on_hosts = [result("a", "agent_release"), result("a", "ansible.builtin.uri"), result("b", "agent_release")]
    no_calls = [result("a", "ansible.builtin.include_tasks"), result("b", "ansible.builtin.fail")]
    run = Run(0, "", [*on_hosts, *no_calls, result("localhost", "livekit_dispatch")], {}, {}, "")
    calls = release_time.calls_of(run)
    assert calls == {"host": 2, "controller": 1}
    [play] = release_time.idle_play(calls)
    assert [task.get("delegate_to") for task in play["tasks"]] == [None, None, "localhost"]


def test_waits_for_livekit_are_told_apart_and_the_median_counts() -> None:
    one = document(row(), row(release=33.0), row(release=40.0))["hosts"]["3"]
    assert (one["bound_seconds"], one["release_beyond_waits_seconds"], one["ratio"]) == (10.0, 18.0, 1.8)
    assert one["unchanged_beyond_waits_seconds"] == 4.0
    assert one["runs"][0]["release_waits"] == {"search window": 10.0, "dispatch list cold": 5.0}


@pytest.mark.parametrize(
    ("found", "missed"),
    [
        (row(), []),
        (row(release=30.6), ["3 hosts: 1.56 times the bound, aim 1.5"]),
        (row(unchanged=15.4), ["3 hosts unchanged: 5.4 s, aim 5"]),
    ],
)
def test_aims_that_are_missed_are_told(found: dict[str, Any], missed: list[str]) -> None:
    assert release_time.missed(document(found)) == missed
    assert [line for line in release_time.table(document(found)) if "MISSED" in line] == [
        f"MISSED: {what}" for what in missed
    ]
