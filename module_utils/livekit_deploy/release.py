"""A release as files and as a record: names, content, drift. No I/O but reading the files it is asked about."""

from __future__ import annotations

import hashlib
import re
from typing import Any

ID_PATTERN = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
SERVICES = ("fastapi", "agent-worker")
GATE_OPEN, GATE_CLOSED = "open\n", "closed\n"


def project(app: str, release_id: str) -> str:
    """The compose project of a release. Compose allows no capitals, so the id's ``T`` and ``Z`` are written small."""
    return f"{app}-{release_id}".lower()


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def env_line(name: str, value: str) -> str:
    """One line of a compose env file that reaches the container byte for byte.

    Between single quotes compose takes everything as it is; a value with a quote in it needs double quotes, where backslash,
    quote and dollar are escaped (Compose 2.26, measured).
    """
    if "'" not in value and not value.endswith("\\"):
        return f"{name}='{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$").replace("\n", "\\n").replace("\r", "\\r")
    return f'{name}="{escaped}"'


def env_file(values: dict[str, str]) -> str:
    return "".join(env_line(name, values[name]) + "\n" for name in sorted(values))


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
    for service in SERVICES:
        found = running.get(service)
        if not found or not found["running"]:
            drift.append(f"{service} is not running")
            continue
        recorded = (record.get("config_hashes") or {}).get(service)
        if recorded and found["config_hash"] != recorded:
            drift.append(f"the {service} container was made from another configuration")
    return drift


def pinned(image: str, repo_digests: list[str]) -> str | None:
    """The digest reference that belongs to an image's own repository: an image can be known under several."""
    name = image.rpartition("/")[2]
    repository = image[: len(image) - len(name)] + name.partition(":")[0]
    return next((d for d in repo_digests if d.partition("@")[0] == repository), None)
