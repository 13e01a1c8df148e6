# SPDX-License-Identifier: Apache-2.0
"""Verdicts that a controller remembers of each host until the next one. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..diagnosis.types import Routing
from .types import ProvenRow, VerdictEntry

VERDICTS = "verdicts.json"
# Verdicts of which a row may be good; its check "routing" says whether the run accepts one that is inconclusive. An
# unknown verdict is never good.
GOOD_VERDICTS = frozenset({"exclusive", "shared", "inconclusive"})


def row_is_good(row: ProvenRow | None) -> bool:
    """Tell whether a row is good; one without a verdict (a playbook that proves nothing) is when no check failed."""
    if row is None:
        return False
    verdict = row.get("verdict")
    # On a name that is shared on purpose others are expected.
    good = verdict is None or verdict in GOOD_VERDICTS or (verdict == "foreign" and bool(row.get("on_purpose")))
    return good and all(check.get("ok") for check in row.get("checks") or [])


def verdict_entries(rows: Mapping[str, ProvenRow], at: str, playbook: str) -> dict[str, VerdictEntry]:
    """Return what is remembered of each host whose verdict was decided."""
    decided = {host: row for host, row in rows.items() if isinstance(row, Mapping) and row.get("verdict")}
    return {str(host): verdict_entry(row, at, playbook) for host, row in decided.items()}


def verdict_entry(row: ProvenRow, at: str, playbook: str) -> VerdictEntry:
    routing, good = row.get("routing") or Routing(), row_is_good(row)
    return {
        "verdict": row["verdict"],
        "ok": good,
        "reason": (routing.get("reason") if good else None) or row.get("reason"),
        "method": routing.get("method"),
        "at": at,
        "playbook": playbook,
        "agent_name": row.get("agent_name"),
        "release": row.get("release"),
    }


def remembered_verdicts(text: str | None) -> tuple[dict[str, VerdictEntry], str]:
    """Return the remembered verdicts by host, and what is wrong with the file; None is no file yet."""
    if text is None:
        return {}, ""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        return {}, f"it is no JSON ({error})"
    if not isinstance(found, dict):
        return {}, f"found {type(found).__name__}, expected an object with an entry for each host"
    entries: Any = {host: entry for host, entry in found.items() if isinstance(entry, dict)}
    broken = ", ".join(sorted(found.keys() - entries.keys()))
    return entries, f"no entry can be read for {broken}" if broken else ""
