# SPDX-License-Identifier: Apache-2.0
"""The containers run, and with the host's agent name."""

from __future__ import annotations

from collections.abc import Iterator

from ..observed import NAME_VARIABLES, Observed, mapping
from .check import NOT_APPLICABLE, Check, Failure

NAME = "environment"


def check_environment(host: Observed) -> Check:
    if host.adopted:
        return check_adopted(host)
    expected = f"{' and '.join(host.parts)} run with {' and '.join(NAME_VARIABLES)} = {host.agent_name!r}"
    if host.unmanaged:
        return Check.holds(NAME, expected, NOT_APPLICABLE)
    wrong = [] if host.agent_name else ["the inventory gives no agent name"]
    wrong += [text for service in host.parts for text in service_failures(host, service)]
    if not wrong:
        return Check.holds(NAME, expected, expected)
    remedy = f"{host.deploy_command} (a restart keeps the old environment; a deployment makes new containers)"
    return Check.fails(NAME, expected, Failure("; ".join(wrong), remedy))


def check_adopted(host: Observed) -> Check:
    expected = "the containers of the adopted project run, whatever their environment says"
    known = {service: mapping(host.services.get(service, {"running": True})) for service in host.parts}
    stopped = [service for service, state in known.items() if not state.get("running")]
    if not stopped:
        return Check.holds(NAME, expected, expected)
    failure = Failure(f"{', '.join(stopped)} does not run", "look at its log, or run deploy.yml")
    return Check.fails(NAME, expected, failure)


def service_failures(host: Observed, service: str) -> Iterator[str]:
    state = mapping(host.services.get(service))
    if not state.get("running"):
        yield f"{service} is not running" if state else f"{service} was not read"
        return
    env = mapping(state.get("env"))
    for key in NAME_VARIABLES:
        if env.get(key) != host.agent_name:
            yield f"{service} has {key} {env[key]!r}" if env.get(key) else f"{service} has no {key}"
