# SPDX-License-Identifier: Apache-2.0
"""The worker is registered under the host's agent name."""

from __future__ import annotations

from ..observed import Host
from .check import Check


def check_name_in_effect(host: Host) -> Check:
    name, expected = host.worker().get("agent_name"), f"the worker is registered as {host.agent_name!r}"
    remedy = (
        "remove the agent name from the worker's code and from LIVEKIT_AGENT_NAME_OVERRIDE, "
        "so that LIVEKIT_AGENT_NAME decides (livekit-agents >= 1.5.7)"
    )
    if name:
        return Check(
            "name_in_effect",
            bool(host.agent_name) and name == host.agent_name,
            f"registered as {name!r}",
            expected,
            remedy,
        )
    if not host.worker():
        return Check("name_in_effect", False, "no serving worker in the second reading", expected, host.deploy_command)
    proven = host.proof.get("agent_name") == host.agent_name != ""
    what = "sampled dispatch" if host.sampled else "directed probe"
    found = "the log no longer has the registration line"
    found += f"; the {what} to {host.agent_name!r} was answered here" if proven else f" and no {what} was answered here"
    return Check("name_in_effect", proven, found, expected, f'{host.log_command}; look for "registered worker"')
