# SPDX-License-Identifier: Apache-2.0
"""What was read of the hosts and of the server, asked for by name: what is missing is said and never passes for an answer. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from ..common.times import epoch
from ..inventory.problems import normalised_url
from ..machine.logs import Reach
from ..release.records import record_services

PROBE_ROOMS = "livekit-deploy-"  # rooms of probes start so; the jobs in them are nobody's calls
AGENT_HOSTS = "agent_hosts"
WHAT = {
    "workers": "the workers",
    "release": "the release record",
    "states": "the releases",
    "services": "the containers of the serving release",
    "gate": "the standby gate",
    "written": "the files of the serving release",
    "proxy": "nginx's log",
    "api": "the API's log",
    "clock_skew_seconds": "the clock",
    "time": "the clock",
}


OF_A_WORKER = {
    "running": "the state",
    "connected": "the connection",
    "agent_name": "the name in effect",
    "worker_id": "the worker id",
    "sdk_version": "the livekit-agents version",
    "requests": "the job requests",
    "troubles": "the job processes that died",
    "unknown_errors": "the lines of level ERROR",
    "oom_killed": "whether a process was killed for want of memory",
}
# A part that could not be read is empty in the evidence and named by a sentence there: what these say is not known.
UNREAD = {
    "the release record": ("release", "states", "services", "gate", "written"),
    "the release and its containers": ("states", "services", "drift"),
    "the containers": ("states", "services", "projects"),
    "the workers": ("workers",),
    "the standby gate": ("gate",),
    "what the release's files say now": ("written",),
}
OF_WORKERS = ("the search for workers", "the workers", "worker ", "containers", "the environment of")  # sentences about workers not found


class MissingError(Exception):
    """Something that a decision needs could not be read; the text says what."""


class QuietError(MissingError):
    """Nothing happened that would have shown it."""


def need(data: Mapping[str, Any], key: str, what: str) -> Any:
    """A value that has to be there and known."""
    if data.get(key) is None:
        raise MissingError(f"{what} is not known")
    return data[key]


def mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def entries(value: Any) -> list[dict[str, Any]]:
    return [dict(item) for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []


def moment(value: Any) -> float | None:
    """Seconds since the epoch of a number or of an ISO 8601 text; a text without a zone is UTC. Docker's year 1 is no time."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if value > 0 else None
    text = re.sub(r"(\.\d{6})\d+", r"\1", str(value or ""))  # Docker writes nanoseconds
    seconds = epoch(text)
    return seconds if seconds and seconds > 0 else None


def utc(value: Any) -> str:
    """A time as it is written for people and programs; whole seconds."""
    seconds = moment(value)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if seconds else "an unknown time"


def version(text: Any) -> tuple[int, ...]:
    """The numbers a version starts with."""
    found = re.match(r"\d+(\.\d+)*", str(text or ""))
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def real(requests: Any) -> list[dict[str, Any]]:
    """The requests that are no probes."""
    return [r for r in entries(requests) if r.get("room") and not str(r["room"]).startswith(PROBE_ROOMS)]


def place(worker: Mapping[str, Any]) -> str:
    """The worker as a reader looks for it: its container and Compose project, or its process."""
    name, project = str(worker.get("container") or f"process {worker.get('pid')}"), worker.get("project")
    within = "" if not project or name.startswith(str(project)) else f" (project {project})"  # Compose names containers after the project
    return name if name.startswith("process") else f"container {name}{within}"


def ids_of(worker: Mapping[str, Any]) -> list[str]:
    """Every id the worker's log has, the latest last."""
    found = [str(i) for i in worker.get("worker_ids") or []]
    return found if worker.get("worker_id") in (None, *found) else [*found, str(worker["worker_id"])]


def agent_name_of(worker: Mapping[str, Any]) -> str | None:
    """The name in effect: from the log, else as the worker answers on its own port; None where it is not known."""
    name = worker.get("agent_name")
    return worker.get("answered_name") if name is None else name


def name_of(worker: Mapping[str, Any]) -> str:
    return str(worker.get("worker_id") or next(reversed(ids_of(worker)), "a worker of unknown id"))


