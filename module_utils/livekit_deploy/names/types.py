# SPDX-License-Identifier: Apache-2.0
"""The nouns of evictions and renames: what they are given, what is decided, what is reported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from ..worker.types import EvictionRecord, StoppedWorker, WorkerReading
from .refusal import Refusal

# --- an eviction -----------------------------------------------------------------------------------------------------


class EvictionHost(TypedDict):
    """One host as an eviction is decided on."""

    group: str  # agent_hosts or suspects
    in_run: bool  # whether it is in this run
    agent_name: str  # name that it is to serve; empty for a suspect
    pool: str  # pool that it is to serve in
    urls: list[str]  # addresses of its LiveKit server
    app: str  # name of its application
    releases: list[str] | None  # releases on its record; None where that was not read
    adopted: dict[str, str]  # release of each adopted container
    workers: list[WorkerReading]  # workers that were found there
    evictions: list[EvictionRecord]  # workers that were told to stop there earlier
    unread: list[str]  # what could not be read, a sentence each


class Target(TypedDict):
    """The worker that is to be stopped."""

    host: str  # host that it is on
    container: str  # its container, or its process
    agent_name: str  # name that it holds
    worker_ids: list[str]  # every id that it had
    pool: str  # pool of the release that it belongs to; empty for a foreign worker


class EvictionDecision(TypedDict):
    """What is to be done."""

    target: Target | None  # worker to stop; None where there is none
    prove: list[str]  # hosts whose name is proven afterwards
    problems: list[Refusal]  # why the request is refused
    unproven: list[Refusal]  # why a name cannot be proven


class UnknownWorker(TypedDict):
    """A worker that the LiveKit server or a probe shows and no known host has."""

    worker_id: str  # its id
    agent_name: str | None  # name that it holds
    registered: str | None  # when it registered
    job_type: str | None  # kind of jobs that it takes
    deployment: str | None  # deployment label that it registered with
    seen_by: str  # what shows it
    maybe: list[str]  # workers of unknown id that it may be


class UnknownWorkerRow(UnknownWorker):
    """The same in the report."""

    told: str  # all of it in a sentence


class HolderRow(TypedDict):
    """A worker that holds a name, in the report."""

    worker_id: str | None  # its present id
    container: str | None  # its container, or its process
    project: str | None  # its compose project
    directory: str | None  # directory of the project, or of the process
    active_jobs: int | None  # calls that it has
    start_command: str | None  # command that starts it again
    host: str  # host that it is on
    since: str | None  # since when it holds the name
    supervisor: str  # what would start it again
    ours: bool  # whether it is of a release of this project
    pool: str | None  # pool of that release
    state: str  # why it has no id
    draining: bool  # whether it was told to stop
    server: str | None  # LiveKit server that it is at, if another one
    evictable: bool  # whether it may be stopped from here
    why_not: str | None  # why not
    command: str  # command that stops it


class NameEntry(TypedDict):
    """One agent name in the report."""

    pools: dict[str, list[str]]  # pools that the inventory gives it to, with their hosts
    verdict: str | None  # who gets its jobs; None where nobody was asked
    reason: str | None  # why the verdict is so
    method: str | None  # how it was proven
    seconds: float | None  # how long that took
    not_seen: list[str] | None  # what kinds of workers the method does not show
    foreign: list[str] | None  # ids of foreign workers that got jobs
    workers: list[HolderRow]  # workers that hold it


class EvictionDocument(TypedDict):
    """The document ``evict.json``."""

    names: dict[str, NameEntry]  # every name that was looked at
    on_no_known_host: list[UnknownWorkerRow]  # workers that no known host has
    not_read: dict[str, list[str]]  # what could not be read, by host
    name_not_known: list[HolderRow]  # workers whose name is not known
    requested: str | None  # id that was to be stopped
    target: Target | None  # worker that it is
    drained: StoppedWorker | None  # what was done to it
    check_mode: bool  # whether nothing was done
    problems: list[dict[str, str]]  # refusals, each with found, expected and remedy
    ok: bool  # whether the run is good


class EvictionReport(TypedDict):
    """What the module answers at the end of a run."""

    report_documents: dict[str, EvictionDocument]  # evict.json
    report_lines: list[str]  # the same as text
    trouble: str  # why the run fails; empty where it does not


# --- a rename --------------------------------------------------------------------------------------------------------


class NameChange(TypedDict):
    """How a host serves another name than before, or one that is shared on purpose."""

    before: str | Sequence[str] | None  # name that it left; several after a removal
    now: str | None  # name that it serves; None after a removal
    shared: bool  # whether that is shared on purpose


class KnownHost(TypedDict, total=False):
    """What is known of a host when a name is left."""

    agent_name: str  # name that it serves
    worker_ids: list[str]  # every id that its workers had
    dispatches_to: dict[str, str]  # by each abandoned name that its API dispatches to, how that is said
