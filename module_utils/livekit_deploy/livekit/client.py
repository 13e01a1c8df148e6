# SPDX-License-Identifier: Apache-2.0
"""A small asynchronous client of the LiveKit server that fails with found, expected, remedy.

The server's own answer text is needed to tell a refused key from a refused secret, and the
public client drops it; so requests are sent here, with livekit-api's tokens and messages.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, TypedDict, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from .errors import LiveKitError, answer_error, connection_error, http_url

IMPORT_ERROR: str | None = None
try:
    import aiohttp
    from google.protobuf.message import DecodeError
    from livekit import api
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

MAX_IN_FLIGHT = 64
READ_TRIES = 3
# Each request has a token of its own, which is used at once; LiveKit's own default is 6 h.
# A server's clock may be somewhat ahead.
TOKEN_LIFE = timedelta(minutes=1)
BODY_BYTES = 8 * 2**20
JOB_STATUS = {0: "JS_PENDING", 1: "JS_RUNNING", 2: "JS_SUCCESS", 3: "JS_FAILED", 4: "JS_CANCELLED"}


class Job(TypedDict):
    """A job of a dispatch, as the server lists it."""

    id: str
    worker_id: str  # empty where nobody has it yet, and always with LiveKit servers before 1.9.1
    status: str  # JS_PENDING and so on
    identity: str  # of the agent in the room


class Dispatch(TypedDict):
    """A dispatch of a room: all that the decisions need."""

    id: str
    agent_name: str  # empty for the one that the server makes itself
    jobs: list[Job]


class SipRule(TypedDict):
    """A rule for calls by phone."""

    id: str
    name: str
    agents: list[str]  # names that it dispatches to
    trunks: list[str]  # ids


class ServerAnswer(TypedDict):
    """One ListRooms that the server answered, as ``livekit_server_info`` returns it."""

    reachable: bool
    key_accepted: bool
    rooms: int  # how many live
    seconds: float  # how long the answer took


class RoomAgent(NamedTuple):
    """The agent that a new room dispatches to."""

    name: str
    metadata: str
    deployment: str = ""


async def answer_body(response: Any) -> bytes:
    """Return what a server answers, within the session's total time. 8 MiB are more than a fleet's rooms need."""
    body = bytearray()
    async for block in response.content.iter_chunked(64 * 1024):
        body += block
        if len(body) > BODY_BYTES:
            raise ValueError(f"its answer is longer than {BODY_BYTES // 2**20} MiB")
    return bytes(body)


def environment_proxy(url: str) -> str | None:
    """Return the proxy that this machine's environment names for a server; none for an address of its own networks.

    ``trust_env`` of aiohttp is not used: it takes passwords out of ``~/.netrc``. Hosts are never asked through a proxy.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        near = not ipaddress.ip_address(host).is_global
    except ValueError:
        near = host == "localhost" or host.endswith(".localhost")
    if near or proxy_bypass(host):
        return None
    known = getproxies()
    return known.get(parts.scheme) or known.get("all")


