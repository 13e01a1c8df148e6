# SPDX-License-Identifier: Apache-2.0
"""Worker processes of a host that no container of its Docker Engine holds: found in /proc, with whoever keeps them running.

What a worker looks like there (livekit-agents 1.8.9 on Linux, measured): its job processes are forked by a helper whose command line
names ``livekit.agents``; they inherit the environment, and so do shells and other programs around it. An environment that the program
reads from a file of its own is not in its /proc entry, but in that of its helper.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ansible.module_utils.livekit_deploy import engine, logs, times
from ansible.module_utils.livekit_deploy.command import Reader, Run

ROOT = Path("/proc")
GROUPS = Path("/sys/fs/cgroup")
NAME_VARIABLES = ("LIVEKIT_AGENT_NAME", "LIVEKIT_AGENT_NAME_OVERRIDE")
OF_LIVEKIT = (*NAME_VARIABLES, "LIVEKIT_URL")
RUNS = frozenset({"start", "dev"})
NODE = frozenset({"node", "nodejs", "bun"})
# What agents-js forks for jobs and for inference (1.9.0).
NODE_HELPER = re.compile(r"@livekit/agents/.*/(?:job|inference)_proc_lazy_main\.c?js$")
OF_AGENTS = re.compile(r"livekit\.agents|@livekit/agents/")
SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "fish", "ksh"})
SESSIONS = frozenset({"login", "su", "sshd", "sshd-session", "screen", "tmux", "tmux: server", "mosh-server", "script"})
# Programs that wait for the one they started and pass SIGTERM on to it, once (uv 0.13.9, tini and Docker's own init).
FORWARDING = frozenset({"uv", "tini", "docker-init"})
INIT = frozenset({"systemd", "init"})
LISTEN = "0A"
CONTAINERS = (
    ("Kubernetes", re.compile(r"kubepods")),
    ("Docker", re.compile(r"^.*/docker[/-]([0-9a-f]{64})")),
    ("Podman", re.compile(r"/libpod-([0-9a-f]{64})")),
    ("containerd", re.compile(r"/(?:nerdctl|cri-containerd|crio)-([0-9a-f]{64})")),
    ("LXC", re.compile(r"/lxc(?:\.payload)?[./]([^/]+)")),
    ("systemd-nspawn", re.compile(r"/machine\.slice/(?:systemd-nspawn@|machine-)([^/]+)\.(?:service|scope)")),
)
SECRET_OPTION = re.compile(r"(?i)(secret|password|passwd|token|api[-_]?key)")


class Container(NamedTuple):
    engine: str
    id: str


class Unit(NamedTuple):
    """A service unit; ``user`` is the id of the user whose manager runs it, none for the system's."""

    name: str
    user: int | None = None


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
        return any(argument.startswith("from multiprocessing") or NODE_HELPER.search(argument) for argument in self.argv)

    @property
    def is_node(self) -> bool:
        return self.program in NODE

    @property
    def is_shell(self) -> bool:
        return self.program in SHELLS

    @property
    def is_session(self) -> bool:
        """What people start programs from, and what starts nothing again by itself: a shell without a script, a terminal, a log-in."""
        scripted = any(not a.startswith("-") or (not a.startswith("--") and "c" in a) for a in self.argv[1:])
        return self.comm in SESSIONS or (self.is_shell and not scripted)

    @property
    def runs_worker(self) -> bool:
        has_variables = any(name in self.environment for name in OF_LIVEKIT)
        return has_variables and not self.is_shell and not RUNS.isdisjoint(self.argv[1:])


