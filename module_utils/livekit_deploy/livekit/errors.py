# SPDX-License-Identifier: Apache-2.0
"""What is wrong between here and a LiveKit server: found, expected, remedy."""

from __future__ import annotations

import socket
import ssl
from urllib.parse import urlsplit, urlunsplit

from ..common.text import parsed_object

SCHEMES = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
LIVEKIT_SERVER = "a LiveKit server that answers"
PASSING_CODES = frozenset({"internal", "unavailable", "deadline_exceeded", "resource_exhausted", "aborted"})


class LiveKitError(Exception):
    """A failure as a person can read it: what was found, what was expected, what to do."""

    def __init__(self, kind: str, found: str, expected: str, remedy: str, passing: bool = False) -> None:
        super().__init__(f"{found}; expected {expected}; {remedy}")
        self.kind = kind
        self.found = found
        self.expected = expected
        self.remedy = remedy
        self.passing = passing

    def as_dict(self) -> dict[str, str]:
        return {"kind": self.kind, "found": self.found, "expected": self.expected, "remedy": self.remedy}


def http_url(url: str) -> str:
    """Return the address for HTTP requests of a LiveKit URL, or raise a LiveKitError."""
    try:
        parts = urlsplit(url.strip())
        valid = parts.scheme.lower() in SCHEMES and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise LiveKitError(
            "url",
            f"{shown_url(url)!r} is no address of a LiveKit server",
            "ws://, wss://, http:// or https:// and a host",
            "correct the URL",
        )
    return urlunsplit((SCHEMES[parts.scheme.lower()], parts.netloc, parts.path.rstrip("/"), "", ""))


def shown_url(url: str) -> str:
    """Return the URL without what may be secret in it."""
    before, at, after = url.rpartition("@")
    return f"{before.partition('://')[0]}://{after}".split("?")[0] if at else url.split("?")[0]


def why_unauthorized(text: str) -> str:
    """Return what a 401 answer is about: key, secret or clock. The answer may hold a token: never show it."""
    lowered = text.lower()
    if "invalid api key" in lowered:
        return "key"
    if "not valid yet" in lowered or "expired" in lowered or "before issued" in lowered or "(nbf)" in lowered:
        return "clock"
    return "secret" if "signature" in lowered or "cryptographic" in lowered or "invalid token" in lowered else "key"


def unauthorized_error(url: str, text: str) -> LiveKitError:
    kind = why_unauthorized(text)
    found, expected, remedy = {
        "key": (
            "does not know the API key (HTTP 401)",
            "an API key of this server",
            "set livekit_api_key to a key in this server's configuration, or correct the URL",
        ),
        "secret": (
            "refuses the API secret (HTTP 401): the signature does not match its key",
            "the secret that belongs to the API key",
            "correct livekit_api_secret in the vault",
        ),
        "clock": (
            "refuses the token for its time (HTTP 401)",
            "clocks of this machine and of the server that agree",
            "synchronise the clock of this machine (timedatectl) and of the server",
        ),
    }[kind]
    return LiveKitError(kind, f"{shown_url(url)} {found}", expected, remedy)


def answer_error(url: str, status: int, content_type: str, body: bytes) -> LiveKitError:
    """Return the error that an HTTP answer other than success of the LiveKit API stands for."""
    text = body[:2000].decode("utf-8", "replace")
    if status == 401:
        return unauthorized_error(url, text)
    code, message = twirp_error(text) if "json" in content_type else ("", "")
    if not code:
        what = f"{shown_url(url)} answers HTTP {status} ({content_type or 'no content type'})"
        expected = "the API of a LiveKit server"
        return LiveKitError(
            "not_livekit",
            what,
            expected,
            "correct the URL, or the proxy in front of the server",
            passing=status in (502, 503, 504),
        )
    found = f"{shown_url(url)} answers {code}: {message} (HTTP {status})"
    if status == 403:
        expected = "a key that may create rooms and dispatches"
        return LiveKitError("permission", found, expected, "use an API key with full rights")
    passing = code in PASSING_CODES or status in (502, 503, 504)
    return LiveKitError(
        code,
        found,
        "an answer without error",
        "run it again; if it stays, read the LiveKit server's log",
        passing=passing,
    )


def twirp_error(text: str) -> tuple[str, str]:
    """Return code and message of a Twirp error; empty where the text is none."""
    data = parsed_object(text)
    if not isinstance(data.get("code"), str):
        return "", ""
    return data["code"], str(data.get("msg", ""))


def connection_error(url: str, error: BaseException, expected: str = LIVEKIT_SERVER) -> LiveKitError:
    """Return the error of a failed connection; its kind is unreachable, dns, timeout or tls."""
    where = shown_url(url)
    cause = getattr(error, "os_error", None) or error
    if isinstance(error, TimeoutError):
        return LiveKitError(
            "timeout",
            f"{where} does not answer in time",
            expected,
            "check the address, the port and the firewall between",
            passing=True,
        )
    if isinstance(cause, socket.gaierror):
        found = f"the host name of {where} does not resolve"
        return LiveKitError("dns", found, expected, "correct the URL or the name service")
    kind = type(error).__name__.lower()
    if isinstance(cause, ssl.SSLError) or "ssl" in kind or "certificate" in kind:
        return LiveKitError(
            "tls",
            f"no TLS connection to {where}: {cause}",
            expected,
            "use ws:// or http:// for a server without TLS, else correct the certificate",
        )
    if isinstance(cause, ConnectionRefusedError):
        return LiveKitError(
            "unreachable",
            f"{where} refuses the connection",
            expected,
            "start the server, or correct address and port",
            passing=True,
        )
    text = str(cause).strip() or type(cause).__name__
    return LiveKitError(
        "unreachable",
        f"no connection to {where}: {text}",
        expected,
        "check the address, the port and the network between",
        passing=True,
    )
