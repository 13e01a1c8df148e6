# SPDX-License-Identifier: Apache-2.0
"""Waiting for a fact, on a clock of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.common import waiting


class Clock:
    """Stands in for the module ``time``: a pause and a look take as long as they say."""

    def __init__(self, look_seconds: float = 0.0) -> None:
        self.now, self.look_seconds, self.looks = 100.0, look_seconds, 0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def look(self) -> int:
        self.now += self.look_seconds
        self.looks += 1
        return self.looks


def never(_seen: int) -> bool:
    return False


@pytest.mark.parametrize(
    ("seconds", "pause", "look_seconds", "holds", "seen", "passed"),
    [
        pytest.param(5.0, 1.0, 0.0, lambda seen: seen, 1, 0.0, id="it holds at once"),
        pytest.param(5.0, 1.0, 0.0, lambda seen: seen == 3, 3, 2.0, id="it holds after two pauses"),
        pytest.param(0.0, 1.0, 0.0, lambda seen: seen == 2, 2, 1.0, id="no time left, looked once more"),
        pytest.param(-1.0, 1.0, 0.0, never, 1, 0.0, id="no time at all"),
        pytest.param(2.5, 1.0, 0.0, never, 4, 3.0, id="it never holds"),
        pytest.param(2.5, 1.0, 2.0, never, 2, 5.0, id="the looks take time, too"),
    ],
)
def test_fact_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    pause: float,
    look_seconds: float,
    holds: Callable[[int], Any],
    seen: int,
    passed: float,
) -> None:
    clock = Clock(look_seconds)
    monkeypatch.setattr(waiting, "time", clock)
    assert waiting.wait_until(clock.look, seconds, pause, holds) == seen
    assert clock.now - 100.0 == passed


def test_truth_is_what_holds_where_nothing_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(waiting, "time", clock)
    answers = iter(["", "", "here"])
    assert waiting.wait_until(lambda: next(answers), 5.0) == "here"
