# SPDX-License-Identifier: Apache-2.0
"""Who holds an agent name, may it be stopped, and what became of it. Pure: readings in, rows, refusals and a report out.

A worker of a release that the inventory wants under the name is never stopped. Where two pools of the inventory claim one name, that says
nothing about whose it is: then the user decides by naming the worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..common import commands, ids
from ..inventory.placement import placement_problems
from ..inventory.problems import inventory_problems, name_problems, normalised_url, pool_problems, read_host, server_problems
from ..play import access, run
from ..proof import probes
from ..proof.verdicts import GOOD
from ..release import records
from ..release.adopted import claimed
from . import eviction_text

GROUPS = ("agent_hosts", "suspects")
# What of a result is told, and what of a reading is decided on.
DRAINED = (
    "gone",
    "draining",
    "active_jobs",
    "container",
    "worker_ids",
    "supervisor",
    "policy",
    "commands",
    "start_command",
    "also_at_boot",
)
EVIDENCE = (
    "kind",
    "container",
    "container_id",
    "project",
    "directory",
    "pid",
    "worker_id",
    "worker_ids",
    "agent_name",
    "answered_name",
    "override",
    "env",
    "registered_since",
    "started_at",
    "running",
    "draining",
    "connected",
    "active_jobs",
    "instance",
    "release",
    "url",
    "configured_url",
    "supervisor",
    "start_command",
    "unread",
)


# --- from the variables of a play ------------------------------------------------------------------------------------


def early_problems(hostvars: Mapping[str, Any], group_hosts: Sequence[str], run_hosts: Sequence[str]) -> list[str]:
    """Why nothing can be looked at. Conflicts between hosts are no reason: to end one is what evicting is for."""
    read = [read_host(name, hostvars[name])[0] for name in group_hosts]
    conflicts = {*pool_problems(read), *name_problems(read), *placement_problems(hostvars, group_hosts)}
    problems = [problem for problem in inventory_problems(hostvars, group_hosts) if problem not in conflicts]
    return problems + server_problems(hostvars, [name for name in run_hosts if name in group_hosts])


def hosts_of(hostvars: Mapping[str, Any], groups: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """Each host of the two groups as ``decide`` takes it; one in both is an agent host, one that was not read is not in the run."""
    members: dict[str, str] = {}
    for group in GROUPS:
        members = {**{str(host): group for host in groups.get(group, [])}, **members}
    return {host: host_of(hostvars[host], host, group) for host, group in sorted(members.items(), key=lambda item: GROUPS.index(item[1]))}


def host_of(variables: Mapping[str, Any], host: str, group: str) -> dict[str, Any]:
    found, releases = (variables.get(name) or {} for name in ("__eviction_read", "__eviction_release"))
    ours, in_run = group == "agent_hosts", "__eviction_read" in variables
    readable = isinstance(found, Mapping) and found.get("workers") is not None
    adopted = dict(releases.get("adopted") or {}) if ours and isinstance(releases, Mapping) else {}
    read = claimed(found, adopted)["workers"] if readable else []
    workers = [{key: worker.get(key) for key in EVIDENCE} for worker in read]
    return {
        "group": group,
        "in_run": in_run,
        "agent_name": run.name_of(variables, releases) if ours else "",
        "pool": probes.pool_in(variables, host, releases) if ours else "",
        "urls": [str(variables[name]) for name in ("livekit_url", "livekit_api_url") if variables.get(name)] if ours else [],
        "app": str(variables.get("agent_release_app") or "") if ours else "",
        "releases": sorted(releases["states"]) if ours and isinstance(releases.get("states"), Mapping) else None,
        "adopted": adopted,
        "workers": workers,
        "evictions": list(found.get("evictions") or []) if readable else [],
        "unread": unread_of(found, in_run, readable),
    }


def unread_of(found: Mapping[str, Any], in_run: bool, readable: bool) -> list[str]:
    if not in_run:
        return ["it is not in this run (--limit)"]
    return list(found.get("unread") or []) if readable else [(access.said(found) or "it did not answer").removeprefix("Task failed: ")]


# --- what is decided on ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Worker:
    """A worker found on a host, with all that the decision needs."""

    host: str
    read: Mapping[str, Any]
    ours: bool
    pool: str
    servers: frozenset[str]

    @property
    def ids(self) -> set[str]:
        return {found for one in [*(self.read.get("worker_ids") or []), self.read.get("worker_id")] if (found := ids.worker(one))}

    @property
    def chosen_id(self) -> str:
        """The present id, else one that it had."""
        return ids.worker(self.read.get("worker_id")) or min(self.ids)

    @property
    def name(self) -> str:
        """The name in effect; where neither log nor worker tell, the one it was configured with."""
        env = self.read.get("env") or {}
        told = self.read.get("agent_name") or self.read.get("answered_name")
        return str(told or self.read.get("override") or env.get("LIVEKIT_AGENT_NAME") or "")

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


@dataclass(frozen=True)
class Problem:
    found: str
    expected: str
    remedy: str

    def __str__(self) -> str:
        return f"found: {self.found}. Expected: {self.expected}. To do: {self.remedy}"

    def as_dict(self) -> dict[str, str]:
        return {"found": self.found, "expected": self.expected, "remedy": self.remedy}


# As many ids as a sentence may have.
MOST_CHOICES = 20


@dataclass(frozen=True)
class Case:
    """All that is known of one run."""

    hosts: Mapping[str, Mapping[str, Any]]
    name: str = ""
    worker_id: str = ""
    verdicts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    server_logs: Sequence[Mapping[str, Any]] = ()
    drained: Mapping[str, Any] = field(default_factory=dict)
    playbooks: commands.Playbooks = field(default_factory=commands.Playbooks)
    accept_inconclusive: bool = False
    checking: bool = False

    @property
    def names(self) -> list[str]:
        known = sorted({str(host["agent_name"]) for host in self.hosts.values() if host["agent_name"]})
        return [name for name in known if name == self.name] if self.name else known

    def claims(self, name: str) -> dict[str, list[str]]:
        """The pools that the inventory gives a name to, with their hosts."""
        pools: dict[str, list[str]] = {}
        for host, about in self.hosts.items():
            if about["agent_name"] == name:
                pools.setdefault(str(about["pool"]), []).append(host)
        return pools

    def workers(self) -> list[Worker]:
        """Each worker once, also where two names of the inventory are one machine: then of the one whose release it is."""
        servers = frozenset(normalised_url(url) for host in self.hosts.values() for url in host["urls"]) - {""}
        found: dict[tuple[Any, ...], Worker] = {}
        for host, about in self.hosts.items():
            for read in about["workers"]:
                worker = Worker(host, read, is_ours(about, host, read), str(about["pool"]), servers)
                key = (read.get("container_id") or read.get("pid"), read.get("started_at"), *sorted(worker.ids))
                found[key] = worker if worker.ours else found.get(key, worker)
        return list(found.values())

    def holders(self, name: str) -> list[Worker]:
        """The workers under a name, without the one that has ended in this run."""
        ended = set(self.drained.get("worker_ids") or []) if self.drained.get("gone") else set()
        return [worker for worker in self.workers() if worker.name == name and worker.read.get("running") and not worker.ids & ended]

    def is_told(self, worker: Worker) -> bool:
        """The worker was told to stop, by this run or an earlier one, and has not ended."""
        now = not self.checking and bool(worker.ids & set(self.drained.get("worker_ids") or []))
        return now or bool(worker.read.get("draining"))

    def known_ids(self) -> set[str]:
        told = {one for host in self.hosts.values() for record in host["evictions"] for one in ids_of(record)}
        return told.union(*(worker.ids for worker in self.workers()))


def is_ours(about: Mapping[str, Any], host: str, read: Mapping[str, Any]) -> bool:
    """A worker of a release on this host's record. Where the record cannot be read, what says it is of one counts as such."""
    if about["group"] != "agent_hosts" or not read.get("release"):
        return False
    if about["releases"] is None:
        return str(read.get("instance") or "").startswith(f"{host}/")
    own = (about.get("adopted") or {}).get(read.get("container")) == read["release"]
    project = records.compose_project(str(about["app"]), str(read["release"]))
    return read["release"] in about["releases"] and (own or read.get("project") == project)


