# SPDX-License-Identifier: Apache-2.0
"""What was observed of one host, with everything that may be missing made empty. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..common.commands import Playbooks, shell
from ..release.records import SERVICES

NAME_VARIABLES = ("AGENT_NAME", "LIVEKIT_AGENT_NAME")


@dataclass(frozen=True)
class Host:
    """One host's observations, with everything that may be missing made empty."""

    name: str
    agent_name: str
    pool: str
    release: str
    readings: list[dict[str, Any]]
    services: dict[str, Any]
    drift: list[str] | None
    directed: dict[str, Any]
    preview: dict[str, Any]
    through: dict[str, Any]
    samples: list[dict[str, Any]] = field(default_factory=list)
    behind: list[dict[str, Any]] = field(default_factory=list)
    own_ids: frozenset[str] = frozenset()
    hook: bool = True
    workers: int = 1
    outside: bool = False
    readable: bool = True
    error: str = ""
    on_purpose: dict[str, Any] = field(default_factory=dict)
    adopted: bool = False
    parts: tuple[str, ...] = SERVICES
    asks_preview: bool = True
    patterns: dict[str, float] = field(default_factory=dict)
    pool_hosts: list[Host] = field(default_factory=list)
    playbooks: Playbooks = field(default_factory=Playbooks)

    @property
    def shares_on_purpose(self) -> bool:
        """It was rolled back to a shared name: that others get jobs of it is what was asked for."""
        return self.on_purpose.get("kind") == "shared_name"

    @property
    def deploy_command(self) -> str:
        return self.playbooks.start("deploy.yml", limit=self.name)

    @property
    def verify_command(self) -> str:
        return self.playbooks.start("verify.yml", limit=self.name)

    def serving(self, number: int) -> list[dict[str, Any]]:
        """The running workers of one reading that may take jobs of this host's application or name."""
        if number >= len(self.readings):
            return []
        running = [w for w in workers_of(self.readings[number]) if w.get("running") and not w.get("draining")]
        app = next((app_of(w) for w in running if w.get("release") == self.release), None)
        return [w for w in running if self.agent_name in names_of(w) or w.get("release") == self.release or (app and app_of(w) == app)]

    def worker(self, number: int = 1) -> dict[str, Any]:
        """The worker of this release; where there is none, the only one that serves."""
        serving = self.serving(number)
        of_release = [w for w in serving if w.get("release") == self.release]
        return (of_release or serving or [{}])[0]

    def all_workers(self) -> list[dict[str, Any]]:
        return [worker for reading in self.readings for worker in workers_of(reading)]

    @property
    def container(self) -> str:
        return str(self.worker().get("container") or self.worker(0).get("container") or "<worker container>")

    @property
    def log_command(self) -> str:
        return f"on {self.name}: {shell('docker', 'logs', '--tail', 100, '--', self.container)}"

    @property
    def sampled(self) -> bool:
        """A worker of the pool has no hook and would take a probe directed at another: the name is sampled instead."""
        return not all(member.hook for member in self.pool_hosts or [self])

    @property
    def proof(self) -> dict[str, Any]:
        """The job that this host's worker got, so that its id is known without the log; empty where none is proven.

        The log alone is no proof: a worker that passes a request on has it in its log too. With the hook its answer is the proof,
        without it that the job runs.
        """
        probes, status = (self.samples, "JS_RUNNING") if self.sampled else ([self.directed], "JS_SUCCESS")
        if self.sampled and self.hook:
            return {}
        taken = [probe for probe in probes if probe.get("outcome") == "taken" and probe.get("status") == status]
        return next((p for p in taken if p.get("worker_id") and asked_for_job(self.worker(), p.get("job_id"))), {})

    @property
    def logged_id(self) -> str:
        return str(self.worker().get("worker_id") or self.worker(0).get("worker_id") or "")

    @property
    def worker_id(self) -> str:
        """Id in the log; where the registration line has rotated away, the id that got the job."""
        return self.logged_id or str(self.proof.get("worker_id") or "")

    @property
    def own_samples(self) -> list[dict[str, Any]]:
        """The sampled dispatches that this host's worker took, and its log has."""
        mine = [sample for sample in self.samples if sample.get("outcome") == "taken" and sample.get("worker_id") == self.worker_id != ""]
        return [sample for sample in mine if asked_for_job(self.worker(), sample.get("job_id"))]

    @property
    def probe(self) -> dict[str, Any]:
        """The dispatch that stands for this host in a report."""
        return next(iter(self.own_samples), {}) if self.sampled else self.directed


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def workers_of(reading: Any) -> list[dict[str, Any]]:
    return [mapping(worker) for worker in sequence(mapping(reading).get("workers"))]


