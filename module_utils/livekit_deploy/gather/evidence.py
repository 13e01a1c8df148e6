"""What a host shows of why its worker gets no jobs: what its files say now, its compose projects, what its API
dispatched.

Nothing here raises for what it finds. What cannot be read becomes a sentence: evidence that is missing rules nothing
out.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ..common.text import parsed_object
from ..common.times import epoch
from ..machine import docker, logs, systemd
from ..machine.command import Run
from ..machine.docker import Container
from ..release import records
from ..release.adopted import claimed
from ..release.records import HostInfo, HostState, Record
from ..release.state import release_state
from ..release.store import Releases
from ..release.unmanaged import with_unmanaged
from ..worker import readings, search
from ..worker.types import HostReading, WorkerReading
from . import access_log
from .api_log import api_container, api_evidence, container_agent_name
from .notes import Notes, reach_note
from .types import ProjectEvidence, ProxyEvidence, Variables

ENV_FILES_LABEL = "com.docker.compose.project.environment_file"
# Compose 2.26 warns of them, and goes on with an empty text.
UNSET = re.compile(r'The \\?"(\w+)\\?" variable is not set')
VARIABLES = (*readings.NAME_VARIABLES, "LIVEKIT_URL")


class Window(NamedTuple):
    since: float
    until: float


def window(record: Record | None, since: float | None, max_seconds: float) -> Window:
    """From ``since``, or else from when the release began to serve but at most ``max_seconds`` back; until now."""
    until = time.time()
    if since is None:
        since = max(epoch((record or {}).get("served_at")) or 0.0, until - max_seconds)
    return Window(since, until)


# --- compose projects, and what their files say now ------------------------------------------------------------------


def written_variables(
    run: Run, directory: str, files: Iterable[str], env_files: Iterable[str] = (), project: str = ""
) -> dict[str, Variables]:
    """The variables each service of a compose project would get if it were created now, from compose files and env
    files.

    Neither compose's words nor any other variable are passed on: a broken env file is quoted in them, secrets and all.
    """
    command = config_command(directory, files, env_files, project)
    status, out, err = run([*project_reader(Path(directory)), *command])
    if status != 0:
        raise docker.EngineError(
            f"`docker compose config` in {directory} ends with status {status}; run it there to see why"
        )
    unset = sorted(set(UNSET.findall(err)))
    if unset:
        raise docker.EngineError(f"they use variables of the shell that started the project: {', '.join(unset)}")
    services = object_or_empty(parsed_object(out).get("services"))
    return {
        name: variables(object_or_empty(object_or_empty(service).get("environment")))
        for name, service in services.items()
    }


def config_command(directory: str, files: Iterable[str], env_files: Iterable[str], project: str) -> list[str]:
    # Always named: Compose would look for them in its own surroundings.
    named = (
        list(files)
        or [str(path) for name in sorted(docker.DEFAULT_FILES) if (path := Path(directory, name)).is_file()][:1]
    )
    if not named:
        raise docker.EngineError(f"{directory} has no compose file any more")
    options = [
        *(["--project-name", project] if project else []),
        *(part for path in named for part in ("--file", path)),
    ]
    options += [part for path in env_files for part in ("--env-file", path)]
    return ["docker", "compose", "--project-directory", directory, *options, "config", "--format", "json"]


def object_or_empty(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def project_reader(directory: Path) -> list[str]:
    """What a command is started with that reads a project of a user: as that user, because its files may name any other
    file as theirs.
    """
    try:
        found = directory.stat()
    except OSError:
        return []
    if found.st_mode & 0o002:
        raise docker.EngineError(f"{directory} can be written by everybody, so its files are not read as root")
    return systemd.as_user(found.st_uid) if found.st_uid != os.geteuid() else []


def variables(environment: Variables) -> Variables:
    # `config` writes a dollar twice, so that its output can be a compose file (Compose 2.26).
    return {
        name: value.replace("$$", "$") if (value := environment.get(name)) is not None else None for name in VARIABLES
    }


def agent_names(containers: Iterable[Container], workers: Iterable[WorkerReading]) -> list[str]:
    """The names that containers were given, and those their workers registered under."""
    given = (container_agent_name(container) for container in containers)
    return sorted({name for name in [*given, *(w.get("agent_name") for w in workers)] if name})


def compose_projects(
    run: Run, found: list[Container], workers: list[WorkerReading], releases: Path, notes: Notes
) -> list[ProjectEvidence]:
    """Return every compose project with containers on the host.

    A project of others that has a worker comes with what its files say.
    """
    by_name: dict[str, list[dict[str, Any]]] = {}
    for container in found:
        name = docker.labels(container).get(docker.PROJECT_LABEL)
        if name:
            by_name.setdefault(name, []).append(container)
    return [
        project_seen(
            run, name, members, [w for w in workers if w.get("project") == name], releases=releases, notes=notes
        )
        for name, members in sorted(by_name.items())
    ]


def project_seen(
    run: Run, name: str, members: list[Container], workers: list[WorkerReading], releases: Path, notes: Notes
) -> ProjectEvidence:
    def label(wanted: str) -> str:
        return next((found[wanted] for found in map(docker.labels, members) if found.get(wanted)), "")

    directory, files, env_files = label(docker.DIRECTORY_LABEL), label(docker.FILES_LABEL), label(ENV_FILES_LABEL)
    ours = bool(directory) and Path(directory).parent == releases
    says: dict[str, Variables] = {}
    if workers and not ours and directory:
        what = f"what the files of compose project {name} say now"
        says = notes.attempt(
            what, lambda: written_variables(run, directory, path_list(files), path_list(env_files), project=name), says
        )
    return {
        "name": name,
        "directory": directory,
        "services": sorted({docker.labels(container).get(docker.SERVICE_LABEL, "") for container in members} - {""}),
        "ours": ours,
        "has_worker": bool(workers),
        "agent_names": agent_names(members, workers),
        "written": says,
    }


def path_list(paths: str) -> list[str]:
    return [path for path in paths.split(",") if path]


# --- all of it -------------------------------------------------------------------------------------------------------


class Options(NamedTuple):
    """What the module was asked."""

    agent_name: str
    since: float | None = None
    max_seconds: float = 3600.0
    access_log: str = ""
    access_log_pattern: str | None = None
    site: str = ""
    api_log_pattern: str | None = None


def proxy_evidence(options: Options, since: float, notes: Notes) -> ProxyEvidence:
    """The requests that reached the proxy."""
    unread = logs.Reach().result()
    empty: ProxyEvidence = {
        "read": False,
        "path": options.access_log,
        "requests": 0,
        "by_status": {},
        "by_request": {},
        "last": None,
        "reach": unread,
    }
    what = "the proxy's access log"
    site = Path(options.site)
    began = site.stat().st_mtime if options.site and site.exists() else None
    log = notes.attempt(
        what, lambda: access_log.AccessLog(options.access_log, since, options.access_log_pattern, began=began), None
    )
    if log is None:
        return empty
    notes.add(log.unread and f"{what}: {log.unread}")
    return log.result()


def host_evidence(
    host: Releases,
    record: Record | None,
    containers: list[Container] | None,
    since: float,
    notes: Notes,
    agent_name: str = "",
) -> HostInfo:
    """Release, drift, containers, and every worker of the host; where the release or the Engine cannot be read, what is
    left.
    """
    left: HostState = {
        "release": record,
        "drift": [],
        "services": {},
        "states": {},
        "leftovers": [],
        "adopted": {},
    }
    nobody: HostReading = {"time": time.time(), "workers": [], "unread": []}
    found = (
        left
        if containers is None
        else notes.attempt("the release and its containers", lambda: {**release_state(host, containers)}, left)
    )
    seen = notes.attempt("the workers", lambda: search.everywhere(host.run, found=containers, since=since), nobody)
    for what in seen["unread"]:
        # That the Engine does not answer is said already.
        if containers is not None or not what.startswith("containers"):
            notes.add(f"the search for workers could not read {what}")
    for one in seen["workers"]:
        notes.add(one["unread"] and f"worker {one['container']}: {one['unread']}")
        reach = logs.Reach(**one["reach"])
        if not one["unread"] and (reach.why or one["release"] == (record or {}).get("id")):
            notes.add(reach_note(f"the log of {one['container']}", reach, since))
    read = claimed({**found, "workers": seen["workers"], "time": seen["time"]}, found["adopted"])
    return with_unmanaged(read, host.app, agent_name)


def release_files(host: Releases, record: Record | None, notes: Notes) -> dict[str, Any]:
    """The standby gate, and what the files of the serving release say now."""
    if not record or record.get("adopted"):
        return {"gate": None, "written": {}}
    directory, project = str(host.directory(record["id"])), records.compose_project(host.app, record["id"])
    says: dict[str, Variables] = {}
    return {
        "gate": notes.attempt("the standby gate", lambda: host.gate(record["id"]), None),
        "written": notes.attempt(
            "what the release's files say now",
            lambda: written_variables(host.run, directory, [f"{directory}/compose.yml"], project=project),
            says,
        ),
    }


def gather(host: Releases, options: Options) -> dict[str, Any]:
    """All evidence of a host."""
    notes = Notes()
    record = notes.attempt("the release record", host.known_current, None)
    since, until = window(record, options.since, options.max_seconds)
    containers = notes.attempt("the containers", lambda: docker.containers(host.run), None)
    reading = host_evidence(host, record, containers, since=since, notes=notes, agent_name=options.agent_name)
    chosen = api_container(
        containers or [], reading["services"] if record else None, reading["workers"], options.agent_name
    )
    return {
        **reading,
        **release_files(host, record, notes),
        "since": since,
        "until": until,
        "projects": compose_projects(host.run, containers or [], reading["workers"], releases=host.home, notes=notes),
        "proxy": proxy_evidence(options, since, notes),
        "api": api_evidence(host.run, chosen, since, pattern=options.api_log_pattern, notes=notes),
        "unread": notes.sentences,
    }
