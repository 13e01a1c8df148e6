# SPDX-License-Identifier: Apache-2.0
"""What was observed of one host, with everything that may be missing made empty. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from ..common.commands import Playbooks, shell
from ..livekit.probe import ProbeResult
from ..release.records import SERVICES

NAME_VARIABLES = ("AGENT_NAME", "LIVEKIT_AGENT_NAME")


class SeenRequest(TypedDict, total=False):
    """A job request in a worker's log."""

    job_id: str | None
    room: str | None  # agents-js logs none


class SeenWorker(TypedDict, total=False):
    """A worker as ``livekit_worker_info`` has read it. What a check does not look at is left out here."""

    container: str
    container_id: str
    project: str | None  # of Compose; without one nobody deployed it with this project
    release: str | None
    running: bool
    draining: bool
    guarded: bool  # its gate and its probe hook are in place
    hook_process: str | None  # drawn by the probe hook when the process started
    connected: bool
    reconnects: int
    agent_name: str | None  # in effect, as the log of its registration says
    worker_id: str | None  # null where that line has rotated away
    registered_since: str | None
    requests: list[SeenRequest]
    log_matches: dict[str, float] | None  # seconds from the preview's request to the line, by pattern
    env: dict[str, str] | None
    url: str  # of the LiveKit server
    sdk: str


class SeenReading(TypedDict, total=False):
    """All workers of a host at one time."""

    time: float | None
    workers: list[SeenWorker]


class SeenService(TypedDict, total=False):
    """A container of the release."""

    running: bool
    env: dict[str, str]


class Purpose(TypedDict, total=False):
    """How a release differs from the inventory on purpose, after a rollback."""

    kind: str
    at: str


@dataclass(frozen=True)
class Observed:
    """One host's observations."""

    name: str
    agent_name: str
    pool: str
    release: str
    readings: list[SeenReading]
    services: dict[str, SeenService]
    drift: list[str] | None
    directed: ProbeResult
    preview: ProbeResult
    through: ProbeResult
    samples: list[ProbeResult] = field(default_factory=list)
    behind: list[SeenWorker] = field(default_factory=list)
    own_ids: frozenset[str] = frozenset()
    hook: bool = True
    workers: int = 1
    outside: bool = False
    readable: bool = True
    error: str = ""
    on_purpose: Purpose = field(default_factory=Purpose)
    adopted: bool = False
    unmanaged: bool = False
    parts: tuple[str, ...] = SERVICES
    asks_preview: bool = True
    patterns: dict[str, float] = field(default_factory=dict)
    pool_hosts: list[Observed] = field(default_factory=list)
    playbooks: Playbooks = field(default_factory=Playbooks)

    @property
    def members(self) -> list[Observed]:
        """Return the hosts of the pool, this one among them."""
        return self.pool_hosts or [self]

    @property
    def shares_on_purpose(self) -> bool:
        """Return whether it was rolled back to a shared name. That others get jobs of it is then what was asked for."""
        return self.on_purpose.get("kind") == "shared_name"

    @property
    def deploy_command(self) -> str:
        return self.playbooks.start("deploy.yml", limit=self.name)

    @property
    def verify_command(self) -> str:
        return self.playbooks.start("verify.yml", limit=self.name)

    def serving(self, number: int) -> list[SeenWorker]:
        """Return the running workers of one reading that may take jobs of this host's application or name."""
        if number >= len(self.readings):
            return []
        workers = seen_workers(self.readings[number])
        running = [worker for worker in workers if worker.get("running") and not worker.get("draining")]
        app = next((worker_app(worker) for worker in running if worker.get("release") == self.release), "")
        return [worker for worker in running if self.may_serve(worker, app)]

    def may_serve(self, worker: SeenWorker, app: str) -> bool:
        ours = self.agent_name in worker_names(worker) or worker.get("release") == self.release
        return ours or bool(app and worker_app(worker) == app)

    def worker(self, number: int = 1) -> SeenWorker:
        """Return the worker of this release; where there is none, the only one that serves."""
        serving = self.serving(number)
        ours = [worker for worker in serving if worker.get("release") == self.release]
        return next(iter(ours or serving), SeenWorker())

    def all_workers(self) -> list[SeenWorker]:
        return [worker for reading in self.readings for worker in seen_workers(reading)]

    @property
    def container(self) -> str:
        return str(self.worker().get("container") or self.worker(0).get("container") or "<worker container>")

    @property
    def log_command(self) -> str:
        if self.container.startswith("process "):
            return f"on {self.name}: read the log of {self.container}"
        last = ["--tail", 100, "--", self.container]
        return f"on {self.name}: {shell('docker', 'logs', *last)}"

    @property
    def sampled(self) -> bool:
        """Return whether the name is sampled: a worker of the pool has no hook and would take a probe for another."""
        return not all(member.hook for member in self.members)

    @property
    def proof(self) -> ProbeResult:
        """Return the job that this host's worker got, so that its id is known without the log; empty without proof.

        The log alone is no proof: a worker that passes a request on has it in its log too. With the hook its answer is
        the proof, without it that the job runs.
        """
        probes, status = (self.samples, "JS_RUNNING") if self.sampled else ([self.directed], "JS_SUCCESS")
        if self.sampled and self.hook:
            return {}
        taken = [probe for probe in probes if probe.get("outcome") == "taken" and probe.get("status") == status]
        ours = (one for one in taken if one.get("worker_id") and asked_for_job(self.worker(), one.get("job_id")))
        return next(ours, ProbeResult())

    @property
    def logged_id(self) -> str:
        return str(self.worker().get("worker_id") or self.worker(0).get("worker_id") or "")

    @property
    def worker_id(self) -> str:
        """Return the id in the log; where the registration line has rotated away, the id that got the job."""
        return self.logged_id or str(self.proof.get("worker_id") or "")

    @property
    def own_samples(self) -> list[ProbeResult]:
        """Return the sampled dispatches that this host's worker took, and its log has."""
        taken = [sample for sample in self.samples if sample.get("outcome") == "taken"]
        mine = [sample for sample in taken if sample.get("worker_id") == self.worker_id != ""]
        return [sample for sample in mine if asked_for_job(self.worker(), sample.get("job_id"))]

    @property
    def probe(self) -> ProbeResult:
        """Return the dispatch that stands for this host in a report."""
        return next(iter(self.own_samples), ProbeResult()) if self.sampled else self.directed


