# SPDX-License-Identifier: Apache-2.0
"""The inventory entry of a new host: a name nobody has, and the place in the file where it goes.

Pure. The rest of the file stays as it is, byte for byte, so that no comment moves.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import yaml

from .addresses import is_documentation
from .pools import folded
from .settings import read_settings
from .variables import HostVars

HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
DOMAIN = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*\.?")
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@\\-]*\$?")
TEMPLATE = re.compile(r"\{\{|\{%|\{#")
RESERVED = ("all", "ungrouped", "localhost")
STEP = 2
Values = Mapping[str, str | int]  # the variables of an entry


class EntryError(Exception):
    """No entry is written; the text says found, expected and what to do."""


@dataclass(frozen=True)
class Known:
    """What the inventory has of another host that runs an application or is to."""

    host: str
    address: str
    agent_name: str
    shared_name: str
    app: str


@dataclass(frozen=True)
class Wanted:
    """What is asked for; without ``agent_name`` one is proposed, without ``app`` it is that of the others."""

    host: str
    address: str
    user: str = ""
    port: int | None = None
    agent_name: str = ""
    app: str = ""


def known_hosts(hostvars: HostVars, group: Sequence[str]) -> list[dict[str, str]]:
    """Return the agent hosts of an inventory, as ``Known`` takes them."""
    read = [read_settings(host, hostvars[host])[0] for host in group]
    return [
        {
            "host": one.name,
            "address": one.get("ansible_host"),
            "agent_name": one.agent_name,
            "shared_name": one.shared_name,
            "app": one.get("agent_release_app"),
        }
        for one in read
    ]


# --- what is decided -------------------------------------------------------------------------------------------------


def entry(wanted: Wanted, known: Sequence[Known], taken: Collection[str]) -> Values:
    """Return the variables of the new host; ``taken`` are the names of all hosts and groups."""
    if refusal := next(entry_refusals(wanted, known, taken), ""):
        raise EntryError(refusal)
    name = wanted.agent_name or proposed_name(f"{application(wanted, known)}-{wanted.host}", known)
    other_app = wanted.app if known and wanted.app != application(replace(wanted, app=""), known) else ""
    optional = {"ansible_user": wanted.user, "ansible_port": wanted.port, "agent_release_app": other_app}
    given: Values = {key: value for key, value in optional.items() if value}
    return {"ansible_host": wanted.address, **given, "livekit_agent_name": name}


def entry_refusals(wanted: Wanted, known: Sequence[Known], taken: Collection[str]) -> Iterator[str]:
    """Yield why no entry is written."""
    yield from host_refusals(wanted.host, taken)
    yield from address_refusals(wanted, known)
    yield from login_refusals(wanted)
    yield from name_refusals(wanted, known)


def host_refusals(host: str, taken: Collection[str]) -> Iterator[str]:
    if not HOST.fullmatch(host) or host.lower() in RESERVED or yaml.safe_load(host) != host:
        yield (
            f"found new_host={host!r}, expected a name of letters, digits, dots and hyphens that neither Ansible nor "
            "YAML reads as something else (no pattern, no group, no number, no yes or no). "
            "Choose another: -e new_host=staging-03"
        )
    if same := next((name for name in taken if name.lower() == host.lower()), ""):
        remedy = "Choose another: an entry is never overwritten"
        yield f"found: the inventory has {same} already, expected a new name. {remedy}"


def login_refusals(wanted: Wanted) -> Iterator[str]:
    if wanted.port is not None and not 0 < wanted.port < 65536:
        yield f"found new_port={wanted.port}, expected a port from 1 to 65535"
    if wanted.user and not USER.fullmatch(wanted.user):
        yield f"found new_user={wanted.user!r}, expected the name of a user that may log in over SSH"


def name_refusals(wanted: Wanted, known: Sequence[Known]) -> Iterator[str]:
    if wanted.agent_name and (refusal := name_refusal(wanted.agent_name, known)):
        yield f"found new_agent_name={wanted.agent_name!r}, {refusal}"
    if not wanted.agent_name and not application(wanted, known):
        found = "no host" if not known else "no single application"
        yield (
            f"found {found} in the group agent_hosts to take the application's name from, expected it. "
            f"Say it: -e new_app=…, or name the agent: -e new_agent_name=… (for {wanted.host})"
        )


def address_refusals(wanted: Wanted, known: Sequence[Known]) -> Iterator[str]:
    address = wanted.address
    if not (is_ip(address) or (DOMAIN.fullmatch(address) and not re.fullmatch(r"[\d.]+", address))):
        expected = "an IP address or a name, without user, port or scheme"
        yield f"found new_address={address!r}, expected {expected}: -e new_address=10.0.0.12"
    elif is_documentation(address):
        yield f"found new_address={address}, which exists for documentation only, expected the address of a host"
    app = application(wanted, known)
    for other in known:
        if same_address(other.address, address) and app in ("", other.app):
            yield (
                f"found: {other.host} has the address {address} already, expected another host: two entries for one "
                "host would deploy the same application to it twice. Correct new_address; for another application on "
                "it say which: -e new_app=…"
            )


def application(wanted: Wanted, known: Sequence[Known]) -> str:
    apps = {one.app for one in known if one.app}
    return wanted.app or (apps.pop() if len(apps) == 1 else "")


def name_refusal(name: str, known: Sequence[Known]) -> str:
    """Return why a host must not have a name; empty when nobody has it, nor one that looks like it."""
    if TEMPLATE.search(name) or re.search(r"\s", name) or not name.isprintable():
        return "expected a name without white space and without a template. Choose another"
    for other in known:
        for theirs, what in ((other.agent_name, "agent name"), (other.shared_name, "shared name")):
            if theirs and folded(theirs) == folded(name):
                alike = "" if theirs == name else "but for case "
                return f"which is {alike}the {what} of {other.host}, expected one that nobody has. Choose another"
    return ""


def proposed_name(name: str, known: Sequence[Known]) -> str:
    names = (name if number == 1 else f"{name}-{number}" for number in count(1))
    return next(one for one in names if not name_refusal(one, known))


def is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def same_address(one: str, other: str) -> bool:
    if is_ip(one) and is_ip(other):
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    return one.rstrip(".").lower() == other.rstrip(".").lower()


# --- where it goes ---------------------------------------------------------------------------------------------------


def inserted(text: str, group: str, host: str, values: Values) -> str:
    """Return the text of an inventory with the host as the last one of its group; everything else is as it was."""
    try:
        before = yaml_data(text)
    except UNREADABLE as error:
        why = " ".join(str(error).split())[:200]
        raise EntryError(f"found: it is no YAML ({why}), expected a YAML inventory. Correct it") from None
    if before is None or isinstance(before, dict):
        after = with_entry(text, group, host, values)
        if reads_as(after, data_with_host(before, group, host, values)):
            return after
    written = "\n".join(block(host, values, 0))
    found = "found a form that nothing can be added to without a change of the rest"
    raise EntryError(f"{found}, expected one. Add by hand:\n{written}")


def with_entry(text: str, group: str, host: str, values: Values) -> str:
    text = text if text.endswith("\n") or not text else f"{text}\n"
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    found = found_group(root, group)
    if found is None:
        return text + "\n".join([f"{group}:", f"{' ' * STEP}hosts:", *block(host, values, 2 * STEP), ""])
    key, members = found
    column = key.start_mark.column + STEP
    hosts = pair(members, "hosts")
    if hosts is None and isinstance(members, yaml.MappingNode) and members.value:
        column = members.value[0][0].start_mark.column
        new = [f"{' ' * column}hosts:", *block(host, values, column + STEP)]
        return after_line(text, last_line(members), new)
    if hosts is None:
        new = [f"{' ' * column}hosts:", *block(host, values, column + STEP)]
        return after_line(text, key.end_mark.line, new)
    key, entries = hosts
    if not isinstance(entries, yaml.MappingNode):
        return after_line(text, key.end_mark.line, block(host, values, key.start_mark.column + STEP))
    if entries.flow_style:
        return in_flow(text, entries, host, values)
    return after_line(text, last_line(entries), block(host, values, entries.value[0][0].start_mark.column))


def found_group(node: yaml.Node | None, group: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Return a group's key and value, at the top or among the children of another group."""
    if not isinstance(node, yaml.MappingNode):
        return None
    if mine := pair(node, group):
        return mine
    for _key, value in node.value:
        children = pair(value, "children")
        if children and (mine := found_group(children[1], group)):
            return mine
    return None


