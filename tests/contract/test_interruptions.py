# SPDX-License-Identifier: Apache-2.0
"""What a result of the interruption matrix has to be: of one day, with every row of the table, no promise broken."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from tests.full.interruptions import CASES  # noqa: E402  the path comes first

RESULTS = sorted((ROOT / "benchmarks" / "results").glob("interruptions-*.json"))
MACHINE = {"cores", "memory_gib", "system", "architecture"}
LISTED = [case.name for case in CASES]


def problems_of(document: dict[str, Any], name: str) -> list[str]:
    """What is wrong with one result."""
    problems = [] if name == f"interruptions-{document['date']}" else ["date"]
    problems += [] if set(document["machine"]) == MACHINE else ["machine"]
    problems += [f"{case} is missing" for case in LISTED if case not in document["cases"]]
    problems += [f"{case}: {promise}" for case, row in document["cases"].items() for promise in row["broken"]]
    return problems + [
        f"{case} is of another day" for case, row in document["cases"].items() if row["time"][:10] != document["date"]
    ]


def test_there_is_a_result() -> None:
    assert RESULTS


@pytest.mark.parametrize("path", RESULTS[-1:], ids=[path.stem for path in RESULTS[-1:]])
def test_newest_result_has_every_row_and_no_promise_broken(path: Path) -> None:
    assert problems_of(json.loads(path.read_text()), path.stem) == []


# --- each comparison can fail ----------------------------------------------------------------------------------------


def a_result(**changes: Any) -> dict[str, Any]:
    row = {"time": "2026-11-22T10:00:00Z", "broken": {}}
    return {"date": "2026-11-22", "machine": dict.fromkeys(MACHINE, 1), "cases": dict.fromkeys(LISTED, row), **changes}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"date": "2026-11-23"}, "date"),
        ({"machine": {"host": "node-a"}}, "machine"),
        (
            {"cases": {name: row for name, row in a_result()["cases"].items() if name != LISTED[3]}},
            f"{LISTED[3]} is missing",
        ),
        (
            {"cases": {**a_result()["cases"], LISTED[3]: {"time": "2026-11-22", "broken": {"serves": ["no"]}}}},
            f"{LISTED[3]}: serves",
        ),
        (
            {"cases": {**a_result()["cases"], LISTED[3]: {"time": "2026-11-21", "broken": {}}}},
            f"{LISTED[3]} is of another day",
        ),
    ],
)
def test_result_that_is_not_whole_is_found(changes: dict[str, Any], problem: str) -> None:
    assert problem in problems_of(a_result(**changes), "interruptions-2026-11-22")


def test_whole_result_is_accepted() -> None:
    assert problems_of(a_result(), "interruptions-2026-11-22") == []
