# SPDX-License-Identifier: Apache-2.0
"""For each cause of missing jobs: does it hold on a host, is it ruled out, or is it unknown? Pure.

Each function looks first for what speaks for the cause, with whatever was read, and then asks for all that it takes to rule the cause out;
what is missing there ends it with MissingError, which is reported as unknown: nothing is inferred from what could not be read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from ..common.commands import shell
from ..inventory.addresses import normalised_url
from ..proof.verdicts import GOOD
from ..release.records import API
from ..worker.log_words import ANSWER_SECONDS, KILLED
from . import world as view
from .world import Host, MissingError, Rival, mapping, need, place, utc

NAME_VARIABLES = ("LIVEKIT_AGENT_NAME", "AGENT_NAME")
CLOCK_LIMIT_SECONDS = 30.0
TARGET_LOAD = 0.7  # agents.target_load of the server: a worker above it is offered nothing
NAME_VARIABLE_SINCE, OVERRIDE_SINCE = (1, 5, 7), (1, 6, 0)  # livekit-agents
STORM = 3  # registrations within STORM_SECONDS that are no normal start
STORM_SECONDS = 60.0


@dataclass(frozen=True)
class Holds:
    """What speaks for the cause, and what against it; not certain where it may explain only some of the lost jobs."""

    evidence: Sequence[str]
    against: Sequence[str] = ()
    certain: bool = True
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RuledOut:
    by: str


@dataclass(frozen=True)
class Unknown:
    """Not decided; ``idle`` when nothing happened that would show it, so that nothing was left unread."""

    why: str
    idle: bool = False


Finding = Holds | RuledOut | Unknown


def of_the_api(finding: Callable[[Host], Finding]) -> Callable[[Host], Finding]:
    """A cause on the way through the host's own API: ruled out where its release has none."""

    @wraps(finding)
    def found(host: Host) -> Finding:
        if host.release and API not in host.services:
            return RuledOut(f"release {host.release} on {host.name} has a worker only: no API of its own dispatches")
        return finding(host)

    return found


# --- server, key, address --------------------------------------------------------------------------------------------


def server_unreachable(host: Host) -> Finding:
    server = host.world.server
    if server.get("reachable") is False:
        remedy = {"what_to_do": server.get("remedy")} if server.get("remedy") else {}
        return Holds([str(server.get("found") or "the LiveKit server did not answer")], values=remedy)
    need(server, "reachable", "whether the LiveKit server answers")
    return RuledOut(f"the LiveKit server answered the controller in {server.get('seconds')} s")


def wrong_key(host: Host) -> Finding:
    server, worker, found = host.world.server, host.worker, []
    if server.get("reachable") and server.get("key_accepted") is False:
        found.append(str(server.get("found") or "the server refuses the key of the inventory"))
    if worker.get("connected") is False and worker.get("unauthorized"):
        found.append(f"{place(worker)} was refused {worker['unauthorized']} times with status 401{last_failure(worker)}")
    if found:
        return Holds(found)
    if not need(server, "key_accepted", "whether the server accepts the key"):
        return Unknown("the server did not answer, so nothing is known of its keys")
    if host.serving("connected"):
        return RuledOut(f"the server accepts the inventory's key, and {view.name_of(worker)} is registered with that of its container")
    host.worker_log()
    if host.serving("failures") and not host.serving("unauthorized"):
        return RuledOut(f"none of the {worker['failures']} connection failures of {place(worker)} has status 401")
    return Unknown(f"{place(worker)} is not connected, and its log does not say why")


def wrong_url(host: Host) -> Finding:
    worker = host.worker
    failure = mapping(worker.get("last_failure"))
    refused = "401, message=" in str(failure.get("error"))
    if failure and worker.get("connected") is False and not worker.get("worker_id") and not refused:
        found = [f"{place(worker)} reaches no LiveKit server at {worker.get('configured_url')}{last_failure(worker)}"]
        if normalised_url(str(worker.get("configured_url"))) != normalised_url(str(host.data.get("livekit_url"))):
            found.append(f"the inventory has livekit_url {host.data.get('livekit_url')}")
        if host.world.server.get("reachable"):
            found.append(f"the controller reaches the server in {host.world.server.get('seconds')} s")
        return Holds(found)
    if host.serving("connected"):
        return RuledOut(f"{view.name_of(worker)} is registered at {worker.get('url')} since {utc(worker.get('registered_since'))}")
    if worker.get("worker_id") or refused:
        return RuledOut(f"{place(worker)} reached a LiveKit server" + (" (it was refused: 401)" if refused else " before it lost it"))
    return Unknown(f"{place(worker)} is not connected, and its log does not say why")


