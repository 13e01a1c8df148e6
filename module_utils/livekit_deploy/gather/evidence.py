"""What a host shows of why its worker gets no jobs: what its files say now, its compose projects, what its API dispatched.

Nothing here raises for what it finds. What cannot be read becomes a sentence: evidence that is missing rules nothing out.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ..common.text import Masker, parsed_object
from ..common.times import epoch
from ..machine import docker, logs, processes
from ..machine.command import Reader, Run
from ..release import records
from ..release.adopted import claimed
from ..release.errors import ReleaseError
from ..release.records import Record
from ..release.state import release_state
from ..release.store import Releases
from ..worker import readings, worker_log
from . import access_log

T = TypeVar("T")
TROUBLE = (OSError, ValueError, LookupError, TypeError, AttributeError, re.error, docker.EngineError, ReleaseError)

ENV_FILES_LABEL = "com.docker.compose.project.environment_file"
# Compose 2.26 warns of them, and goes on with an empty text.
UNSET = re.compile(r'The \\?"(\w+)\\?" variable is not set')
VARIABLES = (*readings.NAME_VARIABLES, "LIVEKIT_URL")
DISPATCHES_KEPT = 200
NAMES_KEPT = 200


class Notes:
    """The sentences about what could not be read, each once."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def add(self, sentence: str | None) -> None:
        if sentence and sentence not in self.sentences:
            self.sentences.append(sentence)

    def attempt(self, what: str, call: Callable[[], T], otherwise: T) -> T:
        """What ``call`` answers; when it cannot, a sentence and ``otherwise``."""
        try:
            return call()
        except TROUBLE as error:
            self.add(f"{what} could not be read: {str(error).strip()[:300] or type(error).__name__}")
            return otherwise


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


def written(
    run: Run, directory: str, files: Iterable[str], env_files: Iterable[str] = (), project: str = ""
) -> dict[str, dict[str, str | None]]:
    """The variables each service of a compose project would get if it were created now, from compose files and env files.

    Neither compose's words nor any other variable are passed on: a broken env file is quoted in them, secrets and all.
    """
    # Always named: Compose would look for them in its own surroundings.
    named = list(files) or [str(path) for name in sorted(docker.DEFAULT_FILES) if (path := Path(directory, name)).is_file()][:1]
    if not named:
        raise docker.EngineError(f"{directory} has no compose file any more")
    options = [*(["--project-name", project] if project else []), *(part for path in named for part in ("--file", path))]
    options += [part for path in env_files for part in ("--env-file", path)]
    compose = ["docker", "compose", "--project-directory", directory, *options, "config", "--format", "json"]
    status, out, err = run([*reader_of(Path(directory)), *compose])
    if status != 0:
        raise docker.EngineError(f"`docker compose config` in {directory} ends with status {status}; run it there to see why")
    unset = sorted(set(UNSET.findall(err)))
    if unset:
        raise docker.EngineError(f"they use variables of the shell that started the project: {', '.join(unset)}")
    services = view_of(parsed_object(out).get("services"))
    return {name: variables(view_of(view_of(service).get("environment"))) for name, service in services.items()}


