# SPDX-License-Identifier: Apache-2.0
"""A job that was meant for the host's worker got there."""

from __future__ import annotations

from collections import Counter
from typing import Any

from ...worker.worker_log import NODE_REMEDY
from .. import verdicts
from ..observed import Host, asked_for, asked_for_job
from .check import Check


def check_directed_probe(host: Host) -> Check:
    """A job that was meant for this worker got there; of a name that is sampled, one of the dispatches to it did."""
    if host.sampled:
        return check_samples(host)
    probe, worker = host.directed, host.worker()
    target, who = f"{host.name}/{host.release}", host.worker_id or "its worker"
    expected = f"a probe directed at {target} is answered by {who}, whose log has the job"
    found, remedy = trouble_of_directed(host, probe, worker)
    if found:
        return Check("directed_probe", False, found, expected, remedy)
    return Check(
        "directed_probe",
        True,
        f"job {probe['job_id']} answered by {probe['worker_id']}, in the log of {host.container}",
        expected,
        "",
    )


def trouble_of_directed(host: Host, probe: dict[str, Any], worker: dict[str, Any]) -> tuple[str, str]:
    """Found and remedy; empty when the probe proves what it should."""
    outcome, job, taker = probe.get("outcome"), probe.get("job_id"), probe.get("worker_id")
    logged = asked_for_job(worker, job)
    if not probe:
        return "no directed probe was sent", host.verify_command
    if outcome == "error":
        return str(probe.get("reason") or "the probe failed"), "see what was found, and run verify.yml again"
    if outcome != "taken" or not job:
        return not_answered(host, probe, worker)
    if not taker:
        text = "and this host's log has it" if logged else "and this host's log does not have it"
        return (
            f"job {job} is listed without a worker id (LiveKit servers before 1.9.1 tell none), {text}",
            "upgrade the LiveKit server to 1.9.1 or newer",
        )
    if host.worker_id and taker != host.worker_id:
        text = f"job {job} was taken by {taker}; the worker here is {host.worker_id}"
        return (
            text + (", which was asked too" if logged else ""),
            f"find out who {taker} is: another worker has the name {host.agent_name!r}; give one of them another",
        )
    if not logged:
        return (
            f"job {job} of {taker} is not in the log of {host.container}",
            f"{host.log_command}; the worker must log at INFO",
        )
    return "", ""


def check_samples(host: Host) -> Check:
    who, count = host.worker_id or "its worker", len(host.samples)
    expected = f"one of the plain dispatches to {host.agent_name!r} is taken by {who}, whose log has the job"
    if not count:
        return Check("directed_probe", True, "not checked: a worker of the name has no probe hook, and sampling is off", expected, "")
    mine = host.own_samples
    if mine:
        found = f"sampling: {len(mine)} of {count} plain dispatches taken by {who}, in the log of {host.container}"
        return Check("directed_probe", True, found, expected, "")
    taken = Counter(verdicts.takers(host.samples))
    whom = ", ".join(f"{number} by {worker_id}" for worker_id, number in sorted(taken.items())) or "none by anybody"
    found = f"sampling: of {count} plain dispatches {whom}, none by {who} with the job in the log of {host.container}"
    remedy = f"{host.log_command}; compare its LIVEKIT_URL, agent name and load with the inventory; the worker must log at INFO"
    return Check("directed_probe", False, found, expected, remedy)


def not_answered(host: Host, probe: dict[str, Any], worker: dict[str, Any]) -> tuple[str, str]:
    reason = str(probe.get("reason") or "no worker took the probe")
    if asked_for(worker, probe):
        found = f"{reason}; the worker here was asked (room {probe.get('room')} is in its log) and did not answer it"
        return (
            found,
            NODE_REMEDY
            if worker.get("sdk") == "node"
            else "install the probe hook, set LIVEKIT_DEPLOY_INSTANCE to <host>/<release>, answer requests within 2.8 s",
        )
    return (
        f"{reason}; the worker here was not asked",
        f"{host.log_command}; compare its LIVEKIT_URL, agent name and load with the inventory",
    )
