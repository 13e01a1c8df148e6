# SPDX-License-Identifier: Apache-2.0
"""The nouns of a fleet: rows and documents of status and report, and the verdicts that are remembered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from ..diagnosis.types import Evidence, ProbeAnswer, VerdictRow
from ..release.records import RolledBack

# --- verdicts that are remembered ------------------------------------------------------------------------------------


class VerdictEntry(TypedDict, total=False):
    """What is remembered of a host's verdict until the next one."""

    verdict: str  # who got the jobs
    ok: bool  # whether that was good
    reason: str | None  # why it was as it was
    method: str | None  # how it was proven
    at: str  # when it was decided
    playbook: str  # playbook that decided it
    agent_name: str | None  # name that was proven
    release: str | None  # release that served


class AgedVerdict(VerdictEntry, total=False):
    """The same with its age."""

    age_seconds: float | None  # seconds since it was decided; None where that cannot be read


# --- status ----------------------------------------------------------------------------------------------------------


class StatusInput(TypedDict, total=False):
    """What the inventory says of a host and what was read there."""

    agent_name: str  # name that it is to serve
    pool: str  # pool that it is to serve in
    evidence: Evidence  # what was read; empty where nothing was
    unread: str  # why nothing was
    unreachable: bool  # whether SSH did not get there


class DrainingWorker(TypedDict):
    """A worker of an older release that still runs."""

    release: str | None  # release that it is of
    worker_id: str | None  # its id
    active_jobs: int | None  # jobs that it still has


class StatusNote(TypedDict):
    """What a person should know of a host beyond its line."""

    kind: str  # what it is about
    text: str  # a sentence


class HostStatus(TypedDict):
    """What a host serves, before anything is noted of it."""

    agent_name: str | None  # name of the inventory, or the one it was rolled back to
    rolled_back: RolledBack | None  # how it differs from the inventory on purpose
    pool: str | None  # pool that it is to serve in
    state: str  # serving, no release, not provisioned, unreachable or unread
    reason: str | None  # why nothing could be read, or what is missing
    release: str | None  # release that serves
    served_since: str | None  # since when it does
    worker_ids: list[str]  # ids of all running workers of this application
    worker_id: str | None  # id of the serving worker
    since: str | None  # since when that is registered
    jobs: int | None  # jobs that it has
    load: float | None  # its load
    sdk_version: str | None  # its version of livekit-agents
    draining: list[DrainingWorker]  # workers of older releases
    drift: list[str]  # what differs between record and host
    unfinished: list[str]  # releases that a killed run left
    verdict: AgedVerdict | None  # the last verdict


class StatusRow(HostStatus):
    """A row of the status."""

    notes: list[StatusNote]  # what a person should know of it


class StatusDocument(TypedDict):
    """The document ``status.json``."""

    time: float  # when it was made
    states: dict[str, int]  # hosts by state
    jobs: int  # jobs of all hosts
    hosts: dict[str, StatusRow]  # a row for each host


# --- the report of a run ---------------------------------------------------------------------------------------------


class CheckResult(TypedDict, total=False):
    """A check of a host."""

    name: str  # its name
    ok: bool  # whether it holds
    found: object  # what was found
    expected: object  # what was expected
    remedy: object  # what to do


class ProvenRow(VerdictRow, total=False):
    """The row of a host as a module proved it."""

    worker_ids: list[str]  # ids of its workers
    probe: ProbeAnswer  # the probe that only its worker may answer
    checks: list[CheckResult]  # the checks
    on_purpose: object  # how it differs from the inventory on purpose


class ShownProbe(TypedDict):
    """What the report shows of a probe."""

    job_id: str | None  # its job
    worker_id: str | None  # worker that took it
    latency_seconds: float | None  # how long the answer took


class ShownRouting(TypedDict):
    """What the report shows of who gets the jobs."""

    method: str | None  # how it was proven
    seconds: float | None  # how long that took
    not_seen: list[str] | None  # what kinds of workers the method does not show
    foreign: list[str] | None  # ids of foreign workers that got jobs


class ReportRow(TypedDict):
    """A row of the report."""

    agent_name: str | None  # name that the host is to serve
    release: str | None  # release that serves
    worker_ids: list[str]  # ids of its workers
    verdict: str | None  # who gets the jobs
    reason: str | None  # why the host is not known to be good; None when it is
    probe: ShownProbe  # the probe that only its worker may answer
    checks: list[dict[str, object]]  # the checks, each with name, ok, found, expected and remedy
    routing: ShownRouting | None  # how the verdict was proven
    on_purpose: object  # how the host differs from the inventory on purpose


class Waited(TypedDict):
    """Something that the run waited for."""

    what: object  # what it was
    seconds: object  # how long that took


class RunDocument(TypedDict):
    """The document of one run of a playbook."""

    playbook: str  # its name
    started: str  # when it began
    finished: str | None  # when it ended; None while it runs
    ok: bool  # whether all of it is good
    waits: list[Waited]  # what it waited for
    notes: list[str]  # what is said below the table
    hosts: dict[str, ReportRow]  # a row for each host


Content = Mapping[str, object] | str  # of a file: a document or a text