def app_of(worker: dict[str, Any]) -> str:
    """The application a worker's Compose project belongs to: the project's name without the release."""
    project, release = worker.get("project") or "", worker.get("release") or ""
    return project.removesuffix(f"-{release}") if project and release else ""


def names_of(worker: dict[str, Any]) -> set[str]:
    env = mapping(worker.get("env"))
    return {str(name) for name in (worker.get("agent_name"), *(env.get(key) for key in NAME_VARIABLES)) if name}


def asked_for_job(worker: dict[str, Any], job_id: str | None) -> bool:
    return bool(job_id) and any(mapping(request).get("job_id") == job_id for request in sequence(worker.get("requests")))


def asked_for(worker: dict[str, Any], probe: Mapping[str, Any]) -> bool:
    """Whether a worker's log has the request of a dispatch: by its room, or where it logs none (agents-js) by its job."""
    requests = [mapping(request) for request in sequence(worker.get("requests"))]
    return any(is_wanted(probe, "room", one) or (not one.get("room") and is_wanted(probe, "job_id", one)) for one in requests)


def is_wanted(probe: Mapping[str, Any], key: str, request: Mapping[str, Any]) -> bool:
    return bool(probe.get(key)) and request.get(key) == probe[key]


def host_of(name: str, given: Any, probes: dict[str, Any], playbooks: Playbooks | None = None) -> Host:
    data = mapping(given)
    drift = data.get("drift")
    return Host(
        name=name,
        agent_name=str(data.get("agent_name") or ""),
        pool=str(data.get("pool") or name),
        release=str(data.get("release") or ""),
        readings=[mapping(reading) for reading in sequence(data.get("readings"))][:2],
        services=mapping(data.get("services")),
        drift=[str(item) for item in drift] if isinstance(drift, list | tuple) else None,
        directed=mapping(probes.get(f"{name}/directed")),
        preview=mapping(probes.get(f"{name}/preview")),
        through=mapping(probes.get(f"{data.get('agent_name')}/through")),
        samples=samples_of(str(data.get("agent_name") or ""), probes),
        behind=[mapping(worker) for worker in sequence(data.get("behind"))],
        own_ids=frozenset(str(i) for i in sequence(data.get("own_ids"))),
        hook=bool(data.get("hook", True)),
        workers=int(data.get("workers") or 1),
        outside=bool(data.get("outside")),
        playbooks=playbooks or Playbooks(),
        readable=bool(data.get("readable", True)) and bool(sequence(data.get("readings"))),
        error=str(data.get("error") or ""),
        on_purpose=mapping(data.get("on_purpose")),
        adopted=bool(data.get("adopted")),
        asks_preview=bool(data.get("asks_preview", True)),
        patterns={str(pattern): float(seconds) for pattern, seconds in mapping(data.get("log_patterns")).items()},
        parts=tuple(str(part) for part in sequence(data.get("parts"))) or SERVICES,
    )


def samples_of(name: str, probes: dict[str, Any]) -> list[dict[str, Any]]:
    """The plain dispatches to a name: one of them has no number."""
    stem = f"{name}/sample"
    return [mapping(probe) for key, probe in probes.items() if name and (key == stem or key.startswith(f"{stem}/"))]
