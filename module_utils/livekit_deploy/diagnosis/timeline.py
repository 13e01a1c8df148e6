# SPDX-License-Identifier: Apache-2.0
"""What happened when, oldest first, of everything that concerns a name of the inventory. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from .host_view import HostView
from .missing import as_mapping, as_mappings
from .moments import epoch_seconds, utc
from .sightings import Sighting, calls, effective_name, worker_label, worker_place
from .types import Event, LogLines, ServerLog
from .world import World

LONGEST = 40
T = TypeVar("T")
Happened = tuple[object, str]  # a time as it was read, and what happened


def timeline(world: World, limit: int = LONGEST) -> list[Event]:
    names = {host.agent_name for host in world.agent_hosts if host.agent_name}
    happened = [event for host in world.hosts for event in [*release_events(host), *traffic_events(host)]]
    happened += [event for sighting in world.sightings for event in worker_events(sighting, names)]
    happened += [event for log in world.server_logs for event in server_events(log, names)]
    timed = sorted({(seconds, text) for value, text in happened if (seconds := epoch_seconds(value))})
    return [{"time": utc(seconds), "event": text} for seconds, text in timed[-limit:]]


def release_events(host: HostView) -> list[Happened]:
    record = host.record
    return [(record.get("served_at"), f"{host.name}: release {host.release} ({record.get('agent_name')}) serves")]


def worker_events(sighting: Sighting, names: set[str]) -> list[Happened]:
    worker, host = sighting.worker, sighting.home(sighting.hosts[0])
    if effective_name(worker) not in names and not host.owns(worker):
        return []
    who = f"{host.name}: {worker_place(worker)}"
    failure: LogLines = as_mapping(worker.get("last_failure"))
    registered = f"{who} registered as {worker.get('agent_name')!r} ({worker_label(worker)})"
    return [
        (worker.get("started_at"), f"{who} started"),
        (worker.get("registered_since"), registered),
        (failure.get("time"), f"{who}: {failure.get('message')} ({failure.get('error')})"),
        *(
            (request.get("time"), f"{who}: {word} job request, room {request.get('room')}")
            for word, request in ends(calls(worker.get("requests")))
        ),
    ]


def ends(items: Sequence[T]) -> list[tuple[str, T]]:
    """Return the first and the last of the items, each with its word."""
    return [("first", items[0]), ("last", items[-1])] if len(items) > 1 else [("only", item) for item in items]


def traffic_events(host: HostView) -> list[Happened]:
    events: list[Happened] = []
    for word, item in ends(sorted(host.dispatches, key=lambda d: epoch_seconds(d.get("time")) or 0.0)):
        text = f"{host.name}: {word} dispatch of the API, to {item.get('agent_name')!r}, room {item.get('room')}"
        events.append((item.get("time"), text))
    return [*events, (host.proxy_read.get("last"), f"{host.name}: last request that nginx saw")]


def server_events(log: ServerLog, names: set[str]) -> list[Happened]:
    events: list[Happened] = []
    for worker in as_mappings(log.get("workers")):
        if worker.get("agent_name") in names:
            who, name = f"{log.get('host')}: worker {worker.get('worker_id')}", worker.get("agent_name")
            events.append((worker.get("registered"), f"{who} registered as {name!r}"))
            events.append((worker.get("closed"), f"{who} of {name!r} left"))
    return events