@dataclass(frozen=True)
class Table:
    """All processes at one moment; ``hidden`` are those whose environment may not be read."""

    processes: Mapping[int, Process]
    hidden: tuple[int, ...] = ()

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
        helpers = [p for p in self.processes.values() if p.is_helper and any(OF_AGENTS.search(argument) for argument in p.argv)]
        parents = {p.pid: p for p in self.processes.values() if not p.is_helper and p.pid != 1 and p.comm not in INIT}
        return {helper.parent: helper for helper in helpers if helper.parent in parents}  # others are left by a worker that was killed


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
        environment, readable = split((entry / "environ").read_bytes()), True
    except PermissionError:
        environment, readable = [], False
    pairs = (text.partition("=") for text in environment)
    process = Process(
        pid=int(entry.name),
        parent=int(fields[1]),
        started=int(fields[19]),
        comm=before.partition("(")[2],
        argv=tuple(split((entry / "cmdline").read_bytes())),
        environment={name: value for name, _, value in pairs},
        cgroup=cgroup_of((entry / "cgroup").read_text(errors="replace")),
    )
    return process, readable


def split(data: bytes) -> list[str]:
    return [part.decode(errors="replace") for part in data.rstrip(b"\0").split(b"\0")] if data else []


def cgroup_of(text: str) -> str:
    """The control group that systemd knows a process by; with version 1 the same text has one line for each controller."""
    groups = {kind: path for _number, kind, path in (line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2)}
    return next((path for kind in ("name=systemd", "") if (path := groups.get(kind, "/")) != "/"), "/")


def container_of(cgroup: str) -> Container | None:
    for name, pattern in CONTAINERS:
        if found := pattern.search(cgroup):
            return Container(name, found[1] if found.groups() else "")
    return None


def unit_of(cgroup: str) -> Unit | None:
    """The service a process belongs to; a scope is no unit that could be started again."""
    parts = cgroup.split("/")
    user = next((int(found[1]) for part in parts if (found := re.fullmatch(r"user@(\d+)\.service", part))), None)
    services = [part for part in parts if part.endswith(".service") and not part.startswith("user@")]
    return Unit(services[-1], user) if services else None


def started_at(root: Path, process: Process) -> str:
    boot = next((line.split()[1] for line in (root / "stat").read_text().splitlines() if line.startswith("btime")), "0")
    seconds = int(boot) + process.started / os.sysconf("SC_CLK_TCK")
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


# --- which of them are workers ---------------------------------------------------------------------------------------


def candidates(table: Table, docker_ids: Collection[str] = ()) -> list[Process]:
    """Processes that are or may be a worker, one for each worker: without wrappers around it and without what it started itself.

    ``docker_ids`` are the containers that the Engine lists: they are read as containers.
    """
    outside = [p for p in table.processes.values() if not p.is_helper and not is_listed(p, docker_ids)]
    certain = table.helped().keys()
    running = {p.pid for p in outside if p.pid in certain or p.runs_worker}
    named = {p.pid for p in outside if not (p.is_shell or p.is_session) and any(name in p.environment for name in NAME_VARIABLES)}
    wrappers = {above.pid for p in outside if p.pid in running for above in table.ancestors(p)} - certain
    found = []
    for process in outside:
        above = {ancestor.pid for ancestor in table.ancestors(process)}
        started_by_worker = bool(above & certain) and process.pid not in certain
        by_command = process.pid in running and not started_by_worker
        by_name = process.pid in named and not above & (named | running)
        if process.pid not in wrappers and (by_command or by_name):
            found.append(process)
    return found


def is_listed(process: Process, docker_ids: Collection[str]) -> bool:
    container = container_of(process.cgroup)
    return container is not None and container.engine == "Docker" and container.id in docker_ids


def environment_of(table: Table, process: Process) -> dict[str, str]:
    """The variables a worker was started with. What it read from a file of its own only its helper has."""
    helper = table.helped().get(process.pid)
    inherited = {name: value for name, value in (helper.environment if helper else {}).items() if name.startswith(("LIVEKIT_", "AGENT_"))}
    return {**inherited, **process.environment}


# --- what keeps them running -----------------------------------------------------------------------------------------


def systemctl(unit: Unit) -> list[str]:
    if unit.user is None:
        return ["systemctl"]
    return ["setpriv", f"--reuid={unit.user}", "--clear-groups", "env", f"XDG_RUNTIME_DIR=/run/user/{unit.user}", "systemctl", "--user"]


