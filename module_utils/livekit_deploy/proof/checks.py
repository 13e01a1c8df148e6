# SPDX-License-Identifier: Apache-2.0
"""From observations to checks and a verdict for every host. Pure; what is missing is a failed check.

Ids and nonces are compared, never clocks: only two readings of one host are compared by their time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..common.commands import Playbooks, shell
from ..inventory import preview
from ..livekit.outcomes import MEDIA, NOT_REACHED
from ..release.records import API, SERVICES
from ..worker.log_words import NODE_REMEDY
from . import server_evidence, verdicts

NAME_VARIABLES = ("AGENT_NAME", "LIVEKIT_AGENT_NAME")
MIN_SECONDS_BETWEEN_READINGS = 2.0


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    found: str
    expected: str
    remedy: str

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "ok": self.ok,
            "found": self.found,
            "expected": self.expected,
            "remedy": "" if self.ok else self.remedy,
        }


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


def check_environment(host: Host) -> Check:
    if host.adopted:
        expected = "the containers of the adopted project run, whatever their environment says"
        stopped = [service for service in host.parts if not mapping(host.services.get(service, {"running": True})).get("running")]
        found = f"{', '.join(stopped)} does not run" if stopped else expected
        return Check("environment", not stopped, found, expected, "look at its log, or run deploy.yml")
    expected = f"{' and '.join(host.parts)} run with {' and '.join(NAME_VARIABLES)} = {host.agent_name!r}"
    wrong = [] if host.agent_name else ["the inventory gives no agent name"]
    for service in host.parts:
        state = mapping(host.services.get(service))
        if not state.get("running"):
            wrong.append(f"{service} is not running" if state else f"{service} was not read")
            continue
        env = mapping(state.get("env"))
        wrong += [
            f"{service} has {key} {env[key]!r}" if env.get(key) else f"{service} has no {key}"
            for key in NAME_VARIABLES
            if env.get(key) != host.agent_name
        ]
    remedy = f"{host.deploy_command} (a restart keeps the old environment; a deployment makes new containers)"
    return Check("environment", not wrong, "; ".join(wrong) or expected, expected, remedy)


def check_name_in_effect(host: Host) -> Check:
    name, expected = host.worker().get("agent_name"), f"the worker is registered as {host.agent_name!r}"
    remedy = (
        "remove the agent name from the worker's code and from LIVEKIT_AGENT_NAME_OVERRIDE, "
        "so that LIVEKIT_AGENT_NAME decides (livekit-agents >= 1.5.7)"
    )
    if name:
        return Check(
            "name_in_effect",
            bool(host.agent_name) and name == host.agent_name,
            f"registered as {name!r}",
            expected,
            remedy,
        )
    if not host.worker():
        return Check("name_in_effect", False, "no serving worker in the second reading", expected, host.deploy_command)
    proven = host.proof.get("agent_name") == host.agent_name != ""
    what = "sampled dispatch" if host.sampled else "directed probe"
    found = "the log no longer has the registration line"
    found += f"; the {what} to {host.agent_name!r} was answered here" if proven else f" and no {what} was answered here"
    return Check("name_in_effect", proven, found, expected, f'{host.log_command}; look for "registered worker"')


def check_registered(host: Host) -> Check:
    expected = "exactly one serving worker with the same worker id at two readings 2 s apart, connected at the second"
    trouble = trouble_of_readings(host) or trouble_of_ids(host)
    if trouble:
        return Check(
            "registered",
            False,
            trouble,
            expected,
            f'{host.log_command}; look for "registered worker" and "failed to connect"',
        )
    logged = host.worker().get("worker_id")
    since = host.worker().get("registered_since") if logged else None
    source = "" if logged else " (the registration line has rotated away; the id is from an earlier reading or the probe)"
    return Check("registered", True, f"{host.worker_id} since {since or 'unknown'}{source}", expected, "")


def trouble_of_readings(host: Host) -> str:
    """What forbids comparing the two readings; empty when nothing does."""
    if len(host.readings) < 2:
        return f"{len(host.readings)} of 2 readings of the workers" + (f": {host.error}" if host.error else "")
    times = [moment for reading in host.readings if isinstance(moment := reading.get("time"), int | float)]
    if len(times) < 2:
        return "a reading without a time"
    if times[1] - times[0] < MIN_SECONDS_BETWEEN_READINGS:
        return f"readings only {times[1] - times[0]:.1f} s apart"
    for number, word in enumerate(("first", "second")):
        serving = host.serving(number)
        if len(serving) != 1:
            who = ", ".join(f"{w.get('container')} (release {w.get('release')})" for w in serving)
            return f"{len(serving)} serving workers at the {word} reading" + (f": {who}" if who else "")
    return ""


def trouble_of_ids(host: Host) -> str:
    first, second = host.worker(0), host.worker(1)
    if first.get("container_id") != second.get("container_id"):
        return f"another container at the second reading: {first.get('container')}, then {second.get('container')}"
    if not second.get("connected"):
        return f"a connection failure after the latest registration of {second.get('worker_id') or 'the worker'}"
    ids = (first.get("worker_id"), second.get("worker_id"))
    if ids[1] and ids[0] != ids[1]:
        reconnects = f", {second.get('reconnects')} reconnects" if second.get("reconnects") else ""
        return f"worker id {ids[0] or 'unknown'} at the first and {ids[1]} at the second reading{reconnects}"
    if not any(ids) and not host.proof:
        return "no worker id: the log has no registration line and the worker answered no probe"
    return ""


def check_directed_probe(host: Host) -> Check:
    """A job that was meant for this worker got there; of a name that is sampled, one of the dispatches to it did."""
    if host.sampled:
        return check_samples(host)
    probe, worker = host.directed, host.worker()
    target, who = f"{host.name}/{host.release}", host.worker_id or "its worker"
    expected = f"a probe directed at {target} is answered by {who}, whose log has the job"
    found, remedy = trouble_of_directed(host, probe, worker)
    if found:
        return Check("directed_probe", False, found, expected, remedy)
    return Check(
        "directed_probe",
        True,
        f"job {probe['job_id']} answered by {probe['worker_id']}, in the log of {host.container}",
        expected,
        "",
    )


def trouble_of_directed(host: Host, probe: dict[str, Any], worker: dict[str, Any]) -> tuple[str, str]:
    """Found and remedy; empty when the probe proves what it should."""
    outcome, job, taker = probe.get("outcome"), probe.get("job_id"), probe.get("worker_id")
    logged = asked_for_job(worker, job)
    if not probe:
        return "no directed probe was sent", host.verify_command
    if outcome == "error":
        return str(probe.get("reason") or "the probe failed"), "see what was found, and run verify.yml again"
    if outcome != "taken" or not job:
        return not_answered(host, probe, worker)
    if not taker:
        text = "and this host's log has it" if logged else "and this host's log does not have it"
        return (
            f"job {job} is listed without a worker id (LiveKit servers before 1.9.1 tell none), {text}",
            "upgrade the LiveKit server to 1.9.1 or newer",
        )
    if host.worker_id and taker != host.worker_id:
        text = f"job {job} was taken by {taker}; the worker here is {host.worker_id}"
        return (
            text + (", which was asked too" if logged else ""),
            f"find out who {taker} is: another worker has the name {host.agent_name!r}; give one of them another",
        )
    if not logged:
        return (
            f"job {job} of {taker} is not in the log of {host.container}",
            f"{host.log_command}; the worker must log at INFO",
        )
    return "", ""


def check_samples(host: Host) -> Check:
    who, count = host.worker_id or "its worker", len(host.samples)
    expected = f"one of the plain dispatches to {host.agent_name!r} is taken by {who}, whose log has the job"
    if not count:
        return Check("directed_probe", True, "not checked: a worker of the name has no probe hook, and sampling is off", expected, "")
    mine = host.own_samples
    if mine:
        found = f"sampling: {len(mine)} of {count} plain dispatches taken by {who}, in the log of {host.container}"
        return Check("directed_probe", True, found, expected, "")
    taken = Counter(verdicts.takers(host.samples))
    whom = ", ".join(f"{number} by {worker_id}" for worker_id, number in sorted(taken.items())) or "none by anybody"
    found = f"sampling: of {count} plain dispatches {whom}, none by {who} with the job in the log of {host.container}"
    remedy = f"{host.log_command}; compare its LIVEKIT_URL, agent name and load with the inventory; the worker must log at INFO"
    return Check("directed_probe", False, found, expected, remedy)


def not_answered(host: Host, probe: dict[str, Any], worker: dict[str, Any]) -> tuple[str, str]:
    reason = str(probe.get("reason") or "no worker took the probe")
    if asked_for(worker, probe):
        found = f"{reason}; the worker here was asked (room {probe.get('room')} is in its log) and did not answer it"
        return (
            found,
            NODE_REMEDY
            if worker.get("sdk") == "node"
            else "install the probe hook, set LIVEKIT_DEPLOY_INSTANCE to <host>/<release>, answer requests within 2.8 s",
        )
    return (
        f"{reason}; the worker here was not asked",
        f"{host.log_command}; compare its LIVEKIT_URL, agent name and load with the inventory",
    )


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


def check_nobody(probe: dict[str, Any], playbooks: Playbooks) -> Check:
    expected = "a dispatch to a random agent name finds nobody"
    if not probe:
        return Check("nobody", False, "no such probe was sent", expected, playbooks.start("verify.yml"))
    ok = probe.get("outcome") == "nobody"
    found = str(probe.get("reason") or ("nobody" if ok else "no answer"))
    remedy = f"find out who {probe.get('worker_id')} is: it takes any name, so no other check proves anything"
    return Check(
        "nobody",
        ok,
        found,
        expected,
        remedy if probe.get("outcome") == "taken" else "see what was found, and run verify.yml again",
    )


def check_drift(host: Host) -> Check:
    expected = f"files and containers are those of release {host.release or '(none)'}"
    if host.drift is None or not host.release:
        return Check(
            "drift",
            False,
            "the release was not read" if host.drift is None else "no release",
            expected,
            host.deploy_command,
        )
    found, running = list(host.drift), host.worker().get("release")
    if running != host.release:
        found.append(f"the serving worker is of release {running}" if host.worker() else "no serving worker")
    return Check(
        "drift",
        not found,
        "; ".join(found) or expected,
        expected,
        f"{host.deploy_command} (makes a new release), after a look at what was edited by hand",
    )


def member_of(host: Host) -> verdicts.Member:
    """A host as the routing verdict sees it. A host outside the run was read, but got no probe of its own."""
    workers = [worker for reading in host.readings for worker in workers_of(reading)]
    rooms = {str(mapping(request).get("room")) for worker in workers for request in sequence(worker.get("requests"))}
    ids = host.own_ids | ({host.worker_id} if host.proof else set())
    own = [worker for worker in workers if worker.get("release") == host.release and worker.get("running") and worker.get("guarded")]
    copied = any(not worker.get("hook_process") for worker in own)
    known = verdicts.Member(host.name, host.readable, frozenset(ids), frozenset(rooms), None, workers=host.workers, copied=copied)
    if host.outside:
        return known
    probe = check_directed_probe(host)
    tried = not host.sampled or bool(host.samples)
    return replace(known, reached=probe.ok if tried else None, cause=probe.found, worker_id=host.worker_id)


def route_of(host: Host, nodes: int, logs: list[dict[str, Any]]) -> verdicts.Verdict:
    """Who gets the jobs of this host's name."""
    pool = host.pool_hosts or [host]
    others = [probe for member in pool for probe in (member.directed, member.preview) if probe.get("agent_name") == host.agent_name]
    seen: dict[str, Any] = {"through": host.through, "samples": host.samples, "others": others}
    server = server_evidence.evidence(logs, host.agent_name, nodes)
    members = tuple(member_of(member) for member in pool)
    return verdicts.decide(verdicts.Evidence(host.agent_name, members, **seen, server=server, nodes=nodes))


