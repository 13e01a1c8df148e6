# SPDX-License-Identifier: Apache-2.0
"""Who keeps a worker running, and would start it again."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from pathlib import Path
from typing import TypedDict

from ..common import commands
from . import docker
from .cgroups import Unit, cgroup_container, cgroup_unit
from .command import Run
from .command_lines import FORWARDING, shown_argv, told_words
from .processes import INIT, Process, Table, working_directory
from .systemd import enabled, main_pid, unit_properties


class Supervisor(TypedDict):
    """Who would start a worker again when it ends."""

    kind: str
    """docker, systemd, none; or other: nobody who can be told to stop it for good."""
    name: str
    """The unit, the script or the other program; empty for Docker."""
    policy: str
    """Docker's restart policy; empty for others."""
    enabled: bool | None
    """It starts again at boot; None where that is not known."""
    user: int | None
    """The user whose manager runs the unit; None for the system's."""


def process_supervisor(run: Run, table: Table, process: Process) -> Supervisor:
    """Return who would start a process again, and whether it can be told to stop it."""
    if container := cgroup_container(process.cgroup):
        return supervised("other", f"{container.engine} container {container.id[:12]}".strip())
    above = list(table.ancestors(process))
    forwarding = list(itertools.takewhile(lambda one: one.comm in FORWARDING, above))
    unit = cgroup_unit(process.cgroup)
    if unit and (found := unit_supervisor(run, table, unit, [process.pid, *(one.pid for one in forwarding)])):
        return found
    parent = next(iter(above[len(forwarding) :]), None)
    if parent is None or parent.pid == 1 or parent.comm in INIT or parent.is_session:
        return supervised("none", parent.comm if parent and parent.is_session else "")
    return supervised("other", shell_script(parent) if parent.is_shell else parent.comm)


def unit_supervisor(run: Run, table: Table, unit: Unit, pids: Collection[int]) -> Supervisor | None:
    """Return the unit, if one of these processes is its main one."""
    found = unit_properties(run, unit, table.silent)
    if main_pid(found) not in pids:
        return None
    return supervised("systemd", unit.name, user=unit.user, starts_at_boot=enabled(found.get("UnitFileState", "")))


def supervised(
    kind: str, name: str, *, policy: str = "", user: int | None = None, starts_at_boot: bool | None = None
) -> Supervisor:
    return {"kind": kind, "name": name, "policy": policy, "enabled": starts_at_boot, "user": user}


def swallows_signal(table: Table, pid: int) -> str | None:
    """Return what a container's first process is, if a SIGTERM for it does not reach the worker; else None."""
    process = table.processes.get(pid)
    while process and process.comm in FORWARDING:
        process = next((child for child in table.children(process.pid) if not child.is_helper), None)
    return shell_script(process) if process and process.is_shell else None


def client_unit(table: Table, root: Path, container: docker.Container) -> str | None:
    """Return a unit whose own process is a Docker client for this container: it would start it again."""
    name, directory = container["Name"].lstrip("/"), docker.labels(container).get(docker.DIRECTORY_LABEL)
    for client in table.processes.values():
        unit = cgroup_unit(client.cgroup)
        if not unit or client.parent != 1 or not client.program.startswith("docker"):
            continue
        by_name = {"run", "start"} & set(client.argv) and any(
            argument in (name, f"--name={name}") for argument in client.argv
        )
        by_project = "up" in client.argv and directory and working_directory(root, client) == directory
        if by_name or by_project:
            return f"{unit.name}, which runs `{shown_argv(client.argv)} …`"
    return None


def process_start_command(supervised_by: Supervisor, process: Process, directory: str | None) -> str:
    """Return how to start it again.

    What was started by hand is told without its options: any of them may be a secret.
    """
    if supervised_by["kind"] == "systemd":
        user = supervised_by["user"]
        start = ["systemctl", *([] if user is None else ["--user"]), "start", "--", supervised_by["name"]]
        return commands.shell(*start) + ("" if user is None else f"  # as user {user}")
    if supervised_by["kind"] != "none":
        return ""
    words, left = told_words(process.argv)
    return (
        commands.in_directory(directory, *words)
        + "  # and its options, which are not told: they may hold secrets" * left
    )


def shell_script(shell: Process) -> str:
    """Return a shell with its script. A command that it was given as text may hold anything and is not told."""
    by_text = any(a.startswith("-") and not a.startswith("--") and "c" in a for a in shell.argv[1:])
    return f"{shell.program} -c …" if by_text else shown_argv(shell.argv)