def different_urls(host: Host) -> Finding:
    api, worker = mapping(host.evidence.get("api")), host.worker
    urls = {
        "the inventory": host.data.get("livekit_url"),
        f"the API's container {api.get('container')}": api.get("url"),
        f"the worker's {place(worker)}": worker.get("configured_url"),
    }
    known = {who: str(url) for who, url in urls.items() if url}
    if len({normalised_url(url) or url for url in known.values()}) > 1:
        against = "harmless if all of these addresses lead to one server"
        return Holds([f"{who} has {url}" for who, url in known.items()], [against])
    if len(known) < len(urls):
        raise MissingError(f"the LiveKit URL of {', '.join(set(urls) - set(known))} on {host.name} is not known")
    return RuledOut(f"inventory, API and worker all have {host.data.get('livekit_url')}")


def clock_skew(host: Host) -> Finding:
    skew = host.evidence.get("clock_skew_seconds")
    if isinstance(skew, int | float) and abs(skew) > CLOCK_LIMIT_SECONDS:
        return Holds([f"the clock of {host.name} is {skew} s from the controller's; LiveKit refuses tokens of another time"])
    if host.world.server.get("kind") == "clock":
        return Holds([str(host.world.server.get("found"))])
    if not need(host.world.server, "key_accepted", "whether the server accepts a token"):
        need(host.world.server, "kind", "why the server does not accept a token")
    return RuledOut(f"the clock of {host.name} is {host.need('clock_skew_seconds')} s from the controller's")


# --- is there a worker, and does it stay -----------------------------------------------------------------------------


def last_failure(worker: Mapping[str, Any]) -> str:
    failure = mapping(worker.get("last_failure"))
    return f", last at {utc(failure.get('time'))}: {failure.get('error') or failure.get('message')}" if failure else ""


def for_want_of_memory(worker: Mapping[str, Any]) -> list[str]:
    return ["a process in it was killed for want of memory"] if worker.get("oom_killed") else []


def last_lines(worker: Mapping[str, Any]) -> list[str]:
    lines = worker.get("last_lines") or []
    return [f"its last lines: {' | '.join(str(line) for line in lines[-2:])}"] if lines else []


def no_release(host: Host) -> Finding:
    if not host.unread and "release" in host.evidence and host.evidence["release"] is None:
        lacking = [f"{host.name} lacks {', '.join(host.evidence['missing'])}"] if host.evidence.get("missing") else []
        return Holds([f"{host.name} has no serving release", *lacking])
    return RuledOut(f"release {host.need('release').get('id')} serves on {host.name}")


def crash_loop(host: Host) -> Finding:
    worker = host.worker
    started, since = view.moment(worker.get("started_at")), view.moment(host.evidence.get("since"))
    recent = started is None or since is None or started >= since
    if worker.get("restarts") and (recent or worker.get("running") is False):
        code = "" if worker.get("exit_code") is None else f", exit status {worker['exit_code']}"
        text = f"{place(worker)} was restarted {worker['restarts']} times, last at {utc(worker.get('started_at'))}{code}"
        return Holds([text, *for_want_of_memory(worker), *last_lines(worker)], certain=not worker.get("connected"))
    if host.serving("restarts") and host.serving("running"):
        return RuledOut(f"{place(worker)} has run since {utc(host.serving('started_at'))}, before {host.since}")
    return RuledOut(f"{place(worker)} was never restarted since {utc(worker.get('started_at'))}")


def not_running(host: Host) -> Finding:
    worker, services = host.worker, mapping(host.evidence.get("services"))
    if worker.get("running") is False:
        text = f"{place(worker)} does not run (exit status {worker.get('exit_code')}; 0 is no success)"
        return Holds([text, *for_want_of_memory(worker), *last_lines(worker)])
    if host.release and "services" in host.evidence and "agent-worker" not in services:
        return Holds([f"release {host.release} on {host.name} has no container of the service agent-worker"])
    return RuledOut(f"{place(worker)} runs since {utc(worker.get('started_at'))}") if host.serving() else Unknown("not known")


