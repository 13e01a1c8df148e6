# SPDX-License-Identifier: Apache-2.0
"""The nouns of a diagnosis. What it is given has no certain key: what could not be read is missing, or None."""

from __future__ import annotations

from typing import TypedDict

from ..gather.types import ApiEvidence, ProxyEvidence, ServerWorker
from ..release.records import Record, Service
from ..worker.types import WorkerReading

# --- what was read of a host -----------------------------------------------------------------------------------------


class LogLines(TypedDict, total=False):
    """Lines of one kind in a worker's log, told by the last of them."""

    count: int  # how many there were since the start of the time looked at
    line: str | None  # text of the last one
    message: str  # the same of a failed connection
    error: str | None  # error that the line names
    time: str  # when it was logged


class Evidence(TypedDict, total=False):
    """Everything that ``agent_diagnosis_info`` read on a host."""

    since: float  # start of the time looked at
    time: float  # the host's clock
    clock_skew_seconds: float | None  # the host's clock minus the controller's
    missing: list[str]  # what the host lacks to take a release
    release: Record | None  # release that serves
    states: dict[str, str]  # state of each recorded release
    services: dict[str, Service]  # containers of the release by compose service
    written: dict[str, dict[str, str | None]]  # what the release's files say now, by compose service
    gate: str | None  # standby gate, open or closed
    drift: list[str]  # what differs between the record and the host
    leftovers: list[str]  # other releases that have containers, or were left unfinished
    workers: list[WorkerReading]  # every worker of the host
    proxy: ProxyEvidence  # nginx's access log
    api: ApiEvidence  # the API's log
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


class ServerLog(TypedDict, total=False):
    """The log of one LiveKit server."""

    host: str  # host that it was read on
    complete: bool  # whether it reaches back to the server's start
    reason: str  # why it does not
    msg: str  # why it could not be read at all
    workers: list[ServerWorker]  # workers that registered


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
