# SPDX-License-Identifier: Apache-2.0
"""The agent of a preview is in its room, and logs what it has to."""

from __future__ import annotations

from ...inventory.preview import media_remedy
from ...livekit.outcomes import MEDIA, NOT_REACHED
from ...release.records import API
from ..observed import Observed, SeenWorker, asked_for, mapping, seen_workers
from .check import NOT_APPLICABLE, Check, Failure

NAME = "preview"
EXPECTED = "the agent of a preview is in the room and a host of the pool has the room in its log"


def check_preview(host: Observed, wanted: bool) -> Check:
    lines = [f"{pattern!r} within {seconds:g} s" for pattern, seconds in host.patterns.items()]
    with_lines = f", with {', '.join(lines)}" if lines else ""
    expected = EXPECTED + with_lines
    if not (wanted and host.asks_preview):
        return Check.holds(NAME, expected, "not checked")
    if host.unmanaged:
        return Check.holds(NAME, expected, NOT_APPLICABLE)
    if API not in host.parts:
        what = "adopted project" if host.adopted else "release"
        return Check.holds(NAME, expected, f"not checked: the {what} has no API")
    if failure := preview_failure(host):
        return Check.fails(NAME, expected, failure)
    logged_by = ", ".join(name for name, _ in preview_workers(host))
    found = f"job {host.preview.get('job_id')} in room {host.preview.get('room')}, logged by {logged_by}"
    if seen := host.preview.get("from_host"):
        found += f", asked from {host.name} itself, because the controller gets no connection ({seen})"
    return Check.holds(NAME, expected, found + with_lines)


def preview_failure(host: Observed) -> Failure | None:
    """Return why the preview does not prove what it should."""
    if failure := api_failure(host):
        return failure
    return None if is_taken_elsewhere(host) else agent_failure(host) or log_failure(host)


def api_failure(host: Observed) -> Failure | None:
    """Return why the application's API did not dispatch to the host's name."""
    probe, name = host.preview, host.preview.get("agent_name")
    reason = str(probe.get("reason") or "no answer")
    if not probe:
        return Failure("no preview was sent", host.verify_command)
    if probe.get("error_kind") == NOT_REACHED:
        reach = "let this controller reach the API, or set verification_preview.url"
        return Failure(reason, f"on {host.name}: systemctl status nginx; ss -ltn; then {reach}")
    if probe.get("outcome") == "error":
        return Failure(reason, f"on {host.name}: curl -i the preview address, and docker compose logs fastapi")
    if name != host.agent_name and (name or probe.get("outcome") == "taken"):
        remedy = f"let the API use LIVEKIT_AGENT_NAME ({host.agent_name!r}), then {host.deploy_command}"
        return Failure(f"the API dispatches to {name!r}", remedy)
    return None


def is_taken_elsewhere(host: Observed) -> bool:
    """Return whether another worker of a shared name took the preview, as it may."""
    probe, taker = host.preview, host.preview.get("worker_id")
    if not host.shares_on_purpose or probe.get("outcome") != "taken":
        return False
    return bool(taker) and taker not in pool_ids(host) if probe.get("in_room") else taker not in host.own_ids


def pool_ids(host: Observed) -> set[str]:
    """Return every worker id that is known of the pool."""
    seen = {worker.get("worker_id") for member in host.members for worker in member.all_workers()}
    known = {one for member in host.members for one in (member.worker_id, *member.own_ids)}
    return {str(one) for one in seen | known if one}


def agent_failure(host: Observed) -> Failure | None:
    """Return why no agent of the pool is in the preview's room."""
    probe, taker = host.preview, host.preview.get("worker_id")
    if probe.get("outcome") != "taken" or not probe.get("in_room"):
        return Failure(str(probe.get("reason") or "no answer"), agent_remedy(host))
    if taker and taker not in pool_ids(host):
        found = f"job {probe.get('job_id')} was taken by {taker}, no worker of pool {host.pool!r}"
        return Failure(found, f"find out who {taker} is, or give this pool a name of its own")
    return None


def agent_remedy(host: Observed) -> str:
    """Return what to do where the agent of a preview is not in its room."""
    taker = host.preview.get("worker_id")
    if host.preview.get("error_kind") != MEDIA:
        return f"{host.log_command}; look for an exception in the entrypoint"
    takers = (member for member in host.pool_hosts if taker and taker in (member.worker_id, *member.own_ids))
    whose = next(takers, host)
    return media_remedy(whose.name, str(whose.worker().get("url") or ""))


def log_failure(host: Observed) -> Failure | None:
    """Return what the log of the worker that took the preview lacks."""
    workers = preview_workers(host)
    if not workers:
        found = f"no host of pool {host.pool!r} has room {host.preview.get('room')} in its log"
        return Failure(found, f"{host.log_command}; the worker must log at INFO")
    missing = [line_failure(pattern, seconds, workers) for pattern, seconds in host.patterns.items()]
    found = "; ".join(text for text in missing if text)
    return Failure(found, f"{host.log_command}; correct the worker or verification_log_patterns") if found else None


def preview_workers(host: Observed) -> list[tuple[str, SeenWorker]]:
    """Return hosts and workers of the pool that logged the preview's room, at the second reading.

    A worker of an earlier release counts only where no gate keeps calls from it: it has taken the job.
    """
    second = [(one.name, reading) for one in host.members for reading in one.readings[1:2]]
    workers = [(name, worker) for name, reading in second for worker in seen_workers(reading)]
    workers += [(one.name, worker) for one in host.members for worker in one.behind if may_take_preview(host, worker)]
    return [(name, worker) for name, worker in workers if asked_for(worker, host.preview)]


def may_take_preview(host: Observed, worker: SeenWorker) -> bool:
    taker = host.preview.get("worker_id")
    return host.sampled or (bool(taker) and worker.get("worker_id") == taker)


def line_failure(pattern: str, deadline: float, workers: list[tuple[str, SeenWorker]]) -> str:
    """Return why the preview did not make a worker log what it has to; empty where one did in time."""
    found = [mapping(worker.get("log_matches")).get(pattern) for _, worker in workers]
    seen = [seconds for seconds in found if seconds is not None]
    if not seen:
        return f"the log has no line that matches {pattern!r}"
    late = f"the log has a line that matches {pattern!r} only {min(seen):g} s after the request"
    return late if min(seen) > deadline else ""
