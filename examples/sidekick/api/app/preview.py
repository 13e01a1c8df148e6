"""A preview: a new room with a dispatch to one agent name."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass

import aiohttp
from livekit.api import (
    CreateRoomRequest,
    LiveKitAPI,
    RoomAgentDispatch,
    ServerError,
)

ROOM_EMPTY_TIMEOUT_SECONDS = 30
"""How long a room lives that nobody joins. The agent alone does not keep it open."""
LIST_ATTEMPTS = 2
LIST_PAUSE_SECONDS = 0.2


class PreviewError(Exception):
    """A preview that could not be made.

    Attributes:
        status: the HTTP status to answer with: 503 if LiveKit is unreachable, else 502.
        error: one word for programs.
        room: the room's name; it may exist.
    """

    def __init__(self, status: int, error: str, message: str, room: str) -> None:
        super().__init__(message)
        self.status = status
        self.error = error
        self.room = room


@dataclass(frozen=True)
class Preview:
    """A room into which LiveKit was asked to send the agent."""

    room: str
    dispatch_id: str
    agent_name: str


async def create_preview(client: LiveKitAPI, agent_name: str, metadata: str) -> Preview:
    """Create a room of a name never used before, with one dispatch, and find the dispatch's id.

    Raises:
        PreviewError: LiveKit is unreachable, refuses, or shows no dispatch in the room.
    """
    room = f"preview-{uuid.uuid4().hex}"
    request = CreateRoomRequest(
        name=room,
        empty_timeout=ROOM_EMPTY_TIMEOUT_SECONDS,
        agents=[RoomAgentDispatch(agent_name=agent_name, metadata=metadata)],
    )
    await _ask(client.room.create_room(request), room)
    dispatch_id = await _ask(_find_dispatch(client, room, agent_name), room)
    if not dispatch_id:
        raise PreviewError(502, "no_dispatch", "LiveKit shows no dispatch in the new room", room)
    return Preview(room, dispatch_id, agent_name)


async def _find_dispatch(client: LiveKitAPI, room: str, agent_name: str) -> str:
    """Return the id of the room's dispatch to the name, or "" if there is none.

    The server answers about one list in a thousand with a passing internal error, hence the second
    attempt. Creating is not repeated: that could dispatch twice.
    """
    for attempt in range(1, LIST_ATTEMPTS + 1):
        try:
            dispatches = await client.agent_dispatch.list_dispatch(room)
        except ServerError as error:
            if error.status < 500 or attempt == LIST_ATTEMPTS:
                raise
            dispatches = []
        for dispatch in dispatches:
            if dispatch.agent_name == agent_name:
                return dispatch.id
        if attempt < LIST_ATTEMPTS:
            await asyncio.sleep(LIST_PAUSE_SECONDS)
    return ""


async def _ask[T](call: Awaitable[T], room: str) -> T:
    """Await a call to LiveKit and turn its errors into a PreviewError."""
    try:
        return await call
    except ServerError as error:
        raise PreviewError(502, "livekit_refuses", _refusal(error), room) from error
    except (aiohttp.ClientError, TimeoutError) as error:
        message = f"LiveKit is unreachable: {str(error) or type(error).__name__}"
        raise PreviewError(503, "livekit_unreachable", message, room) from error


def _refusal(error: ServerError) -> str:
    """Return what the server said; a wrong key or secret is answered with a bare status 401."""
    said = "wrong API key or secret" if error.status == 401 else f"{error.code}: {error.message}"
    return f"LiveKit refuses (HTTP {error.status}): {said}"
