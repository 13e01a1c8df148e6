# SPDX-License-Identifier: Apache-2.0
"""systemd of this host: the system's own manager, and those of its users."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping
from pathlib import Path

from . import command
from .cgroups import Unit
from .command import Run

# A user's own manager answers at once, or never: its socket is the user's.
USER_SECONDS = 5.0
NOBODY = 65534


def as_user(user: int) -> list[str]:
    """What a command is started with that works for a user: with nothing of root's, and so with no more than the user
    may do.
    """
    path = f"PATH={os.pathsep.join(command.SYSTEM_PATH)}"
    own = ["env", "--ignore-environment", path, "LC_ALL=C.UTF-8", f"XDG_RUNTIME_DIR=/run/user/{user}"]
    if user == os.geteuid():
        return own
    return [
        "setpriv",
        f"--reuid={user}",
        f"--regid={user_group(user)}",
        "--clear-groups",
        "--inh-caps=-all",
        "--no-new-privs",
        *own,
    ]


def user_group(user: int, runtime: Path = Path("/run/user")) -> int:
    """The user's own group, never that of this process."""
    try:
        return pwd.getpwuid(user).pw_gid
    except (KeyError, OverflowError):
        pass
    try:
        group = (runtime / str(user)).lstat().st_gid
    except OSError:
        return NOBODY
    return group or NOBODY


def systemctl(unit: Unit, *arguments: str) -> list[str]:
    """The command line for the unit's own manager. Names come after ``--``: one may begin with a dash."""
    return ["systemctl", *arguments] if unit.user is None else [*as_user(unit.user), "systemctl", "--user", *arguments]


def run_for(run: Run, unit: Unit) -> Run:
    """``run`` for commands about a unit: nothing waits long for what a user may let hang."""
    return run if unit.user is None else command.within(run, USER_SECONDS)


def unit_properties(run: Run, unit: Unit, silent: set[int] | None = None) -> dict[str, str]:
    """What systemd says of a unit; empty where its manager does not answer."""
    silent = set() if silent is None else silent
    if unit.user in silent:
        return {}
    wanted = "MainPID,UnitFileState,InvocationID,ActiveState,NRestarts"
    status, out, _err = run_for(run, unit)(systemctl(unit, "show", f"--property={wanted}", "--", unit.name))
    if status == command.TOO_LATE and unit.user is not None:
        silent.add(unit.user)
    return {name: value for name, _, value in (line.partition("=") for line in out.splitlines())} if status == 0 else {}


def main_pid(found: Mapping[str, str]) -> int:
    """A user's manager may answer anything."""
    text = found.get("MainPID", "")
    return int(text) if re.fullmatch(r"[0-9]{1,10}", text) else 0


def enabled(state: str) -> bool | None:
    """Whether the unit starts again at boot; none where its file does not say."""
    return {"enabled": True, "disabled": False, "enabled-runtime": False, "transient": False}.get(state)