def view_of(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def reader_of(directory: Path) -> list[str]:
    """What a command is started with that reads a project of a user: as that user, because its files may name any other file as theirs."""
    try:
        found = directory.stat()
    except OSError:
        return []
    if found.st_mode & 0o002:
        raise docker.EngineError(f"{directory} can be written by everybody, so its files are not read as root")
    return processes.as_user(found.st_uid) if found.st_uid != os.geteuid() else []


def variables(environment: dict[str, str | None]) -> dict[str, str | None]:
    # `config` writes a dollar twice, so that its output can be a compose file (Compose 2.26).
    return {name: value.replace("$$", "$") if (value := environment.get(name)) is not None else None for name in VARIABLES}


def agent_names(containers: Iterable[dict[str, Any]], workers: Iterable[dict[str, Any]]) -> list[str]:
    """The names that containers were given, and those their workers registered under."""
    given = (name_of(container) for container in containers)
    return sorted({name for name in [*given, *(w.get("agent_name") for w in workers)] if name})


def name_of(container: dict[str, Any]) -> str | None:
    """The agent name in a container's environment; AGENT_NAME counts only where there is LiveKit."""
    environment = docker.environment(container)
    override = environment.get("LIVEKIT_AGENT_NAME_OVERRIDE") or environment.get("LIVEKIT_AGENT_NAME")
    return override or (environment.get("AGENT_NAME") if "LIVEKIT_URL" in environment else None)


def projects(run: Run, found: list[dict[str, Any]], workers: list[dict[str, Any]], releases: Path, notes: Notes) -> list[dict[str, Any]]:
    """Every compose project with containers on the host; those of others that have a worker with what their files say."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for container in found:
        name = docker.labels(container).get(docker.PROJECT_LABEL)
        if name:
            by_name.setdefault(name, []).append(container)
    return [
        project(run, name, members, [w for w in workers if w.get("project") == name], releases, notes)
        for name, members in sorted(by_name.items())
    ]


def project(
    run: Run, name: str, members: list[dict[str, Any]], workers: list[dict[str, Any]], releases: Path, notes: Notes
) -> dict[str, Any]:
    def label(wanted: str) -> str:
        return next((found[wanted] for found in map(docker.labels, members) if found.get(wanted)), "")

    directory, files, env_files = label(docker.DIRECTORY_LABEL), label(docker.FILES_LABEL), label(ENV_FILES_LABEL)
    ours = bool(directory) and Path(directory).parent == releases
    says: dict[str, dict[str, str | None]] = {}
    if workers and not ours and directory:
        what = f"what the files of compose project {name} say now"
        says = notes.attempt(what, lambda: written(run, directory, split(files), split(env_files), name), says)
    return {
        "name": name,
        "directory": directory,
        "services": sorted({docker.labels(container).get(docker.SERVICE_LABEL, "") for container in members} - {""}),
        "ours": ours,
        "has_worker": bool(workers),
        "agent_names": agent_names(members, workers),
        "written": says,
    }


def split(paths: str) -> list[str]:
    return [path for path in paths.split(",") if path]


# --- the API ---------------------------------------------------------------------------------------------------------


def is_ours_or_worker(container: dict[str, Any]) -> bool:
    """A container of a deployment of this kind, maybe of another application, or one that is a worker by its service's name."""
    deployed = readings.INSTANCE_VARIABLE in docker.environment(container)
    return deployed or docker.labels(container).get(docker.SERVICE_LABEL) == readings.WORKER_SERVICE


def api_container(
    found: list[dict[str, Any]], serving: dict[str, Any] | None, workers: list[dict[str, Any]], agent_name: str
) -> dict[str, Any] | None:
    """The API: the serving release's own, or without a release a hand-made container that has an agent name and is no worker.

    ``serving`` are the containers of the release by service, None where there is no release.
    """
    if serving is not None:
        wanted = serving.get(records.API, {}).get("id")
        return next((c for c in found if c["Id"] == wanted), None)
    known = {w.get("container") for w in workers}
    others = [c for c in found if c["Name"].lstrip("/") not in known and name_of(c)]
    others = [c for c in others if not is_ours_or_worker(c)]
    return min(others, key=lambda c: (not c["State"]["Running"], name_of(c) != agent_name, c["Name"]), default=None)


class Dispatches:
    """The dispatches in an API's log: the reference application's JSON lines, or whatever a pattern finds."""

    def __init__(self, since: float, pattern: str | None = None) -> None:
        self.since = since
        self.pattern = re.compile(pattern) if pattern else None
        self.first: float | None = None
        self.recognized = False
        self.names: Counter[str] = Counter()
        self.created: deque[dict[str, Any]] = deque(maxlen=DISPATCHES_KEPT)
        self.failed = 0
        self.last_failure: str | None = None

    def fields(self, text: str) -> dict[str, Any] | None:
        """What a line says of a dispatch; one with ``error`` failed."""
        if self.pattern:
            match = self.pattern.search(text)
            return match.groupdict() if match else None
        event = (worker_log.event_of(text) if '"dispatch_' in text else None) or {}
        if event.get("event") == "dispatch_failed":
            return {**event, "error": event.get("message") or event.get("error") or "no reason given"}
        return {**event, "error": None} if event.get("event") == "dispatch_created" else None

    def take(self, line: str) -> None:
        """One line of ``docker logs --timestamps``."""
        stamp, text = logs.stamped(line)
        fields = self.fields(text)
        if not fields and self.first is not None:
            return
        when = logs.moment(stamp) if stamp else None
        self.first = self.first or when
        if fields:
            self.recognized = True
            if when is None or when >= self.since:
                self.count(fields, stamp)

    def count(self, fields: dict[str, Any], stamp: str) -> None:
        if fields.get("error"):
            self.failed += 1
            self.last_failure = str(fields["error"])[:300]
            return
        name = str(fields.get("agent_name") or "")[:200]
        if name in self.names or len(self.names) < NAMES_KEPT:
            self.names[name] += 1
        known = {key: None if (value := fields.get(key)) is None else str(value)[:200] for key in ("room", "dispatch_id", "agent_name")}
        self.created.append({**known, "time": stamp})

    def result(self) -> dict[str, Any]:
        return {
            "agent_names": dict(self.names),
            "dispatches": list(self.created),
            "failed": self.failed,
            "last_failure": self.last_failure,
        }


def api(run: Reader, container: dict[str, Any] | None, since: float, pattern: str | None, notes: Notes) -> dict[str, Any]:
    """What the API's container was given, and what its log says it dispatched."""
    if container is None:
        notes.add("no container of an API was found, so its dispatches are not known")
        empty = {**Dispatches(since).result(), "reach": logs.Reach().result()}
        return {"read": False, "container": None, "running": False, "service": None, "url": None, "env": {}, **empty}
    name, environment = container["Name"].lstrip("/"), docker.environment(container)
    log = f"the log of the API (container {name})"
    nothing: tuple[Dispatches | None, logs.Reach] = (None, logs.Reach())
    found, reach = notes.attempt(log, lambda: followed(run, container, since, pattern), nothing)
    if found and not found.recognized:
        notes.add(f"no line of {log} tells of a dispatch: it made none, or api_log_pattern has to say how it does")
    elif found:
        notes.add(shortened(log, reach, since))
    mask = Masker.of(environment)
    return {
        "read": bool(found and found.recognized),
        "container": name,
        "running": container["State"]["Running"],
        "service": docker.labels(container).get(docker.SERVICE_LABEL),
        "url": environment.get("LIVEKIT_URL"),
        "env": readings.names(container),
        **(found or Dispatches(since)).result(),
        "last_failure": mask.all(found.last_failure) if found else None,
        "reach": reach.result(),
    }


def followed(run: Reader, container: dict[str, Any], since: float, pattern: str | None) -> tuple[Dispatches | None, logs.Reach]:
    """The dispatches in a container's log, and from when on it tells of them."""
    fold, log = logs.folded(readings.log_of(run, container), lambda: Dispatches(since, pattern))
    return fold, log.reach(fold.first, time.time())


def shortened(what: str, reach: logs.Reach, since: float) -> str | None:
    """A sentence about a reading that does not reach back to the time looked at."""
    if reach.covers(since):
        return None
    begins = f"begins at {access_log.iso(reach.begins)}" if reach.begins is not None else "has a beginning that is not known"
    return f"{what} {begins}, and not at {access_log.iso(since)} or before" + (f": {reach.why}" if reach.why else "")


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


def proxy(options: Options, since: float, notes: Notes) -> dict[str, Any]:
    """The requests that reached the proxy."""
    unread = logs.Reach().result()
    empty = {"read": False, "path": options.access_log, "requests": 0, "by_status": {}, "by_request": {}, "last": None, "reach": unread}
    what = "the proxy's access log"
    site = Path(options.site)
    began = site.stat().st_mtime if options.site and site.exists() else None
    log = notes.attempt(what, lambda: access_log.AccessLog(options.access_log, since, options.access_log_pattern, began=began), None)
    if log is None:
        return empty
    notes.add(log.unread and f"{what}: {log.unread}")
    return log.result()


def state(host: Releases, record: Record | None, containers: list[dict[str, Any]] | None, since: float, notes: Notes) -> dict[str, Any]:
    """Release, drift, containers, and every worker of the host; where the release or the Engine cannot be read, what is left."""
    left: dict[str, Any] = {"release": record, "drift": [], "services": {}, "states": {}, "leftovers": [], "adopted": {}}
    nobody: dict[str, Any] = {"time": time.time(), "workers": [], "unread": []}
    found = (
        left if containers is None else notes.attempt("the release and its containers", lambda: {**release_state(host, containers)}, left)
    )
    seen = notes.attempt("the workers", lambda: readings.everywhere(host.run, found=containers, since=since), nobody)
    for what in seen["unread"]:
        if containers is not None or not what.startswith("containers"):  # that the Engine does not answer is said already
            notes.add(f"the search for workers could not read {what}")
    for one in seen["workers"]:
        notes.add(one["unread"] and f"worker {one['container']}: {one['unread']}")
        reach = logs.Reach(**one["reach"])
        if not one["unread"] and (reach.why or one["release"] == (record or {}).get("id")):
            notes.add(shortened(f"the log of {one['container']}", reach, since))
    return {**found, "workers": claimed(seen, found["adopted"])["workers"], "time": seen["time"]}


def release_files(host: Releases, record: Record | None, notes: Notes) -> dict[str, Any]:
    """The standby gate, and what the files of the serving release say now."""
    if not record or record.get("adopted"):
        return {"gate": None, "written": {}}
    directory, project = str(host.directory(record["id"])), records.compose_project(host.app, record["id"])
    says: dict[str, dict[str, str | None]] = {}
    return {
        "gate": notes.attempt("the standby gate", lambda: host.gate(record["id"]), None),
        "written": notes.attempt(
            "what the release's files say now",
            lambda: written(host.run, directory, [f"{directory}/compose.yml"], project=project),
            says,
        ),
    }


def gather(host: Releases, options: Options) -> dict[str, Any]:
    """All evidence of a host."""
    notes = Notes()
    record = notes.attempt("the release record", host.known_current, None)
    since, until = window(record, options.since, options.max_seconds)
    containers = notes.attempt("the containers", lambda: docker.containers(host.run), None)
    reading = state(host, record, containers, since, notes)
    chosen = api_container(containers or [], reading["services"] if record else None, reading["workers"], options.agent_name)
    return {
        **reading,
        **release_files(host, record, notes),
        "since": since,
        "until": until,
        "projects": projects(host.run, containers or [], reading["workers"], host.home, notes),
        "proxy": proxy(options, since, notes),
        "api": api(host.run, chosen, since, options.api_log_pattern, notes),
        "unread": notes.sentences,
    }