def pair(node: yaml.Node, name: str) -> tuple[yaml.Node, yaml.Node] | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next(((key, value) for key, value in pairs if key.value == name), None)


def last_line(node: yaml.Node) -> int:
    """Return the last line of what a node has. A block itself ends only where the next begins, after all comments."""
    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        return max(max(last_line(key), last_line(value)) for key, value in node.value)
    if isinstance(node, yaml.SequenceNode) and node.value and not node.flow_style:
        return max(map(last_line, node.value))
    mark = node.end_mark
    return int(mark.line - 1 if mark.column == 0 and mark.line > node.start_mark.line else mark.line)


def after_line(text: str, line: int, added: Sequence[str]) -> str:
    lines = text.splitlines(keepends=True)
    while line > 0 and not lines[line].strip():
        line -= 1
    new = [f"{one}\n" for one in added]
    return "".join([*lines[: line + 1], *new, *lines[line + 1 :]])


def in_flow(text: str, entries: yaml.MappingNode, host: str, values: Values) -> str:
    """Return the text with the host within braces, as JSON, which is YAML too."""
    written = f"{json.dumps(host)}: {json.dumps(dict(values))}"
    if not entries.value:
        at = entries.start_mark.index + 1
        return f"{text[:at]}{written}{text[at:]}"
    last, first = entries.value[-1][1].end_mark.index, entries.value[0][0].start_mark
    own_line = not text[: first.index].rpartition("\n")[2].strip()
    return f"{text[:last]},{chr(10) + ' ' * first.column if own_line else ' '}{written}{text[last:]}"


