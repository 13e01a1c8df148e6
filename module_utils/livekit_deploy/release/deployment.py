# SPDX-License-Identifier: Apache-2.0
"""One run on one host: its steps under the host's lock, and how it ended in the host's history."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common.commands import Playbooks
from ..common.files import read_text
from ..machine import docker, nginx, sockets
from . import adoption, history, records
from .host import Host, ReleaseError, noted, now, port_taken, test_proxy
from .lock import Claim, Lock

# What a release's record has of the plan that made it.
RECORDED = ("id", "api_port", "services", "hash", "agent_name", "previous", "rolled_back", "images", "hook", "gated", "candidate")
STOP_SECONDS = 5.0
INVENTORY, SHARED_NAME, RELEASE = "inventory", records.SHARED_NAME, records.RELEASE


@dataclass(frozen=True)
class Goal:
    """What is to serve: what the inventory says (``content``), the serving release under the ``shared_name``, or the kept ``release`` (an
    id, or ``previous``), which may have that name, too."""

    kind: str = INVENTORY
    content: records.Content = field(default_factory=lambda: records.Content("", {}))
    shared_name: str = ""
    release: str = ""


@dataclass(frozen=True)
class Order:
    """What a run brings along for a host's next release; ``record`` is kept with it. ``adopt`` is the hand-made compose project that is the
    release before the first one, ``leave`` are those that stay beside it."""

    goal: Goal
    stamp: str
    host: str
    ports: Sequence[int]
    images: Mapping[str, str] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    force: bool = False
    min_free_mb: int = 0
    min_free_memory_mb: int = 0
    nodes: int = 1
    candidate_suffix: str = "candidate"
    adopt: str = ""
    leave: Sequence[str] = ()


class Deployment:
    """``root`` is ``/opt/<app>``; each method but ``begin`` and ``preview`` needs the fencing number that ``begin`` answered."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.lock = Lock(host.root)
        self.history = host.root / "history.jsonl"

    # --- beginning ---

    def begin(self, claim: Claim, wait_seconds: float, order: Order) -> dict[str, Any]:
        """Take the lock, clear what a killed run left, decide, write the new release with its gate closed. Where there is nothing to do the
        lock is given back at once."""
        with self.lock.taken(claim, wait_seconds) as (record, killed):
            begun = time.time()
            if killed:
                reason = f"it ended without giving its lock back; {claim.owner.name} took over"
                history.append(self.history, history.entry_of(killed, history.INTERRUPTED, reason=reason))
            try:
                answer = self.prepared(order)
            except BaseException:
                self.lock.release(record.fence)
                raise
            self.lock.note(record.fence, "begin", time.time() - begun, change=change_of(answer["plan"]))
            if not answer["plan"]["changed"]:  # what follows only reads
                self.lock.release(record.fence)
        fence = record.fence if answer["plan"]["changed"] else None
        return {**answer, "fence": fence, "overtook": f"{killed.holder}, at step {killed.step or 'begin'}" if killed else None}

    def prepared(self, order: Order) -> dict[str, Any]:
        self.host.images.drop_sent()
        self.host.regain(docker.containers(self.host.run))
        recovered, found = self.host.recover(), self.host.info()
        cleared = list(dict.fromkeys([*recovered, *found["leftovers"]]))
        troubles: list[str] = []
        if cleared:
            # One that was told to stop before still has calls. One that is told now ends in seconds if it has none, and no later step of a
            # run with nothing else to do would wait for it.
            told = [(self.host.record(one) or {}).get("drain_started_at") for one in cleared]
            done = self.host.retire(0.0 if all(told) else STOP_SECONDS, keep=len(self.host.records()), insist=True)
            troubles, found = done["troubles"], self.host.info()
        answer, content = self.decided(order, self.on_the_first_day(order, found, write=True))
        plan, current = answer["plan"], answer["release"]
        if plan["returns_from"] and not plan["changed"]:  # it was rolled back to what the inventory says by now
            answer["release"] = self.host.save(current, rolled_back=None)
        if plan["changed"]:
            self.refuse_full_disk(order.min_free_mb)
            refuse_short_memory(order.min_free_memory_mb)
            self.refuse_blocked(plan)
            if content is None:
                self.bring_back(answer)
            else:
                self.host.stage(self.new_record(order, answer), content.files(plan, f"{order.host}/{plan['id']}"))
                self.host.settle_file(plan["id"])
        return {**answer, "cleared": cleared, "troubles": troubles}

    def new_record(self, order: Order, answer: Mapping[str, Any]) -> dict[str, Any]:
        kept = {key: answer["plan"][key] for key in RECORDED}
        return {**order.record, "app": self.host.app, **kept, "earlier_worker_ids": records.earlier_worker_ids(answer)}

    def preview(self, order: Order) -> dict[str, Any]:
        """What ``begin`` would do; nothing is written and no lock is taken."""
        answer = self.decided(order, self.on_the_first_day(order, self.host.info(), write=False))[0]
        if answer["plan"]["changed"] and not answer["leftovers"]:  # these may have the port, and would be cleared first
            refuse_short_memory(order.min_free_memory_mb)
            self.refuse_blocked(answer["plan"])
        return answer

    def on_the_first_day(self, order: Order, found: dict[str, Any], *, write: bool) -> dict[str, Any]:
        """What the host is like, with the hand-made project that is adopted as the release that serves. Until a release of ours has served,
        its record is made anew by each run, and every other worker of a compose project is refused that the inventory does not leave
        alone."""
        current = found["release"]
        project = ((current or {}).get("adopted") or {}).get("project", "")
        left = project in order.leave
        if order.goal.kind != INVENTORY or not (current is None or left or adoption.is_first(current)):
            return found
        adopt = order.adopt or ("" if left else project)
        listed, others = docker.containers(self.host.run), adoption.taken(self.host.root)
        workers = adoption.strangers(self.host.run, listed, others)
        if why := adoption.refusal(workers, adopt, order.leave, others):
            raise ReleaseError(why)
        mine = [one for one in workers if adopt and one["project"] == adopt]
        again = current if adopt == project else None
        if why := adoption.unmatched(adopt, order.leave, workers, listed, recorded=bool(again)):
            raise ReleaseError(why)
        # One whose worker does not run now stays as it was recorded.
        record = adoption.record_of(self.host.app, mine[0], listed, again) if mine else again
        if not write:
            return {**found, "release": record, "drift": []}
        if current and not again:
            self.host.let_go(current["id"])
        if record:
            self.host.adopt(record)
        return self.host.info() if current or record else found

    def bring_back(self, answer: Mapping[str, Any]) -> None:
        """Note that an adopted project is about to serve again."""
        plan = answer["plan"]
        changes = {"staged_at": now(), "retiring_since": None, "drain_started_at": None, "drain_started": None}
        ids = {"earlier_worker_ids": records.earlier_worker_ids(answer)}
        kept = {key: plan[key] for key in ("previous", "rolled_back")}
        self.host.save(self.host.record(plan["id"]) or {}, state="staged", **kept, **changes, **ids)

    def decided(self, order: Order, found: Mapping[str, Any]) -> tuple[dict[str, Any], records.Content | None]:
        """What the host is like, the plan for it, and the content of the release that is to be made; an adopted project has none."""
        current, by_inventory = found["release"], order.goal.kind == INVENTORY
        source, passed_over = ({}, []) if by_inventory else self.source(order.goal)
        content = None if source.get("adopted") else self.content_of(order.goal, source)
        if content is None:
            plan = adoption.plan(source, current)
        else:
            plan = records.plan(current, found["drift"], content, order.stamp, order.ports, self.host.app, order.force)
            if plan["api_port"] is None and records.API in content.env:
                raise ReleaseError(
                    f"found: what serves uses the ports {', '.join(map(str, order.ports))}, expected one of agent_api_ports that is free. "
                    "Choose others"
                )
        plan |= {
            # The containers of an adopted project are there: nothing is pulled for them.
            "images": dict(order.images) if by_inventory else {} if source.get("adopted") else source["images"],
            "rolled_back": None if by_inventory else self.rolled_back(order.goal, source, plan),
            "returns_from": (current or {}).get("rolled_back") if by_inventory else None,
            "hook": bool((order.record if by_inventory else source).get("hook", True)),
            "adopted": bool(source.get("adopted")),
            "passed_over": passed_over,
        }
        # Of several nodes one is asked for each dispatch: a closed gate alone on its node would take requests and lose them.
        plan["gated"] = plan["hook"] and order.nodes == 1
        standby = plan["adopted"] or (plan["gated"] and self.can_be_reached(plan, current or {}))
        plan["candidate"] = None if standby else f"{plan['agent_name']}-{order.candidate_suffix}"
        return {**found, "plan": plan}, content

    @staticmethod
    def can_be_reached(plan: Mapping[str, Any], current: Mapping[str, Any]) -> bool:
        """Whether a probe can be directed at the new worker: not beside an old one of the name that has no hook."""
        return bool(current.get("hook", True)) or current.get("agent_name") != plan["agent_name"]

    @staticmethod
    def rolled_back(goal: Goal, source: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, Any]:
        """How a release is not what the inventory wants, on purpose."""
        # A kept release may itself have served the shared name, as an adopted one usually has.
        before = (source.get("rolled_back") or {}).get("kind")
        kind = SHARED_NAME if plan["agent_name"] == goal.shared_name else before or goal.kind
        return {"kind": kind, "at": now(), "to": source["id"], "from_agent_name": plan["agent_name_before"]}

    # --- which content ---

    def content_of(self, goal: Goal, source: Mapping[str, Any]) -> records.Content:
        if goal.kind == INVENTORY:
            return goal.content
        content = self.host.content(source["id"])
        return content.named(goal.shared_name) if goal.kind == SHARED_NAME else content

    def source(self, goal: Goal) -> tuple[dict[str, Any], list[str]]:
        """The record of the release that a rollback is made from, and the releases that ``previous`` passes over."""
        current = self.host.current()
        if not current:
            raise ReleaseError("found no release that serves, expected one to roll back. Run deploy.yml")
        if goal.kind == SHARED_NAME and current.get("adopted"):
            raise ReleaseError(
                f"found: the adopted compose project {current['adopted']['project']} serves, expected a release, which can be made "
                "anew under another name. Run deploy.yml"
            )
        if goal.kind == SHARED_NAME:
            return current, []
        wanted, passed_over = self.before(current) if goal.release == "previous" else (goal.release, [])
        found = self.kept(wanted)
        trouble = self.trouble_of(goal.release, wanted, found, current)
        if passed_over and trouble:
            trouble += f"; {', '.join(passed_over)} has the content of {current['id']}, which serves"
        if trouble or found is None:
            raise ReleaseError(f"found: {trouble}, expected a release that served before. {self.choice(current, passed_over)}")
        return found, passed_over

    def kept(self, release_id: str | None) -> dict[str, Any] | None:
        return self.host.record(release_id) if release_id and records.ID_PATTERN.fullmatch(release_id) else None

    def before(self, current: Mapping[str, Any]) -> tuple[str | None, list[str]]:
        """The last release before the serving one that differs from it, and those between that do not: a forced release has the content of
        the one before, and going back to that would do nothing."""
        wanted, same = current.get("previous"), [current["id"]]
        while wanted not in same and (found := self.kept(wanted)) and found.get("hash") == current["hash"]:
            same.append(found["id"])
            wanted = found.get("previous")
        return (None if wanted in same else wanted), same[1:]

    def choice(self, current: Mapping[str, Any], without: Collection[str] = ()) -> str:
        """The releases that a rollback may name."""
        kept = [one for one in self.host.records() if one["id"] not in without]
        able = [one for one in kept if not self.trouble_of(one["id"], one["id"], one, current)]
        return f"To choose from: {'; '.join(records.choices(able)) or 'none'}"

    def trouble_of(self, asked: str, wanted: str | None, found: Mapping[str, Any] | None, current: Mapping[str, Any]) -> str:
        adopted = bool(found and found.get("adopted"))
        # An adopted project is the same release at each try.
        failed = history.failed(history.entries(self.history), wanted) if wanted and not adopted else None
        if wanted is None:
            return "no release before the serving one"
        if failed:
            return f"{wanted} failed on {failed['time']} ({failed['reason'] or failed['step']})"
        if wanted == current["id"]:
            return f"{wanted} serves already"
        if found is None:
            return (
                f"no release {wanted} on this host" if wanted == asked else f"the release before this one, {wanted}, is not kept any more"
            )
        if adopted:
            return adoption.lacking(found, docker.containers(self.host.run), current)
        return "" if found.get("served_at") else f"{wanted} never served"

    def refuse_full_disk(self, min_free_mb: int) -> None:
        for path in (Path("/var/lib/docker"), self.host.root):
            free = shutil.disk_usage(path).free // 2**20 if path.is_dir() else min_free_mb
            if free < min_free_mb:
                raise ReleaseError(
                    f"found {free} MB free on {path}, expected at least {min_free_mb}. Free some (docker image prune), or set "
                    "agent_release_min_free_mb"
                )

    def refuse_blocked(self, plan: Mapping[str, Any]) -> None:
        """What would keep the new API from its port, or the proxy from switching to it, minutes from now."""
        if plan["api_port"] is None:
            return
        if said := test_proxy(self.host.run):
            raise ReleaseError(nginx.broken(said))
        # The API of an adopted project has its port already.
        who = "" if plan["adopted"] else sockets.taken_by(self.host.run, plan["api_port"], sockets.LOOPBACK)
        if who:
            raise ReleaseError(port_taken(plan["api_port"], who))

    # --- steps ---

    def step(self, fence: int, name: str, deadline_seconds: float, work: Callable[[], Any]) -> Any:
        """Do one step, if the lock is still ours."""
        with self.lock.held(fence, name, deadline_seconds):
            return work()

    def pull(self, fence: int, release_id: str, deadline_seconds: float, bring: Callable[[], list[str]]) -> list[str]:
        """Bring a release's images. Where those of a release that was to be rolled back to are gone, the others are told."""
        try:
            brought: list[str] = self.step(fence, "pull", deadline_seconds, bring)
        except ReleaseError as error:
            made = self.host.record(release_id) or {}
            back, current = made.get("rolled_back") or {}, self.host.current()
            if back.get("kind") != RELEASE or not current:
                raise
            lacking = [one["id"] for one in self.host.records() if not self.host.images.are_here(one.get("images") or {})]
            raise ReleaseError(f"{error}. {self.choice(current, [release_id, *lacking])}") from None
        return brought

    def abandon(self, fence: int, reason: str) -> dict[str, Any]:
        """Take the run's release back, note it, give the lock back. A full disk keeps the lock's record from being written, not this."""
        with self.lock.held(fence, self.lock.read().step, 120.0, noted_as="take back", insist=True) as record:
            target = record.change["to"]
            done = self.host.abandon(target)
        with noted(done["log"], "how the run ended is not noted"):
            self.close(fence, history.KEPT if done["serving"] == target else history.TAKEN_BACK, None, reason)
        return done

    def end(self, fence: int, wait_seconds: float, keep: int, overlap_seconds: float, verdict: str | None, reason: str) -> dict[str, Any]:
        """Drain and stop what no longer serves, note what was released, give the lock back.

        The release was proven and serves: what of this cannot be done is told in ``troubles``, and takes nothing back."""
        done: dict[str, Any] = {"draining": [], "retired": [], "removed": [], "images_removed": [], "troubles": []}
        troubles: list[str] = []
        with (
            noted(troubles, "the releases before are not ended"),
            self.lock.held(fence, "drain", 2 * wait_seconds + overlap_seconds + 120.0, insist=True),
        ):
            done |= self.host.retire(wait_seconds, keep, overlap_seconds)
            with noted(troubles, "images that no release needs are not removed"):
                done["images_removed"] = self.host.prune_images()
        with noted(troubles, "the release is not noted in the history, or the lock not given back"):
            self.close(fence, history.RELEASED, verdict, reason)
        return {**done, "troubles": [*done["troubles"], *troubles]}

    def close(self, fence: int, outcome: str, verdict: str | None, reason: str) -> None:
        """Note how the run ended and give the lock back, whatever keeps the note from being written."""
        with self.lock.changing(5.0):
            record = self.lock.read()
            if record.owner is None or record.fence != fence:
                return
            try:
                history.append(self.history, history.entry_of(record, outcome, verdict, reason))
            finally:
                self.lock.release(fence)


