# SPDX-License-Identifier: Apache-2.0
"""Look at a dispatch until somebody has its job, and at its room until the agent is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from .client import READ_TRIES, Connection, Dispatch, Job, retried
from .errors import LiveKitError
from .outcomes import MEDIA
from .probe import STAY_SECONDS, Probe

SERVER_FLOOR_SECONDS = 0.21  # the server asks no worker earlier
POLLS_PER_SECOND = 500  # of all probes together
DISPATCH_SECONDS = 3.0  # a dispatch is in the list when its creation is answered
JOB_SECONDS = 1.0
MEDIA_SECONDS = 2.0  # a media connection that may be made stands 0.05 s after the list has the agent (measured)
LEAVE_SECONDS = 3.0
READ_THE_LOG = "read the worker's log for an exception"


def find_dispatch(dispatches: list[Dispatch], agent_name: str, dispatch_id: str = "") -> Dispatch | None:
    """Return our dispatch: by id where it is known, else by name. A room may have one with the name "" as well."""
    for dispatch in dispatches:
        if dispatch["id"] == dispatch_id if dispatch_id else dispatch["agent_name"] == agent_name:
            return dispatch
    return None


def find_job(dispatch: Dispatch | None) -> Job | None:
    """Return the job that a worker took; a job listed as pending without a worker is not taken yet."""
    jobs = dispatch["jobs"] if dispatch else []
    taken = [job for job in jobs if job["worker_id"] or job["status"] != "JS_PENDING"]
    return next((job for job in taken if job["worker_id"]), taken[0] if taken else None)


def poll_delay(elapsed: float, active: int, expect: str = "job") -> float:
    """Return the seconds until the next look: few while an answer is likely, more when many probes look."""
    usual = 1.0 if expect == "nobody" else 0.1 if elapsed < 1.0 else 0.25
    return max(usual, active / POLLS_PER_SECOND)


def taken_text(name: str | None, job: Job, latency: float) -> str:
    worker = job["worker_id"] or "a worker whose id this server does not tell (LiveKit servers before 1.9.1)"
    how = "answered by" if job["status"] == "JS_SUCCESS" else "taken by"
    return f"job {job['id']} for {name!r} {how} {worker}, in the server's list after {latency:.2f} s"


def nobody_text(name: str | None, window: float, wanted: str = "") -> str:
    directed = f", directed at {wanted}," if wanted else ""
    return f"no worker took a dispatch to {name!r}{directed} within {window:g} s; the server does not offer it again"


def no_media_text(identity: str, seconds: float) -> str:
    return f"{identity} has no media connection within {seconds:g} s: LiveKit lists it as joined and not as active"


def dispatched_names(dispatches: list[Dispatch]) -> list[str]:
    """Return the agent names that a room's dispatches go to; one with the name "" is the server's own."""
    return sorted({dispatch["agent_name"] for dispatch in dispatches if dispatch["agent_name"]})


def other_name_text(room: str, names: list[str], wanted: str) -> str:
    found = f"dispatches to {', '.join(names)}" if names else "no dispatch to a named agent"
    return f"{found} in room {room!r}, expected one to {wanted!r}: the API has the name from elsewhere than AGENT_NAME"


async def find_name(connection: Connection, probe: Probe) -> None:
    """Find the name that the application dispatched to, where its answer does not say it, in the room's dispatches."""
    result, wanted = probe.result, probe.spec.agent_name
    names: list[str] = []
    async with looking(probe):
        while not names and probe.elapsed < DISPATCH_SECONDS:
            names = dispatched_names(await list_dispatches(connection, probe))
            await asyncio.sleep(0 if names else 0.1)
    if not names:
        raise LiveKitError(
            "preview",
            f"the room {result['room']!r} of the API's answer has no dispatch to a named agent",
            f"one to {wanted!r}" if wanted else "one",
            "correct the API, or verification_preview.room; of an API that dispatches only when a caller joins nothing "
            "can be seen: verification_preview=false",
        )
    result["agent_name"] = wanted if wanted in names else names[0]


async def watch(connection: Connection, probe: Probe) -> None:
    """Look until a worker has the job, at most the server's search window; a preview: until its agent is there."""
    job = await watch_list(connection, probe)
    if not job:
        return
    probe.identity = job["identity"]
    latency = round(probe.elapsed, 3)
    result = probe.result
    result |= {"job_id": job["id"], "worker_id": job["worker_id"] or None, "status": job["status"]}
    reason = taken_text(result["agent_name"], job, latency)
    result |= {"outcome": "taken", "reason": reason, "latency_seconds": latency}
    if probe.spec.kind in ("preview", "rehearsal"):
        await watch_room(connection, probe)


