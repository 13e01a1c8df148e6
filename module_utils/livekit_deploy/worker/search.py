# SPDX-License-Identifier: Apache-2.0
"""Every worker of a host, whoever started it and whatever keeps it running."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ..machine import cgroups, docker, logs, process_log, processes, supervisors
from ..machine.command import Reader
from . import log_words, own_answer
from .readings import (
    INSTANCE_VARIABLE,
    Selection,
    container_log,
    docker_supervisor,
    is_dev,
    is_worker,
    may_be_worker,
    reading,
    shared_reading,
)
from .types import HostReading, OwnAnswer, WorkerReading

# Where nothing but its log says that a container is a worker, only this much of the log is looked at.
GLANCE_LINES = 2000
# Each may read a log of 256 MiB, beside what serves here.
READERS = 2


class Search:
    """Every worker of a host: containers that carry a name or a LiveKit URL or whose log shows a registration, and
    plain processes.

    What could not be read is listed and not guessed. ``run`` is used by several threads at once.
    """

    def __init__(
        self, run: Reader, selection: Selection, root: Path, found: list[docker.Container] | None = None
    ) -> None:
        self.run, self.selection, self.root = run, selection, root
        self.unread: list[str] = []
        self.table = processes.read_table(root)
        self.certain = self.table.helped()
        self.containers = self.list_containers() if found is None else found

    def list_containers(self) -> list[docker.Container]:
        try:
            return docker.containers(self.run)
        except docker.EngineError as error:
            # A host without Docker has no containers of it; any other answer hides some.
            if not str(error).startswith("docker: No such file"):
                self.unread.append(f"containers, because the Docker Engine answered: {str(error).strip()[-300:]}")
            return []

    def workers(self) -> list[WorkerReading]:
        listed = {container["Id"] for container in self.containers}
        if hidden := self.table.hidden:
            remedy = "" if os.geteuid() == 0 else ": run as root (become)"
            self.unread.append(
                f"the environment of {len(hidden)} processes "
                f"({', '.join(map(str, hidden[:5]))}{', …' * bool(hidden[5:])}){remedy}"
            )
        plain = processes.candidates(self.table, listed)
        with ThreadPoolExecutor(READERS) as pool:
            found = [*pool.map(self.of_container, self.containers), *pool.map(self.of_process, plain)]
        return [one for one in found if one]

    # --- containers ---

    def of_container(self, container: docker.Container) -> WorkerReading | None:
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

    def runs_helper(self, container: docker.Container) -> bool:
        held = (cgroups.cgroup_container(helper.cgroup) for helper in self.certain.values())
        return any(found is not None and found.id == container["Id"] for found in held)

    def is_worth_reading(self, container: docker.Container) -> bool:
        """Another running container: one made for LiveKit, or one whose last lines show a registration."""
        environment = docker.environment(container)
        if not container["State"]["Running"] or INSTANCE_VARIABLE in environment:
            return False
        if any(name in environment for name in processes.OF_LIVEKIT):
            return True
        try:
            return any(
                log_words.REGISTERED in line for line in docker.log_lines(self.run, container["Id"], GLANCE_LINES)
            )
        except docker.EngineError:
            return False

    def read(self, container: docker.Container) -> WorkerReading | None:
        """A reading of a container; None for one that is removed meanwhile."""
        how = self.supervisor(container), self.where(container)
        try:
            return reading(container, container_log(self.run, container), self.selection, *how)
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
        return (
            supervisors.supervised("other", f"`{shell}` in the container, which passes no signal on")
            if shell
            else found
        )

    def where(self, container: docker.Container) -> tuple[str, int] | None:
        """Where a container that uses the host's own network answers."""
        found = None if docker.address(container) else self.table.processes.get(container["State"].get("Pid") or 0)
        addresses = processes.addresses(self.root, found) if found else []
        return addresses[0] if addresses else None

    # --- processes ---

    def of_process(self, found: processes.Process) -> WorkerReading | None:
        log = process_log.process_log(self.run, self.root, found)
        environment = processes.worker_environment(self.table, found)
        one = shared_reading(log, self.answer_of(found), environment, self.selection)
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

    def answer_of(self, found: processes.Process) -> OwnAnswer:
        # What may be another program is asked only on the port that a worker has.
        wanted = [
            where
            for where in processes.addresses(self.root, found)
            if self.is_certain(found) or where[1] == docker.WORKER_PORT
        ]
        return next(
            (answer for where in wanted[:3] if (answer := own_answer.ask_worker(where)).get("sdk_version")), OwnAnswer()
        )


def everywhere(
    run: Reader, root: Path | None = None, found: list[docker.Container] | None = None, **selection: Any
) -> HostReading:
    """As ``readings``, of every worker on the host; ``unread`` has a sentence for each thing that could not be looked
    at.
    """
    chosen = Selection(
        frozenset(selection.get("job_ids", ())),
        frozenset(selection.get("rooms", ())),
        tuple(selection.get("patterns", ())),
        selection.get("since"),
    )
    search = Search(run, chosen, root or processes.ROOT, found)
    workers = search.workers()
    return {"time": time.time(), "workers": workers, "unread": search.unread}
