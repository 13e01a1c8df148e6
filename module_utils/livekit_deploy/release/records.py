"""A release as files and as a record: names, content, drift. No I/O but reading the files it is asked about."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ..common.files import read_text
from ..common.text import parsed_object
from ..worker.readings import INSTANCE_VARIABLE, NAME_VARIABLES, WORKER_SERVICE

STAMP = "%Y%m%dT%H%M%SZ"
ID_PATTERN = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
SERVICES = ("fastapi", "agent-worker")
API = "fastapi"
# What a release serves, if not what the inventory says: a rollback.
SHARED_NAME, RELEASE = "shared_name", "release"
# How many ids of earlier workers a release's record keeps: their containers are gone, and the server's log still has them.
EARLIER_IDS = 100
GATE_OPEN, GATE_CLOSED = "open\n", "closed\n"
# What a content has in the place of the id, the compose project and the API's port, which differ between two releases of one content.
MARKS = {"id": "@release_id@", "project": "@project@", "api_port": "@api_port@"}


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


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def env_line(name: str, value: str) -> str:
    """One line of a compose env file that reaches the container byte for byte.

    Between single quotes compose takes everything as it is; a value with a quote in it needs double quotes, where backslash,
    quote and dollar are escaped (Compose 2.26, measured).
    """
    if "'" not in value and "\r" not in value and not value.endswith("\\"):
        return f"{name}='{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$").replace("\n", "\\n").replace("\r", "\\r")
    return f'{name}="{escaped}"'


def env_file(values: dict[str, str]) -> str:
    return "".join(env_line(name, values[name]) + "\n" for name in sorted(values))


ENV_LINE = re.compile(r"""(?m)^(?P<name>[^=\n]+)=(?:'(?P<plain>[^']*)'|"(?P<escaped>(?:[^"\\]|\\.)*)")\n""")
ESCAPES = {"\\n": "\n", "\\r": "\r", "$$": "$"}


def env_values(text: str) -> dict[str, str]:
    """What ``env_file`` was made from."""
    values = {}
    for found in ENV_LINE.finditer(text):
        escaped = found["escaped"]
        values[found["name"]] = found["plain"] if escaped is None else re.sub(r"\\.|\$\$", lambda m: ESCAPES.get(m[0], m[0][1:]), escaped)
    return values


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


