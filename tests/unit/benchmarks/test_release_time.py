# SPDX-License-Identifier: Apache-2.0
"""What is made of the seconds that were measured."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import release_time


def row(bound: float = 10.0, release: float = 30.0, unchanged: float = 14.0) -> dict[str, Any]:
    return {
        "bound_seconds": bound,
        "release_seconds": release,
        "release_waits": {"search window": 10.0, "dispatch list cold": 5.0},
        "unchanged_seconds": unchanged,
        "unchanged_waits": {"search window": 10.0},
    }


def document(*rows: dict[str, Any]) -> dict[str, Any]:
    return release_time.document_of({3: rows}, "2026-11-22", {"python": "3"}, {"cores": 2})


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
    assert [line for line in release_time.table(document(found)) if "MISSED" in line] == [f"MISSED: {what}" for what in missed]