def properties(run: Run, unit: Unit) -> dict[str, str]:
    wanted = "MainPID,UnitFileState,InvocationID,ActiveState,NRestarts"
    _status, out, _err = run([*systemctl(unit), "show", f"--property={wanted}", unit.name])
    return {name: value for name, _, value in (line.partition("=") for line in out.splitlines())}


def enabled(state: str) -> bool | None:
    """Whether the unit starts again at boot; none where its file does not say."""
    return {"enabled": True, "disabled": False, "enabled-runtime": False, "transient": False}.get(state)


def supervisor(run: Run, table: Table, process: Process) -> dict[str, Any]:
    """Who would start the worker again, and whether it can be told to stop it."""
    if container := container_of(process.cgroup):
        return supervised("other", f"{container.engine} container {container.id[:12]}".strip())
    chain = [process, *table.ancestors(process)]
    forwarding = [process]
    for above in chain[1:]:
        if above.comm not in FORWARDING:
            break
        forwarding.append(above)
    unit = unit_of(process.cgroup)
    if unit:
        found = properties(run, unit)
        if int(found.get("MainPID") or 0) in {member.pid for member in forwarding}:
            return supervised("systemd", unit.name, user=unit.user, starts_at_boot=enabled(found.get("UnitFileState", "")))
    parent = next(iter(chain[len(forwarding) :]), None)
    if parent is None or parent.pid == 1 or parent.comm in INIT or parent.is_session:
        return supervised("none", parent.comm if parent and parent.is_session else "")
    return supervised("other", script_of(parent) if parent.is_shell else parent.comm)


def supervised(kind: str, name: str, *, policy: str = "", user: int | None = None, starts_at_boot: bool | None = None) -> dict[str, Any]:
    return {"kind": kind, "name": name, "policy": policy, "enabled": starts_at_boot, "user": user}


def swallows_signal(table: Table, pid: int) -> str | None:
    """What a SIGTERM for a container's first process would meet instead of the worker; none where it reaches it."""
    process = table.processes.get(pid)
    while process and process.comm in FORWARDING:
        process = next((child for child in table.children(process.pid) if not child.is_helper), None)
    return script_of(process) if process and process.is_shell else None


def client_unit(table: Table, root: Path, container: Mapping[str, Any]) -> str | None:
    """A unit whose own process is a Docker client in the foreground for this container: it would start it again."""
    name, directory = container["Name"].lstrip("/"), engine.labels(dict(container)).get(engine.DIRECTORY_LABEL)
    for client in table.processes.values():
        unit = unit_of(client.cgroup)
        if not unit or client.parent != 1 or not client.program.startswith("docker"):
            continue
        by_name = {"run", "start"} & set(client.argv) and any(argument in (name, f"--name={name}") for argument in client.argv)
        by_project = "up" in client.argv and directory and directory_of(root, client) == directory
        if by_name or by_project:
            return f"{unit.name}, which runs `{shown(client.argv[:4])} …`"
    return None


def directory_of(root: Path, process: Process) -> str | None:
    try:
        return str((root / str(process.pid) / "cwd").readlink())
    except OSError:
        return None


def start_command(supervised_by: Mapping[str, Any], process: Process, directory: str | None) -> str:
    if supervised_by["kind"] == "systemd":
        user = supervised_by["user"]
        return f"systemctl {'' if user is None else '--user '}start {supervised_by['name']}" + (f"  # as user {user}" if user else "")
    if supervised_by["kind"] != "none":
        return ""
    return f"cd {shlex.quote(directory or '/')} && {shown(process.argv)}"


def script_of(shell: Process) -> str:
    """A shell with its script; a command that it was given as text may hold anything and is not told."""
    script = next((a for a in shell.argv[1:] if not a.startswith("-")), "")
    by_text = any(a.startswith("-") and not a.startswith("--") and "c" in a for a in shell.argv[1:])
    return f"{shell.program} -c …" if by_text else f"{shell.program} {script}".strip()


