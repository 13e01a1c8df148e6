# SPDX-License-Identifier: Apache-2.0
"""How the inventory says that a host's API is asked for a room with an agent, and what its worker then logs. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.parsing.convert_bool import boolean

from ..common import values
from ..common.merge import plain
from ..livekit.probe import ApiRequest
from . import environment
from .placement import role_value
from .variables import HostVars, Variables

VARIABLE, PATTERNS = "verification_preview", "verification_log_patterns"
# What a request may say, with what holds where it does not.
KEYS: dict[str, Any] = {
    "method": "POST",
    "path": "/v1/preview",
    "url": "",
    "headers": {},
    "body": None,
    "room": "room",
    "dispatch": "dispatch_id",
    "agent_name": "agent_name",
    "ca_file": "",
    "validate_certs": True,
}
LOOPBACK = "127.0.0.1"
# A name as a server can be asked for: no address, no pattern of nginx's.
NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
METHODS = frozenset({"GET", "POST", "PUT", "PATCH"})
# The search window of a verification is longer, so that nothing waits for a line that comes within it.
PATTERN_SECONDS = 5.0


@dataclass(frozen=True)
class Pattern:
    """A line that the worker's log must have within so many seconds of the preview's job request."""

    pattern: str
    deadline_seconds: float = PATTERN_SECONDS


@dataclass(frozen=True)
class Preview:
    """The request; ``headers`` may be secret."""

    url: str
    path: str
    method: str
    body: Any
    where: Mapping[str, str]
    server_name: str
    ca_file: str
    validate_certs: bool
    own_site: bool
    headers: Mapping[str, str] = field(repr=False)

    def request(self) -> ApiRequest:
        """Return the request as ``livekit_dispatch`` takes it."""
        return {
            "url": self.url,
            "method": self.method,
            "headers": dict(self.headers),
            "body": self.body,
            "room_key": self.where["room"],
            "dispatch_key": self.where["dispatch"],
            "agent_name_key": self.where["agent_name"],
            "server_name": self.server_name,
            "ca_file": self.ca_file,
            "validate_certs": self.validate_certs,
        }

    def slot_request(self) -> dict[str, Any]:
        """Return the request on the host itself, before the proxy knows of the API: as ``api_answer_info`` takes it."""
        as_json = isinstance(self.body, dict | list)
        body = {} if self.body is None else {"body": self.body, "body_format": "json" if as_json else "raw"}
        return {"path": self.path, "method": self.method, "headers": dict(self.headers), **body}

    def host_request(self) -> dict[str, Any]:
        """Return the request as a host sends it to its own proxy, or to the address that the inventory gives.

        ``api_answer_info`` takes it. Whose certificate a site shows on its own loopback address proves nothing, and the
        authority's file is on the controller.
        """
        parts = urlsplit(self.url)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        named = {"server_name": self.server_name or str(parts.hostname)}
        tls = {"tls": True, **named, "validate_certs": self.validate_certs and not self.own_site}
        asked = {**self.slot_request(), **(tls if secure else {})}
        asked["headers"] = {"Host": self.server_name or parts.netloc.rpartition("@")[2], **asked["headers"]}
        return {"host": LOOPBACK if self.own_site else str(parts.hostname), "port": port, "preview": asked}


def wanted(variables: Variables) -> bool:
    """Return whether a host's API is asked at all."""
    found = plain(variables.get(VARIABLE, True))
    return isinstance(found, dict) or bool(boolean(found, strict=False))


def settings(variables: Variables) -> dict[str, Any]:
    found = plain(variables.get(VARIABLE, True))
    return {**KEYS, **(found if isinstance(found, dict) else {})}


def of(variables: Variables, host: str) -> Preview:
    """Return the request of a host through its proxy, to the site that this project writes unless there is ``url``."""
    said = settings(variables)
    first = (str(variables.get("api_proxy_server_name") or "").split() or [""])[0]
    url = said["url"] or f"{site(variables, host)}{said['path']}"
    # The host is asked by its address; its certificate and its site go by name.
    named = first if NAME.fullmatch(first) and not said["url"] else ""
    return Preview(
        url=url,
        path=said["path"] if not said["url"] else path_of(said["url"]),
        method=str(said["method"]).upper(),
        body=said["body"],
        where={key: str(said[key]) for key in ("room", "dispatch", "agent_name")},
        server_name=named,
        ca_file=str(said["ca_file"]),
        validate_certs=bool(boolean(said["validate_certs"], strict=False)),
        own_site=not said["url"],
        headers={key: str(value) for key, value in said["headers"].items()},
    )


