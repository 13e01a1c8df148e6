# SPDX-License-Identifier: Apache-2.0
"""The agent of a preview is in its room, and logs what it has to."""

from __future__ import annotations

from typing import Any

from ...inventory import preview
from ...livekit.outcomes import MEDIA, NOT_REACHED
from ...release.records import API
from ..observed import Host, asked_for, mapping, workers_of
from .check import Check


def check_preview(host: Host, wanted: bool) -> Check:
    patterns = [f"{pattern!r} within {seconds:g} s" for pattern, seconds in host.patterns.items()]
    expected = "the agent of a preview is in the room and a host of the pool has the room in its log" + (
        f", with {', '.join(patterns)}" if patterns else ""
    )
    wanted = wanted and host.asks_preview
    if not wanted or API not in host.parts:
        what = "adopted project" if host.adopted else "release"
        return Check("preview", True, "not checked" if not wanted else f"not checked: the {what} has no API", expected, "")
    found, remedy = trouble_of_preview(host)
    if found:
        return Check("preview", False, found, expected, remedy)
    logged_by = ", ".join(name for name, _ in preview_workers(host))
    text = f"job {host.preview.get('job_id')} in room {host.preview.get('room')}, logged by {logged_by}"
    if seen := host.preview.get("from_host"):
        text += f", asked from {host.name} itself, because the controller gets no connection ({seen})"
    return Check("preview", True, text + (f", with {', '.join(patterns)}" if patterns else ""), expected, "")


def preview_workers(host: Host) -> list[tuple[str, dict[str, Any]]]:
    """Hosts and workers of the pool that logged the preview's room, at the second reading. One of an earlier release only where no gate
    keeps calls from it: it has taken the job."""
    taker, members = host.preview.get("worker_id"), host.pool_hosts or [host]
    workers = [(m.name, w) for m in members for reading in m.readings[1:2] for w in workers_of(reading)]
    workers += [(m.name, w) for m in members for w in m.behind if host.sampled or (taker and w.get("worker_id") == taker)]
    return [(name, worker) for name, worker in workers if asked_for(worker, host.preview)]


def trouble_of_preview(host: Host) -> tuple[str, str]:
    """Found and remedy; empty when the preview proves what it should."""
    probe, name = host.preview, host.preview.get("agent_name")
    reason = str(probe.get("reason") or "no answer")
    if not probe:
        return "no preview was sent", host.verify_command
    if probe.get("error_kind") == NOT_REACHED:
        return (
            reason,
            f"on {host.name}: systemctl status nginx; ss -ltn; then let this controller reach the API, or set verification_preview.url",
        )
    if probe.get("outcome") == "error":
        return reason, f"on {host.name}: curl -i the preview address, and docker compose logs fastapi"
    if name != host.agent_name and (name or probe.get("outcome") == "taken"):
        return (
            f"the API dispatches to {name!r}",
            f"let the API use LIVEKIT_AGENT_NAME ({host.agent_name!r}), then {host.deploy_command}",
        )
    if probe.get("outcome") != "taken" or not probe.get("in_room"):
        taken_elsewhere = host.shares_on_purpose and probe.get("outcome") == "taken" and probe.get("worker_id") not in host.own_ids
        return ("", "") if taken_elsewhere else (reason, remedy_of_agent(host, probe))
    members = host.pool_hosts or [host]
    ids = {i for m in members for i in (m.worker_id, *m.own_ids, *(w.get("worker_id") for w in m.all_workers())) if i}
    taker = probe.get("worker_id")
    if taker and taker not in ids and host.shares_on_purpose:
        return "", ""
    if taker and taker not in ids:
        return (
            f"job {probe.get('job_id')} was taken by {taker}, no worker of pool {host.pool!r}",
            f"find out who {taker} is, or give this pool a name of its own",
        )
    workers = preview_workers(host)
    if not workers:
        return (
            f"no host of pool {host.pool!r} has room {probe.get('room')} in its log",
            f"{host.log_command}; the worker must log at INFO",
        )
    missing = [text for pattern, seconds in host.patterns.items() if (text := trouble_of_pattern(pattern, seconds, workers))]
    return ("; ".join(missing), f"{host.log_command}; correct the worker or verification_log_patterns") if missing else ("", "")


def remedy_of_agent(host: Host, probe: dict[str, Any]) -> str:
    """What to do where the agent of a preview is not in its room."""
    if probe.get("error_kind") != MEDIA:
        return f"{host.log_command}; look for an exception in the entrypoint"
    taker = probe.get("worker_id")
    whose = next((member for member in host.pool_hosts if taker and taker in (member.worker_id, *member.own_ids)), host)
    return preview.media_remedy(whose.name, str(whose.worker().get("url") or ""))


def trouble_of_pattern(pattern: str, deadline: float, workers: list[tuple[str, dict[str, Any]]]) -> str:
    """Why the preview did not make a worker log what it has to; empty where one did in time."""
    seen = [seconds for _, w in workers if (seconds := mapping(w.get("log_matches")).get(pattern)) is not None]
    if not seen:
        return f"the log has no line that matches {pattern!r}"
    return f"the log has a line that matches {pattern!r} only {min(seen):g} s after the request" if min(seen) > deadline else ""
