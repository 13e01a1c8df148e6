# SPDX-License-Identifier: Apache-2.0
"""Who holds an agent name: every worker that was found, whose it is, and what is known of a run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..common import commands, ids
from ..diagnosis.types import Routing, ServerLog, VerdictRow
from ..inventory.addresses import normalised_url
from ..release import records
from ..worker.types import EvictionRecord, StoppedWorker, WorkerReading
from .types import EvictionHost, UnknownWorker


@dataclass(frozen=True)
class Worker:
    """A worker found on a host, with all that the decision needs."""

    host: str
    read: WorkerReading
    ours: bool
    pool: str
    servers: frozenset[str]

    @property
    def ids(self) -> set[str]:
        return set(valid_ids(self.read))

    @property
    def chosen_id(self) -> str:
        """The present id, else one that it had."""
        return ids.worker(self.read.get("worker_id")) or min(self.ids)

    @property
    def name(self) -> str:
        """The name in effect; where neither log nor worker tell, the one it was configured with."""
        env = self.read.get("env") or {}
        in_effect = self.read.get("agent_name") or self.read.get("answered_name")
        return str(in_effect or self.read.get("override") or env.get("LIVEKIT_AGENT_NAME") or "")

    @property
    def place(self) -> str:
        return f"{self.read['container']} on {self.host}"

    @property
    def elsewhere(self) -> str:
        """The LiveKit server it is at, if that is not the one of the run by its address."""
        url = str(self.read.get("url") or self.read.get("configured_url") or "")
        return url if url and self.servers and normalised_url(url) not in self.servers else ""

    @property
    def state(self) -> str:
        if self.read.get("unread"):
            return "id not known"
        return "" if self.read.get("worker_id") else "not registered"


def valid_ids(record: Mapping[str, object]) -> list[str]:
    """Return the ids of a worker, in a reading or a record, that a LiveKit server may have made."""
    earlier = record.get("worker_ids")
    named = [record.get("worker_id"), *(earlier if isinstance(earlier, list | tuple) else [])]
    return [found for one in named if (found := ids.worker(one))]


@dataclass(frozen=True)
class Case:
    """All that is known of one run."""

    hosts: Mapping[str, EvictionHost]
    name: str = ""
    worker_id: str = ""
    verdicts: Mapping[str, VerdictRow] = field(default_factory=dict)
    server_logs: Sequence[ServerLog] = ()
    drained: StoppedWorker | None = None
    playbooks: commands.Playbooks = field(default_factory=commands.Playbooks)
    accept_inconclusive: bool = False
    checking: bool = False

    @property
    def names(self) -> list[str]:
        """The names that are looked at."""
        known = self.known_names()
        return [name for name in known if name == self.name] if self.name else known

    def known_names(self) -> list[str]:
        return sorted({str(host["agent_name"]) for host in self.hosts.values() if host["agent_name"]})

    def claims(self, name: str) -> dict[str, list[str]]:
        """Return the pools that the inventory gives a name to, with their hosts."""
        pools: dict[str, list[str]] = {}
        for host, about in self.hosts.items():
            if about["agent_name"] == name:
                pools.setdefault(str(about["pool"]), []).append(host)
        return pools

    def workers(self) -> list[Worker]:
        """Return each worker once; where two names of the inventory are one machine, that of its release."""
        servers = frozenset(normalised_url(url) for host in self.hosts.values() for url in host["urls"]) - {""}
        found: dict[tuple[object, ...], Worker] = {}
        for host, about in self.hosts.items():
            for read in about["workers"]:
                ours = is_own_worker(about, host, read)
                worker = Worker(host, read, ours=ours, pool=str(about["pool"]), servers=servers)
                key = (read.get("container_id") or read.get("pid"), read.get("started_at"), *sorted(worker.ids))
                found[key] = worker if worker.ours else found.get(key, worker)
        return list(found.values())

    @property
    def stopped_ids(self) -> set[str]:
        """Every id of the worker that this run told to stop."""
        return set(self.drained.get("worker_ids") or []) if self.drained else set()

    def holders(self, name: str) -> list[Worker]:
        """Return the workers under a name, without the one that has ended in this run."""
        ended = self.stopped_ids if self.drained and self.drained.get("gone") else set()
        return [one for one in self.workers() if one.name == name and one.read.get("running") and not one.ids & ended]

    def nameless(self) -> list[Worker]:
        """Return the running workers whose name is not known."""
        return [worker for worker in self.workers() if not worker.name and worker.read.get("running")]

    def was_told_to_stop(self, worker: Worker) -> bool:
        """Tell whether the worker was told to stop, by this run or an earlier one, and has not ended."""
        now = not self.checking and bool(worker.ids & self.stopped_ids)
        return now or bool(worker.read.get("draining"))

    def stopped_earlier(self) -> list[tuple[str, EvictionRecord]]:
        """Return the workers that earlier runs stopped, each with its host."""
        return [(host, record) for host, about in self.hosts.items() for record in about["evictions"]]

    def ids_on_hosts(self) -> set[str]:
        """Return every worker id that a host knows."""
        stopped = {one for _, record in self.stopped_earlier() for one in valid_ids(record)}
        return stopped.union(*(worker.ids for worker in self.workers()))


def is_own_worker(about: EvictionHost, host: str, read: WorkerReading) -> bool:
    """Tell whether a worker is of a release on this host's record.

    Where the record cannot be read, a worker that says it is of one counts as such.
    """
    release = read.get("release")
    if about["group"] != "agent_hosts" or not release:
        return False
    if about["releases"] is None:
        return str(read.get("instance") or "").startswith(f"{host}/")
    adopted = (about.get("adopted") or {}).get(str(read.get("container"))) == release
    own = adopted or read.get("project") == records.compose_project(str(about["app"]), str(release))
    return release in about["releases"] and own


# --- workers on no known host ----------------------------------------------------------------------------------------


def unknown_workers(case: Case, names: Iterable[str]) -> list[UnknownWorker]:
    """Return the workers that the LiveKit server or a probe shows under these names and no known host has."""
    wanted, known = set(names), case.ids_on_hosts()
    found = {one["worker_id"]: one for one in logged_workers(case) if one["agent_name"] in wanted}
    for one in probed_workers(case):
        found.setdefault(one["worker_id"], one)
    unknown = [found[worker_id] for worker_id in sorted(found.keys() - known)]
    named = [one for one in unknown if one["agent_name"] in wanted]
    return [{**one, "maybe": workers_without_id(case, str(one["agent_name"]))} for one in named]


def logged_workers(case: Case) -> Iterator[UnknownWorker]:
    """Yield the workers that a LiveKit server's log has as registered."""
    for log in case.server_logs:
        for entry in log.get("workers") or []:
            if not entry.get("closed"):
                yield {
                    "worker_id": entry["worker_id"],
                    "agent_name": entry.get("agent_name"),
                    "registered": entry.get("registered"),
                    "job_type": entry.get("job_type"),
                    "deployment": entry.get("deployment"),
                    "seen_by": f"log of {log_host(log)}",
                    "maybe": [],
                }


