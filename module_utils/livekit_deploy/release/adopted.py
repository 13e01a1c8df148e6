# SPDX-License-Identifier: Apache-2.0
"""A hand-made compose project that was adopted as a release: its containers, starting them again, what becomes of
them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..common.waiting import wait_until
from ..machine import docker, web
from ..worker.types import WorkerReading
from . import records
from .records import Container, HostInfo, Record

API, AGENT = records.SERVICES
REACHED_FROM_THE_HOST = ("", "0.0.0.0", "127.0.0.1", "::")  # noqa: S104  nothing is bound here
ANSWER_SECONDS, ASK_SECONDS = 60.0, 2.0


def known(record: Record | None) -> list[str]:
    """The one container to look at for the worker of an adopted project, whatever else that has; none for a release of
    ours."""
    return [record["adopted"]["worker"]] if record and record.get("adopted") else []


def parts(record: Record, found: Sequence[Container]) -> dict[str, Container]:
    """Worker and API of an adopted project: all that is stopped of it. A database or a LiveKit server may be used by
    others."""
    return {name: container for name, container in members(record, found).items() if name in records.SERVICES}


def members(record: Record, found: Sequence[Container]) -> dict[str, Container]:
    """The containers of an adopted project: worker and API under the names that a release has for them, the others
    under their own, as the Engine writes them (``/name``), so that none is taken for one of the two."""
    adopted = record["adopted"]
    parts = {adopted["worker"]: AGENT, adopted["api"] or "": API}
    mine = [one for one in found if docker.labels(one).get(docker.PROJECT_LABEL) == adopted["project"]]
    return {parts.get(docker.name(container), str(container["Name"])): container for container in mine}


def why_not_startable(record: Record, found: Sequence[Container], serving: Record) -> str:
    """Why an adopted project cannot be started beside the release that serves; empty when it can."""
    mine, adopted = members(record, found), record["adopted"]
    what = f"{record['id']} is the adopted compose project {adopted['project']}"
    names = {docker.name(container) for container in mine.values()}
    gone = [name for name in adopted["containers"] if name not in names]
    if gone:
        return f"{what}, whose containers are gone ({', '.join(gone)})"
    if record["state"] in ("draining", "abandoned") and mine[AGENT]["State"]["Running"]:
        wait = "wait until its calls have ended, then run it again"
        return f"the worker of {record['id']} was told to stop and still has calls ({wait})"
    if serving["api_port"] in adopted["ports"]:
        return (
            f"{what}, which publishes port {serving['api_port']}, where the API of the serving release listens (run "
            "deploy.yml with -e force_release=true, which takes the other port of agent_api_ports, then run it again)"
        )
    return ""


def always(record: Record, found: Sequence[Container]) -> dict[str, str]:
    """The restart policies to note: stopped under ``always`` a container comes back when Docker starts (Engine 26.1,
    measured)."""
    mine = parts(record, found).values()
    changed = {docker.name(c): "always" for c in mine if docker.restart_policy(c) == "always"}
    return {**record["adopted"]["policies"], **changed}


def to_start(record: Record, found: Sequence[Container], service: str) -> list[Container]:
    """The containers of a step that starts one part of a release: before the worker what else was stopped, by an
    earlier version."""
    mine = members(record, found)
    stopped = record["adopted"]["containers"]
    others = [c for part, c in mine.items() if part not in records.SERVICES and docker.name(c) in stopped]
    # In the order in which they were made: compose makes first what others depend on.
    others.sort(key=lambda container: str(container.get("Created")))
    return [*(others if service == AGENT else []), *([mine[service]] if service in mine else [])]


def answers(port: int | None, seconds: float = ANSWER_SECONDS) -> bool:
    """Wait until something speaks HTTP there, whatever it says: of a hand-made API no health check is known."""
    return port is not None and bool(
        wait_until(lambda: web.ask("127.0.0.1", port, "/", ASK_SECONDS).status, seconds, 0.3)
    )


def service_fates(record: Record, successor: str) -> list[str]:
    """What becomes of each service of an adopted project, a line each."""
    adopted = record["adopted"]
    parts = {adopted["worker"]: "the worker", adopted["api"]: "the API"}
    lines = [f"{name} ({parts.get(name)}): stopped when {successor} serves, and kept" for name in parts if name]
    return [*lines, *(f"{name} ({state}): left as it is" for name, state in (adopted.get("others") or {}).items())]


def claimed(reading: HostInfo, adopted: Mapping[str, str] | None) -> HostInfo:
    """A reading in which the workers of adopted projects are of their releases; ``adopted`` maps a container to the
    release's id."""
    releases = adopted or {}
    workers: list[WorkerReading] = [
        {**one, "release": one.get("release") or releases[name]} if (name := one.get("container")) in releases else one
        for one in reading.get("workers") or []
    ]
    return {**reading, "workers": workers}


def published(container: Container) -> list[int]:
    """The TCP ports that a container publishes on 127.0.0.1 or on every address, the lowest first."""
    bindings = container.get("HostConfig", {}).get("PortBindings") or {}
    given = container.get("NetworkSettings", {}).get("Ports") or {}
    pairs = [pair for port, some in {**bindings, **given}.items() if port.endswith("/tcp") for pair in some or []]
    reached = [pair for pair in pairs if pair.get("HostIp", "") in REACHED_FROM_THE_HOST]
    return sorted({int(pair["HostPort"]) for pair in reached if pair.get("HostPort")})
