# SPDX-License-Identifier: Apache-2.0
"""Names: what the inventory gives, what was deployed, what the worker registered under, what is dispatched to."""

from __future__ import annotations

import re

from ..finding import Finding, Holds, RuledOut, Unknown, through_the_api
from ..host_view import HostView
from ..missing import MissingError, as_mapping, as_mappings, known_value, need
from ..moments import utc
from ..sightings import worker_label, worker_place
from ..types import SipRule

NAME_VARIABLES = ("LIVEKIT_AGENT_NAME", "AGENT_NAME")
NAME_VARIABLE_SINCE, OVERRIDE_SINCE = (1, 5, 7), (1, 6, 0)  # livekit-agents


# --- files and containers --------------------------------------------------------------------------------------------


def edited_not_recreated(host: HostView) -> Finding:
    edits = [text for service in host.services for text in file_edits(host, service)]
    if edits:
        return Holds([*edits, "a restart keeps the environment a container was created with"])
    for service in host.services:
        need_environment(host, service)
    return RuledOut(f"files and containers of release {host.release} on {host.name} have the same names")


def need_environment(host: HostView, service: str) -> None:
    """MissingError unless all is known of a service that an edit may have changed."""
    written = as_mapping(need(as_mapping(host.need("written")), service, f"the files of {service} on {host.name}"))
    running = as_mapping(need(host.service(service), "env", f"the environment of {service} on {host.name}"))
    unread = [v for v in NAME_VARIABLES if v not in written or v not in running]
    known_value(running_url(host, service), f"LIVEKIT_URL of the container of {service} on {host.name}")
    if unread or "LIVEKIT_URL" not in written:
        raise MissingError(f"{', '.join(unread or ['LIVEKIT_URL'])} of {service} on {host.name} is not known")


def file_edits(host: HostView, service: str) -> list[str]:
    """Return what the files of a service say now, was not deployed so, and its container was not created with."""
    written = as_mapping(as_mapping(host.evidence.get("written")).get(service))
    read = host.service_read(service)
    running = {**as_mapping(read.get("env")), "LIVEKIT_URL": running_url(host, service)}
    name = host.record.get("agent_name")
    deployed = {**dict.fromkeys(NAME_VARIABLES, name), "LIVEKIT_URL": host.data.get("livekit_url")}
    start = host.worker.get("started_at") if service == "agent-worker" else None
    started = f" and started at {utc(start)}" if start else ""
    created = f"container {read.get('container')} was created with"
    return [
        f"{service}: the files have {variable} {says!r}, {created} {has!r}{started}"
        for variable in (*NAME_VARIABLES, "LIVEKIT_URL")
        if (says := written.get(variable)) and (has := running.get(variable)) and says not in (has, deployed[variable])
    ]


def running_url(host: HostView, service: str) -> str | None:
    return host.api_read.get("url") if service == "fastapi" else host.worker.get("configured_url")


def not_deployed(host: HostView) -> Finding:
    deployed = host.record.get("agent_name")
    if deployed and deployed != host.agent_name:
        release = f"release {host.release} on {host.name}"
        return Holds([f"the inventory has {host.agent_name!r}, {release} was deployed with {deployed!r}"])
    need(as_mapping(host.need("release")), "agent_name", f"the name in the release record of {host.name}")
    return RuledOut(f"release {host.release} was deployed with {deployed!r}")


def other_environment(host: HostView) -> Finding:
    service = host.service_read("agent-worker")
    name = as_mapping(service.get("env")).get("LIVEKIT_AGENT_NAME")
    if name and name != host.agent_name and not host.worker.get("override"):
        created = f"container {service.get('container')} on {host.name} was created with"
        return Holds([f"{created} LIVEKIT_AGENT_NAME {name!r}"])
    what = f"the environment of the worker on {host.name}"
    environment = as_mapping(need(host.service("agent-worker"), "env", what))
    need(environment, "LIVEKIT_AGENT_NAME", f"LIVEKIT_AGENT_NAME of {worker_place(host.worker)} on {host.name}")
    return RuledOut(f"the worker's container was created with LIVEKIT_AGENT_NAME {name!r}{overridden(host)}")


