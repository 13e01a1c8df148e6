# SPDX-License-Identifier: Apache-2.0
"""What an eviction is decided on, from the variables of a play. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..inventory.placement import placement_problems
from ..inventory.pools import name_problems, pool_problems, server_problems
from ..inventory.problems import inventory_problems
from ..inventory.settings import read_settings
from ..play import access
from ..play.run import RELEASES, WORKERS, HostRun, Runs
from ..release.adopted import claimed

GROUPS = ("agent_hosts", "suspects")
# What of a reading is decided on.
EVIDENCE = (
    "kind",
    "container",
    "container_id",
    "project",
    "directory",
    "pid",
    "worker_id",
    "worker_ids",
    "agent_name",
    "answered_name",
    "override",
    "env",
    "registered_since",
    "started_at",
    "running",
    "draining",
    "connected",
    "active_jobs",
    "instance",
    "release",
    "url",
    "configured_url",
    "supervisor",
    "start_command",
    "unread",
)


# --- from the variables of a play ------------------------------------------------------------------------------------


def early_problems(
    hostvars: Mapping[str, Any], group_hosts: Sequence[str], run_hosts: Sequence[str], *, looks: bool = False
) -> list[str]:
    """Why nothing can be looked at. Conflicts between hosts are no reason: to end one is what evicting is for."""
    read = [read_settings(name, hostvars[name])[0] for name in group_hosts]
    conflicts = {*pool_problems(read), *name_problems(read), *placement_problems(hostvars, group_hosts)}
    found = inventory_problems(hostvars, group_hosts, looks=looks)
    problems = [problem for problem in found if problem not in conflicts]
    return problems + server_problems(hostvars, [name for name in run_hosts if name in group_hosts])


def eviction_hosts(runs: Runs, groups: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Hosts of both groups for ``decide``; one in both is an agent host, one that was not read is not in the run."""
    members: dict[str, str] = {}
    for group in GROUPS:
        members = {**{str(host): group for host in groups.get(group, [])}, **members}
    return {
        host: eviction_host(runs[host], group)
        for host, group in sorted(members.items(), key=lambda item: GROUPS.index(item[1]))
    }


def eviction_host(run: HostRun, group: str) -> dict[str, Any]:
    found: Any = run.result(WORKERS)
    in_run, is_readable = bool(found), found.get("workers") is not None
    served = served_on(run) if group == "agent_hosts" else NOTHING_SERVED
    read = claimed(found, served["adopted"])["workers"] if is_readable else []
    return {
        "group": group,
        "in_run": in_run,
        **served,
        "workers": [{key: worker.get(key) for key in EVIDENCE} for worker in read],
        "evictions": list(found.get("evictions") or []) if is_readable else [],
        "unread": unread_of(found, in_run, is_readable),
    }


# Of a host of the group suspects.
NOTHING_SERVED: dict[str, Any] = {"agent_name": "", "pool": "", "urls": [], "app": "", "releases": None, "adopted": {}}


def served_on(run: HostRun) -> dict[str, Any]:
    """Return what a host of ours serves."""
    releases: Any = run.result(RELEASES)
    states, urls = releases.get("states"), (run.setting(name) for name in ("livekit_url", "livekit_api_url"))
    return {
        "agent_name": run.agent_name(releases),
        "pool": run.pool(releases),
        "urls": [str(url) for url in urls if url],
        "app": str(run.setting("agent_release_app") or ""),
        "releases": sorted(states) if isinstance(states, Mapping) else None,
        "adopted": dict(releases.get("adopted") or {}),
    }


def unread_of(found: Mapping[str, Any], in_run: bool, readable: bool) -> list[str]:
    if not in_run:
        return ["it is not in this run (--limit)"]
    return (
        list(found.get("unread") or [])
        if readable
        else [(access.said(found) or "it did not answer").removeprefix("Task failed: ")]
    )
