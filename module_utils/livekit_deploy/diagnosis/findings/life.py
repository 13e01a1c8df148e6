# SPDX-License-Identifier: Apache-2.0
"""Is there a worker, does it stay, and does it take what it is offered?"""

from __future__ import annotations

from ...worker.log_words import ANSWER_SECONDS
from ...worker.types import WorkerReading
from ..finding import Finding, Holds, RuledOut, Unknown
from ..host_view import HostView
from ..missing import MissingError, known_value, need, reading_reach
from ..moments import epoch_seconds, utc
from ..sightings import worker_label, worker_place
from .connection import last_failure_text

TARGET_LOAD = 0.7  # agents.target_load of the server: a worker above it is offered nothing
STORM = 3  # registrations within STORM_SECONDS that are no normal start
STORM_SECONDS = 60.0


def for_want_of_memory(worker: WorkerReading) -> list[str]:
    return ["a process in it was killed for want of memory"] if worker.get("oom_killed") else []


def last_lines(worker: WorkerReading) -> list[str]:
    lines = worker.get("last_lines") or []
    return [f"its last lines: {' | '.join(str(line) for line in lines[-2:])}"] if lines else []


def no_release(host: HostView) -> Finding:
    if not host.unread and "release" in host.evidence and host.evidence["release"] is None:
        missing = host.evidence.get("missing")
        lacks = [f"{host.name} lacks {', '.join(missing)}"] if missing else []
        return Holds([f"{host.name} has no serving release", *lacks])
    return RuledOut(f"release {host.need('release').get('id')} serves on {host.name}")


def crash_loop(host: HostView) -> Finding:
    worker = host.worker
    start = utc(worker.get("started_at"))
    if worker.get("restarts") and (started_since(host) or worker.get("running") is False):
        code = "" if worker.get("exit_code") is None else f", exit status {worker['exit_code']}"
        text = f"{worker_place(worker)} was restarted {worker['restarts']} times, last at {start}{code}"
        return Holds([text, *for_want_of_memory(worker), *last_lines(worker)], certain=not worker.get("connected"))
    if host.serving("restarts") and host.serving("running"):
        return RuledOut(f"{worker_place(worker)} has run since {utc(host.serving('started_at'))}, before {host.since}")
    return RuledOut(f"{worker_place(worker)} was never restarted since {start}")


def started_since(host: HostView) -> bool:
    """Tell whether the worker started within the time looked at, as far as is known."""
    started, since = epoch_seconds(host.worker.get("started_at")), epoch_seconds(host.evidence.get("since"))
    return started is None or since is None or started >= since


def not_running(host: HostView) -> Finding:
    worker, services = host.worker, host.evidence.get("services") or {}
    if worker.get("running") is False:
        text = f"{worker_place(worker)} does not run (exit status {worker.get('exit_code')}; 0 is no success)"
        return Holds([text, *for_want_of_memory(worker), *last_lines(worker)])
    if host.release and not host.unmanaged and "services" in host.evidence and "agent-worker" not in services:
        return Holds([f"release {host.release} on {host.name} has no container of the service agent-worker"])
    runs = f"{worker_place(worker)} runs since {utc(worker.get('started_at'))}"
    return RuledOut(runs) if host.serving() else Unknown("not known")


def connection_lost(host: HostView) -> Finding:
    worker = host.worker
    if worker.get("connected") is False and worker.get("worker_id") and worker.get("running"):
        return Holds([f"{worker['worker_id']} of {worker_place(worker)} lost the server{last_failure_text(worker)}"])
    now, since = epoch_seconds(host.evidence.get("time")), epoch_seconds(host.evidence.get("since")) or 0.0
    last = last_storm(worker)
    if last and last >= since:
        times = f"{len(registration_times(worker))} times, {STORM} times within {STORM_SECONDS:.0f} s"
        text = f"{worker_place(worker)} registered {times} up to {utc(last)}"
        return Holds([text], certain=now is None or now - last < STORM_SECONDS)
    registrations = host.serving("registrations")
    if host.serving("connected"):
        registered = epoch_seconds(worker.get("registered_since"))
        if (registered or now or 0.0) > since:
            host.worker_log()
        lasts = f"is connected since {utc(worker.get('registered_since'))}"
        return RuledOut(f"{worker_label(worker)} {lasts}, {len(registrations)} registrations")
    return Unknown(f"{worker_place(worker)} is not connected and never was since its last start")


def registration_times(worker: WorkerReading) -> list[float]:
    return sorted(t for t in map(epoch_seconds, worker.get("registrations") or []) if t)


def last_storm(worker: WorkerReading) -> float | None:
    """Return the end of the last storm of registrations; None without any."""
    times = registration_times(worker)
    storms = [t for first, t in zip(times, times[STORM - 1 :], strict=False) if t - first <= STORM_SECONDS]
    return storms[-1] if storms else None


