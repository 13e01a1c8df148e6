# SPDX-License-Identifier: Apache-2.0
"""What was done to the releases of a host: ``history.jsonl``, one JSON object a line, oldest first. Written whole each
time, so that a crash leaves the old text or the new one."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, TypedDict, cast

from ..common import times
from ..common.files import write_atomically
from ..common.text import parsed_object
from .lock import LockRecord, step_name

RELEASED, TAKEN_BACK, KEPT, INTERRUPTED = "released", "taken back", "failed, but kept", "interrupted"
NOT_REMOVED = "not removed yet"
KEEP = 1000


# Keys that are no Python names: the releases before and after.
FromTo = TypedDict("FromTo", {"from": "str | None", "to": "str | None"}, total=False)


class Entry(FromTo, total=False):
    """A line of ``history.jsonl``: how one run on this host went."""

    time: str  # when it ended
    begun: str
    by: str | None  # who ran it
    purpose: str  # deploy, rollback or remove
    agent_name_from: str | None
    agent_name_to: str | None
    verdict: str | None  # what was proven
    outcome: str  # see RELEASED and those beside it
    step: str | None  # the latest step
    reason: str | None  # why it failed
    steps: dict[str, float]  # the seconds of each step, and of what was done after it


def history_entries(path: Path) -> list[Entry]:
    """All entries; a line that a hand has broken is left out."""
    found: list[Entry] = []
    text = path.read_bytes().decode(errors="replace") if path.is_file() else ""
    for line in text.splitlines():
        entry = parsed_object(line)
        found += [renamed(entry)] if entry else []
    return found


def renamed(entry: dict[str, Any]) -> Entry:
    """Return an entry with today's words for its steps."""
    if isinstance(entry.get("step"), str):
        entry["step"] = step_name(entry["step"])
    if isinstance(entry.get("steps"), dict):
        entry["steps"] = {step_name(name): seconds for name, seconds in entry["steps"].items()}
    return cast(Entry, entry)


def append(path: Path, entry: Entry) -> None:
    lines = [json.dumps(one, ensure_ascii=False) for one in [*history_entries(path)[1 - KEEP :], entry]]
    write_atomically(path, "\n".join(lines) + "\n")


def run_entry(record: LockRecord, outcome: str, verdict: str | None = None, reason: str = "") -> Entry:
    """One entry from the lock's record of a run: who, what, from, to, how it ended, the seconds of each step."""
    return {
        "time": times.stamp(time.time()),
        "begun": times.stamp(record.taken),
        "by": record.owner.name if record.owner else None,
        "purpose": record.purpose,
        "from": record.change.get("from"),
        "to": record.change.get("to"),
        "agent_name_from": record.change.get("agent_name_from"),
        "agent_name_to": record.change.get("agent_name_to"),
        "verdict": verdict,
        "outcome": outcome,
        "step": record.step or None,
        "reason": reason or None,
        "steps": dict(record.steps),
    }


def failed_run(found: list[Entry], release_id: str) -> Entry | None:
    """The latest entry that says a release failed and was taken back; None where it never was, or served since."""
    about = [entry for entry in found if entry.get("to") == release_id]
    return about[-1] if about and about[-1]["outcome"] == TAKEN_BACK else None
