# SPDX-License-Identifier: Apache-2.0
"""The load generator on a real LiveKit server, through an API whose agent name changes while the load goes on."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import real_livekit  # type: ignore[import-not-found]
from aiohttp import web
from livekit.api import CreateRoomRequest, LiveKitAPI, RoomAgentDispatch

from benchmarks import loss_figures
from benchmarks.stand_in import StandIn, in_thread
from tests.e2e.calls import DIRECT, Call, CallStream

pytestmark = pytest.mark.real
KEY, SECRET = real_livekit.KEY, real_livekit.SECRET
OVERLAP = 1.0


@dataclass
class Api:
    """What the reference application's API does, with a name that can be changed."""

    livekit_url: str
    agent_name: str
    url: str = ""

    async def preview(self, request: web.Request) -> web.Response:
        room, name, metadata = f"preview-{uuid.uuid4().hex}", self.agent_name, (await request.json())["metadata"]
        async with LiveKitAPI(self.livekit_url, KEY, SECRET) as server:
            await server.room.create_room(
                CreateRoomRequest(
                    name=room, empty_timeout=30, agents=[RoomAgentDispatch(agent_name=name, metadata=metadata)]
                )
            )
        return web.json_response({"room": room, "agent_name": name})

    @contextmanager
    def served(self) -> Iterator[None]:
        loop = asyncio.new_event_loop()
        runner = web.AppRunner(application := web.Application())
        application.router.add_post("/v1/preview", self.preview)

        async def start() -> None:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/preview"

        loop.run_until_complete(start())
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()


@dataclass
class Story:
    calls: list[Call]
    asked: dict[str, set[Any]]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Three seconds under the old name, three under the new one, and one more in which nobody has it."""
    old, new = StandIn("old"), StandIn("new")
    with real_livekit.livekit_server(tmp_path_factory.mktemp("server")) as url:
        api = Api(url, "old")
        with api.served(), in_thread(url, KEY, SECRET, [old]):
            livekit = {"url": url, "api_key": KEY, "api_secret": SECRET}
            with CallStream(api.url, livekit, real_every=0, agent_name="old", overlap=OVERLAP) as stream:
                with in_thread(url, KEY, SECRET, [new]):
                    time.sleep(3)
                    api.agent_name = "new"
                    time.sleep(3)
                time.sleep(1)
    return Story(stream.calls, {"old": set(old.rooms), "new": set(new.rooms)})


def test_what_is_lost_is_what_no_worker_was_asked_for(story: Story) -> None:
    lost = {call.room for call in story.calls if loss_figures.answered_at(call, {}) is None}
    assert lost == {call.room for call in story.calls} - story.asked["old"] - story.asked["new"]
    assert 0 < len(lost) < len(story.calls) / 3


def test_direct_load_follows_the_name_that_the_api_has(story: Story) -> None:
    direct = [call for call in story.calls if call.way == DIRECT]
    last_old = max(call.sent for call in story.calls if call.way != DIRECT and call.agent_name == "old")
    beside = [call.sent - last_old for call in direct if call.agent_name == "old" and call.sent > last_old]
    assert len(beside) >= 3
    assert max(beside) < OVERLAP + 0.5
    assert min(call.sent for call in direct if call.agent_name == "new") - last_old < 0.7
