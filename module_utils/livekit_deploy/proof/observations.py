# SPDX-License-Identifier: Apache-2.0
"""What the hosts of a run observed, as ``deployment_verdict_info`` decides on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..inventory import preview
from ..play import access
from ..play.run import Runs, host_asked
from ..release.adopted import claimed
from ..release.records import HostInfo, ids_in_order, record_services
from ..worker.types import WorkerReading

BEHIND_THE_GATE = ("staged", "draining", "abandoned")


def outside(runs: Runs, group: Sequence[str], hosts: Sequence[str]) -> list[str]:
    """Hosts of the inventory that share a pool with one of ``hosts`` and are not among them: their worker ids are ours,
    too. Where one serves a shared name, so may any other."""
    pools = {runs[host].pool() for host in hosts}
    shared = any(runs[host].serves_shared_name() for host in hosts)
    return [host for host in group if host not in hosts and (shared or runs[host].pool() in pools)]


def in_charge(reading: HostInfo, states: Mapping[str, str]) -> HostInfo:
    """A reading without workers whose gate is closed by record: they are in charge of no call, and stopped last."""
    workers = [w for w in reading["workers"] if states.get(w.get("release") or "") not in BEHIND_THE_GATE]
    return {"time": reading["time"], "workers": workers}


def behind_the_gate(reading: HostInfo, states: Mapping[str, str]) -> list[WorkerReading]:
    """The others of our releases. Without the hook a gate keeps no call from them."""
    return [w for w in reading.get("workers") or [] if states.get(w.get("release") or "") in BEHIND_THE_GATE]


def own_ids(readings: Sequence[HostInfo], states: Mapping[str, str]) -> list[str]:
    """Every id that workers of our releases here have or had, also of draining ones and from before a reconnect."""
    return sorted(ids_in_order(readings, states))


def taking(reading: HostInfo, states: Mapping[str, str]) -> int:
    """How many of our workers take jobs that no gate holds: without the hook an old release's does until it drains."""
    ours = [worker for worker in reading.get("workers") or [] if (worker.get("release") or "") in states]
    return max(1, len([worker for worker in ours if worker.get("running") and not worker.get("draining")]))


def servers(runs: Runs, group: Sequence[str], url: str) -> list[str]:
    """Hosts of the LiveKit server of this run: those that say which one they are of and mean another are left out."""
    return [host for host in group if str(runs[host].setting("livekit_url") or url).rstrip("/") == str(url).rstrip("/")]


def server_logs(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The loop results of ``livekit_server_log_info`` as ``deployment_verdict_info`` takes them."""
    keys = ("complete", "reason", "since", "workers", "time", "lines")
    told = [(entry, {"msg": said} if (said := access.said(entry)) else {}) for entry in results]
    return [
        {"host": host_asked(entry), **{key: entry[key] for key in keys if key in entry}, **msg} for entry, msg in told
    ]


def with_others(runs: Runs, hosts: Sequence[str], others: Sequence[HostInfo]) -> list[tuple[str, HostInfo]]:
    """Each host with its reading, also those that share a pool with one of the run."""
    return [*((host, runs[host].reading) for host in hosts), *((host_asked(entry), entry) for entry in others)]


def known_ids(runs: Runs, hosts: Sequence[str], others: Sequence[HostInfo] = ()) -> list[str]:
    """Every id of a worker of ours, as far as the readings know."""
    found = [reading for _, reading in with_others(runs, hosts, others) if reading.get("workers") is not None]
    return sorted({worker_id for reading in found for worker_id in own_ids([reading], reading.get("states") or {})})


def observations(runs: Runs, hosts: Sequence[str], others: Sequence[HostInfo] = ()) -> dict[str, dict[str, Any]]:
    """What ``deployment_verdict_info`` decides on: each host of the run, and ``others``, the loop results of reading
    the hosts that share a pool with one of them, before and after the probes (without ``workers``: not read)."""
    behind = [host for host in hosts if runs[host].left_behind]
    result = {host: observed(runs, host) for host in hosts if host not in behind}
    result |= {host: observed_outside(runs, host, [runs[host].reading]) for host in behind}
    for host in dict.fromkeys(host_asked(entry) for entry in others):
        result[host] = observed_outside(runs, host, [entry for entry in others if host_asked(entry) == host])
    return result


def observed_outside(runs: Runs, host: str, entries: Sequence[HostInfo]) -> dict[str, Any]:
    readings = [entry for entry in entries if entry.get("workers") is not None]
    states = {release: state for reading in readings for release, state in (reading.get("states") or {}).items()}
    latest: HostInfo = readings[-1] if readings else {}
    return {
        "agent_name": runs[host].agent_name(latest),
        "pool": runs[host].pool(latest),
        "hook": runs[host].has_hook(readings[0] if readings else {}),
        "workers": taking(readings[-1], states) if readings else 1,
        "outside": True,
        "readable": bool(readings),
        "readings": readings,
        "own_ids": own_ids(readings, states),
    }


def observed(runs: Runs, host: str) -> dict[str, Any]:
    run = runs[host]
    first = run.reading
    # It does not know of which release a worker is.
    witness = claimed(run.witness, run.adopted) if run.witness else None
    release, states = first.get("release"), first.get("states", {})
    readings: list[HostInfo] = [reading for reading in (first, witness) if reading]
    return {
        "agent_name": run.agent_name(),
        "pool": runs[host].pool(),
        "on_purpose": run.purpose() or None,
        "hook": run.has_hook(),
        "workers": taking(first, states),
        "release": release["id"] if release else None,
        "readings": [in_charge(reading, states) for reading in readings],
        "behind": behind_the_gate(witness or {}, states),
        "own_ids": own_ids(readings, states),
        "services": first.get("services", {}),
        "adopted": bool((release or {}).get("adopted")),
        "unmanaged": bool((release or {}).get("unmanaged")),
        "parts": list(record_services(release or {})),
        "asks_preview": preview.wanted(run.variables),
        "log_patterns": {one.pattern: one.deadline_seconds for one in preview.patterns(run.variables)},
        "drift": first.get("drift"),
        "error": run.unread,
    }