def reach_of(reading: Mapping[str, Any], what: str) -> Reach:
    """From when to when a reading reaches; MissingError where that is not known."""
    found = mapping(need(reading, "reach", f"how far back {what} reaches"))
    missing = [key for key in Reach._fields if key not in found]
    if missing:
        raise MissingError(f"how far back {what} reaches is not known")
    return Reach(**{key: found[key] for key in Reach._fields})


def begins(reach: Reach) -> str:
    """Where a reading begins, in words, and why not before."""
    since = f"begins at {utc(reach.begins)}" if reach.begins is not None else "has a beginning that is not known"
    return since + (f" ({reach.why})" if reach.why else "")


@dataclass(frozen=True)
class Rival:
    """A worker under a host's name that is no worker of its pool; ``host`` and ``worker`` where it was found."""

    worker_id: str
    seen: tuple[str, ...]
    host: Host | None = None  # the rival's host
    worker: Mapping[str, Any] = field(default_factory=dict)
    certain: bool = True


@dataclass(frozen=True, eq=False)
class Sighting:
    """One worker and the hosts of the inventory that see it: several, where they are names of one machine."""

    worker: Mapping[str, Any]
    hosts: tuple[Host, ...]

    def home(self, asking: Host) -> Host:
        """The host it is told to be on: the one that deployed it, the one that asks, or the first that sees it."""
        owner = next((host for host in self.hosts if host.owns(self.worker)), None)
        return owner or (asking if asking in self.hosts else self.hosts[0])