async def watch_dispatch(connection: Connection, probe: Probe) -> None:
    """Look for a dispatch to the wanted name in the room. A taken one is ended in order, whoever took it."""
    name, result = probe.spec.agent_name, probe.result
    found: list[Dispatch] = []
    async with looking(probe):
        while not (dispatch := find_dispatch(found, name)) and probe.elapsed < DISPATCH_SECONDS:
            found = await list_dispatches(connection, probe)
            await asyncio.sleep(0.1)
        result["agent_name"] = name
        if not dispatch:
            result |= {"outcome": "nobody", "reason": other_name_text(probe.room, dispatched_names(found), name)}
            return
        reason = f"dispatch {dispatch['id']} to {name!r}"
        result |= {"dispatch_id": dispatch["id"], "outcome": "dispatched", "reason": reason}
        while not (job := find_job(dispatch)) and probe.elapsed < JOB_SECONDS:
            await asyncio.sleep(0.1)
            dispatch = find_dispatch(await list_dispatches(connection, probe), name)
    if job:
        probe.identity = job["identity"]
        result |= {"job_id": job["id"], "worker_id": job["worker_id"] or None, "status": job["status"]}


async def list_dispatches(connection: Connection, probe: Probe, tries: int = READ_TRIES) -> list[Dispatch]:
    return await retried(lambda: connection.list_dispatch(probe.room), tries)


async def watch_list(connection: Connection, probe: Probe) -> Job | None:
    """Return the job, or None when a look at the end of the window shows none."""
    spec, result = probe.spec, probe.result
    await asyncio.sleep(max(0.0, SERVER_FLOOR_SECONDS - probe.elapsed))
    async with looking(probe):
        while True:
            late = probe.elapsed >= spec.window
            if (job := await look_at_list(connection, probe, late)) or late:
                break
            delay = poll_delay(probe.elapsed, probe.crowd[0], spec.expect)
            await asyncio.sleep(min(delay, max(0.01, spec.window - probe.elapsed)))
    if not job:
        reason = nobody_text(result["agent_name"] or result["dispatch_id"], spec.window, spec.wanted)
        result |= {"outcome": "nobody", "reason": reason}
    return job


async def look_at_list(connection: Connection, probe: Probe, late: bool) -> Job | None:
    """Return the job where the list has one. A look that fails proves nothing: the last one raises."""
    result = probe.result
    try:
        dispatches = await list_dispatches(connection, probe, READ_TRIES if late else 1)
    except LiveKitError as failure:
        if late or not failure.passing:
            raise
        return None
    found = find_dispatch(dispatches, result["agent_name"] or "", result["dispatch_id"] or "")
    if found:
        result |= {"dispatch_id": found["id"], "agent_name": found["agent_name"]}
    return find_job(found)


async def watch_room(connection: Connection, probe: Probe) -> None:
    """Look until the agent of this job is in the room with its media connection, and whether it stays."""
    result, listed = probe.result, Listed()
    async with looking(probe):
        while probe.elapsed < probe.spec.deadline or listed.active_since:
            listed.look((await retried(lambda: connection.participants(probe.room))).get(probe.identity))
            if listed.here and listed.stayed >= STAY_SECONDS and not result["in_room"]:
                result |= {"in_room": True, "reason": f"{result['reason']}, {probe.identity} is in the room"}
            if result["in_room"] and listed.is_done(probe.spec.stay):
                return
            if listed.active_since and not listed.here:
                result["reason"] += f", but {probe.identity} left the room at once: {READ_THE_LOG}"
                return
            await asyncio.sleep(poll_delay(probe.elapsed, probe.crowd[0]))
    if listed.silent >= min(MEDIA_SECONDS, probe.spec.deadline / 2):
        result["error_kind"] = MEDIA
        result["reason"] += f", but {no_media_text(probe.identity, probe.spec.deadline)}"
    else:
        result["reason"] += (
            f", but {probe.identity} did not join the room within {probe.spec.deadline:g} s: {READ_THE_LOG}"
        )


@dataclass
class Listed:
    """What the server's list of a room's participants has shown of one of them."""

    here: bool = False
    active_since: float = 0.0
    silent_since: float = 0.0
    silent: float = 0.0  # the longest time in the list without a media connection

    def is_done(self, stay_seconds: float) -> bool:
        """Whether it has stayed as long as it is looked at, or has left."""
        return self.stayed >= stay_seconds or not self.here

    def look(self, active: bool | None) -> None:
        """Take one look: None where it is not in the list."""
        now = time.monotonic()
        self.here = active is not None
        if active:
            self.active_since = self.active_since or now
        elif self.here:
            self.active_since = 0.0
        self.silent_since = (self.silent_since or now) if active is False else 0.0
        self.silent = max(self.silent, now - self.silent_since) if self.silent_since else self.silent

    @property
    def stayed(self) -> float:
        return time.monotonic() - self.active_since if self.active_since else 0.0


@asynccontextmanager
async def looking(probe: Probe) -> AsyncIterator[None]:
    probe.crowd[0] += 1
    try:
        yield
    finally:
        probe.crowd[0] -= 1


async def presence(connection: Connection, room: str, identity: str, wanted: bool) -> bool:
    """Wait until the agent is in the room, or until it is not; return false when that takes too long."""
    end = time.monotonic() + LEAVE_SECONDS
    while (identity in await connection.participants(room)) is not wanted:
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.1)
    return True
