# SPDX-License-Identifier: Apache-2.0
"""Control groups: which container or service unit a process belongs to, and what the kernel killed in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

GROUPS = Path("/sys/fs/cgroup")
CONTAINERS = (
    ("Kubernetes", re.compile(r"kubepods")),
    ("Docker", re.compile(r"^.*/docker[/-]([0-9a-f]{64})")),
    ("Podman", re.compile(r"/libpod-([0-9a-f]{64})")),
    ("containerd", re.compile(r"/(?:nerdctl|cri-containerd|crio)-([0-9a-f]{64})")),
    ("LXC", re.compile(r"/lxc(?:\.payload)?[./]([^/]+)")),
    ("systemd-nspawn", re.compile(r"/machine\.slice/(?:systemd-nspawn@|machine-)([^/]+)\.(?:service|scope)")),
)
# As systemd allows it; a user may give a control group below the own manager any name.
UNIT_NAME = re.compile(r"[A-Za-z0-9:_.\\@-]{1,240}\.service")
USER_MANAGER = re.compile(r"(?:^|/)user-(\d{1,10})\.slice/user@\1\.service(?=/|$)")


class Container(NamedTuple):
    engine: str
    id: str


class Unit(NamedTuple):
    """A service unit; ``user`` is the id of the user whose manager runs it, none for the system's."""

    name: str
    user: int | None = None


def cgroup_path(text: str) -> str:
    """Return the control group that systemd knows a process by.

    With version 1 the same text has one line for each controller.
    """
    groups = {
        kind: path for _number, kind, path in (line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2)
    }
    return next((path for kind in ("name=systemd", "") if (path := groups.get(kind, "/")) != "/"), "/")


def cgroup_container(cgroup: str) -> Container | None:
    for name, pattern in CONTAINERS:
        if found := pattern.search(cgroup):
            return Container(name, found[1] if found.groups() else "")
    return None


def cgroup_unit(cgroup: str) -> Unit | None:
    """The service a process belongs to; a scope is no unit that could be started again."""
    manager = USER_MANAGER.search(cgroup)
    below = cgroup[manager.end() :] if manager else cgroup
    services = [part for part in below.split("/") if UNIT_NAME.fullmatch(part)]
    return Unit(services[-1], int(manager[1]) if manager else None) if services else None


def oom_kills(root: Path, pid: int | None, groups: Path = GROUPS) -> int:
    """How many processes of a process's control group the kernel has killed for want of memory; 0 where that cannot be
    read.

    Docker's own mark of it (OOMKilled) may be missing where the container's first process lives on (Engine 20.10,
    measured).
    """
    try:
        counted = memory_events((root / str(pid) / "cgroup").read_text(errors="replace")) if pid else ""
        text = (groups / counted).read_text(errors="replace") if counted else ""
        events = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
        return int(events.get("oom_kill", 0))
    except (OSError, ValueError):
        return 0


def memory_events(text: str) -> str:
    """Return the file below /sys/fs/cgroup that counts them; empty where there is none.

    Control groups of version 1 and 2 have different ones.
    """
    groups = {
        kind: path.strip("/")
        for _number, kind, path in (line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2)
    }
    first = next((path for kinds, path in groups.items() if "memory" in kinds.split(",")), "")
    found = f"memory/{first}/memory.oom_control" if first else f"{groups[''] if groups.get('') else ''}/memory.events"
    return "" if ".." in found.split("/") or found.startswith("/") else found
