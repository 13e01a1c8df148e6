"""What a run of a playbook proved: the document for machines and the table for people.

Pure: the callback plugin tells what happens, this keeps it and renders it. Every document is true at the moment it is
rendered, because the run may be killed right after.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..common import text
from ..play import access

# Verdicts of which a row may be good; its check "routing" says whether the run accepts one that is inconclusive. An unknown verdict
# is never good.
GOOD_VERDICTS = frozenset({"exclusive", "shared", "inconclusive"})
UNREACHABLE = "unreachable"
WIDTH = 100
PROBE_KEYS = ("job_id", "worker_id", "latency_seconds")
CHECK_KEYS = ("name", "ok", "found", "expected", "remedy")
ROUTING_KEYS = ("method", "seconds", "not_seen", "foreign")
HEADINGS = ("host", "agent name", "release", "worker id", "latency", "verdict")
# What a module may have written: a plain name in the directory of the reports.
DOCUMENT_NAME = re.compile(r"[A-Za-z0-9][\w-]*\.(json|md|txt)")
VERDICTS = "verdicts.json"


@dataclass
class HostState:
    """What is known of one host so far."""

    agent_name: str | None = None
    row: Mapping[str, Any] | None = None
    failure: str = ""
    unreachable: bool = False


@dataclass
class Report:
    """One run of one playbook."""

    playbook: str
    started: str
    finished: str | None = None
    complete: bool = False
    interruption: str = ""
    step: str = ""
    elsewhere: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, HostState] = field(default_factory=dict)
    waits: list[dict[str, Any]] = field(default_factory=list)
    documents: dict[str, Mapping[str, Any] | str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    verified: bool = False
    worked: bool = False
    idle: str = ""
    left_out: str = ""

    def expect(self, host: str, agent_name: str | None) -> None:
        """A host of the play: it has a row from now on, whatever happens."""
        state = self.hosts.setdefault(host, HostState())
        state.agent_name = state.agent_name or agent_name

    def note_work(self, host: str) -> None:
        """A task came to an end for this host, whatever came out of it."""
        self.worked = self.worked or host in self.hosts

    def fail(self, hosts: Iterable[str], message: str, final: bool) -> None:
        """A task failed. A `final` message (of a fail or assert task) sums up; any other adds to the first."""
        for host in hosts:
            state = self.hosts.get(host)
            if state is None:
                self.elsewhere.setdefault(host, message)
            elif final or not state.failure:
                state.failure = message
            elif message not in state.failure:
                state.failure = f"{state.failure}\nthen: {message}"

    def lose(self, host: str, message: str) -> None:
        """Ansible could not reach the host."""
        self.fail([host], access.unreachable(access.without_prefix(message)), final=True)
        if host in self.hosts:
            self.hosts[host].unreachable = True

    def add_rows(self, rows: Mapping[str, Any]) -> None:
        for host, row in rows.items():
            if isinstance(row, Mapping):
                self.hosts.setdefault(str(host), HostState()).row = row
                self.verified = True

    def add_waits(self, waits: Iterable[Any]) -> None:
        for wait in waits:
            if isinstance(wait, Mapping):
                self.waits.append({"what": wait.get("what"), "seconds": wait.get("seconds")})

    def add_documents(self, documents: Mapping[str, Any]) -> list[str]:
        """Documents that a module made, by file name; answers what is wrong with those that are not taken."""
        problems = []
        for name, content in documents.items():
            if not DOCUMENT_NAME.fullmatch(str(name)) or name == VERDICTS:
                problems.append(f"no report is written as {name!r}: expected a plain file name that ends in .json, .md or .txt")
            elif not isinstance(content, Mapping if str(name).endswith(".json") else str):
                problems.append(f"{name} is not written: found {type(content).__name__}, expected a mapping for .json, else a text")
            else:
                self.documents[str(name)] = content
        return problems

    def end(self, finished: str, failed: Iterable[str], dropped: Iterable[str]) -> None:
        """The playbook is over. `failed` did not pass a task; `dropped` left a play early or never began one."""
        self.finished, self.complete = finished, True
        failed, dropped = set(failed), set(dropped)
        said = {**self.elsewhere, **{name: state.failure for name, state in self.hosts.items()}}
        self.elsewhere = {name: said.get(name, "") for name in failed - set(self.hosts)}  # others were rescued
        first = next((f"{name}: {message}" for name, message in said.items() if name in failed), "")
        for name, state in self.hosts.items():
            if name not in failed | dropped:
                state.failure, state.unreachable = "", False  # rescued or ignored
            elif name in failed:
                state.failure = state.failure or "failed, and no task said why"
            elif not state.failure:
                state.failure = f"stopped before the end because of {first}" if first else "left the run early, and no task said why"

    def end_idle(self, reason: str) -> None:
        """Judge a run that has ended: one in which nothing ran is not good. Documents are work, too, of a module on the controller."""
        if self.worked or self.failed or self.documents or self.lines:
            return
        self.idle = reason
        for state in self.hosts.values():
            state.failure = reason

    def interrupt(self, finished: str, cause: str) -> None:
        """The run ends here, and not because the playbook did."""
        if self.finished is None:
            self.finished, self.interruption = finished, cause

    @property
    def failed(self) -> bool:
        return bool(self.elsewhere or self.idle) or any(state.failure for state in self.hosts.values())

    @property
    def ok(self) -> bool:
        """All of it: the end reached, no task left out, at least one host, none failed, every verdict good."""
        good = all(row_is_good(state.row) for state in self.hosts.values() if state.row is not None)
        return self.complete and not self.left_out and bool(self.hosts) and not self.failed and good

    def files(self) -> dict[str, Mapping[str, Any] | str]:
        """Everything to write, by file name; the first is the run's own."""
        own = f"{self.playbook}.json"
        verify = {"verify.json": self.document("verify")} if self.verified else {}
        return {own: self.own(), **verify, **{name: content for name, content in self.documents.items() if name != own}}

    def own(self) -> dict[str, Any]:
        """The run's own document. What a module made of it comes over ours, but not when the run was, and not that it went well."""
        standard, made = self.document(), self.documents.get(f"{self.playbook}.json")
        if not isinstance(made, Mapping):
            return standard
        ok = self.complete and not self.failed and not self.left_out and bool(made.get("ok", standard["ok"]))
        return {**standard, **made, **{key: standard[key] for key in ("playbook", "started", "finished")}, "ok": ok}

    def closing(self, shown: Callable[[Any], Any] = lambda value: value) -> list[str]:
        """What the user reads at the end: a module's own lines where the run came to its end, else the table; both when a host failed.

        ``shown`` takes secrets out, before the table wraps a text where a secret has a blank.
        """
        left_out = [self.left_out] if self.left_out else []
        rows = [self.idle] if self.idle and not self.hosts else table(shown(self.document()))
        parts = [rows, [*self.notes, *left_out]]
        if self.lines and self.complete:
            parts = [self.lines, rows if self.failed else [], left_out]
        told: list[str] = []
        for part in (part for part in parts if part):
            told += [*([""] if told else []), *shown(part)]
        return told

    def document(self, playbook: str = "") -> dict[str, Any]:
        return {
            "playbook": playbook or self.playbook,
            "started": self.started,
            "finished": self.finished,
            "ok": self.ok,
            "waits": list(self.waits),
            "notes": [*self.notes, *(said for said in (self.idle, self.left_out) if said)],
            "hosts": {name: self._row(state) for name, state in self.hosts.items()},
        }

    def _row(self, state: HostState) -> dict[str, Any]:
        row = state.row or {}
        probe = row.get("probe") or {}
        return {
            "agent_name": row.get("agent_name") or state.agent_name,
            "release": row.get("release"),
            "worker_ids": list(row.get("worker_ids") or []),
            "verdict": row.get("verdict") or (UNREACHABLE if state.unreachable else None),
            "reason": self._reason(state),
            "probe": {key: probe.get(key) for key in PROBE_KEYS},
            "checks": [{key: check.get(key) for key in CHECK_KEYS} for check in row.get("checks") or []],
            "routing": {key: row.get("routing", {}).get(key) for key in ROUTING_KEYS} if row.get("routing") else None,
            "on_purpose": row.get("on_purpose"),
        }

    def _reason(self, state: HostState) -> str | None:
        """Why the host is not known to be good; None when it is."""
        said = (state.row or {}).get("reason")
        if said and not row_is_good(state.row):
            return access.failure(str(said))
        if state.failure:
            return state.failure
        where = f"; last task: {self.step}" if self.step else ""
        if self.finished is None:
            return f"the run has not finished{where}"
        return f"{self.interruption}{where}" if self.interruption else said or None


