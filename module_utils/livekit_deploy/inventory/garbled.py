# SPDX-License-Identifier: Apache-2.0
"""Secrets that are ordinary words.

ansible-core masks the value of a secret wherever it occurs in a module's answer. A secret such as ``fastapi``,
``worker`` or ``18101`` is masked in what a run needs to know, too. Pure: ``words`` is all that this project's answers
are made of, its own source in small letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from . import environment
from .variables import HostVars, Variables

SHORTEST = 4
# Ids, hashes, ports, process ids and times are full of these.
DIGITS = re.compile(r"[0-9a-f]{1,5}")
TODAY = "%Y%m%d %Y-%m-%d"
SECRETS = ("agent_api_secret_env", "livekit_agent_secret_env")
CREDENTIALS = ("livekit_api_secret",)
# What comes back in answers under these names.
NAMES = (
    *("agent_release_app", "livekit_agent_name", "livekit_agent_shared_name", "livekit_agent_pool"),
    *("livekit_url", "livekit_api_url"),
    *(
        "livekit_agent_image",
        "agent_api_image",
        "ansible_host",
        "ansible_user",
        "livekit_agent_adopt_project",
        "livekit_agent_leave_projects",
    ),
    *("agent_api_ports", "agent_api_container_port", "agent_api_health_path"),
    *("api_proxy_listen_port", "api_proxy_https_port", "api_proxy_server_name"),
    *("livekit_agent_volumes", "agent_api_volumes", "agent_release_image_archives"),
    *("livekit_server_log_unit", "livekit_server_log_container", "livekit_server_log_path"),
)
# Headers that are no secrets; what is masked of them is missed by nobody.
OPEN_HEADERS = frozenset({"accept", "accept-language", "cache-control", "content-type", "user-agent"})


def garbled_problems(hostvars: HostVars, hosts: Sequence[str], words: str) -> list[str]:
    """Return each secret of a host that would be masked in answers about any host, without its value."""
    said = f"{words}\n{' '.join(said_names(hostvars, hosts)).lower()}"
    return [
        f"{host}: {name} is shorter than {SHORTEST} characters, part of ids and numbers, or also a word of this "
        f"project or a name of the inventory, expected a secret that can be kept out of all output. {remedy}"
        for host in hosts
        for name, value, remedy in host_secrets(hostvars[host])
        if value and is_garbling(value, said)
    ]


def is_garbling(value: str, said: str) -> bool:
    """Return whether a secret is found in what has to be said."""
    low = value.lower()
    return len(value) < SHORTEST or DIGITS.fullmatch(low) is not None or low in said


def said_names(hostvars: HostVars, hosts: Iterable[str]) -> Iterator[str]:
    for host in hosts:
        yield host
        for name in NAMES:
            yield from leaves(value_or_none(hostvars[host], name))
        for variable in SECRETS:
            yield from map(str, environment.mapping_variable(hostvars[host], variable))


def host_secrets(variables: Variables) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and remedy of each secret."""
    for variable in SECRETS:
        given = environment.mapping_variable(variables, variable)
        ordinary = variable.replace("_secret_env", "_env")
        for key in given:
            remedy = f"Choose another one, or set it as an ordinary variable ({ordinary})"
            yield f"{variable}.{key}", secret_text(given, key), remedy
    for name in CREDENTIALS:
        yield name, secret_text(variables, name), "Choose another one"
    for number, entry in enumerate(value_or_none(variables, "agent_release_registries") or [], 1):
        if isinstance(entry, Mapping):
            name = f"agent_release_registries, password of entry {number},"
            yield name, secret_text(entry, "password"), "Choose another one"
    request = value_or_none(variables, "verification_preview")
    headers = value_or_none(request, "headers") if isinstance(request, Mapping) else {}
    for key in headers if isinstance(headers, Mapping) else {}:
        if str(key).lower() not in OPEN_HEADERS:
            yield f"verification_preview.headers.{key}", secret_text(headers, key), "Choose another value"


def value_or_none(variables: Any, name: str) -> Any:
    """Return a value, None where it fails to template: the module that judges the value names that."""
    try:
        return variables.get(name)
    except Exception:
        return None


def secret_text(variables: Any, name: Any) -> str:
    try:
        value = variables[name]
        return str(value) if isinstance(value, str | int | float) else ""
    except Exception:
        return ""


def leaves(value: Any) -> Iterator[str]:
    """Yield the texts that a value is made of."""
    try:
        if isinstance(value, Mapping):
            for key, one in value.items():
                yield from (str(key), *leaves(one))
        elif isinstance(value, list | tuple):
            for one in value:
                yield from leaves(one)
        elif value is not None:
            yield str(value)
    except Exception:
        return