def probed_workers(case: Case) -> Iterator[UnknownWorker]:
    """Yield the foreign workers that probes showed."""
    for row in case.verdicts.values():
        for worker_id in routing_of_row(row).get("foreign") or []:
            yield {
                "worker_id": worker_id,
                "agent_name": row.get("agent_name"),
                "registered": None,
                "job_type": None,
                "deployment": None,
                "seen_by": "a probe",
                "maybe": [],
            }


def routing_of_row(row: VerdictRow) -> Routing:
    return row.get("routing") or Routing()


def workers_without_id(case: Case, name: str) -> list[str]:
    """Return the workers under the name whose id is not known: an unknown id may be theirs."""
    return [worker.place for worker in case.holders(name) if not worker.ids]


def log_host(log: Mapping[str, object]) -> str:
    return str(log.get("host") or log.get(str(log.get("ansible_loop_var"))) or "the LiveKit server")


def unknown_worker_text(entry: UnknownWorker) -> str:
    """Say all that is known of a worker that no host has."""
    since = f" registered since {entry['registered']}" if entry["registered"] else ""
    kind = f", job type {entry['job_type']}" if entry["job_type"] else ""
    label = f", deployment {entry['deployment']!r}" if entry["deployment"] else ""
    name = f" under {entry['agent_name']}" if entry["agent_name"] else ""
    maybe = f"; it may be {' or '.join(entry['maybe'])}, whose id is not known" if entry["maybe"] else ""
    return f"{entry['seen_by']} shows it{name}{since}{kind}{label}{maybe}"
