# SPDX-License-Identifier: Apache-2.0
"""What serves on a host now: its record, what differs from it, its containers and the workers."""

from __future__ import annotations

from typing import Any, cast

from ..common.files import read_text
from ..machine import docker
from ..worker import readings, registration
from . import adopted, containers, content, proxy, records, switch
from .errors import ReleaseError
from .records import Container, HostInfo, HostState, Record, Service
from .store import Releases


def release_info(releases: Releases, **selection: Any) -> HostInfo:
    """Record, drift, containers, leftovers and worker readings, as the Engine tells them now."""
    found = docker.containers(releases.run)
    state = release_state(releases, found)
    reading = readings.readings(releases.run, found=found, known=state["adopted"], **selection)
    return {**state, **adopted.claimed(cast(HostInfo, reading), state["adopted"])}


def release_state(releases: Releases, found: list[Container]) -> HostState:
    """``release_info`` without the workers: what the record and a listing of the host's containers say."""
    record = releases.known_current()
    services = containers.services(releases, record["id"], found) if record else {}
    kept = releases.records()
    others = [one for one in kept if not record or one["id"] != record["id"]]
    return {
        "release": record,
        "states": {one["id"]: one["state"] for one in kept},
        "services": services,
        "drift": release_drift(releases, record, services) if record else [],
        "leftovers": [one["id"] for one in others if is_leftover(releases, one, found)],
        "adopted": {one["adopted"]["worker"]: one["id"] for one in kept if one.get("adopted")},
    }


def is_leftover(releases: Releases, record: Record, found: list[Container]) -> bool:
    return containers.is_left(releases, record, found) or record["state"] in ("staged", "switching")


def release_drift(releases: Releases, record: Record, services: dict[str, Service]) -> list[str]:
    directory, port = releases.directory(record["id"]), record["api_port"]
    drift = content.file_drift(record, {name: read_text(directory / name) for name in record.get("files", {})})
    drift += content.container_drift(record, services)
    if releases.gate(record["id"]) == "closed":
        drift.append("the standby gate is closed")
    text = proxy.upstream_text(releases.app, port)
    if not switch.is_without_proxy(releases, port) and read_text(releases.upstream) != text:
        drift.append(f"{releases.upstream} does not name this release's API")
    return drift


def refuse_unstable(releases: Releases, release_id: str, worker_id: str) -> None:
    """A worker that is not any more what was proven, because it ended or registered anew, is not switched to."""
    record: Record = releases.record(release_id) or {"app": releases.app, "id": release_id}
    project, known = records.record_project(record), adopted.known(record)
    found = readings.readings(releases.run, project=project, known=known)["workers"]
    if trouble := registration.registration_trouble(found, record.get("agent_name", "")):
        raise ReleaseError(trouble.text)
    if found[0]["worker_id"] != worker_id:
        raise ReleaseError(
            f"found: the worker registered anew as {found[0]['worker_id']} after it was proven as {worker_id}, "
            f"expected one that stays connected. Its last lines: {' | '.join(found[0]['last_lines'])}"
        )
