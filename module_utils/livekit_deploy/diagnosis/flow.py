# SPDX-License-Identifier: Apache-2.0
"""Where requests went: from nginx over the dispatches of the API to the workers that got the jobs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..gather.types import ApiEvidence, Dispatch
from ..worker.types import JobRequest, no_worker
from .host_view import HostView
from .missing import as_mapping, as_mappings
from .moments import epoch_seconds, utc
from .sightings import ForeignWorker, Sighting, worker_label
from .types import CountedDestination, Destination, DispatchExample, Flow, LivingDispatch
from .world import World

EXAMPLES = 5


def destination(host: HostView, dispatch: Dispatch) -> Destination | None:
    """Return the worker that got a dispatch of a host's API; None if that is not known.

    It is the one in the room if the room lives, else the last one that was asked.
    """
    for living in as_mappings(host.world.rooms.get(str(dispatch.get("room")))):
        if is_dispatch(living, dispatch) and (taken := first_taker(living)):
            return destination_at(host, host.world.located.get(taken), taken)
    asked = asked_workers(host.world, dispatch)
    if not asked:
        return None
    sighting, _ = max(asked, key=lambda one: epoch_seconds(one[1].get("time")) or 0.0)
    return destination_at(host, sighting, worker_label(sighting.worker))


def is_dispatch(living: LivingDispatch, dispatch: Dispatch) -> bool:
    same_id = living.get("id") == dispatch.get("dispatch_id")
    return same_id or living.get("agent_name") == dispatch.get("agent_name")


def first_taker(living: LivingDispatch) -> str:
    return next((str(job["worker_id"]) for job in as_mappings(living.get("jobs")) if job.get("worker_id")), "")


def asked_workers(world: World, dispatch: Dispatch) -> list[tuple[Sighting, JobRequest]]:
    """Return the workers that were asked for a dispatch: by its id, else by its room."""
    by_id = world.asked.get(("dispatch_id", str(dispatch.get("dispatch_id"))), [])
    in_room = world.asked.get(("room", str(dispatch.get("room"))), [])
    return by_id or [one for one in in_room if is_for(one[1], dispatch)]


def is_for(request: JobRequest, dispatch: Dispatch) -> bool:
    """Tell whether a request for a dispatch's room may be for it: neither names another agent or dispatch."""
    names = (request.get("agent_name"), dispatch.get("agent_name"))
    ids = (request.get("dispatch_id"), dispatch.get("dispatch_id"))
    return all(not one or not other or one == other for one, other in (ids, names))


def destination_at(host: HostView, sighting: Sighting | None, worker_id: str) -> Destination:
    worker = sighting.worker if sighting else no_worker()
    where = sighting.home(host) if sighting else None
    own = where is host and worker.get("container") == host.worker.get("container")
    name = where.name if where else None
    return {"host": name, "container": worker.get("container"), "worker_id": worker_id, "own": own}


def flow(host: HostView) -> Flow:
    """Follow the requests that nginx saw over the dispatches that the API logged to the workers."""
    proxy, api = host.proxy_read, host.api_read
    followed = [(dispatch, destination(host, dispatch)) for dispatch in host.dispatches]
    return {
        "since": host.since,
        "requests": proxy.get("requests") if proxy.get("read") else None,
        "requests_since": counted_from(host, proxy),
        "dispatches_since": counted_from(host, api),
        "by_status": as_mapping(proxy.get("by_status")),
        "dispatches": dispatch_count(api) if api.get("read") else None,
        "traced": len(host.dispatches),
        "to": counted_destinations([to for _, to in followed if to]),
        "unknown": sum(1 for _, to in followed if to is None),
        "examples": [dispatch_example(dispatch, to) for dispatch, to in followed[:EXAMPLES]],
    }


def dispatch_count(api: ApiEvidence) -> int:
    """Return how many dispatches the API logged."""
    return sum(as_mapping(api.get("agent_names")).values())


def counted_destinations(found: Sequence[Destination]) -> list[CountedDestination]:
    """Return each destination once, with its dispatches, the one that got most first."""
    counted: dict[tuple[str | None, str | None], CountedDestination] = {}
    for to in found:
        entry = counted.setdefault((to["host"], to["container"]), {**to, "count": 0})
        entry["count"] += 1
    return sorted(counted.values(), key=lambda entry: -entry["count"])


def dispatch_example(dispatch: Dispatch, to: Destination | None) -> DispatchExample:
    room, dispatch_id, name = dispatch.get("room"), dispatch.get("dispatch_id"), dispatch.get("agent_name")
    return {"room": room, "dispatch_id": dispatch_id, "agent_name": name, "time": dispatch.get("time"), "to": to}


def counted_from(host: HostView, reading: Mapping[str, object]) -> str | None:
    """Return from when on a reading counted, where that is later than the start of the time looked at."""
    begins, since = as_mapping(reading.get("reach")).get("begins"), epoch_seconds(host.evidence.get("since"))
    return utc(begins) if begins is not None and since is not None and begins > since else None


def destination_text(to: Destination) -> str:
    """Say where a dispatch went."""
    if to.get("own"):
        return "the worker here"
    if not to.get("host"):
        return f"{to.get('worker_id')} (on no host that was read)"
    return f"{to.get('container')} on {to['host']}"


def taken_dispatches_text(host: HostView, foreign: ForeignWorker) -> str:
    """Say how many of this host's dispatches a foreign worker got; empty when none is known."""
    found = [d for d in host.dispatches if (to := destination(host, d)) and to["worker_id"] == foreign.worker_id]
    if not found:
        return ""
    example = f"room {found[-1].get('room')} at {utc(found[-1].get('time'))}"
    logged = f"{len(host.dispatches)} dispatches that the API of {host.name} logged"
    return f"{foreign.worker_id} got {len(found)} of {logged}, such as {example}"
