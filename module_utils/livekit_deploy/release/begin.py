# SPDX-License-Identifier: Apache-2.0
"""The first step of a run: take the lock, clear what a killed run left, decide, write the new release."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..machine import docker
from . import adoption, drain, history, images, records, refusal, regain, rollback, state, switch
from .content import Content
from .errors import ReleaseError
from .lock import Claim
from .plan import INVENTORY, Order, can_be_reached, change_of, next_plan, plan_back_to_adopted, rolled_back
from .run import Deployment
from .store import Releases

# What a release's record has of the plan that made it.
RECORDED = ("id", "api_port", "services", "hash", "agent_name", "previous", "rolled_back", "images", "hook", "gated", "candidate")
STOP_SECONDS = 5.0


def begin_run(deployment: Deployment, claim: Claim, wait_seconds: float, order: Order) -> dict[str, Any]:
    """Take the lock, clear what a killed run left, decide, write the new release with its gate closed. Where there is nothing to do the
    lock is given back at once."""
    with deployment.lock.taken(claim, wait_seconds) as (record, killed):
        begun = time.time()
        if killed:
            reason = f"it ended without giving its lock back; {claim.owner.name} took over"
            history.append(deployment.releases.history, history.entry_of(killed, history.INTERRUPTED, reason=reason))
        try:
            answer = prepare(deployment, order)
        except BaseException:
            deployment.lock.release(record.fence)
            raise
        deployment.lock.note(record.fence, "begin", time.time() - begun, change=change_of(answer["plan"]))
        if not answer["plan"]["changed"]:  # what follows only reads
            deployment.lock.release(record.fence)
    fence = record.fence if answer["plan"]["changed"] else None
    return {**answer, "fence": fence, "overtook": f"{killed.holder}, at step {killed.step or 'begin'}" if killed else None}


def prepare(deployment: Deployment, order: Order) -> dict[str, Any]:
    images.store_images(deployment.releases).drop_sent()
    regain.regain(deployment.releases, docker.containers(deployment.releases.run))
    recovered, found = switch.recover(deployment.releases), state.release_info(deployment.releases)
    cleared = list(dict.fromkeys([*recovered, *found["leftovers"]]))
    troubles: list[str] = []
    if cleared:
        # One that was told to stop before still has calls. One that is told now ends in seconds if it has none, and no later step of a
        # run with nothing else to do would wait for it.
        told = [(deployment.releases.record(one) or {}).get("drain_started_at") for one in cleared]
        done = drain.retire_all(
            deployment.releases, 0.0 if all(told) else STOP_SECONDS, keep=len(deployment.releases.records()), insist=True
        )
        troubles, found = done["troubles"], state.release_info(deployment.releases)
    answer, content = decide(deployment, order, on_the_first_day(deployment, order, found, write=True))
    plan, current = answer["plan"], answer["release"]
    if plan["returns_from"] and not plan["changed"]:  # it was rolled back to what the inventory says by now
        answer["release"] = deployment.releases.save(current, rolled_back=None)
    if plan["changed"]:
        refusal.refuse_full_disk(deployment.releases, order.min_free_mb)
        refusal.refuse_short_memory(order.min_free_memory_mb)
        refusal.refuse_blocked(deployment.releases, plan)
        if content is None:
            bring_back(deployment, answer)
        else:
            deployment.releases.stage(new_record(deployment, order, answer), content.files(plan, f"{order.host}/{plan['id']}"))
            refusal.settle_file(deployment.releases, plan["id"])
    return {**answer, "cleared": cleared, "troubles": troubles}


def new_record(deployment: Deployment, order: Order, answer: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: answer["plan"][key] for key in RECORDED}
    return {**order.record, "app": deployment.releases.app, **kept, "earlier_worker_ids": records.earlier_worker_ids(answer)}


def preview_run(deployment: Deployment, order: Order) -> dict[str, Any]:
    """What ``begin`` would do; nothing is written and no lock is taken."""
    answer = decide(deployment, order, on_the_first_day(deployment, order, state.release_info(deployment.releases), write=False))[0]
    if answer["plan"]["changed"] and not answer["leftovers"]:  # these may have the port, and would be cleared first
        refusal.refuse_short_memory(order.min_free_memory_mb)
        refusal.refuse_blocked(deployment.releases, answer["plan"])
    return answer


def on_the_first_day(deployment: Deployment, order: Order, found: dict[str, Any], *, write: bool) -> dict[str, Any]:
    """What the host is like, with the hand-made project that is adopted as the release that serves. Until a release of ours has served,
    its record is made anew by each run, and every other worker of a compose project is refused that the inventory does not leave
    alone."""
    current = found["release"]
    project = ((current or {}).get("adopted") or {}).get("project", "")
    left = project in order.leave
    if order.goal.kind != INVENTORY or not (current is None or left or adoption.is_first(current)):
        return found
    adopt = order.adopt or ("" if left else project)
    listed, others = docker.containers(deployment.releases.run), adoption.adopted_elsewhere(deployment.releases.root)
    workers = adoption.strangers(deployment.releases.run, listed, others)
    if why := adoption.refusal(workers, adopt, order.leave, others):
        raise ReleaseError(why)
    mine = [one for one in workers if adopt and one["project"] == adopt]
    again = current if adopt == project else None
    if why := adoption.unmatched(adopt, order.leave, workers, listed, recorded=bool(again)):
        raise ReleaseError(why)
    # One whose worker does not run now stays as it was recorded.
    record = adoption.adopted_record(deployment.releases.app, mine[0], listed, again) if mine else again
    if not write:
        return {**found, "release": record, "drift": []}
    if current and not again:
        let_go(deployment.releases, current["id"])
    if record:
        adopt_project(deployment.releases, record)
    return state.release_info(deployment.releases) if current or record else found


def bring_back(deployment: Deployment, answer: Mapping[str, Any]) -> None:
    """Note that an adopted project is about to serve again."""
    plan = answer["plan"]
    changes = {"staged_at": records.now(), "retiring_since": None, "drain_started_at": None, "drain_started": None}
    ids = {"earlier_worker_ids": records.earlier_worker_ids(answer)}
    kept = {key: plan[key] for key in ("previous", "rolled_back")}
    deployment.releases.save(deployment.releases.record(plan["id"]) or {}, state="staged", **kept, **changes, **ids)


def decide(deployment: Deployment, order: Order, found: Mapping[str, Any]) -> tuple[dict[str, Any], Content | None]:
    """What the host is like, the plan for it, and the content of the release that is to be made; an adopted project has none."""
    current, by_inventory = found["release"], order.goal.kind == INVENTORY
    source, passed_over = ({}, []) if by_inventory else rollback.goal_source(deployment.releases, order.goal)
    content = None if source.get("adopted") else rollback.goal_content(deployment.releases, order.goal, source)
    if content is None:
        plan = plan_back_to_adopted(source, current)
    else:
        plan = next_plan(current, found["drift"], content, order.stamp, order.ports, deployment.releases.app, order.force)
        if plan["api_port"] is None and records.API in content.env:
            raise ReleaseError(
                f"found: what serves uses the ports {', '.join(map(str, order.ports))}, expected one of agent_api_ports that is free. "
                "Choose others"
            )
    plan |= {
        # The containers of an adopted project are there: nothing is pulled for them.
        "images": dict(order.images) if by_inventory else {} if source.get("adopted") else source["images"],
        "rolled_back": None if by_inventory else rolled_back(order.goal, source, plan),
        "returns_from": (current or {}).get("rolled_back") if by_inventory else None,
        "hook": bool((order.record if by_inventory else source).get("hook", True)),
        "adopted": bool(source.get("adopted")),
        "passed_over": passed_over,
    }
    # Of several nodes one is asked for each dispatch: a closed gate alone on its node would take requests and lose them.
    plan["gated"] = plan["hook"] and order.nodes == 1
    standby = plan["adopted"] or (plan["gated"] and can_be_reached(plan, current or {}))
    plan["candidate"] = None if standby else f"{plan['agent_name']}-{order.candidate_suffix}"
    return {**found, "plan": plan}, content


def adopt_project(releases: Releases, record: dict[str, Any]) -> None:
    """Make a hand-made project the release that serves. Killed before its record is written, nothing serves, as before; killed before
    the proxy follows, the next run does the same again."""
    releases.directory(record["id"]).mkdir(mode=0o750, parents=True, exist_ok=True)
    releases.point_to(record["id"])
    releases.save(record)
    switch.point_proxy(releases, record["api_port"])


def let_go(releases: Releases, release_id: str) -> None:
    """Forget an adopted project that serves; its containers are left as they are."""
    switch.point_proxy(releases, None)
    releases.remove(release_id)
    releases.point_to(None)
