# SPDX-License-Identifier: Apache-2.0
"""Ask the application's own API for a room with an agent, and read its answer."""

from __future__ import annotations

import base64
import re
import ssl
import time
from contextlib import suppress
from typing import Any

from ..common.text import parsed
from . import client
from .client import Connection
from .errors import LiveKitError, error_of_connection, shown_url
from .outcomes import NOT_REACHED
from .probe import Probe
from .watch import find_name

TLS_REMEDY = "correct the certificate of the proxy; one of an authority of your own: verification_preview.ca_file"
JWT = re.compile(r"[A-Za-z0-9_-]+\.(?P<claims>[A-Za-z0-9_-]+)\.[A-Za-z0-9_-]+")
# Where a name resolves and nothing drops packets, a connection stands long before.
CONNECT_SECONDS = 5.0
REACH_REMEDY = "let this controller reach it, or set verification_preview.url to an address that it reaches"
PREVIEW_REMEDY = "read the log of the API container and of the proxy in front of it"


def value_at(data: Any, path: str) -> str:
    """A text of a JSON answer by its key; dots go deeper, numbers into lists."""
    for key in path.split("."):
        if isinstance(data, list) and key.isdecimal():
            data = data[int(key)] if int(key) < len(data) else None
        else:
            data = data.get(key) if isinstance(data, dict) else None
    return str(data) if isinstance(data, str | int) and not isinstance(data, bool) else ""


def room_in(text: str) -> str:
    """A room's name, or that of the room for which an access token is: many APIs answer a token only."""
    claims = JWT.fullmatch(text)
    if not claims:
        return text
    with suppress(ValueError):
        padded = claims["claims"] + "=" * (-len(claims["claims"]) % 4)
        found = parsed(base64.urlsafe_b64decode(padded))
        return text if found is None else value_at(found, "video.room")
    return text


def read_preview(request: dict[str, Any], status: int, text: str) -> tuple[str, str, str]:
    """Room, dispatch id and agent name of the application's answer, or a LiveKitError."""
    where, begin = shown_url(request["url"]), " ".join(text[:160].split())
    expected = f"a JSON object with {request['room_key']!r}, HTTP 200"
    if not 200 <= status < 300:
        said = f"answers HTTP {status}" if status > 0 else "does not answer"
        raise LiveKitError("preview", f"{where} {said}: {begin or 'empty'}", expected, PREVIEW_REMEDY)
    data = parsed(text)
    if data is None:
        raise LiveKitError("preview", f"{where} answers no JSON: {begin or 'empty'}", expected, PREVIEW_REMEDY)
    room, dispatch, name = (value_at(data, request[key]) for key in ("room_key", "dispatch_key", "agent_name_key"))
    if not room_in(room):
        keys = f"; it has {', '.join(sorted(map(repr, data))[:12])}" if isinstance(data, dict) else ""
        raise LiveKitError(
            "preview",
            f"no room at {request['room_key']!r} in the answer of {where}{keys}",
            expected,
            "set verification_preview.room to the key that has the room's name, or an access token for it",
        )
    return room_in(room), dispatch, name


async def ask_application(connection: Connection, probe: Probe) -> None:
    """Let the application's own API create room and dispatch, as its users do; or take the answer that it gave on its own host."""
    request, answer, result = probe.spec.request, probe.spec.answer, probe.result
    status, text = (answer["status"], answer["text"]) if answer else await http_text(connection, request, probe.spec.deadline)
    probe.created = time.monotonic()
    room, dispatch, name = read_preview(request, status, text)
    probe.may_exist = True
    result.update(room=room, dispatch_id=dispatch or None, agent_name=name or None, in_room=False)
    if not (name or dispatch or probe.spec.expect == "dispatch"):
        await find_name(connection, probe)


async def http_text(connection: Connection, request: dict[str, Any], timeout: float) -> tuple[int, str]:
    body = request.get("body")
    content: dict[str, Any] = {"data": body} if isinstance(body, str) else {} if body is None else {"json": body}
    named, verify = tls_of(request)
    limit = client.aiohttp.ClientTimeout(total=timeout, sock_connect=min(CONNECT_SECONDS, timeout))
    try:
        async with connection.session.request(
            request["method"], request["url"], headers={**named, **(request.get("headers") or {})}, timeout=limit, **content, **verify
        ) as answer:
            return answer.status, (await client.body_of(answer)).decode(errors="replace")
    except (client.aiohttp.ClientError, OSError, ValueError) as error:
        trouble = error_of_connection(request["url"], error, "the application's API, which answers with a room")
        kind, remedy = kind_of_silence(trouble.kind, error)
        raise LiveKitError(kind, trouble.found, trouble.expected, remedy) from None


def kind_of_silence(kind: str, error: Exception) -> tuple[str, str]:
    """Kind and remedy of a request without an answer: of one that got no connection, or of one that did and no answer came."""
    if kind == "tls":
        return kind, TLS_REMEDY
    connecting = (client.aiohttp.ClientConnectorError, client.aiohttp.ServerTimeoutError)
    return (NOT_REACHED, REACH_REMEDY) if isinstance(error, connecting) else ("preview", PREVIEW_REMEDY)


def tls_of(request: dict[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Headers and options for a server that is asked by its address and goes by a name."""
    name, secure = request.get("server_name") or "", request["url"].lower().startswith("https:")
    options: dict[str, Any] = {"server_hostname": name} if name and secure else {}
    if not request.get("validate_certs", True):
        options["ssl"] = False
    elif secure and request.get("ca_file"):
        options["ssl"] = ssl.create_default_context(cafile=request["ca_file"])
    return {"Host": name} if name else {}, options
