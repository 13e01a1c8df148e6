"""A stream of calls through a host's proxy: each one counts only when a worker took it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp
from livekit import api

from tests.e2e.harness import ROOT

# The server searches for 8 s at most and never offers a dispatch again.
IN_TIME_SECONDS = 10.0
# Each real job is a process that joins a room. On a small machine five a second pile up until the worker's memory is full, so the
# calls between are of the kind that an open worker answers itself: same API, same server, same request to the worker, no process.
REAL_EVERY = 5
ANSWERED = {"metadata": '{"livekit_deploy_probe": 1, "nonce": "call", "mode": "answer"}'}
LOOK_EVERY_SECONDS = 0.5
SPACING_SECONDS = 0.2
# About one list in a thousand is an internal error of the server's, and the server may be away: the next look tells.
AWAY = (api.ServerError, aiohttp.ClientError, TimeoutError)


@dataclass
class Call:
    """One preview: what the API answered, the worker that has the job, and whether its agent came."""

    real: bool
    sent: float = 0.0
    status: int = 0
    error: str = ""
    room: str = ""
    worker_id: str = ""
    joined: bool = False

    @property
    def lost(self) -> bool:
        """A worker that takes a call and whose agent does not come has lost it."""
        return self.status != 200 or not self.worker_id or (self.real and not self.joined)


@dataclass
class CallStream:
    """Calls at an even pace from a process of its own: a thread beside ansible-runner, which forks, could lock it up.

    The LiveKit server is asked who has each job and no log is read, because a log goes with its container while the stream runs.
    """

    url: str
    livekit: Mapping[str, str]
    calls: list[Call] = field(default_factory=list)

    def __enter__(self) -> CallStream:
        command = [sys.executable, "-m", "tests.e2e.calls"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"url": self.url, "livekit": dict(self.livekit)}) + "\n")
        self.process.stdin.flush()
        return self

    def __exit__(self, *_: object) -> None:
        """End of its input ends the sending; the fate of the last call is waited for."""
        said, _nothing = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        self.calls = [Call(**call) for call in json.loads(said)]

    @property
    def lost(self) -> list[Call]:
        return [call for call in self.calls if call.lost]


@dataclass
class Sender:
    """The other process: sends until the end of its input, then prints what became of the calls."""

    url: str
    livekit: Mapping[str, str]
    calls: list[Call] = field(default_factory=list)

    async def send(self) -> None:
        livekit = api.LiveKitAPI(self.livekit["url"], self.livekit["api_key"], self.livekit["api_secret"])
        timeout = aiohttp.ClientTimeout(total=15)
        end = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        async with livekit, aiohttp.ClientSession(timeout=timeout) as session, asyncio.TaskGroup() as tasks:
            started = time.monotonic()
            while not end.done():
                call = Call(len(self.calls) % REAL_EVERY == 0, time.time())
                self.calls.append(call)
                tasks.create_task(self.one(call, session, livekit))
                await asyncio.sleep(max(0.0, started + len(self.calls) * SPACING_SECONDS - time.monotonic()))

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
            with suppress(*AWAY):
                await livekit.room.delete_room(api.DeleteRoomRequest(room=call.room))


async def taker(livekit: api.LiveKitAPI, room: str) -> str:
    """Id of the worker that has the room's job; empty when none took it in time."""
    deadline = time.monotonic() + IN_TIME_SECONDS
    while time.monotonic() < deadline:
        try:
            dispatches = await livekit.agent_dispatch.list_dispatch(room)
        except AWAY:
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
        except AWAY:
            present = api.ListParticipantsResponse()
        if present.participants:
            return True
        await asyncio.sleep(LOOK_EVERY_SECONDS)
    return False


if __name__ == "__main__":
    sender = Sender(**json.loads(sys.stdin.readline()))
    asyncio.run(sender.send())
    json.dump([asdict(call) for call in sender.calls], sys.stdout)
