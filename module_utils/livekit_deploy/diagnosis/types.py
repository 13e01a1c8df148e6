# SPDX-License-Identifier: Apache-2.0
"""The nouns of a diagnosis. What it is given has no certain key: what could not be read is missing, or None."""

from __future__ import annotations

from typing import TypedDict

# --- what was read of a host -----------------------------------------------------------------------------------------


class JobRequest(TypedDict, total=False):
    """A job that the LiveKit server offered a worker, from the worker's log."""

    room: str  # name of the room
    dispatch_id: str  # dispatch that the job is of
    agent_name: str | None  # name that was dispatched to; older livekit-agents log none
    time: str  # when the worker was asked


class LogLines(TypedDict, total=False):
    """Lines of one kind in a worker's log, told by the last of them."""

    count: int  # how many there were since the start of the time looked at
    line: str | None  # text of the last one
    message: str  # the same of a failed connection
    error: str | None  # error that the line names
    time: str  # when it was logged


class WorkerReading(TypedDict, total=False):
    """A worker of a host as ``livekit_worker_info`` reads it, as far as diagnosis, eviction and status ask."""

    container: str  # name of the container, or "process" and its id
    container_id: str  # Docker's id of the container
    pid: int | None  # process id on the host
    project: str | None  # compose project
    directory: str | None  # directory of the project, or of the process
    release: str | None  # release of this project that it is of, by its own word
    instance: str | None  # host and release that it was deployed as, by its own word
    running: bool  # whether it runs
    exit_code: int | None  # exit status of one that does not run
    started_at: str  # when it started
    restarts: int  # how often Docker started it again
    oom_killed: bool  # whether one of its processes was killed for want of memory
    supervisor: Supervisor  # what would start it again
    start_command: str  # command that starts it again
    agent_name: str | None  # name that it registered under
    answered_name: str | None  # name that it answers with on its own port
    override: str | None  # LIVEKIT_AGENT_NAME_OVERRIDE of its environment
    env: dict[str, str | None]  # variables of its environment that have a name
    worker_id: str | None  # present id
    worker_ids: list[str]  # every id in its log, the latest last
    registered_since: str | None  # when it registered last
    registrations: list[str]  # when it registered at all
    url: str | None  # LiveKit server that it is registered at
    configured_url: str | None  # LiveKit server of its environment
    deployment: str  # deployment label that it registered with
    connected: bool  # whether it is registered now
    draining: bool  # whether it takes no new job
    full: bool  # whether it says that it is at full capacity
    load: float | None  # load that it answers with
    active_jobs: int | None  # jobs that it has
    sdk_version: str | None  # version of livekit-agents
    unauthorized: int  # connections that the server refused with status 401
    failures: int  # connections that failed
    last_failure: LogLines | None  # the last of them
    unanswered: int  # job requests that it did not answer
    late: int  # job requests that it answered too late
    passed_on: int  # job requests that the probe hook passed on
    entrypoint_errors: int  # jobs that ended with an exception
    last_entrypoint_error: str | None  # the last of them
    troubles: dict[str, LogLines]  # job processes that died, by kind
    unknown_errors: int  # lines of level ERROR that nobody knows
    last_unknown_error: LogLines | None  # the last of them
    last_lines: list[str]  # end of the log of one that does not run
    requests: list[JobRequest]  # job requests since the start of the time looked at
    reach: dict[str, object]  # from when to when its log was read
    unread: str  # why its log could not be read


class Supervisor(TypedDict, total=False):
    """What starts a worker again when it ends."""

    kind: str  # docker, systemd, none or other
    name: str  # name of the unit, or of the other supervisor
    user: int | None  # user whose systemd it is
    policy: str  # Docker's restart policy


class RolledBack(TypedDict, total=False):
    """How a release differs from the inventory on purpose."""

    kind: str  # shared_name or release
    at: str  # when it was rolled back
    to: str  # release that it was rolled back to


class ReleaseReading(TypedDict, total=False):
    """The record of the release that serves."""

    id: str  # release id
    agent_name: str  # name that it was deployed with
    served_at: str  # since when it serves
    services: list[str]  # compose services that it has
    earlier_worker_ids: list[str]  # ids that its worker had before
    rolled_back: RolledBack | None  # how it differs from the inventory on purpose


class ServiceReading(TypedDict, total=False):
    """The container of one compose service of the release."""

    container: str  # its name
    running: bool  # whether it runs
    env: dict[str, str | None]  # names in the environment that it was created with


