"""The front desk's API: whoever knows the key gets a call with a clerk. One file of aiohttp."""

from __future__ import annotations

import hmac
import json
import os
import uuid

from aiohttp import web
from livekit import api

KEY = os.environ["DESK_KEY"]
# The names are the deployment's to say: the clerk's own, and that of an agent of another entry of the inventory.
CLERK = os.environ["LIVEKIT_AGENT_NAME"]
GREETER = os.environ.get("DESK_GREETER", "")


def token_for(room: str) -> str:
    grants = api.VideoGrants(room_join=True, room=room)
    return api.AccessToken().with_identity(f"caller-{uuid.uuid4().hex[:8]}").with_grants(grants).to_jwt()


async def take_call(request: web.Request) -> web.Response:
    """Make a room with a clerk in it; the answer has an access token for the room and nothing else of it."""
    if not hmac.compare_digest(request.headers.get("X-Desk-Key", ""), KEY):
        raise web.HTTPForbidden(text="wrong key")
    wanted = await request.json()
    agent = GREETER if wanted.get("greeter") else CLERK
    room = f"desk-{uuid.uuid4().hex}"
    metadata = json.dumps({"language": wanted["language"]})
    async with api.LiveKitAPI() as livekit:
        dispatch = api.RoomAgentDispatch(agent_name=agent, metadata=metadata)
        await livekit.room.create_room(api.CreateRoomRequest(name=room, empty_timeout=60, agents=[dispatch]))
    return web.json_response({"call": {"token": token_for(room), "url": os.environ["LIVEKIT_URL"]}}, status=201)


async def is_ready(_: web.Request) -> web.Response:
    return web.Response(text="ready")


def application() -> web.Application:
    app = web.Application()
    app.add_routes([web.post("/calls", take_call), web.get("/ready", is_ready)])
    return app


if __name__ == "__main__":
    web.run_app(application(), port=int(os.environ.get("DESK_PORT", "9000")))