@dataclass(frozen=True, eq=False)
class Host:
    """One host of the inventory and what was read there."""

    name: str
    data: Mapping[str, Any] = field(repr=False)
    world: World = field(repr=False)

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
    def unread(self) -> str:
        return str(self.data.get("unread") or "")

    @property
    def hook(self) -> bool:
        """Whether the inventory says that the worker asks the probe hook."""
        return bool(self.data.get("hook", True))

    @property
    def outside(self) -> bool:
        """Not in this run, because of --limit: nothing was tried."""
        return bool(self.data.get("outside"))

    @cached_property
    def evidence(self) -> dict[str, Any]:
        """What was read, without the parts of which a sentence says that they could not be."""
        given = mapping(self.data.get("evidence"))
        sentences = [str(text) for text in given.get("unread") or []]
        gone = {key for what, keys in UNREAD.items() for key in keys if any(t.startswith(f"{what} could not be read") for t in sentences)}
        return {key: value for key, value in given.items() if key not in gone}

    @property
    def workers_hidden(self) -> str:
        """A sentence about workers that could not be looked at; empty when all could."""
        return next((str(text) for text in self.evidence.get("unread") or [] if str(text).startswith(OF_WORKERS)), "")

    def need(self, key: str) -> Any:
        if self.unread:
            raise MissingError(f"{self.name} could not be read: {self.unread}")
        return need(self.evidence, key, f"{WHAT[key]} of {self.name}")

    @property
    def since(self) -> str:
        return utc(self.evidence.get("since"))

    @property
    def release(self) -> str:
        return str(mapping(self.evidence.get("release")).get("id") or "")

    @cached_property
    def found(self) -> list[dict[str, Any]]:
        """The workers that were read here; none where they were not. Only for what speaks for a cause."""
        return entries(self.evidence.get("workers"))

    def workers(self) -> list[dict[str, Any]]:
        self.need("workers")
        return self.found

    def owns(self, worker: Mapping[str, Any]) -> bool:
        """A worker of one of our releases on this host."""
        return (worker.get("release") or "") in mapping(self.evidence.get("states"))

    @cached_property
    def worker(self) -> dict[str, Any]:
        """The worker of the serving release; empty where there is none."""
        mine = [w for w in self.found if self.release and w.get("release") == self.release]
        return next((w for w in mine if w.get("running")), mine[0] if mine else {})

    def serving(self, key: str = "running") -> Any:
        """What is known of the serving worker under a key."""
        self.workers()
        if not self.worker:
            raise MissingError(f"{self.name} has no worker of a serving release")
        return need(self.worker, key, f"{OF_A_WORKER.get(key, key)} of {place(self.worker)} on {self.name}")

    def covered(self, reading: Mapping[str, Any], what: str) -> None:
        """MissingError unless a reading is whole from the start of the time looked at on: only then it rules anything out."""
        since = need({"since": moment(self.evidence.get("since"))}, "since", f"the start of the time looked at on {self.name}")
        reach = reach_of(reading, what)
        if not reach.covers(since):
            raise MissingError(f"{what} {begins(reach)}, and the time looked at at {self.since}")

    def worker_log(self) -> None:
        """MissingError unless the serving worker's log was read, whole, back to the start of the time looked at."""
        self.serving()
        self.covered(self.worker, f"the log of {place(self.worker)}")

    def no_unknown_errors(self) -> None:
        """MissingError where the worker's log has errors that nobody knows: they may be any."""
        count = self.serving("unknown_errors")
        last = mapping(self.worker.get("last_unknown_error"))
        if count:
            text = ": ".join(str(part) for part in (last.get("line"), last.get("error")) if part)
            log = f"the log of {place(self.worker)}"
            raise MissingError(f"{log} has {count} lines of level ERROR that nobody knows, last at {utc(last.get('time'))}: {text}")

    @property
    def services(self) -> tuple[str, ...]:
        """The compose services of the release."""
        return record_services(mapping(self.evidence.get("release")))

    def api(self) -> dict[str, Any]:
        found = mapping(self.need("api"))
        if not found.get("read"):
            if found.get("container") and self.proxy().get("requests") == 0:
                self.covered(self.proxy(), f"nginx's log of {self.name}")
                self.covered(found, f"the API's log of {self.name}")
                raise QuietError(f"no request reached {self.name} since {self.since}, and its API logged no dispatch")
            raise MissingError(f"the API's log of {self.name} could not be read")
        return found

    def proxy(self) -> dict[str, Any]:
        found = mapping(self.need("proxy"))
        if not found.get("read"):
            raise MissingError(f"nginx's log of {self.name} could not be read")
        return found

    def service(self, name: str) -> dict[str, Any]:
        return mapping(need(self.need("services"), name, f"the container of {name} on {self.name}"))

    @property
    def row(self) -> dict[str, Any]:
        return mapping(self.world.verdicts.get(self.name))

    @property
    def verdict(self) -> str:
        return str(self.row.get("verdict") or "")

    @property
    def routing(self) -> dict[str, Any]:
        return mapping(self.row.get("routing"))

    @property
    def directed(self) -> dict[str, Any]:
        return mapping(self.world.probes.get(f"{self.name}/directed"))

    @property
    def directed_answered(self) -> bool:
        """The probe that only this host's worker may answer was answered by an id that its log has."""
        taker = self.directed.get("worker_id")
        return self.directed.get("outcome") == "taken" and bool(taker) and taker in self.ids

    @cached_property
    def ids(self) -> set[str]:
        """Worker ids of our releases here, before the probes and after them; the one that answered where the log has none any more."""
        workers = [*self.found, *entries(self.data.get("witness"))]
        logged = {i for worker in workers if self.owns(worker) for i in ids_of(worker)}
        logged |= {str(i) for i in mapping(self.evidence.get("release")).get("earlier_worker_ids") or []}
        answered = self.directed.get("status") == "JS_SUCCESS" and self.has_room(self.directed.get("room"))
        return logged or ({str(self.directed.get("worker_id"))} if answered else set())

    @cached_property
    def requests(self) -> list[dict[str, Any]]:
        """Requests of the serving worker's log since the start of the window that are no probes."""
        return real(self.worker.get("requests"))

    def api_log(self) -> dict[str, Any]:
        """What the API's log says; MissingError unless it was read, whole, back to the start of the time looked at."""
        found = self.api()
        self.covered(found, f"the API's log of {self.name}")
        return found

    def proxy_log(self) -> dict[str, Any]:
        """The same of nginx's log."""
        found = self.proxy()
        self.covered(found, f"nginx's log of {self.name}")
        return found

    def log_begins(self) -> float:
        """From when on the serving worker's log tells what it was asked for: a container made anew starts with an empty one."""
        self.workers()
        if not self.worker:
            raise MissingError(f"{self.name} has no worker of a serving release")
        reach = reach_of(self.worker, f"the log of {place(self.worker)}")
        return float(need({"time": reach.begins if reach.whole else None}, "time", f"where the log of {place(self.worker)} begins"))

    def has_room(self, room: Any) -> bool:
        """A worker of ours here was asked for a room, before the probes or in their witness."""
        workers = [w for w in (*self.found, *entries(self.data.get("witness"))) if self.owns(w)]
        return bool(room) and any(r.get("room") == room for w in workers for r in entries(w.get("requests")))

    @property
    def dispatches(self) -> list[dict[str, Any]]:
        api = mapping(self.evidence.get("api"))
        return entries(api.get("dispatches")) if api.get("read") else []

    def members(self) -> list[Host]:
        """The hosts that share the name with this one on purpose, itself among them."""
        return [h for h in self.world.agent_hosts if h.pool == self.pool and h.agent_name == self.agent_name]

    def ours(self, worker: Mapping[str, Any]) -> bool:
        """A worker of this pool; also one that may be, as long as a member's releases are not known."""
        members = self.members()
        unknown = bool(worker.get("release")) and any("states" not in member.evidence for member in members)
        return unknown or any(member.owns(worker) for member in members)

    def own_ids(self) -> set[str]:
        """Worker ids of the whole pool; MissingError where those of a member are not known."""
        for member in self.members():
            member.workers()
            member.need("states")
            if not member.ids and any(w.get("running") for w in member.found if member.owns(w)):
                raise MissingError(f"the worker id of {member.name} is not known")
        return {i for member in self.members() for i in member.ids}

    @cached_property
    def rivals(self) -> list[Rival]:
        """Every worker that was seen under this host's name and is not of its pool, once each."""
        found: dict[str, Rival] = {}
        for rival in (*self.world.by_name(self), *self.world.by_id(self)):
            before = found.get(rival.worker_id)
            merged = tuple(dict.fromkeys([*(before.seen if before else ()), *rival.seen]))
            certain = rival.certain or (before is not None and before.certain)
            found[rival.worker_id] = Rival(rival.worker_id, merged, rival.host, rival.worker, certain)
        return sorted(found.values(), key=lambda rival: (not rival.certain, rival.worker_id))


