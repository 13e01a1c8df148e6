# SPDX-License-Identifier: Apache-2.0
"""What the fleet serves, as one document and one table: 30 hosts fit one screen. Pure; what could not be read is said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..common.times import epoch
from ..play import access
from ..play.run import STATUS, HostRun, Runs

WIDTH, SCREEN_LINES = 120, 41  # of 45: the report callback adds the path of the JSON and three empty lines
LEAST_NOTES = 4
HEADINGS = ("host", "agent name", "pool", "release", "worker id", "since", "jobs", "load", "sdk", "verdict")
RELEASE, WORKER_ID, VERDICT = (HEADINGS.index(heading) for heading in ("release", "worker id", "verdict"))
# The columns that give way where a line is too long, each down to 9 characters: the share of the room that each should keep.
SHARES = {HEADINGS.index("host"): 5, HEADINGS.index("agent name"): 6, HEADINGS.index("pool"): 3}
NARROWEST = 9
SERVING, EMPTY, BARE, UNREACHABLE, UNREAD = "serving", "no release", "not provisioned", "unreachable", "unread"
UNFINISHED = ("staged", "switching")
MARK = "*"
# Kinds of notes, the most pressing first.
WORKER, STRANGER, VERDICT_NOTE, DRIFT, STAGED, DRAINING = "worker", "other worker", "verdict", "drift", "unfinished", "draining"
BACK = "rolled back"
KINDS = (WORKER, STRANGER, VERDICT_NOTE, BACK, DRIFT, STAGED, DRAINING)


def fleet(runs: Runs, hosts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What the inventory says of each host and what was read there, for `deployment_status_info`."""
    return {host: member(runs[host]) for host in hosts}


def member(run: HostRun) -> dict[str, Any]:
    read = run.result(STATUS)
    said = {"agent_name": text_of(run, "livekit_agent_name"), "pool": text_of(run, "livekit_agent_pool") or run.name}
    if "workers" in read:
        return {**said, "evidence": read}
    return {**said, "evidence": {}, "unreachable": bool(read.get("unreachable")), "unread": why(access.said(read) or "it was not asked")}


def text_of(run: HostRun, name: str) -> str:
    """A variable as text; empty where it is missing or cannot be made: a status tells what is, it does not refuse."""
    try:
        value = run.setting(name)
    except Exception:
        return ""
    return "" if value is None else str(value)


def why(message: str) -> str:
    """One line of a message of Ansible: what ssh itself said where it did, without its warnings."""
    lines = [line.strip() for line in access.without_prefix(message).rpartition("over ssh: ")[2].splitlines()]
    return next((line for line in lines if line and not line.startswith("Warning: ")), "no message")


# --- the document ----------------------------------------------------------------------------------------------------


def document(hosts: Mapping[str, Mapping[str, Any]], verdicts: Mapping[str, Mapping[str, Any]], now: float) -> dict[str, Any]:
    """Everything the table tells, and more, for machines."""
    rows = {host: row_of(given, dict(verdicts.get(host) or {}), now) for host, given in hosts.items()}
    states = Counter(row["state"] for row in rows.values())
    jobs = sum((row["jobs"] or 0) + jobs_left(row) for row in rows.values())
    return {"time": now, "states": dict(states), "jobs": jobs, "hosts": rows}


def row_of(given: Mapping[str, Any], verdict: dict[str, Any], now: float) -> dict[str, Any]:
    evidence = given.get("evidence") or {}
    record = evidence.get("release") or {}
    release, states = record.get("id"), evidence.get("states") or {}
    workers = list(evidence.get("workers") or [])
    ours = [worker for worker in workers if worker.get("release") in states and worker.get("running")]
    serving: dict[str, Any] = next((worker for worker in ours if worker.get("release") == release), {})
    back = record.get("rolled_back")
    draining = [drained(worker) for worker in ours if worker.get("release") != release and states[worker["release"]] not in UNFINISHED]
    row = {
        "agent_name": (record.get("agent_name") if back else given.get("agent_name")) or None,
        "rolled_back": back,
        "pool": given.get("pool"),
        "state": state_of(given, evidence),
        "reason": given.get("unread") or ", ".join(evidence.get("missing") or []) or None,
        "release": release,
        "served_since": record.get("served_at"),
        "worker_ids": [worker["worker_id"] for worker in ours if worker.get("worker_id")],
        "worker_id": serving.get("worker_id"),
        "since": serving.get("registered_since"),
        "jobs": serving.get("active_jobs"),
        "load": serving.get("load"),
        "sdk_version": serving.get("sdk_version"),
        "draining": draining,
        "drift": list(evidence.get("drift") or []),
        "unfinished": [name for name in evidence.get("leftovers") or [] if states.get(name) in UNFINISHED],
        "verdict": {**verdict, "age_seconds": age_of(verdict.get("at"), now)} if verdict else None,
    }
    strangers = [worker for worker in workers if worker.get("running") and worker not in ours and name_of(worker) == row["agent_name"]]
    return {**row, "notes": notes_of(row, serving, strangers)}


