# SPDX-License-Identifier: Apache-2.0
"""Workers that were seen: which one it is, on which hosts, and which foreign workers hold a host's name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..gather.types import ServerWorker
from ..inventory.addresses import normalised_url
from ..worker.types import JobRequest, WorkerReading, no_worker
from .missing import MissingError, as_mapping, as_mappings
from .moments import utc
from .types import LivingDispatch, ProbeAnswer

if TYPE_CHECKING:
    from .host_view import HostView

PROBE_ROOMS = "livekit-deploy-"  # rooms of probes start so; the jobs in them are nobody's calls


# --- what is known of a worker ---------------------------------------------------------------------------------------


def calls(requests: object) -> list[JobRequest]:
    """Return the job requests that are no probes."""
    return [r for r in as_mappings(requests) if r.get("room") and not str(r["room"]).startswith(PROBE_ROOMS)]


def worker_place(worker: WorkerReading) -> str:
    """Name the worker as a reader looks for it: its container and Compose project, or its process."""
    name, project = str(worker.get("container") or f"process {worker.get('pid')}"), worker.get("project")
    # Compose names containers after the project.
    within = "" if not project or name.startswith(str(project)) else f" (project {project})"
    return name if name.startswith("process") else f"container {name}{within}"


def logged_ids(worker: WorkerReading) -> list[str]:
    """Return every id the worker's log has, the latest last."""
    found = [str(i) for i in worker.get("worker_ids") or []]
    return found if worker.get("worker_id") in (None, *found) else [*found, str(worker["worker_id"])]


def effective_name(worker: WorkerReading) -> str | None:
    """Return the agent name in effect: from the log, else as the worker answers on its own port."""
    name = worker.get("agent_name")
    return worker.get("answered_name") if name is None else name


def worker_label(worker: WorkerReading) -> str:
    return str(worker.get("worker_id") or next(reversed(logged_ids(worker)), "a worker of unknown id"))


# --- who saw it ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Sighting:
    """One worker and the hosts of the inventory that see it: several, where they are names of one machine."""

    worker: WorkerReading
    hosts: tuple[HostView, ...]

    def home(self, asking: HostView) -> HostView:
        """Return the host that it is said to be on: the one that deployed it, the one that asks, or the first."""
        owner = next((host for host in self.hosts if host.owns(self.worker)), None)
        return owner or (asking if asking in self.hosts else self.hosts[0])


@dataclass(frozen=True)
class ForeignWorker:
    """A worker under a host's name that is no worker of its pool; ``host`` and ``worker`` where it was found."""

    worker_id: str
    seen: tuple[str, ...]
    host: HostView | None = None
    worker: WorkerReading = field(default_factory=no_worker)
    certain: bool = True


def foreign_workers(host: HostView) -> list[ForeignWorker]:
    """Return every worker that was seen under a host's name and is not of its pool, once each."""
    found: dict[str, ForeignWorker] = {}
    for one in (*running_under_name(host), *shown_by_id(host)):
        before = found.get(one.worker_id)
        merged = tuple(dict.fromkeys([*(before.seen if before else ()), *one.seen]))
        certain = one.certain or (before is not None and before.certain)
        found[one.worker_id] = ForeignWorker(one.worker_id, merged, one.host, one.worker, certain)
    return sorted(found.values(), key=lambda one: (not one.certain, one.worker_id))


def running_under_name(host: HostView) -> Iterator[ForeignWorker]:
    """Yield the foreign workers on any host that run and registered under the name."""
    for sighting in host.world.sightings:
        worker, where = sighting.worker, sighting.home(host)
        if not has_name(worker, host.agent_name) or host.may_be_ours(worker):
            continue
        since = utc(worker.get("registered_since"))
        registered = f"registered as {host.agent_name!r} at {since}"
        text = f"{worker_label(worker)} in {worker_place(worker)} on {where.name} {registered}"
        # Not certain: it may have lost the server since, or be at another server.
        same = same_server(worker.get("url"), host.worker.get("url")) and bool(worker.get("connected"))
        text += "" if same else f", at {worker.get('url')}, connected: {'yes' if worker.get('connected') else 'no'}"
        yield ForeignWorker(worker_label(worker), (text,), where, worker, certain=same)