def connection_lost(host: Host) -> Finding:
    worker = host.worker
    times = sorted(t for t in map(view.moment, worker.get("registrations") or []) if t)
    storms = [t for first, t in zip(times, times[STORM - 1 :], strict=False) if t - first <= STORM_SECONDS]
    now = view.moment(host.evidence.get("time"))
    since = view.moment(host.evidence.get("since")) or 0.0
    if worker.get("connected") is False and worker.get("worker_id") and worker.get("running"):
        return Holds([f"{worker['worker_id']} of {place(worker)} lost the server{last_failure(worker)}"])
    if storms and storms[-1] >= since:
        text = f"{place(worker)} registered {len(times)} times, {STORM} times within {STORM_SECONDS:.0f} s up to {utc(storms[-1])}"
        return Holds([text], certain=now is None or now - storms[-1] < STORM_SECONDS)
    registrations = host.serving("registrations")
    if host.serving("connected"):
        since_when = utc(worker.get("registered_since"))
        if (view.moment(worker.get("registered_since")) or now or 0.0) > since:
            host.worker_log()
        return RuledOut(f"{view.name_of(worker)} is connected since {since_when}, {len(registrations)} registrations")
    return Unknown(f"{place(worker)} is not connected and never was since its last start")


def draining(host: Host) -> Finding:
    if host.worker.get("draining"):
        return Holds([f"{view.name_of(host.worker)} of {place(host.worker)} drains: it finishes its calls, takes no new one and ends"])
    host.serving("draining")
    if host.directed_answered:
        return RuledOut(f"{host.directed['worker_id']} was offered a probe and answered it")
    started = need({"time": view.moment(host.serving("started_at"))}, "time", f"when {place(host.worker)} started")
    if not view.reach_of(host.worker, f"the log of {place(host.worker)}").covers(started):
        raise MissingError(f"the log of {place(host.worker)} does not reach back to its start at {utc(started)}")
    return RuledOut(f"the log of {place(host.worker)} has no sign of draining")


def gate_closed(host: Host) -> Finding:
    passed = host.worker.get("passed_on") or 0
    if host.evidence.get("gate") == "closed":
        count = f"; its worker passed {passed} requests on since {host.since}" if passed else ""
        return Holds([f"the standby gate of release {host.release}, which serves on {host.name}, is closed{count}"])
    if host.need("gate") != "open":
        return Unknown(f"the standby gate of {host.name} says {host.evidence['gate']!r}")
    return RuledOut(f"the standby gate of release {host.release} is open")


def full(host: Host) -> Finding:
    worker, found = host.worker, []
    if worker.get("full"):
        found.append(f"{place(worker)} says that it is at full capacity ({worker.get('active_jobs')} jobs)")
    if isinstance(worker.get("load"), int | float) and worker["load"] >= TARGET_LOAD:
        found.append(f"its load is {worker['load']:.2f}; from {TARGET_LOAD} on the server offers it nothing (agents.target_load)")
    if found:
        return Holds(found, certain=not host.directed_answered)
    if host.directed_answered:
        return RuledOut(f"the server offered {host.directed['worker_id']} a probe, which it answered")
    host.serving("full")
    return RuledOut(f"load {host.serving('load'):.2f}, {worker.get('active_jobs')} jobs")


def slow_handler(host: Host) -> Finding:
    probe, worker, found = host.directed, host.worker, []
    ignored = probe.get("outcome") == "nobody" and host.has_room(probe.get("room"))
    if ignored:
        found.append(f"{place(worker)} was asked for the probe in room {probe.get('room')} and gave no answer that counted")
    if worker.get("late") or worker.get("unanswered"):
        late, none = worker.get("late") or 0, worker.get("unanswered") or 0
        found.append(f"requests since {host.since} that it answered after more than {ANSWER_SECONDS} s: {late}, not at all: {none}")
    if found:
        return Holds(found, certain=ignored)
    host.worker_log()
    if not probe and not host.hook and not host.serving("late") and not host.serving("unanswered"):
        if host.requests:
            return RuledOut(f"none of {len(host.requests)} requests since {host.since} was left unanswered; it has no hook to be probed")
        return Unknown(f"nobody asked the worker of {host.name} since {host.since}, and it has no hook to be probed", idle=True)
    if host.serving("late") or host.serving("unanswered") or not need(probe, "outcome", f"the directed probe to {host.name}"):
        return Unknown(f"no probe to {host.name} was answered")
    if host.directed_answered:
        return RuledOut(f"the worker answered the directed probe, in the server's list after {probe.get('latency_seconds')} s")
    return Unknown(f"no probe to {host.name} was answered by its worker")


