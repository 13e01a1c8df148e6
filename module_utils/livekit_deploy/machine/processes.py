# SPDX-License-Identifier: Apache-2.0
"""Worker processes of a host that no container of its Docker Engine holds: found in /proc, with whoever keeps them
running.

What a worker looks like there (livekit-agents 1.8.9 on Linux, measured): its job processes are forked by a helper whose
command line names ``livekit.agents``; they inherit the environment, and so do shells and other programs around it. An
environment that the program reads from a file of its own is not in its /proc entry, but in that of its helper.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from ..common import times
from . import docker, sockets
from .cgroups import cgroup_container, cgroup_path
from .command_lines import SHELLS

ROOT = Path("/proc")
NAME_VARIABLES = ("LIVEKIT_AGENT_NAME", "LIVEKIT_AGENT_NAME_OVERRIDE")
OF_LIVEKIT = (*NAME_VARIABLES, "LIVEKIT_URL")
RUNS = frozenset({"start", "dev"})
NODE = frozenset({"node", "nodejs", "bun"})
# What agents-js forks for jobs and for inference (1.9.0).
NODE_HELPER = re.compile(r"@livekit/agents/.*/(?:job|inference)_proc_lazy_main\.c?js$")
OF_AGENTS = re.compile(r"livekit\.agents|@livekit/agents/")
SESSIONS = frozenset({"login", "su", "sshd", "sshd-session", "screen", "tmux", "tmux: server", "mosh-server", "script"})
INIT = frozenset({"systemd", "init"})


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    started: int
    """In clock ticks since boot; with the pid it tells a process from a later one of the same number."""
    comm: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    cgroup: str

    @property
    def program(self) -> str:
        return Path(self.argv[0].lstrip("-")).name if self.argv else self.comm

    @property
    def is_helper(self) -> bool:
        """One of Python's own helper processes, such as a worker's job processes; or a job process of agents-js."""
        return any(
            argument.startswith("from multiprocessing") or NODE_HELPER.search(argument) for argument in self.argv
        )

    @property
    def is_node(self) -> bool:
        return self.program in NODE

    @property
    def is_shell(self) -> bool:
        return self.program in SHELLS

    @property
    def is_session(self) -> bool:
        """What people start programs from, and what starts nothing again by itself: a shell without a script, a
        terminal, a log-in.
        """
        scripted = any(not a.startswith("-") or (not a.startswith("--") and "c" in a) for a in self.argv[1:])
        return self.comm in SESSIONS or (self.is_shell and not scripted)

    @property
    def is_named(self) -> bool:
        """True if its environment has an agent name, and it is nobody's shell or session."""
        return not (self.is_shell or self.is_session) and any(name in self.environment for name in NAME_VARIABLES)

    @property
    def runs_worker(self) -> bool:
        has_variables = any(name in self.environment for name in OF_LIVEKIT)
        return has_variables and not self.is_shell and not RUNS.isdisjoint(self.argv[1:])


@dataclass(frozen=True)
class Table:
    """All processes at one moment; ``hidden`` are those whose environment may not be read, ``silent`` the users whose
    manager did not answer: none is asked twice.
    """

    processes: Mapping[int, Process]
    hidden: tuple[int, ...] = ()
    silent: set[int] = field(default_factory=set)

    def ancestors(self, process: Process) -> Iterator[Process]:
        seen = {process.pid}
        while (parent := self.processes.get(process.parent)) and parent.pid not in seen:
            seen.add(parent.pid)
            yield parent
            process = parent

    def children(self, pid: int) -> list[Process]:
        return [process for process in self.processes.values() if process.parent == pid]

    def helped(self) -> dict[int, Process]:
        """The processes that a livekit-agents helper was started by, with that helper."""
        helpers = [
            p for p in self.processes.values() if p.is_helper and any(OF_AGENTS.search(argument) for argument in p.argv)
        ]
        parents = {p.pid: p for p in self.processes.values() if not p.is_helper and p.pid != 1 and p.comm not in INIT}
        # Others are left by a worker that was killed.
        return {helper.parent: helper for helper in helpers if helper.parent in parents}


# --- reading /proc ---------------------------------------------------------------------------------------------------


def read_table(root: Path) -> Table:
    processes, hidden = {}, []
    for entry in root.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            process, readable = read_process(entry)
        except (OSError, ValueError, LookupError):
            continue  # it ended meanwhile, or is told of in a form that nobody knows
        if process.argv:  # not the kernel's own
            processes[process.pid] = process
            hidden += [] if readable else [process.pid]
    return Table(processes, tuple(hidden))


