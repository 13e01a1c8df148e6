# SPDX-License-Identifier: Apache-2.0
"""What the playbooks take with ``-e``: the type of each option, and which playbook it is for. Pure.

An option that is misspelt, or given to a playbook that does not know it, would be ignored. The run would then do what
nobody asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ..common import values
from ..common.times import epoch
from . import batches
from .variables import HostVars, Variables

READING = frozenset({"verify", "status", "diagnose"})
PLAYBOOKS = READING | {"deploy", "rollback", "remove", "evict", "provision", "new_host"}
# -e with a text that has no "=" in it.
WITHOUT_VALUE = "_raw_params"
MINUTE = 60.0
SINCE = "minutes back (30) or a time before now (2026-01-02T03:00:00Z)"


class SinceError(Exception):
    """A start of the time looked at that nobody can read."""


def since_seconds(value: Any, now: float) -> float | None:
    """Return the seconds since the epoch of minutes back or of an ISO 8601 time; None for an empty text."""
    text = str(value if value is not None else "").strip()
    if not text:
        return None
    try:
        seconds = now - float(text) * MINUTE
    except ValueError:
        seconds = epoch(text) or 0.0
    if not 0.0 < seconds < now:
        raise SinceError(f"found diagnose_since {text!r}, expected {SINCE}. Correct it")
    return seconds


def _no_text(value: Any) -> str:
    return "" if isinstance(value, str) and value.strip() and value.isprintable() else "a text"


def _no_port(value: Any) -> str:
    return values.not_a_whole(value, *values.PORTS)


def _no_batches(value: Any) -> str:
    listed = value if isinstance(value, list) else [value]
    written = not isinstance(value, str) or value.strip()
    good = written and all(batches.is_size(one) for one in listed)
    return "" if good else "numbers of hosts from 1 on, or shares such as 50%"


def _no_send(value: Any) -> str:
    return "" if str(value).lower() in ("true", "false", "share") else "true, share or false"


def _no_choice(value: Any) -> str:
    return "" if value in ("keep", "rollback") else "keep or rollback"


def _no_since(value: Any) -> str:
    try:
        since_seconds(value, time.time())
    except SinceError:
        return SINCE
    return ""


@dataclass(frozen=True)
class Option:
    """``expected`` returns what a value should be; ``playbooks`` are those that take it with ``-e``."""

    expected: Callable[[Any], str]
    playbooks: frozenset[str] = PLAYBOOKS
    instead: str = ""


# A dry run of what changes nothing is true to its word.
DRY = READING | {"deploy", "rollback", "remove"}
OPTIONS: dict[str, Option] = {
    "dry_run": Option(values.not_a_switch, DRY, "use --check"),
    # add_host.yml is provision.yml and deploy.yml.
    "force_release": Option(values.not_a_switch, READING | {"deploy", "provision"}),
    "deploy_lock_wait_seconds": Option(values.not_a_whole),
    "deploy_batches": Option(_no_batches),
    "deploy_on_batch_failure": Option(_no_choice),
    "rollback_to": Option(_no_text, frozenset({"rollback"})),
    "remove_host": Option(_no_text, frozenset({"remove"})),
    "remove_prove": Option(values.not_a_switch),
    "remove_wait_seconds": Option(values.not_a_whole),
    "evict_worker": Option(_no_text, frozenset({"evict"})),
    "evict_name": Option(_no_text, frozenset({"evict"})),
    "diagnose_since": Option(_no_since, frozenset({"diagnose"})),
    "diagnose_send": Option(_no_send, frozenset({"diagnose"})),
    "new_host": Option(_no_text),
    "new_address": Option(_no_text),
    "new_user": Option(_no_text),
    "new_port": Option(_no_port),
    "new_agent_name": Option(_no_text),
    "new_app": Option(_no_text),
    "new_inventory": Option(_no_text),
}
NEW = "new_"
# What people write who remember half of a name; on the command line only, since an inventory has names of its own.
HALVES = {
    "dry": "dry_run",
    "force": "force_release",
    "rollback": "rollback_to",
    "remove": "remove_host",
    "evict": "evict_worker",
    "since": "diagnose_since",
    "send": "diagnose_send",
}


def option_problems(hostvars: HostVars, hosts: Iterable[str], given: Iterable[str], playbook: str) -> list[str]:
    """Return what is wrong with each option: once where ``-e`` gives it, else for each host whose inventory sets it."""
    known, names = list(hosts), set(given)
    found = [text for name in sorted(names) for text in command_line_problems(name, playbook)]
    for name, option in OPTIONS.items():
        for host in known[:1] if name in names else known:
            place = option_place(name, host, name in names)
            found += [place + text for text in option_value_problems(hostvars[host], name, option)]
    return found


def option_place(name: str, host: str, given: bool) -> str:
    return f"{name} (given with -e) " if given else f"{host}: {name} "


def command_line_problems(name: str, playbook: str) -> Iterator[str]:
    if name == WITHOUT_VALUE:
        expected = "name=value, such as -e dry_run=true"
        yield f"-e has a word without a value, expected {expected}. Correct it on the command line"
    option = OPTIONS.get(name)
    if option and playbook and playbook not in option.playbooks:
        fitting = ", ".join(f"{one}.yml" for one in sorted(option.playbooks))
        remedy = f"Leave it out, or {option.instead}" if option.instead else "Leave it out"
        yield f"{name} (given with -e) is nothing that {playbook}.yml knows, expected it with {fitting} only. {remedy}"


def option_value_problems(variables: Variables, name: str, option: Option) -> Iterator[str]:
    try:
        if name not in variables:
            return
        value = variables[name]
        expected, found = option.expected(value), values.shown(value)
    except Exception as error:  # templating errors have no common public type, and may quote a value
        yield f"cannot be read ({type(error).__name__}), expected a value. Correct the expression"
        return
    if expected:
        yield f"is {found}, expected {expected}. Correct it"