class Dispatch(TypedDict, total=False):
    """A dispatch that the API logged."""

    room: str | None  # name of the room
    dispatch_id: str | None  # id that the server gave it
    agent_name: str | None  # name that was dispatched to
    time: str  # when it was logged


class ProxyReading(TypedDict, total=False):
    """What nginx's access log says."""

    read: bool  # whether it could be read
    requests: int  # requests since the start of the time looked at
    by_status: dict[str, int]  # the same by status
    last: float | str | None  # time of the newest request
    reach: dict[str, object]  # from when to when the log was read


class ApiReading(TypedDict, total=False):
    """What the API's log says, and what its container was given."""

    read: bool  # whether a line of the log tells of a dispatch
    container: str | None  # name of the container
    url: str | None  # LIVEKIT_URL of its environment
    agent_names: dict[str, int]  # dispatches by the name that they went to
    dispatches: list[Dispatch]  # the newest of them
    failed: int  # dispatches that failed
    last_failure: str | None  # the last of them
    reach: dict[str, object]  # from when to when the log was read


class Evidence(TypedDict, total=False):
    """Everything that ``agent_diagnosis_info`` read on a host."""

    since: float  # start of the time looked at
    time: float  # the host's clock
    clock_skew_seconds: float | None  # the host's clock minus the controller's
    missing: list[str]  # what the host lacks to take a release
    release: ReleaseReading | None  # release that serves
    states: dict[str, str]  # state of each recorded release
    services: dict[str, ServiceReading]  # containers of the release by compose service
    written: dict[str, dict[str, str | None]]  # what the release's files say now, by compose service
    gate: str | None  # standby gate, open or closed
    drift: list[str]  # what differs between the record and the host
    leftovers: list[str]  # other releases that have containers, or were left unfinished
    workers: list[WorkerReading]  # every worker of the host
    proxy: ProxyReading  # nginx's access log
    api: ApiReading  # the API's log
    unread: list[str]  # what could not be read, a sentence each


class HostInput(TypedDict, total=False):
    """One host of the inventory and what was read there."""

    group: str  # agent_hosts, or suspects for a host that is only searched
    agent_name: str  # name that the host is to serve
    pool: str  # pool that it is to serve in
    shared_name: str  # name that it shares on purpose after a rollback
    livekit_url: str | None  # LiveKit server of the inventory
    hook: bool  # whether the worker asks the probe hook
    app: str | None  # name of the application
    address: str | None  # address of the host
    evidence: Evidence  # what was read
    witness: list[WorkerReading]  # workers read again after the probes
    unread: str  # why the host could not be read
    outside: bool  # whether --limit leaves the host out


# --- what was read of the LiveKit server, and proven -----------------------------------------------------------------


class ServerReading(TypedDict, total=False):
    """How the LiveKit server answered the controller."""

    reachable: bool  # whether it answered
    key_accepted: bool  # whether it accepts the inventory's key
    seconds: float  # how long the answer took
    kind: str  # why it refused: clock, key, secret
    found: str  # what was found wrong
    remedy: str  # what to do about it


class RegisteredWorker(TypedDict, total=False):
    """A worker in the LiveKit server's log."""

    worker_id: str  # its id
    agent_name: str  # name that it registered under
    registered: str  # when it registered
    closed: str | None  # when it left
    job_type: str | None  # kind of jobs that it takes
    deployment: str | None  # deployment label that it registered with


class ServerLog(TypedDict, total=False):
    """The log of one LiveKit server."""

    host: str  # host that it was read on
    complete: bool  # whether it reaches back to the server's start
    reason: str  # why it does not
    msg: str  # why it could not be read at all
    workers: list[RegisteredWorker]  # workers that registered


class SipRule(TypedDict, total=False):
    """A SIP dispatch rule of the LiveKit server."""

    id: str  # its id
    name: str  # its name
    agents: list[str]  # agent names that it dispatches to
    trunks: list[str]  # trunks that it is for


class SipReading(TypedDict, total=False):
    """The SIP dispatch rules of the LiveKit server."""

    checked: bool  # whether they could be read
    reason: str  # why not
    rules: list[SipRule]  # the rules


class Job(TypedDict, total=False):
    """A job of a dispatch in a room that lives."""

    id: str  # its id
    worker_id: str  # worker that has it


class LivingDispatch(TypedDict, total=False):
    """A dispatch of a room that lives, as the server lists it."""

    id: str  # its id
    agent_name: str  # name that was dispatched to
    jobs: list[Job]  # its jobs


