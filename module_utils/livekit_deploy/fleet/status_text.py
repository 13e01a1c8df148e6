# SPDX-License-Identifier: Apache-2.0
"""The status of the fleet as one table: 30 hosts fit one screen. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..common.table import column_widths, heading_lines, table_line
from .status import BARE, EMPTY, SERVING, UNREACHABLE, UNREAD, age_seconds
from .status_notes import DRAINING, KINDS, jobs_left, short_release, with_count
from .types import StatusDocument, StatusNote, StatusRow

WIDTH, SCREEN_LINES = 120, 41  # of 45: the report callback adds the path of the JSON and three empty lines
LEAST_NOTES = 4
HEADINGS = ("host", "agent name", "pool", "release", "worker id", "since", "jobs", "load", "sdk", "verdict")
RELEASE, WORKER_ID, VERDICT = (HEADINGS.index(heading) for heading in ("release", "worker id", "verdict"))
# The columns that give way where a line is too long, each down to 9 characters: the share of the room that each keeps.
SHARES = {HEADINGS.index("host"): 5, HEADINGS.index("agent name"): 6, HEADINGS.index("pool"): 3}
NARROWEST = 9
MARK = "*"


def status_lines(document: StatusDocument) -> list[str]:
    """Return the document as text, at most WIDTH wide; what is true of many hosts is said once."""
    rows = document["hosts"]
    cells = fitted([HEADINGS, *(status_cells(host, row, document["time"]) for host, row in rows.items())])
    widths = widened(column_widths(cells), rows.values())
    hosts = [spanned(line, widths, row) for line, row in zip(cells[1:], rows.values(), strict=True)]
    marks = [" ", " ", *(MARK if row["notes"] else " " for row in rows.values())]
    lines = [*heading_lines(cells[0], widths), *hosts]
    table = [f"{mark} {line}" for mark, line in zip(marks, lines, strict=True)]
    return [*table, "", fleet_summary(document), *note_lines(rows, max(LEAST_NOTES, SCREEN_LINES - len(table) - 2))]


def status_cells(host: str, row: StatusRow, now: float) -> tuple[str, ...]:
    return (
        host,
        row["agent_name"] or "-",
        "-" if row["pool"] == host else str(row["pool"]),
        short_release(row["release"]) if row["release"] else "-",
        row["worker_id"] or "-",
        duration(age_seconds(row["since"], now)),
        jobs_cell(row),
        "-" if row["load"] is None else f"{row['load']:.2f}",
        row["sdk_version"] or "-",
        verdict_cell(row),
    )


def jobs_cell(row: StatusRow) -> str:
    if row["jobs"] is None:
        return "-"
    return f"{row['jobs']}+{jobs_left(row)}" if row["draining"] else str(row["jobs"])


def verdict_cell(row: StatusRow) -> str:
    verdict = row["verdict"]
    return f"{verdict['verdict']} {duration(verdict.get('age_seconds'))}" if verdict and verdict.get("verdict") else "-"


def duration(seconds: float | None) -> str:
    """Return how long, in the largest unit that is full: 40s, 12m, 3h, 9d."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


# --- what fits -------------------------------------------------------------------------------------------------------


def fitted(cells: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the cells such that a line fits; ids, times and figures are never cut."""
    columns = [list(column) for column in zip(*cells, strict=True)]
    widths = column_widths(cells)
    while sum(widths) + 2 * len(widths) > WIDTH:
        widest = max(SHARES, key=lambda column: widths[column] / SHARES[column] if widths[column] > NARROWEST else 0)
        if widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
    narrowed = (distinct(column, width) for column, width in zip(columns, widths, strict=True))
    return [list(line) for line in zip(*narrowed, strict=True)]


def distinct(texts: Sequence[str], width: int) -> list[str]:
    """Return texts in so many characters, cut where most of them can still be told apart."""
    cuts = [[cut_middle(text, width, head) for text in texts] for head in cut_places(width)]
    return max(cuts, key=lambda column: len(set(column)))


def cut_places(width: int) -> tuple[int, ...]:
    return (width - 1) // 3, 0, (width - 1) // 2, width - 1


def cut_middle(text: str, width: int, head: int) -> str:
    if len(text) <= width:
        return text
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def widened(widths: Sequence[int], rows: Iterable[StatusRow]) -> list[int]:
    """Return the widths with room for the longest reason, as far as the line has it."""
    missing = max((len(instead_of_release(row)) for row in rows), default=0) - reason_room(widths)
    more = max(0, min(missing, WIDTH - sum(widths) - 2 * len(widths)))
    return [*widths[:WORKER_ID], widths[WORKER_ID] + more, *widths[WORKER_ID + 1 :]]


def instead_of_release(row: StatusRow) -> str:
    """Return what stands instead of release and worker; empty for a host that serves."""
    return "" if row["state"] == SERVING else ": ".join(part for part in (row["state"], row["reason"]) if part)


def reason_room(widths: Sequence[int]) -> int:
    """Return the width of the columns between pool and verdict together."""
    return sum(widths[RELEASE:VERDICT]) + 2 * (VERDICT - RELEASE - 1)


def spanned(cells: Sequence[str], widths: Sequence[int], row: StatusRow) -> str:
    """Return a line; of a host that serves nothing with the reason instead of release and worker."""
    reason, room = instead_of_release(row), reason_room(widths)
    if not reason:
        return table_line(cells, widths)
    verdict = cells[VERDICT] if cells[VERDICT] != "-" else ""
    shown = [*cells[:RELEASE], cut_middle(reason, room, room // 3), verdict]
    return table_line(shown, [*widths[:RELEASE], room, widths[VERDICT]])


# --- below the table -------------------------------------------------------------------------------------------------


def fleet_summary(document: StatusDocument) -> str:
    states, hosts = document["states"], with_count(len(document["hosts"]), "host")
    listed = [state for state in (SERVING, EMPTY, BARE, UNREACHABLE, UNREAD) if states.get(state)]
    parts = ", ".join(f"{states[state]} {state}" for state in listed)
    return f"{hosts}: {parts}; {with_count(document['jobs'], 'job')}"


def note_lines(rows: Mapping[str, StatusRow], room: int) -> list[str]:
    """Return a line for each note, with all its hosts; as many as there is room for, the rest is counted."""
    hosts: dict[tuple[int, str], list[str]] = {}
    for host, row in rows.items():
        for note in row["notes"]:
            text = note_text(note, rows)
            hosts.setdefault((KINDS.index(note["kind"]), text), []).append(host)
    notes = [f"{MARK} {few_names(hosts[key])}: {key[1]}" for key in sorted(hosts, key=lambda key: key[0])]
    shown = notes if len(notes) <= room else notes[: room - 1]
    more = [f"  and {len(notes) - len(shown)} more: see the report"] if len(notes) > len(shown) else []
    return [cut_middle(line, WIDTH, WIDTH - 1) for line in shown] + more


def note_text(note: StatusNote, rows: Mapping[str, StatusRow]) -> str:
    """Return a note's text; one for all where several hosts drain."""
    draining = [row for row in rows.values() if row["draining"]]
    if note["kind"] != DRAINING or len(draining) <= 1:
        return note["text"]
    left = with_count(sum(jobs_left(row) for row in draining), "job")
    return f"workers of older releases still drain, {left} left (the second figure under jobs)"


def few_names(hosts: Iterable[str]) -> str:
    names = list(dict.fromkeys(hosts))
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"