def draining(host: HostView) -> Finding:
    worker = host.worker
    if worker.get("draining"):
        drains = f"{worker_label(worker)} of {worker_place(worker)} drains"
        return Holds([f"{drains}: it finishes its calls, takes no new one and ends"])
    host.serving("draining")
    if host.directed_answered:
        return RuledOut(f"{host.directed['worker_id']} was offered a probe and answered it")
    started = known_value(epoch_seconds(host.serving("started_at")), f"when {worker_place(worker)} started")
    if not reading_reach(worker, host.log_name).covers(started):
        raise MissingError(f"{host.log_name} does not reach back to its start at {utc(started)}")
    return RuledOut(f"{host.log_name} has no sign of draining")


def gate_closed(host: HostView) -> Finding:
    passed = host.worker.get("passed_on") or 0
    if host.evidence.get("gate") == "closed":
        count = f"; its worker passed {passed} requests on since {host.since}" if passed else ""
        gate = f"the standby gate of release {host.release}, which serves on {host.name}"
        return Holds([f"{gate}, is closed{count}"])
    if host.need("gate") != "open":
        return Unknown(f"the standby gate of {host.name} says {host.evidence['gate']!r}")
    return RuledOut(f"the standby gate of release {host.release} is open")


def full(host: HostView) -> Finding:
    worker, load, found = host.worker, host.worker.get("load"), []
    if worker.get("full"):
        found.append(f"{worker_place(worker)} says that it is at full capacity ({worker.get('active_jobs')} jobs)")
    if isinstance(load, int | float) and load >= TARGET_LOAD:
        limit = f"from {TARGET_LOAD} on the server offers it nothing (agents.target_load)"
        found.append(f"its load is {load:.2f}; {limit}")
    if found:
        return Holds(found, certain=not host.directed_answered)
    if host.directed_answered:
        return RuledOut(f"the server offered {host.directed['worker_id']} a probe, which it answered")
    host.serving("full")
    return RuledOut(f"load {host.serving('load'):.2f}, {worker.get('active_jobs')} jobs")


def slow_handler(host: HostView) -> Finding:
    probe = host.directed
    ignored = probe.get("outcome") == "nobody" and host.was_asked_for(probe.get("room"))
    if found := [*ignored_probe(host, ignored), *late_answers(host)]:
        return Holds(found, certain=ignored)
    host.worker_log()
    failing = host.serving("late") or host.serving("unanswered")
    if not probe and not host.hook and not failing:
        return not_probed(host)
    if failing or not need(probe, "outcome", f"the directed probe to {host.name}"):
        return Unknown(f"no probe to {host.name} was answered")
    if host.directed_answered:
        latency = f"after {probe.get('latency_seconds')} s"
        return RuledOut(f"the worker answered the directed probe, in the server's list {latency}")
    return Unknown(f"no probe to {host.name} was answered by its worker")


def ignored_probe(host: HostView, ignored: bool) -> list[str]:
    asked = f"{worker_place(host.worker)} was asked for the probe in room {host.directed.get('room')}"
    return [f"{asked} and gave no answer that counted"] if ignored else []


def late_answers(host: HostView) -> list[str]:
    late, none = host.worker.get("late") or 0, host.worker.get("unanswered") or 0
    counts = f"answered after more than {ANSWER_SECONDS} s: {late}, not at all: {none}"
    return [f"requests since {host.since} that it {counts}"] if late or none else []


def not_probed(host: HostView) -> Finding:
    """Judge a worker without the hook, which no probe can ask, by what it was asked for."""
    no_hook = "it has no hook to be probed"
    if host.requests:
        count = f"{len(host.requests)} requests since {host.since}"
        return RuledOut(f"none of {count} was left unanswered; {no_hook}")
    return Unknown(f"nobody asked the worker of {host.name} since {host.since}, and {no_hook}", idle=True)


def entrypoint_fails(host: HostView) -> Finding:
    worker, errors = host.worker, host.worker.get("entrypoint_errors") or 0
    if errors:
        failed = f"jobs of {worker_place(worker)} that failed with an exception since {host.since}"
        against = [f"{len(host.requests)} job requests in that time"]
        text = f"{failed}: {errors}, {worker.get('last_entrypoint_error')}"
        return Holds([text], against, certain=errors >= len(host.requests))
    host.serving("entrypoint_errors")
    host.serving("requests")
    host.worker_log()
    host.no_unknown_errors()
    if not host.requests:
        return Unknown(f"no job came to {host.name} since {host.since}, so its entrypoint did not run", idle=True)
    count = f"{len(host.requests)} job requests since {host.since}"
    return RuledOut(f"no unhandled exception in {host.log_name}, {count}")
