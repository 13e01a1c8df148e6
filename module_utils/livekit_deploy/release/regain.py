# SPDX-License-Identifier: Apache-2.0
"""What runs or lies on a host without a record: a release that runs gets one, the rest is cleared."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from ..machine import docker
from ..worker import readings
from . import adopted, containers, drain, records
from .records import Container, Record, Service
from .store import Releases


def regain(releases: Releases, found: list[Container]) -> None:
    """Make a record for each release that runs and has none, so that its calls are waited for; clear what else of our
    form has none.

    A run that was killed leaves such, an old version under another compose project, or a hand that removed a record.
    """
    known = {record["id"] for record in releases.records()}
    for release_id in sorted({containers.release_id_from(releases, c) for c in found} - known - {""}):
        if any(c["State"]["Running"] for c in containers.own(releases, release_id, found)):
            releases.directory(release_id).mkdir(mode=0o750, parents=True, exist_ok=True)
            releases.save(regained_record(releases, release_id, found))
    clear_unknown(releases, found)


def regained_record(releases: Releases, release_id: str, found: list[Container]) -> Record:
    """Return the record of a release that runs, from its containers. Whether its worker was told to stop, its own log
    says. A worker that cannot be asked counts as told, because a second signal would end its calls."""
    services = containers.services(releases, release_id, found)
    mine = {name: next(c for c in found if c["Id"] == one["id"]) for name, one in services.items()}
    record: Record = {
        **records.record_of_unknown(releases.app, release_id),
        "state": "serving" if releases.is_linked(release_id) else "abandoned",
        "agent_name": agent_name_in(services.values()),
        "api_port": first_port(mine.values()) if records.API in services else None,
        "images": {name: one["image"] for name, one in services.items()},
        "services": [name for name in records.SERVICES if name in services],
    }
    if record["state"] == "abandoned" and was_told(releases, mine.get(readings.WORKER_SERVICE)):
        return cast(Record, {**record, **drain.stop_noted_now()})
    return record


def agent_name_in(services: Iterable[Service]) -> str:
    return next((name for one in services if (name := one["env"].get("LIVEKIT_AGENT_NAME"))), "")


def first_port(found: Iterable[Container]) -> int | None:
    """The first port that one of a release's containers publishes."""
    return next((port for one in found for port in adopted.published(one)), None)


def was_told(releases: Releases, agent: Container | None) -> bool:
    """Whether a worker that runs was told to stop, or may have been."""
    if not (agent and agent["State"]["Running"]):
        return False
    try:
        found = readings.readings(releases.run, found=[agent])["workers"]
    except docker.EngineError:
        return True
    return not found or not found[0]["worker_id"] or bool(found[0]["draining"])


def clear_unknown(releases: Releases, found: list[Container]) -> None:
    """Clear what is of our own form and has no record: containers, networks, files with secrets."""
    known = {record["id"] for record in releases.records()}
    docker.clear(
        releases.run,
        [c for c in found if (one := containers.release_id_from(releases, c)) and one not in known],
        lambda project: bool(one := records.id_in_project(releases.app, project)) and one not in known,
    )
    for path in sorted(releases.home.glob("*")):
        if records.ID_PATTERN.fullmatch(path.name) and path.name not in known:
            releases.remove(path.name)
    for path in releases.root.glob(".*.partial"):
        path.unlink(missing_ok=True)
