"""A stream of calls through a host's proxy: each one counts only when a worker took it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from livekit import api

# The server searches for 8 s at most and never offers a dispatch again.
IN_TIME_SECONDS = 10.0
# Each real job is a process that joins a room. On a small machine five a second pile up until the worker's memory is full, so the
# calls between are of the kind that an open worker answers itself: same API, same server, same request to the worker, no process.
REAL_EVERY = 5
ANSWERED = {"metadata": '{"livekit_deploy_probe": 1, "nonce": "call", "mode": "answer"}'}
LOOK_EVERY_SECONDS = 0.5


@dataclass
class Call:
    """One preview: what the API answered, the worker that has the job, and whether its agent came."""

    real: bool
    status: int = 0
    error: str = ""
    room: str = ""
    worker_id: str = ""
    joined: bool = False


@dataclass
class CallStream:
    """Posts previews at an even pace from a thread of its own, and asks the LiveKit server who has each job.

    The server is asked and no log is read, because a log goes with its container while the stream runs.
    """

    url: str
    livekit: Mapping[str, str]
    spacing: float = 0.2
    calls: list[Call] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ended = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.send()), daemon=True)

    def __enter__(self) -> CallStream:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop sending and wait until the fate of the last call is known."""
        self.ended.set()
        self.thread.join(timeout=60)
        assert not self.thread.is_alive(), "the calls did not come to an end"

    async def send(self) -> None:
        livekit = api.LiveKitAPI(self.livekit["url"], self.livekit["api_key"], self.livekit["api_secret"])
        timeout = aiohttp.ClientTimeout(total=15)
        async with livekit, aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as tasks:
            started = time.monotonic()
            while not self.ended.is_set():
                call = Call(real=len(self.calls) % REAL_EVERY == 0)
                self.calls.append(call)
                tasks.create_task(self.one(call, session, livekit))
                await asyncio.sleep(max(0.0, started + len(self.calls) * self.spacing - time.monotonic()))

    async def one(self, call: Call, session: aiohttp.ClientSession, livekit: api.LiveKitAPI) -> None:
        try:
            async with session.post(self.url, json={} if call.real else ANSWERED) as answer:
                call.status = answer.status
                body: dict[str, Any] = await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            call.error = f"{type(error).__name__}: {error}"
            return
        call.room = str(body.get("room", ""))
        if call.room:
            call.worker_id = await taker(livekit, call.room)
            call.joined = call.real and await joined(livekit, call.room)
            await livekit.room.delete_room(api.DeleteRoomRequest(room=call.room))


async def taker(livekit: api.LiveKitAPI, room: str) -> str:
    """Id of the worker that has the room's job; empty when none took it in time."""
    deadline = time.monotonic() + IN_TIME_SECONDS
    while time.monotonic() < deadline:
        try:
            dispatches = await livekit.agent_dispatch.list_dispatch(room)
        except api.ServerError:  # about one list in a thousand; the next look tells
            dispatches = []
        for job in (job for dispatch in dispatches for job in dispatch.state.jobs):
            if job.state.worker_id:
                return str(job.state.worker_id)
        await asyncio.sleep(LOOK_EVERY_SECONDS)
    return ""


async def joined(livekit: api.LiveKitAPI, room: str) -> bool:
    """Whether an agent is in the room in time. One that joins after the room's end would make the room again."""
    deadline = time.monotonic() + IN_TIME_SECONDS
    while time.monotonic() < deadline:
        try:
            present = await livekit.room.list_participants(api.ListParticipantsRequest(room=room))
        except api.ServerError:
            present = api.ListParticipantsResponse()
        if present.participants:
            return True
        await asyncio.sleep(LOOK_EVERY_SECONDS)
    return False
