# SPDX-License-Identifier: Apache-2.0
"""The report of a run as text: a table, what failed and why, and whether the run was whole. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from ..common.table import terminal_table
from ..play import access
from .types import ReportRow, RunDocument

WIDTH = 100
HEADINGS = ("host", "agent name", "release", "worker id", "latency", "verdict")
NO_HOST = "No host of the group agent_hosts was in this run: nothing was done and nothing was proven."


def report_table(document: RunDocument) -> list[str]:
    """Return the document as lines of text: a row a host, and under it what is wrong and what to do."""
    hosts = document["hosts"]
    if not hosts:
        return [NO_HOST]
    lines = terminal_table(HEADINGS, [report_cells(name, row) for name, row in hosts.items()])
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, row in hosts.items():
        alike.setdefault(tuple(explanation(row)), []).append(name)
    for found, names in alike.items():
        if found:  # what is the same for many hosts is said once
            lines += ["", f"{', '.join(names)}: {found[0]}", *found[1:]]
    return lines


def report_cells(name: str, row: ReportRow) -> tuple[str, ...]:
    latency = row["probe"]["latency_seconds"]
    worker = row["probe"]["worker_id"] or ", ".join(row["worker_ids"])
    seconds = f"{latency:.2f} s" if isinstance(latency, int | float) else "-"
    verdict = row["verdict"] or ("failed" if row["reason"] else "-")
    return name, row["agent_name"] or "-", row["release"] or "-", worker or "-", seconds, verdict


def explanation(row: ReportRow) -> list[str]:
    """Return the verdict and what is behind it, a line each; nothing for a host with nothing to explain."""
    failed = [check for check in row["checks"] if not check["ok"]]
    if not failed and not row["reason"]:
        return []
    lines = [row["verdict"] or "failed"]
    if row["reason"]:
        lines += explained_lines("reason", row["reason"], "  ")
    for check in failed:
        lines.append(f"  check {check['name']} failed")
        for label, key in (("found", "found"), ("expected", "expected"), ("to do", "remedy")):
            lines += explained_lines(label, check[key], "    ")
    return lines


def explained_lines(label: str, value: object, indent: str) -> list[str]:
    """Return `label  text`, the text wrapped beside its label."""
    text = plain_text(value) if value not in (None, "") else "-"
    first = f"{indent}{label:<10}"
    rest = " " * len(first)
    wrap = textwrap.TextWrapper(WIDTH - len(first), break_long_words=False, break_on_hyphens=False)
    pieces = [piece for line in text.splitlines() for piece in wrap.wrap(line) or [""]] or ["-"]
    return [f"{rest if number else first}{piece}" for number, piece in enumerate(pieces)]


def plain_text(value: object) -> str:
    if isinstance(value, list | tuple):
        return "\n".join(plain_text(item) for item in value)
    return "" if value is None else str(value).strip()


# --- why a run is not good -------------------------------------------------------------------------------------------


def idle_reason(playbook: str, options: Mapping[str, str]) -> str:
    """Return why nothing ran; ``options`` are those of the command line that leave tasks or hosts out."""
    found = " ".join(f"{name} {value}" for name, value in options.items())
    remedy = f"{found} leaves nothing of it. Run it again without, or correct the value"
    nothing = f"found no task of {playbook} that ran on an agent host, expected some"
    why = remedy if found else "no agent host is in it"
    return f"Nothing was done and nothing was proven: {nothing}; {why}."


def part_reason(tasks: int, options: Mapping[str, str]) -> str:
    """Return what a run was that left tasks out, or began in the middle; nothing for a whole one."""
    if start := options.get("--start-at-task"):
        began = f"it began at the task {start}, and what comes before was not done"
        return f"This run is not whole: {began}. Nothing is good that rests on it."
    found = " ".join(f"{name} {options[name]}" for name in ("--tags", "--skip-tags") if name in options)
    whole = f"This run is not whole: {found} left out {tasks} tasks. Nothing is good that rests on them."
    return whole if tasks else ""


def failure_message(result: Mapping[str, object], task: str, sums_up: bool) -> str:
    """Return what a failed task says, with the task's name before it unless the task was written to say it."""
    texts = [{**one, "msg": plain_text(one.get("msg"))} for one in (*failed_items(result), result)]
    message = next((access.said(one) for one in texts if one["msg"]), "") or access.failure(wordless(result))
    return message if sums_up else f"{task}: {message}"


def failed_items(result: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Return the items of a loop that failed."""
    items = result.get("results")
    listed = items if isinstance(items, list | tuple) else []
    return [item for item in listed if isinstance(item, Mapping) and item.get("failed")]


def wordless(result: Mapping[str, object]) -> str:
    """Return what there is of a failure without a message."""
    shown = plain_text(result.get("stderr")) or plain_text(result.get("censored"))
    return shown or "failed without a message"
