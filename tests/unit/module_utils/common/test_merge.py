# SPDX-License-Identifier: Apache-2.0
"""Settings of ours in settings of somebody else's."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.common.merge import merged

CASES = [
    pytest.param({}, {"a": 1}, {"a": 1}, id="nothing there yet"),
    pytest.param({"theirs": 1}, {}, {"theirs": 1}, id="nothing wanted"),
    pytest.param({"theirs": 1}, {"a": 2}, {"theirs": 1, "a": 2}, id="a key of theirs stays"),
    pytest.param({"a": 1}, {"a": 2}, {"a": 2}, id="a value of ours replaces"),
    pytest.param({"l": ["t"]}, {"l": ["o", "t"]}, {"l": ["t", "o"]}, id="lists are united, theirs first"),
    pytest.param({"d": {"t": 1}}, {"d": {"o": 2}}, {"d": {"t": 1, "o": 2}}, id="objects are merged"),
    pytest.param({"d": {"l": ["t"]}}, {"d": {"l": ["o"]}}, {"d": {"l": ["t", "o"]}}, id="also inside"),
    pytest.param({"l": "t"}, {"l": ["o"]}, {"l": ["o"]}, id="another kind is replaced"),
]


@pytest.mark.parametrize(("present", "wanted", "expected"), CASES)
def test_what_comes_out(present: dict[str, Any], wanted: dict[str, Any], expected: dict[str, Any]) -> None:
    assert merged(present, wanted) == expected


@pytest.mark.parametrize(("present", "wanted", "expected"), CASES)
def test_a_second_time_changes_nothing(
    present: dict[str, Any], wanted: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert merged(merged(present, wanted), wanted) == expected


def test_what_was_given_is_not_changed() -> None:
    present: dict[str, Any] = {"l": ["t"], "d": {"t": 1}}
    merged(present, {"l": ["o"], "d": {"o": 2}})
    assert present == {"l": ["t"], "d": {"t": 1}}