@dataclass(frozen=True, eq=False)
class World:
    """Everything that was read."""

    data: Mapping[str, Any] = field(default_factory=dict)
    probes: Mapping[str, Any] = field(default_factory=dict)
    verdicts: Mapping[str, Any] = field(default_factory=dict)
    server: Mapping[str, Any] = field(default_factory=dict)
    server_logs: Sequence[Mapping[str, Any]] = ()
    sip: Mapping[str, Any] = field(default_factory=dict)
    rooms: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def hosts(self) -> list[Host]:
        return [Host(str(name), mapping(data), self) for name, data in self.data.items()]

    @property
    def agent_hosts(self) -> list[Host]:
        return [host for host in self.hosts if host.group == AGENT_HOSTS]

    @cached_property
    def sightings(self) -> list[Sighting]:
        """Every worker that was found, once each."""
        seen: dict[tuple[Any, ...], tuple[dict[str, Any], list[Host]]] = {}
        for host in self.hosts:
            for worker in host.found:
                key = (worker.get("container_id") or (worker.get("container"), worker.get("pid"), *ids_of(worker)[:1]),)
                known, hosts = seen.setdefault(key, (worker, []))
                seen[key] = max(known, worker, key=lambda w: len(w.get("requests") or [])), [*hosts, host]
        return [Sighting(worker, tuple(hosts)) for worker, hosts in seen.values()]

    @cached_property
    def located(self) -> dict[str, Sighting]:
        """The worker of each id that a log of a host has."""
        return {i: sighting for sighting in self.sightings for i in ids_of(sighting.worker)}

    @cached_property
    def asked(self) -> dict[tuple[str, str], list[tuple[Sighting, dict[str, Any]]]]:
        """Who was asked for a job: worker and request, by dispatch id and by room."""
        index: dict[tuple[str, str], list[tuple[Sighting, dict[str, Any]]]] = {}
        for sighting in self.sightings:
            for request in entries(sighting.worker.get("requests")):
                for key in ("dispatch_id", "room"):
                    if request.get(key):
                        index.setdefault((key, str(request[key])), []).append((sighting, request))
        return index

    def by_id(self, host: Host) -> Iterator[Rival]:
        """Ids that took or hold the name: told by the verdict, by probes, by the server's log and by rooms that live."""
        named = [str(worker_id) for worker_id in host.routing.get("foreign") or []]
        verdict = f"is no worker of pool {host.pool}: routing verdict {host.verdict} by {host.routing.get('method')}"
        seen: dict[str, list[str]] = {}
        try:
            own = host.own_ids()
        except MissingError:
            own = None
        for worker_id, text in (*self.takers(host), *self.registered(host), *self.in_rooms(host)):
            if worker_id in named or (own is not None and worker_id not in own):
                seen.setdefault(worker_id, []).append(text)
        for worker_id in named:
            seen.setdefault(worker_id, []).append(f"{worker_id} {verdict}")
        for worker_id, texts in seen.items():
            found = self.located.get(worker_id)
            yield Rival(worker_id, tuple(texts), found.home(host) if found else None, found.worker if found else {})

    def takers(self, host: Host) -> Iterator[tuple[str, str]]:
        for name in (f"{host.agent_name}/through", f"{host.name}/directed"):
            probe = mapping(self.probes.get(name))
            if probe.get("outcome") == "taken" and probe.get("worker_id"):
                kind = "our workers passed on" if name.endswith("/through") else f"was for {host.name} only"
                job = f"job {probe.get('job_id')} in room {probe.get('room')}"
                yield str(probe["worker_id"]), f"{probe['worker_id']} took the probe to {host.agent_name!r} that {kind} ({job})"

    def registered(self, host: Host) -> Iterator[tuple[str, str]]:
        """Workers that the server's log has as registered under the name, with the deployment label of ours."""
        label = host.worker.get("deployment") or ""
        for log in self.server_logs:
            server = log.get("host")
            for worker in entries(log.get("workers")):
                same = worker.get("agent_name") == host.agent_name and (worker.get("deployment") or "") in ("", label)
                if same and not worker.get("closed") and worker.get("job_type") in (None, "", "JT_ROOM"):
                    worker_id, since = str(worker.get("worker_id")), utc(worker.get("registered"))
                    yield worker_id, f"the LiveKit server's log on {server}: {worker_id} registered as {host.agent_name!r} at {since}"

    def in_rooms(self, host: Host) -> Iterator[tuple[str, str]]:
        """Workers that have a job under the name in a room that lives."""
        for room, dispatches in self.rooms.items():
            for dispatch in entries(dispatches):
                for job in entries(dispatch.get("jobs")) if dispatch.get("agent_name") == host.agent_name else []:
                    if job.get("worker_id"):
                        yield (
                            str(job["worker_id"]),
                            f"{job['worker_id']} has job {job.get('id')} of dispatch {dispatch.get('id')} in room {room}",
                        )

    def by_name(self, host: Host) -> Iterator[Rival]:
        """Workers on any host that run and registered under the name."""
        for sighting in self.sightings:
            worker, where = sighting.worker, sighting.home(host)
            if not worker.get("running") or not host.agent_name or agent_name_of(worker) != host.agent_name or host.ours(worker):
                continue
            since = utc(worker.get("registered_since"))
            text = f"{name_of(worker)} in {place(worker)} on {where.name} registered as {host.agent_name!r} at {since}"
            # Not certain: it may have lost the server since, or be at another server.
            same = same_server(worker.get("url"), host.worker.get("url")) and bool(worker.get("connected"))
            text += "" if same else f", at {worker.get('url')}, connected: {'yes' if worker.get('connected') else 'no'}"
            yield Rival(name_of(worker), (text,), where, worker, certain=same)


