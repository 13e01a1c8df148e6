"""What a host shows of why its worker gets no jobs: what its files say now, its compose projects, what its API dispatched.

Nothing here raises for what it finds. What cannot be read becomes a sentence: evidence that is missing rules nothing out.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ansible.module_utils.livekit_deploy import access_log, adoption, engine, process, worker, worker_log
from ansible.module_utils.livekit_deploy.command import Run
from ansible.module_utils.livekit_deploy.host import Host, ReleaseError
from ansible.module_utils.livekit_deploy.release import API
from ansible.module_utils.livekit_deploy.text import Masker
from ansible.module_utils.livekit_deploy.times import epoch

T = TypeVar("T")
TROUBLE = (OSError, ValueError, LookupError, TypeError, AttributeError, re.error, engine.EngineError, ReleaseError)

ENV_FILES_LABEL = "com.docker.compose.project.environment_file"
# Compose 2.26 warns of them, and goes on with an empty text.
UNSET = re.compile(r'The \\?"(\w+)\\?" variable is not set')
VARIABLES = (*worker.NAME_VARIABLES, "LIVEKIT_URL")
DISPATCHES_KEPT = 200
API_LOG_LINES = 200_000
# A container logs its first words within so many seconds of its creation; a log that starts later has lost its beginning.
FIRST_WORDS_SECONDS = 60.0


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


def window(record: dict[str, Any] | None, since: float | None, max_seconds: float) -> Window:
    """From ``since``, or else from when the release began to serve but at most ``max_seconds`` back; until now."""
    until = time.time()
    if since is None:
        since = max(epoch((record or {}).get("served_at")) or 0.0, until - max_seconds)
    return Window(since, until)


# --- compose projects, and what their files say now ------------------------------------------------------------------


def written(run: Run, directory: str, files: Iterable[str], env_files: Iterable[str] = ()) -> dict[str, dict[str, str | None]]:
    """The variables each service of a compose project would get if it were created now, from compose files and env files.

    Neither compose's words nor any other variable are passed on: a broken env file is quoted in them, secrets and all.
    """
    options = [part for path in files for part in ("--file", path)] + [part for path in env_files for part in ("--env-file", path)]
    compose = ["docker", "compose", "--project-directory", directory, *options, "config", "--format", "json"]
    status, out, err = run([*reader_of(Path(directory)), *compose])
    if status != 0:
        raise engine.EngineError(f"`docker compose config` in {directory} ends with status {status}; run it there to see why")
    unset = sorted(set(UNSET.findall(err)))
    if unset:
        raise engine.EngineError(f"they use variables of the shell that started the project: {', '.join(unset)}")
    services: dict[str, Any] = json.loads(out).get("services") or {}
    return {name: variables(service.get("environment") or {}) for name, service in services.items()}


def reader_of(directory: Path) -> list[str]:
    """What a command is started with that reads a project of a user: as that user, because its files may name any other file as theirs."""
    try:
        found = directory.stat()
    except OSError:
        return []
    if found.st_mode & 0o002:
        raise engine.EngineError(f"{directory} can be written by everybody, so its files are not read as root")
    return process.as_user(found.st_uid) if found.st_uid != os.geteuid() else []


def variables(environment: dict[str, str | None]) -> dict[str, str | None]:
    # `config` writes a dollar twice, so that its output can be a compose file (Compose 2.26).
    return {name: value.replace("$$", "$") if (value := environment.get(name)) is not None else None for name in VARIABLES}


def agent_names(containers: Iterable[dict[str, Any]], workers: Iterable[dict[str, Any]]) -> list[str]:
    """The names that containers were given, and those their workers registered under."""
    given = (name_of(container) for container in containers)
    return sorted({name for name in [*given, *(w.get("agent_name") for w in workers)] if name})


def name_of(container: dict[str, Any]) -> str | None:
    """The agent name in a container's environment; AGENT_NAME counts only where there is LiveKit."""
    environment = engine.environment(container)
    override = environment.get("LIVEKIT_AGENT_NAME_OVERRIDE") or environment.get("LIVEKIT_AGENT_NAME")
    return override or (environment.get("AGENT_NAME") if "LIVEKIT_URL" in environment else None)


