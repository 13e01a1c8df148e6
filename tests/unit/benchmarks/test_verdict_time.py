# SPDX-License-Identifier: Apache-2.0
"""What the benchmark counts, and how it sums up; that it measures a real server is tested in tests/bench."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[3]))

from benchmarks import verdict_time
from benchmarks.stand_in import StandIn

MACHINE = {"cores": 2, "memory_gib": 4, "system": "Linux", "architecture": "x86_64"}


def measured(one: float = 10.0, fifty: float = 10.4) -> dict[str, Any]:
    def found(*seconds: float) -> dict[str, list[float]]:
        return {"raw": [0.2, 0.3, 0.25], "answered": [0.3] * 3, "seconds": list(seconds)}

    exclusive = {1: found(one, one + 3, one - 1), 50: found(fifty, fifty, fifty)}
    return {"cold": 5.0, "exclusive": exclusive, "foreign": {10: found(0.5, 0.4, 0.6)}}


def document(**times: float) -> dict[str, Any]:
    return verdict_time.document_of(measured(**times), "2026-11-22", {"python": "3.13"}, MACHINE)


def worker(number: int = 1, worker_id: str = "AW_own") -> StandIn:
    made = verdict_time.stand_in(number)
    made.worker_ids.append(worker_id)
    return made


def answer(worker_id: str, verdict: str, foreign: list[str]) -> dict[str, Any]:
    probe = {"outcome": "taken", "worker_id": worker_id}
    return {
        "results": {"host-001/directed": probe},
        "rows": {"host-001": {"verdict": verdict, "routing": {"foreign": foreign}}},
    }


def test_the_median_counts_and_the_window_is_told_apart() -> None:
    one = document()["exclusive"]["1"]
    assert (one["median_seconds"], one["window_seconds"], one["beyond_window_seconds"]) == (10.0, 10.0, 0.0)
    assert (one["raw_median_seconds"], len(one["seconds"])) == (0.25, 3)


def test_the_ratio_is_that_of_most_names_to_fewest() -> None:
    assert document(one=10.0, fifty=12.0)["ratio"] == {"of": "50 names to 1", "found": 1.2}


@pytest.mark.parametrize(("fifty", "word"), [(10.4, "met"), (15.1, "MISSED")])
def test_the_table_says_whether_the_aim_was_met(fifty: float, word: str) -> None:
    assert verdict_time.table(document(fifty=fifty))[-1].endswith(f"{word}.")


def test_the_table_has_a_line_for_each_case() -> None:
    lines = verdict_time.table(document())
    assert [line.split()[:2] for line in lines[2:5]] == [["exclusive", "1"], ["exclusive", "50"], ["foreign", "10"]]


def test_a_repetition_with_the_right_worker_and_verdict_counts() -> None:
    assert verdict_time.trouble_of(answer("AW_own", "exclusive", []), {"host-001": worker()}, {}) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (answer("AW_other", "exclusive", []), "answered by AW_other, expected AW_own"),
        (answer("AW_own", "inconclusive", []), "the verdict is inconclusive, expected exclusive"),
        ({"results": {}, "rows": answer("AW_own", "exclusive", [])["rows"]}, "answered by None"),
    ],
)
def test_a_repetition_with_a_wrong_worker_or_verdict_does_not_count(given: dict[str, Any], words: str) -> None:
    (found,) = verdict_time.trouble_of(given, {"host-001": worker()}, {})
    assert words in found


def test_with_a_stranger_only_the_verdict_that_names_it_counts() -> None:
    workers = {"host-001": worker()}
    strangers = {"bench-001": worker(worker_id="AW_stranger")}
    assert verdict_time.trouble_of(answer("AW_stranger", "foreign", ["AW_stranger"]), workers, strangers) == []
    assert verdict_time.trouble_of(answer("AW_own", "exclusive", []), workers, strangers)
    assert verdict_time.trouble_of(answer("AW_own", "foreign", ["AW_third"]), workers, strangers)


def test_each_name_is_asked_with_one_probe_to_pass_on_and_one_directed() -> None:
    asked = verdict_time.probes_of(verdict_time.hostvars_of({"host-001": worker(), "host-002": worker(2)}, at=0.0))
    assert sorted(probe["id"] for probe in asked) == [
        "bench-001/through",
        "bench-002/through",
        "host-001/directed",
        "host-002/directed",
    ]


def test_the_machine_is_described_without_a_name() -> None:
    assert set(verdict_time.machine()) == set(MACHINE)
