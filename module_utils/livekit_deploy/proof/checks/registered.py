# SPDX-License-Identifier: Apache-2.0
"""One worker is registered, and stays so between two readings."""

from __future__ import annotations

from ..observed import Observed
from .check import Check, Failure

NAME = "registered"
EXPECTED = "exactly one serving worker with the same worker id at two readings 2 s apart, connected at the second"
MIN_SECONDS_BETWEEN_READINGS = 2.0


def check_registered(host: Observed) -> Check:
    if found := readings_failure(host) or ids_failure(host):
        remedy = f'{host.log_command}; look for "registered worker" and "failed to connect"'
        return Check.fails(NAME, EXPECTED, Failure(found, remedy))
    logged = host.worker().get("worker_id")
    since = host.worker().get("registered_since") if logged else None
    rotated = " (the registration line has rotated away; the id is from an earlier reading or the probe)"
    return Check.holds(NAME, EXPECTED, f"{host.worker_id} since {since or 'unknown'}{'' if logged else rotated}")


def readings_failure(host: Observed) -> str:
    """Return what forbids comparing the two readings; empty when nothing does."""
    if len(host.readings) < 2:
        return f"{len(host.readings)} of 2 readings of the workers" + (f": {host.error}" if host.error else "")
    times = [moment for reading in host.readings if isinstance(moment := reading.get("time"), int | float)]
    if len(times) < 2:
        return "a reading without a time"
    if times[1] - times[0] < MIN_SECONDS_BETWEEN_READINGS:
        return f"readings only {times[1] - times[0]:.1f} s apart"
    for number, word in enumerate(("first", "second")):
        serving = host.serving(number)
        if len(serving) != 1:
            who = ", ".join(f"{one.get('container')} (release {one.get('release')})" for one in serving)
            return f"{len(serving)} serving workers at the {word} reading" + (f": {who}" if who else "")
    return ""


def ids_failure(host: Observed) -> str:
    """Return why the two readings do not show one worker; empty when they do."""
    first, second = host.worker(0), host.worker(1)
    if first.get("container_id") != second.get("container_id"):
        return f"another container at the second reading: {first.get('container')}, then {second.get('container')}"
    if not second.get("connected"):
        return f"a connection failure after the latest registration of {second.get('worker_id') or 'the worker'}"
    ids = (first.get("worker_id"), second.get("worker_id"))
    if ids[1] and ids[0] != ids[1]:
        reconnects = f", {second.get('reconnects')} reconnects" if second.get("reconnects") else ""
        return f"worker id {ids[0] or 'unknown'} at the first and {ids[1]} at the second reading{reconnects}"
    if not any(ids) and not host.proof:
        return "no worker id: the log has no registration line and the worker answered no probe"
    return ""
