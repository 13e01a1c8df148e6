# SPDX-License-Identifier: Apache-2.0
"""Foreign workers: does one hold the host's name, here, on another host, or where nobody looked?"""

from __future__ import annotations

from collections.abc import Sequence

from ...common.commands import shell
from ...proof.verdicts import GOOD
from ...worker.types import JobRequest, WorkerReading
from ..finding import Finding, Holds, RuledOut, Unknown
from ..flow import taken_dispatches_text
from ..host_view import HostView
from ..missing import MissingError, as_mappings, known_value, need, reading_reach
from ..moments import utc
from ..sightings import ForeignWorker, Sighting, effective_name, worker_label, worker_place


def two_here(host: HostView) -> Finding:
    """Judge a host that nobody deployed to: each of its workers under the name is its own and gets some of the jobs."""
    mine = [one for one in host.workers() if host.owns(one) and one.get("running") and not one.get("draining")]
    if len(mine) > 1:
        listed = [f"{worker_label(one)} in {worker_place(one)}" for one in mine]
        return Holds([f"{' and '.join(listed)} have the name {host.agent_name!r}: a job goes to any of them"])
    host.serving("running")
    return RuledOut(f"only {worker_place(host.worker)} of {host.name} has the name {host.agent_name!r}")


def foreign_here(host: HostView) -> Finding:
    found = [foreign for foreign in host.foreign_workers if foreign.host is host]
    return foreign_holds(host, found) if found else no_foreign_worker(host, [host])


def foreign_known(host: HostView) -> Finding:
    found = [foreign for foreign in host.foreign_workers if foreign.host and foreign.host is not host]
    others = [other for other in host.world.hosts if other is not host]
    return foreign_holds(host, found) if found else no_foreign_worker(host, others)


def foreign_holds(host: HostView, found: Sequence[ForeignWorker]) -> Holds:
    texts = [text for one in found for text in (*one.seen[:1], taken_dispatches_text(host, one), *one.seen[1:]) if text]
    answered = f"the worker of {host.name} answered the probe that only it may answer"
    against = [answered] if host.directed_answered else []
    return Holds(texts, against, any(one.certain for one in found), foreign_values(found[0]))


def foreign_values(foreign: ForeignWorker) -> dict[str, str]:
    """Return what the texts of a cause say of a foreign worker."""
    where, worker = foreign.host, foreign.worker
    back = start_again(worker)
    return {
        "worker_id": foreign.worker_id,
        "foreign_host": where.name if where else "",
        "foreign_place": worker_place(worker) if worker else "",
        "foreign_owner": f", a worker of pool {where.pool}" if where and where.owns(worker) else "",
        "start_again": f"on {where.name}: {back}" if where and back else "start that worker again where it was stopped",
    }


def start_again(worker: WorkerReading) -> str:
    """Return the command that starts a worker again; empty where it is not known."""
    by_engine = shell("docker", "start", "--", worker["container"]) if worker.get("container") else ""
    return str(worker.get("start_command") or "") or by_engine


def no_foreign_worker(host: HostView, searched: Sequence[HostView]) -> Finding:
    """Rule a foreign worker out on these hosts if every running worker there has a name that is known."""
    host.need("states")
    for where in searched:
        where.workers()
        if where.workers_hidden:
            raise MissingError(f"{where.name}: {where.workers_hidden}")
    running = [one for one in others_on(host, searched) if one.worker.get("running") is not False]
    for one in running:
        which = f"{worker_place(one.worker)} on {one.home(host).name}"
        need(one.worker, "running", f"whether {which} runs")
        known_value(effective_name(one.worker), f"the name in effect of {which}")
    names = ", ".join(where.name for where in searched) or "no other host in the run"
    others = f"none of the {len(running)} other workers that were found"
    return RuledOut(f"{others} has the name {host.agent_name!r} (searched: {names})")


def others_on(host: HostView, searched: Sequence[HostView]) -> list[Sighting]:
    """Return the workers on these hosts that are not of the host's pool."""
    others = [one for one in host.world.sightings if not host.may_be_ours(one.worker)]
    return [one for one in others if any(where in one.hosts for where in searched)]


def foreign_elsewhere(host: HostView) -> Finding:
    found = [foreign for foreign in host.foreign_workers if not foreign.host]
    if found:
        return foreign_holds(host, found)
    verdict = need(host.row, "verdict", f"the routing verdict on {host.agent_name!r}")
    if verdict in GOOD:
        blind = f"; not seen: {', '.join(host.routing['not_seen'])}" if host.routing.get("not_seen") else ""
        return RuledOut(f"verdict {verdict} by {host.routing.get('method')}{blind}")
    if verdict == "foreign" and host.foreign_workers:
        return RuledOut("every worker that was seen under the name was found on a host that was read")
    return Unknown(f"the routing verdict is {verdict}: {host.routing.get('reason') or host.row.get('reason')}")


def foreign_gone(host: HostView) -> Finding:
    stopped = [one for one in host.world.sightings if one.worker.get("running") is False]
    found = [
        stopped_text(host, one, asked)
        for one in stopped
        if not host.may_be_ours(one.worker) and (asked := asked_under_name(host, one.worker))
    ]
    if found:
        return Holds(found, certain=False)
    for where in host.world.hosts:
        for worker in where.workers():
            need_requests(where, worker)
    host.need("states")
    return RuledOut(f"no stopped worker that was read has job requests under {host.agent_name!r}")


def asked_under_name(host: HostView, worker: WorkerReading) -> list[JobRequest]:
    requests: list[JobRequest] = as_mappings(worker.get("requests"))
    return [r for r in requests if (r.get("agent_name") or effective_name(worker)) == host.agent_name]


def stopped_text(host: HostView, one: Sighting, asked: Sequence[JobRequest]) -> str:
    stopped = f"{worker_place(one.worker)} on {one.home(host).name}, which does not run any more"
    jobs = f"{len(asked)} jobs under {host.agent_name!r}, last at {utc(asked[-1].get('time'))}"
    return f"{stopped}, was asked for {jobs}"


def need_requests(where: HostView, worker: WorkerReading) -> None:
    """MissingError unless the names of all job requests of a worker are known."""
    which = f"{worker_place(worker)} on {where.name}"
    if not need(worker, "running", f"whether {which} runs"):
        need_whole_log(where, worker)
    for request in need(worker, "requests", f"the job requests of {which}"):
        known_value(request.get("agent_name") or effective_name(worker), f"the name of a job on {where.name}")


def need_whole_log(where: HostView, worker: WorkerReading) -> None:
    """MissingError unless a stopped worker's log has all that it was asked for.

    It has where it reaches back to the start of the time looked at, or to its own.
    """
    what = f"the log of {worker_place(worker)} on {where.name}"
    reach = reading_reach(worker, what)
    if not reach.whole or reach.why:
        where.covered(worker, what)
