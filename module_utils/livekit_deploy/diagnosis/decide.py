# SPDX-License-Identifier: Apache-2.0
"""From what was read to the causes that hold on each host, most probable first, and to what could not be decided. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ..common.commands import Playbooks
from ..proof.verdicts import GOOD
from . import world as view
from .causes import CAUSES, TITLES, Cause
from .findings import Finding, Holds, RuledOut, Unknown
from .world import Host, MissingError, QuietError, Sighting, World, mapping, place, utc


def finding(cause: Cause, host: Host) -> Finding:
    try:
        return cause.judge(host)
    except MissingError as missing:
        return Unknown(str(missing), idle=isinstance(missing, QuietError))


def facts(host: Host, playbooks: Playbooks) -> dict[str, Any]:
    """What the texts of the table name."""
    url = str(host.data.get("livekit_url") or "")
    return {
        "playbook": playbooks.prefix,
        "root": playbooks.directory,
        "host": host.name,
        "limit": shlex.quote(host.name),
        "address": host.data.get("address") or host.name,
        "name": host.agent_name,
        "app": quoted(host.data.get("app")) or "<app>",
        "container": quoted(host.worker.get("container")) or "<worker container>",
        "livekit_url": url or "<livekit_url>",
        "http_url": quoted("http" + url[2:] if url.startswith("ws") else url) or "<livekit_url>",
        "what_to_do": "start the LiveKit server, or correct livekit_url in the inventory",
        **dict.fromkeys(("worker_id", "rival_host", "rival_place", "rival_owner", "start_again"), ""),
    }


def quoted(word: Any) -> str:
    return shlex.quote(str(word)) if word else ""


def told(cause: Cause, found: Holds, host: Host, playbooks: Playbooks) -> dict[str, Any]:
    """A cause that holds, with its texts filled in."""
    values = {**facts(host, playbooks), **found.values}
    texts = {key: getattr(cause, key).format_map(values) for key in ("title", "remedy", "test", "rollback")}
    return {"id": cause.id, **texts, "certain": found.certain, "evidence_for": list(found.evidence), "against": list(found.against)}


def diagnose_host(host: Host, playbooks: Playbooks) -> dict[str, Any]:
    # Of a host that was not read nothing is decided, also not what would be true of every host.
    findings = [] if host.unread else [(cause, finding(cause, host)) for cause in CAUSES]
    causes = [told(cause, found, host, playbooks) for cause, found in findings if isinstance(found, Holds)]
    unknown = [(cause, found) for cause, found in findings if isinstance(found, Unknown)]
    open_questions = [cause.id for cause, found in unknown if cause.essential and not found.idle]
    return {
        "agent_name": host.agent_name,
        "pool": host.pool,
        "release": host.release or None,
        "worker_ids": [str(host.worker["worker_id"])] if host.worker.get("worker_id") else sorted(host.ids),
        "verdict": host.verdict or None,
        "since": host.since,
        "outcome": outcome(host, causes, open_questions),
        "summary": summary(host, causes, open_questions),
        "causes": sorted(causes, key=lambda cause: not cause["certain"]),
        "ruled_out": [{"cause": c.id, "title": TITLES[c.id], "by": f.by} for c, f in findings if isinstance(f, RuledOut)],
        "unknown": [{"cause": cause.id, "title": TITLES[cause.id], "why": found.why, "idle": found.idle} for cause, found in unknown],
        "not_read": view.not_read([host]),
        "flow": view.flow(host),
    }


def outcome(host: Host, causes: list[dict[str, Any]], open_questions: list[str]) -> str:
    """``cause``, ``possible`` (nothing certain), ``nothing_wrong``, ``no_cause_found`` or ``not_read``."""
    if host.unread:
        return "not_read"
    if causes:
        return "cause" if any(cause["certain"] for cause in causes) else "possible"
    return "nothing_wrong" if host.verdict in GOOD and not open_questions else "no_cause_found"


def summary(host: Host, causes: list[dict[str, Any]], open_questions: list[str]) -> str:
    """The answer in one sentence."""
    kind = outcome(host, causes, open_questions)
    if kind == "not_read":
        return f"could not be read: {host.unread}"
    if causes:
        first = min(causes, key=lambda cause: not cause["certain"])
        return first["title"] if kind == "cause" else f"no certain cause; possible: {first['title']}"
    if kind == "nothing_wrong":
        whom = "this host" if host.verdict == "exclusive" else "this pool"
        return f"nothing wrong: jobs of {host.agent_name!r} come to {whom} only; {came(host)}"
    missing = f"; not known: {', '.join(TITLES[question] for question in open_questions)}" if open_questions else ""
    return f"no cause found; routing verdict: {host.verdict or 'none'}{missing}"


def came(host: Host) -> str:
    if not host.requests:
        return f"none was asked for since {host.since}"
    return f"{len(host.requests)} job requests since {host.since}, last at {utc(host.requests[-1].get('time'))}"


def diagnose(world: World, playbooks: Playbooks | None = None) -> dict[str, Any]:
    """The whole decision: one entry a host of agent_hosts, and what is common to all."""
    hosts = {host.name: diagnose_host(host, playbooks or Playbooks()) for host in world.agent_hosts if not host.outside}
    sip = [] if world.sip.get("checked") else [f"SIP dispatch rules: {world.sip.get('reason') or 'not asked for'}"]
    incomplete = [log for log in world.server_logs if not log.get("complete")]
    logs = [f"the LiveKit server's log on {log.get('host')}: {log.get('reason') or log.get('msg') or 'not complete'}" for log in incomplete]
    return {
        "ok": bool(hosts) and all(entry["outcome"] == "nothing_wrong" for entry in hosts.values()),
        "hosts": hosts,
        "not_read": [*view.not_read(world.hosts), *sip, *logs],
        "timeline": timeline(world),
    }


# --- the timeline ----------------------------------------------------------------------------------------------------


def timeline(world: World, limit: int = 40) -> list[dict[str, str]]:
    """What happened when, oldest first, of everything that concerns a name of the inventory."""
    names = {host.agent_name for host in world.agent_hosts if host.agent_name}
    events = [event for host in world.hosts for event in [*release_events(host), *traffic_events(host)]]
    events += [event for sighting in world.sightings for event in worker_events(sighting, names)]
    events += [event for log in world.server_logs for event in server_events(str(log.get("host")), log, names)]
    timed = sorted({(seconds, text) for value, text in events if (seconds := view.moment(value))})
    return [{"time": utc(seconds), "event": text} for seconds, text in timed[-limit:]]


def release_events(host: Host) -> list[tuple[Any, str]]:
    record = mapping(host.evidence.get("release"))
    return [(record.get("served_at"), f"{host.name}: release {host.release} ({record.get('agent_name')}) serves")]


def worker_events(sighting: Sighting, names: set[str]) -> list[tuple[Any, str]]:
    worker, host = sighting.worker, sighting.home(sighting.hosts[0])
    if view.agent_name_of(worker) not in names and not host.owns(worker):
        return []
    who, failure, requests = f"{host.name}: {place(worker)}", mapping(worker.get("last_failure")), view.real(worker.get("requests"))
    registered = f"{who} registered as {worker.get('agent_name')!r} ({view.name_of(worker)})"
    events = [(worker.get("started_at"), f"{who} started"), (worker.get("registered_since"), registered)]
    events.append((failure.get("time"), f"{who}: {failure.get('message')} ({failure.get('error')})"))
    return [*events, *((r.get("time"), f"{who}: {word} job request, room {r.get('room')}") for word, r in ends(requests))]


def ends(items: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """The first and the last of the items, each with its word."""
    return [("first", items[0]), ("last", items[-1])] if len(items) > 1 else [("only", item) for item in items]


def traffic_events(host: Host) -> list[tuple[Any, str]]:
    events: list[tuple[Any, str]] = []
    for word, item in ends(sorted(host.dispatches, key=lambda d: view.moment(d.get("time")) or 0.0)):
        text = f"{host.name}: {word} dispatch of the API, to {item.get('agent_name')!r}, room {item.get('room')}"
        events.append((item.get("time"), text))
    proxy = mapping(host.evidence.get("proxy"))
    return [*events, (proxy.get("last"), f"{host.name}: last request that nginx saw")]


def server_events(server: str, log: Mapping[str, Any], names: set[str]) -> list[tuple[Any, str]]:
    workers = [w for w in view.entries(log.get("workers")) if w.get("agent_name") in names]
    opened = [(w.get("registered"), f"{server}: worker {w.get('worker_id')} registered as {w.get('agent_name')!r}") for w in workers]
    return opened + [(w.get("closed"), f"{server}: worker {w.get('worker_id')} of {w.get('agent_name')!r} left") for w in workers]
