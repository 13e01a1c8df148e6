# SPDX-License-Identifier: Apache-2.0
"""Where a process that no container holds writes its log: a file, or the journal of its unit."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..common import times
from . import logs
from .cgroups import Unit, cgroup_unit
from .command import Reader
from .processes import Process, started_at
from .systemd import unit_properties


def process_log(run: Reader, root: Path, process: Process) -> logs.Log:
    """Return a process's output: the regular file it writes to, else the journal of its unit's present run, else
    nothing and why.
    """
    outputs = [root / str(process.pid) / "fd" / number for number in ("1", "2")]
    began = times.epoch(started_at(root, process))
    try:
        target = str(outputs[0].readlink())
        files = {found.st_ino: path for path in outputs if (found := regular_file(path))}
    except PermissionError:
        return logs.Log(unread="its output may not be looked at: run as root (become)")
    except OSError:
        return logs.Log(unread="the process ended meanwhile")
    if files:
        return logs.FileLog(files.values(), began)
    unit = cgroup_unit(process.cgroup)
    if unit and target.startswith("socket:"):
        return unit_journal(run, unit, began)
    return logs.Log(unread=f"its standard output is {target}, which nobody keeps")


def regular_file(path: Path) -> os.stat_result | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def unit_journal(run: Reader, unit: Unit, began: float | None) -> logs.Log:
    invocation = unit_properties(run, unit).get("InvocationID")
    if not invocation:
        return logs.Log(unread=f"systemd does not tell which run of {unit.name} is the present one")
    return logs.JournalLog(run, unit.name, invocation, began)
