# SPDX-License-Identifier: Apache-2.0
"""What a host's API was given, and what its log says it dispatched."""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from typing import Any

from ..common.text import Masker
from ..machine import docker, logs
from ..machine.command import Reader
from ..machine.docker import Container
from ..release import records
from ..worker import log_events, readings
from ..worker.types import WorkerReading
from .notes import Notes, reach_note
from .types import ApiEvidence, ApiFacts, Dispatch, DispatchCounts

DISPATCHES_KEPT = 200
NAMES_KEPT = 200


def container_agent_name(container: Container) -> str | None:
    """The agent name in a container's environment; AGENT_NAME counts only where there is LiveKit."""
    environment = docker.environment(container)
    override = environment.get("LIVEKIT_AGENT_NAME_OVERRIDE") or environment.get("LIVEKIT_AGENT_NAME")
    return override or (environment.get("AGENT_NAME") if "LIVEKIT_URL" in environment else None)


def is_ours_or_worker(container: Container) -> bool:
    """A container of a deployment of this kind, maybe of another application, or one that is a worker by its service's
    name.
    """
    deployed = readings.INSTANCE_VARIABLE in docker.environment(container)
    return deployed or docker.labels(container).get(docker.SERVICE_LABEL) == readings.WORKER_SERVICE


def api_container(
    found: list[Container], serving: dict[str, Any] | None, workers: list[WorkerReading], agent_name: str
) -> Container | None:
    """The API: the serving release's own, or without a release a hand-made container that has an agent name and is no
    worker.

    ``serving`` are the containers of the release by service, None where there is no release.
    """
    if serving is not None:
        wanted = serving.get(records.API, {}).get("id")
        return next((c for c in found if c["Id"] == wanted), None)
    known = {w.get("container") for w in workers}
    others = [c for c in found if c["Name"].lstrip("/") not in known and container_agent_name(c)]
    others = [c for c in others if not is_ours_or_worker(c)]
    return min(
        others,
        key=lambda c: (not c["State"]["Running"], container_agent_name(c) != agent_name, c["Name"]),
        default=None,
    )


class Dispatches:
    """The dispatches in an API's log: the reference application's JSON lines, or whatever a pattern finds."""

    def __init__(self, since: float, pattern: str | None = None) -> None:
        self.since = since
        self.pattern = re.compile(pattern) if pattern else None
        self.first: float | None = None
        self.recognized = False
        self.names: Counter[str] = Counter()
        self.created: deque[Dispatch] = deque(maxlen=DISPATCHES_KEPT)
        self.failed = 0
        self.last_failure: str | None = None

    def fields(self, text: str) -> dict[str, Any] | None:
        """What a line says of a dispatch; one with ``error`` failed."""
        if self.pattern:
            match = self.pattern.search(text)
            return match.groupdict() if match else None
        event = (log_events.json_object(text) if '"dispatch_' in text else None) or {}
        if event.get("event") == "dispatch_failed":
            return {**event, "error": event.get("message") or event.get("error") or "no reason given"}
        return {**event, "error": None} if event.get("event") == "dispatch_created" else None

    def take(self, line: str) -> None:
        """One line of ``docker logs --timestamps``."""
        stamp, text = logs.stamped(line)
        fields = self.fields(text)
        if not fields and self.first is not None:
            return
        when = logs.stamp_epoch(stamp) if stamp else None
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
        room, dispatch_id, agent_name = (short_field(fields.get(key)) for key in ("room", "dispatch_id", "agent_name"))
        self.created.append({"room": room, "dispatch_id": dispatch_id, "agent_name": agent_name, "time": stamp})

    def result(self) -> DispatchCounts:
        return {
            "agent_names": dict(self.names),
            "dispatches": list(self.created),
            "failed": self.failed,
            "last_failure": self.last_failure,
        }


def short_field(value: Any) -> str | None:
    return None if value is None else str(value)[:200]


def api_evidence(
    run: Reader, container: Container | None, since: float, pattern: str | None, notes: Notes
) -> ApiEvidence:
    """What the API's container was given, and what its log says it dispatched."""
    if container is None:
        notes.add("no container of an API was found, so its dispatches are not known")
        about: ApiFacts = {"read": False, "container": None, "running": False, "service": None, "url": None, "env": {}}
        return {**about, **Dispatches(since).result(), "reach": logs.Reach().result()}
    name, environment = container["Name"].lstrip("/"), docker.environment(container)
    log = f"the log of the API (container {name})"
    nothing: tuple[Dispatches | None, logs.Reach] = (None, logs.Reach())
    found, reach = notes.attempt(log, lambda: followed(run, container, since, pattern), nothing)
    if found and not found.recognized:
        notes.add(f"no line of {log} tells of a dispatch: it made none, or api_log_pattern has to say how it does")
    elif found:
        notes.add(reach_note(log, reach, since))
    mask = Masker.of(environment)
    return {
        "read": bool(found and found.recognized),
        "container": name,
        "running": container["State"]["Running"],
        "service": docker.labels(container).get(docker.SERVICE_LABEL),
        "url": environment.get("LIVEKIT_URL"),
        "env": readings.name_variables(container),
        **(found or Dispatches(since)).result(),
        "last_failure": mask.all(found.last_failure) if found else None,
        "reach": reach.result(),
    }


def followed(
    run: Reader, container: Container, since: float, pattern: str | None
) -> tuple[Dispatches | None, logs.Reach]:
    """The dispatches in a container's log, and from when on it tells of them."""
    fold, log = logs.folded(readings.container_log(run, container), lambda: Dispatches(since, pattern))
    return fold, log.reach(fold.first, time.time())
