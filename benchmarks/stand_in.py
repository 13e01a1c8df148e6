# SPDX-License-Identifier: Apache-2.0
"""Light stand-ins for livekit-agents workers: the real protocol to a real server, without processes, models and media.

A stand-in registers, reports its load, and answers job requests: as the probe hook decides, or as a worker without the
hook would. Hundreds fit in one process. What it was asked and which ids it had is kept the way a worker's log is read.

    async with running(url, key, secret, [StandIn("support", instance="node-a/r1")]) as (worker,): ...
    with in_thread(url, key, secret, [StandIn("support", answer="accept")]) as (stranger,): ...
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from livekit import api
from livekit.protocol import agent

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT / "probe_hook" / "src") not in sys.path:
    sys.path.append(str(ROOT / "probe_hook" / "src"))

# A package of its own.
from livekit_deploy_hook import Decision, Gate, decide  # type: ignore[import-not-found]  # noqa: E402

HOOK, ACCEPT, REJECT, PASS, SILENT = "hook", "accept", "reject", "pass", "silent"
ANSWERS = (HOOK, ACCEPT, REJECT, PASS, SILENT)
OF_DECISION = {Decision.ANSWER: REJECT, Decision.PASS: PASS, Decision.APPLICATION: ACCEPT}
JOB_TYPES = {
    "room": agent.JobType.JT_ROOM,
    "publisher": agent.JobType.JT_PUBLISHER,
    "participant": agent.JobType.JT_PARTICIPANT,
}
STATUS_SECONDS = 0.5
RETRY_SECONDS = 1.0
HEARTBEAT_SECONDS = 30.0
REGISTER_SECONDS = 20.0


@dataclass
class StandIn:
    """One worker. What is set here may change while it runs; name, deployment and job type with a registration."""

    agent_name: str
    answer: str = HOOK
    """``hook`` decides as a worker with the probe hook; ``accept`` takes every job, ``reject`` ends the search
    (``terminate=True``), ``pass`` lets the server ask others (``terminate=False``), ``silent`` never answers."""
    instance: str = ""
    gate: Gate = Gate.OPEN
    answer_after: float = 0.0
    load: float = 0.0
    full: bool = False
    """Says FULL, as a worker at its threshold and one that drains do."""
    reconnect_every: float | None = None
    """Seconds after which the connection is given up and made anew; 0 is a storm."""
    deployment: str = ""
    job_type: str = "room"
    joins: bool = True
    """Whether a job that was taken goes into its room, as a real agent does."""

    worker_ids: list[str] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    """Every job request: ``job_id``, ``dispatch_id``, ``room``, ``agent_name``, ``time``, ``answer``."""
    jobs: set[str] = field(default_factory=set)
    """Ids of the jobs it has now."""
    connected: bool = False
    failures: list[str] = field(default_factory=list)

    @property
    def worker_id(self) -> str:
        """The id of the latest registration."""
        return self.worker_ids[-1] if self.worker_ids else ""

    @property
    def rooms(self) -> frozenset[str]:
        return frozenset(str(request["room"]) for request in self.requests)

    def answer_to(self, job: agent.Job) -> str:
        if self.answer not in ANSWERS:
            raise ValueError(f"answer {self.answer!r} is none of {', '.join(ANSWERS)}")
        return self.answer if self.answer != HOOK else OF_DECISION[decide(job.metadata, self.instance, self.gate)]

    def status(self) -> agent.WorkerMessage:
        said = agent.WorkerStatus.WS_FULL if self.full else agent.WorkerStatus.WS_AVAILABLE
        return agent.WorkerMessage(
            update_worker=agent.UpdateWorkerStatus(status=said, load=self.load, job_count=len(self.jobs))
        )


@dataclass
class Link:
    """One connection of a stand-in to the server."""

    worker: StandIn
    session: aiohttp.ClientSession
    socket: aiohttp.ClientWebSocketResponse
    url: str
    tasks: asyncio.TaskGroup
    leave: dict[str, asyncio.Event] = field(default_factory=dict)

    async def send(self, message: agent.WorkerMessage) -> None:
        with suppress(ConnectionError):  # it closes, and what was to be said is of no use any more
            await self.socket.send_bytes(message.SerializeToString())

    async def receive(self) -> agent.ServerMessage:
        data = await self.socket.receive()
        if data.type is not aiohttp.WSMsgType.BINARY:
            raise ConnectionError(f"the server closed the connection ({data.type.name} {data.data})")
        return agent.ServerMessage.FromString(data.data)

    async def register(self) -> None:
        worker = self.worker
        request = agent.RegisterWorkerRequest(
            type=JOB_TYPES[worker.job_type],
            agent_name=worker.agent_name,
            deployment=worker.deployment,
            version="stand-in",
        )
        request.allowed_permissions.agent = True
        await self.send(agent.WorkerMessage(register=request))
        answer = await self.receive()
        if not answer.HasField("register"):
            raise ConnectionError(f"expected the answer to a registration, found {answer.WhichOneof('message')}")
        await self.send(worker.status())
        worker.worker_ids.append(answer.register.worker_id)
        worker.connected = True

    async def say_status(self) -> None:
        while True:
            await self.send(self.worker.status())
            await asyncio.sleep(STATUS_SECONDS)

    async def listen(self) -> None:
        while True:
            message = await self.receive()
            which = message.WhichOneof("message")
            if which == "availability":
                self.tasks.create_task(self.answer(message.availability.job))
            elif which == "assignment":
                self.tasks.create_task(self.work(message.assignment))
            elif which == "termination" and message.termination.job_id in self.leave:
                self.leave[message.termination.job_id].set()

    async def answer(self, job: agent.Job) -> None:
        worker = self.worker
        how = PASS if worker.full else worker.answer_to(job)
        seen = {"job_id": job.id, "dispatch_id": job.dispatch_id, "room": job.room.name, "agent_name": job.agent_name}
        worker.requests.append({**seen, "time": time.time(), "answer": how})
        await asyncio.sleep(worker.answer_after)
        if how == SILENT:
            return
        response = agent.AvailabilityResponse(job_id=job.id, available=how == ACCEPT, terminate=how == REJECT)
        response.participant_identity = f"agent-{job.id}" if how == ACCEPT else ""
        await self.send(agent.WorkerMessage(availability=response))

    async def work(self, assignment: agent.JobAssignment) -> None:
        """Have the job until the server ends it; in its room as far as its list of participants tells."""
        job, worker = assignment.job.id, self.worker
        self.leave[job] = asyncio.Event()
        worker.jobs.add(job)
        await self.send(
            agent.WorkerMessage(update_job=agent.UpdateJobStatus(job_id=job, status=agent.JobStatus.JS_RUNNING))
        )
        try:
            await self.be_in_room(assignment.token, self.leave[job])
        finally:
            worker.jobs.discard(job)
        await self.send(
            agent.WorkerMessage(update_job=agent.UpdateJobStatus(job_id=job, status=agent.JobStatus.JS_SUCCESS))
        )

    async def be_in_room(self, token: str, leave: asyncio.Event) -> None:
        if not self.worker.joins:
            await leave.wait()
            return
        address = f"{self.url}/rtc?access_token={token}&auto_subscribe=0&protocol=15&sdk=python"
        try:
            async with self.session.ws_connect(address) as room:
                either = [asyncio.ensure_future(closed(room)), asyncio.ensure_future(leave.wait())]
                try:
                    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in either:
                        task.cancel()
        except aiohttp.ClientError as error:  # the room is gone already
            self.worker.failures.append(f"not in the room: {error}")


async def closed(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


def socket_url(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme.replace("http", "ws"), parts.netloc, parts.path.rstrip("/"), "", ""))


async def connection(worker: StandIn, session: aiohttp.ClientSession, url: str, key: str, secret: str) -> None:
    """Register and serve until the connection ends; ends with an exception group."""
    token = api.AccessToken(key, secret).with_grants(api.VideoGrants(agent=True)).to_jwt()
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        session.ws_connect(f"{url}/agent", headers=headers, heartbeat=HEARTBEAT_SECONDS) as socket,
        asyncio.TaskGroup() as tasks,
    ):
        link = Link(worker, session, socket, url, tasks)
        await link.register()
        tasks.create_task(link.say_status())
        async with asyncio.timeout(worker.reconnect_every):
            await link.listen()


async def live(worker: StandIn, session: aiohttp.ClientSession, url: str, key: str, secret: str) -> None:
    """Be connected until cancelled; after an end that was not wanted, wait as a worker does."""
    while True:
        try:
            await connection(worker, session, socket_url(url), key, secret)
        except* TimeoutError:
            pass  # as told by reconnect_every
        except* (ConnectionError, aiohttp.ClientError) as trouble:
            worker.failures.append("; ".join(str(error) for error in trouble.exceptions))
            await asyncio.sleep(RETRY_SECONDS)
        finally:
            worker.connected = False


@asynccontextmanager
async def running(url: str, key: str, secret: str, workers: Sequence[StandIn]) -> AsyncIterator[list[StandIn]]:
    """The stand-ins, each registered; they are gone from the server at the end."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        lives = [asyncio.create_task(live(worker, session, url, key, secret)) for worker in workers]
        try:
            await registered(workers, lives)
            yield list(workers)
        finally:
            for task in lives:
                task.cancel()
            await asyncio.gather(*lives, return_exceptions=True)


async def registered(workers: Sequence[StandIn], lives: Sequence[asyncio.Task[None]]) -> None:
    deadline = time.monotonic() + REGISTER_SECONDS
    while missing := [worker for worker in workers if not worker.worker_id]:
        for task in lives:
            if task.done():
                task.result()  # what it failed with
        if time.monotonic() > deadline:
            said = missing[0].failures[-1:] or ["no answer"]
            raise TimeoutError(
                f"{len(missing)} of {len(workers)} stand-ins are not registered after {REGISTER_SECONDS:g} s: {said[0]}"
            )
        await asyncio.sleep(0.02)


@contextmanager
def in_thread(url: str, key: str, secret: str, workers: Sequence[StandIn]) -> Iterator[list[StandIn]]:
    """The same for code that is not asynchronous."""
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()
    ready: Future[None] = Future()

    async def serve() -> None:
        try:
            async with running(url, key, secret, workers):
                ready.set_result(None)
                await ended.wait()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="stand-ins")
    thread.start()
    try:
        ready.result()
        yield list(workers)
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
