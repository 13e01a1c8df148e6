# SPDX-License-Identifier: Apache-2.0
"""The report of an eviction as text: who holds each name, what was done, what could not be looked at."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from ..common import commands
from ..common.table import terminal_table
from ..worker.types import StoppedWorker
from .types import EvictionDocument, HolderRow, NameEntry

WIDTH = 118
HEADINGS = ("worker id", "host", "since (UTC)", "jobs", "kept running by", "whose")
LONGEST_KEEPER = 26


def document_lines(document: EvictionDocument) -> list[str]:
    """Return the lines of ``evict.json``; blocks with an empty line between them."""
    blocks = [*name_blocks(document), nameless_lines(document), drained_lines(document), unread_lines(document)]
    return [line for block in [*blocks, *refusal_blocks(document)] if block for line in [*block, ""]][:-1]


def name_blocks(document: EvictionDocument) -> Iterator[list[str]]:
    for name, entry in document["names"].items():
        unknown = [worker for worker in document["on_no_known_host"] if worker["agent_name"] == name]
        labels = [(f"  {worker['worker_id']} is on no known host: ", worker["told"]) for worker in unknown]
        yield [*name_lines(name, entry), *(line for label, text in labels for line in wrapped(label, text))]


def name_lines(name: str, entry: NameEntry) -> Iterator[str]:
    yield f"{name}, of pool {', '.join(pool_text(pool, hosts) for pool, hosts in entry['pools'].items())}"
    how = f"{entry['verdict']}: {entry['reason']} (by {entry['method']}, {entry['seconds']} s)"
    yield from wrapped("  ", how if entry["verdict"] else "not asked in this run")
    yield from holder_lines(entry["workers"]) if entry["workers"] else ["  No worker was found under this name."]


def pool_text(pool: str, hosts: Sequence[str]) -> str:
    return f"{pool} ({', '.join(hosts)})" if hosts != [pool] else pool


def nameless_lines(document: EvictionDocument) -> list[str]:
    rows = document["name_not_known"]
    return ["Workers whose agent name could not be told:", *holder_lines(rows)] if rows else []


def holder_lines(rows: Sequence[HolderRow]) -> Iterator[str]:
    """Yield a table of workers, and below each what else is known of it."""
    heading, rule, *lines = terminal_table(HEADINGS, [holder_cells(row) for row in rows])
    yield from (f"  {heading}", f"  {rule}")
    for line, row in zip(lines, rows, strict=True):
        yield f"  {line}"
        yield from holder_details(row)


def holder_cells(row: HolderRow) -> tuple[str, ...]:
    whose = f"ours, pool {row['pool']}" if row["ours"] else "not of this inventory's releases"
    keeper = row["supervisor"]
    return (
        str(row["worker_id"] or row["state"] or "?"),
        row["host"],
        str(row["since"] or "?").replace("T", " ")[:19],
        "?" if row["active_jobs"] is None else str(row["active_jobs"]),
        keeper if len(keeper) <= LONGEST_KEEPER else keeper[: LONGEST_KEEPER - 1] + "…",
        whose + (", draining" if row["draining"] else ""),
    )


def holder_details(row: HolderRow) -> Iterator[str]:
    place = [str(row["container"]), f"project {row['project']}" if row["project"] else "", row["directory"] or ""]
    yield from wrapped("    ", ", ".join(part for part in place if part))
    if row["server"]:
        yield from wrapped("    ", f"registered at {row['server']}, which is another address than this inventory's")
    if row["draining"] or (row["ours"] and not row["evictable"]):
        return
    if not row["evictable"]:
        yield from wrapped("    not stopped from here: ", str(row["why_not"]))
    yield f"    stop it: {row['command']}"


def drained_lines(document: EvictionDocument) -> list[str]:
    done, chosen, checking = document["drained"], document["target"], document["check_mode"]
    if not done or not chosen:
        return []
    lines = [drained_text(done, chosen["host"], checking), *(f"  {command}" for command in done["commands"])]
    if (policy := done["policy"]) and not checking:
        was = f"was {policy['before']} and is {policy['after']}"
        lines.append(f"  Its restart policy {was}: it stays down when Docker starts.")
    if done["also_at_boot"]:
        lines.append(f"  It may start again at boot: {disable_command(done['supervisor'])}")
    start = done["start_command"] or "not known, it was removed when it ended"
    return [*lines, f"  To start it again, on {chosen['host']}: {start}"]


def disable_command(supervisor: Mapping[str, object]) -> str:
    user = supervisor.get("user")
    command = commands.shell("systemctl", *([] if user is None else ["--user"]), "disable", "--", supervisor["name"])
    return command if user is None else f"{command}  # as user {user}"


def drained_text(done: StoppedWorker, host: str, checking: bool) -> str:
    what = f"{done['container']} on {host}"
    if checking:
        return f"{what} would be told to stop:"
    if done["gone"]:
        return f"{what} has ended." if done["commands"] else f"{what} had ended before this run."
    not_begun = "was told to stop, and its log does not say yet that it has begun"
    begun = "takes no new call" if done["draining"] else not_begun
    jobs = "?" if done["active_jobs"] is None else done["active_jobs"]
    again = "Nothing ends them. Run the same again to see when it has ended."
    return f"{what} {begun}; calls it still has: {jobs}. {again}"


def unread_lines(document: EvictionDocument) -> list[str]:
    unread = [(host, text) for host, texts in document["not_read"].items() for text in texts]
    lines = [line for host, text in unread for line in wrapped(f"  {host}: ", text)]
    return ["Not looked at, so a worker there is in no list:", *lines] if lines else []


def refusal_blocks(document: EvictionDocument) -> Iterator[list[str]]:
    labels = (("found     ", "found"), ("expected  ", "expected"), ("to do     ", "remedy"))
    for refusal in document["problems"]:
        yield [line for label, key in labels for line in wrapped(label, refusal[key])]


def wrapped(label: str, text: str) -> list[str]:
    """Return ``label`` and the text beside it, in lines that fit a terminal."""
    wrap = textwrap.TextWrapper(WIDTH, initial_indent=label, subsequent_indent=" " * len(label))
    wrap.break_long_words = wrap.break_on_hyphens = False
    return wrap.wrap(text) or [label.rstrip()]
