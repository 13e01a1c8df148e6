"""Readings of the workers on one host: container or process, environment, log and the worker's own HTTP answer, joined."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from ..common.text import Masker, one_line, parsed_object
from ..common.times import epoch
from ..machine import cgroups, docker, logs, process_log, processes, supervisors, web
from ..machine.command import Reader
from . import failed_start, worker_log

NAME_VARIABLES = ("AGENT_NAME", "LIVEKIT_AGENT_NAME")
OVERRIDE_VARIABLE = "LIVEKIT_AGENT_NAME_OVERRIDE"
INSTANCE_VARIABLE = "LIVEKIT_DEPLOY_INSTANCE"
WORKER_SERVICE = "agent-worker"
# Where nothing but its log says that a container is a worker, only this much of the log is looked at.
GLANCE_LINES = 2000
NEWEST_REQUESTS = 500
# What quotes the log: masked with the values that the worker was given.
QUOTED = ("last_lines", "last_failure", "last_entrypoint_error", "last_unknown_error", "troubles", "unnamed", "unread")
# Each may read a log of 256 MiB, beside what serves here.
READERS = 2


class Selection(NamedTuple):
    """Which job requests a reading has, and what it looks for in the log."""

    job_ids: frozenset[str] = frozenset()
    rooms: frozenset[str] = frozenset()
    patterns: tuple[str, ...] = ()
    since: float | None = None

    def of(self, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The requests with one of the job ids or rooms; with ``since`` all of that time, the newest."""
        if self.since is None:
            return [r for r in requests if r["job_id"] in self.job_ids or r["room"] in self.rooms]
        # A request without a time counts as of now.
        return [r for r in requests if (epoch(r["time"]) or time.time()) >= self.since][-NEWEST_REQUESTS:]


def own_answer(where: tuple[str, int] | None, timeout: float = 1.0) -> dict[str, Any]:
    """``GET /worker`` of a running worker: ``worker_load``, ``active_jobs``, ``sdk_version``, ``agent_name``; empty without an answer.

    Fields that are zero are left out (livekit-agents 1.8.9, measured); agents-js has ``project_type`` nodejs and no load. A field that is
    not what a worker says there is None.
    """
    if not where:
        return {}
    answer = web.ask(where[0], where[1], "/worker", timeout)
    return sound(parsed_object(answer.body)) if answer.status == 200 else {}


