# SPDX-License-Identifier: Apache-2.0
"""The containers of a release: which are its own, compose, starting and removing them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from ..common import commands
from ..common.files import write_atomically
from ..machine import docker
from ..worker import readings
from . import adopted, records
from .errors import ReleaseError
from .records import Container, Record, Service
from .store import Releases

# Docker's words, with and without its own proxy of ports.
PORT_TAKEN = re.compile(r"port is already allocated|address already in use")


def release_id_from(releases: Releases, container: Container) -> str:
    """The id of the release that a container is of, by its compose project or, whatever that is, by the files it was
    made from."""
    labels = docker.labels(container)
    if found := records.id_in_project(releases.app, labels.get(docker.PROJECT_LABEL, "")):
        return found
    named = [labels.get(docker.DIRECTORY_LABEL, ""), *labels.get(docker.FILES_LABEL, "").split(",")]
    paths = [Path(path) for path in named if path]
    directories = [path for one in paths for path in (one, one.parent) if path.parent == releases.home]
    return next((path.name for path in directories if records.ID_PATTERN.fullmatch(path.name)), "")


def services(releases: Releases, release_id: str, found: list[Container]) -> dict[str, Service]:
    """The containers of a release by compose service; those of another compose project only where it has no such
    service itself."""
    record = releases.record(release_id) or {}
    if record.get("adopted"):
        return {name: service_row(c) for name, c in adopted.parts(record, found).items()}
    mine = own(releases, release_id, found)
    mine.sort(key=lambda c: not is_astray(releases, c))
    return {docker.labels(c).get(docker.SERVICE_LABEL) or c["Name"]: service_row(c) for c in mine}


def own(releases: Releases, release_id: str, found: list[Container]) -> list[Container]:
    """Return the containers of a release, without its worker under a candidate name."""
    candidate = records.candidate_project(releases.app, release_id)
    mine = [one for one in found if release_id_from(releases, one) == release_id]
    return [one for one in mine if docker.labels(one).get(docker.PROJECT_LABEL) != candidate]


def is_astray(releases: Releases, container: Container) -> bool:
    """Whether a container that was made from a release's files is of a compose project that is none of ours."""
    return not records.id_in_project(releases.app, docker.labels(container).get(docker.PROJECT_LABEL, ""))


def service_row(container: Container) -> Service:
    return {
        "id": container["Id"],
        "container": docker.name(container),
        "running": container["State"]["Running"],
        "image": container["Config"]["Image"],
        "config_hash": docker.labels(container).get(docker.CONFIG_LABEL),
        "stop_seconds": container["Config"].get("StopTimeout"),
        "address": docker.address(container),
        "env": readings.name_variables(container),
    }


def is_left(releases: Releases, record: Record, found: list[Container]) -> bool:
    """Whether a release that does not serve is still to be stopped. The stopped containers of an adopted one stay."""
    parts = services(releases, record["id"], found).values()
    if record.get("adopted"):
        return record["state"] == "draining" or any(service["running"] for service in parts)
    return bool(parts)


def start_service(releases: Releases, release_id: str, service: str) -> bool:
    """Start one service of a release beside what runs; False where it runs already."""
    if (releases.record(release_id) or {}).get("adopted"):
        return start_again(releases, release_id, service)
    end_candidate(releases, release_id)
    make_volumes(releases, release_id)
    before = services(releases, release_id, docker.containers(releases.run)).get(service)
    try:
        compose(releases, release_id, up(service))
    except docker.EngineError as error:
        port = (releases.record(release_id) or {}).get("api_port")
        if not PORT_TAKEN.search(str(error)):
            raise
        raise ReleaseError(f"{port_taken(port, 'somebody')}. Docker says: {error}") from None
    return not (before and before["running"])


def make_volumes(releases: Releases, release_id: str) -> None:
    """The named volumes of a release are the host's: made where they are missing, and there for the next release."""
    for volume in (releases.record(release_id) or {}).get("volumes", []):
        docker.docker(releases.run, "volume", "create", volume)