def block(host: str, values: Values, column: int) -> list[str]:
    indent = " " * column
    pairs = [f"{indent}{' ' * STEP}{name}: {scalar(value)}" for name, value in values.items()]
    return [f"{indent}{scalar(host)}:", *pairs]


def scalar(value: Any) -> str:
    """Return a value as it is written in a block: in quotes where YAML would read something else."""
    text = str(value)
    if not isinstance(value, str):
        return text
    try:
        is_plain = yaml.safe_load(f"k: {text}") == {"k": text}
    except yaml.YAMLError:
        is_plain = False
    return text if is_plain else json.dumps(text)


# --- that nothing else has changed -----------------------------------------------------------------------------------


# A number of thousands of digits, brackets nested a thousand deep: no inventory, and no YAMLError either.
UNREADABLE = (yaml.YAMLError, ValueError, RecursionError)


class Loader(yaml.SafeLoader):
    """Reads a value with a tag that it does not know, such as ``!vault``, as its text."""


def _with_tag(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    return (suffix, loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else str(node))


Loader.add_multi_constructor("!", _with_tag)


def yaml_data(text: str) -> Any:
    return yaml.load(text, Loader)  # noqa: S506  a safe loader


def reads_as(text: str, wanted: Any) -> bool:
    try:
        return bool(yaml_data(text) == wanted)
    except UNREADABLE:
        return False


def data_with_host(before: Any, group: str, host: str, values: Values) -> Any:
    """Return what the inventory has to hold then."""
    added = {host: dict(values)}
    after = group_with_hosts(before, group, added)
    return {**(before or {}), group: {"hosts": added}} if after is None else after


def group_with_hosts(node: Any, group: str, added: Any) -> Any:
    """Return groups with the hosts added to one of them or of their children; None where that group is not there."""
    if not isinstance(node, dict):
        return None
    if group in node:
        members = node[group] or {}
        return {**node, group: {**members, "hosts": {**(members.get("hosts") or {}), **added}}}
    for name, value in node.items():
        children = group_with_hosts(value.get("children"), group, added) if isinstance(value, dict) else None
        if children is not None:
            return {**node, name: {**value, "children": children}}
    return None