# --- may it be stopped -----------------------------------------------------------------------------------------------


def why_not(case: Case, worker: Worker) -> Problem | None:
    """What speaks against stopping a worker that holds a name of the inventory."""
    claims = case.claims(worker.name)
    where = f"{worker.read['container']} on {worker.host}"
    if worker.ours and list(claims) == [worker.pool]:
        return Problem(
            f"{where} is a worker of a release of the pool {worker.pool}, which the inventory gives the name {worker.name} to",
            "a worker of somebody else",
            f"leave it; to replace it: {case.playbooks.start('deploy.yml', limit=worker.host)}",
        )
    supervisor = worker.read.get("supervisor") or {}
    if supervisor.get("kind") == "other":
        return Problem(
            f"{where} is kept running by {supervisor.get('name')}, which would start it again or not let it finish",
            "Docker, a systemd unit or nothing",
            f"on {worker.host}: stop it there, with time to finish its calls",
        )
    if not worker.ids:
        return Problem(
            f"the worker id of {where} is not known: {worker.read.get('unread') or 'its log has no registration'}",
            "a worker id, so that the right worker is stopped",
            f"on {worker.host}: {by_hand(worker.read)} (once: a second signal cuts its calls)",
        )
    return None


def by_hand(read: Mapping[str, Any]) -> str:
    """How a person tells the worker to drain."""
    kind = (read.get("supervisor") or {}).get("kind")
    by_engine = ("docker", "kill", "--signal", "TERM", "--", read["container"])
    return commands.shell(*(by_engine if kind == "docker" else ("kill", "-TERM", read.get("pid"))))


