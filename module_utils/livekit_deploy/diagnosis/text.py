# SPDX-License-Identifier: Apache-2.0
"""A diagnosis as a person reads it: a few lines for the terminal, and a document for a post-mortem. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from ..common.table import markdown_table
from .flow import destination_text
from .moments import utc
from .types import CauseFound, Diagnosis, DispatchExample, Flow, HostAnswer

WIDTH = 100
LABEL = 10
FEW_HOSTS = 2  # up to so many hosts with a cause have room for all of it
COMMANDS = ("ansible-playbook", "cd ", "docker ", "curl ", "timedatectl", "lk ", "echo ", "tail ", "systemctl ")


# --- for the terminal ------------------------------------------------------------------------------------------------


def labelled(label: str, text: str, lines: int) -> list[str]:
    """Return a text beside its label, cut after so many lines."""
    first = f"  {label:<{LABEL}}"
    wrap = textwrap.TextWrapper(WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
    wrap.max_lines, wrap.placeholder, wrap.break_on_hyphens = lines, " …", False
    return wrap.wrap(" ".join(text.split())) or [first]


def report_lines(answer: Diagnosis) -> list[str]:
    """Return the answer in at most 40 lines for three hosts: the cause, what shows it, what to do.

    A command is never broken.
    """
    hosts = answer["hosts"]
    few = len([name for name, entry in hosts.items() if entry["causes"]]) <= FEW_HOSTS
    lines = [text for problem in answer["inventory"][:2] for text in labelled("inventory", problem, 2)]
    for name, entry in hosts.items():
        lines += host_lines(name, entry, few)
    left_out = answer["not_read"]
    if left_out:
        lines += labelled("not read", left_out[0], 1 if len(left_out) > 1 else 2)
        lines += labelled("", f"and {len(left_out) - 1} more, see diagnose.md", 1) if len(left_out) > 1 else []
    return lines


def host_lines(name: str, entry: HostAnswer, few: bool) -> list[str]:
    text = f"{name} ({entry['agent_name']}): {entry['summary']}"
    head = textwrap.wrap(text, WIDTH, subsequent_indent="    ", max_lines=2, break_on_hyphens=False)
    asked = entry["outcome"] != "not_read" and (entry["flow"]["requests"] or entry["flow"]["dispatches"])
    lines = labelled("requests", flow_text(entry["flow"]), 2) if asked else []
    return head + lines + cause_lines(entry["causes"], few)


def cause_lines(causes: list[CauseFound], few: bool) -> list[str]:
    """Return the first cause with what shows it and what to do; the others only where there is room."""
    if not causes:
        return []
    first, *others = causes
    found: list[str] = []
    for text in first["evidence_for"]:
        found += labelled("" if found else "found", text, 2)
    also = labelled("also", "; ".join(cause["title"] for cause in others), 1) if others and few else []
    return found[: 6 if few else 3] + to_do(first["remedy"]) + also


def to_do(remedy: str) -> list[str]:
    """Return the steps of a remedy, each command on a line of its own."""
    lines: list[str] = []
    for text, command in steps(remedy):
        if text:
            lines += labelled("" if lines else "to do", f"{text}:" if command else text, 2)
        lines += [f"    {command}" if lines else f"  {'to do':<{LABEL}}{command}"] if command else []
    return lines[:5]


def steps(text: str) -> list[tuple[str, str]]:
    """Return the parts of a remedy: words, and what is to be typed."""
    found = []
    for part in text.split("; "):
        before, _, command = part.rpartition(": ")
        found.append((before, command) if command.startswith(COMMANDS) else (part, ""))
    return found


def flow_text(flow: Flow) -> str:
    """Say in one sentence where requests went."""
    seen, sent = "nginx's log was not read", "the API's log was not read"
    if flow["requests"] is not None:
        seen = f"nginx saw {request_count(flow['requests'])}{statuses(flow)}"
    if flow["dispatches"] is not None:
        sent = f"the API dispatched {flow['dispatches']}"
    seen += f" from {flow['requests_since']} on" if flow.get("requests_since") else ""
    sent += f" from {flow['dispatches_since']} on" if flow.get("dispatches_since") else ""
    return f"since {flow['since']} {seen}, {sent}{destinations_text(flow)}"


def destinations_text(flow: Flow) -> str:
    went = [f"{to['count']} to {destination_text(to)}" for to in flow["to"]]
    went += [f"{flow['unknown']} unknown"] if flow["traced"] else []
    newest = f" (of the newest {flow['traced']})" if flow["traced"] < (flow["dispatches"] or 0) else ""
    return f": {', '.join(went)}{newest}" if went else ""


def request_count(requests: int) -> str:
    return "1 request" if requests == 1 else f"{requests} requests"


def statuses(flow: Flow) -> str:
    found = ", ".join(f"{count} with {status}" for status, count in sorted(flow["by_status"].items()))
    return f" ({found})" if found else ""


# --- for a post-mortem -----------------------------------------------------------------------------------------------


def markdown(answer: Diagnosis) -> str:
    """Return all of it: problem, evidence for and against, cause, remedy, test, rollback, timeline, what is missing."""
    hosts = answer["hosts"]
    since = min((entry["since"] for entry in hosts.values()), default="")
    when = f"Diagnosis at {answer['at']} of what happened since {since}. All times are UTC."
    rows = [host_row(name, entry) for name, entry in hosts.items()]
    events = [(event["time"], event["event"]) for event in answer["timeline"]]
    parts = [
        "# Why do workers get no jobs?",
        f"{when} LiveKit server: {answer['server']}.",
        markdown_table(("host", "agent name", "routing verdict", "answer"), rows),
        *section("Wrong in the inventory", bullets(answer.get("inventory") or [])),
        *(part for name, entry in hosts.items() for part in host_parts(name, entry)),
        "## Timeline",
        markdown_table(("time", "what happened"), events),
        "## Not read",
        bullets(answer["not_read"]) or "Everything that was looked for could be read.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def host_row(name: str, entry: HostAnswer) -> tuple[str, ...]:
    return name, code(entry["agent_name"]), str(entry["verdict"] or "none"), entry["summary"]


def host_parts(name: str, entry: HostAnswer) -> list[str]:
    """Return a section for one host; a short one where nothing is wrong."""
    parts = [f"## {name}", answer_text(name, entry)]
    if entry["outcome"] in ("nothing_wrong", "not_read"):
        return parts
    for number, cause in enumerate(entry["causes"], 1):
        parts += cause_parts(cause, number, len(entry["causes"]))
    parts += section("Where dispatches went", dispatch_table(entry["flow"]["examples"]), level=3)
    parts += section("Not decided", bullets(f"{one['title']}: {one['why']}" for one in entry["unknown"]), level=3)
    ruled_out = [(one["title"], one["by"]) for one in entry["ruled_out"]]
    table = markdown_table(("not the cause", "ruled out by"), ruled_out) if ruled_out else ""
    return parts + section("Ruled out", table, level=3)


def answer_text(name: str, entry: HostAnswer) -> str:
    if entry["outcome"] == "not_read":
        return f"**{sentence(entry['summary'])}**"
    ids = f", worker {', '.join(entry['worker_ids'][-3:])}" if entry["worker_ids"] else ""
    what = f"release {entry['release']}" if entry["release"] else "no release"
    served = f"{name} serves {what} of agent {code(entry['agent_name'])}{ids}"
    words = [
        f"**{sentence(entry['summary'])}**",
        f"{served}; routing verdict: {entry['verdict'] or 'none'}.",
        sentence(flow_text(entry["flow"])),
    ]
    return " ".join(words)


def cause_parts(cause: CauseFound, number: int, count: int) -> list[str]:
    word = "Cause" if cause["certain"] else "Possible cause"
    heading = f"### {word}{f' {number}' if count > 1 else ''}: {cause['title']}"
    against = ["Against it:", bullets(cause["against"])] if cause["against"] else []
    what = [("Remedy", cause["remedy"]), ("How to test", cause["test"]), ("How to roll back", cause["rollback"])]
    todo = [f"**{title}:** {commands(text)}" for title, text in what]
    return [heading, "Evidence for it:", bullets(cause["evidence_for"]), *against, *todo]


def commands(text: str) -> str:
    """Return a remedy with what is to be typed set as code."""
    return "; ".join(step_text(words, command) for words, command in steps(text))


def step_text(words: str, command: str) -> str:
    return ": ".join(part for part in (words, code(command) if command else "") if part)


def dispatch_table(examples: Iterable[DispatchExample]) -> str:
    """Return some dispatches and the workers that got them; empty without any."""
    rows = [dispatch_row(one) for one in examples]
    return markdown_table(("dispatched", "room", "dispatch", "agent name", "went to"), rows) if rows else ""


def dispatch_row(one: DispatchExample) -> tuple[str, ...]:
    to = destination_text(one["to"]) if one["to"] else "unknown"
    return utc(one["time"]), code(one["room"]), code(one["dispatch_id"]), code(one["agent_name"]), to


def section(title: str, text: str, level: int = 2) -> list[str]:
    return [f"{'#' * level} {title}", text] if text else []


def sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?")) else ".")


def bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {' '.join(str(item).split())}" for item in items)


def code(text: str | None) -> str:
    return f"`{text}`" if text else "none"
