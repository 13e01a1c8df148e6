"""Readings of the workers on one host: container, environment, log and the worker's own HTTP answer, joined."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterable
from typing import Any, NamedTuple

from ansible.module_utils.livekit_deploy import engine, worker_log

NAME_VARIABLES = ("AGENT_NAME", "LIVEKIT_AGENT_NAME")
INSTANCE_VARIABLE = "LIVEKIT_DEPLOY_INSTANCE"
WORKER_SERVICE = "agent-worker"
# The worker's own server (livekit-agents 1.8.9, measured); it leaves out fields that are zero.
HTTP_PORT = 8081


def own_answer(container: dict[str, Any], timeout: float = 1.0) -> dict[str, Any]:
    """``GET /worker`` of a running worker: ``worker_load``, ``active_jobs``, ``sdk_version``; empty when it does not answer."""
    address = engine.address(container)
    if not address:
        return {}
    try:
        with urllib.request.urlopen(f"http://{address}:{HTTP_PORT}/worker", timeout=timeout) as answer:
            found = json.load(answer)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def names(container: dict[str, Any]) -> dict[str, str | None]:
    """The agent name variables a container was created with; None where one is missing."""
    environment = engine.environment(container)
    return {name: environment.get(name) for name in NAME_VARIABLES}


def selected(requests: list[dict[str, Any]], job_ids: Iterable[str], rooms: Iterable[str]) -> list[dict[str, Any]]:
    jobs, wanted = set(job_ids), set(rooms)
    return [r for r in requests if r["job_id"] in jobs or r["room"] in wanted]


def reading(
    run: engine.Run, container: dict[str, Any], job_ids: Iterable[str] = (), rooms: Iterable[str] = (), patterns: Iterable[str] = ()
) -> dict[str, Any]:
    """Everything known of one worker container; ``requests`` only those with one of the job ids or rooms."""
    labels, state = engine.labels(container), container["State"]
    lines = engine.log_lines(run, container["Id"])
    log = worker_log.read(lines, patterns, {*job_ids, *rooms})
    answer = own_answer(container) if state["Running"] else {}
    instance = engine.environment(container).get(INSTANCE_VARIABLE)
    return {
        **log,
        "container": container["Name"].lstrip("/"),
        "container_id": container["Id"][:12],
        "project": labels.get(engine.PROJECT_LABEL),
        "instance": instance,
        "release": instance.rpartition("/")[2] if instance else None,
        "image": container["Config"]["Image"],
        "running": state["Running"],
        "exit_code": None if state["Running"] else state["ExitCode"],
        "started_at": state["StartedAt"],
        "restarts": container.get("RestartCount", 0),
        "env": names(container),
        "connected": bool(log["connected"] and state["Running"]),
        "load": float(answer["worker_load"]) if "worker_load" in answer else (0.0 if answer else None),
        "active_jobs": int(answer.get("active_jobs", 0)) if answer else None,
        "sdk_version": answer.get("sdk_version") or log["sdk_version"],
        "requests_total": len(log["requests"]),
        "requests": selected(log["requests"], job_ids, rooms),
        "last_lines": [worker_log.short(line) for line in lines[-5:]],
    }


def may_be_worker(container: dict[str, Any]) -> bool:
    """The compose service ``agent-worker``, or a container of somebody else's that carries an agent name for LiveKit."""
    environment = engine.environment(container)
    by_name = "LIVEKIT_AGENT_NAME" in environment and INSTANCE_VARIABLE not in environment
    return engine.labels(container).get(engine.SERVICE_LABEL) == WORKER_SERVICE or by_name


def is_worker(container: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether a container is a worker, with its reading: an API carries the name too, but never starts a worker."""
    ours = engine.labels(container).get(engine.SERVICE_LABEL) == WORKER_SERVICE
    return ours or bool(found["worker_id"] or found["sdk_version"])


def readings(
    run: engine.Run,
    project: str | None = None,
    job_ids: Iterable[str] = (),
    rooms: Iterable[str] = (),
    patterns: Iterable[str] = (),
    found: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """A reading of each worker container of the host, or of one compose project; ``time`` is the host's clock (epoch seconds).

    ``found`` saves a listing where the caller has one. A container that is removed meanwhile is left out.
    """
    if found is None:
        found = engine.containers(run, f"{engine.PROJECT_LABEL}={project}" if project else None)
    workers = []
    for container in filter(may_be_worker, found):
        try:
            one = reading(run, container, job_ids, rooms, patterns)
            workers += [one] if is_worker(container, one) else []
        except engine.EngineError as error:
            if "No such container" not in str(error):
                raise
    return {"time": time.time(), "workers": workers}


class Trouble(NamedTuple):
    """Why a worker is not registered as wanted; ``final`` when waiting cannot help."""

    text: str
    final: bool


def registration_trouble(workers: list[dict[str, Any]], expected: str) -> Trouble | None:
    """What keeps the one worker of a new release from being registered under ``expected``; None when it is."""
    if len(workers) != 1:
        return Trouble(f"found {len(workers)} worker containers in the project, expected 1", final=False)
    found = workers[0]
    last = " | ".join(found["last_lines"])
    if not found["running"] or found["restarts"]:
        # Exit status 0 is no success: a worker ends with it when its key is refused or its retries are used up.
        ended = f"found: the worker ended (exit status {found['exit_code']}, restarts {found['restarts']})"
        return Trouble(f"{ended}, expected it to run and register as {expected}. Its last lines: {last}", final=True)
    if not found["worker_id"]:
        return Trouble(f"found: the worker runs but has not registered, expected it as {expected}. Its last lines: {last}", final=False)
    if found["agent_name"] != expected:
        remedy = "Remove the name from the worker's code (it beats LIVEKIT_AGENT_NAME), or use livekit-agents 1.5.7 or newer"
        return Trouble(f"found: the worker registered as {found['agent_name']!r}, expected {expected!r}. {remedy}", final=True)
    if not found["connected"]:
        return Trouble(f"found: the worker lost its connection after it registered. Its last lines: {last}", final=False)
    return None
