# SPDX-License-Identifier: Apache-2.0
"""The first step of a run: take the lock, clear what a killed run left, decide, write the new release."""

from __future__ import annotations

import time
from typing import cast

from ..machine import docker
from . import adoption, drain, history, images, records, refusal, regain, rollback, state, switch
from .content import Content
from .errors import ReleaseError
from .lock import Claim, Lock
from .plan import INVENTORY, Order, Plan, complete, next_plan, plan_back_to_adopted, planned_change
from .records import HostInfo, Record
from .store import Releases

# What a release's record has of the plan that made it.
RECORDED = (
    "id",
    "api_port",
    "services",
    "hash",
    "agent_name",
    "previous",
    "rolled_back",
    "images",
    "hook",
    "gated",
    "candidate",
)
STOP_SECONDS = 5.0


class Answer(HostInfo, total=False):
    """What a begun run answers: what the host is like, and what is to be done."""

    plan: Plan
    fence: int | None  # for the steps that follow; None where there is nothing to do
    overtook: str | None  # the run that never gave its lock back
    cleared: list[str]  # releases that an earlier run left unfinished
    troubles: list[str]  # what could not be cleared


def begin_run(releases: Releases, claim: Claim, wait_seconds: float, order: Order) -> Answer:
    """Take the lock, clear what a killed run left, decide, write the new release with its gate closed. Where there is
    nothing to do the lock is given back at once."""
    lock = Lock(releases.root)
    with lock.taken(claim, wait_seconds) as (record, killed):
        begun = time.time()
        if killed:
            reason = f"it ended without giving its lock back; {claim.owner.name} took over"
            history.append(releases.history, history.run_entry(killed, history.INTERRUPTED, reason=reason))
        try:
            answer = prepare(releases, order)
        except BaseException:
            lock.release(record.fence)
            raise
        lock.note(record.fence, "begin", time.time() - begun, change=planned_change(answer["plan"]))
        if not answer["plan"]["changed"]:  # what follows only reads
            lock.release(record.fence)
    answer["fence"] = record.fence if answer["plan"]["changed"] else None
    answer["overtook"] = f"{killed.holder}, at step {killed.step or 'begin'}" if killed else None
    return answer


def prepare(releases: Releases, order: Order) -> Answer:
    images.store_images(releases).drop_sent()
    regain.regain(releases, docker.containers(releases.run))
    recovered, found = switch.recover(releases), state.release_info(releases)
    cleared = list(dict.fromkeys([*recovered, *found["leftovers"]]))
    troubles: list[str] = []
    if cleared:
        troubles, found = clear_leftovers(releases, cleared), state.release_info(releases)
    answer, content = decide_release(releases, order, on_the_first_day(releases, order, found, write=True))
    plan, current = answer["plan"], answer["release"]
    if current and plan["returns_from"] and not plan["changed"]:  # it was rolled back to what the inventory says by now
        answer["release"] = releases.save(current, rolled_back=None)
    if plan["changed"]:
        refusal.refuse_full_disk(releases, order.min_free_mb)
        refusal.refuse_short_memory(order.min_free_memory_mb)
        refusal.refuse_blocked(releases, plan["api_port"], plan["adopted"])
        if content is None:
            bring_back(releases, answer)
        else:
            releases.stage(new_record(releases, order, answer), content.files(plan, f"{order.host}/{plan['id']}"))
            refusal.settle_file(releases, plan["id"])
    answer["cleared"], answer["troubles"] = cleared, troubles
    return answer


def clear_leftovers(releases: Releases, cleared: list[str]) -> list[str]:
    """End what a killed run left; return what could not be ended."""
    # A worker that was told to stop before still has calls. One that is told now ends in seconds if it has none, and no
    # later step of a run with nothing else to do would wait for it.
    told = all((releases.record(one) or {}).get("drain_started_at") for one in cleared)
    ending = drain.Ending(0.0 if told else STOP_SECONDS, keep=len(releases.records()), insist=True)
    return drain.retire_all(releases, ending)["troubles"]


def new_record(releases: Releases, order: Order, answer: Answer) -> Record:
    plan = answer["plan"]
    kept = {key: plan.get(key) for key in RECORDED}
    ids = records.earlier_worker_ids(answer)
    return cast(Record, {**order.record, "app": releases.app, **kept, "earlier_worker_ids": ids})


