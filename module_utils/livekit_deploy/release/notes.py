# SPDX-License-Identifier: Apache-2.0
"""What the user is told of a run on a host: what it is about to do, and what it met."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..common.commands import Playbooks
from . import drain, records
from .adopted import fate


def plan_notes(host: str, answer: Mapping[str, Any], check: bool, playbooks: Playbooks | None = None) -> list[str]:
    """What the user is told of a host at the end of the run, a line each."""
    plan, current = answer["plan"], answer["release"] or {}
    lines = []
    if plan["changed"] and plan["candidate"]:
        lines.append(
            f"{host}: the gate cannot be used here, so the new worker is proven as {plan['candidate']} first; calls then reach its second "
            "start before that one is proven"
        )
    if answer.get("overtook"):
        lines.append(f"{host}: took over from {answer['overtook']}, which never gave the lock back")
    if back := plan.get("returns_from"):
        was, wanted = current["agent_name"], plan["agent_name"]
        lines.append(f"{host}: had been rolled back to {was} on {back['at']}; returns to the inventory's {wanted}")
    if plan["changed"] and (adopted := current.get("adopted")):
        lines.append(
            f"{host}: compose project {adopted['project']} ({adopted['directory']}) {'would be' if check else 'is'} adopted as release "
            f"{current['id']}"
        )
        lines += [f"  {line}" for line in fate(current, plan["id"])]
        back_to = (playbooks or Playbooks()).start("rollback.yml", limit=host, rollback_to=current["id"])
        lines.append(f"  back to it: {back_to}")
        if current["api_port"] is None:
            lines.append(
                "  which API is of it is not known, so it runs on and is yours to stop: while the project serves, the proxy answers 502, "
                "also after a rollback"
            )
    if plan["adopted"] and plan["api_port"] is None:
        lines.append(
            f"{host}: which API is of compose project {plan['project']} is not known: while it serves, the proxy answers 502. Point your "
            "callers to its API"
        )
    if passed := plan.get("passed_over"):
        lines.append(
            f"{host}: {', '.join(passed)} has the content of {current['id']}, which serves: back to {plan['rolled_back']['to']}, the last "
            "release that differs"
        )
    if not plan["changed"] and plan.get("rolled_back"):
        lines.append(f"{host}: nothing {'would be' if check else 'was'} rolled back: {plan['id']} serves and is what was asked for")
    if not plan["changed"]:
        lines += drain.drain_notes(host, answer["leftovers"])
    lines += drain.trouble_notes(host, answer.get("troubles", []))
    return [*lines, *plan_warnings(host, plan), *(dry_notes(host, plan, current) if check else [])]


def plan_warnings(host: str, plan: Mapping[str, Any]) -> list[str]:
    """What the user has to know before anything begins."""
    if (plan.get("rolled_back") or {}).get("kind") != records.SHARED_NAME:
        return []
    return [
        f"{host}: {plan['agent_name']} is a shared name: other workers that have it get a part of its jobs, until the next deploy.yml "
        "returns to the inventory's name"
    ]


def dry_notes(host: str, plan: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """What a run would do."""
    if not plan["changed"]:
        return [f"{host}: nothing would change, {plan['id']} serves {plan['agent_name']}"]
    lines = [f"{host}: would release {plan['id']} in place of {current.get('id') or 'nothing'}: {'; '.join(plan['reasons'])}"]
    if plan["agent_name"] != current.get("agent_name"):
        lines.append(f"  agent name {current.get('agent_name') or 'none'} -> {plan['agent_name']}")
    for service, image in plan["images"].items():
        before = (current.get("images") or {}).get(service)
        lines += [] if image == before else [f"  image of {service} {before or 'none'} -> {image}"]
    adopted = current.get("adopted")
    of = "worker and API" if adopted and adopted["api"] else "the worker" if adopted else "those"
    old = f", then stop {of} of {records.project_of(current)}" if current else ""
    return [*lines, f"  containers: start those of {plan['project']}{old}"]
