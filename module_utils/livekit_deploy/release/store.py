# SPDX-License-Identifier: Apache-2.0
"""The releases of one application on a host: their directories, records and gates, and the link to the serving one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from ..common.files import read_text, write_atomically
from ..machine.command import Reader
from . import records
from .content import Content, env_values, file_drift, kept_content
from .errors import ReleaseError
from .proxy import drop_empty
from .records import Record


class Releases:
    """The releases of one application on this host.

    ``root`` is the directory of the application (``/opt/<app>``), ``upstream`` the include file of the proxy that names
    the serving API, ``run`` runs an argument list (see ``command.Run``).
    """

    def __init__(self, run: Reader, app: str, root: str, upstream: str) -> None:
        self.run = run
        self.app = app
        self.root = Path(root)
        self.home = self.root / "releases"
        self.link = self.root / "current"
        self.history = self.root / "history.jsonl"
        self.upstream = Path(upstream)

    def directory(self, release_id: str) -> Path:
        return self.home / release_id

    def record(self, release_id: str) -> Record | None:
        return records.read_record(self.directory(release_id))

    def save(self, record: Record, **changes: Any) -> Record:
        record = cast(Record, {**record, **changes})
        text = json.dumps(record, indent=2, sort_keys=True) + "\n"
        write_atomically(self.directory(record["id"]) / "release.json", text)
        return record

    def records(self) -> list[Record]:
        """All recorded releases, oldest first; the id starts with the time of its making."""
        if not self.home.is_dir():
            return []
        names = sorted(p.name for p in self.home.iterdir() if records.ID_PATTERN.fullmatch(p.name))
        return [found for name in names if (found := self.record(name))]

    def current(self) -> Record | None:
        return self.record(self.link.readlink().name) if self.link.is_symlink() else None

    def is_linked(self, release_id: str) -> bool:
        """Whether ``current`` points to a release, whatever is of its record."""
        return self.link.is_symlink() and self.link.readlink().name == release_id

    def known_current(self) -> Record | None:
        """As ``current``, where a release that serves and whose record cannot be read is not taken for none."""
        path = self.link / "release.json"
        if (found := self.current()) is None and path.is_file():
            raise ReleaseError(
                f"found: {path} is no record of a release, expected that of the one that serves. Run deploy.yml, which "
                "makes it anew from what runs"
            )
        return found

    def point_to(self, release_id: str | None) -> None:
        """Make ``current`` the link to a release, atomically; None removes it."""
        if release_id is None:
            self.link.unlink(missing_ok=True)
            return
        partial = self.root / ".current.partial"
        partial.unlink(missing_ok=True)
        partial.symlink_to(f"releases/{release_id}")
        partial.replace(self.link)

    def set_gate(self, release_id: str, text: str) -> None:
        gate = self.directory(release_id) / "gate"
        gate.mkdir(mode=0o755, exist_ok=True)
        # The worker is no root in its container: it may read this, and nothing else of the release.
        gate.chmod(0o755)
        write_atomically(gate / "state", text, 0o644)

    def gate(self, release_id: str) -> str | None:
        text = read_text(self.directory(release_id) / "gate/state")
        return text.strip() if text else None

    def environments(self) -> list[dict[str, str]]:
        """What the releases of this application give to their services: no text that leaves the host may show a secret
        of it."""
        return [values for path in self.home.glob("*/*.env") if (values := environment_in(path))]

    def content(self, release_id: str) -> Content:
        """What a kept release was made from."""
        record = self.record(release_id) or {}
        texts = {name: read_text(self.directory(release_id) / name) for name in record.get("files", {})}
        if drift := file_drift(record, texts):
            found = f"{release_id}: {'; '.join(drift)}"
            raise ReleaseError(f"found: {found}, expected the files as they were deployed. Choose another release")
        return kept_content(record, {name: text or "" for name, text in texts.items()})

    def stage(self, record: Record, files: dict[str, str]) -> bool:
        """Write a release's directory with its gate closed; True if anything was written."""
        directory = self.directory(record["id"])
        present = self.record(record["id"])
        hashes = {name: records.sha256(text) for name, text in files.items()}
        on_disk = {name: read_text(directory / name) for name in files}
        if present and present.get("files") == hashes and not file_drift(present, on_disk):
            return False
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        # Before any secret: what a killed run has left is known by its record.
        self.save(record, state="staged", files=hashes, staged_at=records.now())
        try:
            for name, text in files.items():
                write_atomically(directory / name, text)
            self.set_gate(record["id"], records.GATE_CLOSED if records.waits_behind_gate(record) else records.GATE_OPEN)
        except OSError:
            self.remove(record["id"])
            raise
        return True

    def remove(self, release_id: str) -> None:
        """Remove a release's directory and what we wrote into it, its record last; a file of somebody else's stays and
        keeps the directory.

        Its containers go first: what is left of them is known by the directory."""
        directory = self.directory(release_id)
        for path in own_paths(directory, self.record(release_id) or {}):
            path.unlink(missing_ok=True)
        drop_empty([directory / "gate", directory])


def own_paths(directory: Path, record: Record) -> list[Path]:
    """What we wrote into a release's directory, the record last."""
    patterns = (*record.get("files", {}), *records.OWN_FILES)
    found = [path for pattern in patterns for path in sorted(directory.glob(pattern))]
    return [path for path in dict.fromkeys(found) if path.is_symlink() or not path.is_dir()]


def environment_in(path: Path) -> dict[str, str]:
    """The variables in a release's file; none where it cannot be read."""
    try:
        return env_values(read_text(path) or "")
    except (OSError, ValueError):
        return {}