def entrypoint_fails(host: Host) -> Finding:
    worker, errors = host.worker, host.worker.get("entrypoint_errors") or 0
    if errors:
        text = f"jobs of {place(worker)} that failed with an exception since {host.since}: {errors}, {worker.get('last_entrypoint_error')}"
        return Holds([text], [f"{len(host.requests)} job requests in that time"], certain=errors >= len(host.requests))
    host.serving("entrypoint_errors")
    host.serving("requests")
    host.worker_log()
    host.no_unknown_errors()
    if not host.requests:
        return Unknown(f"no job came to {host.name} since {host.since}, so its entrypoint did not run", idle=True)
    return RuledOut(f"no unhandled exception in the log of {place(worker)}, {len(host.requests)} job requests since {host.since}")


# --- jobs that came and died ---


def out_of_memory(host: Host) -> Finding:
    worker, killed = host.worker, trouble(host, KILLED)
    found = [told(host, killed)] if killed else []
    if worker.get("oom_killed"):
        start = utc(worker.get("started_at"))
        found.append(f"since its start at {start} a process in {place(worker)} was killed for want of memory")
    if found:
        return Holds(found, of_requests(host), certain=bool(killed) and (bool(worker.get("oom_killed")) or outnumbers(host, killed)))
    host.serving("oom_killed")
    return nothing_of(host, "of a process that was killed")


def job_trouble(kind: str, what: str) -> Callable[[Host], Finding]:
    """A cause that the worker's own log names."""

    def found(host: Host) -> Finding:
        seen = trouble(host, kind)
        if seen:
            return Holds([told(host, seen)], of_requests(host), certain=outnumbers(host, seen))
        return nothing_of(host, what)

    return found


def trouble(host: Host, kind: str) -> dict[str, Any]:
    return mapping(mapping(host.worker.get("troubles")).get(kind))


def told(host: Host, seen: Mapping[str, Any]) -> str:
    line = ": ".join(str(part) for part in (seen.get("line"), seen.get("error")) if part)
    return f"{place(host.worker)} logged it {seen.get('count')} times since {host.since}, last at {utc(seen.get('time'))}: {line}"


def of_requests(host: Host) -> list[str]:
    return [f"{len(host.requests)} job requests in that time"] if host.requests else []


def outnumbers(host: Host, seen: Mapping[str, Any]) -> bool:
    """True if there are as many of it as requests: else it may explain some of the lost jobs only."""
    return int(seen.get("count") or 0) >= len(host.requests)


def nothing_of(host: Host, what: str) -> Finding:
    host.serving("troubles")
    host.worker_log()
    host.no_unknown_errors()
    return RuledOut(f"no line {what} in the log of {place(host.worker)} since {host.since}")


# --- names -----------------------------------------------------------------------------------------------------------


def edited_not_recreated(host: Host) -> Finding:
    edits = [text for service in host.services for text in edits_of(host, service)]
    if edits:
        return Holds([*edits, "a restart keeps the environment a container was created with"])
    for service in host.services:
        written = mapping(need(mapping(host.need("written")), service, f"the files of {service} on {host.name}"))
        running = mapping(need(host.service(service), "env", f"the environment of {service} on {host.name}"))
        unread = [v for v in NAME_VARIABLES if v not in written or v not in running]
        need({"url": running_url(host, service)}, "url", f"LIVEKIT_URL of the container of {service} on {host.name}")
        if unread or "LIVEKIT_URL" not in written:
            raise MissingError(f"{', '.join(unread or ['LIVEKIT_URL'])} of {service} on {host.name} is not known")
    return RuledOut(f"files and containers of release {host.release} on {host.name} have the same names")


def edits_of(host: Host, service: str) -> list[str]:
    """What the files of a service say now, was not deployed so, and its container was not created with."""
    written = mapping(mapping(host.evidence.get("written")).get(service))
    state = mapping(mapping(host.evidence.get("services")).get(service))
    running = {**mapping(state.get("env")), "LIVEKIT_URL": running_url(host, service)}
    name = mapping(host.evidence.get("release")).get("agent_name")
    deployed = {**dict.fromkeys(NAME_VARIABLES, name), "LIVEKIT_URL": host.data.get("livekit_url")}
    started = f" and started at {utc(host.worker.get('started_at'))}" if service == "agent-worker" and host.worker.get("started_at") else ""
    return [
        f"{service}: the files have {variable} {written[variable]!r}, container {state.get('container')} was created with "
        f"{running[variable]!r}{started}"
        for variable in (*NAME_VARIABLES, "LIVEKIT_URL")
        if written.get(variable) and running.get(variable) and written[variable] not in (running[variable], deployed[variable])
    ]