def overridden(host: HostView) -> str:
    override = host.worker.get("override")
    return f", and LIVEKIT_AGENT_NAME_OVERRIDE {override!r} decides" if override else ""


def wrong_override(host: HostView) -> Finding:
    override, whose = host.worker.get("override"), worker_place(host.worker)
    if override and override != host.agent_name:
        return Holds([f"{whose} has LIVEKIT_AGENT_NAME_OVERRIDE {override!r}, which beats every other name"])
    host.serving()
    need_override(host)
    variable = "LIVEKIT_AGENT_NAME_OVERRIDE"
    return RuledOut(f"{variable} of {whose} is {override!r}" if override else f"{variable} is not set")


def need_override(host: HostView) -> None:
    """MissingError unless it is known whether the worker's name is overridden."""
    if "override" not in host.worker:
        whose = f"{worker_place(host.worker)} on {host.name}"
        raise MissingError(f"LIVEKIT_AGENT_NAME_OVERRIDE of {whose} is not known")


# --- what the worker registered under --------------------------------------------------------------------------------


def expected_name(host: HostView) -> tuple[str, tuple[int, ...]]:
    """Return the name in the worker's environment, and the first livekit-agents that reads it.

    The name is empty where it is not known.
    """
    if host.worker.get("override"):
        return str(host.worker["override"]), OVERRIDE_SINCE
    return str(as_mapping(host.worker.get("env")).get("LIVEKIT_AGENT_NAME") or ""), NAME_VARIABLE_SINCE


def wanted_name(host: HostView) -> str:
    """Return the name in the worker's environment; MissingError where it is not known."""
    need_override(host)
    what = f"the name in the environment of {worker_place(host.worker)}"
    return str(known_value(expected_name(host)[0] or None, what))


def version_numbers(text: str | None) -> tuple[int, ...]:
    """Return the numbers a version starts with."""
    found = re.match(r"\d+(\.\d+)*", str(text or ""))
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def hardcoded_name(host: HostView) -> Finding:
    worker, (expected, since) = host.worker, expected_name(host)
    sdk, registered = version_numbers(worker.get("sdk_version")), worker.get("agent_name")
    if registered and expected and registered != expected and (not sdk or sdk >= since):
        return own_name_holds(host, registered, expected)
    registered = host.serving("agent_name")
    if registered == wanted_name(host):
        return RuledOut(f"{worker_label(worker)} registered as {registered!r}, as its environment says")
    return Unknown(f"livekit-agents {worker.get('sdk_version')} does not read the name from the environment")


def own_name_holds(host: HostView, registered: str, expected: str) -> Holds:
    worker, least = host.worker, ".".join(map(str, expected_name(host)[1]))
    says = f"the environment of {worker_place(worker)} says {expected!r}"
    found = f"{worker_label(worker)} registered as {registered!r}, {says}"
    if version_numbers(worker.get("sdk_version")):
        reads = "takes the name from the environment unless the code has one"
        return Holds([found, f"livekit-agents {worker['sdk_version']} {reads}"])
    against = f"its livekit-agents version is not known; one before {least} does not read the variable"
    return Holds([found], [against], certain=False)


def sdk_too_old(host: HostView) -> Finding:
    worker, (expected, since) = host.worker, expected_name(host)
    sdk, registered = version_numbers(worker.get("sdk_version")), worker.get("agent_name")
    least = ".".join(map(str, since))
    if registered is not None and expected and registered != expected and sdk and sdk < since:
        runs = f"{worker_place(worker)} runs livekit-agents {worker['sdk_version']}"
        found = f"{runs}, which does not read the name from the environment (needs {least})"
        return Holds([f"{found}: it registered as {registered!r}, not as {expected!r}"])
    if host.serving("agent_name") == wanted_name(host):
        return RuledOut(f"{worker_label(worker)} registered as its environment says")
    host.serving("sdk_version")
    return RuledOut(f"livekit-agents {worker['sdk_version']} reads the name from the environment (since {least})")


def empty_name(host: HostView) -> Finding:
    worker = host.worker
    if worker.get("agent_name") == "":
        which = f"{worker_label(worker)} of {worker_place(worker)}"
        return Holds([f"{which} registered without a name: it joins every new room"])
    if not host.agent_name:
        return Holds([f"the inventory gives {host.name} no livekit_agent_name"])
    return RuledOut(f"{worker_label(worker)} registered as {host.serving('agent_name')!r}")


