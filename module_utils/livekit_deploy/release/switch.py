# SPDX-License-Identifier: Apache-2.0
"""Which release serves: the switch, the way back, and what a switch that was killed has left."""

from __future__ import annotations

from ..common.files import read_text, write_atomically
from ..machine import docker, nginx
from . import containers, proxy, records
from .errors import ReleaseError
from .records import Record
from .store import Releases


def serve(releases: Releases, release_id: str) -> bool:
    """Switch to a release that runs: its gate opens, the proxy follows, the old gate closes. Never are both closed.

    `current` decides which of two serves: killed before it is moved the old one does, afterwards the new one (see
    ``recover``).
    """
    new, old = releases.record(release_id), releases.current()
    if not new:
        raise ReleaseError(f"found no release {release_id} in {releases.home}, expected it staged. Run deploy.yml")
    if old and old["id"] == release_id and new["state"] == "serving":
        return False
    previous = new.get("previous") or (old["id"] if old and old["id"] != release_id else None)
    new = releases.save(new, state="switching", previous=previous)
    releases.set_gate(release_id, records.GATE_OPEN)
    try:
        point_proxy(releases, new["api_port"])
    except ReleaseError:
        close_gate(releases, new)
        raise
    releases.point_to(release_id)
    settle(releases, new, old)
    return True


def settle(releases: Releases, new: Record, old: Record | None) -> None:
    """Record the release that `current` points to as serving, and the one before as draining.

    Under another agent name the old gate stays open: the old worker is the only one that serves the old name until it
    drains.
    """
    services = containers.services(releases, new["id"], docker.containers(releases.run))
    hashes = {name: found["config_hash"] for name, found in services.items()}
    releases.save(new, state="serving", served_at=new.get("served_at") or records.now(), config_hashes=hashes)
    if old and old["id"] != new["id"]:
        close_beside(releases, old, new)
        releases.save(old, state="draining")


def close_beside(releases: Releases, leaving: Record, serving: Record | None) -> None:
    """Close the gate of a release, if another of the same name serves; else its worker takes jobs until it drains."""
    if serving and serving["agent_name"] == leaving["agent_name"]:
        close_gate(releases, leaving)


def close_gate(releases: Releases, record: Record) -> None:
    """With several LiveKit nodes no gate is closed: alone on its node a closed one would take requests and lose
    them."""
    if records.is_gated(record) and records.is_gated(releases.current() or record):
        releases.set_gate(record["id"], records.GATE_CLOSED)


def previous_release(releases: Releases, record: Record) -> Record | None:
    """Return the release that served before another, if there was one and it is kept."""
    previous = record.get("previous")
    return releases.record(previous) if previous else None


def can_go_back(releases: Releases, failed: Record) -> bool:
    """Whether the release before still runs and is not being stopped; without one before, nothing serves afterwards."""
    before = previous_release(releases, failed)
    if not before:
        return True
    if before.get("retiring_since"):
        return False
    try:
        services = containers.services(releases, before["id"], docker.containers(releases.run))
    except docker.EngineError:
        return True  # it ran a moment ago, and the other one failed
    running = {name for name, found in services.items() if found["running"]}
    return running >= set(records.record_services(before))


def switch_back(releases: Releases, failed: Record) -> None:
    """The same switch the other way; without a release before it nothing serves afterwards."""
    before = previous_release(releases, failed)
    failed = releases.save(failed, state="switching")
    if before:
        releases.set_gate(before["id"], records.GATE_OPEN)
    point_proxy(releases, before["api_port"] if before else None)
    releases.point_to(before["id"] if before else None)
    if before:
        releases.save(before, state="serving")
    close_beside(releases, failed, before)
    releases.save(failed, state="abandoned")


def recover(releases: Releases) -> list[str]:
    """Mend what a run left that was killed in the middle of a switch: the release that `current` points to serves, any
    other is to drain. Return the others."""
    current = releases.current()
    halfway = left_halfway(releases, current)
    unsettled = current if current and current["state"] != "serving" else None
    if halfway or unsettled:
        if current:
            releases.set_gate(current["id"], records.GATE_OPEN)
        point_proxy(releases, current["api_port"] if current else None)
        if unsettled:
            settle(releases, unsettled, None)
    for record in halfway:
        close_beside(releases, record, current)
        releases.save(record, state="abandoned")
    return [record["id"] for record in halfway]


def left_halfway(releases: Releases, current: Record | None) -> list[Record]:
    """Return the releases that say they serve, or are about to, and do not."""
    others = [record for record in releases.records() if not current or record["id"] != current["id"]]
    return [record for record in others if record["state"] in ("switching", "serving")]


def is_without_proxy(releases: Releases, port: int | None) -> bool:
    """Whether no API is to be reached and no proxy waits for one: the host has only workers."""
    return port is None and not releases.upstream.exists()


def point_proxy(releases: Releases, port: int | None) -> None:
    """Point the proxy at an API port (None: at nothing); on a refused configuration the file is put back as it was.

    It is reloaded in any case: a run that was killed before its reload leaves the file written and the old port in
    force.
    """
    if is_without_proxy(releases, port):
        return
    before = read_text(releases.upstream)
    write_atomically(releases.upstream, proxy.upstream_text(releases.app, port), 0o644)
    refused = proxy.reload_proxy(releases.run)
    if refused:
        still = None
        if before is not None:
            write_atomically(releases.upstream, before, 0o644)
            still = proxy.test_proxy(releases.run)
            proxy.reload_proxy(releases.run)
        raise ReleaseError(nginx.refused(refused, still, str(releases.upstream)))