def projects(run: Run, found: list[dict[str, Any]], workers: list[dict[str, Any]], releases: Path, notes: Notes) -> list[dict[str, Any]]:
    """Every compose project with containers on the host; those of others that have a worker with what their files say."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for container in found:
        name = engine.labels(container).get(engine.PROJECT_LABEL)
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
        return next((found[wanted] for found in map(engine.labels, members) if found.get(wanted)), "")

    directory, files, env_files = label(engine.DIRECTORY_LABEL), label(engine.FILES_LABEL), label(ENV_FILES_LABEL)
    ours = bool(directory) and Path(directory).parent == releases
    says: dict[str, dict[str, str | None]] = {}
    if workers and not ours and directory:
        what = f"what the files of compose project {name} say now"
        says = notes.attempt(what, lambda: written(run, directory, split(files), split(env_files)), says)
    return {
        "name": name,
        "directory": directory,
        "services": sorted({engine.labels(container).get(engine.SERVICE_LABEL, "") for container in members} - {""}),
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
    deployed = worker.INSTANCE_VARIABLE in engine.environment(container)
    return deployed or engine.labels(container).get(engine.SERVICE_LABEL) == worker.WORKER_SERVICE


def api_container(
    found: list[dict[str, Any]], serving: dict[str, Any] | None, workers: list[dict[str, Any]], agent_name: str
) -> dict[str, Any] | None:
    """The API: the serving release's own, or without a release a hand-made container that has an agent name and is no worker.

    ``serving`` are the containers of the release by service, None where there is no release.
    """
    if serving is not None:
        wanted = serving.get(API, {}).get("id")
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
        self.created: list[dict[str, Any]] = []
        self.failed = 0
        self.last_failure: str | None = None

    def fields(self, text: str) -> dict[str, Any] | None:
        """What a line says of a dispatch; one with ``error`` failed."""
        if self.pattern:
            match = self.pattern.search(text)
            return match.groupdict() if match else None
        event = worker_log.event_of(text) or {}
        if event.get("event") == "dispatch_failed":
            return {**event, "error": event.get("message") or event.get("error") or "no reason given"}
        return {**event, "error": None} if event.get("event") == "dispatch_created" else None

    def take(self, line: str) -> None:
        """One line of ``docker logs --timestamps``."""
        stamp, _, text = line.partition(" ")
        when = epoch(stamp)
        self.first = self.first or when
        fields = self.fields(text)
        if not fields:
            return
        self.recognized = True
        if when is not None and when < self.since:
            return
        if fields.get("error"):
            self.failed += 1
            self.last_failure = str(fields["error"])[:300]
            return
        self.names[str(fields.get("agent_name") or "")] += 1
        self.created.append({**{key: fields.get(key) for key in ("room", "dispatch_id", "agent_name")}, "time": stamp})

    def unknown(self, name: str, created: float) -> str | None:
        """What the log of a container, made at a time, does not tell."""
        log = f"the log of the API (container {name})"
        if not self.recognized:
            return f"no line of {log} tells of a dispatch: it made none, or api_log_pattern has to say how it does"
        if created > self.since:
            return f"{log} begins with the container, at {access_log.iso(created)}"
        if self.first and self.first > max(self.since, created + FIRST_WORDS_SECONDS):
            return f"{log} reaches back to {access_log.iso(self.first)} only"
        return None

    def result(self) -> dict[str, Any]:
        return {
            "agent_names": dict(self.names),
            "dispatches": self.created[-DISPATCHES_KEPT:],
            "failed": self.failed,
            "last_failure": self.last_failure,
        }


def api(run: Run, container: dict[str, Any] | None, since: float, pattern: str | None, notes: Notes) -> dict[str, Any]:
    """What the API's container was given, and what its log says it dispatched."""
    if container is None:
        notes.add("no container of an API was found, so its dispatches are not known")
        nothing = Dispatches(since).result()
        return {"read": False, "container": None, "running": False, "service": None, "url": None, "env": {}, **nothing}
    name, environment = container["Name"].lstrip("/"), engine.environment(container)
    log = notes.attempt(f"the log of the API (container {name})", lambda: followed(run, container["Id"], since, pattern), None)
    if log and log.last_failure:
        log.last_failure = Masker.of(environment)(log.last_failure)
    if log:
        notes.add(log.unknown(name, epoch(container.get("Created")) or 0.0))
    return {
        "read": bool(log and log.recognized),
        "container": name,
        "running": container["State"]["Running"],
        "service": engine.labels(container).get(engine.SERVICE_LABEL),
        "url": environment.get("LIVEKIT_URL"),
        "env": worker.names(container),
        **(log or Dispatches(since)).result(),
    }


