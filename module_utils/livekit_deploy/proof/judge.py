# SPDX-License-Identifier: Apache-2.0
"""From observations to checks and a verdict for every host. Pure; what is missing is a failed check.

Ids and nonces are compared, never clocks: only two readings of one host are compared by their time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..common.commands import Playbooks
from . import server_evidence, verdicts
from .checks.check import Check
from .checks.directed_probe import check_directed_probe
from .checks.drift import check_drift
from .checks.environment import check_environment
from .checks.name_in_effect import check_name_in_effect
from .checks.nobody import check_nobody
from .checks.preview import check_preview
from .checks.registered import check_registered
from .checks.routing import check_routing
from .observed import Host, host_of, mapping, sequence, workers_of


def member_of(host: Host) -> verdicts.Member:
    """A host as the routing verdict sees it. A host outside the run was read, but got no probe of its own."""
    workers = [worker for reading in host.readings for worker in workers_of(reading)]
    rooms = {str(mapping(request).get("room")) for worker in workers for request in sequence(worker.get("requests"))}
    ids = host.own_ids | ({host.worker_id} if host.proof else set())
    own = [worker for worker in workers if worker.get("release") == host.release and worker.get("running") and worker.get("guarded")]
    copied = any(not worker.get("hook_process") for worker in own)
    known = verdicts.Member(host.name, host.readable, frozenset(ids), frozenset(rooms), None, workers=host.workers, copied=copied)
    if host.outside:
        return known
    probe = check_directed_probe(host)
    tried = not host.sampled or bool(host.samples)
    return replace(known, reached=probe.ok if tried else None, cause=probe.found, worker_id=host.worker_id)


def route_of(host: Host, nodes: int, logs: list[dict[str, Any]]) -> verdicts.Verdict:
    """Who gets the jobs of this host's name."""
    pool = host.pool_hosts or [host]
    others = [probe for member in pool for probe in (member.directed, member.preview) if probe.get("agent_name") == host.agent_name]
    seen: dict[str, Any] = {"through": host.through, "samples": host.samples, "others": others}
    server = server_evidence.evidence(logs, host.agent_name, nodes)
    members = tuple(member_of(member) for member in pool)
    return verdicts.decide(verdicts.Evidence(host.agent_name, members, **seen, server=server, nodes=nodes))


def checks_of(host: Host, nobody: dict[str, Any], preview: bool) -> list[Check]:
    """All checks, the cause before what follows from it."""
    before = [check_environment(host), check_name_in_effect(host), check_registered(host), check_directed_probe(host)]
    return [*before, check_preview(host, preview), check_nobody(nobody, host.playbooks), check_drift(host)]


def reason_of(checks: list[Check]) -> str:
    failed = [check for check in checks if not check.ok]
    if not failed:
        return f"all {len(checks)} checks hold"
    others = f" (also: {', '.join(check.name for check in failed[1:])})" if failed[1:] else ""
    return f"{failed[0].name}: {failed[0].found}{others}"


def report_of(host: Host, checks: list[Check], verdict: verdicts.Verdict) -> dict[str, Any]:
    return {
        "agent_name": host.agent_name,
        "release": host.release,
        "worker_ids": [host.worker_id] if host.worker_id else [],
        "verdict": verdict.verdict,
        "reason": host.error or reason_of(checks),
        "probe": {key: host.probe.get(key) for key in ("job_id", "worker_id", "latency_seconds")},
        "checks": [check.as_dict() for check in checks],
        "routing": verdict.as_dict(),
        "on_purpose": host.on_purpose or None,
        "ok": not host.error and all(check.ok for check in checks),
    }


def judge(
    hosts: Any,
    probes: Any,
    preview: bool = True,
    accept_inconclusive: bool = False,
    nodes: int = 1,
    server_logs: Any = (),
    playbooks: Playbooks | None = None,
) -> dict[str, Any]:
    """The report of all hosts of the run. No host at all is not ok: nothing was proven."""
    answers = mapping(probes)
    logs = [mapping(log) for log in sequence(server_logs)]
    known = [host_of(str(name), data, answers, playbooks) for name, data in mapping(hosts).items()]
    report = {}
    for host in known:
        host.pool_hosts.extend(other for other in known if other.pool == host.pool and other.agent_name == host.agent_name)
    for host in [host for host in known if not host.outside]:
        checks = checks_of(host, mapping(answers.get("nobody")), preview)
        verdict = route_of(host, nodes, logs)
        report[host.name] = report_of(host, [*checks, check_routing(host, verdict, accept_inconclusive, nodes)], verdict)
    notes = [note_of(host) for host in known if host.preview.get("from_host")]
    failed = sorted(name for name, entry in report.items() if not entry["ok"])
    return {"report": report, "ok": bool(report) and not failed, "failed_hosts": failed, "report_notes": notes}


def note_of(host: Host) -> str:
    return (
        f"{host.name}: the controller gets no connection to its API ({host.preview['from_host']}), so the preview was asked from the host "
        "itself. Look whether the API's users reach it; an address for the controller: verification_preview.url"
    )
