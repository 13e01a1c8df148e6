# SPDX-License-Identifier: Apache-2.0
"""What the user is told of a removal: what went, what stays, and what to do next."""

from __future__ import annotations

from ..common import commands
from .removal import Survey


def removal_notes(host: str, app: str, found: Survey, check: bool) -> list[str]:
    """What the user is told at the end of the run, a line each."""
    if not found.get("changed", found["there"]):
        return [f"{host}: nothing of {app} is there, so nothing was removed", *staying(found, check), next_step(host)]
    lines = [f"{host}: {'would remove' if check else 'removed'} {app}"]
    for what, names in gone(found).items():
        lines += [f"  {what}: {', '.join(names)}"] if names else []
    if found["history"]:
        lines.append(f"  the history goes with it; its last line: {found['history']}")
    return [*lines, *staying(found, check), next_step(host)]


def gone(found: Survey) -> dict[str, list[str]]:
    kept = [one for one in found["releases"] if one != found["serving"]]
    kept_files = found.get("kept") or []
    return {
        "the release that served": [found["serving"]] if found["serving"] else [],
        "kept releases": kept,
        "containers": list(found["containers"]),
        "networks": list(found["networks"]),
        "proxy": [path for path in found["files"] if path not in kept_files],
        "directory": [found["directory"]] if found["directory"] and not found["others"] else [],
    }


def staying(found: Survey, check: bool) -> list[str]:
    lines = []
    for one in found["adopted"]:
        update = ["docker", "update", "--restart"]
        policies = [commands.shell(*[*update, policy, "--", name]) for name, policy in sorted(one["policies"].items())]
        start = " && ".join([commands.shell("docker", "start", "--", *one["containers"]), *policies])
        lines.append(
            f"  stays{', stopped' if not check or not one['running'] else ' and would be stopped'}: compose project "
            f"{one['project']} ({one['directory']}), which had been adopted. To start it again: {start}"
        )
    if found.get("kept"):
        lines.append(
            f"  stays: {', '.join(found['kept'])}, because a site of yours includes it; it answers 502. Remove the "
            "include there, then run it again"
        )
    if found["volumes"]:
        lines.append(f"  stays: the data in the volumes {', '.join(found['volumes'])}. To remove it: docker volume rm")
    if found["others"]:
        where = found["directory"] or "the directory"
        lines.append(f"  stays: {where} with what is not ours in it: {', '.join(found['others'])}")
    lines.append("  stays: Docker, nginx with its logs, and the service user, which other applications may use")
    return lines


def next_step(host: str) -> str:
    until = f"until then deploy.yml --limit {host} refuses it and names provision.yml"
    return f"  next: take {host} out of the inventory; {until}"
