"""A stream of calls through a host's proxy, and directly to LiveKit beside it: each counts only if a worker took it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import count
from typing import Any

import aiohttp
from livekit import api

from tests.e2e.harness import ROOT

# The server searches for 8 s at most and never offers a dispatch again.
IN_TIME_SECONDS = 10.0
# Each real job is a process that joins a room. On a small machine five a second pile up until the worker's memory is
# full, so the calls between are of the kind that an open worker answers itself: same API, same server, same request to
# the worker, no process.
REAL_EVERY = 5
RATE = 5.0
LOOK_EVERY_SECONDS = 0.5
# A direct room lives so long without anybody, as one that the API makes; a call in progress outlives every deployment.
EMPTY_SECONDS = 30
HELD_SECONDS = 900
# What LiveKit or the way there may answer a reader now and then; the next look tells.
PASSING = (api.ServerError, aiohttp.ClientError, TimeoutError)
API, DIRECT = "api", "direct"


@dataclass
class Call:
    """One dispatch: what was answered to it, the worker that has the job, and whether its agent came."""

    real: bool
    way: str = API
    nonce: str = ""
    """What a worker's log says of a call that the worker answers itself."""
    agent_name: str = ""
    sent: float = 0.0
    status: int = 0
    error: str = ""
    room: str = ""
    worker_id: str = ""
    joined: bool = False
    listed: float = 0.0
    """When LiveKit showed the worker, and of a real job the agent in the room; 0 when it never did."""

    @property
    def lost(self) -> bool:
        """A worker that takes a call and whose agent does not come has lost it."""
        return self.status != 200 or not self.worker_id or (self.real and not self.joined)

    @property
    def metadata(self) -> str:
        return "" if self.real else json.dumps({"livekit_deploy_probe": 1, "nonce": self.nonce, "mode": "answer"})


@dataclass
class Names:
    """The names that dispatches go to: the one that the API dispatches to now, and for a while the one before."""

    first: str
    overlap: float
    """Seconds for which a former name is served after the last answer that had it."""
    answered: dict[str, float] = field(default_factory=dict)
    """When an answer of the API had the name last; the latest name comes last."""

    def say(self, name: str, at: float) -> None:
        self.answered[name] = at

    def in_force(self, at: float) -> list[str]:
        names = list(self.answered) or [self.first]
        return [name for name in names[:-1] if at - self.answered[name] < self.overlap] + names[-1:]


@dataclass
class CallStream:
    """Calls at an even pace from a process of its own: a thread beside ansible-runner, which forks, could lock it up.

    The LiveKit server is asked who has each job and no log is read, because a log goes with its container while the
    stream runs. With an `agent_name` as many dispatches go directly to that name, and after a rename to the one that
    the API has.
    """

    url: str
    livekit: Mapping[str, str]
    rate: float = RATE
    real_every: int = REAL_EVERY
    agent_name: str = ""
    overlap: float = 0.0
    calls: list[Call] = field(default_factory=list)

    def __enter__(self) -> CallStream:
        command = [sys.executable, "-m", "tests.e2e.calls"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdin
        self.process.stdin.write(json.dumps(asdict(self)) + "\n")
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
    rate: float
    real_every: int
    agent_name: str
    overlap: float
    calls: list[Call] = field(default_factory=list)

    async def send(self) -> None:
        self.names = Names(self.agent_name, self.overlap)
        end = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        async with (
            # While nobody answers, calls wait; the next ones must not wait for them.
            aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=15), connector=aiohttp.TCPConnector(limit=0)
            ) as self.session,
            asyncio.TaskGroup() as tasks,
        ):
            self.server = connect(self.livekit, self.session)
            started = time.monotonic()
            for tick in count():
                if end.done():
                    break
                for call in self.due(tick, time.time()):
                    self.calls.append(call)
                    tasks.create_task(self.one(call))
                await asyncio.sleep(max(0.0, started + (tick + 1) / self.rate - time.monotonic()))

    def due(self, tick: int, now: float) -> list[Call]:
        real = bool(self.real_every) and tick % self.real_every == 0
        names = self.names.in_force(now) if self.agent_name else []
        calls = [
            Call(real),
            *(Call(real, DIRECT, agent_name=name, room=f"direct-{uuid.uuid4().hex}") for name in names),
        ]
        for call in calls:
            call.nonce, call.sent = uuid.uuid4().hex, now
        return calls

    async def one(self, call: Call) -> None:
        try:
            await (self.directly(call) if call.way == DIRECT else self.through_the_api(call))
        except (*PASSING, ValueError) as error:
            call.status, call.error = getattr(error, "status", call.status), f"{type(error).__name__}: {error}"
            return
        if call.room:
            call.worker_id = await taker(self.server, call.room)
            call.joined = call.real and await joined(self.server, call.room)
            call.listed = time.time() if call.worker_id and call.joined == call.real else 0.0
            with suppress(*PASSING):  # it ends by itself, too
                await self.server.room.delete_room(api.DeleteRoomRequest(room=call.room))

    async def through_the_api(self, call: Call) -> None:
        async with self.session.post(self.url, json={"metadata": call.metadata}) as answer:
            call.status = answer.status
            body: dict[str, Any] = await answer.json(content_type=None)
        call.room, call.agent_name = str(body.get("room", "")), str(body.get("agent_name", ""))
        if call.agent_name:
            self.names.say(call.agent_name, time.time())

    async def directly(self, call: Call) -> None:
        await create_room(self.server, call.room, call.agent_name, call.metadata, EMPTY_SECONDS)
        call.status = 200


