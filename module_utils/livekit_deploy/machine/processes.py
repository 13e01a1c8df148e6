# SPDX-License-Identifier: Apache-2.0
"""Worker processes of a host that no container of its Docker Engine holds: found in /proc, with whoever keeps them running.

What a worker looks like there (livekit-agents 1.8.9 on Linux, measured): its job processes are forked by a helper whose command line
names ``livekit.agents``; they inherit the environment, and so do shells and other programs around it. An environment that the program
reads from a file of its own is not in its /proc entry, but in that of its helper.
"""

from __future__ import annotations

import itertools
import os
import pwd
import re
import stat
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..common import commands, times
from . import command, docker, logs, sockets
from .command import Reader, Run

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
CONTAINERS = (
    ("Kubernetes", re.compile(r"kubepods")),
    ("Docker", re.compile(r"^.*/docker[/-]([0-9a-f]{64})")),
    ("Podman", re.compile(r"/libpod-([0-9a-f]{64})")),
    ("containerd", re.compile(r"/(?:nerdctl|cri-containerd|crio)-([0-9a-f]{64})")),
    ("LXC", re.compile(r"/lxc(?:\.payload)?[./]([^/]+)")),
    ("systemd-nspawn", re.compile(r"/machine\.slice/(?:systemd-nspawn@|machine-)([^/]+)\.(?:service|scope)")),
)
# A user's own manager answers at once, or never: its socket is the user's.
USER_SECONDS = 5.0
# As systemd allows it; a user may give a control group below the own manager any name.
UNIT_NAME = re.compile(r"[A-Za-z0-9:_.\\@-]{1,240}\.service")
USER_MANAGER = re.compile(r"(?:^|/)user-(\d{1,10})\.slice/user@\1\.service(?=/|$)")
NOBODY = 65534
# What is told of a command line: the program, what it runs, and how livekit-agents is started. Any other word may be a secret.
SUBCOMMANDS = frozenset({"start", "dev", "console", "connect", "run", "exec", "up"})
RUNNERS = frozenset(
    {"node", "nodejs", "deno", "bun", "tsx", "ts-node", "npx", "uv", "uvx", "poetry", "pipenv", "pdm", "env", "nohup", *SHELLS, *FORWARDING}
)
PYTHON = re.compile(r"(?:python|pypy)[0-9.]*")
PLAIN_WORD = re.compile(r"[\w./@+][\w./@+-]{0,199}", re.ASCII)
FLAGS = re.compile(r"-[bBdEiIOPqsSuvx]{1,4}|-m|--")
# What follows is a program's text, or the value of an option.
TEXT_FOLLOWS = re.compile(r"-[A-Za-z]*c|-e|-p|--eval|--print|--command")
VALUE_FOLLOWS = re.compile(r"--[^=]+|-[A-Za-ln-z]")


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
    """All processes at one moment; ``hidden`` are those whose environment may not be read, ``silent`` the users whose manager did not
    answer: none is asked twice."""

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
    manager = USER_MANAGER.search(cgroup)
    below = cgroup[manager.end() :] if manager else cgroup
    services = [part for part in below.split("/") if UNIT_NAME.fullmatch(part)]
    return Unit(services[-1], int(manager[1]) if manager else None) if services else None


def started_at(root: Path, process: Process) -> str:
    boot = next((line.split()[1] for line in (root / "stat").read_text().splitlines() if line.startswith("btime")), "0")
    seconds = int(boot) + process.started / os.sysconf("SC_CLK_TCK")
    return times.stamp(seconds)


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


def as_user(user: int) -> list[str]:
    """What a command is started with that works for a user: with nothing of root's, and so with no more than the user may do."""
    path = f"PATH={os.pathsep.join(command.SYSTEM_PATH)}"
    own = ["env", "--ignore-environment", path, "LC_ALL=C.UTF-8", f"XDG_RUNTIME_DIR=/run/user/{user}"]
    if user == os.geteuid():
        return own
    return ["setpriv", f"--reuid={user}", f"--regid={group_of(user)}", "--clear-groups", "--inh-caps=-all", "--no-new-privs", *own]


def group_of(user: int, runtime: Path = Path("/run/user")) -> int:
    """The user's own group, never that of this process."""
    try:
        return pwd.getpwuid(user).pw_gid
    except (KeyError, OverflowError):
        pass
    try:
        group = (runtime / str(user)).lstat().st_gid
    except OSError:
        return NOBODY
    return group or NOBODY


def systemctl(unit: Unit, *arguments: str) -> list[str]:
    """The command line for the unit's own manager. Names come after ``--``: one may begin with a dash."""
    return ["systemctl", *arguments] if unit.user is None else [*as_user(unit.user), "systemctl", "--user", *arguments]


def run_for(run: Run, unit: Unit) -> Run:
    """``run`` for commands about a unit: nothing waits long for what a user may let hang."""
    return run if unit.user is None else command.within(run, USER_SECONDS)