def sound(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer of which figures are figures and names are texts: whatever has the port may have written it."""
    known: dict[str, Callable[[Any], Any]] = {
        **dict.fromkeys(("worker_load", "active_jobs"), figure),
        **dict.fromkeys(("agent_name", "sdk_version", "project_type"), one_line),
    }
    return {key: known[key](value) for key, value in answer.items() if key in known}


def figure(value: Any) -> float | None:
    """Return a number that is one; JSON also knows ``1e999``, and Python reads ``NaN``."""
    try:
        found = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def jobs_of(answer: Mapping[str, Any]) -> int | None:
    """Return how many calls a worker says that it has; None where it does not say."""
    jobs = answer.get("active_jobs", 0.0) if answer else None
    return None if jobs is None else int(jobs)


def names(container: dict[str, Any]) -> dict[str, str | None]:
    """The agent name variables a container was created with; None where one is missing."""
    return names_in(docker.environment(container))


def names_in(environment: Mapping[str, str]) -> dict[str, str | None]:
    return {name: environment.get(name) for name in NAME_VARIABLES}


def common(log: logs.Log, answer: Mapping[str, Any], environment: Mapping[str, str], selection: Selection) -> dict[str, Any]:
    """What a reading has of a container and of a process alike."""
    found = worker_log.read(log, selection.patterns, selection.job_ids | selection.rooms, selection.since)
    mask = Masker.of(environment)
    instance = environment.get(INSTANCE_VARIABLE)
    return {
        **found,
        **{key: mask.all(found[key]) for key in QUOTED},
        "instance": instance,
        "release": instance.rpartition("/")[2] if instance else None,
        "env": names_in(environment),
        "override": environment.get(OVERRIDE_VARIABLE),
        "configured_url": environment.get("LIVEKIT_URL"),
        "answered_name": answer.get("agent_name"),
        "load": load_of(answer),
        "active_jobs": jobs_of(answer),
        "sdk_version": answer.get("sdk_version") or found["sdk_version"],
        "sdk": "node" if "node" in str(answer.get("project_type") or "") else found["sdk"],
        "requests": selection.of(found["requests"]),
    }


def load_of(answer: Mapping[str, Any]) -> float | None:
    """The load that a worker answers with; none where it does not answer, or is a Node worker, which tells none."""
    if "worker_load" in answer:
        return answer["worker_load"]
    return 0.0 if answer and "project_type" not in answer else None


def name_of(found: Mapping[str, Any]) -> str | None:
    """A worker's agent name: as it registered, else (older livekit-agents log none) as it answers or was created with."""
    said = (found.get("agent_name"), found.get("answered_name"), (found.get("env") or {}).get("LIVEKIT_AGENT_NAME"))
    return next((str(name) for name in said if name is not None), None)


# --- containers ------------------------------------------------------------------------------------------------------


def reading(
    container: dict[str, Any],
    log: logs.Log,
    selection: Selection,
    supervisor: supervisors.Supervisor | None = None,
    where: tuple[str, int] | None = None,
) -> dict[str, Any]:
    """Everything known of one worker container."""
    labels, state = docker.labels(container), container["State"]
    address = docker.address(container)
    answer = own_answer((address, docker.WORKER_PORT) if address else where) if state["Running"] else {}
    found = common(log, answer, docker.environment(container), selection)
    return {
        **found,
        "kind": "container",
        "container": docker.name(container),
        "container_id": container["Id"][:12],
        "pid": state.get("Pid") or None,
        "project": labels.get(docker.PROJECT_LABEL),
        "directory": labels.get(docker.DIRECTORY_LABEL),
        "image": container["Config"]["Image"],
        "running": state["Running"],
        "exit_code": None if state["Running"] else state["ExitCode"],
        # Of any of its processes, since its start.
        "oom_killed": bool(state.get("OOMKilled") or cgroups.oom_kills(processes.ROOT, state.get("Pid"))),
        "started_at": state["StartedAt"],
        "restarts": container.get("RestartCount", 0),
        "connected": bool(found["connected"] and state["Running"]),
        "supervisor": supervisor or docker_supervisor(container),
        "start_command": docker.start_command(container),
        "dev": is_dev([str(container.get("Path") or ""), *map(str, container.get("Args") or [])]),
    }


def is_dev(argv: Sequence[str]) -> bool:
    """Whether a worker was started with ``dev``: it ends its calls at once when it is told to stop (livekit-agents, agents-js)."""
    words = [word for argument in argv for word in argument.split()][1:]
    return "dev" in words and "start" not in words


def log_of(run: Reader, container: dict[str, Any]) -> logs.Log:
    """The log of a container, from its creation on."""
    return logs.ContainerLog(run, container["Id"], epoch(container.get("Created")))


def docker_supervisor(container: docker.Container) -> supervisors.Supervisor:
    """The Engine, or whatever told it to run the container and would do so again."""
    other = docker.orchestrator(container)
    if other:
        return supervisors.supervised("other", other)
    policy = docker.restart_policy(container)
    return supervisors.supervised("docker", "", policy=policy, starts_at_boot=policy in ("always", "unless-stopped"))


def may_be_worker(container: dict[str, Any]) -> bool:
    """The compose service ``agent-worker``, or a container of somebody else's that carries an agent name for LiveKit."""
    environment = docker.environment(container)
    by_name = "LIVEKIT_AGENT_NAME" in environment and INSTANCE_VARIABLE not in environment
    return docker.labels(container).get(docker.SERVICE_LABEL) == WORKER_SERVICE or by_name


def is_worker(container: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether a container is a worker, with its reading: an API carries the name too, but never starts a worker."""
    ours = docker.labels(container).get(docker.SERVICE_LABEL) == WORKER_SERVICE
    return ours or bool(found["worker_id"] or found["sdk_version"] or found["connected"])


def readings(
    run: Reader,
    project: str | None = None,
    job_ids: Iterable[str] = (),
    rooms: Iterable[str] = (),
    patterns: Iterable[str] = (),
    found: list[dict[str, Any]] | None = None,
    since: float | None = None,
    known: Collection[str] = (),
) -> dict[str, Any]:
    """A reading of each worker container of the host, or of one compose project; ``time`` is the host's clock (epoch seconds).

    ``found`` saves a listing where the caller has one, ``since`` (epoch seconds) asks for all job requests from then on, ``known`` are
    names of containers that are workers whatever their settings and log say; of a project only these are read then. A container that is
    removed meanwhile is left out.
    """
    selection = Selection(frozenset(job_ids), frozenset(rooms), tuple(patterns), since)
    if found is None:
        found = docker.containers(run, f"{docker.PROJECT_LABEL}={project}" if project else None)
    workers = []
    for container in found:
        is_known = docker.name(container) in known
        if not is_known and (not may_be_worker(container) or (project and known)):
            continue
        try:
            one = reading(container, log_of(run, container), selection)
            if is_known:
                one["agent_name"] = name_of(one)
            workers += [one] if is_known or is_worker(container, one) else []
        except docker.EngineError as error:
            if not error.is_gone:
                raise
    return {"time": time.time(), "workers": workers}


# --- everywhere on a host --------------------------------------------------------------------------------------------


class Search:
    """Every worker of a host: containers that carry a name or a LiveKit URL or whose log shows a registration, and plain processes.

    What could not be read is listed and not guessed. ``run`` is used by several threads at once.
    """

    def __init__(self, run: Reader, selection: Selection, root: Path, found: list[dict[str, Any]] | None = None) -> None:
        self.run, self.selection, self.root = run, selection, root
        self.unread: list[str] = []
        self.table = processes.read_table(root)
        self.certain = self.table.helped()
        self.containers = self.list_containers() if found is None else found

    def list_containers(self) -> list[dict[str, Any]]:
        try:
            return docker.containers(self.run)
        except docker.EngineError as error:
            # A host without Docker has no containers of it; any other answer hides some.
            if not str(error).startswith("docker: No such file"):
                self.unread.append(f"containers, because the Docker Engine answered: {str(error).strip()[-300:]}")
            return []

    def workers(self) -> list[dict[str, Any]]:
        listed = {container["Id"] for container in self.containers}
        if hidden := self.table.hidden:
            remedy = "" if os.geteuid() == 0 else ": run as root (become)"
            self.unread.append(
                f"the environment of {len(hidden)} processes ({', '.join(map(str, hidden[:5]))}{', …' * bool(hidden[5:])}){remedy}"
            )
        plain = processes.candidates(self.table, listed)
        with ThreadPoolExecutor(READERS) as pool:
            found = [*pool.map(self.of_container, self.containers), *pool.map(self.of_process, plain)]
        return [one for one in found if one]

    # --- containers ---

    def of_container(self, container: dict[str, Any]) -> dict[str, Any] | None:
        by_process = self.runs_helper(container)
        if not (may_be_worker(container) or by_process or self.is_worth_reading(container)):
            return None
        one = self.read(container)
        if one is None:
            return None
        if is_worker(container, one) or by_process or one["answered_name"]:
            return one
        if one["unread"] and may_be_worker(container):
            self.unread.append(f"container {one['container']}: {one['unread']}")
        return None

    def runs_helper(self, container: dict[str, Any]) -> bool:
        cgroups = (cgroups.cgroup_container(helper.cgroup) for helper in self.certain.values())
        return any(found is not None and found.id == container["Id"] for found in cgroups)

    def is_worth_reading(self, container: dict[str, Any]) -> bool:
        """Another running container: one made for LiveKit, or one whose last lines show a registration."""
        environment = docker.environment(container)
        if not container["State"]["Running"] or INSTANCE_VARIABLE in environment:
            return False
        if any(name in environment for name in processes.OF_LIVEKIT):
            return True
        try:
            return any(worker_log.REGISTERED in line for line in docker.log_lines(self.run, container["Id"], GLANCE_LINES))
        except docker.EngineError:
            return False

    def read(self, container: dict[str, Any]) -> dict[str, Any] | None:
        """A reading of a container; None for one that is removed meanwhile."""
        how = self.supervisor(container), self.where(container)
        try:
            return reading(container, log_of(self.run, container), self.selection, *how)
        except docker.EngineError as error:
            unread = f"its log cannot be read: {str(error).strip()[-200:]}"
            return None if error.is_gone else reading(container, logs.Log(unread=unread), self.selection, *how)

    def supervisor(self, container: docker.Container) -> supervisors.Supervisor:
        found = docker_supervisor(container)
        if found["kind"] != "docker":
            return found
        client = supervisors.client_unit(self.table, self.root, container)
        if client:
            return supervisors.supervised("other", client)
        shell = supervisors.swallows_signal(self.table, container["State"].get("Pid") or 0)
        return supervisors.supervised("other", f"`{shell}` in the container, which passes no signal on") if shell else found

    def where(self, container: dict[str, Any]) -> tuple[str, int] | None:
        """Where a container that uses the host's own network answers."""
        found = None if docker.address(container) else self.table.processes.get(container["State"].get("Pid") or 0)
        addresses = processes.addresses(self.root, found) if found else []
        return addresses[0] if addresses else None

    # --- processes ---

    def of_process(self, found: processes.Process) -> dict[str, Any] | None:
        log = process_log.process_log(self.run, self.root, found)
        environment = processes.worker_environment(self.table, found)
        one = common(log, self.answer_of(found), environment, self.selection)
        # What only carries the name may write another one's log, so only its own answer counts.
        if not (self.is_certain(found) or one["answered_name"]):
            return None
        supervisor = supervisors.process_supervisor(self.run, self.table, found)
        directory = processes.working_directory(self.root, found)
        return {
            **one,
            "sdk": "node" if found.is_node else one["sdk"],
            "kind": "process",
            "container": f"process {found.pid}",
            "container_id": None,
            "pid": found.pid,
            "start_ticks": found.started,
            "project": "",
            "directory": directory,
            "image": "",
            "running": True,
            "exit_code": None,
            "oom_killed": bool(cgroups.oom_kills(self.root, found.pid)),
            "started_at": processes.started_at(self.root, found),
            "restarts": 0,
            # A log that cannot be read says nothing about the connection.
            "connected": None if one["unread"] else one["connected"],
            "supervisor": supervisor,
            "start_command": supervisors.process_start_command(supervisor, found, directory),
            "dev": is_dev(found.argv),
        }

    def is_certain(self, found: processes.Process) -> bool:
        return found.pid in self.certain or found.runs_worker

    def answer_of(self, found: processes.Process) -> dict[str, Any]:
        # What may be another program is asked only on the port that a worker has.
        wanted = [where for where in processes.addresses(self.root, found) if self.is_certain(found) or where[1] == docker.WORKER_PORT]
        return next((answer for where in wanted[:3] if (answer := own_answer(where)).get("sdk_version")), {})


def everywhere(run: Reader, root: Path | None = None, found: list[dict[str, Any]] | None = None, **selection: Any) -> dict[str, Any]:
    """As ``readings``, of every worker on the host; ``unread`` has a sentence for each thing that could not be looked at."""
    chosen = Selection(
        frozenset(selection.get("job_ids", ())),
        frozenset(selection.get("rooms", ())),
        tuple(selection.get("patterns", ())),
        selection.get("since"),
    )
    search = Search(run, chosen, root or processes.ROOT, found)
    workers = search.workers()
    return {"time": time.time(), "workers": workers, "unread": search.unread}


PYTHON_NAME = "Remove the name from the worker's code (it beats LIVEKIT_AGENT_NAME), or use livekit-agents 1.5.7 or newer"
NODE_NAME = (
    "Remove agentName from the ServerOptions of the worker's code (it beats LIVEKIT_AGENT_NAME), or use an @livekit/agents that reads that "
    "variable (1.9.0 does)"
)


def unreadable(found: Mapping[str, Any]) -> str:
    """What is said of a worker whose log mentions a registration without its id."""
    return (
        f"the worker's log mentions a registration in which its id cannot be read ({found['unnamed']!r}), expected the line "
        f"{worker_log.REGISTERED!r} with its fields. Start it with `start`, and let its loggers write the fields of livekit-agents: "
        "without logging.basicConfig or another formatter before it, or with one that writes them as JSON or key=value "
        "(docs/your-application.md)"
    )


class Trouble(NamedTuple):
    """Why a worker is not registered as wanted; ``final`` when waiting cannot help."""

    text: str
    final: bool


def registration_trouble(workers: list[dict[str, Any]], expected: str) -> Trouble | None:
    """What keeps the one worker of a new release from being registered under ``expected``; None when it is."""
    if len(workers) != 1:
        return Trouble(f"found {len(workers)} worker containers in the project, expected 1", final=False)
    found = workers[0]
    last = f"Its last lines: {' | '.join(found['last_lines'])}" if found["last_lines"] else "It has logged nothing"
    if what_to_set := failed_start.remedy(found["last_lines"], "livekit_agent"):
        last = f"{what_to_set}. {last}"
    if not found["running"] or found["restarts"]:
        # Exit status 0 is no success: a worker ends with it when its key is refused or its retries are used up.
        ended = f"found: the worker ended (exit status {found['exit_code']}, restarts {found['restarts']})"
        return Trouble(f"{ended}, expected it to run and register as {expected}. {last}", final=True)
    if not found["worker_id"] and found.get("unnamed"):
        return Trouble(f"found: {unreadable(found)}", final=False)
    if not found["worker_id"]:
        return Trouble(f"found: the worker runs but has not registered, expected it as {expected}. {last}", final=False)
    if (epoch(found.get("registered_since")) or math.inf) < (epoch(found.get("started_at")) or 0.0):
        # The log of a container that was stopped and started again still has the registration before.
        return Trouble(f"found: the worker was started and has not registered since, expected it as {expected}", final=False)
    if found["agent_name"] != expected:
        remedy = NODE_NAME if found.get("sdk") == "node" else PYTHON_NAME
        # Where the log has no name it may still answer with it.
        final = found["agent_name"] is not None
        return Trouble(f"found: the worker registered as {found['agent_name']!r}, expected {expected!r}. {remedy}", final=final)
    if not found["connected"]:
        return Trouble(f"found: the worker lost its connection after it registered, expected it to stay. {last}", final=False)
    return None
