# SPDX-License-Identifier: Apache-2.0
"""Which kept release a rollback is made from, and which may be chosen."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ..machine import docker
from . import adopted, history, records
from .content import Content
from .errors import ReleaseError
from .plan import INVENTORY, Goal, choice_rows
from .store import Releases


def goal_content(releases: Releases, goal: Goal, source: Mapping[str, Any]) -> Content:
    if goal.kind == INVENTORY:
        return goal.content
    content = releases.content(source["id"])
    return content.named(goal.shared_name) if goal.kind == records.SHARED_NAME else content


def goal_source(releases: Releases, goal: Goal) -> tuple[dict[str, Any], list[str]]:
    """The record of the release that a rollback is made from, and the releases that ``previous`` passes over."""
    current = releases.current()
    if not current:
        raise ReleaseError("found no release that serves, expected one to roll back. Run deploy.yml")
    if goal.kind == records.SHARED_NAME and current.get("adopted"):
        raise ReleaseError(
            f"found: the adopted compose project {current['adopted']['project']} serves, expected a release, which can be made "
            "anew under another name. Run deploy.yml"
        )
    if goal.kind == records.SHARED_NAME:
        return current, []
    wanted, passed_over = release_before(releases, current) if goal.release == "previous" else (goal.release, [])
    found = kept_record(releases, wanted)
    trouble = refusal_of_choice(releases, goal.release, wanted, found, current)
    if passed_over and trouble:
        trouble += f"; {', '.join(passed_over)} has the content of {current['id']}, which serves"
    if trouble or found is None:
        raise ReleaseError(f"found: {trouble}, expected a release that served before. {choices_text(releases, current, passed_over)}")
    return found, passed_over


def kept_record(releases: Releases, release_id: str | None) -> dict[str, Any] | None:
    return releases.record(release_id) if release_id and records.ID_PATTERN.fullmatch(release_id) else None


def release_before(releases: Releases, current: Mapping[str, Any]) -> tuple[str | None, list[str]]:
    """The last release before the serving one that differs from it, and those between that do not: a forced release has the content of
    the one before, and going back to that would do nothing."""
    wanted, same = current.get("previous"), [current["id"]]
    while wanted not in same and (found := kept_record(releases, wanted)) and found.get("hash") == current["hash"]:
        same.append(found["id"])
        wanted = found.get("previous")
    return (None if wanted in same else wanted), same[1:]


def choices_text(releases: Releases, current: Mapping[str, Any], without: Collection[str] = ()) -> str:
    """The releases that a rollback may name."""
    kept = [one for one in releases.records() if one["id"] not in without]
    able = [one for one in kept if not refusal_of_choice(releases, one["id"], one["id"], one, current)]
    return f"To choose from: {'; '.join(choice_rows(able)) or 'none'}"


def refusal_of_choice(
    releases: Releases, asked: str, wanted: str | None, found: Mapping[str, Any] | None, current: Mapping[str, Any]
) -> str:
    is_adopted = bool(found and found.get("adopted"))
    # An adopted project is the same release at each try.
    failed = history.failed(history.entries(releases.history), wanted) if wanted and not is_adopted else None
    if wanted is None:
        return "no release before the serving one"
    if failed:
        return f"{wanted} failed on {failed['time']} ({failed['reason'] or failed['step']})"
    if wanted == current["id"]:
        return f"{wanted} serves already"
    if found is None:
        return f"no release {wanted} on this host" if wanted == asked else f"the release before this one, {wanted}, is not kept any more"
    if is_adopted:
        return adopted.why_not_startable(found, docker.containers(releases.run), current)
    return "" if found.get("served_at") else f"{wanted} never served"
