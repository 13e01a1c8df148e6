# SPDX-License-Identifier: Apache-2.0
"""What is wrong between hosts: their LiveKit servers, pools and agent names. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import combinations
from typing import Any

from .settings import Host, read_host


def server_problems(hostvars: Mapping[str, Any], hosts: Iterable[str]) -> list[str]:
    """A run speaks to one LiveKit server: its probes go out together, and a probe on another server would prove nothing."""
    servers: dict[str, list[str]] = {}
    for name in hosts:
        host, _unreadable = read_host(name, hostvars[name])
        servers.setdefault(_server(host), []).append(name)
    if len(servers) < 2:
        return []
    found = "; ".join(f"{server or 'none'} for {', '.join(names)}" for server, names in servers.items())
    return [f"found several LiveKit servers in one run ({found}), expected one. Run once for each of them, with --limit"]


def pool_problems(hosts: list[Host]) -> list[str]:
    """Hosts of one pool share their name on purpose: they must agree on it, and on the server."""
    problems = []
    for pool, members in _grouped(hosts, _pool).items():
        for variable, read in (("livekit_agent_name", _agent_name), ("livekit_url", _server)):
            values = _grouped([host for host in members if read(host)], read)
            if len(values) > 1:
                found = ", ".join(f"{value!r} on {_names(of)}" for value, of in values.items())
                problems.append(
                    f"Pool {pool}: {variable} is {found}, expected one value in a pool. "
                    "Give them the same one, or each host a livekit_agent_pool of its own."
                )
    return problems


def name_problems(hosts: list[Host]) -> list[str]:
    """Names that would send a call to a host of another pool, or that a reader would take for the same."""
    problems = []
    for members in _grouped([host for host in hosts if host.server], _server).values():
        problems += _shared_by_pools(members)
        problems += [text for one, other in combinations(members, 2) for text in _look_alikes(one, other)]
        problems += _shadowed(members)
    return problems


def _shared_by_pools(hosts: list[Host]) -> list[str]:
    problems = []
    for name, members in _grouped([host for host in hosts if host.agent_name], _agent_name).items():
        pools = _grouped(members, _pool)
        if len(pools) > 1:
            found = " and ".join(f"{_names(of)} (pool {pool})" for pool, of in pools.items())
            problems.append(
                f"The agent name {name!r} is used by {found} on {members[0].server}, expected one pool for a name: "
                "LiveKit would send "
                "calls to either. Give each pool its own livekit_agent_name, or these hosts one livekit_agent_pool."
            )
    return problems


def _look_alikes(one: Host, other: Host) -> list[str]:
    if one.agent_name == other.agent_name or folded(one.agent_name) != folded(other.agent_name) or not one.agent_name:
        return []
    return [
        f"The agent names {one.agent_name!r} of {one.name} and {other.agent_name!r} of {other.name} differ only in "
        "case or white space, "
        "expected names that cannot be taken for each other: LiveKit keeps them apart, people do not. Change one of "
        "them."
    ]


def _shadowed(hosts: list[Host]) -> list[str]:
    """A live name that is what another pool is rolled back to."""
    problems = []
    for host in (host for host in hosts if host.agent_name):
        others = [other for other in hosts if other.pool != host.pool and folded(other.shared_name) == folded(host.agent_name)]
        if others:
            problems.append(
                f"{host.name}: livekit_agent_name {host.agent_name!r} is the livekit_agent_shared_name of "
                f"{_names(others)}, expected a "
                "name no other pool can be rolled back to. Give it a name of its own, or put these hosts into one "
                "livekit_agent_pool."
            )
    return problems


def _agent_name(host: Host) -> str:
    return host.agent_name


def _server(host: Host) -> str:
    return host.server


def _pool(host: Host) -> str:
    return host.pool


def folded(name: str) -> str:
    return re.sub(r"\s+", "", name).casefold()


def _names(hosts: Iterable[Host]) -> str:
    return ", ".join(host.name for host in hosts)


def _grouped(hosts: Iterable[Host], key: Callable[[Host], str]) -> dict[str, list[Host]]:
    groups: dict[str, list[Host]] = defaultdict(list)
    for host in hosts:
        groups[key(host)].append(host)
    return groups
