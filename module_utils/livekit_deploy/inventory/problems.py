"""What an inventory must be before a deployment touches anything.

Pure: mappings in, sentences out. A sentence says what was found, what is expected and what to do; none holds a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .addresses import _split, is_documentation, without_credentials
from .placement import placement_problems
from .pools import name_problems, pool_problems
from .setting_problems import host_problems
from .settings import URLS, Host, read_host

COPY_THE_EXAMPLE = (
    "Copy inventory/example, which is documentation, to inventory/<yours>, put your hosts and server there "
    "and pass -i inventory/<yours>/hosts.yml."
)


def inventory_problems(hostvars: Mapping[str, Any], group_hosts: Iterable[str]) -> list[str]:
    """All reasons not to deploy this inventory, at once; an empty list means there is none."""
    names = list(group_hosts)
    read = [read_host(name, hostvars[name]) for name in names]
    hosts = [host for host, _problems in read]
    if not hosts:
        return [f"The group agent_hosts is empty: nothing is configured. {COPY_THE_EXAMPLE}"]
    documentation = list(documentation_addresses(hosts))
    nothing_configured = _nothing_configured(documentation)
    if len({host for host, _variable, _value in documentation}) == len(hosts):
        return nothing_configured  # the example as it is: whatever else is missing follows from that
    problems = [problem for _host, found in read for problem in found]
    for host in hosts:
        problems += host_problems(host)
    return nothing_configured + problems + pool_problems(hosts) + name_problems(hosts) + placement_problems(hostvars, names)


def documentation_addresses(hosts: Iterable[Host]) -> Iterator[tuple[str, str, str]]:
    """Host, variable and value of each documentation address in force."""
    for host in hosts:
        for variable in (*URLS, "ansible_host"):
            value = host.get(variable)
            parts = _split(value) if variable in URLS else None
            if is_documentation((parts.hostname or "") if parts else value):
                yield host.name, variable, without_credentials(value)


def _nothing_configured(found: list[tuple[str, str, str]]) -> list[str]:
    if not found:
        return []
    listed = ", ".join(f"{host} ({variable} {value})" for host, variable, value in found)
    return [f"Nothing is configured: documentation addresses are in force on {listed}, expected real ones. {COPY_THE_EXAMPLE}"]
