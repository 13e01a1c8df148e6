"""What a run of a playbook proved: the document for machines and the table for people.

Pure: the callback plugin tells what happens, this keeps it and renders it. Every document is true at the moment it is
rendered, because the run may be killed right after.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..diagnosis.types import ProbeAnswer, Routing
from ..play import access
from .remembered import VERDICTS, row_is_good
from .report_text import report_table
from .types import Content, ProvenRow, ReportRow, RunDocument, ShownProbe, ShownRouting, Waited

UNREACHABLE = "unreachable"
CHECK_KEYS = ("name", "ok", "found", "expected", "remedy")
# What a module may have written: a plain name in the directory of the reports.
DOCUMENT_NAME = re.compile(r"[A-Za-z0-9][\w-]*\.(json|md|txt)")


@dataclass
class HostState:
    """What is known of one host so far."""

    agent_name: str | None = None
    row: ProvenRow | None = None
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
    waits: list[Waited] = field(default_factory=list)
    documents: dict[str, Content] = field(default_factory=dict)
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

    def add_rows(self, rows: Mapping[str, ProvenRow]) -> None:
        for host, row in rows.items():
            if isinstance(row, Mapping):
                self.hosts.setdefault(str(host), HostState()).row = row
                self.verified = True

    def add_waits(self, waits: Iterable[object]) -> None:
        for wait in waits:
            if isinstance(wait, Mapping):
                self.waits.append({"what": wait.get("what"), "seconds": wait.get("seconds")})

    def add_documents(self, documents: Mapping[str, Content]) -> list[str]:
        """Take documents that a module made, by file name. Return what is wrong with those that are not taken."""
        refusals = {name: document_refusal(str(name), content) for name, content in documents.items()}
        self.documents |= {str(name): content for name, content in documents.items() if not refusals[name]}
        return [refusal for refusal in refusals.values() if refusal]

    def end(self, finished: str, failed: Iterable[str], dropped: Iterable[str]) -> None:
        """End the run. `failed` did not pass a task; `dropped` left a play early or never began one."""
        self.finished, self.complete = finished, True
        failed, dropped = set(failed), set(dropped)
        messages = {**self.elsewhere, **{name: state.failure for name, state in self.hosts.items()}}
        self.elsewhere = {name: messages.get(name, "") for name in failed - set(self.hosts)}  # others were rescued
        first = next((f"{name}: {message}" for name, message in messages.items() if name in failed), "")
        for name, state in self.hosts.items():
            if name not in failed | dropped:
                state.failure, state.unreachable = "", False  # rescued or ignored
            elif name in failed:
                state.failure = state.failure or "failed, and no task said why"
            elif not state.failure:
                because = f"stopped before the end because of {first}"
                state.failure = because if first else "left the run early, and no task said why"

    def end_idle(self, reason: str) -> None:
        """Judge a run that has ended: one in which nothing ran is not good.

        Documents are work, too, of a module on the controller.
        """
        if self.worked or self.failed or self.documents or self.lines:
            return
        self.idle = reason
        for state in self.hosts.values():
            state.failure = reason

    def interrupt(self, finished: str, cause: str) -> None:
        """End the run here, and not because the playbook did."""
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

    def files(self) -> dict[str, Content]:
        """Return everything to write, by file name; the first is the run's own."""
        own = f"{self.playbook}.json"
        verify: dict[str, Content] = {"verify.json": self.document("verify")} if self.verified else {}
        made = {name: content for name, content in self.documents.items() if name != own}
        return {own: self.own_document(), **verify, **made}

    def own_document(self) -> Mapping[str, object]:
        """Return the run's own document.

        What a module made of it comes over ours, but not when the run was, and not that it went well.
        """
        standard, made = self.document(), self.documents.get(f"{self.playbook}.json")
        if not isinstance(made, Mapping):
            return standard
        ok = self.complete and not self.failed and not self.left_out and bool(made.get("ok", standard["ok"]))
        when = {"playbook": standard["playbook"], "started": standard["started"], "finished": standard["finished"]}
        return {**standard, **made, **when, "ok": ok}

    def closing(self, shown: Callable[[Any], Any] = lambda value: value) -> list[str]:
        """Return what the user reads at the end: a module's own lines where the run came to its end, else the table.

        Both are shown when a host failed. ``shown`` takes secrets out, before the table wraps a text where a secret
        has a blank.
        """
        left_out = [self.left_out] if self.left_out else []
        rows = [self.idle] if self.idle and not self.hosts else report_table(shown(self.document()))
        parts = [rows, [*self.notes, *left_out]]
        if self.lines and self.complete:
            parts = [self.lines, rows if self.failed else [], left_out]
        lines: list[str] = []
        for part in filter(None, parts):
            lines += [*([""] if lines else []), *shown(part)]
        return lines

    def document(self, playbook: str = "") -> RunDocument:
        return {
            "playbook": playbook or self.playbook,
            "started": self.started,
            "finished": self.finished,
            "ok": self.ok,
            "waits": list(self.waits),
            "notes": [*self.notes, *filter(None, (self.idle, self.left_out))],
            "hosts": {name: self.host_row(state) for name, state in self.hosts.items()},
        }

    def host_row(self, state: HostState) -> ReportRow:
        row = state.row or ProvenRow()
        return {
            "agent_name": row.get("agent_name") or state.agent_name,
            "release": row.get("release"),
            "worker_ids": list(row.get("worker_ids") or []),
            "verdict": row.get("verdict") or (UNREACHABLE if state.unreachable else None),
            "reason": self.failure_reason(state),
            "probe": shown_probe(row.get("probe") or ProbeAnswer()),
            "checks": [{key: check.get(key) for key in CHECK_KEYS} for check in row.get("checks") or []],
            "routing": shown_routing(row["routing"]) if row.get("routing") else None,
            "on_purpose": row.get("on_purpose"),
        }

    def failure_reason(self, state: HostState) -> str | None:
        """Return why the host is not known to be good; None when it is."""
        given = (state.row or ProvenRow()).get("reason")
        if given and not row_is_good(state.row):
            return access.failure(str(given))
        if state.failure:
            return state.failure
        where = f"; last task: {self.step}" if self.step else ""
        if self.finished is None:
            return f"the run has not finished{where}"
        return f"{self.interruption}{where}" if self.interruption else given or None


def document_refusal(name: str, content: object) -> str:
    """Return why a document is not taken; empty where it is."""
    if not DOCUMENT_NAME.fullmatch(name) or name == VERDICTS:
        return f"no report is written as {name!r}: expected a plain file name that ends in .json, .md or .txt"
    if isinstance(content, Mapping if name.endswith(".json") else str):
        return ""
    return f"{name} is not written: found {type(content).__name__}, expected a mapping for .json, else a text"


def shown_probe(probe: ProbeAnswer) -> ShownProbe:
    latency = probe.get("latency_seconds")
    return {"job_id": probe.get("job_id"), "worker_id": probe.get("worker_id"), "latency_seconds": latency}


def shown_routing(routing: Routing) -> ShownRouting:
    return {
        "method": routing.get("method"),
        "seconds": routing.get("seconds"),
        "not_seen": routing.get("not_seen"),
        "foreign": routing.get("foreign"),
    }
