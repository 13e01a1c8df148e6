# SPDX-License-Identifier: Apache-2.0
"""What the user is told of a run on a host: what it is about to do, and what it met."""

from __future__ import annotations

from ..common.commands import Playbooks
from . import drain, records
from .adopted import service_fates
from .begin import Answer
from .plan import Plan
from .records import Record


def plan_notes(host: str, answer: Answer, check: bool, playbooks: Playbooks | None = None) -> list[str]:
    """What the user is told of a host at the end of the run, a line each."""
    plan, current = answer["plan"], answer["release"] or {}
    lines = []
    if plan["changed"] and plan["candidate"]:
        lines.append(
            f"{host}: the gate cannot be used here, so the new worker is proven as {plan['candidate']} first; calls "
            "then reach its second start before that one is proven"
        )
    if answer.get("overtook"):
        lines.append(f"{host}: took over from {answer['overtook']}, which never gave the lock back")
    if back := plan.get("returns_from"):
        was, wanted = current["agent_name"], plan["agent_name"]
        lines.append(f"{host}: had been rolled back to {was} on {back['at']}; returns to the inventory's {wanted}")
    if plan["changed"] and current.get("adopted"):
        back_to = (playbooks or Playbooks()).start("rollback.yml", limit=host, rollback_to=current["id"])
        project, becomes = current["adopted"], "would be" if check else "is"
        named = f"compose project {project['project']} ({project['directory']})"
        lines.append(f"{host}: {named} {becomes} adopted as release {current['id']}")
        lines += adoption_notes(current, plan, back_to)
    lines += rollback_notes(host, plan, current, check)
    if not plan["changed"]:
        lines += drain.drain_notes(host, answer["leftovers"])
    lines += drain.trouble_notes(host, answer.get("troubles", []))
    return [*lines, *plan_warnings(host, plan), *(dry_notes(host, plan, current) if check else [])]


def adoption_notes(current: Record, plan: Plan, back_to: str) -> list[str]:
    """What becomes of a hand-made project that is adopted."""
    lines = [f"  {line}" for line in service_fates(current, plan["id"])]
    lines.append(f"  back to it: {back_to}")
    if current["api_port"] is None:
        lines.append(
            "  which API is of it is not known, so it runs on and is yours to stop: while the project serves, the "
            "proxy answers 502, also after a rollback"
        )
    return lines


def rollback_notes(host: str, plan: Plan, current: Record, check: bool) -> list[str]:
    """What a rollback means for what serves, or why there was none."""
    lines, back = [], plan.get("rolled_back")
    if plan["adopted"] and plan["api_port"] is None:
        lines.append(
            f"{host}: which API is of compose project {plan['project']} is not known: while it serves, the proxy "
            "answers 502. Point your callers to its API"
        )
    if back and (passed := plan.get("passed_over")):
        lines.append(
            f"{host}: {', '.join(passed)} has the content of {current['id']}, which serves: back to {back['to']}, the "
            "last release that differs"
        )
    if not plan["changed"] and back:
        nothing = "nothing would be" if check else "nothing was"
        lines.append(f"{host}: {nothing} rolled back: {plan['id']} serves and is what was asked for")
    return lines


def plan_warnings(host: str, plan: Plan) -> list[str]:
    """What the user has to know before anything begins."""
    back = plan.get("rolled_back")
    if not back or back["kind"] != records.SHARED_NAME:
        return []
    return [
        f"{host}: {plan['agent_name']} is a shared name: other workers that have it get a part of its jobs, until the "
        "next deploy.yml returns to the inventory's name"
    ]


def dry_notes(host: str, plan: Plan, current: Record) -> list[str]:
    """What a run would do."""
    if not plan["changed"]:
        return [f"{host}: nothing would change, {plan['id']} serves {plan['agent_name']}"]
    what = current.get("id") or "nothing"
    lines = [f"{host}: would release {plan['id']} in place of {what}: {'; '.join(plan['reasons'])}"]
    if plan["agent_name"] != current.get("agent_name"):
        lines.append(f"  agent name {current.get('agent_name') or 'none'} -> {plan['agent_name']}")
    images = current.get("images") or {}
    for service, image in plan["images"].items():
        before = images.get(service)
        lines += [] if image == before else [f"  image of {service} {before or 'none'} -> {image}"]
    return [*lines, f"  containers: start those of {plan['project']}{what_stops(current)}"]


def what_stops(current: Record) -> str:
    if not current:
        return ""
    adopted = current.get("adopted")
    parts = "those" if not adopted else "worker and API" if adopted["api"] else "the worker"
    return f", then stop {parts} of {records.record_project(current)}"
