# SPDX-License-Identifier: Apache-2.0
"""What became of the batches of a run, and when no further one begins. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .run import HostRun, Runs


def failed(runs: Runs, hosts: Sequence[str], present: Sequence[str]) -> list[str]:
    """The hosts whose release failed, or that have left the play: unreachable, or refused before they had one."""
    return [host for host in hosts if host not in present or runs[host].failed]


def released(runs: Runs, present: Sequence[str]) -> list[str]:
    """The hosts where this run released something, in place of something that can be brought back."""
    return [host for host in present if not runs[host].failed and has_released(runs[host])]


def has_released(run: HostRun) -> bool:
    return bool(run.replaces and run.plan.get("previous") and run.ended)


def stop(runs: Runs, made: Sequence[Sequence[str]], batch: Sequence[str], present: Sequence[str]) -> str:
    """Why a batch does not begin; empty when it does."""
    for number, earlier in enumerate(made[: list(made).index(batch)], 1):
        if hosts := failed(runs, earlier, present):
            return f"batch {number} of {len(made)} failed on {', '.join(hosts)}"
    return ""
