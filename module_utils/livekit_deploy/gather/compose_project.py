# SPDX-License-Identifier: Apache-2.0
"""A running compose project as its people made it: what its files say, and what its containers are.

Reads only. The files are read by Compose itself, as their owner.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..common.text import parsed_object
from ..machine import docker, web
from ..machine.command import Reader
from ..machine.docker import Container
from ..machine.images import pinned
from ..release.adopted import published
from ..worker.readings import Selection, worker_name
from ..worker.search import Search
from ..worker.types import WorkerReading
from . import evidence

HEALTH_PATHS = ("/healthz", "/health", "/")
ASK_SECONDS = 2.0
OF_LIVEKIT = ("LIVEKIT_URL", "LIVEKIT_API_KEY")


class ProjectError(Exception):
    """The project cannot be read; the text says what was found, what is expected and what to do."""


def read_project(run: Reader, name: str, root: Path) -> dict[str, Any]:
    """Return the project as ``inventory/imported.py`` takes it."""
    found = docker.containers(run)
    mine = project_containers(found, name)
    document = project_document(run, name, mine)
    by_service = {docker.labels(one).get(docker.SERVICE_LABEL, ""): one for one in mine}
    workers = project_workers(run, by_service, root)
    if not workers:
        running = ", ".join(sorted(by_service))
        raise ProjectError(
            f"found: compose project {name} with the services {running}, none of which is a LiveKit worker, "
            "expected one that registers under an agent name. Start it, or name the project that has it"
        )
    services = document.get("services") or {}
    return {
        "name": name,
        "directory": label(mine, docker.DIRECTORY_LABEL),
        "services": [
            service_seen(run, service, services.get(service) or {}, container, workers.get(service))
            for service, container in sorted(by_service.items())
            if service
        ],
        "workers": sorted(workers),
        "api": api_service(by_service, workers),
        "networks": names_on_host(document, "networks"),
        "volumes": names_on_host(document, "volumes"),
    }


def project_containers(found: list[Container], name: str) -> list[Container]:
    """Return the running containers of a project."""
    running = [one for one in found if one["State"]["Running"] and docker.labels(one).get(docker.PROJECT_LABEL)]
    mine = [one for one in running if docker.labels(one)[docker.PROJECT_LABEL] == name]
    if not mine:
        others = ", ".join(sorted({docker.labels(one)[docker.PROJECT_LABEL] for one in running})) or "none"
        stopped = any(docker.labels(one).get(docker.PROJECT_LABEL) == name for one in found)
        state = f"compose project {name} does not run" if stopped else f"no compose project {name}"
        raise ProjectError(
            f"found: {state}, expected one that runs (those that do: {others}). Start it, or name another one"
        )
    directories = sorted({docker.labels(one).get(docker.DIRECTORY_LABEL) or "?" for one in mine})
    if len(directories) > 1:
        raise ProjectError(
            f"found: containers of two projects with the name {name} (in {' and '.join(directories)}), expected one. "
            "Give one of them another name (COMPOSE_PROJECT_NAME) and start it anew"
        )
    return [one for one in mine if docker.labels(one).get(docker.ONE_OFF_LABEL) != "True"]


def label(mine: list[Container], wanted: str) -> str:
    return next((value for one in mine if (value := docker.labels(one).get(wanted))), "")


def project_document(run: Reader, name: str, mine: list[Container]) -> Mapping[str, Any]:
    """Return the compose file as Compose reads it, with everything resolved."""
    directory = label(mine, docker.DIRECTORY_LABEL)
    files = evidence.path_list(label(mine, docker.FILES_LABEL))
    env_files = evidence.path_list(label(mine, evidence.ENV_FILES_LABEL))
    remedy = f"expected what `docker compose config` prints in {directory}. Run it there to see why"
    try:
        command = evidence.config_command(directory, files, env_files, name)
        status, out, err = run([*evidence.project_reader(Path(directory)), *command])
    except docker.EngineError as error:
        raise ProjectError(f"found: the files of compose project {name} cannot be read ({error}), {remedy}") from error
    if status != 0:
        # Compose quotes lines of env files in its errors, secrets and all.
        raise ProjectError(f"found: Compose does not read the files of project {name} (status {status}), {remedy}")
    if unset := sorted(set(evidence.UNSET.findall(err))):
        raise ProjectError(
            f"found: the files of compose project {name} use variables of the shell that started it: "
            f"{', '.join(unset)}, expected them in {directory}/.env. Write them there"
        )
    return parsed_object(out)


def project_workers(run: Reader, by_service: Mapping[str, Container], root: Path) -> dict[str, WorkerReading]:
    """Return the workers with a name by their services."""
    looking = Search(run, Selection(), root, list(by_service.values()))
    read = {service: looking.of_container(container) for service, container in by_service.items()}
    return {service: one for service, one in read.items() if one and worker_name(one)}


def api_service(by_service: Mapping[str, Container], workers: Mapping[str, WorkerReading]) -> str | None:
    """Return the service that dispatches: no worker, knows the LiveKit server, and listens on a port of the host."""
    known = {
        service: container
        for service, container in by_service.items()
        if service not in workers and any(name in docker.environment(container) for name in OF_LIVEKIT)
    }
    return min(known, key=lambda service: (not published(known[service]), service), default=None)


def names_on_host(document: Mapping[str, Any], kind: str) -> dict[str, str]:
    """Return the names that networks or volumes have on the host, by those in the file."""
    found = document.get(kind) or {}
    return {key: str((value or {}).get("name") or key) for key, value in found.items()}


# --- one service -----------------------------------------------------------------------------------------------------


def service_seen(
    run: Reader, name: str, config: Mapping[str, Any], container: Container, worker: WorkerReading | None
) -> dict[str, Any]:
    image = docker.docker(run, "image", "inspect", container["Image"], "--format", "{{json .RepoDigests}}")
    digests = [one for one in evidence_list(image) if isinstance(one, str)]
    reference = container["Config"]["Image"]
    added, changed = written(run, container)
    port = container_port(container)
    return {
        "name": name,
        "config": dict(config),
        "image": pinned(reference, digests) or container["Image"],
        "user": str(container["Config"].get("User") or ""),
        "port": port[0] if port else None,
        "health_path": health_path(port[1]) if port and not worker else "",
        "added": added,
        "changed": changed,
        "agent_name": worker_name(worker) if worker else "",
    }


def evidence_list(text: str) -> list[Any]:
    found = parsed_object(f'{{"found": {text.strip() or "[]"}}}').get("found")
    return found if isinstance(found, list) else []


def written(run: Reader, container: Container) -> tuple[list[str], list[str]]:
    """Return what a container has added to its image's files, and what it has changed."""
    lines = docker.docker(run, "diff", container["Id"]).splitlines()
    pairs = [(line[:1], line[2:]) for line in lines if line[1:2] == " "]
    return [path for kind, path in pairs if kind == "A"], [path for kind, path in pairs if kind == "C"]


def container_port(container: Container) -> tuple[int, int] | None:
    """Return the TCP port that a container listens on with the port of the host that leads there."""
    given = container.get("NetworkSettings", {}).get("Ports") or {}
    pairs = [
        (int(inside.partition("/")[0]), int(binding["HostPort"]))
        for inside, bindings in given.items()
        if inside.endswith("/tcp")
        for binding in bindings or []
        if binding.get("HostPort")
    ]
    return min(pairs, default=None)


def health_path(port: int) -> str:
    """Return the first usual path that answers 200; empty where none does."""
    return next((path for path in HEALTH_PATHS if web.ask("127.0.0.1", port, path, ASK_SECONDS).status == 200), "")
