# SPDX-License-Identifier: Apache-2.0
"""What an inventory must be before a deployment touches anything.

Pure: mappings in, sentences out. A sentence says what was found, what is expected and what to do; none holds a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from .addresses import is_documentation, split_url, without_credentials
from .arguments import Specs, argument_problems
from .batches import batch_problems
from .compose import compose_problems
from .garbled import garbled_problems
from .hooks import hook_problems
from .placement import placement_problems
from .play_options import option_problems
from .pools import name_problems, pool_problems, server_problems
from .preview import preview_problems
from .rehearsal import rehearsal_problems
from .setting_problems import host_problems
from .settings import URLS, Settings, read_settings
from .variables import HostVars

Groups = Mapping[str, Sequence[str]]  # hosts by group, as Ansible's ``groups``
GROUPS = ("agent_hosts", "suspects", "livekit_servers")
# Playbooks that look at what is there, whoever started it: an entry needs no more than its name and its server.
LOOKS = ("verify", "status", "diagnose", "evict")
COPY_THE_EXAMPLE = (
    "Copy inventory/example, which is documentation, to inventory/<yours>, put your hosts and server there "
    "and pass -i inventory/<yours>/hosts.yml."
)


@dataclass(frozen=True)
class CommandLine:
    """What a playbook was started with."""

    playbook: str
    hosts: Sequence[str]  # of this run, after --limit
    given: Sequence[str]  # names of the variables of -e


@dataclass(frozen=True)
class Project:
    """What an inventory is held against."""

    specs: Specs  # by role
    words: str  # all that the project's own answers are made of, in small letters


def problems(hostvars: HostVars, groups: Groups, run: CommandLine, project: Project) -> list[str]:
    """Return every problem of an inventory, of all hosts and roles at once; an empty list means there is none."""
    hosts = [str(host) for host in groups.get("agent_hosts") or []]
    return [
        *inventory_problems(hostvars, hosts, looks=run.playbook in LOOKS),
        *input_problems(hostvars, groups, run, project.specs),
        *server_problems(hostvars, run.hosts),
        *hook_problems(hostvars, hosts),
        *batch_problems(hostvars, hosts),
        *rehearsal_problems(hostvars, hosts),
        *compose_problems(hostvars, hosts),
        *preview_problems(hostvars, hosts),
        *garbled_problems(hostvars, hosts, project.words),
    ]


def input_problems(hostvars: HostVars, groups: Groups, run: CommandLine, specs: Specs) -> list[str]:
    """Return what command line and inventory give under a name that nobody knows, or with another type."""
    listed = dict.fromkeys(str(host) for group in GROUPS for host in groups.get(group) or [])
    hosts = list(listed) or ["localhost"]
    options = option_problems(hostvars, hosts, run.given, run.playbook)
    return options + argument_problems(hostvars, hosts, specs, run.given)


def inventory_problems(hostvars: HostVars, group_hosts: Iterable[str], *, looks: bool = False) -> list[str]:
    """Return why the settings of the hosts cannot be deployed, each for itself and beside each other; with ``looks``
    why they cannot be looked at."""
    names = list(group_hosts)
    read = [read_settings(name, hostvars[name]) for name in names]
    hosts = [host for host, _problems in read]
    if not hosts:
        return [f"The group agent_hosts is empty: nothing is configured. {COPY_THE_EXAMPLE}"]
    documentation = list(documentation_addresses(hosts))
    nothing_configured = _nothing_configured(documentation)
    if len({host for host, _variable, _value in documentation}) == len(hosts):
        return nothing_configured  # the example as it is: whatever else is missing follows from that
    found = [problem for _host, unreadable in read for problem in unreadable]
    found += [problem for host in hosts for problem in host_problems(host, looks=looks)]
    between = pool_problems(hosts) + name_problems(hosts) + placement_problems(hostvars, names)
    return nothing_configured + found + between


def documentation_addresses(hosts: Iterable[Settings]) -> Iterator[tuple[str, str, str]]:
    """Yield host, variable and value of each documentation address in force."""
    for host in hosts:
        for variable in (*URLS, "ansible_host"):
            value = host.get(variable)
            parts = split_url(value) if variable in URLS else None
            if is_documentation((parts.hostname or "") if parts else value):
                yield host.name, variable, without_credentials(value)


def _nothing_configured(addresses: list[tuple[str, str, str]]) -> list[str]:
    if not addresses:
        return []
    listed = ", ".join(f"{host} ({variable} {value})" for host, variable, value in addresses)
    found = f"Nothing is configured: documentation addresses are in force on {listed}"
    return [f"{found}, expected real ones. {COPY_THE_EXAMPLE}"]
