# SPDX-License-Identifier: Apache-2.0
"""Why a release failed on a host, and what serves there now: what its rescue has to know. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .run import Runs


def is_released(runs: Runs, host: str, task: Mapping[str, Any]) -> bool:
    """Return whether the release was proven and given to its last step, which takes nothing back however it ends.

    ``task`` is the one that failed, as ansible-core tells it: the last step may have had no answer to give.
    """
    last = task.get("action") == "agent_release" and (task.get("args") or {}).get("step") == "drain"
    return runs[host].ended or last


def failure_text(
    runs: Runs,
    host: str,
    task: Mapping[str, Any],
    result: Mapping[str, Any],
    abandoned: Mapping[str, Any] | None = None,
) -> str:
    """Return what failed, and what serves now; ``abandoned`` is what the step that takes a release back answered."""
    return "\n".join([said_by(task, result), *serving_lines(runs, host, task, abandoned or {})]) + "\n"


def hook_failure_text(task: Mapping[str, Any], result: Mapping[str, Any], file: str) -> str:
    return f"The hook on_failure failed, too: {said_by(task, result)}. Correct {file}"


def said_by(task: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    return f"{task.get('name')}: {result.get('msg') or 'failed'}"


def serving_lines(runs: Runs, host: str, task: Mapping[str, Any], abandoned: Mapping[str, Any]) -> list[str]:
    run = runs[host]
    if not run.replaces:
        return ["Nothing was changed."]
    if is_released(runs, host, task):
        return [f"Serving now: {run.plan['id']}, which was proven before"]
    if "serving" not in abandoned:
        return [f"Not taken back: {abandoned.get('msg') or 'no answer'}"]
    serving = abandoned["serving"] or "nothing (there was no release before)"
    return [f"Serving now: {serving}", *(f"  {line}" for line in abandoned.get("log") or [])]
