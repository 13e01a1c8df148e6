# SPDX-License-Identifier: Apache-2.0
"""Several inventory entries for one host, each an application of its own there, and what an entry says of its site.

Pure: mappings in, sentences out. A value that cannot be read is compared with nothing: the settings name it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from .variables import HostVars, Variables

# As the roles have them; they are not known to a play that does not use the role.
DEFAULTS: dict[str, Any] = {
    "agent_api_ports": [18101, 18102],
    "api_proxy_listen_port": 80,
    "api_proxy_https_port": 443,
    "api_proxy_certificate": "",
    "api_proxy_certificate_key": "",
    "api_proxy_manage": True,
}
SSH_PORT = 22
PLAIN = (str, int, bool)


@dataclass(frozen=True)
class Entry:
    """An application on a host, as an entry of the inventory says."""

    name: str
    host: tuple[str, str]
    app: str = ""
    api_ports: frozenset[int] = frozenset()
    sites: frozenset[tuple[str, int]] = frozenset()
    """Name and port of each server of its site."""


def placement_problems(hostvars: HostVars, names: Iterable[str]) -> list[str]:
    """Return why applications cannot be beside each other on a host, and why a site cannot be as an entry says."""
    listed = list(names)
    entries = [placed_entry(name, hostvars[name]) for name in listed]
    own = [problem for name in listed for problem in site_problems(name, hostvars[name])]
    pairs = [pair for pair in combinations(entries, 2) if pair[0].host == pair[1].host]
    return own + [problem for one, other in pairs for problem in entry_clashes(one, other)]


def site_problems(name: str, variables: Variables) -> Iterator[str]:
    if not has_site(variables):
        return
    names = ("api_proxy_certificate", "api_proxy_certificate_key")
    certificate, key = (role_value(variables, variable) for variable in names)
    if bool(certificate) != bool(key):
        has, lacks = names[:: 1 if certificate else -1]
        yield f"{name}: {has} is set and {lacks} is not, expected both or neither. Set {lacks} too, or remove {has}."
    port = port_number(role_value(variables, "api_proxy_listen_port"))
    if certificate and key and port and port == port_number(role_value(variables, "api_proxy_https_port")):
        yield (
            f"{name}: api_proxy_listen_port and api_proxy_https_port are both {port}, expected two ports: one is for "
            "HTTP, the other for HTTPS. Change one of them."
        )


def entry_clashes(one: Entry, other: Entry) -> Iterator[str]:
    both, address = f"{one.name} and {other.name} are one host ({one.host[0]})", one.host[0]
    if one.app and one.app == other.app:
        yield (
            f"{both} and both deploy the application {one.app!r}, expected one entry for an application on a host: "
            f"both would own /opt/{one.app}. Give one of them another agent_release_app, or remove it."
        )
        return
    if ports := sorted(one.api_ports & other.api_ports):
        yield (
            f"{both} and agent_api_ports of both have {', '.join(map(str, ports))}, expected ports of its own for each "
            f"application on {address}. Give one of them two others."
        )
    for server_name, port in sorted(one.sites & other.sites):
        yield (
            f"{both} and both have a site for {server_name!r} on port {port}, expected one: nginx would send all "
            "requests to one of the applications. Give one of them another api_proxy_server_name, or another "
            "api_proxy_listen_port or api_proxy_https_port."
        )


def placed_entry(name: str, variables: Variables) -> Entry:
    address = plain_text(role_value(variables, "ansible_host")) or name
    host = (normalised(address), str(port_number(role_value(variables, "ansible_port")) or SSH_PORT))
    app = plain_text(role_value(variables, "agent_release_app"))
    if not has_api(variables):
        return Entry(name, host, app)
    ports = role_value(variables, "agent_api_ports")
    api_ports = frozenset(port for one in (ports if isinstance(ports, list) else []) if (port := port_number(one)))
    own_sites = frozenset(sites(address, variables)) if has_site(variables) else frozenset()
    return Entry(name, host, app, api_ports=api_ports, sites=own_sites)


def sites(address: str, variables: Variables) -> Iterator[tuple[str, int]]:
    server_names = plain_text(role_value(variables, "api_proxy_server_name", address))
    secure = ["api_proxy_https_port"] if role_value(variables, "api_proxy_certificate") else []
    for variable in ["api_proxy_listen_port", *secure]:
        if port := port_number(role_value(variables, variable)):
            yield from ((server_name.lower(), port) for server_name in server_names.split())


def has_api(variables: Variables) -> bool:
    """An entry whose API has an image that is empty has a worker only."""
    return role_value(variables, "agent_api_image") != ""


def has_site(variables: Variables) -> bool:
    """Whether the site is ours to write."""
    managed = role_value(variables, "api_proxy_manage")
    return has_api(variables) and plain_text(managed).lower() not in ("false", "no", "off", "0")


def role_value(variables: Variables, name: str, default: Any = None) -> Any:
    """The value as a plain one; the role's default where there is none, None where it cannot be read."""
    try:
        value = variables[name]
        return list(value) if isinstance(value, list) else value if isinstance(value, PLAIN) else None
    except KeyError:
        return DEFAULTS.get(name, default)
    except Exception:  # templating errors have no common public type
        return None


def plain_text(value: Any) -> str:
    try:
        return "" if value is None else str(value).strip()
    except Exception:  # it fails when it is used
        return ""


def port_number(value: Any) -> int:
    """A port, 0 where it is none."""
    read = plain_text(value)
    return int(read) if read.isdigit() else 0


def normalised(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address.strip("[]")))
    except ValueError:
        return address.rstrip(".").lower()
