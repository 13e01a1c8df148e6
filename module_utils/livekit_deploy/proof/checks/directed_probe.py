# SPDX-License-Identifier: Apache-2.0
"""A job that was meant for the host's worker got there."""

from __future__ import annotations

from collections import Counter

from ...worker.log_words import NODE_REMEDY
from .. import verdicts
from ..observed import Observed, asked_for, asked_for_job
from .check import Check, Failure

NAME = "directed_probe"
HOOK_REMEDY = "install the probe hook, set LIVEKIT_DEPLOY_INSTANCE to <host>/<release>, answer requests within 2.8 s"


def check_directed_probe(host: Observed) -> Check:
    """Check that a directed probe reached the worker; of a sampled name, that one of the dispatches to it did."""
    if host.sampled:
        return check_samples(host)
    probe, who = host.directed, host.worker_id or "its worker"
    expected = f"a probe directed at {host.name}/{host.release} is answered by {who}, whose log has the job"
    if failure := answer_failure(host) or taker_failure(host):
        return Check.fails(NAME, expected, failure)
    found = f"job {probe['job_id']} answered by {probe['worker_id']}, in the log of {host.container}"
    return Check.holds(NAME, expected, found)


def answer_failure(host: Observed) -> Failure | None:
    """Return why no worker answered the probe."""
    probe = host.directed
    if not probe:
        return Failure("no directed probe was sent", host.verify_command)
    if probe.get("outcome") == "error":
        reason = str(probe.get("reason") or "the probe failed")
        return Failure(reason, "see what was found, and run verify.yml again")
    if probe.get("outcome") != "taken" or not probe.get("job_id"):
        return unanswered(host)
    return None


def unanswered(host: Observed) -> Failure:
    probe, worker = host.directed, host.worker()
    reason = str(probe.get("reason") or "no worker took the probe")
    if asked_for(worker, probe):
        asked = f"the worker here was asked (room {probe.get('room')} is in its log) and did not answer it"
        return Failure(f"{reason}; {asked}", NODE_REMEDY if worker.get("sdk") == "node" else HOOK_REMEDY)
    remedy = f"{host.log_command}; compare its LIVEKIT_URL, agent name and load with the inventory"
    return Failure(f"{reason}; the worker here was not asked", remedy)


def taker_failure(host: Observed) -> Failure | None:
    """Return why the worker that answered is not proven to be this host's."""
    job, taker = host.directed.get("job_id"), host.directed.get("worker_id")
    logged = asked_for_job(host.worker(), job)
    if not taker:
        text = "and this host's log has it" if logged else "and this host's log does not have it"
        found = f"job {job} is listed without a worker id (LiveKit servers before 1.9.1 tell none), {text}"
        return Failure(found, "upgrade the LiveKit server to 1.9.1 or newer")
    if host.worker_id and taker != host.worker_id:
        found = f"job {job} was taken by {taker}; the worker here is {host.worker_id}"
        remedy = f"find out who {taker} is: another worker has the name {host.agent_name!r}; give one of them another"
        return Failure(found + (", which was asked too" if logged else ""), remedy)
    if not logged:
        found = f"job {job} of {taker} is not in the log of {host.container}"
        return Failure(found, f"{host.log_command}; the worker must log at INFO")
    return None


def check_samples(host: Observed) -> Check:
    who, count = host.worker_id or "its worker", len(host.samples)
    expected = f"one of the plain dispatches to {host.agent_name!r} is taken by {who}, whose log has the job"
    if not count:
        found = "not checked: a worker of the name has no probe hook, and sampling is off"
        return Check.holds(NAME, expected, found)
    if mine := host.own_samples:
        found = f"sampling: {len(mine)} of {count} plain dispatches taken by {who}, in the log of {host.container}"
        return Check.holds(NAME, expected, found)
    taken = Counter(verdicts.taker_ids(host.samples))
    whom = ", ".join(f"{number} by {worker_id}" for worker_id, number in sorted(taken.items())) or "none by anybody"
    found = f"sampling: of {count} plain dispatches {whom}, none by {who} with the job in the log of {host.container}"
    remedy = "compare its LIVEKIT_URL, agent name and load with the inventory; the worker must log at INFO"
    return Check.fails(NAME, expected, Failure(found, f"{host.log_command}; {remedy}"))
