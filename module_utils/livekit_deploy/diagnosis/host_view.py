# SPDX-License-Identifier: Apache-2.0
"""One host in a diagnosis: what was read there, asked for by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..gather.types import ApiEvidence, Dispatch, ProxyEvidence
from ..release.records import SERVICES, Record, Service, record_services
from ..worker.types import JobRequest, WorkerReading, no_worker
from .missing import (
    HIDDEN_WORKERS,
    OF_A_HOST,
    OF_A_WORKER,
    MissingError,
    QuietError,
    as_mapping,
    as_mappings,
    beginning_text,
    known_value,
    need,
    read_parts,
    reading_reach,
    unread_sentences,
)
from .moments import epoch_seconds, utc
from .sightings import ForeignWorker, calls, foreign_workers, logged_ids, worker_place
from .types import Evidence, HostInput, LogLines, ProbeAnswer, Routing, VerdictRow

if TYPE_CHECKING:
    from .world import World

AGENT_HOSTS = "agent_hosts"


@dataclass(frozen=True, eq=False)
class HostView:
    """One host of the inventory and what was read there."""

    name: str
    data: HostInput = field(repr=False)
    world: World = field(repr=False)

    # --- of the inventory --------------------------------------------------------------------------------------------

    @property
    def agent_name(self) -> str:
        return str(self.data.get("agent_name") or "")

    @property
    def pool(self) -> str:
        return str(self.data.get("pool") or self.name)

    @property
    def group(self) -> str:
        return str(self.data.get("group") or AGENT_HOSTS)

    @property
    def hook(self) -> bool:
        """Whether the inventory says that the worker asks the probe hook."""
        return bool(self.data.get("hook", True)) and not self.unmanaged

    @property
    def outside(self) -> bool:
        """Whether --limit leaves the host out of this run: nothing was tried."""
        return bool(self.data.get("outside"))

    def members(self) -> list[HostView]:
        """Return the hosts that share the name with this one on purpose, itself among them."""
        return [h for h in self.world.agent_hosts if h.pool == self.pool and h.agent_name == self.agent_name]

    # --- what was read -----------------------------------------------------------------------------------------------

    @property
    def unread(self) -> str:
        """Why the host could not be read; empty when it was."""
        return str(self.data.get("unread") or "")

    @cached_property
    def evidence(self) -> Evidence:
        """What was read, without the parts of which a sentence says that they could not be."""
        found: Evidence = read_parts(as_mapping(self.data.get("evidence")))
        return found

    @property
    def workers_hidden(self) -> str:
        """A sentence about workers that could not be looked at; empty when all could."""
        return next((text for text in unread_sentences(self.evidence) if text.startswith(HIDDEN_WORKERS)), "")

    def need(self, key: str) -> Any:
        """Return a part of what was read; MissingError where it is not known."""
        if self.unread:
            raise MissingError(f"{self.name} could not be read: {self.unread}")
        return need(self.evidence, key, f"{OF_A_HOST[key]} of {self.name}")

    @property
    def since(self) -> str:
        """Start of the time looked at."""
        return utc(self.evidence.get("since"))

    def covered(self, reading: Mapping[str, object], what: str) -> None:
        """MissingError unless a reading reaches back to the start of the time looked at: only then it rules out."""
        given = epoch_seconds(self.evidence.get("since"))
        since = known_value(given, f"the start of the time looked at on {self.name}")
        reach = reading_reach(reading, what)
        if not reach.covers(since):
            raise MissingError(f"{what} {beginning_text(reach)}, and the time looked at at {self.since}")

    # --- its release -------------------------------------------------------------------------------------------------

    @cached_property
    def record(self) -> Record:
        """The record of the serving release; empty where there is none, or it was not read."""
        found: Record = as_mapping(self.evidence.get("release"))
        return found

    @property
    def release(self) -> str:
        return str(self.record.get("id") or "")

    @property
    def unmanaged(self) -> bool:
        """Whether nothing is deployed here and its worker was found: whoever started it, it is the entry's own."""
        return bool(self.record.get("unmanaged"))

    @property
    def services(self) -> tuple[str, ...]:
        """The compose services of the release; of an unmanaged worker what was found of them."""
        if self.unmanaged and self.api_read.get("read"):
            return SERVICES
        return record_services(self.record)

    def service_read(self, name: str) -> Service:
        """Return the container of a service; empty where it was not read."""
        found: Service = as_mapping(as_mapping(self.evidence.get("services")).get(name))
        return found

    def service(self, name: str) -> Service:
        """Return the container of a service; MissingError where it is not known."""
        found: Service = as_mapping(need(self.need("services"), name, f"the container of {name} on {self.name}"))
        return found

    # --- its workers -------------------------------------------------------------------------------------------------

    @cached_property
    def found(self) -> list[WorkerReading]:
        """The workers that were read here; none where they were not. Only for what speaks for a cause."""
        return as_mappings(self.evidence.get("workers"))

    def workers(self) -> list[WorkerReading]:
        """Return the workers here; MissingError where they were not read."""
        self.need("workers")
        return self.found

    @property
    def witness(self) -> list[WorkerReading]:
        """The workers that were read again after the probes."""
        return as_mappings(self.data.get("witness"))

    def owns(self, worker: WorkerReading) -> bool:
        """Tell whether a worker is of one of our releases on this host."""
        return (worker.get("release") or "") in as_mapping(self.evidence.get("states"))

    def may_be_ours(self, worker: WorkerReading) -> bool:
        """Tell whether a worker is of this pool, or may be because a member's releases are not known."""
        members = self.members()
        unknown = bool(worker.get("release")) and any("states" not in member.evidence for member in members)
        return unknown or any(member.owns(worker) for member in members)

    @cached_property
    def foreign_workers(self) -> list[ForeignWorker]:
        """Every worker that was seen under this host's name and is not of its pool, once each."""
        return foreign_workers(self)

    @cached_property
    def worker(self) -> WorkerReading:
        """The worker of the serving release; empty where there is none."""
        mine = [w for w in self.found if self.release and w.get("release") == self.release]
        return next((w for w in mine if w.get("running")), mine[0] if mine else no_worker())

    def serving(self, key: str = "running") -> Any:
        """Return what is known of the serving worker under a key; MissingError where it is not."""
        self.need_worker()
        return need(self.worker, key, f"{OF_A_WORKER.get(key, key)} of {worker_place(self.worker)} on {self.name}")

    def need_worker(self) -> None:
        """MissingError unless the host has a worker of a serving release."""
        self.workers()
        if not self.worker:
            raise MissingError(f"{self.name} has no worker of a serving release")

    @property
    def log_name(self) -> str:
        """The serving worker's log as a sentence names it."""
        return f"the log of {worker_place(self.worker)}"

    def worker_log(self) -> None:
        """MissingError unless the serving worker's log reaches back to the start of the time looked at."""
        self.serving()
        self.covered(self.worker, self.log_name)

    def no_unknown_errors(self) -> None:
        """MissingError where the worker's log has errors that nobody knows: they may be any."""
        count = self.serving("unknown_errors")
        last: LogLines = as_mapping(self.worker.get("last_unknown_error"))
        if count:
            text = ": ".join(str(part) for part in (last.get("line"), last.get("error")) if part)
            errors = f"{count} lines of level ERROR that nobody knows"
            raise MissingError(f"{self.log_name} has {errors}, last at {utc(last.get('time'))}: {text}")

    def log_begins(self) -> float:
        """Return from when on the serving worker's log is whole: a container made anew starts with an empty one."""
        self.need_worker()
        reach = reading_reach(self.worker, self.log_name)
        return float(known_value(reach.begins if reach.whole else None, f"where {self.log_name} begins"))

    @cached_property
    def requests(self) -> list[JobRequest]:
        """Requests of the serving worker's log since the start of the window that are no probes."""
        return calls(self.worker.get("requests"))

    # --- its API and its proxy ---------------------------------------------------------------------------------------

    @cached_property
    def api_read(self) -> ApiEvidence:
        """What was read of the API; empty where nothing was."""
        found: ApiEvidence = as_mapping(self.evidence.get("api"))
        return found

    @cached_property
    def proxy_read(self) -> ProxyEvidence:
        """What was read of nginx's log; empty where nothing was."""
        found: ProxyEvidence = as_mapping(self.evidence.get("proxy"))
        return found

    @property
    def dispatches(self) -> list[Dispatch]:
        return as_mappings(self.api_read.get("dispatches")) if self.api_read.get("read") else []

    def api(self) -> ApiEvidence:
        """Return what was read of the API; MissingError where its log was not."""
        self.need("api")
        if not self.api_read.get("read"):
            self.no_silence()
            raise MissingError(f"the API's log of {self.name} could not be read")
        return self.api_read

    def no_silence(self) -> None:
        """QuietError where the API logged no dispatch because no request reached it."""
        if self.api_read.get("container") and self.proxy().get("requests") == 0:
            self.covered(self.proxy(), f"nginx's log of {self.name}")
            self.covered(self.api_read, f"the API's log of {self.name}")
            raise QuietError(f"no request reached {self.name} since {self.since}, and its API logged no dispatch")

    def proxy(self) -> ProxyEvidence:
        """Return what was read of nginx's log; MissingError where it was not."""
        self.need("proxy")
        if not self.proxy_read.get("read"):
            if self.unmanaged:  # who has set up no proxy of ours may have none
                raise QuietError(f"no proxy's log was read on {self.name} (diagnosis_access_log names one)")
            raise MissingError(f"nginx's log of {self.name} could not be read")
        return self.proxy_read

    def api_log(self) -> ApiEvidence:
        """Return what the API's log says; MissingError unless it reaches back to the start of the time looked at."""
        found = self.api()
        self.covered(found, f"the API's log of {self.name}")
        return found

    def proxy_log(self) -> ProxyEvidence:
        """Return what nginx's log says; MissingError unless it reaches back to the start of the time looked at."""
        found = self.proxy()
        self.covered(found, f"nginx's log of {self.name}")
        return found

    # --- what was proven ---------------------------------------------------------------------------------------------

    @property
    def row(self) -> VerdictRow:
        found: VerdictRow = as_mapping(self.world.verdicts.get(self.name))
        return found

    @property
    def verdict(self) -> str:
        return str(self.row.get("verdict") or "")

    @property
    def routing(self) -> Routing:
        found: Routing = as_mapping(self.row.get("routing"))
        return found

    @property
    def directed(self) -> ProbeAnswer:
        """The probe that only this host's worker may answer."""
        found: ProbeAnswer = as_mapping(self.world.probes.get(f"{self.name}/directed"))
        return found

    @property
    def directed_answered(self) -> bool:
        """Whether that probe was answered by an id that this host's worker has in its log."""
        taker = self.directed.get("worker_id")
        return self.directed.get("outcome") == "taken" and bool(taker) and taker in self.ids

    @cached_property
    def ids(self) -> set[str]:
        """Worker ids of our releases here, before and after the probes.

        Where the log has none any more, the one that answered.
        """
        logged = {i for worker in (*self.found, *self.witness) if self.owns(worker) for i in logged_ids(worker)}
        logged |= {str(i) for i in self.record.get("earlier_worker_ids") or []}
        answered = self.directed.get("status") == "JS_SUCCESS" and self.was_asked_for(self.directed.get("room"))
        return logged or ({str(self.directed.get("worker_id"))} if answered else set())

    def was_asked_for(self, room: str | None) -> bool:
        """Tell whether a worker of ours here was asked for a room, before the probes or in their witness."""
        workers = [w for w in (*self.found, *self.witness) if self.owns(w)]
        return bool(room) and any(r.get("room") == room for w in workers for r in as_mappings(w.get("requests")))

    def pool_ids(self) -> set[str]:
        """Return the worker ids of the whole pool; MissingError where those of a member are not known."""
        for member in self.members():
            member.workers()
            member.need("states")
            if not member.ids and any(w.get("running") for w in member.found if member.owns(w)):
                raise MissingError(f"the worker id of {member.name} is not known")
        return {i for member in self.members() for i in member.ids}
