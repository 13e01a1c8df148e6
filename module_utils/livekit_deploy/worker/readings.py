# SPDX-License-Identifier: Apache-2.0
"""Readings of workers: a container or process, its environment, its log and its own HTTP answer, joined."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, cast

from ..common.text import Masker
from ..common.times import epoch
from ..machine import cgroups, docker, logs, processes, supervisors
from ..machine.command import Reader
from . import own_answer, worker_log
from .types import JobRequest, LogReading, OwnAnswer, ProjectReading, SharedReading, WorkerReading

NAME_VARIABLES = ("AGENT_NAME", "LIVEKIT_AGENT_NAME")
OVERRIDE_VARIABLE = "LIVEKIT_AGENT_NAME_OVERRIDE"
INSTANCE_VARIABLE = "LIVEKIT_DEPLOY_INSTANCE"
WORKER_SERVICE = "agent-worker"
NEWEST_REQUESTS = 500
# What quotes the log: masked with the values that the worker was given.
QUOTED = ("last_lines", "last_failure", "last_entrypoint_error", "last_unknown_error", "troubles", "unnamed", "unread")


class Selection(NamedTuple):
    """Which job requests a reading has, and what it looks for in the log."""

    job_ids: frozenset[str] = frozenset()
    rooms: frozenset[str] = frozenset()
    patterns: tuple[str, ...] = ()
    since: float | None = None

    def chosen(self, requests: list[JobRequest]) -> list[JobRequest]:
        """The requests with one of the job ids or rooms; with ``since`` all of that time, the newest."""
        if self.since is None:
            return [r for r in requests if r["job_id"] in self.job_ids or r["room"] in self.rooms]
        # A request without a time counts as of now.
        return [r for r in requests if (epoch(r["time"]) or time.time()) >= self.since][-NEWEST_REQUESTS:]


def name_variables(container: docker.Container) -> dict[str, str | None]:
    """The agent name variables a container was created with; None where one is missing."""
    return name_variables_in(docker.environment(container))


def name_variables_in(environment: Mapping[str, str]) -> dict[str, str | None]:
    return {name: environment.get(name) for name in NAME_VARIABLES}


def shared_reading(
    log: logs.Log, answer: OwnAnswer, environment: Mapping[str, str], selection: Selection
) -> SharedReading:
    """What a reading has of a container and of a process alike."""
    found = worker_log.log_reading(log, selection.patterns, selection.job_ids | selection.rooms, selection.since)
    mask = Masker.of(environment)
    instance = environment.get(INSTANCE_VARIABLE)
    masked = {key: mask.all(value) if key in QUOTED else value for key, value in found.items()}
    return {
        **cast(LogReading, masked),
        "instance": instance,
        "release": instance.rpartition("/")[2] if instance else None,
        "env": name_variables_in(environment),
        "override": environment.get(OVERRIDE_VARIABLE),
        "configured_url": environment.get("LIVEKIT_URL"),
        "answered_name": answer.get("agent_name"),
        "load": own_answer.answered_load(answer),
        "active_jobs": own_answer.active_jobs(answer),
        "sdk_version": answer.get("sdk_version") or found["sdk_version"],
        "sdk": "node" if "node" in str(answer.get("project_type") or "") else found["sdk"],
        "requests": selection.chosen(found["requests"]),
    }


def worker_name(found: Mapping[str, object]) -> str | None:
    """Return a worker's agent name: as it registered, else as it answers or was created with.

    Older livekit-agents log none.
    """
    env = found.get("env")
    created_with = env.get("LIVEKIT_AGENT_NAME") if isinstance(env, Mapping) else None
    said = (found.get("agent_name"), found.get("answered_name"), created_with)
    return next((str(name) for name in said if name is not None), None)


# --- containers ------------------------------------------------------------------------------------------------------


def reading(
    container: docker.Container,
    log: logs.Log,
    selection: Selection,
    supervisor: supervisors.Supervisor | None = None,
    where: tuple[str, int] | None = None,
) -> WorkerReading:
    """Everything known of one worker container."""
    labels, state = docker.labels(container), container["State"]
    address = docker.address(container)
    answer = own_answer.ask_worker((address, docker.WORKER_PORT) if address else where) if state["Running"] else {}
    found = shared_reading(log, answer, docker.environment(container), selection)
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
    """Whether a worker was started with ``dev``: it ends its calls at once when it is told to stop (livekit-agents,
    agents-js).
    """
    words = [word for argument in argv for word in argument.split()][1:]
    return "dev" in words and "start" not in words


def container_log(run: Reader, container: docker.Container) -> logs.Log:
    """The log of a container, from its creation on."""
    return logs.ContainerLog(run, container["Id"], epoch(container.get("Created")))


def docker_supervisor(container: docker.Container) -> supervisors.Supervisor:
    """The Engine, or whatever told it to run the container and would do so again."""
    other = docker.orchestrator(container)
    if other:
        return supervisors.supervised("other", other)
    policy = docker.restart_policy(container)
    return supervisors.supervised("docker", "", policy=policy, starts_at_boot=policy in ("always", "unless-stopped"))


def may_be_worker(container: docker.Container) -> bool:
    """Return True for the service ``agent-worker``, and for a foreign container with a name for LiveKit."""
    environment = docker.environment(container)
    by_name = "LIVEKIT_AGENT_NAME" in environment and INSTANCE_VARIABLE not in environment
    return docker.labels(container).get(docker.SERVICE_LABEL) == WORKER_SERVICE or by_name


def is_worker(container: docker.Container, found: WorkerReading) -> bool:
    """Whether a container is a worker, with its reading: an API carries the name too, but never starts a worker."""
    ours = docker.labels(container).get(docker.SERVICE_LABEL) == WORKER_SERVICE
    return ours or bool(found["worker_id"] or found["sdk_version"] or found["connected"])


def readings(
    run: Reader,
    project: str | None = None,
    job_ids: Iterable[str] = (),
    rooms: Iterable[str] = (),
    patterns: Iterable[str] = (),
    found: list[docker.Container] | None = None,
    since: float | None = None,
    known: Collection[str] = (),
) -> ProjectReading:
    """A reading of each worker container of the host, or of one compose project; ``time`` is the host's clock (epoch
    seconds).

    ``found`` saves a listing where the caller has one, ``since`` (epoch seconds) asks for all job requests from then
    on, ``known`` are names of containers that are workers whatever their settings and log say; of a project only these
    are read then. A container that is removed meanwhile is left out.
    """
    selection = Selection(frozenset(job_ids), frozenset(rooms), tuple(patterns), since)
    if found is None:
        found = docker.containers(run, f"{docker.PROJECT_LABEL}={project}" if project else None)
    workers = []
    for container in found:
        is_known = docker.name(container) in known
        if is_known or (may_be_worker(container) and not (project and known)):
            workers += reading_of_worker(run, container, selection, is_known)
    return {"time": time.time(), "workers": workers}


def reading_of_worker(
    run: Reader, container: docker.Container, selection: Selection, is_known: bool
) -> list[WorkerReading]:
    """Read a container; nothing where it is no worker, or is removed meanwhile."""
    try:
        one = reading(container, container_log(run, container), selection)
    except docker.EngineError as error:
        if not error.is_gone:
            raise
        return []
    if is_known:
        one["agent_name"] = worker_name(one)
    return [one] if is_known or is_worker(container, one) else []
