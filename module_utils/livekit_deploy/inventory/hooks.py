# SPDX-License-Identifier: Apache-2.0
"""The user's task files that run at the steps of a release: which there are, and where.

Of a file it is only looked at whether it is a list of tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from .variables import HostVars

STEPS = ("start_worker", "prove", "switch", "verify", "drain")
NAMES = (*(f"{when}_{step}" for step in STEPS for when in ("before", "after")), "on_failure")
# Names of before the steps had one word each.
FORMER = {"before_start": "before_start_worker", "after_start": "after_start_worker"}


def hook_files(hooks: Any, *names: str) -> list[str]:
    """Return the files that run at a point, in order: one or none for each name.

    Relative paths are from where the playbook was started.
    """
    given = hooks if isinstance(hooks, Mapping) else {}
    return [str(Path(str(given[name])).absolute()) for name in names if given.get(name)]


def hook_problems(hostvars: HostVars, hosts: Sequence[str]) -> list[str]:
    """Return what is wrong with the hooks of all hosts: a hook that is silently skipped is worse than none."""
    given = [hostvars[host].get("agent_release_hooks") or {} for host in hosts]
    return list(dict.fromkeys(problem for hooks in given for problem in host_hook_problems(hooks)))


def host_hook_problems(hooks: Any) -> list[str]:
    if not isinstance(hooks, Mapping):
        found = f"agent_release_hooks is a {type(hooks).__name__}"
        return [f"{found}, expected names of hooks with a task file each. Correct it"]
    known = {name: Path(str(path)) for name, path in hooks.items() if name in NAMES}
    wrong = {name: what for name, path in known.items() if (what := file_problem(path))}
    return [unknown_problem(name) for name in hooks if name not in NAMES] + [
        f"agent_release_hooks: found {what} for {name} ({known[name].absolute()}), expected a list of tasks. Correct it"
        for name, what in wrong.items()
    ]


def unknown_problem(name: Any) -> str:
    if name in FORMER:
        return f"agent_release_hooks has {name}, the former name of {FORMER[name]}. Rename it"
    return f"agent_release_hooks has {name}, expected one of {', '.join(NAMES)}. Correct it"


def file_problem(path: Path) -> str:
    """Return why a file is no list of tasks. ansible-core would end a whole run at it, amid a release."""
    if not path.is_file():
        return f"no file {path}"
    text = path.read_text(encoding="utf-8", errors="replace")
    if text.startswith("$ANSIBLE_VAULT"):
        return ""
    try:
        # Without their values: a tag such as !vault does no harm.
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        return f"no YAML in {path} ({' '.join(str(getattr(error, 'problem', error)).split())})"
    return "" if isinstance(tree, yaml.SequenceNode) else f"no list in {path}"