def properties(run: Run, unit: Unit, silent: set[int] | None = None) -> dict[str, str]:
    """What systemd says of a unit; empty where its manager does not answer."""
    silent = set() if silent is None else silent
    if unit.user in silent:
        return {}
    wanted = "MainPID,UnitFileState,InvocationID,ActiveState,NRestarts"
    status, out, _err = run_for(run, unit)(systemctl(unit, "show", f"--property={wanted}", "--", unit.name))
    if status == command.TOO_LATE and unit.user is not None:
        silent.add(unit.user)
    return {name: value for name, _, value in (line.partition("=") for line in out.splitlines())} if status == 0 else {}


def main_pid(found: Mapping[str, str]) -> int:
    """A user's manager may answer anything."""
    text = found.get("MainPID", "")
    return int(text) if re.fullmatch(r"[0-9]{1,10}", text) else 0


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
        found = properties(run, unit, table.silent)
        if main_pid(found) in {member.pid for member in forwarding}:
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
    name, directory = container["Name"].lstrip("/"), docker.labels(dict(container)).get(docker.DIRECTORY_LABEL)
    for client in table.processes.values():
        unit = unit_of(client.cgroup)
        if not unit or client.parent != 1 or not client.program.startswith("docker"):
            continue
        by_name = {"run", "start"} & set(client.argv) and any(argument in (name, f"--name={name}") for argument in client.argv)
        by_project = "up" in client.argv and directory and directory_of(root, client) == directory
        if by_name or by_project:
            return f"{unit.name}, which runs `{shown(client.argv)} …`"
    return None


def directory_of(root: Path, process: Process) -> str | None:
    try:
        return str((root / str(process.pid) / "cwd").readlink())
    except OSError:
        return None


def start_command(supervised_by: Mapping[str, Any], process: Process, directory: str | None) -> str:
    """How to start it again. What was started by hand is told without its options: any of them may be a secret."""
    if supervised_by["kind"] == "systemd":
        user = supervised_by["user"]
        start = ["systemctl", *([] if user is None else ["--user"]), "start", "--", supervised_by["name"]]
        return commands.shell(*start) + ("" if user is None else f"  # as user {user}")
    if supervised_by["kind"] != "none":
        return ""
    words, left = told(process.argv)
    return commands.in_directory(directory, *words) + "  # and its options, which are not told: they may hold secrets" * left


def script_of(shell: Process) -> str:
    """A shell with its script; a command that it was given as text may hold anything and is not told."""
    by_text = any(a.startswith("-") and not a.startswith("--") and "c" in a for a in shell.argv[1:])
    return f"{shell.program} -c …" if by_text else shown(shell.argv)


def shown(argv: Sequence[str]) -> str:
    """The command line of a stranger as far as it may be told."""
    words, left = told(argv)
    return commands.shell(*words) + " …" * left


def told(argv: Sequence[str]) -> tuple[list[str], bool]:
    """Program, script or module, and known subcommands; whether anything else is left out. A password may be in an option, in an address,
    in a variable before the command, or in a title that the program gave itself."""
    words = argv[0].split()[:1] if argv else []
    words = [word for word in words if PLAIN_WORD.fullmatch(word.lstrip("-"))] or ["unknown-program"]
    left, expects = words != list(argv[:1]), is_runner(words[0])
    for before, word in itertools.pairwise(argv):
        if expects and TEXT_FOLLOWS.fullmatch(word) and not FLAGS.fullmatch(word):
            return words, True
        if not is_told(before, word, expects):
            left = True
            continue
        words.append(word)
        expects = expects and (word.startswith("-") or word in SUBCOMMANDS or is_runner(word))
    return words, left


def is_told(before: str, word: str, expects: bool) -> bool:
    if word.startswith("-"):
        return expects and bool(FLAGS.fullmatch(word))
    if VALUE_FOLLOWS.fullmatch(before) and not FLAGS.fullmatch(before):
        return False
    return word in SUBCOMMANDS or (expects and bool(PLAIN_WORD.fullmatch(word)))


def is_runner(word: str) -> bool:
    """Whether a program runs the one that is named after it."""
    name = Path(word.lstrip("-")).name
    return name in RUNNERS or bool(PYTHON.fullmatch(name))


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
    """Return where the process itself listens, as this host reaches it.

    None in another network namespace, or where it may not be looked at.
    """
    entry = root / str(process.pid)
    try:
        if (entry / "ns/net").readlink() != (root / "self/ns/net").readlink():
            return []
        inodes = {str(path.readlink())[8:-1] for path in (entry / "fd").iterdir() if str(path.readlink()).startswith("socket:[")}
        found = sockets.own_addresses(entry, inodes)
    except OSError:
        return []
    return sorted(found, key=lambda address: (address[1] != docker.WORKER_PORT, address))