def deployment_label(host: HostView) -> Finding:
    worker = host.worker
    if worker.get("deployment"):
        which = f"{worker_label(worker)} of {worker_place(worker)}"
        found = f"{which} registered with the deployment label {worker['deployment']!r}"
        return Holds([f"{found}: only dispatches with that label reach it"])
    host.serving("worker_id")
    if "deployment" not in worker:
        raise MissingError(f"the deployment label of {worker_place(worker)} is not known")
    return RuledOut(f"{worker['worker_id']} registered without a deployment label")


# --- what is dispatched to -------------------------------------------------------------------------------------------


@through_the_api
def api_other_name(host: HostView) -> Finding:
    names: dict[str, int] = as_mapping(host.api_read.get("agent_names")) if host.api_read.get("read") else {}
    right = names.get(host.agent_name, 0)
    if others := {name: count for name, count in names.items() if name != host.agent_name}:
        return Holds([other_dispatches(host, others, right), *api_environment(host)], certain=not right)
    if api_environment(host) and not right:
        return Holds(api_environment(host))
    need(host.api_log(), "agent_names", f"the dispatches of the API on {host.name}")
    if right:
        logged = f"all {right} dispatches that the API on {host.name} logged since {host.since}"
        return RuledOut(f"{logged} are to {host.agent_name!r}")
    return Unknown(f"the API on {host.name} logged no dispatch since {host.since}", idle=True)


def other_dispatches(host: HostView, others: dict[str, int], right: int) -> str:
    listed = ", ".join(f"{count} to {name!r}" for name, count in sorted(others.items()))
    example = next((d for d in reversed(host.dispatches) if d.get("agent_name") != host.agent_name), None)
    last = f", last room {example.get('room')} at {utc(example.get('time'))}" if example else ""
    sent = f"{listed} and {right} to {host.agent_name!r} since {host.since}"
    return f"the API on {host.name} dispatched {sent}{last}"


def api_environment(host: HostView) -> list[str]:
    """Return what the API's container was created with and is not the host's name."""
    service = host.service_read("fastapi")
    env = as_mapping(service.get("env"))
    return [
        f"container {service.get('container')} was created with {variable} {env[variable]!r}"
        for variable in NAME_VARIABLES
        if env.get(variable) and env[variable] != host.agent_name
    ]


def sip_other_name(host: HostView) -> Finding:
    rules = naming_rules(host)
    here = [rule for rule in rules if host.agent_name in rule["agents"]]
    names = {other.agent_name for other in host.world.agent_hosts}
    others = [rule for rule in rules if not names & set(rule["agents"])]
    if others and not here:
        against = ["calls by phone may be meant for another application on this server"]
        texts = [*map(sip_rule_text, others), f"no rule names {host.agent_name!r}"]
        return Holds(texts, against, certain=any(host.data.get("shared_name") in rule["agents"] for rule in others))
    need_sip_rules(host)
    if here:
        return RuledOut(f"SIP dispatch rule {here[0].get('id')} names {host.agent_name!r}")
    return RuledOut("the server has no SIP dispatch rule that names an agent of no host of the inventory")


def naming_rules(host: HostView) -> list[SipRule]:
    """Return the SIP dispatch rules that name an agent."""
    sip = host.world.sip
    return [rule for rule in as_mappings(sip.get("rules")) if rule.get("agents")] if sip.get("checked") else []


def sip_rule_text(rule: SipRule) -> str:
    names = ", ".join(map(repr, rule["agents"]))
    return f"SIP dispatch rule {rule.get('id')} ({rule.get('name')}) sends calls to {names}"


def need_sip_rules(host: HostView) -> None:
    """MissingError unless the agents of every SIP dispatch rule are known."""
    sip = host.world.sip
    if not need(sip, "checked", "the SIP dispatch rules"):
        raise MissingError(f"the SIP dispatch rules were not checked: {sip.get('reason')}")
    for rule in as_mappings(need(sip, "rules", "the SIP dispatch rules")):
        need(rule, "agents", f"the agents of SIP dispatch rule {rule.get('id')}")
