# SPDX-License-Identifier: Apache-2.0
"""Ask the application's own API for a room with an agent, and read its answer."""

from __future__ import annotations

import ssl
import time
from typing import Any, NamedTuple

from ..common.text import parsed, token_room
from . import client
from .client import Connection
from .errors import LiveKitError, connection_error, shown_url
from .outcomes import NOT_REACHED
from .probe import ApiRequest, Probe
from .watch import find_name

TLS_REMEDY = "correct the certificate of the proxy; one of an authority of your own: verification_preview.ca_file"
# Where a name resolves and nothing drops packets, a connection stands long before.
CONNECT_SECONDS = 5.0
REACH_REMEDY = "let this controller reach it, or set verification_preview.url to an address that it reaches"
PREVIEW_REMEDY = "read the log of the API container and of the proxy in front of it"


def value_at(data: Any, path: str) -> str:
    """Return a text of a JSON answer by its key; dots go deeper, numbers into lists."""
    for key in path.split("."):
        if isinstance(data, list) and key.isdecimal():
            data = data[int(key)] if int(key) < len(data) else None
        else:
            data = data.get(key) if isinstance(data, dict) else None
    return str(data) if isinstance(data, str | int) and not isinstance(data, bool) else ""


def room_name(text: str) -> str:
    """Return a room's name, or that of the room for which an access token is: many APIs answer a token only."""
    room = token_room(text)
    return text if room is None else room


class Dispatched(NamedTuple):
    """What the application answers; all but the room may be empty."""

    room: str
    dispatch_id: str
    agent_name: str


def read_preview(request: ApiRequest, status: int, text: str) -> Dispatched:
    """Read the application's answer, or raise a LiveKitError."""
    where, begin = shown_url(request["url"]), " ".join(text[:160].split())
    expected = f"a JSON object with {request['room_key']!r}, HTTP 200"
    if not 200 <= status < 300:
        said = f"answers HTTP {status}" if status > 0 else "does not answer"
        raise LiveKitError("preview", f"{where} {said}: {begin or 'empty'}", expected, PREVIEW_REMEDY)
    data = parsed(text)
    if data is None:
        raise LiveKitError("preview", f"{where} answers no JSON: {begin or 'empty'}", expected, PREVIEW_REMEDY)
    room = room_name(value_at(data, request["room_key"]))
    if not room:
        keys = f"; it has {', '.join(sorted(map(repr, data))[:12])}" if isinstance(data, dict) else ""
        raise LiveKitError(
            "preview",
            f"no room at {request['room_key']!r} in the answer of {where}{keys}",
            expected,
            "set verification_preview.room to the key that has the room's name, or an access token for it",
        )
    return Dispatched(room, value_at(data, request["dispatch_key"]), value_at(data, request["agent_name_key"]))


async def ask_application(connection: Connection, probe: Probe) -> None:
    """Let the application's own API create room and dispatch, as for its users, or take what it answered there."""
    spec, answer = probe.spec, probe.spec.answer
    if answer:
        status, text = answer["status"], answer["text"]
    else:
        status, text = await http_text(connection, spec.request, spec.deadline)
    probe.created = time.monotonic()
    room, dispatch, name = read_preview(spec.request, status, text)
    probe.may_exist = True
    probe.result |= {"room": room, "dispatch_id": dispatch or None, "agent_name": name or None, "in_room": False}
    if not (name or dispatch or probe.spec.expect == "dispatch"):
        await find_name(connection, probe)


async def http_text(connection: Connection, request: ApiRequest, timeout: float) -> tuple[int, str]:
    body = request.get("body")
    content = {"data": body} if isinstance(body, str) else {} if body is None else {"json": body}
    named, options = tls_options(request)
    headers = {**named, **(request.get("headers") or {})}
    limit = client.aiohttp.ClientTimeout(total=timeout, sock_connect=min(CONNECT_SECONDS, timeout))
    sent = {"headers": headers, "timeout": limit, **content, **options}
    try:
        async with connection.session.request(request["method"], request["url"], **sent) as answer:
            return answer.status, (await client.answer_body(answer)).decode(errors="replace")
    except (client.aiohttp.ClientError, OSError, ValueError) as error:
        failure = connection_error(request["url"], error, "the application's API, which answers with a room")
        kind, remedy = kind_of_silence(failure.kind, error)
        raise LiveKitError(kind, failure.found, failure.expected, remedy) from None


def kind_of_silence(kind: str, error: Exception) -> tuple[str, str]:
    """Return kind and remedy of a request without an answer: it got no connection, or it did and no answer came."""
    if kind == "tls":
        return kind, TLS_REMEDY
    connecting = (client.aiohttp.ClientConnectorError, client.aiohttp.ServerTimeoutError)
    return (NOT_REACHED, REACH_REMEDY) if isinstance(error, connecting) else ("preview", PREVIEW_REMEDY)


def tls_options(request: ApiRequest) -> tuple[dict[str, str], dict[str, str | bool | ssl.SSLContext]]:
    """Return headers and options for a server that is asked by its address and goes by a name."""
    name, secure = request.get("server_name") or "", request["url"].lower().startswith("https:")
    options: dict[str, str | bool | ssl.SSLContext] = {"server_hostname": name} if name and secure else {}
    if not request.get("validate_certs", True):
        options["ssl"] = False
    elif secure and request.get("ca_file"):
        options["ssl"] = ssl.create_default_context(cafile=request["ca_file"])
    return {"Host": name} if name else {}, options