def has_name(worker: WorkerReading, name: str) -> bool:
    """Tell whether a worker runs under a name."""
    return bool(worker.get("running") and name and effective_name(worker) == name)


def same_server(one: str | None, other: str | None) -> bool:
    """Tell whether two addresses are known and of one server."""
    known, wanted = (normalised_url(str(url or "").strip()) for url in (one, other))
    return known == wanted != ""


def shown_by_id(host: HostView) -> Iterator[ForeignWorker]:
    """Yield the foreign ids that took or hold the name, by verdict, probes, the server's log and living rooms."""
    named = [str(worker_id) for worker_id in host.routing.get("foreign") or []]
    verdict = f"is no worker of pool {host.pool}: routing verdict {host.verdict} by {host.routing.get('method')}"
    seen: dict[str, list[str]] = {}
    own = known_own_ids(host)
    for worker_id, text in (*probe_takers(host), *server_log_entries(host), *job_holders(host)):
        if worker_id in named or (own is not None and worker_id not in own):
            seen.setdefault(worker_id, []).append(text)
    for worker_id in named:
        seen.setdefault(worker_id, []).append(f"{worker_id} {verdict}")
    for worker_id, texts in seen.items():
        found = host.world.located.get(worker_id)
        where, worker = (found.home(host), found.worker) if found else (None, no_worker())
        yield ForeignWorker(worker_id, tuple(texts), where, worker)


def known_own_ids(host: HostView) -> set[str] | None:
    """Return the worker ids of the host's pool; None where those of a member are not known."""
    try:
        return host.pool_ids()
    except MissingError:
        return None


def probe_takers(host: HostView) -> Iterator[tuple[str, str]]:
    """Yield the workers that took a probe to the name, each with what shows it."""
    for name in (f"{host.agent_name}/through", f"{host.name}/directed"):
        probe: ProbeAnswer = as_mapping(host.world.probes.get(name))
        if probe.get("outcome") == "taken" and probe.get("worker_id"):
            kind = "our workers passed on" if name.endswith("/through") else f"was for {host.name} only"
            job = f"job {probe.get('job_id')} in room {probe.get('room')}"
            text = f"{probe['worker_id']} took the probe to {host.agent_name!r} that {kind} ({job})"
            yield str(probe["worker_id"]), text


def server_log_entries(host: HostView) -> Iterator[tuple[str, str]]:
    """Yield the workers that the server's log has as registered under the name, with our deployment label."""
    for log in host.world.server_logs:
        for worker in as_mappings(log.get("workers")):
            if is_registered(worker, host):
                worker_id, since = str(worker.get("worker_id")), utc(worker.get("registered"))
                what = f"{worker_id} registered as {host.agent_name!r} at {since}"
                yield worker_id, f"the LiveKit server's log on {log.get('host')}: {what}"


def is_registered(worker: ServerWorker, host: HostView) -> bool:
    """Tell whether a worker of the server's log takes the jobs of a host's name."""
    labels = ("", host.worker.get("deployment") or "")
    same = worker.get("agent_name") == host.agent_name and (worker.get("deployment") or "") in labels
    return same and not worker.get("closed") and worker.get("job_type") in (None, "", "JT_ROOM")


def job_holders(host: HostView) -> Iterator[tuple[str, str]]:
    """Yield the workers that have a job under the name in a room that lives."""
    for room, dispatches in host.world.rooms.items():
        for dispatch in as_mappings(dispatches):
            for worker_id, job_id in dispatched_jobs(dispatch, host.agent_name):
                yield worker_id, f"{worker_id} has job {job_id} of dispatch {dispatch.get('id')} in room {room}"


def dispatched_jobs(dispatch: LivingDispatch, name: str) -> list[tuple[str, str | None]]:
    """Return the jobs of a dispatch to a name: worker and job id."""
    jobs = as_mappings(dispatch.get("jobs")) if dispatch.get("agent_name") == name else []
    return [(str(job["worker_id"]), job.get("id")) for job in jobs if job.get("worker_id")]
