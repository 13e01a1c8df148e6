# SPDX-License-Identifier: Apache-2.0
"""Each promise of the interruption matrix can be broken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.e2e.calls import Call
from tests.full.interruptions import Case
from tests.full.promises import PROMISES, Story, Window, longest_gap, row_of

STATE: dict[str, Any] = {
    "serving": "R1",
    "gates": ["R1/gate/state:open"],
    "containers": [("agent-worker", "c1", "then"), ("fastapi", "c2", "then")],
    "networks": ["app-r1_default"],
}
FAILS, AWAY = Case("fails", change={"a": 1}, fails=True), Case("away", step="verify", away=True)
SERVES, AS_IT_WAS, LOSES, FINISHES, LEAVES = PROMISES


def call(sent: float, **changes: Any) -> Call:
    return Call(**{"real": False, "sent": sent, "status": 200, "worker_id": "AW_1", **changes})


STORY = Story(
    case=FAILS,
    before=STATE,
    rc=2,
    said="",
    after=STATE,
    services=["agent-worker", "fastapi"],
    window=Window(),
    calls=[call(100.0), call(100.2)],
    next_rc=0,
    next_verdict="exclusive",
    next_said="",
    next_seconds=25.0,
    draining=False,
    last=STATE,
    states={"serving", "retired"},
    lock_owner=None,
)


def broken(story: Story) -> list[str]:
    return [name for name, promise in PROMISES.items() if promise(story)]


def test_story_that_went_well_breaks_no_promise() -> None:
    assert broken(STORY) == []


@pytest.mark.parametrize(
    ("changes", "promises"),
    [
        ({"services": ["fastapi"]}, [SERVES]),
        ({"after": {**STATE, "gates": ["R1/gate/state:closed"]}}, [SERVES, AS_IT_WAS]),
        ({"after": {**STATE, "containers": []}}, [AS_IT_WAS]),
        ({"rc": 0}, [AS_IT_WAS]),
        ({"case": replace(FAILS, says="no space left"), "said": "no\n  such host"}, [AS_IT_WAS]),
        ({"calls": [call(1.0, status=502)]}, [LOSES]),
        ({"calls": [call(1.0, worker_id="")]}, [LOSES]),
        ({"calls": [call(1.0, real=True)]}, [LOSES]),
        ({"next_rc": 2}, [FINISHES]),
        ({"next_verdict": "foreign"}, [FINISHES]),
        ({"last": {**STATE, "containers": STATE["containers"][:1]}}, [LEAVES]),
        ({"last": {**STATE, "networks": []}}, [LEAVES]),
        ({"states": {"serving", "draining"}}, [LEAVES]),
        ({"lock_owner": {"process": 1}}, [LEAVES]),
    ],
)
def test_broken_promise_is_found(changes: dict[str, Any], promises: list[str]) -> None:
    assert broken(replace(STORY, **changes)) == promises


@pytest.mark.parametrize(("sent", "found"), [(98.9, [LOSES]), (99.5, []), (109.9, []), (110.1, [LOSES])])
def test_call_may_be_lost_only_while_something_is_away(sent: float, found: list[str]) -> None:
    assert broken(replace(STORY, case=AWAY, window=Window(100.0, 110.0), calls=[call(sent, status=502)])) == found


def test_longest_gap_is_between_calls_that_were_served() -> None:
    assert longest_gap([call(1.0), call(1.2, status=502), call(3.5), call(3.7)]) == 2.5


def test_row_tells_what_was_measured() -> None:
    calls = [call(100.0), call(101.0, status=502), call(104.0)]
    row = row_of(replace(STORY, case=AWAY, window=Window(100.5, 103.5), calls=calls, after={**STATE, "serving": "R2"}))
    expected = {"deployment": "failed", "served": "new", "sent": 3, "lost": 1, "http_errors": 1}
    assert row == {**row, **expected, "longest_gap_seconds": 4.0, "away_seconds": 3.0, "next_run_seconds": 25.0}