def running_url(host: Host, service: str) -> Any:
    return mapping(host.evidence.get("api")).get("url") if service == "fastapi" else host.worker.get("configured_url")


def not_deployed(host: Host) -> Finding:
    deployed = mapping(host.evidence.get("release")).get("agent_name")
    if deployed and deployed != host.agent_name:
        return Holds([f"the inventory has {host.agent_name!r}, release {host.release} on {host.name} was deployed with {deployed!r}"])
    need(mapping(host.need("release")), "agent_name", f"the name in the release record of {host.name}")
    return RuledOut(f"release {host.release} was deployed with {deployed!r}")


def other_environment(host: Host) -> Finding:
    service = mapping(mapping(host.evidence.get("services")).get("agent-worker"))
    name = mapping(service.get("env")).get("LIVEKIT_AGENT_NAME")
    if name and name != host.agent_name and not host.worker.get("override"):
        return Holds([f"container {service.get('container')} on {host.name} was created with LIVEKIT_AGENT_NAME {name!r}"])
    environment = mapping(need(host.service("agent-worker"), "env", f"the environment of the worker on {host.name}"))
    need(environment, "LIVEKIT_AGENT_NAME", f"LIVEKIT_AGENT_NAME of {place(host.worker)} on {host.name}")
    return RuledOut(f"the worker's container was created with LIVEKIT_AGENT_NAME {name!r}" + overridden(host))


def overridden(host: Host) -> str:
    return f", and LIVEKIT_AGENT_NAME_OVERRIDE {host.worker['override']!r} decides" if host.worker.get("override") else ""


def wrong_override(host: Host) -> Finding:
    override = host.worker.get("override")
    if override and override != host.agent_name:
        return Holds([f"{place(host.worker)} has LIVEKIT_AGENT_NAME_OVERRIDE {override!r}, which beats every other name"])
    host.serving()
    if "override" not in host.worker:
        raise MissingError(f"LIVEKIT_AGENT_NAME_OVERRIDE of {place(host.worker)} on {host.name} is not known")
    return RuledOut(
        f"LIVEKIT_AGENT_NAME_OVERRIDE of {place(host.worker)} is {override!r}" if override else "LIVEKIT_AGENT_NAME_OVERRIDE is not set"
    )


def expected_name(host: Host) -> tuple[str, tuple[int, ...]]:
    """The name that the worker's environment asks for, and the first livekit-agents that listens to it; "" where it is not known."""
    if host.worker.get("override"):
        return str(host.worker["override"]), OVERRIDE_SINCE
    return str(mapping(host.worker.get("env")).get("LIVEKIT_AGENT_NAME") or ""), NAME_VARIABLE_SINCE


def wanted_name(host: Host) -> str:
    """As expected_name, but MissingError where it is not known."""
    if "override" not in host.worker:
        raise MissingError(f"LIVEKIT_AGENT_NAME_OVERRIDE of {place(host.worker)} on {host.name} is not known")
    return str(need({"name": expected_name(host)[0] or None}, "name", f"the name in the environment of {place(host.worker)}"))


def hardcoded_name(host: Host) -> Finding:
    worker, (expected, since), sdk = host.worker, expected_name(host), view.version(host.worker.get("sdk_version"))
    registered = worker.get("agent_name")
    if registered and expected and registered != expected and (not sdk or sdk >= since):
        found = f"{view.name_of(worker)} registered as {registered!r}, the environment of {place(worker)} says {expected!r}"
        if sdk:
            return Holds([found, f"livekit-agents {worker['sdk_version']} takes the name from the environment unless the code has one"])
        text = f"its livekit-agents version is not known; one before {'.'.join(map(str, since))} does not read the variable"
        return Holds([found], [text], certain=False)
    registered = host.serving("agent_name")
    if registered == wanted_name(host):
        return RuledOut(f"{view.name_of(worker)} registered as {registered!r}, as its environment says")
    return Unknown(f"livekit-agents {worker.get('sdk_version')} does not read the name from the environment")


def sdk_too_old(host: Host) -> Finding:
    worker, (expected, since), sdk = host.worker, expected_name(host), view.version(host.worker.get("sdk_version"))
    registered, least = worker.get("agent_name"), ".".join(map(str, since))
    if registered is not None and expected and registered != expected and sdk and sdk < since:
        found = f"{place(worker)} runs livekit-agents {worker['sdk_version']}, which does not read the name from the environment"
        return Holds([f"{found} (needs {least}): it registered as {registered!r}, not as {expected!r}"])
    if host.serving("agent_name") == wanted_name(host):
        return RuledOut(f"{view.name_of(worker)} registered as its environment says")
    host.serving("sdk_version")
    return RuledOut(f"livekit-agents {worker['sdk_version']} reads the name from the environment (since {least})")