def mapping(value: Any) -> Any:
    """Return what was observed where it is a mapping, else an empty one: nothing that comes from outside is trusted."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def mappings(value: Any) -> list[Any]:
    return [mapping(one) for one in sequence(value)]


def texts(value: Any) -> list[str]:
    return [str(one) for one in sequence(value)]


def seen_workers(reading: SeenReading) -> list[SeenWorker]:
    return mappings(mapping(reading).get("workers"))


def worker_app(worker: SeenWorker) -> str:
    """Return the application of a worker's Compose project: the project's name without the release."""
    project, release = worker.get("project") or "", worker.get("release") or ""
    return project.removesuffix(f"-{release}") if project and release else ""


def worker_names(worker: SeenWorker) -> set[str]:
    env = mapping(worker.get("env"))
    return {str(name) for name in (worker.get("agent_name"), *(env.get(key) for key in NAME_VARIABLES)) if name}


def worker_requests(worker: SeenWorker) -> list[SeenRequest]:
    return mappings(worker.get("requests"))


def asked_for_job(worker: SeenWorker, job_id: str | None) -> bool:
    return bool(job_id) and any(request.get("job_id") == job_id for request in worker_requests(worker))


def asked_for(worker: SeenWorker, probe: ProbeResult) -> bool:
    """Return whether a worker's log has the request of a dispatch: by its room, or where it logs none by its job."""
    return any(
        is_wanted(probe.get("room"), request.get("room"))
        or (not request.get("room") and is_wanted(probe.get("job_id"), request.get("job_id")))
        for request in worker_requests(worker)
    )


def is_wanted(wanted: str | None, found: str | None) -> bool:
    return bool(wanted) and found == wanted


def observed_host(name: str, given: Any, probes: Mapping[str, Any], playbooks: Playbooks | None = None) -> Observed:
    data = mapping(given)
    readings, drift, agent_name = mappings(data.get("readings")), data.get("drift"), str(data.get("agent_name") or "")
    return Observed(
        name=name,
        agent_name=agent_name,
        pool=str(data.get("pool") or name),
        release=str(data.get("release") or ""),
        readings=readings[:2],
        services=mapping(data.get("services")),
        drift=texts(drift) if isinstance(drift, list | tuple) else None,
        directed=mapping(probes.get(f"{name}/directed")),
        preview=mapping(probes.get(f"{name}/preview")),
        through=mapping(probes.get(f"{data.get('agent_name')}/through")),
        samples=name_samples(agent_name, probes),
        behind=mappings(data.get("behind")),
        own_ids=frozenset(texts(data.get("own_ids"))),
        hook=bool(data.get("hook", True)),
        workers=int(data.get("workers") or 1),
        outside=bool(data.get("outside")),
        playbooks=playbooks or Playbooks(),
        readable=bool(data.get("readable", True) and readings),
        error=str(data.get("error") or ""),
        on_purpose=mapping(data.get("on_purpose")),
        adopted=bool(data.get("adopted")),
        unmanaged=bool(data.get("unmanaged")),
        asks_preview=bool(data.get("asks_preview", True)),
        patterns={str(text): float(seconds) for text, seconds in mapping(data.get("log_patterns")).items()},
        parts=tuple(texts(data.get("parts"))) or SERVICES,
    )


def name_samples(name: str, probes: Mapping[str, Any]) -> list[ProbeResult]:
    """Return the plain dispatches to a name: one of them has no number."""
    stem = f"{name}/sample"
    return [mapping(probe) for key, probe in probes.items() if name and (key == stem or key.startswith(f"{stem}/"))]
