# SPDX-License-Identifier: Apache-2.0
"""How a release ends: its API answers its last request, its worker finishes its calls, its containers go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ..common import times
from ..common.text import cut, plain
from ..common.waiting import wait_until
from ..machine import docker
from ..machine.sockets import connected_to
from ..worker import own_answer
from . import containers, records, switch
from .lock import LockError
from .records import Container, Record, Service
from .store import Releases

LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Ending:
    """How releases are ended: how long each part may take, and what may be cut short."""

    # For calls, and for requests to an API where that is not said apart.
    wait_seconds: float
    # How long a worker serves on whose agent name no other release has.
    overlap_seconds: float = 0.0
    api_seconds: float | None = None
    # How many ended releases stay on the host.
    keep: int = 0
    # Stop an API that still answers.
    insist: bool = False


def drain_release(releases: Releases, release_id: str, ending: Ending) -> bool:
    """Stop the API when it has answered its last request, then let the worker finish its calls; True while one of them
    is busy after its time. A worker whose name nobody else of ours serves takes jobs until the API has stopped, and for
    the overlap. A worker of ours is killed only when its whole drain timeout has passed.

    One signal only: a second SIGTERM kills running calls at once (livekit-agents 1.8.9). No restart policy undoes a
    SIGTERM sent through Docker (Engine 26.1, measured).
    """
    record = releases.record(release_id) or {}
    services = containers.services(releases, release_id, docker.containers(releases.run))
    api, agent = services.get("fastapi"), services.get("agent-worker")
    record = noted_to_end(releases, record)
    answers = not stop_api(releases, record, api, ending)
    is_renamed = (releases.current() or {}).get("agent_name") != record.get("agent_name")
    if answers and is_renamed:
        return True
    if agent and agent["running"] and is_to_be_told(record, agent):
        record = tell_to_stop(releases, record, agent, ending.overlap_seconds if is_renamed else 0.0)

    def look() -> Service | None:
        return containers.services(releases, release_id, docker.containers(releases.run)).get("agent-worker")

    if outlasts(record, agent, look, ending.wait_seconds):
        return True
    if answers and not stop_api(releases, record, api, replace(ending, api_seconds=0.0)):
        return True
    containers.down(releases, release_id)
    return False


def noted_to_end(releases: Releases, record: Record) -> Record:
    """Note that a release is about to end, so that nobody goes back to it."""
    if record and not record.get("retiring_since"):
        record = releases.save(record, retiring_since=records.now())
    return containers.keep_stopped(releases, record) if record.get("adopted") else record


def is_to_be_told(record: Record, agent: Service) -> bool:
    """Whether a worker is to get its signal. A second one ends its calls, so one that was told gets none while it may
    have any."""
    return not (record.get("drain_started_at") and may_have_calls(agent))


def tell_to_stop(releases: Releases, record: Record, agent: Service, overlap_seconds: float) -> Record:
    """Send a worker its one signal, after the overlap."""
    if overlap_seconds:
        wait_until(lambda: False, overlap_seconds)
    switch.close_gate(releases, record)
    # Noted first: killed in between, the signal may have been sent, and a second one would kill running calls.
    record = releases.save(record, **stop_noted_now())
    signal = (record.get("adopted") or {}).get("signal", "TERM")
    docker.docker(releases.run, *["kill", "--signal", signal, agent["id"]])
    return record


def outlasts(record: Record, agent: Service | None, look: Callable[[], Service | None], wait_seconds: float) -> bool:
    """Wait until a worker has ended; True if it runs on and may. ``look`` reads it again."""
    if not (agent and agent["running"]):
        return False
    seen = wait_until(look, wait_seconds, LOOK_SECONDS, holds=lambda found: not (found and found["running"]))
    return bool(seen and seen["running"] and (record.get("adopted") or not is_overdue(record, seen)))


def stop_api(releases: Releases, record: Record, api: Service | None, ending: Ending) -> bool:
    """Stop an API that has no request left; True if none runs then. An API that still has one is not even told: after a
    SIGTERM its server may end its requests, and the proxy sends it no new one anyway."""
    if not (api and api["running"]):
        return True
    wait_seconds = ending.wait_seconds if ending.api_seconds is None else ending.api_seconds
    if not (wait_until(lambda: not connected_to(record.get("api_port")), wait_seconds) or ending.insist):
        return False
    docker.docker(releases.run, "stop", api["id"])
    return True


def may_have_calls(agent: Service) -> bool:
    """Whether a worker that was told to stop may still have calls: unless it says itself that it has none."""
    answer = own_answer.ask_worker((agent["address"], docker.WORKER_PORT)) if agent["address"] else {}
    return own_answer.active_jobs(answer) != 0


def clear_release(releases: Releases, release_id: str, ending: Ending) -> bool:
    """Stop and remove a release that was taken back; True while its worker is still busy. A release whose gate was
    never open has no calls, unless its worker does not ask the gate."""
    record = releases.record(release_id) or {}
    if is_quiet(releases, record):
        containers.down(releases, release_id)
    elif drain_release(releases, release_id, replace(ending, overlap_seconds=0.0)):
        releases.save(releases.record(release_id) or record, state="abandoned")
        return True
    if record.get("adopted"):
        releases.save(releases.record(release_id) or record, state="retired")
    else:
        releases.remove(release_id)
    return False


def is_quiet(releases: Releases, record: Record) -> bool:
    """Whether the worker of a release has never been asked for a call: its gate was closed. What is of another compose
    project may have been given another gate."""
    if record.get("state") != "staged" or not records.waits_behind_gate(record):
        return False
    mine = [c for c in docker.containers(releases.run) if containers.release_id_from(releases, c) == record["id"]]
    return not any(c["State"]["Running"] and containers.is_astray(releases, c) for c in mine)


def retire_all(releases: Releases, ending: Ending) -> dict[str, list[str]]:
    """Drain and stop every release but the serving one, newest first and all within one wait, and remove the oldest
    beyond ``keep``.

    A release that cannot be ended keeps none of the others: ``troubles`` says why, and the next run tries it again."""
    done: dict[str, list[str]] = {"draining": [], "retired": [], "removed": [], "troubles": []}
    found = docker.containers(releases.run)
    deadline = time.monotonic() + ending.wait_seconds
    for record in beside_the_serving(releases)[::-1]:
        within = replace(ending, wait_seconds=max(0.0, deadline - time.monotonic()))
        with noted(done["troubles"], f"release {record['id']} is not ended"):
            if became := retire_one(releases, record, found, within):
                done[became].append(record["id"])
    # The record of an adopted project is the way back to its containers: it stays as long as they do.
    old = [
        record["id"]
        for record in beside_the_serving(releases)
        if not (record.get("adopted") and containers.services(releases, record["id"], found))
    ]
    too_many = max(0, len(old) - ending.keep)
    for release_id in [one for one in old if one not in done["draining"]][:too_many]:
        with noted(done["troubles"], f"release {release_id} is not removed"):
            containers.down(releases, release_id)
            releases.remove(release_id)
            done["removed"].append(release_id)
    return done


def beside_the_serving(releases: Releases) -> list[Record]:
    """Return every release but the serving one, oldest first."""
    serving = releases.current()
    return [record for record in releases.records() if not serving or record["id"] != serving["id"]]


def retire_one(releases: Releases, record: Record, found: list[Container], ending: Ending) -> str:
    """End one release that does not serve; what became of it, empty where there was nothing to end."""
    if record["state"] in ("staged", "abandoned"):
        # Left by a run that was killed, or taken back while its worker had calls.
        busy = clear_release(releases, record["id"], ending)
        return "draining" if busy else "retired" if record.get("adopted") else "removed"
    if not containers.is_left(releases, record, found):
        return ""
    if drain_release(releases, record["id"], ending):
        return "draining"
    releases.save(releases.record(record["id"]) or record, state="retired")
    return "retired"


@contextmanager
def noted(troubles: list[str], what: str) -> Iterator[None]:
    """Go on after housekeeping that fails, whatever it meets: it takes back nothing that was proven. The sentence is
    what is told."""
    try:
        yield
    except LockError:
        raise
    except Exception as error:
        troubles.append(f"{what}: {cut(plain(str(error)), 300) or type(error).__name__}")


def stop_noted_now() -> dict[str, Any]:
    """When a worker is told to stop: for people, and on a clock that nobody sets."""
    return {"drain_started_at": records.now(), "drain_started": times.moment()}


def is_overdue(record: Record, service: Service) -> bool:
    """Whether a container has had its whole stop timeout since it was told to end; one without any may take as long as
    it likes.

    A clock that was set forward ends nobody's calls: what counts is the host's clock since its boot, and nothing has
    run longer."""
    told, seconds, here = times.epoch(record.get("drain_started_at")), service["stop_seconds"], times.moment()
    if told is None or seconds is None:
        return False
    since = times.seconds_since(record.get("drain_started"), here)
    # A record of an older version, or of another boot.
    passed = min(time.time() - told, here["seconds"]) if since is None else since
    return passed > float(seconds)


def trouble_notes(host: str, troubles: Sequence[str]) -> list[str]:
    """What a run tells of its housekeeping that failed."""
    return [f"{host}: {one}; the next run tries it again" for one in troubles]


def drain_notes(host: str, draining: Sequence[str]) -> list[str]:
    """What a run tells of the releases that it leaves behind the one that serves."""
    then = "playbooks/status.yml shows it, the next run clears it away"
    return [f"{host}: {one} still has calls, or requests to its API, and drains; {then}" for one in draining]
