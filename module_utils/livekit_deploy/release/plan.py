# SPDX-License-Identifier: Apache-2.0
"""What a run is to do on a host: the goal, what it brings along, and the plan for the next release. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from . import records
from .content import Content

INVENTORY = "inventory"


@dataclass(frozen=True)
class Goal:
    """What is to serve: what the inventory says (``content``), the serving release under the ``shared_name``, or the kept ``release`` (an
    id, or ``previous``), which may have that name, too."""

    kind: str = INVENTORY
    content: Content = field(default_factory=lambda: Content("", {}))
    shared_name: str = ""
    release: str = ""


@dataclass(frozen=True)
class Order:
    """What a run brings along for a host's next release; ``record`` is kept with it. ``adopt`` is the hand-made compose project that is the
    release before the first one, ``leave`` are those that stay beside it."""

    goal: Goal
    stamp: str
    host: str
    ports: Sequence[int]
    images: Mapping[str, str] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    force: bool = False
    min_free_mb: int = 0
    min_free_memory_mb: int = 0
    nodes: int = 1
    candidate_suffix: str = "candidate"
    adopt: str = ""
    leave: Sequence[str] = ()


def next_plan(
    current: Mapping[str, Any] | None,
    drift: Sequence[str],
    content: Content,
    stamp: str,
    ports: Sequence[int],
    app: str,
    force: bool = False,
) -> dict[str, Any]:
    """Which release a host gets, and why; ``changed`` is false where the serving one has this content and matches its record."""
    digest = content.hash
    release_id = f"{stamp}-{digest[:8]}"
    if current and release_id == current["id"]:  # the same again in one run: the directory of the serving one is not written over
        release_id = f"{second_after(stamp)}-{digest[:8]}"
    why = reasons(current, drift, digest, force)
    port = free_port(current, ports) if records.API in content.env else None
    if current and not why:
        release_id, port = current["id"], current["api_port"]
    return {
        "changed": bool(why),
        "reasons": why,
        "id": release_id,
        "project": records.project(app, release_id),
        "api_port": port,
        "hash": digest,
        "agent_name": content.agent_name,
        "services": list(content.env),
        "agent_name_before": current["agent_name"] if current else None,
        "previous": current["id"] if current else None,
    }


def second_after(stamp: str) -> str:
    return (datetime.strptime(stamp, records.STAMP).replace(tzinfo=timezone.utc) + timedelta(seconds=1)).strftime(records.STAMP)


def reasons(current: Mapping[str, Any] | None, drift: Sequence[str], digest: str, force: bool) -> list[str]:
    if not current:
        return ["nothing serves yet"]
    found = [] if current["hash"] == digest else ["another content"]
    return [*found, *drift, *(["forced"] if force else [])]


def free_port(current: Mapping[str, Any] | None, ports: Sequence[int]) -> int | None:
    """The port that the serving release leaves free; an adopted project may publish several. None where there is none."""
    taken = [current["api_port"], *(current.get("adopted") or {}).get("ports", [])] if current else []
    return next((port for port in ports if port not in taken), None)


def choice_rows(kept: Sequence[Mapping[str, Any]]) -> list[str]:
    """The releases that a host can be rolled back to, newest first, a line each."""
    return [f"{r['id']} ({r['agent_name']}, served from {r['served_at']})" for r in reversed(kept)]


def plan_back_to_adopted(source: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
    """As ``release.plan``, where what is to serve is an adopted project: the same containers, nothing is made."""
    return {
        "changed": True,
        "reasons": ["another content"],
        "id": source["id"],
        "project": source["adopted"]["project"],
        **{key: source[key] for key in ("api_port", "hash", "agent_name", "services")},
        "agent_name_before": current["agent_name"],
        "previous": current["id"],
    }


def change_of(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What the lock's record keeps of a plan."""
    return {
        "from": plan["previous"],
        "to": plan["id"],
        "agent_name_from": plan["agent_name_before"],
        "agent_name_to": plan["agent_name"],
    }


def can_be_reached(plan: Mapping[str, Any], current: Mapping[str, Any]) -> bool:
    """Whether a probe can be directed at the new worker: not beside an old one of the name that has no hook."""
    return bool(current.get("hook", True)) or current.get("agent_name") != plan["agent_name"]


def rolled_back(goal: Goal, source: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, Any]:
    """How a release is not what the inventory wants, on purpose."""
    # A kept release may itself have served the shared name, as an adopted one usually has.
    before = (source.get("rolled_back") or {}).get("kind")
    kind = records.SHARED_NAME if plan["agent_name"] == goal.shared_name else before or goal.kind
    return {"kind": kind, "at": records.now(), "to": source["id"], "from_agent_name": plan["agent_name_before"]}