def name_of(worker: Mapping[str, Any]) -> Any:
    return worker.get("agent_name") or worker.get("answered_name")


def drained(worker: Mapping[str, Any]) -> dict[str, Any]:
    return {key: worker.get(key) for key in ("release", "worker_id", "active_jobs")}


def state_of(given: Mapping[str, Any], evidence: Mapping[str, Any]) -> str:
    if given.get("unreachable"):
        return UNREACHABLE
    if given.get("unread") or not evidence:
        return UNREAD
    if evidence.get("missing"):
        return BARE
    return SERVING if evidence.get("release") else EMPTY


def age_of(at: Any, now: float) -> float | None:
    """Seconds since a time as it is logged or recorded; None where it cannot be read."""
    moment = epoch(at)
    return None if moment is None else round(max(0.0, now - moment), 1)


def jobs_left(row: Mapping[str, Any]) -> int:
    return sum(entry["active_jobs"] or 0 for entry in row["draining"])


def notes_of(row: Mapping[str, Any], serving: Mapping[str, Any], strangers: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What a person should know of this host beyond its line, a sentence each."""
    texts = {
        WORKER: trouble_of_worker(row, serving) if row["state"] == SERVING else [],
        STRANGER: [f"another worker on the host has the name: {w.get('container')} ({w.get('worker_id') or 'no id'})" for w in strangers],
        VERDICT_NOTE: trouble_of_verdict(row),
        BACK: [back_note(row)] if row["rolled_back"] else [],
        DRIFT: [f"drift: {sentence}" for sentence in row["drift"]],
        STAGED: [f"release {short_release(name)} was left unfinished; the next deployment clears it" for name in row["unfinished"]],
        DRAINING: [drain_note(entry) for entry in row["draining"]],
    }
    return [{"kind": kind, "text": text} for kind in KINDS for text in texts[kind]]


def trouble_of_worker(row: Mapping[str, Any], worker: Mapping[str, Any]) -> list[str]:
    if not worker:
        return [] if any("agent-worker is not running" in sentence for sentence in row["drift"]) else ["no worker of the release runs"]
    said = []
    if not worker.get("worker_id"):
        said.append("the worker's log has no registration: it never registered, or the log has rotated")
    elif not worker.get("connected"):
        said.append("the worker lost its connection to the LiveKit server and has not registered again")
    if row["agent_name"] and name_of(worker) not in (None, row["agent_name"]):
        said.append(f"the worker registered as {name_of(worker)}, the inventory says {row['agent_name']}")
    said += [text for key, text in (("draining", "the serving worker drains"), ("full", "the worker is full")) if worker.get(key)]
    if worker.get("restarts"):
        said.append(f"the worker's container was restarted {worker['restarts']} times by Docker")
    return said


def trouble_of_verdict(row: Mapping[str, Any]) -> list[str]:
    verdict = row["verdict"] or {}
    said = []
    if verdict and not verdict.get("ok", True):
        said.append(f"the last {verdict.get('playbook') or 'run'} said {verdict.get('verdict')}: {verdict.get('reason')}")
    if verdict.get("agent_name") and row["agent_name"] and verdict["agent_name"] != row["agent_name"]:
        said.append(f"the last verdict is about the name {verdict['agent_name']}, not {row['agent_name']}")
    elif verdict.get("release") and row["release"] and verdict["release"] != row["release"]:
        said.append(f"the last verdict is about release {short_release(verdict['release'])}, not the one that serves")
    return said


def drain_note(entry: Mapping[str, Any]) -> str:
    jobs = entry["active_jobs"]
    busy = "its jobs could not be read" if jobs is None else f"{counted(jobs, 'job')} left"
    return f"release {short_release(entry['release'])} still drains: {busy} ({entry['worker_id'] or 'no id'})"


def back_note(row: Mapping[str, Any]) -> str:
    back = row["rolled_back"]
    what = "to the shared name" if back["kind"] == "shared_name" else f"to release {short_release(back['to'])}"
    return f"rolled back {what} on purpose at {back['at']}, serves {row['agent_name']}; the next deployment ends that"


def short_release(release: str) -> str:
    """The date part of a release id, to the minute: what a glob on the host takes, and short."""
    return str(release).partition("-")[0][:13]


# --- the table -------------------------------------------------------------------------------------------------------


def lines(document: Mapping[str, Any]) -> list[str]:
    """The document as text, at most WIDTH wide; what is true of many hosts is told once."""
    rows = document["hosts"]
    cells = shortened([HEADINGS, *(cells_of(host, row, document["time"]) for host, row in rows.items())])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lacking = max((len(instead_of(row)) for row in rows.values()), default=0) - room_of(widths)
    widths[WORKER_ID] += max(0, min(lacking, WIDTH - sum(widths) - 2 * len(widths)))
    ruled = [joined(cells[0], widths), joined(["-" * width for width in widths], widths)]
    hosts = [spanned(line, widths, row) for line, row in zip(cells[1:], rows.values(), strict=True)]
    marks = [" ", " ", *(MARK if row["notes"] else " " for row in rows.values())]
    table = [f"{mark} {line}" for mark, line in zip(marks, [*ruled, *hosts], strict=True)]
    return [*table, "", summary(document), *told(rows, max(LEAST_NOTES, SCREEN_LINES - len(table) - 2))]


def cells_of(host: str, row: Mapping[str, Any], now: float) -> tuple[str, ...]:
    verdict = row["verdict"] or {}
    jobs, load = row["jobs"], row["load"]
    return (
        host,
        row["agent_name"] or "-",
        "-" if row["pool"] == host else str(row["pool"]),
        short_release(row["release"]) if row["release"] else "-",
        row["worker_id"] or "-",
        duration(age_of(row["since"], now)),
        "-" if jobs is None else f"{jobs}+{jobs_left(row)}" if row["draining"] else str(jobs),
        "-" if load is None else f"{load:.2f}",
        row["sdk_version"] or "-",
        f"{verdict['verdict']} {duration(verdict.get('age_seconds'))}" if verdict.get("verdict") else "-",
    )


def duration(seconds: float | None) -> str:
    """How long, in the largest unit that is full: 40s, 12m, 3h, 9d."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def shortened(cells: Sequence[Sequence[str]]) -> list[list[str]]:
    """The cells such that a line fits; ids, times and figures are never cut."""
    columns = [list(column) for column in zip(*cells, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    while sum(widths) + 2 * len(widths) > WIDTH:
        widest = max(SHARES, key=lambda column: widths[column] / SHARES[column] if widths[column] > NARROWEST else 0)
        if widths[widest] <= NARROWEST:
            break
        widths[widest] -= 1
    return [list(line) for line in zip(*(distinct(column, width) for column, width in zip(columns, widths, strict=True)), strict=True)]


def distinct(texts: Sequence[str], width: int) -> list[str]:
    """Texts in so many characters, cut where most of them can still be told apart."""
    cuts = [[cut(text, width, head) for text in texts] for head in ((width - 1) // 3, 0, (width - 1) // 2, width - 1)]
    return max(cuts, key=lambda column: len(set(column)))


def cut(text: str, width: int, head: int) -> str:
    if len(text) <= width:
        return text
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def joined(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def instead_of(row: Mapping[str, Any]) -> str:
    """What stands instead of release and worker; empty for a host that serves."""
    return "" if row["state"] == SERVING else ": ".join(part for part in (row["state"], row["reason"]) if part)


def room_of(widths: Sequence[int]) -> int:
    """The columns between pool and verdict together."""
    return sum(widths[RELEASE:VERDICT]) + 2 * (VERDICT - RELEASE - 1)


def spanned(cells: Sequence[str], widths: Sequence[int], row: Mapping[str, Any]) -> str:
    """A line; of a host that serves nothing with the reason instead of release and worker."""
    reason, room = instead_of(row), room_of(widths)
    if not reason:
        return joined(cells, widths)
    verdict = cells[VERDICT] if cells[VERDICT] != "-" else ""
    return joined([*cells[:RELEASE], cut(reason, room, room // 3), verdict], [*widths[:RELEASE], room, widths[VERDICT]])


def summary(document: Mapping[str, Any]) -> str:
    count, states = len(document["hosts"]), document["states"]
    parts = ", ".join(f"{states[state]} {state}" for state in (SERVING, EMPTY, BARE, UNREACHABLE, UNREAD) if states.get(state))
    return f"{counted(count, 'host')}: {parts}; {counted(document['jobs'], 'job')}"


def counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def told(rows: Mapping[str, Mapping[str, Any]], room: int) -> list[str]:
    """A line for each note, with all hosts it is true of; as many as there is room for, the rest is counted."""
    hosts: dict[tuple[int, str], list[str]] = {}
    drains = [host for host, row in rows.items() if row["draining"]]
    left = sum(jobs_left(rows[host]) for host in drains)
    together = f"workers of older releases still drain, {counted(left, 'job')} left (the second figure under jobs)"
    for host, row in rows.items():
        for note in row["notes"]:
            text = together if note["kind"] == DRAINING and len(drains) > 1 else note["text"]
            hosts.setdefault((KINDS.index(note["kind"]), text), []).append(host)
    notes = [f"{MARK} {named(hosts[key])}: {key[1]}" for key in sorted(hosts, key=lambda key: key[0])]
    shown = notes if len(notes) <= room else notes[: room - 1]
    more = [f"  and {len(notes) - len(shown)} more: see the report"] if len(notes) > len(shown) else []
    return [cut(line, WIDTH, WIDTH - 1) for line in shown] + more


def named(hosts: Iterable[str]) -> str:
    names = list(dict.fromkeys(hosts))
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"