def empty_name(host: Host) -> Finding:
    if host.worker.get("agent_name") == "":
        return Holds([f"{view.name_of(host.worker)} of {place(host.worker)} registered without a name: it joins every new room"])
    if not host.agent_name:
        return Holds([f"the inventory gives {host.name} no livekit_agent_name"])
    return RuledOut(f"{view.name_of(host.worker)} registered as {host.serving('agent_name')!r}")


def deployment_label(host: Host) -> Finding:
    worker = host.worker
    if worker.get("deployment"):
        found = f"{view.name_of(worker)} of {place(worker)} registered with the deployment label {worker['deployment']!r}"
        return Holds([f"{found}: only dispatches with that label reach it"])
    host.serving("worker_id")
    if "deployment" not in worker:
        raise MissingError(f"the deployment label of {place(worker)} is not known")
    return RuledOut(f"{worker['worker_id']} registered without a deployment label")


@of_the_api
def api_other_name(host: Host) -> Finding:
    api = mapping(host.evidence.get("api"))
    names = mapping(api.get("agent_names")) if api.get("read") else {}
    others, right = {name: count for name, count in names.items() if name != host.agent_name}, names.get(host.agent_name, 0)
    if others:
        listed = ", ".join(f"{count} to {name!r}" for name, count in sorted(others.items()))
        example: dict[str, Any] = next((d for d in reversed(host.dispatches) if d.get("agent_name") != host.agent_name), {})
        last = f", last room {example.get('room')} at {utc(example.get('time'))}" if example else ""
        found = f"the API on {host.name} dispatched {listed} and {right} to {host.agent_name!r} since {host.since}{last}"
        return Holds([found, *api_environment(host)], certain=not right)
    if api_environment(host) and not right:
        return Holds(api_environment(host))
    names = need(host.api_log(), "agent_names", f"the dispatches of the API on {host.name}")
    if right:
        return RuledOut(f"all {right} dispatches that the API on {host.name} logged since {host.since} are to {host.agent_name!r}")
    return Unknown(f"the API on {host.name} logged no dispatch since {host.since}", idle=True)


def api_environment(host: Host) -> list[str]:
    """What the API's container was created with and is not the host's name."""
    service = mapping(mapping(host.evidence.get("services")).get("fastapi"))
    env = mapping(service.get("env"))
    return [
        f"container {service.get('container')} was created with {variable} {env[variable]!r}"
        for variable in NAME_VARIABLES
        if env.get(variable) and env[variable] != host.agent_name
    ]


def sip_other_name(host: Host) -> Finding:
    sip = host.world.sip
    known = {other.agent_name for other in host.world.agent_hosts}
    rules = [rule for rule in view.entries(sip.get("rules")) if rule.get("agents")] if sip.get("checked") else []
    here = [rule for rule in rules if host.agent_name in rule["agents"]]
    strange = [rule for rule in rules if not known & set(rule["agents"])]
    if strange and not here:
        shared = host.data.get("shared_name")
        texts = [f"SIP dispatch rule {r.get('id')} ({r.get('name')}) sends calls to {', '.join(map(repr, r['agents']))}" for r in strange]
        against = ["calls by phone may be meant for another application on this server"]
        return Holds([*texts, f"no rule names {host.agent_name!r}"], against, certain=any(shared in r["agents"] for r in strange))
    if not need(sip, "checked", "the SIP dispatch rules"):
        raise MissingError(f"the SIP dispatch rules were not checked: {sip.get('reason')}")
    for known_rule in view.entries(need(sip, "rules", "the SIP dispatch rules")):
        need(known_rule, "agents", f"the agents of SIP dispatch rule {known_rule.get('id')}")
    if here:
        return RuledOut(f"SIP dispatch rule {here[0].get('id')} names {host.agent_name!r}")
    return RuledOut("the server has no SIP dispatch rule that names an agent of no host of the inventory")


# --- another worker --------------------------------------------------------------------------------------------------


def rival_holds(host: Host, rivals: list[Rival]) -> Holds:
    texts = [text for rival in rivals for text in (*rival.seen[:1], view.took(host, rival), *rival.seen[1:]) if text]
    against = [f"the worker of {host.name} answered the probe that only it may answer"] if host.directed_answered else []
    return Holds(texts, against, any(rival.certain for rival in rivals), rival_values(rivals[0]))


