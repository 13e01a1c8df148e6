"""Somebody else's worker, for the confusion matrix: without the probe hook, with the behaviour that BEHAVIOUR names.

Runs in a container of the reference application's image; nothing of this project is in it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from typing import Any
from urllib.parse import urlsplit

from livekit.agents import AgentServer, JobContext, JobRequest, cli
from livekit.agents.worker import ServerType

BEHAVIOUR = os.environ.get("BEHAVIOUR", "plain")
LOADS = {"loaded": 0.9}
THRESHOLDS = {"full": 0.0}
ANSWER_SECONDS = {"slow": 2.9}
REJECTIONS = {"ends the search": True, "passes on": False}
UP_SECONDS, DOWN_SECONDS = 0.5, 12.0

server = AgentServer(
    load_fnc=lambda *_: LOADS.get(BEHAVIOUR, 0.0),
    load_threshold=THRESHOLDS.get(BEHAVIOUR, float("inf")),
    num_idle_processes=0,
    drain_timeout=1800,
    max_retry=1000,
)


async def on_request(request: JobRequest) -> None:
    await asyncio.sleep(ANSWER_SECONDS.get(BEHAVIOUR, 0.0))
    if BEHAVIOUR in REJECTIONS:
        await request.reject(terminate=REJECTIONS[BEHAVIOUR])
    else:
        await request.accept()


@server.rtc_session(type=ServerType.PUBLISHER if BEHAVIOUR == "publisher" else ServerType.ROOM, on_request=on_request)
async def entrypoint(ctx: JobContext) -> None:
    await ctx.connect()
    logging.getLogger("foreign").info("in the room")


def lead_through_a_bad_line() -> None:
    """The way to the server: a forwarder that lets a connection live for a moment, then refuses all for a while."""
    parts = urlsplit(os.environ["LIVEKIT_URL"])
    listener = socket.create_server(("127.0.0.1", 0))
    os.environ["LIVEKIT_URL"] = f"ws://127.0.0.1:{listener.getsockname()[1]}"
    threading.Thread(target=forward, args=(listener, (parts.hostname, parts.port)), daemon=True).start()


def forward(listener: socket.socket, target: Any) -> None:
    closed_until = 0.0
    while True:
        near, _ = listener.accept()
        if time.monotonic() < closed_until:
            near.close()
            continue
        far = socket.create_connection(target)
        for source, sink in ((near, far), (far, near)):
            threading.Thread(target=copy, args=(source, sink), daemon=True).start()
        time.sleep(UP_SECONDS)
        for line in (near, far):
            line.shutdown(socket.SHUT_RDWR)
        closed_until = time.monotonic() + DOWN_SECONDS


def copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        return  # cut


if __name__ == "__main__":
    if BEHAVIOUR == "reconnecting":
        lead_through_a_bad_line()
    cli.run_app(server)
