# SPDX-License-Identifier: Apache-2.0
"""What the last lines of a container that did not start say about its surroundings, and what to set. Pure.

The root file system of a release is read-only, with /tmp in memory: an image that writes elsewhere fails at its start.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

READ_ONLY = re.compile(r"Read-only file system|EROFS|Errno 30\b|os error 30\b", re.IGNORECASE)
LOCK = re.compile(r"Could not acquire lock|Failed to initialize cache", re.IGNORECASE)
# In quotes as Python, uv and most others write it, or bare as a shell and Node do.
PATH = re.compile(r"""["'`](?P<quoted>/[^"'`\s]{1,400})["'`]|(?<![\w./])(?P<bare>/[\w.+@-][\w./+@-]{0,400})""")
# Where uv keeps its cache, and the environment that it wants to bring up to date.
UV = re.compile(r"/\.?uv(/|$)|/\.venv(/|$)|^/root/\.cache(/|$)")


def start_remedy(lines: Iterable[str], prefix: str) -> str:
    """Say what to set where the root file system kept a container from starting; empty where nothing tells so.

    ``prefix`` is that of the service's variables.
    """
    told = [str(line) for line in lines]
    if any(LOCK.search(line) for line in told) and _is_uv(told):
        return (
            "The image is started by `uv run`, which writes to its cache, and the root file system is read-only. Set "
            f"{prefix}_env: {{UV_CACHE_DIR: /tmp/uv}}, or start without uv: {prefix}_command: [.venv/bin/python, "
            "agent.py, start]"
        )
    if not (found := [line for line in told if READ_ONLY.search(line)]):
        return ""
    path = next((one for line in found if (one := path_in(line))), "")
    where = volume_directory(path) if path else "<directory>"
    return (
        f"The image writes to {path or 'a directory'}, and the root file system of a container is read-only, "
        "but for /tmp. Set "
        f'{prefix}_compose: {{tmpfs: ["{where}"]}} where what it writes may be lost, or '
        f'{prefix}_volumes: ["<volume>:{where}"]'
    )


def _is_uv(lines: Iterable[str]) -> bool:
    return any(READ_ONLY.search(line) or UV.search(path_in(line)) for line in lines)


def path_in(line: str) -> str:
    """Return the last absolute path of a line: the words before it tell what was tried."""
    found = [match["quoted"] or match["bare"] for match in PATH.finditer(line)]
    return found[-1].rstrip(".,:;)") if found else ""


def volume_directory(path: str) -> str:
    """Return where a container needs a file system of its own: the directory of a file, a directory itself."""
    pure = PurePosixPath(path)
    return str(pure.parent if pure.suffix or pure.name.startswith(".tmp") else pure) if len(pure.parts) > 2 else path
