# SPDX-License-Identifier: Apache-2.0
"""What a command line leaves out of a run: tasks by tags, hosts by --limit."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def options_leaving_out(given: Mapping[str, Any]) -> dict[str, str]:
    """Return the options of a command line that leave tasks or hosts out, with their values."""
    tags, skipped = (",".join(given.get(key) or ()) for key in ("tags", "skip_tags"))
    found = {
        "--tags": "" if tags == "all" else tags,
        "--skip-tags": skipped,
        "--start-at-task": given.get("start_at_task"),
        "--limit": given.get("subset"),
    }
    return {name: shlex.quote(str(value)) for name, value in found.items() if value}


def named_in_vain(inventory: Any) -> tuple[list[str], list[str]]:
    """Return the parts of ``--limit`` that match no host, and the hosts to choose from.

    ansible-core goes on: a host is not done, or not left out.
    """
    vain = [part for part in map(str, inventory._subset or []) if not hosts_named(inventory, part.lstrip("!&"))]
    return vain, [host.get_name() for host in hosts_named(inventory)] if vain else []


def tasks_left_out(play: Any, variables: Mapping[str, Any], roles: Path) -> list[str]:
    """Return the tasks of a project's roles in a play that the command line's tags leave out."""
    tasks = [task for block in play.compile() for task in block.get_tasks()]
    ours = [task for task in tasks if task._role and roles in Path(task._role.get_role_path()).resolve().parents]
    wanted = [task for task in ours if task.evaluate_tags(["all"], [], variables)]
    only, skipped = play.only_tags, play.skip_tags
    return [task.get_name() for task in wanted if not task.evaluate_tags(only, skipped, variables)]


def hosts_named(inventory: Any, pattern: str = "all") -> Iterable[Any]:
    """Return the hosts that a pattern names, whatever the run is limited to."""
    return list(inventory.get_hosts(pattern, ignore_limits=True, ignore_restrictions=True))
