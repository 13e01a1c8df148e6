# SPDX-License-Identifier: Apache-2.0
"""Which process on which machine a run is: what the lock of a host knows its owner by. Reads /proc of the controller."""

from __future__ import annotations

import getpass
import hashlib
import multiprocessing
import os
import socket
from pathlib import Path
from typing import Any

PROC = Path("/proc")


def machine(proc: Path = PROC) -> str:
    """One controller since its boot, in its process namespace: where the process ids of two runs can be compared."""
    boot = (proc / "sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    namespace = (proc / "self/ns/pid").readlink()
    return hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:16]


def start_time(process: Path) -> str:
    """When a process started, in clock ticks since the boot; its name, the second field, may hold blanks and brackets."""
    return (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(") ")[2].split()[19]


def owner(proc: Path = PROC) -> dict[str, Any]:
    """The run that asks: ansible-core renders templates in the process of the run and in children that it forks."""
    parent = multiprocessing.parent_process()
    process = parent.pid if parent and parent.pid else os.getpid()
    name = f"{getpass.getuser()}@{socket.gethostname()}"
    run = {"process": process, "started": start_time(proc / str(process))}
    return {"machine": machine(proc), **run, "name": name, "user": str(os.getuid())}


def alive(proc: Path = PROC) -> list[str]:
    """Every process here, as ``<pid>:<start time>``. Where the controller hides those of other users, the first one is not among them."""
    found = []
    for process in (path for path in proc.iterdir() if path.name.isdigit()):
        try:
            found.append(f"{process.name}:{start_time(process)}")
        except (OSError, IndexError):  # it has ended meanwhile
            continue
    return found
