# SPDX-License-Identifier: Apache-2.0
"""May a worker be stopped, whose name is proven afterwards, and is the run good? Pure.

A worker of a release that the inventory wants under the name is never stopped. Where two pools of the inventory claim
one name, that says nothing about whose it is: then the user decides by naming the worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..common import commands
from ..diagnosis.types import VerdictRow
from ..proof.verdicts import GOOD
from ..release.unmanaged import UNMANAGED
from ..worker.types import EvictionRecord, WorkerReading
from .holders import Case, Worker, routing_of_row, unknown_worker_text, unknown_workers, valid_ids
from .refusal import Refusal
from .types import EvictionDecision, Target

# As many ids as a sentence may have.
MOST_CHOICES = 20


# --- may it be stopped -----------------------------------------------------------------------------------------------


def stop_refusal(case: Case, worker: Worker) -> Refusal | None:
    """Return what speaks against stopping a worker that holds a name of the inventory."""
    if worker.ours and list(case.claims(worker.name)) == [worker.pool]:
        return own_worker_refusal(case, worker)
    supervisor = worker.read.get("supervisor") or {}
    if supervisor.get("kind") == "other":
        keeper = f"{supervisor.get('name')}, which would start it again or not let it finish"
        return Refusal(
            f"{worker.place} is kept running by {keeper}",
            "Docker, a systemd unit or nothing",
            f"on {worker.host}: stop it there, with time to finish its calls",
        )
    return None if worker.ids else unknown_id_refusal(worker)


def own_worker_refusal(case: Case, worker: Worker) -> Refusal:
    pool = f"the pool {worker.pool}, which the inventory gives the name {worker.name} to"
    if worker.read.get("release") == UNMANAGED:
        return Refusal(
            f"{worker.place} is the worker of {worker.host}, which the inventory gives the name {worker.name} to. "
            "Nothing is deployed there, so whoever started it, it is the host's own",
            "a worker of somebody else",
            f"leave it; if it is not yours, correct the inventory's entry {worker.host}",
        )
    return Refusal(
        f"{worker.place} is a worker of a release of {pool}",
        "a worker of somebody else",
        f"leave it; to replace it: {case.playbooks.start('deploy.yml', limit=worker.host)}",
    )


def unknown_id_refusal(worker: Worker) -> Refusal:
    why = worker.read.get("unread") or "its log has no registration"
    return Refusal(
        f"the worker id of {worker.place} is not known: {why}",
        "a worker id, so that the right worker is stopped",
        f"on {worker.host}: {command_by_hand(worker.read)} (once: a second signal cuts its calls)",
    )


def command_by_hand(read: WorkerReading) -> str:
    """Return how a person tells the worker to drain."""
    kind = (read.get("supervisor") or {}).get("kind")
    by_engine = ("docker", "kill", "--signal", "TERM", "--", read["container"])
    return commands.shell(*(by_engine if kind == "docker" else ("kill", "-TERM", read.get("pid"))))


def choose_target(case: Case) -> tuple[Target | None, list[Refusal]]:
    """Return the worker that is to be stopped, or why there is none."""
    found = [worker for worker in case.workers() if case.worker_id in worker.ids]
    if len(found) > 1:
        where = ", ".join(worker.place for worker in found)
        logs = f"{case.worker_id} is in the logs of {where}"
        return None, [Refusal(logs, "one worker", "stop the right one by hand")]
    if not found:
        return stopped_target(case)
    worker = found[0]
    chosen = target(worker.host, worker.read, worker.name, worker.pool if worker.ours else "")
    refusals = [] if worker.name in case.names else [other_name_refusal(case, worker)]
    refusal = stop_refusal(case, worker) if worker.read.get("running") else None
    return chosen, refusals + ([refusal] if refusal else [])


def stopped_target(case: Case) -> tuple[Target | None, list[Refusal]]:
    """Return a worker that an earlier run stopped; a refusal where there was none."""
    for host, record in case.stopped_earlier():
        if case.worker_id in valid_ids(record):
            return target(host, record, case.name or str(record.get("agent_name") or "")), []
    return None, [unknown_worker_refusal(case)]


def target(host: str, read: EvictionRecord | WorkerReading, name: str, pool: str = "") -> Target:
    """``pool`` is that of the release the worker belongs to, empty for a foreign worker."""
    known = valid_ids({"worker_ids": read.get("worker_ids")})
    return {"host": host, "container": read["container"], "agent_name": name, "worker_ids": known, "pool": pool}


def other_name_refusal(case: Case, worker: Worker) -> Refusal:
    names = ", ".join(case.names) or case.name
    return Refusal(
        f"{worker.place} holds the name {worker.name or '(none)'}",
        f"a worker under {names}, so that it can be proven whose the name is afterwards",
        "name a worker of the list",
    )


def unknown_worker_refusal(case: Case) -> Refusal:
    searched = [host for host, about in case.hosts.items() if about["in_run"]]
    unknown = {one["worker_id"]: one for one in unknown_workers(case, case.names)}.get(case.worker_id)
    shown = f"; {unknown_worker_text(unknown)}" if unknown else ""
    without_limit = "" if len(searched) == len(case.hosts) else "run without --limit; or "
    where = f"(searched: {', '.join(searched)}){shown}"
    return Refusal(
        f"{case.worker_id} is on no known host {where}",
        f"the id of a worker on one of them{worker_choices(case)}",
        f"{without_limit}add its host to the group suspects, or give this pool another livekit_agent_name and deploy",
    )


def worker_choices(case: Case) -> str:
    """Name the workers that may be meant, by their ids; the first of them where there are many."""
    found = [f"{one} ({worker.place})" for worker in case.workers() for one in sorted(worker.ids)]
    more = f" and {len(found) - MOST_CHOICES} more" if len(found) > MOST_CHOICES else ""
    return f" ({', '.join(found[:MOST_CHOICES])}{more})" if found else ", where none was found"


# --- what is proven --------------------------------------------------------------------------------------------------


def hosts_to_prove(case: Case, chosen: Target | None) -> tuple[list[str], list[Refusal]]:
    """Return the hosts whose name is proven after this, and what keeps others from it."""
    hosts: list[str] = []
    refusals: list[Refusal] = []
    for name in [str(chosen["agent_name"])] if chosen else case.names:
        pools = claims_beside(case, name, chosen)
        if len(pools) > 1:  # a name of two pools can be proven for neither
            refusals.append(conflict_refusal(name, pools))
            continue
        members = [host for of in pools.values() for host in of]
        readable = [host for host in members if is_provable(case, host)]
        hosts += readable
        refusals += [] if readable else [no_host_refusal(name, members)]
    return hosts, refusals


def claims_beside(case: Case, name: str, chosen: Target | None) -> dict[str, list[str]]:
    """Return the pools that claim a name; of several not the one whose worker is to be stopped."""
    pools = case.claims(name)
    if chosen and len(pools) > 1:
        return {pool: hosts for pool, hosts in pools.items() if pool != chosen["pool"]}
    return pools


def is_provable(case: Case, host: str) -> bool:
    return case.hosts[host]["in_run"] and case.hosts[host]["releases"] is not None


def no_host_refusal(name: str, members: Sequence[str]) -> Refusal:
    return Refusal(
        f"no host of {name} ({', '.join(members) or 'none'}) is in this run and could be read",
        "at least one, to prove whose the name is",
        "run without --limit, or see what is wrong with them below",
    )


def conflict_refusal(name: str, pools: Mapping[str, Sequence[str]]) -> Refusal:
    claimed = " and ".join(f"{', '.join(hosts)} (pool {pool})" for pool, hosts in pools.items())
    return Refusal(
        f"the inventory gives the name {name} to {claimed}",
        "one pool",
        "give each pool its own livekit_agent_name and deploy, or these hosts one livekit_agent_pool",
    )


def decide_eviction(case: Case) -> EvictionDecision:
    """Decide what is to be done: the target, the hosts to prove, and why it is refused."""
    if case.name and not case.names:
        known = f"one of {', '.join(case.known_names())}"
        refusal = Refusal(f"no host of the inventory has the name {case.name}", known, "correct evict_name")
        return {"target": None, "prove": [], "problems": [refusal], "unproven": []}
    chosen, refusals = choose_target(case) if case.worker_id else (None, [])
    prove, unproven = ([], []) if refusals else hosts_to_prove(case, chosen)
    if chosen and not prove and len(case.claims(chosen["agent_name"])) <= 1:
        refusals = refusals + unproven
    return {
        "target": None if refusals else chosen,
        "prove": [] if case.checking else prove,
        "problems": refusals,
        "unproven": unproven,
    }


def eviction_failure(case: Case, decided: EvictionDecision) -> str:
    """Say why the run fails in the end; empty when the name is ours alone, or nothing was to be changed."""
    if decided["problems"]:
        return " ".join(str(refusal) for refusal in decided["problems"])
    chosen = decided["target"]
    if not chosen or case.checking:
        return ""
    failures = [unproven_failure(case, host, chosen) for host in decided["prove"]]
    return " ".join([*map(str, decided["unproven"]), *filter(None, failures)])


def unproven_failure(case: Case, host: str, chosen: Target) -> str:
    """Say why a name is not ours alone on a host after the eviction; empty where it is."""
    row = case.verdicts.get(host) or VerdictRow()
    verdict, routing = str(row.get("verdict") or "not proven"), routing_of_row(row)
    if verdict in GOOD or (case.accept_inconclusive and verdict == "inconclusive"):
        return ""
    if verdict == "foreign" and drains_only(case, routing.get("foreign") or [], chosen):
        return ""
    reason = routing.get("reason") or row.get("reason")
    which = f"{chosen['container']} on {chosen['host']} was told to stop"
    refusal = Refusal(
        f"{which}, and the verdict on {chosen['agent_name']} at {host} is {verdict} ({reason or 'no reason given'})",
        "exclusive or shared",
        "run evict.yml again without evict_worker to see who holds the name now",
    )
    return str(refusal)


def drains_only(case: Case, foreign: Sequence[str], chosen: Target) -> bool:
    """Tell whether only the worker that drains has the name: it stays registered until its calls end."""
    drains = bool(case.drained and case.drained.get("draining"))
    return drains and set(foreign) <= {*chosen["worker_ids"], *case.stopped_ids}
