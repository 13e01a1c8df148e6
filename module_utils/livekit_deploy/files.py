# SPDX-License-Identifier: Apache-2.0
"""Files that are replaced whole: a reader, or a crash, sees the old text or the new one."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace a file whole, with exactly this mode. No link is followed."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
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
        with open_regular(path) as file:
            return file.read().decode()  # as it is: a value may hold a carriage return
    except FileNotFoundError:
        return None


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file for reading; OSError for anything else. A pipe is not waited for, and a device not touched."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return os.fdopen(handle, "rb")