def idle_reason(playbook: str, options: Mapping[str, str]) -> str:
    """Why nothing ran; ``options`` are those of the command line that leave tasks or hosts out."""
    found = " ".join(f"{name} {value}" for name, value in options.items())
    why = f"{found} leaves nothing of it. Run it again without, or correct the value" if found else "no agent host is in it"
    return f"Nothing was done and nothing was proven: found no task of {playbook} that ran on an agent host, expected some; {why}."


def part_reason(tasks: int, options: Mapping[str, str]) -> str:
    """What a run was that left tasks out, or began in the middle; nothing for a whole one."""
    if start := options.get("--start-at-task"):
        return f"This run is not whole: it began at the task {start}, and what comes before was not done. Nothing is good that rests on it."
    found = " ".join(f"{name} {options[name]}" for name in ("--tags", "--skip-tags") if name in options)
    return f"This run is not whole: {found} left out {tasks} tasks. Nothing is good that rests on them." if tasks else ""


def row_is_good(row: Mapping[str, Any] | None) -> bool:
    """A row without a verdict (a playbook that proves nothing) is good when no check failed."""
    if row is None:
        return False
    verdict = row.get("verdict")
    # On a name that is shared on purpose others are expected.
    good = verdict is None or verdict in GOOD_VERDICTS or (verdict == "foreign" and bool(row.get("on_purpose")))
    return good and all(check.get("ok") for check in row.get("checks") or [])