def check_routing(host: Host, verdict: verdicts.Verdict, accept_inconclusive: bool, nodes: int = 1) -> Check:
    others = [member.name for member in host.pool_hosts if member.name != host.name]
    whose = f"the pool of {', '.join([host.name, *others])}" if others else f"{host.name} alone"
    expected = f"jobs of {host.agent_name!r} go to {whose}"
    good = verdict.verdict in verdicts.GOOD
    ok = good or (accept_inconclusive and verdict.verdict == verdicts.INCONCLUSIVE)
    found = f"{verdict.verdict}: {verdict.reason} (by {verdict.method}, {verdict.seconds} s)"
    if host.shares_on_purpose:
        ok = verdict.verdict != verdicts.UNREACHABLE
        expected = f"{host.name} gets a part of the jobs of {host.agent_name!r}, to which it was rolled back on {host.on_purpose.get('at')}"
    return Check("routing", ok, found, expected, routing_remedy(host, verdict, nodes))


def routing_remedy(host: Host, verdict: verdicts.Verdict, nodes: int) -> str:
    if verdict.verdict == verdicts.FOREIGN:
        return f"give this pool a name of its own in the inventory and deploy, or stop the worker {', '.join(verdict.foreign)}"
    if verdict.verdict == verdicts.UNREACHABLE:
        return f"see the check directed_probe of {host.name}"
    if nodes > 1:  # asking again would ask one node again
        return (
            "let the complete logs of all LiveKit nodes be read (group livekit_servers); where they cannot be, as on LiveKit Cloud: "
            "verification_accept_inconclusive=true"
        )
    return "run verify.yml again; to go on all the same: -e verification_accept_inconclusive=true"


