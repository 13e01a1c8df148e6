"""Why a release failed, and what serves now."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.play.failed_release import failure_text, hook_failure_text, is_released
from ansible.module_utils.livekit_deploy.play.run import BEGUN, ENDED, Runs

TASK = {"name": "prove | Refuse", "action": "ansible.builtin.fail", "args": {}}
LAST = {"name": "drain | Drain", "action": "agent_release", "args": {"step": "drain"}}
WHY = {"msg": "no answer of the worker"}


def runs(changed: bool = True, ended: int | None = None) -> Runs:
    found: dict[str, Any] = {BEGUN: {"plan": {"changed": changed, "id": "new"}, "fence": 7}}
    if ended:
        found[ENDED] = {"retired": [], "fence": ended}
    return Runs({"a": found})


@pytest.mark.parametrize(
    ("before", "task", "released"),
    [
        (runs(), TASK, False),
        (runs(ended=7), TASK, True),
        # Of an earlier use of the role in the same playbook.
        (runs(ended=6), TASK, False),
        (runs(), LAST, True),
        (runs(), {**LAST, "args": {"step": "switch"}}, False),
        (runs(), {}, False),
    ],
)
def test_a_release_given_to_its_last_step_is_released(before: Runs, task: dict[str, Any], released: bool) -> None:
    assert is_released(before, "a", task) is released


@pytest.mark.parametrize(
    ("before", "task", "abandoned", "line"),
    [
        (runs(changed=False), TASK, None, "Nothing was changed."),
        (runs(), LAST, None, "Serving now: new, which was proven before"),
        (runs(), TASK, {"msg": "the disk is full"}, "Not taken back: the disk is full"),
        (runs(), TASK, {}, "Not taken back: no answer"),
        (runs(), TASK, {"serving": None}, "Serving now: nothing (there was no release before)"),
        (runs(), TASK, {"serving": "old", "log": ["it raised"]}, "Serving now: old\n  it raised"),
    ],
)
def test_what_serves_is_said_after_the_reason(before: Runs, task: dict[str, Any], abandoned: Any, line: str) -> None:
    assert failure_text(before, "a", task, WHY, abandoned) == f"{task['name']}: no answer of the worker\n{line}\n"


def test_a_failure_without_words_is_said() -> None:
    assert failure_text(runs(changed=False), "a", TASK, {}).startswith("prove | Refuse: failed\n")


def test_a_failing_hook_is_said_with_its_file() -> None:
    assert hook_failure_text({"name": "Tell"}, {"msg": "no route"}, "hooks/tell.yml") == (
        "The hook on_failure failed, too: Tell: no route. Correct hooks/tell.yml"
    )
