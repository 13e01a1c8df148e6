# SPDX-License-Identifier: Apache-2.0
"""The containers run, and with the host's agent name."""

from __future__ import annotations

from ..observed import NAME_VARIABLES, Host, mapping
from .check import Check


def check_environment(host: Host) -> Check:
    if host.adopted:
        expected = "the containers of the adopted project run, whatever their environment says"
        stopped = [service for service in host.parts if not mapping(host.services.get(service, {"running": True})).get("running")]
        found = f"{', '.join(stopped)} does not run" if stopped else expected
        return Check("environment", not stopped, found, expected, "look at its log, or run deploy.yml")
    expected = f"{' and '.join(host.parts)} run with {' and '.join(NAME_VARIABLES)} = {host.agent_name!r}"
    wrong = [] if host.agent_name else ["the inventory gives no agent name"]
    for service in host.parts:
        state = mapping(host.services.get(service))
        if not state.get("running"):
            wrong.append(f"{service} is not running" if state else f"{service} was not read")
            continue
        env = mapping(state.get("env"))
        wrong += [
            f"{service} has {key} {env[key]!r}" if env.get(key) else f"{service} has no {key}"
            for key in NAME_VARIABLES
            if env.get(key) != host.agent_name
        ]
    remedy = f"{host.deploy_command} (a restart keeps the old environment; a deployment makes new containers)"
    return Check("environment", not wrong, "; ".join(wrong) or expected, expected, remedy)
