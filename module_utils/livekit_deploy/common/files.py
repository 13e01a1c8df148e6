# SPDX-License-Identifier: Apache-2.0
"""Files that are replaced whole: a reader, or a crash, sees the old text or the new one."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

FILE_BYTES = 32 * 1024 * 1024
NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.ELOOP)


def write_atomically(path: Path, text: str, mode: int = 0o600, partial: Path | None = None) -> None:
    """Replace a file whole, with exactly this mode. No link is followed. Where that fails, nothing of it stays.

    Writers that may do so at the same time name each its own ``partial`` file.
    """
    partial = partial or path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, ValueError):
        with suppress(OSError):
            partial.unlink()
        raise


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
    """Return the text of an ordinary file of up to 32 MiB, None for anything else: what has its place may be of others.

    Bytes that are no UTF-8 are replaced: such a text equals none that we wrote.
    """
    try:
        with open_regular(path) as file:
            data = file.read(FILE_BYTES + 1)
    except OSError as error:
        if error.errno in (*NO_FILE, errno.EINVAL):
            return None
        raise
    # As it is: a value may hold a carriage return.
    return None if len(data) > FILE_BYTES else data.decode(errors="replace")


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file for reading; OSError for anything else. A pipe is not waited for, a device not touched."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "is no regular file", str(path))
    return os.fdopen(handle, "rb")