def start_candidate(releases: Releases, release_id: str) -> None:
    """Start the release's worker in a compose project of its own, under its candidate name and without the gate."""
    record = releases.record(release_id) or {}
    make_volumes(releases, release_id)
    override = records.candidate_override(record["candidate"] or "")
    write_atomically(releases.directory(release_id) / records.CANDIDATE_FILE, override)
    project = records.candidate_project(releases.app, release_id)
    compose(releases, release_id, up(readings.WORKER_SERVICE), project=project, more_files=[records.CANDIDATE_FILE])


def end_candidate(releases: Releases, release_id: str) -> None:
    """Remove what ``start_candidate`` made; nothing had its name, so it has no call."""
    path = releases.directory(release_id) / records.CANDIDATE_FILE
    if path.exists():
        project = records.candidate_project(releases.app, release_id)
        found = [c for c in docker.containers(releases.run) if docker.labels(c).get(docker.PROJECT_LABEL) == project]
        docker.clear(releases.run, found, lambda name: name == project)
        path.unlink()


def up(service: str) -> list[str]:
    return ["up", "--detach", "--no-deps", "--pull", "never", service]


def compose(
    releases: Releases,
    release_id: str,
    arguments: Iterable[str],
    project: str = "",
    more_files: Iterable[str] = (),
) -> str:
    """Call Compose for a release. Project and files are always named: it would look for them in its surroundings."""
    directory = str(releases.directory(release_id))
    project = project or records.compose_project(releases.app, release_id)
    named = ("--project-directory", directory, "--project-name", project)
    files = [part for name in ("compose.yml", *more_files) for part in ("--file", f"{directory}/{name}")]
    return docker.docker(releases.run, *["compose", "--progress", "quiet", *named, *files, *arguments])


def down(releases: Releases, release_id: str) -> None:
    """Remove a release's containers and network. Those of an adopted one are stopped and stay."""
    if (releases.record(release_id) or {}).get("adopted"):
        found = docker.containers(releases.run)
        for service in [one for one in services(releases, release_id, found).values() if one["running"]]:
            docker.docker(releases.run, "stop", service["id"])
        return
    mine = [one for one in docker.containers(releases.run) if release_id_from(releases, one) == release_id]
    docker.clear(releases.run, mine, lambda project: records.id_in_project(releases.app, project) == release_id)


def start_again(releases: Releases, release_id: str, service: str) -> bool:
    """Start one part of an adopted project: its own containers, with the restart policy that they had."""
    record = releases.record(release_id) or {}
    wanted = adopted.to_start(record, docker.containers(releases.run), service)
    for container in wanted:
        docker.docker(releases.run, "start", container["Id"])
        if policy := record["adopted"]["policies"].get(docker.name(container)):
            docker.docker(releases.run, *["update", "--restart", policy, container["Id"]])
    if service == records.API and not adopted.answers(record["api_port"]):
        look = commands.shell("docker", "logs", "--", docker.name(wanted[-1]) if wanted else service)
        raise ReleaseError(
            f"found: nothing speaks HTTP on port {record['api_port']}, expected the API of compose project "
            f"{record['adopted']['project']}. Look at its log: {look}"
        )
    return not all(container["State"]["Running"] for container in wanted)


def keep_stopped(releases: Releases, record: Record) -> Record:
    """Let neither worker nor API of an adopted project come back by itself; how each was is noted first."""
    found = docker.containers(releases.run)
    policies = adopted.always(record, found)
    if policies != record["adopted"]["policies"]:
        record = releases.save(record, adopted={**record["adopted"], "policies": policies})
    for container in adopted.parts(record, found).values():
        if docker.restart_policy(container) == "always":
            docker.docker(releases.run, *["update", "--restart", "unless-stopped", container["Id"]])
    return record


def port_taken(port: int | None, who: str) -> str:
    return (
        f"found: {who} has port {port}, expected it free for the API of the new release. Stop that, or set "
        "agent_api_ports to two ports that are free"
    )
