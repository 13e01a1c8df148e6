# SPDX-License-Identifier: Apache-2.0
"""What became of the batches of a run, and when no further one begins. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import run

FAILURE = "__agent_release_failure"


def failed(hostvars: Mapping[str, Any], hosts: Sequence[str], present: Sequence[str]) -> list[str]:
    """The hosts whose release failed, or that have left the play: unreachable, or refused before they had one."""
    return [host for host in hosts if host not in present or hostvars[host].get(FAILURE)]


def released(hostvars: Mapping[str, Any], present: Sequence[str]) -> list[str]:
    """The hosts where this run released something, in place of something that can be brought back."""
    return [host for host in present if not hostvars[host].get(FAILURE) and has_released(hostvars[host])]


def has_released(variables: Mapping[str, Any]) -> bool:
    plan = run.plan_of(variables)
    return bool(plan.get("changed") and plan.get("previous") and run.ended(variables))


def stop(hostvars: Mapping[str, Any], made: Sequence[Sequence[str]], batch: Sequence[str], present: Sequence[str]) -> str:
    """Why a batch does not begin; empty when it does."""
    for number, earlier in enumerate(made[: list(made).index(batch)], 1):
        if hosts := failed(hostvars, earlier, present):
            return f"batch {number} of {len(made)} failed on {', '.join(hosts)}"
    return ""
