# SPDX-License-Identifier: Apache-2.0
"""What the tasks of a run have registered for a host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The newest of these that a host has is its first reading: after a switch the old one no longer holds.
SWITCHED, STATE = "__agent_release_switched", "__agent_release_state"
ENDED = "__agent_release_ended"
READINGS = ("__verification_read", "__diagnosis_read", SWITCHED, STATE)


def registered(variables: Mapping[str, Any], name: str, key: str) -> dict[str, Any] | None:
    """A registered result that has ``key``; None when the task did not run, was skipped or failed."""
    found = variables.get(name)
    return found if isinstance(found, Mapping) and found.get(key) is not None else None  # type: ignore[return-value]


def reading_of(variables: Mapping[str, Any]) -> dict[str, Any]:
    return next((found for name in READINGS if (found := of_this_run(variables, name))), {})


def ended(variables: Mapping[str, Any]) -> bool:
    """Whether this run has released something on a host and is done there; not an earlier use of the role in the same playbook."""
    done, state = registered(variables, ENDED, "retired"), registered(variables, STATE, "plan")
    return bool(done and state and done.get("fence") == state.get("fence"))


def of_this_run(variables: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """A reading; not the one after a switch that an earlier use of the role in the same playbook left behind."""
    found = registered(variables, name, "workers")
    if found and name == SWITCHED and found.get("fence") != (registered(variables, STATE, "workers") or {}).get("fence"):
        return None
    return found


def adopted_of(variables: Mapping[str, Any]) -> dict[str, str]:
    """The worker's container of each adopted compose project of a host, with the id of the release that the project is."""
    return dict(reading_of(variables).get("adopted") or {})


def left_behind(variables: Mapping[str, Any]) -> bool:
    """A deployment to the host failed before its switch: what it started is taken back when the others are proven, and it gets no row."""
    return replaced(variables) and of_this_run(variables, SWITCHED) is None


def plan_of(variables: Mapping[str, Any]) -> dict[str, Any]:
    """What this run does on a host; empty where it deploys nothing there."""
    return dict((registered(variables, "__agent_release_state", "plan") or {}).get("plan") or {})


def purpose_of(variables: Mapping[str, Any], reading: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """How a host differs from the inventory on purpose, after a rollback; empty where it does not."""
    if plan := plan_of(variables):
        return dict(plan.get("rolled_back") or {})
    found = reading_of(variables) if reading is None else reading
    return dict((found.get("release") or {}).get("rolled_back") or {})


def name_of(variables: Mapping[str, Any], reading: Mapping[str, Any] | None = None) -> str:
    """The name that a host is to serve: of the release this run makes, of the one it was rolled back to, else of the inventory."""
    if plan := plan_of(variables):
        return str(plan["agent_name"])
    if purpose_of(variables, reading):
        found = reading_of(variables) if reading is None else reading
        return str(found["release"]["agent_name"])
    return str(variables.get("livekit_agent_name") or "")


def replaced(variables: Mapping[str, Any]) -> bool:
    """Whether this run replaces the release that served."""
    return bool(plan_of(variables).get("changed"))


def latest(variables: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a deployment last read of a host: of one in an earlier batch what it was like after its switch."""
    return of_this_run(variables, SWITCHED) or of_this_run(variables, STATE)