def refuse_short_memory(min_free_mb: int, table: Path = Path("/proc/meminfo")) -> None:
    """The new worker starts beside the old one, and where memory is short the kernel ends the jobs of either. Swap is none for calls."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", read_text(table) or "", re.MULTILINE)
    free = int(found[1]) // 1024 if found else min_free_mb
    if free < min_free_mb:
        raise ReleaseError(
            f"found {free} MiB of memory available, expected at least {min_free_mb} for the new worker, which starts beside the old one. "
            "Give the host more memory, end what else runs there, or set agent_release_min_free_memory_mb to what your worker needs: idle, "
            "and with one job (docker stats)"
        )


def change_of(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What the lock's record keeps of a plan."""
    return {
        "from": plan["previous"],
        "to": plan["id"],
        "agent_name_from": plan["agent_name_before"],
        "agent_name_to": plan["agent_name"],
    }


def notes(host: str, answer: Mapping[str, Any], check: bool, playbooks: Playbooks | None = None) -> list[str]:
    """What the user is told of a host at the end of the run, a line each."""
    plan, current = answer["plan"], answer["release"] or {}
    lines = []
    if plan["changed"] and plan["candidate"]:
        lines.append(
            f"{host}: the gate cannot be used here, so the new worker is proven as {plan['candidate']} first; calls then reach its second "
            "start before that one is proven"
        )
    if answer.get("overtook"):
        lines.append(f"{host}: took over from {answer['overtook']}, which never gave the lock back")
    if back := plan.get("returns_from"):
        was, wanted = current["agent_name"], plan["agent_name"]
        lines.append(f"{host}: had been rolled back to {was} on {back['at']}; returns to the inventory's {wanted}")
    if plan["changed"] and (adopted := current.get("adopted")):
        lines.append(
            f"{host}: compose project {adopted['project']} ({adopted['directory']}) {'would be' if check else 'is'} adopted as release "
            f"{current['id']}"
        )
        lines += [f"  {line}" for line in adoption.fate(current, plan["id"])]
        back_to = (playbooks or Playbooks()).start("rollback.yml", limit=host, rollback_to=current["id"])
        lines.append(f"  back to it: {back_to}")
        if current["api_port"] is None:
            lines.append(
                "  which API is of it is not known, so it runs on and is yours to stop: while the project serves, the proxy answers 502, "
                "also after a rollback"
            )
    if plan["adopted"] and plan["api_port"] is None:
        lines.append(
            f"{host}: which API is of compose project {plan['project']} is not known: while it serves, the proxy answers 502. Point your "
            "callers to its API"
        )
    if passed := plan.get("passed_over"):
        lines.append(
            f"{host}: {', '.join(passed)} has the content of {current['id']}, which serves: back to {plan['rolled_back']['to']}, the last "
            "release that differs"
        )
    if not plan["changed"] and plan.get("rolled_back"):
        lines.append(f"{host}: nothing {'would be' if check else 'was'} rolled back: {plan['id']} serves and is what was asked for")
    if not plan["changed"]:
        lines += drain_notes(host, answer["leftovers"])
    lines += trouble_notes(host, answer.get("troubles", []))
    return [*lines, *warnings(host, plan), *(dry(host, plan, current) if check else [])]


