# SPDX-License-Identifier: Apache-2.0
"""What runs or lies on a host without a record: a release that runs gets one, the rest is cleared."""

from __future__ import annotations

from typing import Any

from ..machine import docker
from ..worker import readings
from . import adopted, containers, drain, records
from .store import Releases


def regain(releases: Releases, found: list[dict[str, Any]]) -> None:
    """Make a record for each release that runs and has none, so that its calls are waited for; clear what else of our form has none.

    A run that was killed leaves such, an old version under another compose project, or a hand that removed a record.
    """
    known = {record["id"] for record in releases.records()}
    for release_id in sorted({containers.release_id_of(releases, c) for c in found} - known - {""}):
        candidate = records.candidate_project(releases.app, release_id)
        mine = [
            c
            for c in found
            if containers.release_id_of(releases, c) == release_id and docker.labels(c).get(docker.PROJECT_LABEL) != candidate
        ]
        if any(c["State"]["Running"] for c in mine):
            releases.directory(release_id).mkdir(mode=0o750, parents=True, exist_ok=True)
            releases.save(regained_record(releases, release_id, found))
    sweep(releases, found)


def regained_record(releases: Releases, release_id: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    """The record of a release that runs, from its containers. Whether its worker was told to stop, its own log says; one that cannot
    be asked is taken for one that was, because a second signal would end its calls."""
    services = containers.services(releases, release_id, found)
    serves = releases.link.is_symlink() and releases.link.readlink().name == release_id
    by_id = {container["Id"]: container for container in found}
    ports = [port for one in services.values() for port in adopted.published(by_id[one["id"]])]
    names = [name for one in services.values() if (name := one["env"].get("LIVEKIT_AGENT_NAME"))]
    record = {
        "state": "serving" if serves else "abandoned",
        "agent_name": next(iter(names), ""),
        "api_port": ports[0] if ports and records.API in services else None,
        "images": {name: one["image"] for name, one in services.items()},
        "services": [name for name in records.SERVICES if name in services],
    }
    agent = services.get(readings.WORKER_SERVICE)
    told = not serves and agent is not None and agent["running"] and was_told(releases, by_id[agent["id"]])
    return records.record_of_unknown(releases.app, release_id, {**record, **(drain.stop_noted_now() if told else {})})


def was_told(releases: Releases, agent: dict[str, Any]) -> bool:
    """Whether a worker was told to stop, or may have been."""
    try:
        found = readings.readings(releases.run, found=[agent])["workers"]
    except docker.EngineError:
        return True
    return not found or not found[0]["worker_id"] or bool(found[0]["draining"])


def sweep(releases: Releases, found: list[dict[str, Any]]) -> None:
    """Clear what is of our own form and has no record: containers, networks, files with secrets."""
    known = {record["id"] for record in releases.records()}
    docker.clear(
        releases.run,
        [c for c in found if (one := containers.release_id_of(releases, c)) and one not in known],
        lambda project: bool(one := records.id_in_project(releases.app, project)) and one not in known,
    )
    for path in sorted(releases.home.glob("*")):
        if records.ID_PATTERN.fullmatch(path.name) and path.name not in known:
            releases.remove(path.name)
    for path in releases.root.glob(".*.partial"):
        path.unlink(missing_ok=True)