def connect(livekit: Mapping[str, str], session: aiohttp.ClientSession) -> api.LiveKitAPI:
    return api.LiveKitAPI(livekit["url"], livekit["api_key"], livekit["api_secret"], session=session)


async def create_room(server: api.LiveKitAPI, room: str, agent_name: str, metadata: str, empty_timeout: int) -> None:
    agents = [api.RoomAgentDispatch(agent_name=agent_name, metadata=metadata)]
    await server.room.create_room(api.CreateRoomRequest(name=room, empty_timeout=empty_timeout, agents=agents))


async def taker(livekit: api.LiveKitAPI, room: str) -> str:
    """Id of the worker that has the room's job; empty when none took it in time."""
    deadline = time.monotonic() + IN_TIME_SECONDS
    while time.monotonic() < deadline:
        # The request reaches a worker 0.2 s after the dispatch, so the first look is not at once.
        await asyncio.sleep(LOOK_EVERY_SECONDS)
        try:
            dispatches = await livekit.agent_dispatch.list_dispatch(room)
        except PASSING:
            dispatches = []
        for job in (job for dispatch in dispatches for job in dispatch.state.jobs):
            if job.state.worker_id:
                return str(job.state.worker_id)
    return ""


async def joined(livekit: api.LiveKitAPI, room: str) -> bool:
    """Whether an agent is in the room in time. One that joins after the room's end would make the room again."""
    deadline = time.monotonic() + IN_TIME_SECONDS
    while time.monotonic() < deadline:
        with suppress(*PASSING):
            if await connected(livekit, room):
                return True
        await asyncio.sleep(LOOK_EVERY_SECONDS)
    return False


async def connected(livekit: api.LiveKitAPI, room: str) -> bool:
    """Whether somebody is in the room now, with a media connection.

    LiveKit lists a participant before it has one. A room that ended then left its agent trying for 15 s more.
    """
    present = await livekit.room.list_participants(api.ListParticipantsRequest(room=room))
    return any(participant.state == api.ParticipantInfo.ACTIVE for participant in present.participants)


def hold(livekit: Mapping[str, str], agent_names: Sequence[str]) -> list[str]:
    """Rooms of calls in progress, one to each name given, with their agents in them. They last until `hang_up`."""

    async def begin() -> list[str]:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
            server = connect(livekit, session)
            rooms = {f"held-{uuid.uuid4().hex}": name for name in agent_names}
            for room, name in rooms.items():
                await create_room(server, room, name, "", HELD_SECONDS)
            came = await asyncio.gather(*(joined(server, room) for room in rooms))
            assert all(came), (
                f"found {came.count(False)} of {len(came)} calls to {sorted(set(agent_names))} without their agent"
            )
            return list(rooms)

    return asyncio.run(begin())


def hang_up(livekit: Mapping[str, str], rooms: Sequence[str]) -> None:
    async def end() -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
            server = connect(livekit, session)
            for room in rooms:
                with suppress(api.ServerError):  # there is no such room any more
                    await server.room.delete_room(api.DeleteRoomRequest(room=room))

    asyncio.run(end())


if __name__ == "__main__":
    given = json.loads(sys.stdin.readline())
    sender = Sender(**{**given, "calls": []})
    asyncio.run(sender.send())
    json.dump([asdict(call) for call in sender.calls], sys.stdout)