def read_process(entry: Path) -> tuple[Process, bool]:
    """A process, and whether its environment could be read."""
    before, _, after = (entry / "stat").read_text(errors="replace").rpartition(")")
    fields = after.split()
    try:
        environment, readable = zero_split((entry / "environ").read_bytes()), True
    except PermissionError:
        environment, readable = [], False
    pairs = (text.partition("=") for text in environment)
    process = Process(
        pid=int(entry.name),
        parent=int(fields[1]),
        started=int(fields[19]),
        comm=before.partition("(")[2],
        argv=tuple(zero_split((entry / "cmdline").read_bytes())),
        environment={name: value for name, _, value in pairs},
        cgroup=cgroup_path((entry / "cgroup").read_text(errors="replace")),
    )
    return process, readable


def zero_split(data: bytes) -> list[str]:
    return [part.decode(errors="replace") for part in data.rstrip(b"\0").split(b"\0")] if data else []


# --- which of them are workers ---------------------------------------------------------------------------------------


def candidates(table: Table, docker_ids: Collection[str] = ()) -> list[Process]:
    """Return the processes that are or may be a worker, one for each worker: without wrappers around it and what it
    started itself.

    ``docker_ids`` are the containers that the Engine lists: they are read as containers.
    """
    outside = [p for p in table.processes.values() if not p.is_helper and not is_listed(p, docker_ids)]
    signs = Signs.among(outside, table)
    return [process for process in outside if signs.tell_of(process, table)]


@dataclass(frozen=True)
class Signs:
    """Numbers of processes, by what speaks for a worker."""

    certain: Set[int]
    """A helper of livekit-agents was started by it."""
    running: Set[int]
    """It has a helper, or the command line and the variables of a worker."""
    named: Set[int]
    """It has an agent name in its environment."""
    wrappers: Set[int]
    """A worker runs below it."""

    @classmethod
    def among(cls, outside: Sequence[Process], table: Table) -> Signs:
        certain = table.helped().keys()
        running = [p for p in outside if p.pid in certain or p.runs_worker]
        wrappers = {above.pid for p in running for above in table.ancestors(p)} - certain
        return cls(certain, {p.pid for p in running}, {p.pid for p in outside if p.is_named}, wrappers)

    def tell_of(self, process: Process, table: Table) -> bool:
        above = {ancestor.pid for ancestor in table.ancestors(process)}
        started_by_worker = bool(above & self.certain) and process.pid not in self.certain
        by_command = process.pid in self.running and not started_by_worker
        by_name = process.pid in self.named and not above & (self.named | self.running)
        return process.pid not in self.wrappers and (by_command or by_name)


def is_listed(process: Process, docker_ids: Collection[str]) -> bool:
    container = cgroup_container(process.cgroup)
    return container is not None and container.engine == "Docker" and container.id in docker_ids


def worker_environment(table: Table, process: Process) -> dict[str, str]:
    """The variables a worker was started with. What it read from a file of its own only its helper has."""
    helper = table.helped().get(process.pid)
    inherited = {
        name: value
        for name, value in (helper.environment if helper else {}).items()
        if name.startswith(("LIVEKIT_", "AGENT_"))
    }
    return {**inherited, **process.environment}


# --- what else is known of one --------------------------------------------------------------------------------------


def started_at(root: Path, process: Process) -> str:
    boot = next((line.split()[1] for line in (root / "stat").read_text().splitlines() if line.startswith("btime")), "0")
    seconds = int(boot) + process.started / os.sysconf("SC_CLK_TCK")
    return times.stamp(seconds)


def working_directory(root: Path, process: Process) -> str | None:
    try:
        return str((root / str(process.pid) / "cwd").readlink())
    except OSError:
        return None


def addresses(root: Path, process: Process) -> list[tuple[str, int]]:
    """Return where the process itself listens, as this host reaches it.

    None in another network namespace, or where it may not be looked at.
    """
    entry = root / str(process.pid)
    try:
        if (entry / "ns/net").readlink() != (root / "self/ns/net").readlink():
            return []
        inodes = {
            str(path.readlink())[8:-1]
            for path in (entry / "fd").iterdir()
            if str(path.readlink()).startswith("socket:[")
        }
        found = sockets.own_addresses(entry, inodes)
    except OSError:
        return []
    return sorted(found, key=lambda address: (address[1] != docker.WORKER_PORT, address))
