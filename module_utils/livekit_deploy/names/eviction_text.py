# SPDX-License-Identifier: Apache-2.0
"""The report of an eviction as text: who holds each name, what was done, what could not be looked at."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..common import commands

WIDTH = 118
HEADINGS = ("worker id", "host", "since (UTC)", "jobs", "kept running by", "whose")
LONGEST_KEEPER = 26


def lines(document: Mapping[str, Any]) -> list[str]:
    """The lines of ``evict.json``; blocks with an empty line between them."""
    blocks = [*name_blocks(document), nameless(document), drained(document), unread(document), *problems(document)]
    return [line for block in blocks if block for line in [*block, ""]][:-1]


def name_blocks(document: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, entry in document["names"].items():
        strangers = [stranger for stranger in document["on_no_known_host"] if stranger["agent_name"] == name]
        told = [line for stranger in strangers for line in wrapped(f"  {stranger['worker_id']} is on no known host: ", stranger["told"])]
        yield [*name_lines(name, entry), *told]


def name_lines(name: str, entry: Mapping[str, Any]) -> Iterator[str]:
    pools = ", ".join(f"{pool} ({', '.join(hosts)})" if hosts != [pool] else pool for pool, hosts in entry["pools"].items())
    yield f"{name}, of pool {pools}"
    how = f"{entry['verdict']}: {entry['reason']} (by {entry['method']}, {entry['seconds']} s)"
    yield from wrapped("  ", how if entry["verdict"] else "not asked in this run")
    yield from table(entry["workers"]) if entry["workers"] else ["  No worker was found under this name."]


def nameless(document: Mapping[str, Any]) -> list[str]:
    rows = document["name_not_known"]
    return ["Workers whose agent name could not be told:", *table(rows)] if rows else []


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    cells = [HEADINGS, *(cells_of(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    for number, line in enumerate(cells):
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        if number == 0:
            yield "  " + "  ".join("-" * width for width in widths)
        else:
            yield from details(rows[number - 1])


def cells_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    whose = f"ours, pool {row['pool']}" if row["ours"] else "not of this inventory's releases"
    jobs = "?" if row["active_jobs"] is None else str(row["active_jobs"])
    since = str(row["since"] or "?").replace("T", " ")[:19]
    keeper = row["supervisor"]
    return (
        str(row["worker_id"] or row["state"] or "?"),
        row["host"],
        since,
        jobs,
        keeper if len(keeper) <= LONGEST_KEEPER else keeper[: LONGEST_KEEPER - 1] + "…",
        whose + (", draining" if row["draining"] else ""),
    )


def details(row: Mapping[str, Any]) -> Iterator[str]:
    place = [str(row["container"]), f"project {row['project']}" if row["project"] else "", row["directory"] or ""]
    yield from wrapped("    ", ", ".join(part for part in place if part))
    if row["server"]:
        yield from wrapped("    ", f"registered at {row['server']}, which is another address than this inventory's")
    if row["draining"] or (row["ours"] and not row["evictable"]):
        return
    if not row["evictable"]:
        yield from wrapped("    not stopped from here: ", str(row["why_not"]))
    yield f"    stop it: {row['command']}"


def drained(document: Mapping[str, Any]) -> list[str]:
    done = document["drained"]
    if not done:
        return []
    host = document["target"]["host"]
    told = [drained_line(done, host, document["check_mode"]), *(f"  {command}" for command in done["commands"])]
    if done["policy"] and not document["check_mode"]:
        before, after = done["policy"]["before"], done["policy"]["after"]
        told.append(f"  Its restart policy was {before} and is {after}: it stays down when Docker starts.")
    if done["also_at_boot"]:
        told.append(f"  It may start again at boot: {disable(done['supervisor'])}")
    return [*told, f"  To start it again, on {host}: {done['start_command'] or 'not known, it was removed when it ended'}"]


def disable(supervisor: Mapping[str, Any]) -> str:
    user = supervisor.get("user")
    command = commands.shell("systemctl", *([] if user is None else ["--user"]), "disable", "--", supervisor["name"])
    return command if user is None else f"{command}  # as user {user}"


def drained_line(done: Mapping[str, Any], host: str, checking: bool) -> str:
    what = f"{done['container']} on {host}"
    if checking:
        return f"{what} would be told to stop:"
    if done["gone"]:
        return f"{what} has ended." if done["commands"] else f"{what} had ended before this run."
    begun = "takes no new call" if done["draining"] else "was told to stop, and its log does not say yet that it has begun"
    jobs = "?" if done["active_jobs"] is None else done["active_jobs"]
    return f"{what} {begun}; calls it still has: {jobs}. Nothing ends them. Run the same again to see when it has ended."


def unread(document: Mapping[str, Any]) -> list[str]:
    told = [line for host, texts in document["not_read"].items() for text in texts for line in wrapped(f"  {host}: ", text)]
    return ["Not looked at, so a worker there is in no list:", *told] if told else []


def problems(document: Mapping[str, Any]) -> Iterator[list[str]]:
    labels = (("found     ", "found"), ("expected  ", "expected"), ("to do     ", "remedy"))
    for problem in document["problems"]:
        yield [line for label, key in labels for line in wrapped(label, problem[key])]


def wrapped(label: str, text: str) -> list[str]:
    """``label`` and the text beside it, in lines that fit a terminal."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=label, subsequent_indent=" " * len(label), break_long_words=False, break_on_hyphens=False
    ) or [label.rstrip()]
