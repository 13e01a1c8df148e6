# SPDX-License-Identifier: Apache-2.0
"""What a command line leaves out of a run: tasks by tags, hosts by --limit."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any


def leaving_out(given: Mapping[str, Any]) -> dict[str, str]:
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


def hosts_named(inventory: Any, pattern: str = "all") -> Iterable[Any]:
    """Return the hosts that a pattern names, whatever the run is limited to."""
    return list(inventory.get_hosts(pattern, ignore_limits=True, ignore_restrictions=True))