def regained(app: str, release_id: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record for a release that runs and has none: enough to let it finish its calls.

    ``found`` has its ``state``, ``agent_name``, ``api_port``, ``images`` and ``services``. Nothing is known of its gate.
    """
    nothing = {"hash": "", "files": {}, "hook": False, "gated": False, "previous": None, "rolled_back": None}
    return {"id": release_id, "app": app, **nothing, **found}


def are_texts(found: Any) -> bool:
    return isinstance(found, dict) and all(isinstance(value, str) for value in found.values())


# --- content ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Content:
    """What a release is made of: the text of ``compose.yml`` with marks, and the environment of each service, secrets included."""

    compose: str
    env: Mapping[str, Mapping[str, str]] = field(repr=False)

    @property
    def hash(self) -> str:
        return sha256(json.dumps([self.compose, {name: dict(values) for name, values in self.env.items()}], sort_keys=True))

    @property
    def agent_name(self) -> str:
        return self.env["agent-worker"].get("LIVEKIT_AGENT_NAME", "")

    def named(self, agent_name: str) -> Content:
        """The same under another agent name, in both services."""
        names = dict.fromkeys(NAME_VARIABLES, agent_name)
        return Content(self.compose, {service: {**values, **names} for service, values in self.env.items()})

    def files(self, where: Mapping[str, Any], instance: str) -> dict[str, str]:
        """The files of a release: ``where`` has its ``id``, ``project`` and ``api_port``."""
        files = {"compose.yml": marked(self.compose, {mark: str(where[key]) for key, mark in MARKS.items()})}
        for service, values in self.env.items():
            files[f"{service}.env"] = env_file({**values, INSTANCE_VARIABLE: instance})
        return files


def marked(text: str, replacements: Mapping[str, str]) -> str:
    for old, new in replacements.items():
        text = text.replace(old, new)
    return text


def content_of(
    compose: str, env: Mapping[str, Mapping[str, Any]], secret_env: Mapping[str, Mapping[str, Any]], services: Sequence[str] = SERVICES
) -> Content:
    """A content as a role gives it, of the services that it has."""
    merged = {name: {**env.get(name, {}), **secret_env.get(name, {})} for name in services}
    return Content(compose, {name: {key: str(value) for key, value in values.items()} for name, values in merged.items()})


def content_of_files(record: Mapping[str, Any], texts: Mapping[str, str]) -> Content:
    """The content that a release's files were made from: how a release is made of an earlier one."""
    own = {project(record["app"], record["id"]): MARKS["project"], str(record["id"]): MARKS["id"]}
    compose = marked(texts["compose.yml"], {**own, f"127.0.0.1:{record['api_port']}:": f"127.0.0.1:{MARKS['api_port']}:"})
    env = {service: env_values(texts[f"{service}.env"]) for service in services_of(record)}
    return Content(compose, {service: {k: v for k, v in values.items() if k != INSTANCE_VARIABLE} for service, values in env.items()})


# --- what a run is to do ---------------------------------------------------------------------------------------------


def plan(
    current: Mapping[str, Any] | None,
    drift: Sequence[str],
    content: Content,
    stamp: str,
    ports: Sequence[int],
    app: str,
    force: bool = False,
) -> dict[str, Any]:
    """Which release a host gets, and why; ``changed`` is false where the serving one has this content and matches its record."""
    digest = content.hash
    release_id = f"{stamp}-{digest[:8]}"
    if current and release_id == current["id"]:  # the same again in one run: the directory of the serving one is not written over
        release_id = f"{second_after(stamp)}-{digest[:8]}"
    why = reasons(current, drift, digest, force)
    port = free_port(current, ports) if API in content.env else None
    if current and not why:
        release_id, port = current["id"], current["api_port"]
    return {
        "changed": bool(why),
        "reasons": why,
        "id": release_id,
        "project": project(app, release_id),
        "api_port": port,
        "hash": digest,
        "agent_name": content.agent_name,
        "services": list(content.env),
        "agent_name_before": current["agent_name"] if current else None,
        "previous": current["id"] if current else None,
    }


def second_after(stamp: str) -> str:
    return (datetime.strptime(stamp, STAMP).replace(tzinfo=timezone.utc) + timedelta(seconds=1)).strftime(STAMP)


def reasons(current: Mapping[str, Any] | None, drift: Sequence[str], digest: str, force: bool) -> list[str]:
    if not current:
        return ["nothing serves yet"]
    found = [] if current["hash"] == digest else ["another content"]
    return [*found, *drift, *(["forced"] if force else [])]


def free_port(current: Mapping[str, Any] | None, ports: Sequence[int]) -> int | None:
    """The port that the serving release leaves free; an adopted project may publish several. None where there is none."""
    taken = [current["api_port"], *(current.get("adopted") or {}).get("ports", [])] if current else []
    return next((port for port in ports if port not in taken), None)


def choices(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """The releases that a host can be rolled back to, newest first, a line each."""
    return [f"{r['id']} ({r['agent_name']}, served from {r['served_at']})" for r in reversed(records)]


# --- drift -----------------------------------------------------------------------------------------------------------


def file_drift(record: dict[str, Any], texts: dict[str, str | None]) -> list[str]:
    """What differs between the recorded files and those on disk; ``texts`` maps a file name to its text, None where it is gone."""
    drift = []
    for name, recorded in sorted(record.get("files", {}).items()):
        text = texts.get(name)
        if text is None:
            drift.append(f"{name} is missing")
        elif sha256(text) != recorded:
            drift.append(f"{name} was edited by hand")
    return drift


def container_drift(record: dict[str, Any], running: dict[str, dict[str, Any]]) -> list[str]:
    """What differs between the recorded containers and those that run; ``running`` maps a service to image and config hash."""
    drift = []
    for service in services_of(record):
        found = running.get(service)
        if not found or not found["running"]:
            drift.append(f"{service} is not running")
            continue
        recorded = (record.get("config_hashes") or {}).get(service)
        if recorded and found["config_hash"] != recorded:
            drift.append(f"the {service} container was made from another configuration")
    return drift


def ids_in_order(readings: Sequence[Mapping[str, Any]], states: Mapping[str, str]) -> list[str]:
    """The ids that the release's record kept, then those in the logs of the workers that are there."""
    kept = [worker_id for reading in readings for worker_id in (reading.get("release") or {}).get("earlier_worker_ids") or []]
    workers = [worker for reading in readings for worker in reading["workers"] if (worker.get("release") or "") in states]
    logged = [i for worker in workers for i in [*worker.get("worker_ids", []), worker.get("worker_id")] if i]
    return list(dict.fromkeys([*kept, *logged]))


def earlier_worker_ids(reading: Mapping[str, Any]) -> list[str]:
    """What a new release's record keeps of the workers before it, oldest first."""
    return ids_in_order([reading], reading.get("states") or {})[-EARLIER_IDS:]
