# SPDX-License-Identifier: Apache-2.0
"""The jobs of the host's agent name go to its pool only."""

from __future__ import annotations

from ..observed import Observed
from ..verdicts import FOREIGN, GOOD, INCONCLUSIVE, UNREACHABLE, Verdict
from .check import Check


def check_routing(host: Observed, verdict: Verdict, accept_inconclusive: bool, nodes: int = 1) -> Check:
    others = [member.name for member in host.pool_hosts if member.name != host.name]
    whose = f"the pool of {', '.join([host.name, *others])}" if others else f"{host.name} alone"
    ok, expected = verdict.verdict in GOOD, f"jobs of {host.agent_name!r} go to {whose}"
    ok = ok or (accept_inconclusive and verdict.verdict == INCONCLUSIVE)
    if host.shares_on_purpose:
        ok, part = verdict.verdict != UNREACHABLE, f"{host.name} gets a part of the jobs of {host.agent_name!r}"
        expected = f"{part}, to which it was rolled back on {host.on_purpose.get('at')}"
    found = f"{verdict.verdict}: {verdict.reason} (by {verdict.method}, {verdict.seconds} s)"
    return Check("routing", ok, found=found, expected=expected, remedy=routing_remedy(host, verdict, nodes))


def routing_remedy(host: Observed, verdict: Verdict, nodes: int) -> str:
    if verdict.verdict == FOREIGN:
        workers = ", ".join(verdict.foreign)
        return f"give this pool a name of its own in the inventory and deploy, or stop the worker {workers}"
    if verdict.verdict == UNREACHABLE:
        return f"see the check directed_probe of {host.name}"
    if nodes > 1:  # asking again would ask one node again
        return (
            "let the complete logs of all LiveKit nodes be read (group livekit_servers); where they cannot be, "
            "as on LiveKit Cloud: verification_accept_inconclusive=true"
        )
    return "run verify.yml again; to go on all the same: -e verification_accept_inconclusive=true"
