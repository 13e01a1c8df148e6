# SPDX-License-Identifier: Apache-2.0
"""Which kept release a rollback is made from."""

from __future__ import annotations

from . import choices, records
from .content import Content
from .errors import ReleaseError
from .plan import INVENTORY, Goal
from .records import Record
from .store import Releases


def goal_content(releases: Releases, goal: Goal, source: Record | None) -> Content | None:
    """The content of the release that is to serve; an adopted project has none."""
    if source is None:
        return goal.content
    if source.get("adopted"):
        return None
    content = releases.content(source["id"])
    return content.named(goal.shared_name) if goal.kind == records.SHARED_NAME else content


def goal_source(releases: Releases, goal: Goal) -> tuple[Record | None, list[str]]:
    """The record of the release that a rollback is made from, and the releases that ``previous`` passes over."""
    if goal.kind == INVENTORY:
        return None, []
    current = releases.current()
    if not current:
        raise ReleaseError("found no release that serves, expected one to roll back. Run deploy.yml")
    if goal.kind == records.SHARED_NAME and current.get("adopted"):
        raise ReleaseError(
            f"found: the adopted compose project {current['adopted']['project']} serves, expected a release, which can "
            "be made anew under another name. Run deploy.yml"
        )
    if goal.kind == records.SHARED_NAME:
        return current, []
    wanted, passed_over = last_different(releases, current) if goal.release == "previous" else (goal.release, [])
    found = choices.kept_record(releases, wanted)
    trouble = choices.refusal_of_choice(releases, wanted, current, goal.release)
    if passed_over and trouble:
        trouble += f"; {', '.join(passed_over)} has the content of {current['id']}, which serves"
    if trouble or found is None:
        able = choices.choices_text(releases, current, passed_over)
        raise ReleaseError(f"found: {trouble}, expected a release that served before. {able}")
    return found, passed_over


def last_different(releases: Releases, current: Record) -> tuple[str | None, list[str]]:
    """The last release before the serving one that differs from it, and those between that do not: a forced release has
    the content of the one before, and going back to that would do nothing."""
    wanted, same = current.get("previous"), [current["id"]]
    while wanted not in same and (found := choices.kept_record(releases, wanted)):
        if found.get("hash") != current["hash"]:
            break
        same.append(found["id"])
        wanted = found.get("previous")
    return (None if wanted in same else wanted), same[1:]