def verdict_entries(rows: Mapping[str, Any], at: str, playbook: str) -> dict[str, dict[str, Any]]:
    """What is remembered of each host whose verdict was decided, until the next one."""
    entries = {}
    for host, row in rows.items():
        if not isinstance(row, Mapping) or not row.get("verdict"):
            continue
        routing, good = row.get("routing") or {}, row_is_good(row)
        entries[str(host)] = {
            "verdict": row["verdict"],
            "ok": good,
            "reason": (routing.get("reason") if good else None) or row.get("reason"),
            "method": routing.get("method"),
            "at": at,
            "playbook": playbook,
            "agent_name": row.get("agent_name"),
            "release": row.get("release"),
        }
    return entries


def verdicts_of(text: str | None) -> tuple[dict[str, dict[str, Any]], str]:
    """The remembered verdicts by host, and what is wrong with the file; None is no file yet."""
    if text is None:
        return {}, ""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        return {}, f"it is no JSON ({error})"
    if not isinstance(found, dict):
        return {}, f"found {type(found).__name__}, expected an object with an entry for each host"
    entries = {host: entry for host, entry in found.items() if isinstance(entry, dict)}
    return entries, f"no entry can be read for {', '.join(sorted(found.keys() - entries.keys()))}" if len(entries) < len(found) else ""


def failure_message(result: Mapping[str, Any], task: str, sums_up: bool) -> str:
    """What a failed task says; with the task's name before it unless the task was written to say it."""
    failed_items = [item for item in result.get("results") or [] if isinstance(item, Mapping) and item.get("failed")]
    told = [{**one, "msg": _text(one.get("msg"))} for one in (*failed_items, result)]
    message = next((access.said(one) for one in told if one["msg"]), "")
    message = message or access.failure(_text(result.get("stderr")) or _text(result.get("censored")) or "failed without a message")
    return message if sums_up else f"{task}: {message}"


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "\n".join(_text(item) for item in value)
    return "" if value is None else str(value).strip()


MASK = "********"
SECRET_VARIABLES = (
    "livekit_api_secret",
    *(f"ansible_{name}" for name in ("become_password", "become_pass", "password", "ssh_pass", "ssh_password", "sudo_pass")),
    "ansible_ssh_private_key_passphrase",
)
SECRET_ENVIRONMENTS = ("livekit_agent_secret_env", "agent_api_secret_env")
ENVIRONMENTS = ("livekit_agent_env", "agent_api_env")
REGISTRIES = "agent_release_registries"
# What a report is about, whoever keeps it in a vault.
PUBLIC_VARIABLES = (
    "livekit_agent_name",
    "livekit_agent_shared_name",
    "livekit_agent_pool",
    "agent_release_app",
    "livekit_url",
    "livekit_api_url",
)
KNOWN = (*SECRET_VARIABLES, *SECRET_ENVIRONMENTS, *ENVIRONMENTS, REGISTRIES, *PUBLIC_VARIABLES)


