# SPDX-License-Identifier: Apache-2.0
"""The worker is registered under the host's agent name."""

from __future__ import annotations

from ..observed import Observed
from .check import Check, Failure

NAME = "name_in_effect"
OVERRIDE_REMEDY = (
    "remove the agent name from the worker's code and from LIVEKIT_AGENT_NAME_OVERRIDE, "
    "so that LIVEKIT_AGENT_NAME decides (livekit-agents >= 1.5.7)"
)


def check_name_in_effect(host: Observed) -> Check:
    name, expected = host.worker().get("agent_name"), f"the worker is registered as {host.agent_name!r}"
    if name:
        ok, found = bool(host.agent_name) and name == host.agent_name, f"registered as {name!r}"
        return Check(NAME, ok, found=found, expected=expected, remedy=OVERRIDE_REMEDY)
    if not host.worker():
        failure = Failure("no serving worker in the second reading", host.deploy_command)
        return Check.fails(NAME, expected, failure)
    proven = host.proof.get("agent_name") == host.agent_name != ""
    what = "sampled dispatch" if host.sampled else "directed probe"
    found = "the log no longer has the registration line"
    found += f"; the {what} to {host.agent_name!r} was answered here" if proven else f" and no {what} was answered here"
    remedy = f'{host.log_command}; look for "registered worker"'
    return Check(NAME, proven, found=found, expected=expected, remedy=remedy)