def preview_run(releases: Releases, order: Order) -> Answer:
    """What ``begin_run`` would do; nothing is written and no lock is taken."""
    found = on_the_first_day(releases, order, state.release_info(releases), write=False)
    answer, _content = decide_release(releases, order, found)
    if answer["plan"]["changed"] and not answer["leftovers"]:  # these may have the port, and would be cleared first
        refusal.refuse_short_memory(order.min_free_memory_mb)
        refusal.refuse_blocked(releases, answer["plan"]["api_port"], answer["plan"]["adopted"])
    return answer


def on_the_first_day(releases: Releases, order: Order, found: HostInfo, *, write: bool) -> HostInfo:
    """What the host is like, with the hand-made project that is adopted as the release that serves. Until a release of
    ours has served, its record is made anew by each run."""
    current = found["release"]
    left = adoption.project_name(current) in order.leave
    if order.goal.kind != INVENTORY or not (current is None or left or adoption.is_first(current)):
        return found
    again, record = project_to_adopt(releases, order, current)
    if not write:
        return {**found, "release": record, "drift": []}
    if current and not again:
        let_go(releases, current["id"])
    if record:
        adopt_project(releases, record)
    return state.release_info(releases) if current or record else found


def project_to_adopt(releases: Releases, order: Order, current: Record | None) -> tuple[Record | None, Record | None]:
    """The record that the adopted project has, if it stays the same one, and the record that it is to have. Every other
    worker of a compose project is refused that the inventory does not leave alone."""
    project = adoption.project_name(current)
    adopt = order.adopt or ("" if project in order.leave else project)
    listed, others = docker.containers(releases.run), adoption.adopted_elsewhere(releases.root)
    workers = adoption.strangers(releases.run, listed, others)
    if why := adoption.adoption_refusal(workers, adopt, order.leave, others):
        raise ReleaseError(why)
    mine = [one for one in workers if adopt and one["project"] == adopt]
    again = current if adopt == project else None
    names = adoption.Names(adopt, order.leave, recorded=bool(again))
    if why := adoption.unmatched(names, workers, listed):
        raise ReleaseError(why)
    # A project whose worker does not run now stays as it was recorded.
    return again, adoption.adopted_record(releases.app, mine[0], listed, again) if mine else again


def bring_back(releases: Releases, answer: Answer) -> None:
    """Note that an adopted project is about to serve again."""
    plan = answer["plan"]
    changes = {"staged_at": records.now(), "retiring_since": None, "drain_started_at": None, "drain_started": None}
    ids = {"earlier_worker_ids": records.earlier_worker_ids(answer)}
    kept = {"previous": plan["previous"], "rolled_back": plan["rolled_back"]}
    releases.save(releases.record(plan["id"]) or {}, state="staged", **kept, **changes, **ids)


def decide_release(releases: Releases, order: Order, found: HostInfo) -> tuple[Answer, Content | None]:
    """What the host is like, the plan for it, and the content of the release that is to be made; an adopted project has
    none."""
    source, passed_over = rollback.goal_source(releases, order.goal)
    content, current = rollback.goal_content(releases, order.goal, source), found["release"]
    if source and current and content is None:
        plan = plan_back_to_adopted(source, current)
    else:
        plan = planned(releases, order, found, content or order.goal.content)
    plan = complete(plan, order, current, source)
    plan["passed_over"] = passed_over
    return {**found, "plan": plan}, content


def planned(releases: Releases, order: Order, found: HostInfo, content: Content) -> Plan:
    plan = next_plan(found, content, order, releases.app)
    if plan["api_port"] is None and records.API in content.env:
        raise ReleaseError(
            f"found: what serves uses the ports {', '.join(map(str, order.ports))}, expected one of agent_api_ports "
            "that is free. Choose others"
        )
    return plan


def adopt_project(releases: Releases, record: Record) -> None:
    """Make a hand-made project the release that serves. Killed before its record is written, nothing serves, as before;
    killed before the proxy follows, the next run does the same again."""
    releases.directory(record["id"]).mkdir(mode=0o750, parents=True, exist_ok=True)
    releases.point_to(record["id"])
    releases.save(record)
    switch.point_proxy(releases, record["api_port"])


def let_go(releases: Releases, release_id: str) -> None:
    """Forget an adopted project that serves; its containers are left as they are."""
    switch.point_proxy(releases, None)
    releases.remove(release_id)
    releases.point_to(None)
