# SPDX-License-Identifier: Apache-2.0
"""What is wrong between hosts: their LiveKit servers, pools and agent names. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import combinations

from .settings import Settings, read_settings
from .variables import HostVars


def server_problems(hostvars: HostVars, hosts: Iterable[str]) -> list[str]:
    """Return why the hosts of a run cannot be proven together: a probe on another server would prove nothing."""
    servers: dict[str, list[str]] = {}
    for name in hosts:
        host, _unreadable = read_settings(name, hostvars[name])
        servers.setdefault(_server(host), []).append(name)
    if len(servers) < 2:
        return []
    found = "; ".join(f"{server or 'none'} for {', '.join(names)}" for server, names in servers.items())
    remedy = "Run once for each of them, with --limit"
    return [f"found several LiveKit servers in one run ({found}), expected one. {remedy}"]


def pool_problems(hosts: list[Settings]) -> list[str]:
    """Return where hosts of one pool do not agree. They share their name on purpose, and the server."""
    problems = []
    for pool, members in _grouped(hosts, _pool).items():
        for variable, key in (("livekit_agent_name", _agent_name), ("livekit_url", _server)):
            values = _grouped([host for host in members if key(host)], key)
            if len(values) > 1:
                found = ", ".join(f"{value!r} on {_names(of)}" for value, of in values.items())
                problems.append(
                    f"Pool {pool}: {variable} is {found}, expected one value in a pool. "
                    "Give them the same one, or each host a livekit_agent_pool of its own."
                )
    return problems


def name_problems(hosts: list[Settings]) -> list[str]:
    """Return names that would send a call to a host of another pool, or that a reader would take for the same."""
    problems = []
    for members in _grouped([host for host in hosts if host.server], _server).values():
        problems += _shared_by_pools(members)
        problems += [text for one, other in combinations(members, 2) for text in _look_alikes(one, other)]
        problems += _shadowed(members)
    return problems


def _shared_by_pools(hosts: list[Settings]) -> list[str]:
    problems = []
    for name, members in _grouped([host for host in hosts if host.agent_name], _agent_name).items():
        pools = _grouped(members, _pool)
        if len(pools) > 1:
            found = " and ".join(f"{_names(of)} (pool {pool})" for pool, of in pools.items())
            remedy = "Give each pool its own livekit_agent_name, or these hosts one livekit_agent_pool."
            problems.append(
                f"The agent name {name!r} is used by {found} on {members[0].server}, expected one pool for a name: "
                f"LiveKit would send calls to either. {remedy}"
            )
    return problems


def _look_alikes(one: Settings, other: Settings) -> list[str]:
    name, other_name = one.agent_name, other.agent_name
    if not name or name == other_name or folded(name) != folded(other_name):
        return []
    return [
        f"The agent names {name!r} of {one.name} and {other_name!r} of {other.name} differ only in case or white "
        "space, expected names that cannot be taken for each other: LiveKit keeps them apart, people do not. "
        "Change one of them."
    ]


def _shadowed(hosts: list[Settings]) -> list[str]:
    """Return each live name that another pool can be rolled back to."""
    problems = []
    for host in (host for host in hosts if host.agent_name):
        outside = [other for other in hosts if other.pool != host.pool]
        others = [other for other in outside if folded(other.shared_name) == folded(host.agent_name)]
        if others:
            problems.append(
                f"{host.name}: livekit_agent_name {host.agent_name!r} is the livekit_agent_shared_name of "
                f"{_names(others)}, expected a name no other pool can be rolled back to. Give it a name of its own, "
                "or put these hosts into one livekit_agent_pool."
            )
    return problems


def _agent_name(host: Settings) -> str:
    return host.agent_name


def _server(host: Settings) -> str:
    return host.server


def _pool(host: Settings) -> str:
    return host.pool


def folded(name: str) -> str:
    return re.sub(r"\s+", "", name).casefold()


def _names(hosts: Iterable[Settings]) -> str:
    return ", ".join(host.name for host in hosts)


def _grouped(hosts: Iterable[Settings], key: Callable[[Settings], str]) -> dict[str, list[Settings]]:
    groups: dict[str, list[Settings]] = defaultdict(list)
    for host in hosts:
        groups[key(host)].append(host)
    return groups
