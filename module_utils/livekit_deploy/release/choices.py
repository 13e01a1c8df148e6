# SPDX-License-Identifier: Apache-2.0
"""Which kept releases a rollback may choose from, and why not the others."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ..machine import docker
from . import adopted, history, records
from .records import Record
from .store import Releases


def kept_record(releases: Releases, release_id: str | None) -> Record | None:
    return releases.record(release_id) if release_id and records.ID_PATTERN.fullmatch(release_id) else None


def choices_text(releases: Releases, current: Record, without: Collection[str] = ()) -> str:
    """The releases that a rollback may name."""
    kept = [one for one in releases.records() if one["id"] not in without]
    able = [one for one in kept if not refusal_of_choice(releases, one["id"], current)]
    return f"To choose from: {'; '.join(choice_rows(able)) or 'none'}"


def refusal_of_choice(releases: Releases, wanted: str | None, current: Record, asked: str = "") -> str:
    """Why a release is none to go back to; ``asked`` is how it was called, an id or ``previous``."""
    if wanted is None:
        return "no release before the serving one"
    found = kept_record(releases, wanted)
    is_adopted = bool(found and found.get("adopted"))
    # An adopted project is the same release at each try.
    failed = None if is_adopted else history.failed_run(history.history_entries(releases.history), wanted)
    if failed:
        return f"{wanted} failed on {failed['time']} ({failed['reason'] or failed['step']})"
    if wanted == current["id"]:
        return f"{wanted} serves already"
    if found is None:
        gone = f"the release before this one, {wanted}, is not kept any more"
        return f"no release {wanted} on this host" if wanted == asked else gone
    if is_adopted:
        return adopted.why_not_startable(found, docker.containers(releases.run), current)
    return "" if found.get("served_at") else f"{wanted} never served"


def choice_rows(kept: Sequence[Record]) -> list[str]:
    """The releases that a host can be rolled back to, newest first, a line each."""
    return [f"{one['id']} ({one['agent_name']}, served from {one['served_at']})" for one in reversed(kept)]
