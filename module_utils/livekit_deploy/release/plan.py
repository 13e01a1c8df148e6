# SPDX-License-Identifier: Apache-2.0
"""What a run is to do on a host: the goal, what it brings along, and the plan for the next release. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TypedDict

from . import records
from .content import Content
from .records import Change, HostState, Record, RolledBack

INVENTORY = "inventory"


@dataclass(frozen=True)
class Goal:
    """What is to serve: what the inventory says (``content``), the serving release under the ``shared_name``, or the
    kept ``release`` (an id, or ``previous``), which may have that name, too."""

    kind: str = INVENTORY
    content: Content = field(default_factory=lambda: Content("", {}))
    shared_name: str = ""
    release: str = ""


@dataclass(frozen=True)
class Order:
    """What a run brings along for a host's next release; ``record`` is kept with it. ``adopt`` is the hand-made compose
    project that is the release before the first one, ``leave`` are those that stay beside it."""

    goal: Goal
    stamp: str
    host: str
    ports: Sequence[int]
    images: Mapping[str, str] = field(default_factory=dict)
    record: Record = field(default_factory=lambda: Record())
    force: bool = False
    min_free_mb: int = 0
    min_free_memory_mb: int = 0
    nodes: int = 1
    candidate_suffix: str = "candidate"
    adopt: str = ""
    leave: Sequence[str] = ()


class Plan(TypedDict, total=False):
    """What a run is to do on a host."""

    changed: bool  # false where the serving release is as it is to be
    reasons: list[str]  # why there is a change
    id: str  # of the release that is to serve
    project: str  # its compose project
    api_port: int | None
    hash: str  # of its content
    agent_name: str
    services: list[str]
    agent_name_before: str | None  # of what serves now
    previous: str | None  # the release that serves now
    images: dict[str, str]  # to be pulled, by service
    rolled_back: RolledBack | None  # how it is not what the inventory says, on purpose
    returns_from: RolledBack | None  # the same of the release that it replaces
    hook: bool  # the worker asks the probe hook
    gated: bool  # its gate can be used
    adopted: bool  # it is a hand-made project that was taken over
    candidate: str | None  # the name under which the worker is proven first, where no gate can be used
    passed_over: list[str]  # releases before the serving one that have its content


def next_plan(found: HostState, content: Content, order: Order, app: str) -> Plan:
    """Which release a host gets, and why; ``changed`` is false where the serving one has this content and matches its
    record."""
    current, digest = found["release"], content.hash
    release_id = f"{order.stamp}-{digest[:8]}"
    if current and release_id == current["id"]:  # the same again in one run: its directory is not written over
        release_id = f"{second_after(order.stamp)}-{digest[:8]}"
    why = reasons(current, found["drift"], digest, order.force)
    port = free_port(current, order.ports) if records.API in content.env else None
    if current and not why:
        release_id, port = current["id"], current["api_port"]
    return {
        "changed": bool(why),
        "reasons": why,
        "id": release_id,
        "project": records.compose_project(app, release_id),
        "api_port": port,
        "hash": digest,
        "agent_name": content.agent_name,
        "services": list(content.env),
        "agent_name_before": current["agent_name"] if current else None,
        "previous": current["id"] if current else None,
    }


def second_after(stamp: str) -> str:
    at = datetime.strptime(stamp, records.STAMP).replace(tzinfo=timezone.utc)
    return (at + timedelta(seconds=1)).strftime(records.STAMP)


def reasons(current: Record | None, drift: Sequence[str], digest: str, force: bool) -> list[str]:
    if not current:
        return ["nothing serves yet"]
    found = [] if current["hash"] == digest else ["another content"]
    return [*found, *drift, *(["forced"] if force else [])]


def free_port(current: Record | None, ports: Sequence[int]) -> int | None:
    """The port that the serving release leaves free; an adopted project may publish several. None where there is
    none."""
    taken = [current["api_port"], *(current.get("adopted") or {}).get("ports", [])] if current else []
    return next((port for port in ports if port not in taken), None)


def plan_back_to_adopted(source: Record, current: Record) -> Plan:
    """As ``next_plan``, where what is to serve is an adopted project: the same containers, nothing is made."""
    return {
        "changed": True,
        "reasons": ["another content"],
        "id": source["id"],
        "project": source["adopted"]["project"],
        "api_port": source["api_port"],
        "hash": source["hash"],
        "agent_name": source["agent_name"],
        "services": source["services"],
        "agent_name_before": current["agent_name"],
        "previous": current["id"],
    }


def complete(plan: Plan, order: Order, current: Record | None, source: Record | None) -> Plan:
    """Return a plan with what depends on where the content is from: the inventory, or the ``source`` of a rollback."""
    if source is None:
        hook, adopted = order.record.get("hook", True), False
        plan["images"], plan["rolled_back"] = dict(order.images), None
        plan["returns_from"] = (current or {}).get("rolled_back")
    else:
        hook, adopted = source.get("hook", True), bool(source.get("adopted"))
        # The containers of an adopted project are there: nothing is pulled for them.
        plan["images"] = {} if adopted else source["images"]
        plan["rolled_back"], plan["returns_from"] = rolled_back(order.goal, source, plan), None
    plan["hook"], plan["adopted"] = bool(hook), adopted
    # Of several nodes one is asked for each dispatch: a closed gate alone on its node would take requests and lose
    # them.
    plan["gated"] = plan["hook"] and order.nodes == 1
    standby = adopted or (plan["gated"] and can_be_reached(plan, current or {}))
    plan["candidate"] = None if standby else f"{plan['agent_name']}-{order.candidate_suffix}"
    return plan


def planned_change(plan: Plan) -> Change:
    """What the lock's record keeps of a plan."""
    return {
        "from": plan["previous"],
        "to": plan["id"],
        "agent_name_from": plan["agent_name_before"],
        "agent_name_to": plan["agent_name"],
    }


def can_be_reached(plan: Plan, current: Record) -> bool:
    """Whether a probe can be directed at the new worker: not beside an old one of the name that has no hook."""
    return bool(current.get("hook", True)) or current.get("agent_name") != plan["agent_name"]


def rolled_back(goal: Goal, source: Record, plan: Plan) -> RolledBack:
    """How a release is not what the inventory wants, on purpose."""
    # A kept release may itself have served the shared name, as an adopted one usually has.
    was = source.get("rolled_back")
    kind = records.SHARED_NAME if plan["agent_name"] == goal.shared_name else was["kind"] if was else goal.kind
    return {"kind": kind, "at": records.now(), "to": source["id"], "from_agent_name": plan["agent_name_before"]}
