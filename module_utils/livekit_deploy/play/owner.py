# SPDX-License-Identifier: Apache-2.0
"""What a run is on the controller: its process, by which a host's lock knows it, and where reports go. Reads /proc."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import pwd
import re
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PROC = Path("/proc")
# The report callback runs in the run's own process. Filters ask in the same one, or in a child that it forks.
_announced: list[str] = []
_unmatched: list[str] = []
SHOWN_CHOICES = 20


def announce(directory: Path, unmatched: Iterable[str] = (), choices: Iterable[str] = ()) -> None:
    """Note that this run has the report callback, where it writes, and which parts of its ``--limit`` match no host."""
    _announced[:] = [str(directory)]
    _unmatched[:] = [unmatched_text(unmatched, choices)] if unmatched else []


def unmatched_text(unmatched: Iterable[str], choices: Iterable[str]) -> str:
    known = sorted(choices)
    more = f" and {len(known) - SHOWN_CHOICES} more" if len(known) > SHOWN_CHOICES else ""
    return (
        f"Found: --limit {', '.join(unmatched)} matches no host and no group. Expected: names of the inventory. "
        f"To choose from: {', '.join(known[:SHOWN_CHOICES]) or 'none'}{more}"
    )


def reports() -> str:
    """Return the directory of this run's reports; empty where no callback writes any."""
    return "".join(_announced)


def problems(proc: Path = PROC) -> list[str]:
    """Return why no run can be made or judged from this controller, or on the hosts that were named."""
    found = list(_unmatched)
    try:
        owner(proc)
    except (OSError, IndexError) as error:
        found.append(
            f"This controller cannot be used. Found: {error}. Expected: Linux with {proc}, by which a host knows "
            "whether a run is still at work. "
            "Run the playbook from Linux, in a container or a virtual machine where need be"
        )
    if not reports():
        found.append(
            "This run would leave no report. Found: the callback deploy_report is not loaded. Expected: "
            "callback_plugins beside the playbook, as in the project's checkout. "
            "Run a playbook of it, or name its callback_plugins in ANSIBLE_CALLBACK_PLUGINS"
        )
    return found


def machine(proc: Path = PROC) -> str:
    """One controller since its boot, in its process namespace: where the process ids of two runs can be compared."""
    boot = (proc / "sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    namespace = (proc / "self/ns/pid").readlink()
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:16]


def who() -> str:
    """Return user and machine as people know them. A container's user may have no name, a machine's may be anything."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = f"uid-{os.geteuid()}"
    return "@".join(re.sub(r"[^\w.-]", "?", name, flags=re.ASCII) or "?" for name in (user, socket.gethostname()))


def start_time(process: Path) -> str:
    """When a process started, in clock ticks since boot; its name, the second field, may hold blanks and brackets."""
    return (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(") ")[2].split()[19]


def owner(proc: Path = PROC) -> dict[str, Any]:
    """The run that asks: ansible-core renders templates in the process of the run and in children that it forks."""
    parent = multiprocessing.parent_process()
    process = parent.pid if parent and parent.pid else os.getpid()
    run = {"process": process, "started": start_time(proc / str(process))}
    return {"machine": machine(proc), **run, "name": who(), "user": str(os.getuid())}


def alive(proc: Path = PROC) -> list[str]:
    """Every process here, as ``<pid>:<start time>``; without the first where the controller hides those of others."""
    found = []
    for process in (path for path in proc.iterdir() if path.name.isdigit()):
        try:
            found.append(f"{process.name}:{start_time(process)}")
        except (OSError, IndexError):  # it has ended meanwhile
            continue
    return found
