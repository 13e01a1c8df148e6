# SPDX-License-Identifier: Apache-2.0
"""From what was read to the causes that hold on each host, most probable first, and to what could not be decided.

Pure.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ..common.commands import Playbooks
from ..proof.verdicts import GOOD
from .causes import CAUSES, TITLES, Cause
from .finding import Finding, Holds, RuledOut, Unknown
from .findings.foreign import start_again
from .flow import flow
from .host_view import HostView
from .missing import MissingError, QuietError, hosts_not_read
from .moments import utc
from .sightings import worker_place
from .timeline import timeline
from .types import CauseFound, CauseRuledOut, CauseUnknown, Decision, HostAnswer, ServerLog
from .world import World

FILLED_IN_BY_FINDINGS = ("worker_id", "foreign_host", "foreign_place", "foreign_owner", "start_again")


def cause_finding(cause: Cause, host: HostView) -> Finding:
    try:
        return cause.judge(host)
    except MissingError as missing:
        return Unknown(str(missing), idle=isinstance(missing, QuietError))


def facts(host: HostView, playbooks: Playbooks) -> dict[str, str]:
    """Return what the texts of the table name."""
    url = str(host.data.get("livekit_url") or "")
    return {
        **commands(host, playbooks),
        "playbook": playbooks.prefix,
        "root": playbooks.directory,
        "host": host.name,
        "limit": shlex.quote(host.name),
        "address": str(host.data.get("address") or host.name),
        "name": host.agent_name,
        "app": quoted(host.data.get("app")) or "<app>",
        "container": quoted(host.worker.get("container")) or "<worker container>",
        "livekit_url": url or "<livekit_url>",
        "http_url": quoted("http" + url[2:] if url.startswith("ws") else url) or "<livekit_url>",
        "what_to_do": "start the LiveKit server, or correct livekit_url in the inventory",
        **dict.fromkeys(FILLED_IN_BY_FINDINGS, ""),
    }


def commands(host: HostView, playbooks: Playbooks) -> dict[str, str]:
    """Return what brings a change to the host: a deployment; of an unmanaged worker what starts it."""
    if not host.unmanaged:
        compose = f"on {host.name}: cd /opt/{quoted(host.data.get('app')) or '<app>'}/current && docker compose"
        return {
            "deploy": playbooks.start("deploy.yml", limit=host.name),
            "name_place": "livekit_agent_name in the inventory",
            "start_worker": f"{compose} up -d agent-worker",
            "stop_worker": f"{compose} stop agent-worker",
            "api_logs": f"{compose} logs --tail 100 fastapi",
        }
    start = start_again(host.worker)
    return {
        "deploy": f"on {host.name}: {start}" if start else f"start its worker on {host.name} again",
        "name_place": "LIVEKIT_AGENT_NAME of worker and API, and livekit_agent_name in the inventory",
        "start_worker": f"on {host.name}: {start}" if start else f"start {worker_place(host.worker)} as its people do",
        "stop_worker": f"stop {worker_place(host.worker)} as its people do",
        "api_logs": f"on {host.name}: docker logs --tail 100 {quoted(host.api_read.get('container'))}",
    }


def quoted(word: str | None) -> str:
    return shlex.quote(str(word)) if word else ""


def cause_found(cause: Cause, found: Holds, host: HostView, playbooks: Playbooks) -> CauseFound:
    """Return a cause that holds, with its texts filled in."""
    values = {**facts(host, playbooks), **found.values}
    return {
        "id": cause.id,
        "title": cause.title.format_map(values),
        "remedy": cause.remedy.format_map(values),
        "test": cause.test.format_map(values),
        "rollback": cause.rollback.format_map(values),
        "certain": found.certain,
        "evidence_for": list(found.evidence),
        "against": list(found.against),
    }


def cause_ruled_out(cause: Cause, found: RuledOut) -> CauseRuledOut:
    return {"cause": cause.id, "title": TITLES[cause.id], "by": found.by}


def cause_unknown(cause: Cause, found: Unknown) -> CauseUnknown:
    return {"cause": cause.id, "title": TITLES[cause.id], "why": found.why, "idle": found.idle}


def judged_causes(host: HostView) -> list[tuple[Cause, Finding]]:
    """Judge every cause. Of a host that was not read nothing is decided, also not what would be true of every host."""
    if host.unread:
        return []
    asked = [cause for cause in CAUSES if not (cause.of_release if host.unmanaged else cause.unmanaged)]
    return [(cause, cause_finding(cause, host)) for cause in asked]


def essential_unknown(findings: Sequence[tuple[Cause, Finding]]) -> list[str]:
    """Return the causes that keep anybody from saying that nothing is wrong."""
    unknown = [(cause, found) for cause, found in findings if isinstance(found, Unknown)]
    return [cause.id for cause, found in unknown if cause.essential and not found.idle]


def diagnose_host(host: HostView, playbooks: Playbooks) -> HostAnswer:
    findings = judged_causes(host)
    causes = [cause_found(cause, found, host, playbooks) for cause, found in findings if isinstance(found, Holds)]
    open_questions = essential_unknown(findings)
    return {
        "agent_name": host.agent_name,
        "pool": host.pool,
        "release": host.release or None,
        "worker_ids": serving_ids(host),
        "verdict": host.verdict or None,
        "since": host.since,
        "outcome": outcome(host, causes, open_questions),
        "summary": answer_sentence(host, causes, open_questions),
        "causes": sorted(causes, key=lambda cause: not cause["certain"]),
        "ruled_out": [cause_ruled_out(cause, found) for cause, found in findings if isinstance(found, RuledOut)],
        "unknown": [cause_unknown(cause, found) for cause, found in findings if isinstance(found, Unknown)],
        "not_read": hosts_not_read([host]),
        "flow": flow(host),
    }


def serving_ids(host: HostView) -> list[str]:
    return [str(host.worker["worker_id"])] if host.worker.get("worker_id") else sorted(host.ids)


def outcome(host: HostView, causes: Sequence[CauseFound], open_questions: Sequence[str]) -> str:
    """Return ``cause``, ``possible`` (nothing certain), ``nothing_wrong``, ``no_cause_found`` or ``not_read``."""
    if host.unread:
        return "not_read"
    if causes:
        return "cause" if any(cause["certain"] for cause in causes) else "possible"
    return "nothing_wrong" if host.verdict in GOOD and not open_questions else "no_cause_found"


def answer_sentence(host: HostView, causes: Sequence[CauseFound], open_questions: Sequence[str]) -> str:
    kind = outcome(host, causes, open_questions)
    if kind == "not_read":
        return f"could not be read: {host.unread}"
    if causes:
        first = min(causes, key=lambda cause: not cause["certain"])
        return first["title"] if kind == "cause" else f"no certain cause; possible: {first['title']}"
    if kind == "nothing_wrong":
        whom = "this host" if host.verdict == "exclusive" else "this pool"
        return f"nothing wrong: jobs of {host.agent_name!r} come to {whom} only; {requests_text(host)}"
    missing = f"; not known: {', '.join(TITLES[question] for question in open_questions)}" if open_questions else ""
    return f"no cause found; routing verdict: {host.verdict or 'none'}{missing}"


def requests_text(host: HostView) -> str:
    if not host.requests:
        return f"none was asked for since {host.since}"
    return f"{len(host.requests)} job requests since {host.since}, last at {utc(host.requests[-1].get('time'))}"


def diagnose(world: World, playbooks: Playbooks | None = None) -> Decision:
    """Decide for each host of agent_hosts, and say what is common to all."""
    run = playbooks or Playbooks()
    hosts = {host.name: diagnose_host(host, run) for host in world.agent_hosts if not host.outside}
    sip = f"SIP dispatch rules: {world.sip.get('reason') or 'not asked for'}"
    return {
        "ok": bool(hosts) and all(entry["outcome"] == "nothing_wrong" for entry in hosts.values()),
        "hosts": hosts,
        "not_read": [
            *hosts_not_read(world.hosts),
            *([] if world.sip.get("checked") else [sip]),
            *(incomplete_log(log) for log in world.server_logs if not log.get("complete")),
        ],
        "timeline": timeline(world),
    }


def incomplete_log(log: ServerLog) -> str:
    why = log.get("reason") or log.get("msg") or "not complete"
    return f"the LiveKit server's log on {log.get('host')}: {why}"