def same_server(one: Any, other: Any) -> bool:
    """Two addresses that are known and of one server."""
    known, wanted = (normalised_url(str(url or "").strip()) for url in (one, other))
    return known == wanted != ""


# --- where requests went ---------------------------------------------------------------------------------------------


def destination(host: Host, dispatch: Mapping[str, Any]) -> dict[str, Any] | None:
    """The worker that got a dispatch of a host's API: the one in the room if the room lives, else the last one asked; None if unknown."""
    world = host.world
    for living in entries(world.rooms.get(str(dispatch.get("room")))):
        if living.get("id") == dispatch.get("dispatch_id") or living.get("agent_name") == dispatch.get("agent_name"):
            taken = next((str(job["worker_id"]) for job in entries(living.get("jobs")) if job.get("worker_id")), "")
            if taken:
                return went(host, world.located.get(taken), taken)
    by_id = world.asked.get(("dispatch_id", str(dispatch.get("dispatch_id"))), [])
    asked = by_id or [one for one in world.asked.get(("room", str(dispatch.get("room"))), []) if fits(one[1], dispatch)]
    if not asked:
        return None
    sighting, _ = max(asked, key=lambda one: moment(one[1].get("time")) or 0.0)
    return went(host, sighting, name_of(sighting.worker))


def fits(request: Mapping[str, Any], dispatch: Mapping[str, Any]) -> bool:
    """A request for the room of a dispatch, unless one of both names another agent or dispatch."""
    pairs = [(request.get(key), dispatch.get(key)) for key in ("dispatch_id", "agent_name")]
    return all(not one or not other or one == other for one, other in pairs)


