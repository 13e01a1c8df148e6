# SPDX-License-Identifier: Apache-2.0
"""The commands that a user is told to type.

They are made here, because a name in them may come from a stranger's log or container.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What `-e name=value` passes on as it is; anything else is given as JSON.
SIMPLE = re.compile(r"[\w.,:@/+%-]+", re.ASCII)
# The playbook that users know by its file at the root.
AT_ROOT = frozenset({"deploy.yml"})


def shell(*argv: Any) -> str:
    """Return a command line whose words reach the program as they are.

    A ``--`` stays only before a word that begins with a dash.
    """
    words = [str(word) for word in argv]
    kept = [
        word
        for number, word in enumerate(words)
        if word != "--" or "".join(words[number + 1 : number + 2]).startswith("-")
    ]
    return shlex.join(kept)


def in_directory(directory: str | None, *argv: Any) -> str:
    return f"cd {shlex.quote(directory or '/')} && {shell(*argv)}"


@dataclass(frozen=True)
class Playbooks:
    """How this run's user starts a playbook: with the run's own inventories, from the directory where the run was
    started.

    ``root`` is the project's directory as seen from there, empty where it is that directory.
    """

    sources: Sequence[str] = ()
    root: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> Playbooks:
        """Return what a module was given as its option ``playbooks``."""
        given = given or {}
        return cls(tuple(map(str, given.get("sources") or ())), str(given.get("root") or ""))

    @property
    def prefix(self) -> str:
        return shell("ansible-playbook", *(word for source in self.sources for word in ("-i", source)))

    @property
    def directory(self) -> str:
        """What stands before the path of a playbook."""
        return f"{shlex.quote(self.root)}/" if self.root else ""

    def start(self, name: str, *arguments: str, limit: str = "", **extra: Any) -> str:
        """Return the command that runs one of the playbooks. ``extra`` are variables for ``-e``."""
        path = name if name in AT_ROOT else f"playbooks/{name}"
        limited = ["--limit", limit] if limit else []
        variables = [word for key, value in extra.items() for word in ("-e", variable(key, value))]
        return " ".join(
            [
                self.prefix,
                *map(shlex.quote, arguments),
                self.directory + path,
                *map(shlex.quote, [*limited, *variables]),
            ]
        )


def variable(name: str, value: Any) -> str:
    text = str(value)
    return f"{name}={text}" if SIMPLE.fullmatch(text) else json.dumps({name: text})


def seen_from(source: str, directory: Path | None = None) -> str:
    """Return an inventory source as it can be typed in a directory, which is the present one if none is named.

    A list of hosts stays.
    """
    path, here = Path(source), directory or Path.cwd()
    return str(path.relative_to(here)) if "," not in source and path.is_relative_to(here) else source


def root_of(project: Path, directory: Path | None = None) -> str:
    """Return the project's directory as it can be typed in a directory; empty where it is that directory."""
    return seen_from(str(project), directory).removeprefix(".")


OPTION: dict[str, Any] = {
    "type": "dict",
    "options": {"sources": {"type": "list", "elements": "str", "default": []}, "root": {"type": "str", "default": ""}},
}