def checks_of(host: Host, nobody: dict[str, Any], preview: bool) -> list[Check]:
    """All checks, the cause before what follows from it."""
    before = [check_environment(host), check_name_in_effect(host), check_registered(host), check_directed_probe(host)]
    return [*before, check_preview(host, preview), check_nobody(nobody, host.playbooks), check_drift(host)]


def reason_of(checks: list[Check]) -> str:
    failed = [check for check in checks if not check.ok]
    if not failed:
        return f"all {len(checks)} checks hold"
    others = f" (also: {', '.join(check.name for check in failed[1:])})" if failed[1:] else ""
    return f"{failed[0].name}: {failed[0].found}{others}"


def report_of(host: Host, checks: list[Check], verdict: verdicts.Verdict) -> dict[str, Any]:
    return {
        "agent_name": host.agent_name,
        "release": host.release,
        "worker_ids": [host.worker_id] if host.worker_id else [],
        "verdict": verdict.verdict,
        "reason": host.error or reason_of(checks),
        "probe": {key: host.probe.get(key) for key in ("job_id", "worker_id", "latency_seconds")},
        "checks": [check.as_dict() for check in checks],
        "routing": verdict.as_dict(),
        "on_purpose": host.on_purpose or None,
        "ok": not host.error and all(check.ok for check in checks),
    }


