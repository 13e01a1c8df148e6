"""Unmodified workers, started through the hook package, against a real LiveKit server on loopback.

The workers know nothing of the hook: they import livekit-agents only. About 2 minutes, most of it waiting for nobody.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import real_livekit as real
from livekit.api import CreateRoomRequest, LiveKitAPI, RoomAgentDispatch

pytestmark = pytest.mark.real

COMMON = """
import os
from livekit.agents import AgentServer, JobContext, JobRequest, WorkerOptions, cli

def no_load() -> float:
    return 0.0

async def entrypoint(ctx: JobContext) -> None:
    with open(os.environ["MARKER"], "a") as marker:
        marker.write(f"{ctx.room.name} {__name__} {os.getpid()}\\n")
    await ctx.connect()

async def own_on_request(request: JobRequest) -> None:
    await request.accept(identity="chosen-by-the-application")

options = dict(num_idle_processes=1, port=int(os.environ["SIDEKICK_HTTP_PORT"]), load_fnc=no_load, \
load_threshold=float("inf"))
"""
SERVER = """
server = AgentServer(**options)
server.rtc_session(entrypoint)

if __name__ == "__main__":
    cli.run_app(server)
"""
OPTIONS = """
if __name__ == "__main__":
    cli.run_app(WorkerOptions(entrypoint_fnc=entrypoint, request_fnc=own_on_request, **options))
"""
STYLES = {
    "server": COMMON + SERVER,
    "options": COMMON + OPTIONS,
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with real.livekit_server(tmp_path_factory.mktemp("server")) as url:
        yield url


@contextmanager
def launched(url: str, folder: Path, style: str) -> Iterator[real.Worker]:
    """Start a worker's script through the launcher, from another directory than the script's."""
    script, gate, log = folder / "application" / "agent.py", folder / "gate" / "state", folder / "log"
    for each in (script, gate):
        each.parent.mkdir()
    script.write_text(STYLES[style])
    name = f"launched-{uuid.uuid4().hex[:8]}"
    environment = {
        **os.environ,
        "LIVEKIT_URL": url,
        "LIVEKIT_API_KEY": real.KEY,
        "LIVEKIT_API_SECRET": real.SECRET,
        "LIVEKIT_AGENT_NAME": name,
        "LIVEKIT_DEPLOY_INSTANCE": "web1/r1",
        "LIVEKIT_DEPLOY_GATE": str(gate),
        "SIDEKICK_HTTP_PORT": str(real.free_port()),
        "MARKER": str(folder / "marker"),
        "PYTHONPATH": str(real.HOOK),
        "NO_PROXY": "127.0.0.1",
    }
    argv = [sys.executable, "-m", "livekit_deploy_hook", "application/agent.py", "start"]
    with real.running(argv, log, cwd=folder, env=environment) as process:
        yield real.Worker(name, "web1/r1", gate, log, process)


@pytest.fixture(scope="module", params=sorted(STYLES))
def shared_worker(
    url: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[real.Worker]:
    with launched(url, tmp_path_factory.mktemp(request.param), request.param) as worker:
        real.wait_until("the worker is registered", lambda: worker.lines("registered worker"))
        yield worker


@pytest.fixture
def worker(shared_worker: real.Worker) -> real.Worker:
    shared_worker.set_gate("open")
    return shared_worker


@pytest.fixture
def style(request: pytest.FixtureRequest) -> str:
    return str(request.node.callspec.params["shared_worker"])


def probe(mode: str, **fields: str) -> str:
    return json.dumps({"livekit_deploy_probe": 1, "nonce": uuid.uuid4().hex, "mode": mode, **fields})


def jobs(worker: real.Worker) -> list[list[str]]:
    """Return room, module name and process id of each entrypoint that has run."""
    marker = worker.log.with_name("marker")
    return [line.split() for line in marker.read_text().splitlines()] if marker.exists() else []


def test_the_log_says_once_that_the_guard_is_in_place(worker: real.Worker) -> None:
    assert len(worker.lines("request handler is guarded", instance=worker.instance, gate=str(worker.gate))) == 1


def test_an_answered_probe_shows_our_worker_id_and_starts_no_job(url: str, worker: real.Worker) -> None:
    before = jobs(worker)
    assert real.send(url, worker.agent_name, probe("answer")).worker_id == worker.worker_id
    time.sleep(2)
    assert jobs(worker) == before


def test_a_passed_probe_finds_nobody(url: str, worker: real.Worker) -> None:
    assert real.send(url, worker.agent_name, probe("pass")).nobody
    assert worker.lines("probe passed on")


def test_a_closed_gate_lets_nobody_take_a_call_and_answers_the_directed_probe(url: str, worker: real.Worker) -> None:
    worker.set_gate("closed")
    assert real.send(url, worker.agent_name, probe("answer_if", instance=worker.instance)).worker_id == worker.worker_id
    assert real.send(url, worker.agent_name).nobody


def test_an_open_gate_brings_the_agent_into_the_room_from_a_job_process(
    url: str, worker: real.Worker, style: str
) -> None:
    with dispatched(url, worker.agent_name) as room:
        (agent,) = real.wait_until("the agent is in the room", lambda: real.participants(url, room))
    ((_, module, pid),) = [job for job in jobs(worker) if job[0] == room]
    assert (module, int(pid) != worker.process.pid) == ("__mp_main__", True)
    assert (agent.identity == "chosen-by-the-application") is (style == "options")


@contextmanager
def dispatched(url: str, agent_name: str) -> Iterator[str]:
    """Make a room with a plain dispatch; it is deleted at the end."""

    async def create(room: str) -> None:
        async with LiveKitAPI(url, real.KEY, real.SECRET) as api:
            agents = [RoomAgentDispatch(agent_name=agent_name)]
            await api.room.create_room(CreateRoomRequest(name=room, empty_timeout=30, agents=agents))

    room = f"test-{uuid.uuid4().hex}"
    asyncio.run(create(room))
    yield room
    real.delete_room(url, room)


@pytest.mark.parametrize("style", sorted(STYLES))
def test_started_without_the_launcher_the_same_worker_takes_a_passed_probe(
    url: str, tmp_path: Path, style: str
) -> None:
    script = tmp_path / "agent.py"
    script.write_text(STYLES[style])
    with real.worker(url, tmp_path, f"plain-{style}", str(script), MARKER=str(tmp_path / "marker")) as plain:
        real.wait_until("the worker is registered", lambda: plain.lines("registered worker"))
        assert real.send(url, plain.agent_name, probe("pass")).worker_id == plain.worker_id


def test_the_launcher_ends_as_the_worker_ends(url: str, tmp_path: Path) -> None:
    with launched(url, tmp_path, "server") as worker:
        real.wait_until("the worker is registered", lambda: worker.lines("registered worker"))
        worker.process.terminate()
        assert worker.process.wait(30) == 0
    assert worker.lines("draining worker")