def rival_values(rival: Rival) -> dict[str, Any]:
    where = rival.host
    back = str(rival.worker.get("start_command") or "")
    back = back or (shell("docker", "start", "--", rival.worker["container"]) if rival.worker.get("container") else "")
    owner = f"pool {where.pool}" if where and where.owns(rival.worker) else ""
    return {
        "worker_id": rival.worker_id,
        "rival_host": where.name if where else "",
        "rival_place": place(rival.worker) if rival.worker else "",
        "rival_owner": f", a worker of {owner}" if owner else "",
        "start_again": f"on {where.name}: {back}" if where and back else "start that worker again where it was stopped",
    }


def foreign_here(host: Host) -> Finding:
    rivals = [rival for rival in host.rivals if rival.host is host]
    if rivals:
        return rival_holds(host, rivals)
    return no_rival(host, [host])


def foreign_known(host: Host) -> Finding:
    rivals = [rival for rival in host.rivals if rival.host and rival.host is not host]
    if rivals:
        return rival_holds(host, rivals)
    return no_rival(host, [other for other in host.world.hosts if other is not host])


def no_rival(host: Host, searched: list[Host]) -> Finding:
    """Rules a rival out on these hosts if every running worker there has a name that is known."""
    host.need("states")
    for where in searched:
        where.workers()
        if where.workers_hidden:
            raise MissingError(f"{where.name}: {where.workers_hidden}")
    others = [one for one in host.world.sightings if not host.ours(one.worker) and any(where in one.hosts for where in searched)]
    running = [one for one in others if one.worker.get("running") is not False]
    for one in running:
        need(one.worker, "running", f"whether {place(one.worker)} on {one.home(host).name} runs")
        need({"name": view.agent_name_of(one.worker)}, "name", f"the name in effect of {place(one.worker)} on {one.home(host).name}")
    names = ", ".join(where.name for where in searched) or "no other host in the run"
    return RuledOut(f"none of the {len(running)} other workers that were found has the name {host.agent_name!r} (searched: {names})")


def foreign_elsewhere(host: Host) -> Finding:
    rivals = [rival for rival in host.rivals if not rival.host]
    if rivals:
        return rival_holds(host, rivals)
    verdict = need(host.row, "verdict", f"the routing verdict on {host.agent_name!r}")
    if verdict in GOOD:
        blind = f"; not seen: {', '.join(host.routing['not_seen'])}" if host.routing.get("not_seen") else ""
        return RuledOut(f"verdict {verdict} by {host.routing.get('method')}{blind}")
    if verdict == "foreign" and host.rivals:
        return RuledOut("every worker that was seen under the name was found on a host that was read")
    return Unknown(f"the routing verdict is {verdict}: {host.routing.get('reason') or host.row.get('reason')}")


def foreign_gone(host: Host) -> Finding:
    found = []
    for one in [one for one in host.world.sightings if one.worker.get("running") is False and not host.ours(one.worker)]:
        requests = view.entries(one.worker.get("requests"))
        asked = [r for r in requests if (r.get("agent_name") or view.agent_name_of(one.worker)) == host.agent_name]
        if asked:
            stopped = f"{place(one.worker)} on {one.home(host).name}, which does not run any more"
            found.append(f"{stopped}, was asked for {len(asked)} jobs under {host.agent_name!r}, last at {utc(asked[-1].get('time'))}")
    if found:
        return Holds(found, certain=False)
    for where in host.world.hosts:
        for worker in where.workers():
            need(worker, "running", f"whether {place(worker)} on {where.name} runs")
            if not worker["running"]:
                whole(where, worker)
            for request in need(worker, "requests", f"the job requests of {place(worker)} on {where.name}"):
                need({"name": request.get("agent_name") or view.agent_name_of(worker)}, "name", f"the name of a job on {where.name}")
    host.need("states")
    return RuledOut(f"no stopped worker that was read has job requests under {host.agent_name!r}")


def whole(where: Host, worker: Mapping[str, Any]) -> None:
    """MissingError unless a stopped worker's log has all that it was asked for: from the start of the time looked at, or from its own."""
    what = f"the log of {place(worker)} on {where.name}"
    reach = view.reach_of(worker, what)
    if not reach.whole or reach.why:
        where.covered(worker, what)


# --- what comes in ---------------------------------------------------------------------------------------------------