def target_of(case: Case) -> tuple[dict[str, Any] | None, list[Problem]]:
    """The worker that is to be stopped, or why there is none."""
    found = [worker for worker in case.workers() if case.worker_id in worker.ids]
    told = [(host, record) for host, about in case.hosts.items() for record in about["evictions"] if case.worker_id in ids_of(record)]
    if len(found) > 1:
        where = ", ".join(f"{worker.read['container']} on {worker.host}" for worker in found)
        return None, [Problem(f"{case.worker_id} is in the logs of {where}", "one worker", "stop the right one by hand")]
    if not found and told:
        host, record = told[0]
        return target(host, record, case.name or str(record.get("agent_name") or "")), []
    if not found:
        return None, [unknown_problem(case)]
    worker = found[0]
    chosen = target(worker.host, worker.read, worker.name, worker.pool if worker.ours else "")
    problems = [] if worker.name in case.names else [other_name(case, worker)]
    refusal = why_not(case, worker) if worker.read.get("running") else None
    return chosen, problems + ([refusal] if refusal else [])


def ids_of(record: Mapping[str, Any]) -> list[str]:
    return [found for one in [record.get("worker_id"), *(record.get("worker_ids") or [])] if (found := ids.worker(one))]


def target(host: str, read: Mapping[str, Any], name: str, pool: str = "") -> dict[str, Any]:
    """``pool`` is that of the release the worker belongs to, empty for a worker of somebody else."""
    known = [one for one in read.get("worker_ids") or [] if ids.worker(one)]
    return {"host": host, "container": read["container"], "agent_name": name, "worker_ids": known, "pool": pool}


def other_name(case: Case, worker: Worker) -> Problem:
    return Problem(
        f"{worker.read['container']} on {worker.host} holds the name {worker.name or '(none)'}",
        f"a worker under {', '.join(case.names) or case.name}, so that it can be proven whose the name is afterwards",
        "name a worker of the list",
    )


def unknown_problem(case: Case) -> Problem:
    searched = [host for host, about in case.hosts.items() if about["in_run"]]
    shown = next((f"; {told_of(entry)}" for entry in unknown_ids(case, case.names) if entry["worker_id"] == case.worker_id), "")
    return Problem(
        f"{case.worker_id} is on no known host (searched: {', '.join(searched)}){shown}",
        f"the id of a worker on one of them{choices(case)}",
        ("" if len(searched) == len(case.hosts) else "run without --limit; or ")
        + "add its host to the group suspects, or give this pool another livekit_agent_name and deploy",
    )


def choices(case: Case) -> str:
    """The workers that may be meant, by their ids; the first of them where there are many."""
    found = [f"{one} ({worker.read['container']} on {worker.host})" for worker in case.workers() for one in sorted(worker.ids)]
    more = f" and {len(found) - MOST_CHOICES} more" if len(found) > MOST_CHOICES else ""
    return f" ({', '.join(found[:MOST_CHOICES])}{more})" if found else ", where none was found"