def secrets_of(variables: Mapping[str, Any], vaulted: Mapping[str, str]) -> set[str]:
    """The values that no report shows, of a host's ``KNOWN`` variables, and of what came out of a vault by name.

    A secret is one from four characters on, unless it is a number, a path or a word like true; what a vault holds under a name that does
    not say secret from eight on.
    """
    secret = [(name, variables.get(name)) for name in SECRET_VARIABLES]
    for name in SECRET_ENVIRONMENTS:
        secret += _items(variables.get(name))
    for login in variables.get(REGISTRIES) or []:
        secret += _items(login, only="password")
    for name in ENVIRONMENTS:
        secret += [(key, value) for key, value in _items(variables.get(name)) if text.SECRET_NAME.search(key)]
    public = {str(variables.get(name)) for name in PUBLIC_VARIABLES}
    named = {str(value) for name, value in secret if value is not None and name not in text.PUBLIC}
    found = {value for value in named if len(value) >= text.SHORTEST_NAMED}
    found |= text.secret_values(vaulted)
    return {value for value in found - public if len(value) >= text.SHORTEST_OTHER or not text.ORDINARY.fullmatch(value)}


def masker(secrets: Iterable[str]) -> text.Masker:
    """What every document and line of a run passes through, with ansible-core's own mask."""
    return text.Masker(secrets, MASK)


def _items(value: Any, only: str = "") -> list[tuple[str, Any]]:
    return [(str(key), one) for key, one in value.items() if only in ("", key)] if isinstance(value, Mapping) else []


# --- the table -------------------------------------------------------------------------------------------------------


def table(document: Mapping[str, Any]) -> list[str]:
    """The document as lines of text: a row a host, and under it what is wrong and what to do."""
    hosts = document["hosts"]
    if not hosts:
        return ["No host of the group agent_hosts was in this run: nothing was done and nothing was proven."]
    cells = [HEADINGS, *(_cells(name, row) for name, row in hosts.items())]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    told: dict[tuple[str, ...], list[str]] = {}
    for name, row in hosts.items():
        told.setdefault(tuple(_explanation(row)), []).append(name)
    for explanation, names in told.items():
        if explanation:  # what is the same for many hosts is told once
            lines += ["", f"{', '.join(names)}: {explanation[0]}", *explanation[1:]]
    return lines


def _cells(name: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    latency = row["probe"]["latency_seconds"]
    worker = row["probe"]["worker_id"] or ", ".join(row["worker_ids"])
    verdict = row["verdict"] or ("failed" if row["reason"] else "-")
    return (
        name,
        row["agent_name"] or "-",
        row["release"] or "-",
        worker or "-",
        f"{latency:.2f} s" if isinstance(latency, int | float) else "-",
        verdict,
    )


def _explanation(row: Mapping[str, Any]) -> list[str]:
    """The verdict and what is behind it, a line each; nothing for a host with nothing to explain."""
    failed = [check for check in row["checks"] if not check["ok"]]
    if not failed and not row["reason"]:
        return []
    lines = [row["verdict"] or "failed"]
    if row["reason"]:
        lines += _labelled("reason", row["reason"], "  ")
    for check in failed:
        lines.append(f"  check {check['name']} failed")
        for label, key in (("found", "found"), ("expected", "expected"), ("to do", "remedy")):
            lines += _labelled(label, check[key], "    ")
    return lines


def _labelled(label: str, value: Any, indent: str) -> list[str]:
    """`label  text`, the text wrapped beside its label."""
    text = _text(value) if value not in (None, "") else "-"
    first = f"{indent}{label:<10}"
    rest = " " * len(first)
    wrap = textwrap.TextWrapper(WIDTH - len(first), break_long_words=False, break_on_hyphens=False)
    pieces = [piece for line in text.splitlines() for piece in wrap.wrap(line) or [""]] or ["-"]
    return [f"{rest if number else first}{piece}" for number, piece in enumerate(pieces)]