@of_the_api
def api_not_running(host: Host) -> Finding:
    service = mapping(mapping(host.evidence.get("services")).get("fastapi"))
    if service.get("running") is False:
        return Holds([f"container {service.get('container')} of the API on {host.name} does not run"])
    if host.release and "services" in host.evidence and "fastapi" not in host.evidence["services"]:
        return Holds([f"release {host.release} on {host.name} has no container of the service fastapi"])
    need(host.service("fastapi"), "running", f"whether the API of {host.name} runs")
    return RuledOut(f"container {service.get('container')} runs")


@of_the_api
def api_fails(host: Host) -> Finding:
    api = mapping(host.evidence.get("api"))
    sent = sum(mapping(api.get("agent_names")).values())
    if api.get("failed"):
        text = f"the API on {host.name} failed to dispatch {api['failed']} times since {host.since}, last: {api.get('last_failure')}"
        return Holds([text], [f"{sent} dispatches went out in that time"] if sent else [], certain=api["failed"] >= sent)
    need(host.api_log(), "failed", f"the failures of the API on {host.name}")
    if not sent:
        return Unknown(f"the API on {host.name} logged no dispatch since {host.since}", idle=True)
    return RuledOut(f"{sent} dispatches and no failure in the API's log since {host.since}")


@of_the_api
def nobody_listened(host: Host) -> Finding:
    host.api()
    for member in host.members():
        for worker in member.workers():
            need(worker, "requests", f"the job requests of {place(worker)} on {member.name}")
    mine = [d for d in host.dispatches if d.get("agent_name") == host.agent_name]
    nowhere = [d for d in mine if view.destination(host, d) is None]
    begins = max(member.log_begins() for member in host.members())
    lost = [d for d in nowhere if (view.moment(d.get("time")) or 0.0) >= begins]
    if lost:
        first, last = utc(lost[0].get("time")), utc(lost[-1].get("time"))
        text = f"dispatches to {host.agent_name!r} that reached no worker that was read: {len(lost)} of {len(mine)}, from {first} to {last}"
        registered = f"the worker here is registered since {utc(host.worker.get('registered_since'))}"
        all_read = not any(other.unread for other in host.world.hosts)
        return Holds([text, registered, f"for example room {lost[-1].get('room')}"], certain=all_read and len(lost) == len(mine))
    host.api_log()
    if nowhere:
        raise MissingError(
            f"{len(nowhere)} of {len(mine)} dispatches are older than the logs of the workers of {host.agent_name!r}, which begin at "
            f"{utc(begins)}"
        )
    if not mine:
        return Unknown(f"the API on {host.name} logged no dispatch to {host.agent_name!r} since {host.since}", idle=True)
    return RuledOut(f"all {len(mine)} dispatches that the API on {host.name} logged reached a worker that was read")


@of_the_api
def no_web_traffic(host: Host) -> Finding:
    proxy = mapping(host.evidence.get("proxy"))
    others = [other for other in host.world.agent_hosts if other is not host]
    busy = {other.name: seen for other in others if (seen := mapping(other.evidence.get("proxy")).get("requests"))}
    if proxy.get("read") and proxy.get("requests") == 0 and busy and host.proxy_log():
        elsewhere = ", ".join(f"{count} on {name}" for name, count in busy.items())
        return Holds([f"nginx on {host.name} saw no request since {host.since}; {elsewhere}"], certain=False)
    requests = need(host.proxy(), "requests", f"the requests nginx saw on {host.name}")
    if requests:
        return RuledOut(f"nginx on {host.name} saw {requests} requests since {host.since}, last at {utc(proxy.get('last'))}")
    host.proxy_log()
    return Unknown(f"nginx saw no request on any host that was read since {host.since}", idle=True)


@of_the_api
def web_errors(host: Host) -> Finding:
    proxy = mapping(host.evidence.get("proxy"))
    requests, failed = proxy.get("requests") or 0, sum(c for s, c in mapping(proxy.get("by_status")).items() if str(s).startswith("5"))
    if proxy.get("read") and failed:
        text = f"nginx on {host.name} answered {failed} of {requests} requests since {host.since} with 5xx"
        return Holds([text], certain=2 * failed >= requests)
    need(host.proxy_log(), "by_status", f"the status of nginx's answers on {host.name}")
    if not requests:
        return Unknown(f"nginx on {host.name} saw no request since {host.since}", idle=True)
    return RuledOut(f"none of the {requests} requests that nginx on {host.name} saw since {host.since} failed with 5xx")