def told_of(entry: Mapping[str, Any]) -> str:
    """All that is known of a worker that no host has."""
    since = f" registered since {entry['registered']}" if entry["registered"] else ""
    kind = f", job type {entry['job_type']}" if entry["job_type"] else ""
    label = f", deployment {entry['deployment']!r}" if entry["deployment"] else ""
    name = f" under {entry['agent_name']}" if entry["agent_name"] else ""
    maybe = f"; it may be {' or '.join(entry['maybe'])}, whose id is not known" if entry["maybe"] else ""
    return f"{entry['seen_by']} shows it{name}{since}{kind}{label}{maybe}"


def unknown_ids(case: Case, names: Iterable[str]) -> list[dict[str, Any]]:
    """Workers that the LiveKit server or a probe shows under these names and no known host has."""
    wanted, known = set(names), case.known_ids()
    empty = dict.fromkeys(("agent_name", "registered", "job_type", "deployment"))
    found: dict[str, dict[str, Any]] = {}
    for log in case.server_logs:
        for entry in log.get("workers") or []:
            if entry.get("agent_name") in wanted and not entry.get("closed"):
                shown = {key: entry.get(key) for key in empty}
                found[entry["worker_id"]] = {"worker_id": entry["worker_id"], **shown, "seen_by": f"log of {log_host(log)}"}
    for row in case.verdicts.values():
        for worker_id in (row.get("routing") or {}).get("foreign") or []:
            probed = {"worker_id": worker_id, **empty, "agent_name": row.get("agent_name"), "seen_by": "a probe"}
            found.setdefault(worker_id, probed)
    unknown = [entry for worker_id, entry in sorted(found.items()) if worker_id not in known and entry["agent_name"] in wanted]
    return [{**entry, "maybe": without_id(case, str(entry["agent_name"]))} for entry in unknown]


def without_id(case: Case, name: str) -> list[str]:
    """Workers under the name whose id is not known: an unknown id may be theirs."""
    return [f"{worker.read['container']} on {worker.host}" for worker in case.holders(name) if not worker.ids]


def log_host(log: Mapping[str, Any]) -> str:
    return str(log.get("host") or log.get(str(log.get("ansible_loop_var"))) or "the LiveKit server")


# --- what is proven --------------------------------------------------------------------------------------------------


def to_prove(case: Case, chosen: Mapping[str, Any] | None) -> tuple[list[str], list[Problem]]:
    """The hosts whose name is proven after this, and what keeps others from it. A name of two pools can be proven for neither."""
    hosts: list[str] = []
    problems: list[Problem] = []
    for name in [str(chosen["agent_name"])] if chosen else case.names:
        pools = case.claims(name)
        if chosen and len(pools) > 1:
            pools = {pool: of for pool, of in pools.items() if pool != chosen["pool"]}
        if len(pools) > 1:
            problems.append(conflict(name, pools))
            continue
        members = [host for of in pools.values() for host in of]
        readable = [host for host in members if case.hosts[host]["in_run"] and case.hosts[host]["releases"] is not None]
        hosts += readable
        if not readable:
            problems.append(
                Problem(
                    f"no host of {name} ({', '.join(members) or 'none'}) is in this run and could be read",
                    "at least one, to prove whose the name is",
                    "run without --limit, or see what is wrong with them below",
                )
            )
    return hosts, problems


def conflict(name: str, pools: Mapping[str, Sequence[str]]) -> Problem:
    claimed = " and ".join(f"{', '.join(hosts)} (pool {pool})" for pool, hosts in pools.items())
    return Problem(
        f"the inventory gives the name {name} to {claimed}",
        "one pool",
        "give each pool its own livekit_agent_name and deploy, or these hosts one livekit_agent_pool",
    )


def decide(case: Case) -> dict[str, Any]:
    """What is to be done: the target, the hosts to prove, and why it is refused."""
    if case.name and not case.names:
        known = ", ".join(Case(case.hosts).names)
        problem = Problem(f"no host of the inventory has the name {case.name}", f"one of {known}", "correct evict_name")
        return {"target": None, "prove": [], "problems": [problem], "unproven": []}
    chosen, problems = target_of(case) if case.worker_id else (None, [])
    prove, unproven = ([], []) if problems else to_prove(case, chosen)
    if chosen and not prove and not conflicting(case, chosen):
        problems = problems + unproven
    return {"target": None if problems else chosen, "prove": [] if case.checking else prove, "problems": problems, "unproven": unproven}


def conflicting(case: Case, chosen: Mapping[str, Any]) -> bool:
    return len(case.claims(str(chosen["agent_name"]))) > 1


