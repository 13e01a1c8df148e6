# SPDX-License-Identifier: Apache-2.0
"""Everything that was read of the hosts and of the LiveKit server, as one whole. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ..worker.types import JobRequest, WorkerReading
from .host_view import AGENT_HOSTS, HostView
from .missing import as_mapping, as_mappings
from .sightings import Sighting, logged_ids
from .types import HostInput, LivingDispatch, ProbeAnswer, ServerLog, ServerReading, SipReading, VerdictRow


@dataclass(frozen=True, eq=False)
class World:
    """Everything that was read."""

    data: Mapping[str, HostInput] = field(default_factory=dict)
    probes: Mapping[str, ProbeAnswer] = field(default_factory=dict)
    verdicts: Mapping[str, VerdictRow] = field(default_factory=dict)
    server: ServerReading = field(default_factory=ServerReading)
    server_logs: Sequence[ServerLog] = ()
    sip: SipReading = field(default_factory=SipReading)
    rooms: Mapping[str, Sequence[LivingDispatch]] = field(default_factory=dict)

    @cached_property
    def hosts(self) -> list[HostView]:
        return [HostView(str(name), as_mapping(data), self) for name, data in self.data.items()]

    @property
    def agent_hosts(self) -> list[HostView]:
        return [host for host in self.hosts if host.group == AGENT_HOSTS]

    @cached_property
    def sightings(self) -> list[Sighting]:
        """Every worker that was found, once each, by its longest reading."""
        seen: dict[object, tuple[WorkerReading, list[HostView]]] = {}
        for host in self.hosts:
            for worker in host.found:
                key = worker_key(worker)
                known, hosts = seen.setdefault(key, (worker, []))
                seen[key] = max(known, worker, key=lambda w: len(w.get("requests") or [])), [*hosts, host]
        return [Sighting(worker, tuple(hosts)) for worker, hosts in seen.values()]

    @cached_property
    def located(self) -> dict[str, Sighting]:
        """The worker of each id that a log of a host has."""
        return {i: sighting for sighting in self.sightings for i in logged_ids(sighting.worker)}

    @cached_property
    def asked(self) -> dict[tuple[str, str], list[tuple[Sighting, JobRequest]]]:
        """Who was asked for a job: worker and request, by dispatch id and by room."""
        index: dict[tuple[str, str], list[tuple[Sighting, JobRequest]]] = {}
        for sighting in self.sightings:
            for request in as_mappings(sighting.worker.get("requests")):
                for key in ("dispatch_id", "room"):
                    if request.get(key):
                        index.setdefault((key, str(request[key])), []).append((sighting, request))
        return index


def worker_key(worker: WorkerReading) -> object:
    """Return what tells a worker from every other one: two names of one machine show the same."""
    return worker.get("container_id") or (worker.get("container"), worker.get("pid"), *logged_ids(worker)[:1])
