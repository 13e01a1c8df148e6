# SPDX-License-Identifier: Apache-2.0
"""The record of a release: its form, ids, states and names. No I/O but reading the files it is asked about."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..common import times
from ..common.files import read_text
from ..common.text import parsed_object
from ..worker.readings import NAME_VARIABLES, WORKER_SERVICE

STAMP = "%Y%m%dT%H%M%SZ"
ID_PATTERN = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
SERVICES = ("fastapi", "agent-worker")
API = "fastapi"
# What a release serves, if not what the inventory says: a rollback.
SHARED_NAME, RELEASE = "shared_name", "release"
# How many ids of earlier workers a release's record keeps: their containers are gone, and the server's log still has them.
EARLIER_IDS = 100
GATE_OPEN, GATE_CLOSED = "open\n", "closed\n"


def project(app: str, release_id: str) -> str:
    """The compose project of a release. Compose allows no capitals, so the id's ``T`` and ``Z`` are written small."""
    return f"{app}-{release_id}".lower()


CANDIDATE_FILE = "candidate.yml"
# What we write into a release's directory.
OWN_FILES = ("compose.yml", "*.env", CANDIDATE_FILE, "gate/state", ".*.partial", "gate/.*.partial", "release.json")
PROJECT_PATTERN = re.compile(r"(?P<stamp>\d{8}t\d{6}z)-(?P<digits>[0-9a-f]{8})(?P<candidate>-candidate)?")


def id_in_project(app: str, name: str) -> str:
    """Return the id of the release that a compose project is of, or its worker under a candidate name; empty where it is none of ours."""
    start = f"{app}-".lower()
    found = PROJECT_PATTERN.fullmatch(name[len(start) :]) if name.startswith(start) else None
    return f"{found['stamp'].upper()}-{found['digits']}" if found else ""


def candidate_project(app: str, release_id: str) -> str:
    return f"{project(app, release_id)}-candidate"


def candidate_override(agent_name: str) -> str:
    """What a compose file is given on top for a worker under its candidate name: without the gate, which is closed or not usable."""
    environment = {**dict.fromkeys(NAME_VARIABLES, agent_name), "LIVEKIT_DEPLOY_GATE": "/nonexistent"}
    return json.dumps({"services": {WORKER_SERVICE: {"environment": environment}}})


def is_gated(record: Mapping[str, Any]) -> bool:
    """Whether the gate of a release may be closed."""
    return bool(record.get("gated", record.get("hook", True)))


def is_standby(record: Mapping[str, Any]) -> bool:
    """Whether a new release waits behind its gate until the switch; a worker that was a candidate first takes calls from its start on."""
    return is_gated(record) and not record.get("candidate")


def project_of(record: Mapping[str, Any]) -> str:
    """The compose project of a recorded release: its own, or the hand-made one that was adopted as it."""
    return str((record.get("adopted") or {}).get("project") or project(record["app"], record["id"]))


def services_of(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The parts of a release: one of ours, and an adopted one, may have no API."""
    return tuple(record.get("services") or SERVICES)


def now() -> str:
    return times.stamp(time.time())


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# --- records ---------------------------------------------------------------------------------------------------------

TEXTS = ("id", "app", "state", "agent_name")
MAYBE_TEXT = (str, type(None))
ADOPTED: dict[str, Any] = {"project": str, "directory": MAYBE_TEXT, "worker": str, "api": MAYBE_TEXT, "containers": list, "ports": list}


def record_in(directory: Path) -> dict[str, Any] | None:
    """Return the record of the release that has this directory; None where none of our form is there.

    A directory that looks like one of ours may be of another application's, and a hand may have changed the file.
    """
    if not ID_PATTERN.fullmatch(directory.name):
        return None
    found = parsed_object(read_text(directory / "release.json") or "")
    return found if found.get("id") == directory.name and is_record(found) else None


def records_in(parent: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the records of all releases of all applications, each with its application's directory; ``parent`` holds these."""
    for path in sorted(parent.glob("*/releases/*/release.json")):
        if (found := record_in(path.parent)) and found["app"] == path.parents[2].name:
            yield path.parents[2], found


def recorded_images(parent: Path) -> Iterator[str]:
    """The images of all recorded releases of all applications; ``parent`` is the directory that holds the applications."""
    for _path, record in records_in(parent):
        images = record.get("images")
        yield from (name for name in images.values() if isinstance(name, str)) if isinstance(images, dict) else ()


def is_record(found: Mapping[str, Any]) -> bool:
    """Whether an object is of the form of a release's record, as far as others than its writer go by it."""
    adopted = found.get("adopted")
    return (
        all(isinstance(found.get(key), str) for key in TEXTS)
        and isinstance(found.get("api_port"), (int, type(None)))
        and are_texts(found.get("files") or {})
        and are_texts(found.get("images") or {})
        and isinstance(found.get("services") or [], list)
        and (not adopted or (isinstance(adopted, dict) and all(isinstance(adopted.get(key), kind) for key, kind in ADOPTED.items())))
    )


def record_of_unknown(app: str, release_id: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record for a release that runs and has none: enough to let it finish its calls.

    ``found`` has its ``state``, ``agent_name``, ``api_port``, ``images`` and ``services``. Nothing is known of its gate.
    """
    nothing = {"hash": "", "files": {}, "hook": False, "gated": False, "previous": None, "rolled_back": None}
    return {"id": release_id, "app": app, **nothing, **found}


def are_texts(found: Any) -> bool:
    return isinstance(found, dict) and all(isinstance(value, str) for value in found.values())


def ids_in_order(readings: Sequence[Mapping[str, Any]], states: Mapping[str, str]) -> list[str]:
    """The ids that the release's record kept, then those in the logs of the workers that are there."""
    kept = [worker_id for reading in readings for worker_id in (reading.get("release") or {}).get("earlier_worker_ids") or []]
    workers = [worker for reading in readings for worker in reading["workers"] if (worker.get("release") or "") in states]
    logged = [i for worker in workers for i in [*worker.get("worker_ids", []), worker.get("worker_id")] if i]
    return list(dict.fromkeys([*kept, *logged]))


def earlier_worker_ids(reading: Mapping[str, Any]) -> list[str]:
    """What a new release's record keeps of the workers before it, oldest first."""
    return ids_in_order([reading], reading.get("states") or {})[-EARLIER_IDS:]
