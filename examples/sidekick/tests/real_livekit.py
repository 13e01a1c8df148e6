"""A real LiveKit server and real workers on loopback, for the tests marked real."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from livekit.api import (
    CreateRoomRequest,
    DeleteRoomRequest,
    ListParticipantsRequest,
    LiveKitAPI,
    RoomAgentDispatch,
    ServerError,
)

REPOSITORY = Path(__file__).parents[3]
WORKER = REPOSITORY / "examples" / "sidekick" / "worker"
HOOK = REPOSITORY / "probe_hook" / "src"
SERVER_BINARY = Path(
    os.environ.get("LIVEKIT_SERVER", "LIVEKIT_SERVER is not set: `python lab/lab.py server` prints the path")
)
KEY, SECRET = "testkey", "test-secret-of-more-than-32-bytes-0123"
NOBODY_SECONDS = 10.0
"""A job that is not there by then never comes: open-source servers do not retry."""


def free_port() -> int:
    """Return a TCP port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(what: str, true: Callable[[], Any], seconds: float = 30.0) -> Any:
    """Return the first true value, or fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := true():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds:g} s: {what}")


@contextmanager
def running(argv: list[str], log: Path, **kwargs: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process with its output in a file; end it, and only it, at last."""
    with log.open("wb") as output:
        process = subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT, **kwargs)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def livekit_server(folder: Path) -> Iterator[str]:
    """Run a server and give its URL."""
    port = free_port()
    config = {
        "port": port,
        "bind_addresses": ["127.0.0.1"],
        "keys": {KEY: SECRET},
        "rtc": {"tcp_port": free_port(), "udp_port": free_port(), "node_ip": "127.0.0.1"},
    }
    argv = [str(SERVER_BINARY), "--config-body", json.dumps(config)]
    with running(argv, folder / "server.log"):
        wait_until("the server listens", lambda: _listens(port))
        yield f"ws://127.0.0.1:{port}"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Worker:
    """A running worker: its log and what can be read there."""

    agent_name: str
    instance: str
    gate: Path
    log: Path
    process: subprocess.Popen[bytes]

    def lines(self, message: str, **fields: Any) -> list[dict[str, Any]]:
        """Return the JSON lines that start with the message and have these fields."""
        texts = [text for text in self.log.read_text().splitlines() if text.startswith("{")]
        return [
            line
            for line in map(json.loads, texts)
            if str(line.get("message", "")).startswith(message) and fields.items() <= line.items()
        ]

    @property
    def worker_id(self) -> str:
        """The id of the latest registration."""
        return str(self.lines("registered worker")[-1]["id"])

    def set_gate(self, state: str) -> None:
        """Replace the gate file, as a release does."""
        new = self.gate.with_name("state.new")
        new.write_text(state + "\n")
        new.replace(self.gate)


@contextmanager
def worker(url: str, folder: Path, agent_name: str, script: str = "agent.py", **env: str) -> Iterator[Worker]:
    """Start a worker as its image does; it may not be registered yet."""
    folder = folder / f"worker-{uuid.uuid4().hex[:8]}"
    (folder / "gate").mkdir(parents=True)
    instance, gate = "web1/r1", folder / "gate" / "state"
    environment = {
        **os.environ,
        "LIVEKIT_URL": url,
        "LIVEKIT_API_KEY": KEY,
        "LIVEKIT_API_SECRET": SECRET,
        "LIVEKIT_AGENT_NAME": agent_name,
        "LIVEKIT_DEPLOY_INSTANCE": instance,
        "LIVEKIT_DEPLOY_GATE": str(gate),
        "SIDEKICK_HTTP_PORT": str(free_port()),
        "SIDEKICK_LOAD": "0",
        "SIDEKICK_LOAD_THRESHOLD": "inf",
        "PYTHONPATH": str(HOOK),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": "127.0.0.1",
        **env,
    }
    log = folder / "log"
    with running([sys.executable, script, "start"], log, cwd=WORKER, env=environment) as process:
        yield Worker(agent_name, instance, gate, log, process)


@dataclass(frozen=True)
class Sent:
    """One dispatch into a room of its own, and what became of it."""

    room: str
    job_id: str
    worker_id: str
    seconds: float

    @property
    def nobody(self) -> bool:
        return not self.job_id


def send(url: str, agent_name: str, metadata: str = "", until: float = NOBODY_SECONDS) -> Sent:
    """Dispatch to a name, look for the job for so many seconds, delete the room."""

    async def run() -> Sent:
        room = f"test-{uuid.uuid4().hex}"
        async with LiveKitAPI(url, KEY, SECRET) as api:
            agents = [RoomAgentDispatch(agent_name=agent_name, metadata=metadata)]
            await api.room.create_room(CreateRoomRequest(name=room, empty_timeout=30, agents=agents))
            sent = await _find_job(api, room, agent_name, until)
            await _clean_up(api, room)
        return sent

    return asyncio.run(run())


async def _find_job(api: LiveKitAPI, room: str, agent_name: str, until: float) -> Sent:
    started = time.monotonic()
    while (seconds := time.monotonic() - started) < until:
        for job in await _jobs(api, room, agent_name):
            return Sent(room, job.id, job.state.worker_id, seconds)
        await asyncio.sleep(0.05)
    return Sent(room, "", "", seconds)


async def _clean_up(api: LiveKitAPI, room: str) -> None:
    """End the job before its room: an agent that joins late would make a deleted room anew and stay there."""
    for dispatch in await api.agent_dispatch.list_dispatch(room):
        await api.agent_dispatch.delete_dispatch(dispatch.id, room)
    for _ in range(50):
        if not await api.agent_dispatch.list_dispatch(room):
            break
        await asyncio.sleep(0.1)
    await api.room.delete_room(DeleteRoomRequest(room=room))


async def _jobs(api: LiveKitAPI, room: str, agent_name: str) -> list[Any]:
    """Return the jobs of a name in a room, [] on the server's passing errors."""
    try:
        dispatches = await api.agent_dispatch.list_dispatch(room)
    except ServerError:
        return []
    return [job for dispatch in dispatches if dispatch.agent_name == agent_name for job in dispatch.state.jobs]


def delete_room(url: str, room: str) -> None:
    """Delete a room: a server that is told to end waits for the open ones."""

    async def run() -> None:
        async with LiveKitAPI(url, KEY, SECRET) as api:
            await api.room.delete_room(DeleteRoomRequest(room=room))

    asyncio.run(run())


def participants(url: str, room: str) -> list[Any]:
    """Return who is in the room."""

    async def run() -> list[Any]:
        async with LiveKitAPI(url, KEY, SECRET) as api:
            return list((await api.room.list_participants(ListParticipantsRequest(room=room))).participants)

    return asyncio.run(run())
