"""The Docker Engine of a host, through its own command line: hosts need only Python 3 and Docker.

Every function takes ``run``, which runs an argument list and answers (exit status, standard output, standard error): a
``command.Runner``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..common import commands
from ..common.text import parsed
from .command import TOO_LATE, Reader, Run

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
CONFIG_LABEL = "com.docker.compose.config-hash"
DIRECTORY_LABEL = "com.docker.compose.project.working_dir"
FILES_LABEL = "com.docker.compose.project.config_files"
ONE_OFF_LABEL = "com.docker.compose.oneoff"
# Who made a container, if not somebody on this host: a stopped one would be started again, here or elsewhere.
ORCHESTRATORS = {
    "com.docker.swarm.service.name": "Docker Swarm",
    "io.kubernetes.pod.name": "Kubernetes",
    "com.hashicorp.nomad.alloc_id": "Nomad",
    "com.amazonaws.ecs.task-arn": "Amazon ECS",
}
DEFAULT_FILES = frozenset({"compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"})
# How long what has no call may take to end.
STOP_SECONDS = "5"
# The worker's own server (livekit-agents 1.8.9, measured).
WORKER_PORT = 8081
SILENT = "Expected: the Docker Engine answers. Look at it (systemctl status docker), restart it, and run again"


# What ``docker inspect`` says of a container: the Engine's own JSON, of which few keys are read here and the version
# decides on the rest.
Container = dict[str, Any]


class EngineError(Exception):
    """The Engine did not do what it was asked; the text is its own message."""

    @property
    def is_gone(self) -> bool:
        """The container was removed meanwhile, or is being removed."""
        return any(
            words in str(self) for words in ("No such container", "No such object", "dead or marked for removal")
        )


def docker(run: Run, *argv: str) -> str:
    """Standard output of one docker command."""
    status, out, err = run(["docker", *argv])
    if status != 0:
        raise EngineError(said(status, err or out))
    return out


def said(status: int, text: str) -> str:
    """What a docker command that failed says.

    One that did not end in time says nothing itself, so what to do is added.
    """
    late = f". {SILENT}" if status == TOO_LATE else ""
    return f"{text.strip()[-2000:]}{late}"


def containers(run: Run, label: str | None = None) -> list[Container]:
    """``docker inspect`` of all containers, or of those with a label (``name=value``); running or not."""
    only = ["--filter", f"label={label}"] if label else []
    ids = docker(run, "ps", "--all", "--quiet", "--no-trunc", *only).split()
    if not ids:
        return []
    # A container that ends between the two commands is no error: ask for each of those that are left.
    status, out, err = run(["docker", "inspect", "--type", "container", *ids])
    found = parsed(out)
    if not isinstance(found, list) or status == TOO_LATE:
        raise EngineError(said(status, err) or "`docker inspect` answers no list of containers")
    return found


def owned(run: Run, kind: str) -> dict[str, str]:
    """The host's networks or volumes, by name with the compose project that made each."""
    lines = docker(run, kind, "ls", "--format", f'{{{{.Name}}}}\t{{{{.Label "{PROJECT_LABEL}"}}}}').splitlines()
    return {name: project for name, _, project in (line.partition("\t") for line in lines if line)}


def clear(run: Run, found: Sequence[Container], is_cleared: Callable[[str], bool]) -> None:
    """Stop and remove containers, then the networks of the compose projects that are cleared.

    By their ids: Compose would look for a file, and would know only what has the project's label.
    """
    running = [container["Id"] for container in found if container["State"]["Running"]]
    for verb, ids in (
        (("stop", "-t", STOP_SECONDS), running),
        (("rm", "--force"), [container["Id"] for container in found]),
    ):
        try:
            if ids:
                docker(run, *verb, *ids)
        except EngineError as error:
            if not error.is_gone:
                raise
    for network in [name for name, project in owned(run, "network").items() if is_cleared(project)]:
        docker(run, "network", "rm", network)


def inspect(run: Run, container: str) -> Container:
    """``docker inspect`` of one container."""
    found: list[Container] = json.loads(docker(run, "inspect", "--type", "container", container))
    return found[0]


def labels(container: Container) -> dict[str, str]:
    return container.get("Config", {}).get("Labels") or {}


def name(container: Container) -> str:
    return str(container["Name"]).lstrip("/")


def environment(container: Container) -> dict[str, str]:
    """The environment a container was created with."""
    pairs = (entry.partition("=") for entry in container.get("Config", {}).get("Env") or [])
    return {name: value for name, _, value in pairs}


def address(container: Container) -> str | None:
    """An address of the container that its host can reach, or None while it does not run."""
    networks = container.get("NetworkSettings", {}).get("Networks") or {}
    return next((n["IPAddress"] for n in networks.values() if n.get("IPAddress")), None)


def restart_policy(container: Container) -> str:
    return str((container.get("HostConfig", {}).get("RestartPolicy") or {}).get("Name") or "no")


def drain_signal(container: Container) -> str:
    """The one signal after which Docker does not start a container again and a worker drains; empty where its stop
    signal is another.
    """
    wanted = str(container["Config"].get("StopSignal") or "SIGTERM").removeprefix("SIG")
    return {"TERM": "TERM", "15": "TERM", "INT": "INT", "2": "INT"}.get(wanted, "")


def orchestrator(container: Container) -> str | None:
    return next((name for label, name in ORCHESTRATORS.items() if label in labels(container)), None)


def start_command(container: Container) -> str:
    """How to start a stopped container again; empty for one that is removed when it stops."""
    if container.get("HostConfig", {}).get("AutoRemove"):
        return ""
    found = labels(container)
    directory, service = found.get(DIRECTORY_LABEL, ""), found.get(SERVICE_LABEL)
    if not (service and directory and Path(directory).is_dir()):
        return commands.shell("docker", "start", "--", container["Name"].lstrip("/"))
    options = compose_options(found, directory)
    return commands.in_directory(directory, "docker", "compose", *options, "up", "-d", "--", service)


def compose_options(found: dict[str, str], directory: str) -> list[str]:
    """Return what a container's labels say that Compose would not find by itself in its directory."""
    files = [path for path in found.get(FILES_LABEL, "").split(",") if path]
    usual = len(files) == 1 and Path(files[0]).name in DEFAULT_FILES and str(Path(files[0]).parent) == directory
    project = found[PROJECT_LABEL]
    options = [] if usual else [part for path in files for part in ("-f", path)]
    return options + ([] if project == re.sub(r"[^a-z0-9_-]", "", Path(directory).name.lower()) else ["-p", project])


class Lines:
    """A container's log, oldest first, standard output and error together, each line after its time where that is asked
    for. It is not held in memory. ``cut`` says afterwards why the newest lines are missing; EngineError where Docker
    cannot read it.
    """

    def __init__(
        self,
        run: Reader,
        container: str,
        tail: int | None = None,
        *,
        timestamps: bool = False,
        seconds: float | None = None,
    ) -> None:
        options = [*(["--timestamps"] if timestamps else []), *(["--tail", str(tail)] if tail else [])]
        self.output = run.lines(["docker", "logs", *options, container], seconds)
        self.cut = ""

    def __iter__(self) -> Iterator[str]:
        yield from self.output
        self.cut = self.output.cut
        if self.output.status and not self.cut:
            raise EngineError(self.output.last.strip()[-2000:])


def log_lines(run: Reader, container: str, tail: int | None = None) -> Lines:
    """The newest lines of a container's log; all of it without ``tail``."""
    return Lines(run, container, tail)
