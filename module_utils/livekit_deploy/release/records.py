# SPDX-License-Identifier: Apache-2.0
"""The record of a release: its form, ids, states and names. No I/O but reading the files it is asked about."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, cast

from ..common import times
from ..common.files import read_text
from ..common.text import parsed_object
from ..worker.readings import NAME_VARIABLES, WORKER_SERVICE
from ..worker.types import WorkerReading

STAMP = "%Y%m%dT%H%M%SZ"
ID_PATTERN = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
SERVICES = ("fastapi", "agent-worker")
API = "fastapi"
# What a release serves, if not what the inventory says: a rollback.
SHARED_NAME, RELEASE = "shared_name", "release"
# How many ids of earlier workers a release's record keeps: their containers are gone, and the server's log still has
# them.
EARLIER_IDS = 100
GATE_OPEN, GATE_CLOSED = "open\n", "closed\n"


def compose_project(app: str, release_id: str) -> str:
    """The compose project of a release. Compose allows no capitals, so the id's ``T`` and ``Z`` are written small."""
    return f"{app}-{release_id}".lower()


CANDIDATE_FILE = "candidate.yml"
# What we write into a release's directory.
OWN_FILES = ("compose.yml", "*.env", CANDIDATE_FILE, "gate/state", ".*.partial", "gate/.*.partial", "release.json")
PROJECT_PATTERN = re.compile(r"(?P<stamp>\d{8}t\d{6}z)-(?P<digits>[0-9a-f]{8})(?P<candidate>-candidate)?")


def id_in_project(app: str, name: str) -> str:
    """Return the id of the release that a compose project is of, or its worker under a candidate name; empty where it
    is none of ours."""
    start = f"{app}-".lower()
    found = PROJECT_PATTERN.fullmatch(name[len(start) :]) if name.startswith(start) else None
    return f"{found['stamp'].upper()}-{found['digits']}" if found else ""


def candidate_project(app: str, release_id: str) -> str:
    return f"{compose_project(app, release_id)}-candidate"


def candidate_override(agent_name: str) -> str:
    """What a compose file is given on top for a worker under its candidate name: without the gate, which is closed or
    not usable."""
    environment = {**dict.fromkeys(NAME_VARIABLES, agent_name), "LIVEKIT_DEPLOY_GATE": "/nonexistent"}
    return json.dumps({"services": {WORKER_SERVICE: {"environment": environment}}})


def is_gated(record: Record) -> bool:
    """Whether the gate of a release may be closed."""
    return bool(record.get("gated", record.get("hook", True)))


def waits_behind_gate(record: Record) -> bool:
    """Whether a new release waits behind its gate until the switch; a worker that was a candidate first takes calls
    from its start on."""
    return is_gated(record) and not record.get("candidate")


def record_project(record: Record) -> str:
    """The compose project of a recorded release: its own, or the hand-made one that was adopted as it."""
    return str((record.get("adopted") or {}).get("project") or compose_project(record["app"], record["id"]))


def record_services(record: Record) -> tuple[str, ...]:
    """The parts of a release: one of ours, and an adopted one, may have no API."""
    return tuple(record.get("services") or SERVICES)


def now() -> str:
    return times.stamp(time.time())


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# --- records ---------------------------------------------------------------------------------------------------------

# What the Engine says of a container (`docker inspect`), as far as it goes: it is its own to define.
Container = dict[str, Any]


class Adopted(TypedDict, total=False):
    """What a record has of a hand-made compose project that was adopted."""

    project: str  # the compose project
    directory: str | None  # where its files are
    worker: str  # the container of its worker, by name
    api: str | None  # the container of its API; None where that is not known
    signal: str  # what its worker drains on
    containers: list[str]  # what is stopped, and runs again when the project is brought back; once this was all of it
    others: dict[str, str]  # its other containers with their states, which are left as they are
    ports: list[int]  # the ports that it publishes on the host
    policies: dict[str, str]  # the restart policies that were changed, by container


class RolledBack(TypedDict):
    """How a release is not what the inventory says, on purpose."""

    kind: str  # SHARED_NAME or RELEASE
    at: str  # when
    to: str  # the release that it was made from
    from_agent_name: str | None  # the name that served before


class Record(TypedDict, total=False):
    """``release.json``. Former versions wrote fewer keys; id, app, state and agent_name are always there."""

    id: str  # time of its making, and the first digits of the hash
    app: str
    state: str  # staged, switching, serving, draining, retired or abandoned
    agent_name: str  # the name that its worker registers under
    api_port: int | None  # the port of its API on 127.0.0.1; None without one
    hash: str  # of its content
    images: dict[str, str]  # by service
    services: list[str]  # its services; a release may have no API
    files: dict[str, str]  # its files with the hash of each
    config_hashes: dict[str, str | None]  # Compose's hash of each container that served
    volumes: list[str]  # named volumes that it takes from the host
    hook: bool  # the worker asks the probe hook
    gated: bool  # its gate may be closed
    candidate: str | None  # the name under which its worker is proven first
    previous: str | None  # the release that served before it
    rolled_back: RolledBack | None
    earlier_worker_ids: list[str]  # ids of workers before it, oldest first
    staged_at: str  # when it was written
    served_at: str  # when it served first
    retiring_since: str | None  # when it began to end
    drain_started_at: str | None  # when its worker was told to stop, for people
    drain_started: dict[str, Any] | None  # the same on a clock that nobody sets (``times.moment``)
    adopted: Adopted  # only of an adopted project
    unmanaged: bool  # no release: a worker that was found (see ``unmanaged``); never written
    by: str  # who made it