def followed(run: Run, container: str, since: float, pattern: str | None) -> Dispatches:
    """The dispatches in a container's log."""
    log = Dispatches(since, pattern)
    # Each stream is in order, both together are not.
    for line in sorted(engine.log_lines(run, container, API_LOG_LINES, timestamps=True)):
        log.take(line)
    return log


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
    empty = {"read": False, "path": options.access_log, "requests": 0, "by_status": {}, "by_request": {}, "last": None}
    what = "the proxy's access log"
    log = notes.attempt(what, lambda: access_log.AccessLog(options.access_log, since, options.access_log_pattern), None)
    if log is None:
        return empty
    notes.add(log.unread and f"{what}: {log.unread}")
    site = Path(options.site)
    began = site.stat().st_mtime if options.site and site.exists() else 0.0
    if not log.unread and not log.reached and began > since:
        notes.add(f"{what}: the site was written at {access_log.iso(began)}, requests before may have been logged elsewhere")
    return log.result()


def state(host: Host, record: dict[str, Any] | None, containers: list[dict[str, Any]] | None, since: float, notes: Notes) -> dict[str, Any]:
    """Release, drift, containers, and every worker of the host; where the release or the Engine cannot be read, what is left."""
    left: dict[str, Any] = {"release": record, "drift": [], "services": {}, "states": {}, "leftovers": [], "adopted": {}}
    nobody: dict[str, Any] = {"time": time.time(), "workers": [], "unread": []}
    found = left if containers is None else notes.attempt("the release and its containers", lambda: host.state(containers), left)
    seen = notes.attempt("the workers", lambda: worker.everywhere(host.run, found=containers, since=since), nobody)
    for what in seen["unread"]:
        if containers is not None or not what.startswith("containers"):  # that the Engine does not answer is said already
            notes.add(f"the search for workers could not read {what}")
    for one in seen["workers"]:
        notes.add(one["unread"] and f"worker {one['container']}: {one['unread']}")
    return {**found, "workers": adoption.claimed(seen, found["adopted"])["workers"], "time": seen["time"]}


def release_files(host: Host, record: dict[str, Any] | None, notes: Notes) -> dict[str, Any]:
    """The standby gate, and what the files of the serving release say now."""
    if not record or record.get("adopted"):
        return {"gate": None, "written": {}}
    directory = str(host.directory(record["id"]))
    says: dict[str, dict[str, str | None]] = {}
    return {
        "gate": notes.attempt("the standby gate", lambda: host.gate(record["id"]), None),
        "written": notes.attempt(
            "what the release's files say now", lambda: written(host.run, directory, [f"{directory}/compose.yml"]), says
        ),
    }


def gather(host: Host, options: Options) -> dict[str, Any]:
    """All evidence of a host."""
    notes = Notes()
    record = notes.attempt("the release record", host.current, None)
    since, until = window(record, options.since, options.max_seconds)
    containers = notes.attempt("the containers", lambda: engine.containers(host.run), None)
    reading = state(host, record, containers, since, notes)
    chosen = api_container(containers or [], reading["services"] if record else None, reading["workers"], options.agent_name)
    return {
        **reading,
        **release_files(host, record, notes),
        "since": since,
        "until": until,
        "projects": projects(host.run, containers or [], reading["workers"], host.releases, notes),
        "proxy": proxy(options, since, notes),
        "api": api(host.run, chosen, since, options.api_log_pattern, notes),
        "unread": notes.sentences,
    }