def trouble_of(case: Case, decided: Mapping[str, Any]) -> str:
    """Why the run fails in the end; empty when the name is ours alone, or nothing was to be changed."""
    if decided["problems"]:
        return " ".join(str(problem) for problem in decided["problems"])
    chosen = decided["target"]
    if not chosen or case.checking:
        return ""
    told = [str(problem) for problem in decided["unproven"]]
    return " ".join([*told, *(text for host in decided["prove"] if (text := unproven_host(case, host, chosen)))])


def unproven_host(case: Case, host: str, chosen: Mapping[str, Any]) -> str:
    row = case.verdicts.get(host) or {}
    routing = row.get("routing") or {}
    verdict = str(row.get("verdict") or "not proven")
    if verdict in GOOD or (case.accept_inconclusive and verdict == "inconclusive"):
        return ""
    evicted = {*chosen["worker_ids"], *(case.drained.get("worker_ids") or [])}
    if verdict == "foreign" and case.drained.get("draining") and set(routing.get("foreign") or []) <= evicted:
        return ""  # it is still registered until its calls have ended, and takes no new one
    problem = Problem(
        f"{chosen['container']} on {chosen['host']} was told to stop, and the verdict on {chosen['agent_name']} at {host} is {verdict} "
        f"({routing.get('reason') or row.get('reason') or 'no reason given'})",
        "exclusive or shared",
        "run evict.yml again without evict_worker to see who holds the name now",
    )
    return str(problem)


# --- what is told ----------------------------------------------------------------------------------------------------


def row_of(case: Case, worker: Worker) -> dict[str, Any]:
    refusal = why_not(case, worker)
    keys = ("worker_id", "container", "project", "directory", "active_jobs", "start_command")
    return {
        **{key: worker.read.get(key) for key in keys},
        "host": worker.host,
        "since": worker.read.get("registered_since") or worker.read.get("started_at"),
        "supervisor": supervisor_text(worker.read.get("supervisor") or {}),
        "ours": worker.ours,
        "pool": worker.pool if worker.ours else None,
        "state": worker.state,
        "draining": case.is_told(worker),
        "server": worker.elsewhere or None,
        "evictable": refusal is None,
        "why_not": refusal.found if refusal else None,
        "command": refusal.remedy if refusal else case.playbooks.start("evict.yml", evict_worker=worker.chosen_id),
    }


def supervisor_text(supervisor: Mapping[str, Any]) -> str:
    name = str(supervisor.get("name") or "")
    user = f" (user {supervisor['user']})" if supervisor.get("user") is not None else ""
    texts = {"docker": f"docker, {supervisor.get('policy') or 'no'}", "systemd": f"systemd {name}{user}", "none": "nothing", "other": name}
    return texts.get(str(supervisor.get("kind")), "not known")


def conclude(case: Case, decided: Mapping[str, Any]) -> dict[str, Any]:
    """The documents and the lines of a finished run."""
    names = {name: name_entry(case, name) for name in case.names}
    trouble = trouble_of(case, decided)
    document: dict[str, Any] = {
        "names": names,
        "on_no_known_host": [{**entry, "told": told_of(entry)} for entry in unknown_ids(case, case.names)],
        "not_read": {host: about["unread"] for host, about in case.hosts.items() if about["unread"]},
        "name_not_known": [row_of(case, worker) for worker in nameless(case)],
        "requested": case.worker_id or None,
        "target": decided["target"],
        "drained": {key: case.drained[key] for key in DRAINED} if case.drained else None,
        "check_mode": case.checking,
        "problems": [problem.as_dict() for problem in [*decided["problems"], *decided["unproven"]]],
        "ok": not trouble,
    }
    return {"report_documents": {"evict.json": document}, "report_lines": eviction_text.lines(document), "trouble": trouble}


def name_entry(case: Case, name: str) -> dict[str, Any]:
    pools = case.claims(name)
    rows = [case.verdicts[host] for hosts in pools.values() for host in hosts if case.verdicts.get(host)]
    routing = rows[0].get("routing") or {} if rows else {}
    keys = ("reason", "method", "seconds", "not_seen", "foreign")
    return {
        "pools": pools,
        "verdict": rows[0].get("verdict") if rows else None,
        **{key: routing.get(key) for key in keys},
        "workers": [row_of(case, worker) for worker in case.holders(name)],
    }


def nameless(case: Case) -> list[Worker]:
    return [worker for worker in case.workers() if not worker.name and worker.read.get("running")]