def judge(
    hosts: Any,
    probes: Any,
    preview: bool = True,
    accept_inconclusive: bool = False,
    nodes: int = 1,
    server_logs: Any = (),
    playbooks: Playbooks | None = None,
) -> dict[str, Any]:
    """The report of all hosts of the run. No host at all is not ok: nothing was proven."""
    answers = mapping(probes)
    logs = [mapping(log) for log in sequence(server_logs)]
    known = [host_of(str(name), data, answers, playbooks) for name, data in mapping(hosts).items()]
    report = {}
    for host in known:
        host.pool_hosts.extend(other for other in known if other.pool == host.pool and other.agent_name == host.agent_name)
    for host in [host for host in known if not host.outside]:
        checks = checks_of(host, mapping(answers.get("nobody")), preview)
        verdict = route_of(host, nodes, logs)
        report[host.name] = report_of(host, [*checks, check_routing(host, verdict, accept_inconclusive, nodes)], verdict)
    notes = [note_of(host) for host in known if host.preview.get("from_host")]
    failed = sorted(name for name, entry in report.items() if not entry["ok"])
    return {"report": report, "ok": bool(report) and not failed, "failed_hosts": failed, "report_notes": notes}


def note_of(host: Host) -> str:
    return (
        f"{host.name}: the controller gets no connection to its API ({host.preview['from_host']}), so the preview was asked from the host "
        "itself. Look whether the API's users reach it; an address for the controller: verification_preview.url"
    )