def went(host: Host, sighting: Sighting | None, worker_id: str) -> dict[str, Any]:
    worker = sighting.worker if sighting else {}
    where = sighting.home(host) if sighting else None
    own = where is host and worker.get("container") == host.worker.get("container")
    return {"host": where.name if where else None, "container": worker.get("container"), "worker_id": worker_id, "own": own}


def flow(host: Host) -> dict[str, Any]:
    """From the requests nginx saw over the dispatches the API logged to the workers that got their jobs."""
    proxy, api = mapping(host.evidence.get("proxy")), mapping(host.evidence.get("api"))
    counted: dict[tuple[Any, ...], dict[str, Any]] = {}
    examples: list[dict[str, Any]] = []
    unknown = 0
    for dispatch in host.dispatches:
        to = destination(host, dispatch)
        known = {key: dispatch.get(key) for key in ("room", "dispatch_id", "agent_name", "time")}
        if len(examples) < 5:
            examples.append({**known, "to": to})
        if to is None:
            unknown += 1
            continue
        entry = counted.setdefault((to["host"], to["container"]), {**to, "count": 0})
        entry["count"] += 1
    return {
        "since": host.since,
        "requests": proxy.get("requests") if proxy.get("read") else None,
        "requests_since": known_from(host, proxy),
        "dispatches_since": known_from(host, api),
        "by_status": mapping(proxy.get("by_status")),
        "dispatches": sum(mapping(api.get("agent_names")).values()) if api.get("read") else None,
        "traced": len(host.dispatches),
        "to": sorted(counted.values(), key=lambda entry: -entry["count"]),
        "unknown": unknown,
        "examples": examples,
    }


def known_from(host: Host, reading: Mapping[str, Any]) -> str | None:
    """From when on a reading counted, where that is later than the start of the time looked at."""
    reach, since = mapping(reading.get("reach")), moment(host.evidence.get("since"))
    begins = reach.get("begins")
    return utc(begins) if begins is not None and since is not None and begins > since else None


def whom(entry: Mapping[str, Any]) -> str:
    """A destination of the flow in words."""
    if entry.get("own"):
        return "the worker here"
    if not entry.get("host"):
        return f"{entry.get('worker_id')} (on no host that was read)"
    return f"{entry.get('container')} on {entry['host']}"


def took(host: Host, rival: Rival) -> str:
    """How many of this host's dispatches a rival got; empty when none is known."""
    found = [d for d in host.dispatches if (to := destination(host, d)) and to["worker_id"] == rival.worker_id]
    if not found:
        return ""
    example = f"room {found[-1].get('room')} at {utc(found[-1].get('time'))}"
    return f"{rival.worker_id} got {len(found)} of {len(host.dispatches)} dispatches that the API of {host.name} logged, such as {example}"


def not_read(hosts: Sequence[Host]) -> list[str]:
    """What could not be read, a sentence each."""
    outside = [host.name for host in hosts if host.outside]
    whole = [f"{host.name}: {host.unread}" for host in hosts if host.unread and not host.outside]
    whole += [f"outside this run (--limit): {', '.join(outside)}"] if outside else []
    parts = [f"{host.name}: {text}" for host in hosts if not host.unread for text in host.evidence.get("unread") or []]
    return list(dict.fromkeys([*whole, *parts]))