def shown(argv: Iterable[str]) -> str:
    """A command line fit to be printed: without the secrets that livekit-agents takes as options."""
    result: list[str] = []
    for argument in argv:
        name, equals, _value = argument.partition("=")
        hidden = bool(result) and result[-1].startswith("-") and "=" not in result[-1] and bool(SECRET_OPTION.search(result[-1]))
        if equals and SECRET_OPTION.search(name):
            result.append(f"{name}=***" if " " not in name else "***")
        else:
            result.append("***" if hidden or (" " in argument and SECRET_OPTION.search(argument)) else shlex.quote(argument))
    return " ".join(result)


# --- what the kernel did to them ---


def oom_kills(root: Path, pid: int | None, groups: Path = GROUPS) -> int:
    """How many processes of a process's control group the kernel has killed for want of memory; 0 where that cannot be read.

    Docker's own mark of it (OOMKilled) may be missing where the container's first process lives on (Engine 20.10, measured).
    """
    try:
        counted = memory_events((root / str(pid) / "cgroup").read_text(errors="replace")) if pid else ""
        text = (groups / counted).read_text(errors="replace") if counted else ""
        events = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
        return int(events.get("oom_kill", 0))
    except (OSError, ValueError):
        return 0


def memory_events(text: str) -> str:
    """The file below /sys/fs/cgroup that counts them, with version 1 or 2 of control groups; empty where there is none."""
    groups = {kind: path.strip("/") for _number, kind, path in (line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2)}
    first = next((path for kinds, path in groups.items() if "memory" in kinds.split(",")), "")
    found = f"memory/{first}/memory.oom_control" if first else f"{groups[''] if groups.get('') else ''}/memory.events"
    return "" if ".." in found.split("/") or found.startswith("/") else found


# --- what they say ---------------------------------------------------------------------------------------------------


def log_of(run: Reader, root: Path, process: Process) -> logs.Log:
    """A process's output: the regular file it writes to, else the journal of its unit's present run, else nothing and why."""
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
    unit = unit_of(process.cgroup)
    if unit and target.startswith("socket:"):
        return journal(run, unit, began)
    return logs.Log(unread=f"its standard output is {target}, which nobody keeps")


def regular_file(path: Path) -> os.stat_result | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def journal(run: Reader, unit: Unit, began: float | None) -> logs.Log:
    invocation = properties(run, unit).get("InvocationID")
    if not invocation:
        return logs.Log(unread=f"systemd does not tell which run of {unit.name} is the present one")
    return logs.JournalLog(run, unit.name, invocation, began)


def addresses(root: Path, process: Process) -> list[tuple[str, int]]:
    """Where the process itself listens, as this host reaches it; none in another network namespace, or where it may not be looked at."""
    entry = root / str(process.pid)
    try:
        if (entry / "ns/net").readlink() != (root / "self/ns/net").readlink():
            return []
        sockets = {str(path.readlink())[8:-1] for path in (entry / "fd").iterdir() if str(path.readlink()).startswith("socket:[")}
        tables = [(entry / "net" / name).read_text(errors="replace").splitlines()[1:] for name in ("tcp", "tcp6")]
    except OSError:
        return []
    rows = [line.split() for table in tables for line in table]
    found = [address for row in rows if len(row) > 9 and row[3] == LISTEN and row[9] in sockets if (address := address_of(row[1]))]
    return sorted(set(found), key=lambda address: (address[1] != engine.WORKER_PORT, address))


def address_of(text: str) -> tuple[str, int] | None:
    """From ``0100007F:1F91`` to an address that answers on this host; where it listens on all, or with IPv6, loopback does."""
    if not re.fullmatch(r"(?:[0-9A-Fa-f]{8}){1,4}:[0-9A-Fa-f]{1,4}", text):
        return None
    address, _, port = text.partition(":")
    four = ".".join(str(byte) for byte in reversed(bytes.fromhex(address))) if len(address) == 8 else "127.0.0.1"
    return ("127.0.0.1" if four == "0.0.0.0" else four), int(port, 16)  # noqa: S104  compared, not bound