class ProbeAnswer(TypedDict, total=False):
    """What became of a probe."""

    outcome: str  # taken, nobody, or why it is not known
    worker_id: str | None  # worker that took it
    job_id: str | None  # its job
    room: str | None  # its room
    status: str | None  # state of its job
    latency_seconds: float | None  # how long the answer took
    reason: str  # why the outcome is not known


class Routing(TypedDict, total=False):
    """Who gets the jobs of a name, and how that was proven."""

    reason: str  # why the verdict is as it is
    method: str  # how it was proven
    seconds: float  # how long that took
    not_seen: list[str]  # what kinds of workers the method does not show
    foreign: list[str]  # ids of foreign workers that got jobs


class VerdictRow(TypedDict, total=False):
    """The row of a host in the answer of ``deployment_verdict_info``."""

    agent_name: str  # name that was proven
    release: str | None  # release that serves
    verdict: str  # exclusive, shared, foreign, inconclusive or unreachable
    reason: str | None  # why the host is not good
    routing: Routing  # who gets the jobs


# --- what is answered ------------------------------------------------------------------------------------------------


class Destination(TypedDict):
    """The worker that got a dispatch."""

    host: str | None  # host that it is on; None for one that no host has
    container: str | None  # its container
    worker_id: str  # its id
    own: bool  # whether it is the worker of the host that dispatched


class CountedDestination(Destination):
    """A worker with how many dispatches it got."""

    count: int  # dispatches of the host's API


class DispatchExample(TypedDict):
    """A dispatch and where it went."""

    room: str | None  # name of the room
    dispatch_id: str | None  # id of the dispatch
    agent_name: str | None  # name that was dispatched to
    time: str | None  # when the API logged it
    to: Destination | None  # worker that got it; None where that is not known


class Flow(TypedDict):
    """From the requests that nginx saw to the workers that got the jobs."""

    since: str  # start of the time looked at
    requests: int | None  # requests that nginx saw; None where its log was not read
    requests_since: str | None  # where later than the start: from when on they were counted
    dispatches_since: str | None  # the same of the dispatches
    by_status: dict[str, int]  # requests by status
    dispatches: int | None  # dispatches that the API logged; None where its log was not read
    traced: int  # the newest of them, which were followed
    to: list[CountedDestination]  # where those went
    unknown: int  # how many of them went nobody knows where
    examples: list[DispatchExample]  # some of them


class CauseFound(TypedDict):
    """A cause that holds on a host, with its texts filled in."""

    id: str  # id in the table of causes
    title: str  # the cause in a sentence
    remedy: str  # what to do
    test: str  # how to see that it helped
    rollback: str  # how to take the remedy back
    certain: bool  # whether it explains every lost job
    evidence_for: list[str]  # what speaks for it
    against: list[str]  # what speaks against it


class CauseRuledOut(TypedDict):
    """A cause that does not hold."""

    cause: str  # id in the table of causes
    title: str  # the cause in a few words
    by: str  # what rules it out


class CauseUnknown(TypedDict):
    """A cause that could not be decided."""

    cause: str  # id in the table of causes
    title: str  # the cause in a few words
    why: str  # what is missing
    idle: bool  # whether only nothing happened that would show it


class HostAnswer(TypedDict):
    """The answer for one host."""

    agent_name: str  # name that the host is to serve
    pool: str  # pool that it is to serve in
    release: str | None  # release that serves
    worker_ids: list[str]  # ids of its worker
    verdict: str | None  # who gets the jobs
    since: str  # start of the time looked at
    outcome: str  # cause, possible, nothing_wrong, no_cause_found or not_read
    summary: str  # the answer in a sentence
    causes: list[CauseFound]  # causes that hold, the most probable first
    ruled_out: list[CauseRuledOut]  # causes that do not
    unknown: list[CauseUnknown]  # causes that could not be decided
    not_read: list[str]  # what could not be read, a sentence each
    flow: Flow  # where requests went


class Event(TypedDict):
    """A line of the timeline."""

    time: str  # when it happened
    event: str  # what happened


class Decision(TypedDict):
    """What is decided for all hosts."""

    ok: bool  # whether nothing is wrong on any host
    hosts: dict[str, HostAnswer]  # the answer for each
    not_read: list[str]  # what could not be read, a sentence each
    timeline: list[Event]  # what happened when


class Diagnosis(Decision):
    """The document ``diagnose.json``."""

    at: str  # when the diagnosis was made
    server: str  # address of the LiveKit server
    inventory: list[str]  # problems of the inventory
    sip: SipReading  # SIP dispatch rules of the server
