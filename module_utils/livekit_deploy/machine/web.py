# SPDX-License-Identifier: Apache-2.0
"""Ask an HTTP server of this host or of its containers: never through a proxy, with a total deadline and a bound on the
answer.

``urlopen`` bounds each read only, so one byte each half a second keeps it for ever; and it asks ``http_proxy`` of the
environment, also for addresses that only this host reaches.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from ..common.waiting import wait_until

BODY_BYTES = 256 * 1024
# Each look of a wait, and the pause after it.
ASK_SECONDS, PAUSE_SECONDS = 2.0, 0.5


class Answer(NamedTuple):
    """``status`` is 0 where nothing that speaks HTTP answered; ``error`` says why, or why its body was not read."""

    status: int
    body: bytes = b""
    error: str = ""

    @property
    def said(self) -> str:
        """What came, in a word or two: the status, or why there is none."""
        return f"HTTP {self.status}" if self.status else self.error

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


def ask(
    host: str,
    port: int,
    path: str,
    seconds: float,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    tls: ssl.SSLContext | None = None,
    server_name: str = "",
) -> Answer:
    """Send one request and read at most 256 KiB of its answer, all within ``seconds``.

    Nothing is raised for what the other side does.

    With ``tls`` the server has to have a certificate that the context accepts, for ``server_name`` where that is given.
    """
    deadline = time.monotonic() + seconds
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    status = 0
    try:
        connection.connect()
        if tls:
            connection.sock = tls.wrap_socket(connection.sock, server_hostname=server_name or host)
        connection.request(method, path, body, dict(headers or {}))
        # What was accepted and then says nothing, or one byte at a time, meets the same deadline.
        response = http.client.HTTPResponse(cast(socket.socket, Bounded(connection.sock, deadline)), method=method)
        response.begin()
        status = response.status
        return Answer(status, response.read(BODY_BYTES))
    except (OSError, ValueError, http.client.HTTPException) as error:
        return Answer(status, error=str(error) or type(error).__name__)
    finally:
        connection.close()


def wait_for(host: str, port: int, path: str, seconds: float, status: int = 200) -> Answer:
    """Ask until a server answers with a status, at most so long, and return its last answer.

    A redirect is another status.
    """
    deadline = time.monotonic() + seconds

    def look() -> Answer:
        return ask(host, port, path, max(0.1, min(ASK_SECONDS, deadline - time.monotonic())))

    # No pause begins that would end after the deadline.
    return wait_until(look, seconds - PAUSE_SECONDS, PAUSE_SECONDS, holds=lambda found: found.status == status)


class Bounded(io.RawIOBase):
    """The readable side of a socket, whose every read ends at one deadline."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self.sock, self.deadline = sock, deadline

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return what ``HTTPResponse`` reads from."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        seconds = self.deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("its answer did not end in time")
        self.sock.settimeout(seconds)
        return self.sock.recv_into(buffer)
