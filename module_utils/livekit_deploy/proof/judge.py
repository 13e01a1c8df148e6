# SPDX-License-Identifier: Apache-2.0
"""From observations to checks and a verdict for every host. Pure; what is missing is a failed check.

Ids and nonces are compared, never clocks: only two readings of one host are compared by their time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypedDict

from ..common.commands import Playbooks
from ..livekit.probe import ProbeResult
from . import verdicts
from .checks.check import Check, CheckRow
from .checks.directed_probe import check_directed_probe
from .checks.drift import check_drift
from .checks.environment import check_environment
from .checks.name_in_effect import check_name_in_effect
from .checks.nobody import check_nobody
from .checks.preview import check_preview
from .checks.registered import check_registered
from .checks.routing import check_routing
from .observed import Observed, Purpose, mapping, mappings, observed_host, worker_requests
from .server_evidence import ServerLog, name_evidence


class ShownProbe(TypedDict):
    """The dispatch that stands for a host in a report."""

    job_id: str | None
    worker_id: str | None
    latency_seconds: float | None


class ReportRow(TypedDict):
    """What a report says of one host."""

    agent_name: str
    release: str
    worker_ids: list[str]  # one or none
    verdict: str
    reason: str  # of the first check that fails, or why the host could not be read
    probe: ShownProbe
    checks: list[CheckRow]
    routing: verdicts.VerdictRow
    on_purpose: Purpose | None
    ok: bool


class Judgement(TypedDict):
    """What ``deployment_verdict_info`` answers."""

    report: dict[str, ReportRow]  # by inventory name
    ok: bool
    failed_hosts: list[str]
    report_notes: list[str]


def pool_member(host: Observed) -> verdicts.Member:
    """Return a host as the verdict sees it. A host outside the run was read, but got no probe of its own."""
    workers = host.all_workers()
    rooms = {str(request.get("room")) for worker in workers for request in worker_requests(worker)}
    running = [worker for worker in workers if worker.get("release") == host.release and worker.get("running")]
    known = verdicts.Member(
        host.name,
        host.readable,
        worker_ids=host.own_ids | ({host.worker_id} if host.proof else set()),
        rooms=frozenset(rooms),
        reached=None,
        workers=host.workers,
        copied=any(worker.get("guarded") and not worker.get("hook_process") for worker in running),
    )
    if host.outside:
        return known
    probe = check_directed_probe(host)
    tried = not host.sampled or bool(host.samples)
    return replace(known, reached=probe.ok if tried else None, cause=probe.found, worker_id=host.worker_id)


def name_verdict(host: Observed, nodes: int, logs: list[ServerLog]) -> verdicts.Verdict:
    """Decide who gets the jobs of this host's name."""
    sent = [probe for member in host.members for probe in (member.directed, member.preview)]
    evidence = verdicts.Evidence(
        host.agent_name,
        tuple(pool_member(member) for member in host.members),
        through=host.through,
        samples=host.samples,
        others=[probe for probe in sent if probe.get("agent_name") == host.agent_name],
        server=name_evidence(logs, host.agent_name, nodes),
        nodes=nodes,
    )
    return verdicts.decide(evidence)


def host_checks(host: Observed, nobody: ProbeResult, preview: bool) -> list[Check]:
    """Return all checks but the one of the verdict, the cause before what follows from it."""
    return [
        check_environment(host),
        check_name_in_effect(host),
        check_registered(host),
        check_directed_probe(host),
        check_preview(host, preview),
        check_nobody(nobody, host.playbooks),
        check_drift(host),
    ]


def checks_summary(checks: list[Check]) -> str:
    failed = [check for check in checks if not check.ok]
    if not failed:
        return f"all {len(checks)} checks hold"
    others = f" (also: {', '.join(check.name for check in failed[1:])})" if failed[1:] else ""
    return f"{failed[0].name}: {failed[0].found}{others}"


def report_row(host: Observed, checks: list[Check], verdict: verdicts.Verdict) -> ReportRow:
    probe = host.probe
    return {
        "agent_name": host.agent_name,
        "release": host.release,
        "worker_ids": [host.worker_id] if host.worker_id else [],
        "verdict": verdict.verdict,
        "reason": host.error or checks_summary(checks),
        "probe": {
            "job_id": probe.get("job_id"),
            "worker_id": probe.get("worker_id"),
            "latency_seconds": probe.get("latency_seconds"),
        },
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
) -> Judgement:
    """Return the report of all hosts of the run. No host at all is not ok: nothing was proven."""
    answers, logs = mapping(probes), mappings(server_logs)
    known = observed_hosts(hosts, answers, playbooks)
    report = {}
    for host in [host for host in known if not host.outside]:
        checks = host_checks(host, mapping(answers.get("nobody")), preview)
        verdict = name_verdict(host, nodes, logs)
        checks.append(check_routing(host, verdict, accept_inconclusive, nodes))
        report[host.name] = report_row(host, checks, verdict)
    failed = sorted(name for name, row in report.items() if not row["ok"])
    notes = [unreached_note(host) for host in known if host.preview.get("from_host")]
    return {"report": report, "ok": bool(report) and not failed, "failed_hosts": failed, "report_notes": notes}


def observed_hosts(hosts: Any, probes: Any, playbooks: Playbooks | None) -> list[Observed]:
    """Return the hosts, each with those that share its pool and its name."""
    known = [observed_host(str(name), given, probes, playbooks) for name, given in mapping(hosts).items()]
    for host in known:
        pool = (host.pool, host.agent_name)
        host.pool_hosts.extend(other for other in known if (other.pool, other.agent_name) == pool)
    return known


def unreached_note(host: Observed) -> str:
    return (
        f"{host.name}: the controller gets no connection to its API ({host.preview['from_host']}), so the preview was "
        "asked from the host itself. Look whether the API's users reach it; an address for the controller: "
        "verification_preview.url"
    )
