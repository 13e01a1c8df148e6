# SPDX-License-Identifier: Apache-2.0
"""Task files of the user's that run at the steps of a release: which there are, and where. Looks only whether a file is a list of tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

STEPS = ("start", "prove", "switch", "verify", "drain")
NAMES = (*(f"{when}_{step}" for step in STEPS for when in ("before", "after")), "on_failure")


def hooks_of(hooks: Any, *names: str) -> list[str]:
    """The files that run at a point, in order: one or none for each name. Relative paths are from where the playbook was started."""
    given = hooks if isinstance(hooks, Mapping) else {}
    return [str(Path(str(given[name])).absolute()) for name in names if given.get(name)]


def hook_problems(hostvars: Mapping[str, Any], hosts: Sequence[str]) -> list[str]:
    """What is wrong with the hooks of all hosts, a sentence each; a hook that is silently skipped is worse than none."""
    problems = [problem for host in hosts for problem in problems_of(hostvars[host].get("agent_release_hooks") or {})]
    return list(dict.fromkeys(problems))


def problems_of(hooks: Any) -> list[str]:
    if not isinstance(hooks, Mapping):
        return [f"agent_release_hooks is a {type(hooks).__name__}, expected names of hooks with a task file each. Correct it"]
    unknown = [name for name in hooks if name not in NAMES]
    wrong = {name: what_is_wrong(Path(str(path))) for name, path in hooks.items() if name in NAMES}
    return [f"agent_release_hooks has {name}, expected one of {', '.join(NAMES)}. Correct it" for name in unknown] + [
        f"agent_release_hooks: found {what} for {name} ({Path(str(hooks[name])).absolute()}), expected a list of tasks. Correct it"
        for name, what in wrong.items()
        if what
    ]


def what_is_wrong(path: Path) -> str:
    """ansible-core ends a whole run at a file that it cannot parse, with no rescue: too late in the midst of a release."""
    if not path.is_file():
        return f"no file {path}"
    text = path.read_text(encoding="utf-8", errors="replace")
    if text.startswith("$ANSIBLE_VAULT"):
        return ""
    try:
        # Without their values: a tag such as !vault is no trouble.
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        return f"no YAML in {path} ({' '.join(str(getattr(error, 'problem', error)).split())})"
    return "" if isinstance(tree, yaml.SequenceNode) else f"no list in {path}"
