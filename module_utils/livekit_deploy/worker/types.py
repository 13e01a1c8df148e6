# SPDX-License-Identifier: Apache-2.0
"""What a worker's log, its answer, a reading and an eviction's record have, key by key."""

from __future__ import annotations

from typing import TypedDict, cast

from ..machine.logs import ReachFacts
from ..machine.supervisors import Supervisor


class JobRequest(TypedDict):
    """A job that the server offered, as the worker logged it."""

    job_id: str | None
    dispatch_id: str | None
    room: str | None
    agent_name: str | None
    time: str | None


class Failure(TypedDict):
    """The newest failure of a connection, or of the worker."""

    message: str
    time: str | None
    error: str | None


class LogLine(TypedDict):
    line: str
    error: str | None
    time: str | None


class CountedLine(LogLine):
    """The newest line of a kind of trouble."""

    count: int


class LogReading(TypedDict):
    """What a log says. Of a count, only what happened since the time that was asked for."""

    # The latest registration; None where its line is not in the log.
    agent_name: str | None
    worker_id: str | None
    registered_since: str | None
    url: str | None
    deployment: str | None
    connected: bool | None
    """No failure of the connection followed; None where the log of a process cannot be read."""
    unnamed: str | None
    """Its line, where no id can be read in it."""
    # The whole log.
    worker_ids: list[str]
    """The newest 5000."""
    registrations: list[str | None]
    """Their times, the newest 50."""
    reconnects: int
    draining: bool
    full: bool
    guarded: bool
    """The probe hook spoke."""
    hook_process: str | None
    """What the hook drew when its process started."""
    sdk: str | None
    """python or node."""
    sdk_version: str | None
    last_lines: list[str]
    last_failure: Failure | None
    # Counted.
    requests_total: int
    failures: int
    """Of the connection."""
    unauthorized: int
    """Those of them with status 401."""
    unanswered: int
    """The handler said nothing, or no assignment came."""
    late: int
    """Answered when the server had given up."""
    passed_on: int
    """Because the gate was closed."""
    entrypoint_errors: int
    last_entrypoint_error: str | None
    unknown_errors: int
    """Lines of level ERROR that nobody knows."""
    last_unknown_error: LogLine | None
    troubles: dict[str, CountedLine]
    """By the kind of trouble that loses jobs."""
    requests: list[JobRequest]
    """The newest 500; where jobs or rooms were asked for, only theirs."""
    log_matches: dict[str, float]
    """Each pattern that was seen, with the seconds after the request that was asked for."""
    reach: ReachFacts
    """From when to when all of that is known."""
    unread: str
    """Why nothing is known; empty where the log was read."""


class OwnAnswer(TypedDict, total=False):
    """``GET /worker``. Fields that are zero are left out (livekit-agents 1.8.9, measured)."""

    worker_load: float | None
    active_jobs: float | None
    agent_name: str | None
    sdk_version: str | None
    project_type: str | None
    """nodejs (agents-js), which has no load."""


class SharedReading(LogReading):
    """What a reading has of a container and of a process alike."""

    instance: str | None
    """``<app>/<release>`` where the worker is of a release."""
    release: str | None
    env: dict[str, str | None]
    """The agent name variables that it was started with."""
    override: str | None
    configured_url: str | None
    answered_name: str | None
    """The agent name of its own answer."""
    load: float | None
    active_jobs: int | None
    """None where it does not say."""


class OfProcess(TypedDict, total=False):
    """Only of a worker that no container holds."""

    start_ticks: int
    """With the pid it tells a process from a later one of the same number."""


class WorkerReading(SharedReading, OfProcess):
    """Everything known of one worker of a host."""

    kind: str
    """container or process."""
    container: str
    """The container's name, or ``process <pid>``."""
    container_id: str | None
    pid: int | None
    project: str | None
    """Of Compose; empty for a process."""
    directory: str | None
    image: str
    running: bool
    exit_code: int | None
    oom_killed: bool
    """Any of its processes, since its start."""
    started_at: str
    restarts: int
    supervisor: Supervisor
    start_command: str
    """How to start it again; empty where that is not known."""
    dev: bool
    """Started with ``dev``: it ends its calls at once when it is told to stop."""


def no_worker() -> WorkerReading:
    """Return a worker of which nothing is known: every key is missing."""
    return cast(WorkerReading, {})


class ProjectReading(TypedDict):
    """The workers of a compose project, or all worker containers of a host."""

    time: float
    """The host's clock, in seconds since the epoch."""
    workers: list[WorkerReading]


class HostReading(ProjectReading):
    """Every worker of a host."""

    unread: list[str]
    """What could not be looked at, a sentence each."""


class PolicyChange(TypedDict):
    """A container's restart policy."""

    before: str
    after: str


class EvictionRecord(TypedDict, total=False):
    """What was told to stop. The keys up to ``identity`` are always there."""

    worker_id: str
    worker_ids: list[str]
    container: str
    supervisor: Supervisor
    start_command: str
    policy: PolicyChange | None
    """None where it was not changed."""
    identity: str
    """One run of a container or process."""
    agent_name: str | None
    project: str | None
    directory: str | None
    signalled: bool
    """False: only a file of ours may be left."""
    told_at: float
    swept: bool
    """Nothing of ours is left of its unit."""


class StoppedWorker(TypedDict):
    """What became of a worker that was told to stop."""

    gone: bool
    draining: bool
    active_jobs: int | None
    container: str
    worker_ids: list[str]
    supervisor: Supervisor
    policy: PolicyChange | None
    commands: list[str]
    """What was done, as a person would type it."""
    start_command: str
    also_at_boot: bool


class Stopped(StoppedWorker):
    """The same as the module livekit_worker answers it."""

    changed: bool
    warnings: list[str]
