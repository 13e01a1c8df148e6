# SPDX-License-Identifier: Apache-2.0
"""A dispatch to a random agent name finds nobody."""

from __future__ import annotations

from ...common.commands import Playbooks
from ...livekit.probe import ProbeResult
from .check import Check, Failure


def check_nobody(probe: ProbeResult, playbooks: Playbooks) -> Check:
    expected = "a dispatch to a random agent name finds nobody"
    if not probe:
        return Check.fails("nobody", expected, Failure("no such probe was sent", playbooks.start("verify.yml")))
    outcome, reason = probe.get("outcome"), probe.get("reason")
    if outcome == "nobody":
        return Check.holds("nobody", expected, str(reason or "nobody"))
    remedy = f"find out who {probe.get('worker_id')} is: it takes any name, so no other check proves anything"
    again = "see what was found, and run verify.yml again"
    failure = Failure(str(reason or "no answer"), remedy if outcome == "taken" else again)
    return Check.fails("nobody", expected, failure)