class Service(TypedDict):
    """A container of a release."""

    id: str
    container: str  # its name
    running: bool
    image: str
    config_hash: str | None  # Compose's, of what it was made from
    stop_seconds: int | None  # how long Docker lets it end
    address: str | None  # in its network
    env: dict[str, str | None]  # the agent name variables


class HostState(TypedDict, total=False):
    """What a host's records and containers say. Of a host that was not read, nothing is there."""

    release: Record | None  # the one that serves
    states: dict[str, str]  # of each recorded release, by id
    services: dict[str, Service]  # containers of the serving release
    drift: list[str]  # what differs between its record and the host, a sentence each
    leftovers: list[str]  # ids of other releases that still run or were left unfinished
    adopted: dict[str, str]  # the worker's container of each adopted project, with the id of its release


class HostInfo(HostState, total=False):
    """The same with the readings of the workers."""

    workers: list[WorkerReading]
    time: float  # the host's clock, in seconds since the epoch


# What a run changes. Its keys are no Python names: ``from`` which release ``to`` which, and the agent names that go
# with them.
Change = TypedDict(
    "Change",
    {"from": "str | None", "to": str, "agent_name_from": "str | None", "agent_name_to": str},
    total=False,
)

TEXTS = ("id", "app", "state", "agent_name")
MAYBE_TEXT = (str, type(None))
ADOPTED: dict[str, Any] = {
    "project": str,
    "directory": MAYBE_TEXT,
    "worker": str,
    "api": MAYBE_TEXT,
    "containers": list,
    "ports": list,
}


def read_record(directory: Path) -> Record | None:
    """Return the record of the release that has this directory; None where none of our form is there.

    A directory that looks like one of ours may be of another application's, and a hand may have changed the file.
    """
    if not ID_PATTERN.fullmatch(directory.name):
        return None
    found = parsed_object(read_text(directory / "release.json") or "")
    return cast(Record, found) if found.get("id") == directory.name and has_record_form(found) else None


def records_in(parent: Path) -> Iterator[tuple[Path, Record]]:
    """Yield the records of all releases of all applications, each with its application's directory; ``parent`` holds
    these."""
    for path in sorted(parent.glob("*/releases/*/release.json")):
        if (found := read_record(path.parent)) and found["app"] == path.parents[2].name:
            yield path.parents[2], found


def recorded_images(parent: Path) -> Iterator[str]:
    """The images of all recorded releases of all applications; ``parent`` is the directory that holds the
    applications."""
    for _path, record in records_in(parent):
        images = record.get("images")
        yield from (name for name in images.values() if isinstance(name, str)) if isinstance(images, dict) else ()


def has_record_form(found: Mapping[str, Any]) -> bool:
    """Whether an object is of the form of a release's record, as far as others than its writer go by it."""
    return (
        all(isinstance(found.get(key), str) for key in TEXTS)
        and isinstance(found.get("api_port"), (int, type(None)))
        and are_texts(found.get("files") or {})
        and are_texts(found.get("images") or {})
        and isinstance(found.get("services") or [], list)
        and (not found.get("adopted") or is_adopted_part(found["adopted"]))
    )


def is_adopted_part(found: Any) -> bool:
    return isinstance(found, dict) and all(isinstance(found.get(key), kind) for key, kind in ADOPTED.items())


def record_of_unknown(app: str, release_id: str) -> Record:
    """Return what the record of a release that runs and has none begins with. Nothing is known of its gate."""
    nothing: Record = {"hash": "", "files": {}, "hook": False, "gated": False, "previous": None, "rolled_back": None}
    return {**nothing, "id": release_id, "app": app}


def are_texts(found: Any) -> bool:
    return isinstance(found, dict) and all(isinstance(value, str) for value in found.values())


def ids_in_order(found: Sequence[HostInfo], states: Mapping[str, str]) -> list[str]:
    """The ids that the release's record kept, then those in the logs of the workers that are there."""
    kept = [one for reading in found for one in (reading.get("release") or {}).get("earlier_worker_ids") or []]
    workers = [one for reading in found for one in reading["workers"] if (one.get("release") or "") in states]
    logged = [one for worker in workers for one in (*worker.get("worker_ids", []), worker.get("worker_id")) if one]
    return list(dict.fromkeys([*kept, *logged]))


def earlier_worker_ids(reading: HostInfo) -> list[str]:
    """What a new release's record keeps of the workers before it, oldest first."""
    return ids_in_order([reading], reading.get("states") or {})[-EARLIER_IDS:]
