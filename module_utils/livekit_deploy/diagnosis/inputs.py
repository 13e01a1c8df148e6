# SPDX-License-Identifier: Apache-2.0
"""What ``livekit_diagnosis_info`` decides on, from the variables that the hosts' tasks registered. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..inventory.problems import read_host
from ..play import access, run
from ..proof import probes
from .host_view import AGENT_HOSTS

READ = {AGENT_HOSTS: "__diagnosis_read", "suspects": "__diagnosis_suspect"}  # by group
SERVER, OUTSIDE = "__diagnosis_server", "__diagnosis_outside"
PROBES, VERDICT, SERVER_LOGS = "__verification_probes", "__verification_verdict", "__verification_servers"
OF_ANSIBLE = (
    "__diagnosis_host",
    "ansible_loop_var",
    "changed",
    "failed",
    "failed_when_result",
    "invocation",
    "msg",
    "unreachable",
    "warnings",
    "deprecations",
)


def first_registered(hostvars: Mapping[str, Any], hosts: Sequence[str], name: str) -> dict[str, Any]:
    """The result of a task that ran once, from whichever host has it."""
    results = (hostvars[host].get(name) for host in hosts if host in hostvars)
    return next((dict(found) for found in results if isinstance(found, Mapping) and not found.get("skipped")), {})


def inputs(hostvars: Mapping[str, Any], groups: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The arguments of the module that come from the hosts."""
    agents = [str(host) for host in groups.get(AGENT_HOSTS) or []]
    logs = first_registered(hostvars, agents, SERVER_LOGS).get("results") or []
    return {
        "hosts": hosts_of(hostvars, groups),
        "probes": first_registered(hostvars, agents, PROBES).get("probes") or {},
        "verdicts": first_registered(hostvars, agents, VERDICT).get("report") or {},
        "server": {key: value for key, value in first_registered(hostvars, agents, SERVER).items() if key not in OF_ANSIBLE},
        "server_logs": probes.server_logs(logs),
        "not_proven": not_proven(hostvars, agents),
    }


def not_proven(hostvars: Mapping[str, Any], agents: Sequence[str]) -> list[str]:
    """Why there are no probes or no verdicts; empty when there are both."""
    if not first_registered(hostvars, agents, SERVER).get("key_accepted"):
        return ["who gets the jobs: no probe was sent, because the LiveKit server does not answer or does not accept the key"]
    sent, decided = first_registered(hostvars, agents, PROBES), first_registered(hostvars, agents, VERDICT)
    found = {"the probes": sent if "probes" not in sent else {}, "the verdicts": decided if "report" not in decided else {}}
    missing = [f"{what}: {result.get('msg')}" for what, result in found.items() if result.get("msg")]
    return missing if missing or decided else ["who gets the jobs: no host could be proven"]


def hosts_of(hostvars: Mapping[str, Any], groups: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Each host of the inventory with what was read there, also those outside --limit: they were not."""
    agents = [str(host) for host in groups.get(AGENT_HOSTS) or []]
    outside = {str(one.get("__diagnosis_host")): one for one in first_registered(hostvars, agents, OUTSIDE).get("results") or []}
    found: dict[str, dict[str, Any]] = {}
    for group, variable in READ.items():
        for name in map(str, groups.get(group) or []):
            found.setdefault(name, host_of(name, group, hostvars[name], outside.get(name, hostvars[name].get(variable))))
    return found


def suspects_outside(hostvars: Mapping[str, Any], groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Suspects that are not in this run, and are searched all the same: --limit says whose jobs are missing, not who may have them."""
    agents = set(map(str, groups.get(AGENT_HOSTS) or []))
    return [name for name in map(str, groups.get("suspects") or []) if name not in agents and not hostvars[name].get(READ["suspects"])]


def host_of(name: str, group: str, variables: Mapping[str, Any], reading: Any) -> dict[str, Any]:
    host, _ = read_host(name, variables)
    unread = ""
    evidence = {key: value for key, value in reading.items() if key not in OF_ANSIBLE} if isinstance(reading, Mapping) else {}
    if "workers" not in evidence:
        evidence, unread = {}, why_unread(reading)
    witness = run.registered(variables, probes.WITNESS, "workers") or {}
    known: dict[str, Any] = {
        # After a rollback it is the record's, on purpose.
        "agent_name": run.name_of(variables, evidence) if run.purpose_of(variables, evidence) else host.agent_name,
        "pool": probes.pool_in(variables, name, evidence) if run.purpose_of(variables, evidence) else host.pool,
        "livekit_url": host.get("livekit_url"),
        "shared_name": host.shared_name,
    }
    known["hook"] = probes.hook_of(variables)
    place = {"app": host.get("agent_release_app"), "address": host.get("ansible_host"), "group": group}
    read = {"evidence": evidence, "witness": witness.get("workers") or [], "unread": unread}
    return {**known, **place, **read, "outside": not isinstance(reading, Mapping)}


def why_unread(reading: Any) -> str:
    """Why a host's task left nothing to decide on."""
    if not isinstance(reading, Mapping):
        return "not in this run (--limit)"
    text = access.said(reading) or "the task that reads it left no answer"
    text = access.without_prefix(text)
    return f"host unreachable over SSH: {text}" if reading.get("unreachable") else text
