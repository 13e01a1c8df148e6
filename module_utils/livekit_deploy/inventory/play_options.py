# SPDX-License-Identifier: Apache-2.0
"""What the playbooks take with ``-e``: the type of each option, and which playbook it is for. Pure.

An option that is misspelt, or given to a playbook that does not know it, would be ignored, and the run would do what nobody asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..common import values
from ..common.times import epoch
from . import batches

READING = frozenset({"verify", "status", "diagnose"})
PLAYBOOKS = READING | {"deploy", "rollback", "remove", "evict", "provision", "new_host"}
# -e with a text that has no "=" in it.
WITHOUT_VALUE = "_raw_params"
MINUTE = 60.0
SINCE = "minutes back (30) or a time before now (2026-01-02T03:00:00Z)"


class SinceError(Exception):
    """A start of the time looked at that nobody can read."""


def since_of(value: Any, now: float) -> float | None:
    """Seconds since the epoch of minutes back or of an ISO 8601 time; None for an empty text: the hosts' own default."""
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


def _text(value: Any) -> str:
    return "" if isinstance(value, str) and value.strip() and value.isprintable() else "a text"


def _port(value: Any) -> str:
    return values.not_a_whole(value, *values.PORTS)


def _batches(value: Any) -> str:
    listed = value if isinstance(value, list) else [value]
    good = not isinstance(value, str) or value.strip()
    return "" if good and all(batches.is_size(one) for one in listed) else "numbers of hosts from 1 on, or shares such as 50%"


def _keep_or_rollback(value: Any) -> str:
    return "" if value in ("keep", "rollback") else "keep or rollback"


def _since(value: Any) -> str:
    try:
        since_of(value, time.time())
    except SinceError:
        return SINCE
    return ""


@dataclass(frozen=True)
class Option:
    """``expected`` says what is wrong with a value; ``playbooks`` are those that may be given it with ``-e``."""

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
    "deploy_batches": Option(_batches),
    "deploy_on_batch_failure": Option(_keep_or_rollback),
    "rollback_to": Option(_text, frozenset({"rollback"})),
    "remove_host": Option(_text, frozenset({"remove"})),
    "remove_prove": Option(values.not_a_switch),
    "remove_wait_seconds": Option(values.not_a_whole),
    "evict_worker": Option(_text, frozenset({"evict"})),
    "evict_name": Option(_text, frozenset({"evict"})),
    "diagnose_since": Option(_since, frozenset({"diagnose"})),
    "new_host": Option(_text),
    "new_address": Option(_text),
    "new_user": Option(_text),
    "new_port": Option(_port),
    "new_agent_name": Option(_text),
    "new_app": Option(_text),
    "new_inventory": Option(_text),
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
}


def problems(hostvars: Mapping[str, Any], hosts: Iterable[str], given: Iterable[str], playbook: str) -> list[str]:
    """Return what is wrong with each option: once where it is given with ``-e``, else for each host whose inventory sets it."""
    known, names = list(hosts), set(given)
    found = [text for name in sorted(names) for text in of_command_line(name, playbook)]
    for name, option in OPTIONS.items():
        for host in known[:1] if name in names else known:
            found += [about(name, host, name in names) + text for text in wrong(hostvars[host], name, option)]
    return found


def about(name: str, host: str, given: bool) -> str:
    return f"{name} (given with -e) " if given else f"{host}: {name} "


def of_command_line(name: str, playbook: str) -> Iterator[str]:
    if name == WITHOUT_VALUE:
        yield "-e has a word without a value, expected name=value, such as -e dry_run=true. Correct it on the command line"
    option = OPTIONS.get(name)
    if option and playbook and playbook not in option.playbooks:
        fitting = ", ".join(f"{one}.yml" for one in sorted(option.playbooks))
        remedy = f"Leave it out, or {option.instead}" if option.instead else "Leave it out"
        yield f"{name} (given with -e) is nothing that {playbook}.yml knows, expected it with {fitting} only. {remedy}"


def wrong(variables: Mapping[str, Any], name: str, option: Option) -> Iterator[str]:
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
