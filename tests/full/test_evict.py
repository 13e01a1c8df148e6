"""Somebody else's worker with a call is told to stop: no call is cut."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from livekit import api

from tests.e2e.calls import connected
from tests.e2e.harness import Lab, Run
from tests.e2e.test_evict import JOURNAL, Foreign, names, planted


async def call(lab: Lab, agent_name: str, worker_id: str) -> str:
    """A call that this worker has; its room. The server chooses, so until it chooses right."""
    settings = lab.document["livekit"]
    async with api.LiveKitAPI(settings["url"], settings["api_key"], settings["api_secret"]) as livekit:
        for _ in range(20):
            room = f"evict-{uuid.uuid4().hex}"
            dispatch = api.RoomAgentDispatch(agent_name=agent_name)
            await livekit.room.create_room(api.CreateRoomRequest(name=room, empty_timeout=60, agents=[dispatch]))
            if await taker(livekit, room) == worker_id:
                return room
            await livekit.room.delete_room(api.DeleteRoomRequest(room=room))
    raise AssertionError(f"{worker_id} took none of 20 dispatches")


async def taker(livekit: api.LiveKitAPI, room: str) -> str:
    """The worker whose agent is in the room.
    To give up earlier would leave its job behind: the server's list lags up to 5 s."""
    for _ in range(300):
        if await connected(livekit, room):
            dispatches = await livekit.agent_dispatch.list_dispatch(room)
            worker_ids = [
                job.state.worker_id for dispatch in dispatches for job in dispatch.state.jobs if job.state.worker_id
            ]
            if worker_ids:
                return worker_ids[0]
        await asyncio.sleep(0.1)
    raise AssertionError(f"no agent came into {room}, or the server does not say whose it is")


async def end(lab: Lab, room: str) -> int:
    """The agents that are in the room; then the room is deleted."""
    settings = lab.document["livekit"]
    async with api.LiveKitAPI(settings["url"], settings["api_key"], settings["api_secret"]) as livekit:
        present = await livekit.room.list_participants(api.ListParticipantsRequest(room=room))
        await livekit.room.delete_room(api.DeleteRoomRequest(room=room))
    return len(present.participants)


@dataclass(frozen=True)
class WithCall:
    """A unit told to stop during a call: what was said then, who was in the room, and what was said after its end."""

    during: Run
    present: int
    after: Run
    unit: str
    log: str


@pytest.fixture(scope="module")
def foreign(deployed: Lab) -> Iterator[Foreign]:
    with planted(deployed) as foreign:
        yield foreign


@pytest.fixture(scope="module")
def with_call(foreign: Foreign) -> WithCall:
    worker_id = foreign.id_of("unit")
    room = asyncio.run(call(foreign.lab, names(foreign.lab)[1], worker_id))
    during = foreign.evict(worker_id, eviction_wait_seconds=5)
    present = asyncio.run(end(foreign.lab, room))
    after = foreign.evict(worker_id)
    unit = foreign.host.sh("systemctl show foreign-agent --property=ActiveState,Result,ExecMainStatus")
    return WithCall(during, present, after, unit, foreign.host.sh(JOURNAL))


def test_a_worker_with_a_call_is_left_draining_and_the_name_is_ours(with_call: WithCall) -> None:
    done = with_call.during.reports["evict"]["drained"]
    assert (done["gone"], done["draining"], done["active_jobs"]) == (False, True, 1)
    assert "takes no new call; calls it still has: 1. Nothing ends them" in with_call.during.said
    assert with_call.during.rc == 0


def test_the_call_outlives_the_stop_timeout_of_its_unit(with_call: WithCall) -> None:
    assert with_call.present == 1


def test_a_second_run_sends_no_second_signal_and_sees_the_end(with_call: WithCall) -> None:
    done = with_call.after.reports["evict"]["drained"]
    assert (with_call.after.rc, done["gone"]) == (0, True)
    assert not any("stop" in command for command in done["commands"])
    assert (with_call.log.count("draining worker"), with_call.log.count("exiting forcefully")) == (1, 0)


def test_a_unit_ends_well_and_stays_down(with_call: WithCall) -> None:
    assert set(with_call.unit.splitlines()) == {"ActiveState=inactive", "Result=success", "ExecMainStatus=0"}


def test_a_unit_is_left_as_it_was(foreign: Foreign, with_call: WithCall) -> None:
    assert foreign.host.sh("ls /run/systemd/system/foreign-agent.service.d 2>&1 || true").endswith(
        "No such file or directory"
    )
    assert with_call.after.reports["evict"]["drained"]["start_command"] == "systemctl start foreign-agent.service"
    assert "systemctl disable foreign-agent.service" in with_call.after.said