@dataclass
class Connection:
    """One HTTP session to one LiveKit server; never more than MAX_IN_FLIGHT requests at a time."""

    url: str
    key: str
    secret: str
    session: Any
    gate: asyncio.Semaphore
    proxy: str | None = None

    async def post(self, call: str, message: Any, answer: Any, *, sip_admin: bool = False, **grants: Any) -> Any:
        """Return the decoded answer of a call such as ``RoomService/ListRooms``, or raise a LiveKitError."""
        address = f"{http_url(self.url)}/twirp/livekit.{call}"
        access = api.AccessToken(self.key, self.secret).with_grants(api.VideoGrants(**grants)).with_ttl(TOKEN_LIFE)
        token = (access.with_sip_grants(api.SIPGrants(admin=True)) if sip_admin else access).to_jwt()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/protobuf"}
        async with self.gate:
            try:
                options = {"headers": headers, "allow_redirects": False, "proxy": self.proxy}
                async with self.session.post(address, data=message.SerializeToString(), **options) as response:
                    status, kind = response.status, response.headers.get("Content-Type", "")
                    body = await answer_body(response)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise connection_error(self.url, error) from None
        if status != 200 or "protobuf" not in kind:
            raise answer_error(self.url, status, kind, body)
        try:
            return answer.FromString(body)
        except DecodeError:
            raise answer_error(self.url, status, "an answer that cannot be read", b"") from None

    async def rooms(self) -> list[str]:
        """Return the names of the rooms that live, newest first."""
        answer = await self.post("RoomService/ListRooms", api.ListRoomsRequest(), api.ListRoomsResponse, room_list=True)
        return [room.name for room in sorted(answer.rooms, key=lambda room: room.creation_time, reverse=True)]

    async def sip_dispatch_rules(self) -> list[SipRule]:
        """Return the rules for calls by phone. A server without SIP answers an error."""
        request = api.ListSIPDispatchRuleRequest()
        answer = await self.post("SIP/ListSIPDispatchRule", request, api.ListSIPDispatchRuleResponse, sip_admin=True)
        return [plain_rule(rule) for rule in answer.items]

    async def create_room(self, room: str, empty_timeout: int, agent: RoomAgent) -> None:
        """Create a room with one dispatch. It is not repeated after a failure: a room's name is never used twice."""
        name, metadata, deployment = agent
        wanted = api.RoomAgentDispatch(agent_name=name, metadata=metadata, deployment=deployment)
        request = api.CreateRoomRequest(name=room, empty_timeout=empty_timeout, departure_timeout=5, agents=[wanted])
        await self.post("RoomService/CreateRoom", request, api.Room, room_create=True)

    async def list_dispatch(self, room: str) -> list[Dispatch]:
        """Return the room's dispatches."""
        request, call = api.ListAgentDispatchRequest(room=room), "AgentDispatchService/ListDispatch"
        answer = await self.post(call, request, api.ListAgentDispatchResponse, room_admin=True, room=room)
        return [plain_dispatch(dispatch) for dispatch in answer.agent_dispatches]

    async def delete_dispatch(self, room: str, dispatch_id: str) -> None:
        request = api.DeleteAgentDispatchRequest(dispatch_id=dispatch_id, room=room)
        call = "AgentDispatchService/DeleteDispatch"
        await self.post(call, request, api.AgentDispatch, room_admin=True, room=room)

    async def participants(self, room: str) -> dict[str, bool]:
        """Return for each identity in the room whether its media connection stands. The list has it before that."""
        request, call = api.ListParticipantsRequest(room=room), "RoomService/ListParticipants"
        answer = await self.post(call, request, api.ListParticipantsResponse, room_admin=True, room=room)
        return {one.identity: one.state == api.ParticipantInfo.ACTIVE for one in answer.participants}

    async def delete_room(self, room: str) -> None:
        request = api.DeleteRoomRequest(room=room)
        await self.post("RoomService/DeleteRoom", request, api.DeleteRoomResponse, room_create=True)


def plain_dispatch(dispatch: Any) -> Dispatch:
    """Return a dispatch of the server's answer as plain data."""
    jobs: list[Job] = [
        {
            "id": job.id,
            "worker_id": job.state.worker_id,
            "status": JOB_STATUS.get(job.state.status, str(job.state.status)),
            "identity": job.state.participant_identity or f"agent-{job.id}",
        }
        for job in dispatch.state.jobs
    ]
    return {"id": dispatch.id, "agent_name": dispatch.agent_name, "jobs": jobs}


def plain_rule(rule: Any) -> SipRule:
    """Return a rule of the server's answer as plain data."""
    agents = [agent.agent_name for agent in rule.room_config.agents]
    return {"id": rule.sip_dispatch_rule_id, "name": rule.name, "agents": agents, "trunks": list(rule.trunk_ids)}


@asynccontextmanager
async def connect(url: str, key: str, secret: str, timeout_seconds: float) -> AsyncIterator[Connection]:
    """Yield a connection that is closed at the end, whatever happens."""
    http_url(url)
    if not key or not secret:
        raise LiveKitError(
            "key",
            "the API key or the API secret is empty",
            "both",
            "set livekit_api_key and livekit_api_secret in the vault",
        )
    timeout = aiohttp.ClientTimeout(total=timeout_seconds)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        gate, proxy = asyncio.Semaphore(MAX_IN_FLIGHT), environment_proxy(http_url(url))
        yield Connection(url, key, secret, session, gate=gate, proxy=proxy)


T = TypeVar("T")


async def retried(call: Callable[[], Awaitable[T]], tries: int = READ_TRIES) -> T:
    """Repeat a read on the server's passing errors (about one ListDispatch in a thousand answers one)."""
    for left in range(tries - 1, -1, -1):
        try:
            return await call()
        except LiveKitError as failure:
            if not failure.passing or not left:
                raise
            await asyncio.sleep(0.1)
    raise AssertionError("tries must be at least 1")


async def look_at_server(url: str, key: str, secret: str, timeout_seconds: float) -> ServerAnswer:
    """Return what one ListRooms shows: the server is reachable and accepts the key. Else raise a LiveKitError."""
    started = time.monotonic()
    async with connect(url, key, secret, timeout_seconds) as connection:
        rooms = len(await connection.rooms())
    return {"reachable": True, "key_accepted": True, "rooms": rooms, "seconds": round(time.monotonic() - started, 3)}
