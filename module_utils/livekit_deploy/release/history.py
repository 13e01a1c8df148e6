# SPDX-License-Identifier: Apache-2.0
"""What was done to the releases of a host: ``history.jsonl``, one JSON object a line, oldest first. Written whole each time, so that a
crash leaves the old text or the new one."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..common import times
from ..common.files import write_atomically
from ..common.text import parsed_object
from .lock import Record

RELEASED, TAKEN_BACK, KEPT, INTERRUPTED = "released", "taken back", "failed, but kept", "interrupted"
NOT_REMOVED = "not removed yet"
KEEP = 1000


def entries(path: Path) -> list[dict[str, Any]]:
    """All entries; a line that a hand has broken is left out."""
    found = []
    text = path.read_bytes().decode(errors="replace") if path.is_file() else ""
    for line in text.splitlines():
        entry = parsed_object(line)
        found += [entry] if entry else []
    return found


def append(path: Path, entry: Mapping[str, Any]) -> None:
    lines = [json.dumps(one, ensure_ascii=False) for one in [*entries(path)[1 - KEEP :], entry]]
    write_atomically(path, "\n".join(lines) + "\n")


def entry_of(record: Record, outcome: str, verdict: str | None = None, reason: str = "") -> dict[str, Any]:
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


def failed(found: list[dict[str, Any]], release_id: str) -> dict[str, Any] | None:
    """The latest entry that says a release failed and was taken back; None where it never was, or served since."""
    about = [entry for entry in found if entry.get("to") == release_id]
    return about[-1] if about and about[-1]["outcome"] == TAKEN_BACK else None
