# SPDX-License-Identifier: Apache-2.0
"""What was told to stop since the host started, as it is kept in /run."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from ..common import ids, text
from ..common.files import open_regular, write_atomically
from ..machine.cgroups import Unit
from .types import EvictionRecord

RUNTIME = Path("/run")
RECORD_BYTES = 64 * 1024


class DrainError(Exception):
    """The worker is not told to stop; the text says found, expected and what to do."""


class Records:
    """What was told to stop since the host started: a file each in /run, in directories that are root's alone."""

    def __init__(self, runtime: Path = RUNTIME) -> None:
        self.directory = runtime / "livekit-agent-deploy" / "evictions"

    def path(self, worker_id: str) -> Path:
        if not ids.worker(worker_id):
            raise DrainError(f"found worker id {worker_id!r}, expected one as LiveKit makes it")
        return self.directory / f"{worker_id}.json"

    def write(self, worker_id: str, record: EvictionRecord) -> None:
        path = self.path(worker_id)
        for directory in (self.directory.parent, self.directory):
            directory.mkdir(mode=0o700, exist_ok=True)
            if (trouble := not_own(directory)) is not None:
                raise DrainError(
                    f"found: {directory} {trouble}, expected a directory that only root can write. "
                    "Remove it and run again"
                )
        write_atomically(path, json.dumps(record))

    def read(self, worker_id: str) -> EvictionRecord | None:
        """The record that has this id, as the requested one or as another of the same worker."""
        return next(
            (record for record in self.all() if worker_id in [record["worker_id"], *record["worker_ids"]]), None
        )

    def all(self) -> list[EvictionRecord]:
        """Every record; a file of another form is none."""
        try:
            if not_own(self.directory) is not None:
                return []
            paths = sorted(path for path in self.directory.iterdir() if path.suffix == ".json")
        except OSError:
            return []
        return [record for path in paths if (record := eviction_record(path))]

    def sweep(self, unit: Unit) -> None:
        """Note that nothing of ours is left of a unit."""
        for record in self.all():
            by = record["supervisor"]
            if (by["name"], by["user"]) == unit and not record.get("swept"):
                self.write(record["worker_id"], {**record, "swept": True})


def not_own(directory: Path) -> str | None:
    """Why a directory is not this user's alone to write; none where it is."""
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return "is no directory"
    if found.st_uid != os.geteuid():
        return f"belongs to user {found.st_uid}"
    return "can be written by others" if found.st_mode & 0o022 else None


def eviction_record(path: Path) -> EvictionRecord | None:
    try:
        with open_regular(path) as file:
            found = text.parsed_object(file.read(RECORD_BYTES))
    except OSError:
        return None
    return cast(EvictionRecord, found) if is_eviction_record(found) else None


def is_eviction_record(found: Mapping[str, object]) -> bool:
    """Whether a record has the form in which ``remember`` writes it."""
    texts = all(isinstance(found.get(key), str) for key in ("container", "start_command", "identity"))
    names, policy = found.get("worker_ids"), found.get("policy")
    known = ids.worker(found.get("worker_id")) and isinstance(names, list) and all(map(ids.worker, names))
    return bool(texts and known and is_supervisor(found.get("supervisor"))) and (
        policy is None or has(policy, "before", "after")
    )


def is_supervisor(found: Any) -> bool:
    return (
        has(found, "kind", "policy", "enabled", "user")
        and isinstance(found.get("name"), str)
        and is_user(found["user"])
    )


def has(found: Any, *keys: str) -> bool:
    return isinstance(found, dict) and found.keys() >= set(keys)


def is_user(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool) and value >= 0)
