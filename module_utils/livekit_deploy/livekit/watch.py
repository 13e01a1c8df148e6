# SPDX-License-Identifier: Apache-2.0
"""Look at a dispatch until somebody has its job, and at its room until the agent is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from . import client
from .client import Connection
from .errors import LiveKitError
from .outcomes import MEDIA
from .probe import STAY_SECONDS, Probe

SERVER_FLOOR_SECONDS = 0.21  # the server asks no worker earlier
POLLS_PER_SECOND = 500  # of all probes together
DISPATCH_SECONDS = 3.0  # a dispatch is in the list when its creation is answered
JOB_SECONDS = 1.0
MEDIA_SECONDS = 2.0  # a media connection that may be made stands 0.05 s after the list has the agent (measured)
LEAVE_SECONDS = 3.0


def find_dispatch(dispatches: list[dict[str, Any]], agent_name: str, dispatch_id: str = "") -> dict[str, Any] | None:
    """Our dispatch: by id where it is known, else by name (a room may have one with the name "" as well)."""
    for dispatch in dispatches:
        if dispatch["id"] == dispatch_id if dispatch_id else dispatch["agent_name"] == agent_name:
            return dispatch
    return None


def find_job(dispatch: dict[str, Any] | None) -> dict[str, Any] | None:
    """The job a worker took; a job listed as pending without a worker is not taken yet."""
    jobs = (dispatch or {}).get("jobs") or []
    taken = [job for job in jobs if job["worker_id"] or job["status"] != "JS_PENDING"]
    return next((job for job in taken if job["worker_id"]), taken[0] if taken else None)


def poll_delay(elapsed: float, active: int, expect: str = "job") -> float:
    """Seconds until the next look: short while an answer is likely, longer when many probes look."""
    usual = 1.0 if expect == "nobody" else 0.1 if elapsed < 1.0 else 0.25
    return max(usual, active / POLLS_PER_SECOND)


def taken_text(name: str, job: dict[str, Any], latency: float) -> str:
    worker = job["worker_id"] or "a worker whose id this server does not tell (LiveKit servers before 1.9.1)"
    how = "answered by" if job["status"] == "JS_SUCCESS" else "taken by"
    return f"job {job['id']} for {name!r} {how} {worker}, in the server's list after {latency:.2f} s"


def nobody_text(name: str, window: float, wanted: str = "") -> str:
    directed = f", directed at {wanted}," if wanted else ""
    return f"no worker took a dispatch to {name!r}{directed} within {window:g} s; the server does not offer it again"


def no_media_text(identity: str, seconds: float) -> str:
    return f"{identity} has no media connection within {seconds:g} s: LiveKit lists it as joined and not as active"


def names_of(dispatches: list[dict[str, Any]]) -> list[str]:
    """Agent names that a room's dispatches go to; one with the name "" is the server's own."""
    return sorted({dispatch["agent_name"] for dispatch in dispatches if dispatch["agent_name"]})


def other_name_text(room: str, names: list[str], wanted: str) -> str:
    found = f"dispatches to {', '.join(names)}" if names else "no dispatch to a named agent"
    return f"{found} in room {room!r}, expected one to {wanted!r}: the API has the name from elsewhere than AGENT_NAME"


async def find_name(connection: Connection, probe: Probe) -> None:
    """To whom the application dispatched, where its answer does not say: the room's own dispatches do."""
    result, wanted = probe.result, probe.spec.agent_name
    names: list[str] = []
    async with looking(probe):
        while not names and probe.elapsed < DISPATCH_SECONDS:
            names = names_of(await client.read(lambda: connection.list_dispatch(result["room"])))
            await asyncio.sleep(0 if names else 0.1)
    if not names:
        raise LiveKitError(
            "preview",
            f"the room {result['room']!r} of the API's answer has no dispatch to a named agent",
            f"one to {wanted!r}" if wanted else "one",
            "correct the API, or verification_preview.room; of an API that dispatches only when a caller joins nothing can be seen: "
            "verification_preview=false",
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
    result.update(job_id=job["id"], worker_id=job["worker_id"] or None, status=job["status"], latency_seconds=latency)
    result.update(outcome="taken", reason=taken_text(result["agent_name"], job, latency))
    if probe.spec.kind in ("preview", "rehearsal"):
        await watch_room(connection, probe)


async def watch_dispatch(connection: Connection, probe: Probe) -> None:
    """Is there a dispatch to the wanted name in the room? Who takes it is not asked, but one that was taken is ended in order."""
    spec, result = probe.spec, probe.result
    found: list[dict[str, Any]] = []
    async with looking(probe):
        while not (dispatch := find_dispatch(found, spec.agent_name)) and probe.elapsed < DISPATCH_SECONDS:
            found = await client.read(lambda: connection.list_dispatch(result["room"]))
            await asyncio.sleep(0.1)
        result["agent_name"] = spec.agent_name
        if not dispatch:
            result.update(outcome="nobody", reason=other_name_text(result["room"], names_of(found), spec.agent_name))
            return
        result.update(dispatch_id=dispatch["id"], outcome="dispatched", reason=f"dispatch {dispatch['id']} to {spec.agent_name!r}")
        while not (job := find_job(dispatch)) and probe.elapsed < JOB_SECONDS:
            await asyncio.sleep(0.1)
            dispatch = find_dispatch(await client.read(lambda: connection.list_dispatch(result["room"])), spec.agent_name)
    if job:
        probe.identity = job["identity"]
        result.update(job_id=job["id"], worker_id=job["worker_id"] or None, status=job["status"])


async def watch_list(connection: Connection, probe: Probe) -> dict[str, Any] | None:
    """The job, or None when a look at the end of the window shows none. A look that fails proves nothing."""
    spec, result = probe.spec, probe.result
    await asyncio.sleep(max(0.0, SERVER_FLOOR_SECONDS - probe.elapsed))
    async with looking(probe):
        while True:
            late = probe.elapsed >= spec.window
            try:
                dispatches = await client.read(lambda: connection.list_dispatch(result["room"]), client.READ_TRIES if late else 1)
                found = find_dispatch(dispatches, result["agent_name"] or "", result["dispatch_id"] or "")
                if found:
                    result.update(dispatch_id=found["id"], agent_name=found["agent_name"])
                if (job := find_job(found)) or late:
                    break
            except LiveKitError as trouble:
                if late or not trouble.passing:
                    raise
            await asyncio.sleep(min(poll_delay(probe.elapsed, probe.crowd[0], spec.expect), max(0.01, spec.window - probe.elapsed)))
    if not job:
        result.update(
            outcome="nobody",
            reason=nobody_text(result["agent_name"] or result["dispatch_id"], spec.window, spec.wanted),
        )
    return job


async def watch_room(connection: Connection, probe: Probe) -> None:
    """Is the agent of this job in the room with its media connection, and does it stay?"""
    result, listed = probe.result, Listed()
    async with looking(probe):
        while probe.elapsed < probe.spec.deadline or listed.active_since:
            listed.look((await client.read(lambda: connection.participants(result["room"]))).get(probe.identity))
            if listed.here and listed.stayed >= STAY_SECONDS and not result["in_room"]:
                result.update(in_room=True, reason=f"{result['reason']}, {probe.identity} is in the room")
            if result["in_room"] and (listed.stayed >= probe.spec.stay or not listed.here):
                return
            if listed.active_since and not listed.here:
                result["reason"] += f", but {probe.identity} left the room at once: read the worker's log for an exception"
                return
            await asyncio.sleep(poll_delay(probe.elapsed, probe.crowd[0]))
    if listed.silent >= min(MEDIA_SECONDS, probe.spec.deadline / 2):
        result.update(error_kind=MEDIA, reason=f"{result['reason']}, but {no_media_text(probe.identity, probe.spec.deadline)}")
        return
    result["reason"] += (
        f", but {probe.identity} did not join the room within {probe.spec.deadline:g} s: read the worker's log for an exception"
    )


@dataclass
class Listed:
    """What the server's list of a room's participants has said of one of them."""

    here: bool = False
    active_since: float = 0.0
    silent_since: float = 0.0
    silent: float = 0.0  # the longest time in the list without a media connection

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
    """Wait until the agent is in the room, or until it is not; false when that takes too long."""
    end = time.monotonic() + LEAVE_SECONDS
    while (identity in await connection.participants(room)) is not wanted:
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.1)
    return True