def warnings(host: str, plan: Mapping[str, Any]) -> list[str]:
    """What the user has to know before anything begins."""
    if (plan.get("rolled_back") or {}).get("kind") != SHARED_NAME:
        return []
    return [
        f"{host}: {plan['agent_name']} is a shared name: other workers that have it get a part of its jobs, until the next deploy.yml "
        "returns to the inventory's name"
    ]


def trouble_notes(host: str, troubles: Sequence[str]) -> list[str]:
    """What a run tells of its housekeeping that failed."""
    return [f"{host}: {one}; the next run tries it again" for one in troubles]


def drain_notes(host: str, draining: Sequence[str]) -> list[str]:
    """What a run tells of the releases that it leaves behind the one that serves."""
    return [
        f"{host}: {one} still has calls, or requests to its API, and drains; playbooks/status.yml shows it, the next run clears it away"
        for one in draining
    ]


def dry(host: str, plan: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """What a run would do."""
    if not plan["changed"]:
        return [f"{host}: nothing would change, {plan['id']} serves {plan['agent_name']}"]
    lines = [f"{host}: would release {plan['id']} in place of {current.get('id') or 'nothing'}: {'; '.join(plan['reasons'])}"]
    if plan["agent_name"] != current.get("agent_name"):
        lines.append(f"  agent name {current.get('agent_name') or 'none'} -> {plan['agent_name']}")
    for service, image in plan["images"].items():
        before = (current.get("images") or {}).get(service)
        lines += [] if image == before else [f"  image of {service} {before or 'none'} -> {image}"]
    adopted = current.get("adopted")
    of = "worker and API" if adopted and adopted["api"] else "the worker" if adopted else "those"
    old = f", then stop {of} of {records.project_of(current)}" if current else ""
    return [*lines, f"  containers: start those of {plan['project']}{old}"]


Trouble = (docker.EngineError, ReleaseError, OSError)
