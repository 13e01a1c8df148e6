# SPDX-License-Identifier: Apache-2.0
"""What is gathered of a host and of a LiveKit server's log, key by key."""

from __future__ import annotations

from typing import TypedDict

from ..machine.logs import ReachFacts

Variables = dict[str, "str | None"]
"""Agent name variables and the server's address; None where one is not set."""


class ServerWorker(TypedDict):
    """A worker in the log of a LiveKit server. Times are ISO 8601."""

    worker_id: str
    agent_name: str
    job_type: str
    deployment: str | None
    registered: str | None
    closed: str | None
    """None: it is there."""


class ServerReading(TypedDict):
    complete: bool
    """The log reaches back to the server's start, and nothing is known to be missing."""
    reason: str
    """Why not; empty where it is complete."""
    since: str | None
    workers: list[ServerWorker]
    """Those that are there, and those that left within the last minutes."""
    lines: int
    time: float


class Dispatch(TypedDict):
    """A dispatch that an API logged."""

    room: str | None
    dispatch_id: str | None
    agent_name: str | None
    time: str


class DispatchCounts(TypedDict):
    agent_names: dict[str, int]
    dispatches: list[Dispatch]
    """The newest 200."""
    failed: int
    last_failure: str | None


class ApiFacts(TypedDict):
    read: bool
    """Its log tells of dispatches."""
    container: str | None
    running: bool
    service: str | None
    url: str | None
    env: Variables


class ApiEvidence(ApiFacts, DispatchCounts):
    """What the API's container was given, and what its log says it dispatched."""

    reach: ReachFacts


class ProxyEvidence(TypedDict):
    """The requests that reached the proxy."""

    read: bool
    path: str
    requests: int
    by_status: dict[str, int]
    by_request: dict[str, int]
    last: float | None
    reach: ReachFacts


class ProjectEvidence(TypedDict):
    """A compose project with containers on the host."""

    name: str
    directory: str
    services: list[str]
    ours: bool
    has_worker: bool
    agent_names: list[str]
    written: dict[str, Variables]
    """What its files say now, for each service; only of a project of others that has a worker."""