def site(variables: Variables, host: str) -> str:
    address = str(variables.get("ansible_host") or host)
    address = f"[{address}]" if ":" in address else address
    if role_value(variables, "api_proxy_certificate"):
        return f"https://{address}:{role_value(variables, 'api_proxy_https_port')}"
    return f"http://{address}:{role_value(variables, 'api_proxy_listen_port')}"


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def patterns(variables: Variables) -> list[Pattern]:
    found = plain(variables.get(PATTERNS) or [])
    return [Pattern(**one) if isinstance(one, dict) else Pattern(str(one)) for one in found]


# --- what is wrong with it -------------------------------------------------------------------------------------------


def preview_problems(hostvars: HostVars, hosts: Iterable[str]) -> list[str]:
    """Return what an inventory says of previews that cannot be done, without a value: one may be secret."""
    found = [(host, text) for host in hosts for text in host_preview_problems(hostvars[host])]
    return [f"{host}: {text}. Correct it in the inventory" for host, text in found]


def host_preview_problems(variables: Variables) -> Iterator[str]:
    try:
        said, found = plain(variables.get(VARIABLE, True)), plain(variables.get(PATTERNS) or [])
    except Exception as error:  # what fails to template may quote a secret
        yield f"{VARIABLE} or {PATTERNS} cannot be read ({type(error).__name__}), expected values"
        return
    if isinstance(said, dict):
        yield from request_problems(said)
        yield from text_problems(variables[VARIABLE])
    elif values.switch(said) is None:
        yield f"{VARIABLE} is no request, expected true, false or a dict with some of {', '.join(KEYS)}"
    for one in found if isinstance(found, list) else []:
        yield from pattern_problems(one)


def request_problems(said: Mapping[str, Any]) -> Iterator[str]:
    if unknown := sorted(set(said) - set(KEYS)):
        yield f"{VARIABLE} has {', '.join(unknown)}, expected some of {', '.join(KEYS)}"
    if str(said.get("method", "POST")).upper() not in METHODS:
        yield f"{VARIABLE}.method is {said['method']!r}, expected one of {', '.join(sorted(METHODS))}"
    if not str(said.get("path", "/")).startswith("/"):
        yield f"{VARIABLE}.path is {said['path']!r}, expected a path that begins with /"
    if said.get("url") and urlsplit(str(said["url"])).scheme not in ("http", "https"):
        yield f"{VARIABLE}.url is no http:// or https:// URL, expected one"
    if not isinstance(said.get("headers", {}), dict):
        yield f"{VARIABLE}.headers is no dict, expected names and values"


def text_problems(said: Mapping[str, Any]) -> Iterator[str]:
    """Refuse what YAML has read as something else than the text that was written; headers without their values."""
    names = ("method", "path", "url", "room", "dispatch", "agent_name", "ca_file")
    texts = {key: said[key] for key in names if key in said}
    headers = said.get("headers", {}) if isinstance(said.get("headers", {}), Mapping) else {}
    found = [*environment.not_texts(texts, VARIABLE), *environment.not_texts(headers, f"{VARIABLE}.headers")]
    found += environment.untextual({key: said[key] for key in ("headers", "body") if key in said}, VARIABLE)
    yield from (f"{one}, expected a text: {values.QUOTES}" for one in dict.fromkeys(found))
    if (check := said.get("validate_certs", True)) is not True and values.switch(check) is None:
        yield f"{VARIABLE}.validate_certs is {values.shown(check)}, expected true or false"


def pattern_problems(one: Any) -> Iterator[str]:
    if isinstance(one, dict) and not ("pattern" in one and set(one) <= {"pattern", "deadline_seconds"}):
        expected = "pattern and, if it has to be, deadline_seconds"
        yield f"{PATTERNS} has a dict with {', '.join(sorted(one))}, expected {expected}"
        return
    text = str(one["pattern"] if isinstance(one, dict) else one)
    seconds = one.get("deadline_seconds", PATTERN_SECONDS) if isinstance(one, dict) else PATTERN_SECONDS
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds <= 0:
        yield f"{PATTERNS} has the deadline {seconds!r}, expected seconds"
    try:
        re.compile(text)
    except re.error as error:
        yield f"{PATTERNS} has {text!r}, expected a regular expression ({error})"


def media_remedy(host: str, url: str = "") -> str:
    """Return what to do where the agent of a job on a host is in its room and its media do not get through."""
    server = urlsplit(url).hostname or "the LiveKit server"
    return (
        f"A firewall between {host} and {server} drops the media. Let {host} reach the media ports of {server}: UDP "
        "(rtc.udp_port, or rtc.port_range_start to rtc.port_range_end, 50000 to 60000 where nothing is set) or TCP "
        "(rtc.tcp_port, 7881), and check the address that the server gives out (rtc.node_ip, rtc.use_external_ip)"
    )
