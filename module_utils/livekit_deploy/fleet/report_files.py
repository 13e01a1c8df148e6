# SPDX-License-Identifier: Apache-2.0
"""Reports as files: each is replaced whole, and only the user can read it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..common.files import write_atomically

LOCK_SECONDS = 10.0  # a run holds it for milliseconds


def write_report(path: Path, text: str) -> None:
    """Replace a report. Two runs of one playbook do not write over each other's half: each has a file of its own."""
    make_directory(path.parent)
    readable = text.encode(errors="replace").decode()
    write_atomically(path, readable, partial=path.with_name(f".{path.name}.{os.getpid()}"))


def make_directory(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def reports_locked(directory: Path) -> Iterator[None]:
    """Let one process at a time change what several runs write; the lock ends with the process that holds it."""
    make_directory(directory)
    handle, deadline = os.open(directory, os.O_RDONLY), time.monotonic() + LOCK_SECONDS
    try:
        while not is_locked(handle):
            if time.monotonic() > deadline:
                raise TimeoutError(f"another run has held the lock of {directory} for {LOCK_SECONDS:.0f} s")
            time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def is_locked(handle: int) -> bool:
    """Try to lock a directory; tell whether that went well."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def path_from_here(path: Path) -> str:
    """Return the path as seen from the working directory, which may be gone."""
    try:
        near = os.path.relpath(path)
    except OSError:
        return str(path)
    return str(path) if near.startswith("..") else near


def not_written(path: Path, why: str) -> str:
    """Say that a report could not be written."""
    expected = "a directory that this user can write, with room. Set LIVEKIT_DEPLOY_REPORTS to one"
    stands = "What the run did on the hosts stands."
    return f"The report {path_from_here(path)} is not written. Found: {why}. Expected: {expected}. {stands}"
