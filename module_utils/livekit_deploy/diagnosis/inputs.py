# SPDX-License-Identifier: Apache-2.0
"""What ``livekit_diagnosis_info`` decides on, from the variables that the hosts' tasks registered. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..inventory.settings import read_settings
from ..play import access
from ..play.run import (
    DIAGNOSED,
    ELSEWHERE,
    PROBES,
    SERVER,
    SERVER_LOGS,
    SUSPECT,
    SUSPECTS_OUTSIDE,
    VERDICT,
    HostRun,
    Runs,
    host_asked,
)
from ..proof import observations
from .host_view import AGENT_HOSTS

READ = {AGENT_HOSTS: DIAGNOSED, "suspects": SUSPECT}  # by group
OF_ANSIBLE = (
    *ELSEWHERE,
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


def inputs(runs: Runs, groups: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The arguments of the module that come from the hosts."""
    agents = [str(host) for host in groups.get(AGENT_HOSTS) or []]
    logs = runs.once(agents, SERVER_LOGS).get("results") or []
    return {
        "hosts": hosts_of(runs, groups),
        "probes": runs.once(agents, PROBES).get("probes") or {},
        "verdicts": runs.once(agents, VERDICT).get("report") or {},
        "server": {key: value for key, value in runs.once(agents, SERVER).items() if key not in OF_ANSIBLE},
        "server_logs": observations.server_logs(logs),
        "not_proven": not_proven(runs, agents),
    }


def not_proven(runs: Runs, agents: Sequence[str]) -> list[str]:
    """Why there are no probes or no verdicts; empty when there are both."""
    if not runs.once(agents, SERVER).get("key_accepted"):
        return [
            "who gets the jobs: no probe was sent, "
            "because the LiveKit server does not answer or does not accept the key"
        ]
    sent, decided = runs.once(agents, PROBES), runs.once(agents, VERDICT)
    found = {
        "the probes": sent if "probes" not in sent else {},
        "the verdicts": decided if "report" not in decided else {},
    }
    missing = [f"{what}: {result.get('msg')}" for what, result in found.items() if result.get("msg")]
    return missing if missing or decided else ["who gets the jobs: no host could be proven"]


def hosts_of(runs: Runs, groups: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Each host of the inventory with what was read there, also those outside --limit: they were not."""
    agents = [str(host) for host in groups.get(AGENT_HOSTS) or []]
    outside = {host_asked(one): one for one in runs.once(agents, SUSPECTS_OUTSIDE).get("results") or []}
    found: dict[str, dict[str, Any]] = {}
    for group, variable in READ.items():
        for name in map(str, groups.get(group) or []):
            found.setdefault(name, host_of(runs[name], group, outside.get(name) or runs[name].result(variable)))
    return found


def suspects_outside(runs: Runs, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Suspects outside this run, searched all the same: --limit says whose jobs are missing, not who may have them."""
    agents = set(map(str, groups.get(AGENT_HOSTS) or []))
    return [
        name for name in map(str, groups.get("suspects") or []) if name not in agents and not runs[name].result(SUSPECT)
    ]


def host_of(run: HostRun, group: str, reading: Mapping[str, Any]) -> dict[str, Any]:
    host, _ = read_settings(run.name, run.variables)
    unread = ""
    evidence: Any = {key: value for key, value in reading.items() if key not in OF_ANSIBLE}
    if "workers" not in evidence:
        evidence, unread = {}, why_unread(reading)
    witness = run.witness or {}
    known: dict[str, Any] = {
        # After a rollback it is the record's, on purpose.
        "agent_name": run.agent_name(evidence) if run.purpose(evidence) else host.agent_name,
        "pool": run.pool(evidence) if run.purpose(evidence) else host.pool,
        "livekit_url": host.get("livekit_url"),
        "shared_name": host.shared_name,
    }
    known["hook"] = run.has_hook()
    place = {"app": host.get("agent_release_app"), "address": host.get("ansible_host"), "group": group}
    read = {"evidence": evidence, "witness": witness.get("workers") or [], "unread": unread}
    return {**known, **place, **read, "outside": not reading}


def why_unread(reading: Mapping[str, Any]) -> str:
    """Why a host's task left nothing to decide on."""
    if not reading:
        return "not in this run (--limit)"
    text = access.said(reading) or "the task that reads it left no answer"
    text = access.without_prefix(text)
    return f"host unreachable over SSH: {text}" if reading.get("unreachable") else text
