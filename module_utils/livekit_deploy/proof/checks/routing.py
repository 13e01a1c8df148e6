# SPDX-License-Identifier: Apache-2.0
"""The jobs of the host's agent name go to its pool only."""

from __future__ import annotations

from .. import verdicts
from ..observed import Host
from .check import Check


def check_routing(host: Host, verdict: verdicts.Verdict, accept_inconclusive: bool, nodes: int = 1) -> Check:
    others = [member.name for member in host.pool_hosts if member.name != host.name]
    whose = f"the pool of {', '.join([host.name, *others])}" if others else f"{host.name} alone"
    expected = f"jobs of {host.agent_name!r} go to {whose}"
    good = verdict.verdict in verdicts.GOOD
    ok = good or (accept_inconclusive and verdict.verdict == verdicts.INCONCLUSIVE)
    found = f"{verdict.verdict}: {verdict.reason} (by {verdict.method}, {verdict.seconds} s)"
    if host.shares_on_purpose:
        ok = verdict.verdict != verdicts.UNREACHABLE
        expected = f"{host.name} gets a part of the jobs of {host.agent_name!r}, to which it was rolled back on {host.on_purpose.get('at')}"
    return Check("routing", ok, found, expected, routing_remedy(host, verdict, nodes))


def routing_remedy(host: Host, verdict: verdicts.Verdict, nodes: int) -> str:
    if verdict.verdict == verdicts.FOREIGN:
        return f"give this pool a name of its own in the inventory and deploy, or stop the worker {', '.join(verdict.foreign)}"
    if verdict.verdict == verdicts.UNREACHABLE:
        return f"see the check directed_probe of {host.name}"
    if nodes > 1:  # asking again would ask one node again
        return (
            "let the complete logs of all LiveKit nodes be read (group livekit_servers); where they cannot be, as on LiveKit Cloud: "
            "verification_accept_inconclusive=true"
        )
    return "run verify.yml again; to go on all the same: -e verification_accept_inconclusive=true"
