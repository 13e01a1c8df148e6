# SPDX-License-Identifier: Apache-2.0
"""Files that are replaced whole: a reader, or a crash, sees the old text or the new one."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file whole, with exactly this mode."""
    partial = path.with_name(f".{path.name}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w", encoding="utf-8", newline="") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Nobody else who asks so changes the directory's files meanwhile; it is made where it is missing."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_text(path: Path) -> str | None:
    """The text of a file, None where there is none."""
    try:
        with path.open(encoding="utf-8", newline="") as file:  # as it is: a value may hold a carriage return
            return file.read()
    except FileNotFoundError:
        return None
