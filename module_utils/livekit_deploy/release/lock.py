# SPDX-License-Identifier: Apache-2.0
"""One deployment at a time on a host, and no step of one that was overtaken.

Two parts. The record ``lock.json`` says who deploys, until when at the latest (the lease), with which fencing number,
and how far it got; the number grows with every owner, so that one who was overtaken is known by it. The kernel's own
lock on ``.lock`` is held only while a process on this host changes something: it ends with that process, however it
ends, and while it is held nobody takes over.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..common import times
from ..common.files import read_text, write_atomically
from ..common.text import parsed
from ..machine import command
from .records import Change

# How long a step may go on after its deadline before its lease ends: the time to come back and to say so.
GRACE_SECONDS = 60.0
# The longest that a run is busy on its controller between two steps on a host: probes, and the hosts that are slower
# than this one.
BETWEEN_SECONDS = 1200.0
# What is done after a step, without the lock, until the next one begins: by the user's hooks, too.
AFTER = {
    "begin": "send",
    "pull": "vacancy",
    "start_candidate": "prove_candidate",
    "start_worker": "prove",
    "start_api": "preview",
    "switch": "verify",
}
# The words of former versions, in a lock that a killed run left and in the history.
FORMER_STEPS = {
    "start candidate": "start_candidate",
    "prove candidate": "prove_candidate",
    "start agent-worker": "start_worker",
    "register and prove": "prove",
    "start fastapi": "start_api",
    "take back": "abandon",
}
# Arguments of the modules that take the lock.
OPTIONS: dict[str, Any] = {
    "owner": {
        "type": "dict",
        "required": True,
        "options": {
            "machine": {"type": "str", "required": True},
            "process": {"type": "int", "required": True},
            "started": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "user": {"type": "str", "default": ""},
        },
    },
    "alive": {"type": "list", "elements": "str", "default": []},
    "purpose": {"type": "str", "default": "deploy"},
    "lock_wait_seconds": {"type": "float", "default": 30.0},
}


@dataclass(frozen=True)
class Owner:
    """A run of a playbook.

    ``machine`` stands for the controller, its boot and its process namespace, so that ``process`` with its start time
    ``started`` (clock ticks since the boot) is one process for ever. ``name`` is for people, ``user`` says who sees the
    process where the controller hides those of others.
    """

    machine: str
    process: int
    started: str
    name: str
    user: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        return f"{self.process}:{self.started}"


@dataclass(frozen=True)
class Claim:
    """What a run wants: to be the owner, for a purpose, until its lease ends. ``alive`` are the keys of the
    controller's processes."""

    owner: Owner
    purpose: str
    lease_seconds: float = BETWEEN_SECONDS + GRACE_SECONDS
    alive: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class LockRecord:
    """``lock.json``: ``owner`` is None while nobody deploys; times are of this host's clock, in seconds since the
    epoch.

    ``lease`` is the end of the lease on the clock that nobody sets (see ``times.moment``), and counts as long as the
    host is not rebooted.

    ``change`` says from which release to which, ``step`` is the latest step, ``steps`` the seconds that each took, and
    what was done after it; ``ended`` is when the latest one ended.
    """

    fence: int = 0
    owner: Owner | None = None
    purpose: str = ""
    taken: float = 0.0
    lease_until: float = 0.0
    change: Change = field(default_factory=lambda: Change())
    step: str = ""
    steps: Mapping[str, float] = field(default_factory=dict)
    ended: float = 0.0
    lease: Mapping[str, Any] = field(default_factory=dict)

    @property
    def holder(self) -> str:
        return f"{self.owner.name} (process {self.owner.process}, {self.purpose})" if self.owner else "nobody"


def claim(params: Mapping[str, Any]) -> Claim:
    """Return what a module's arguments claim (see ``OPTIONS``)."""
    return Claim(Owner(**params["owner"]), params["purpose"], alive=frozenset(params["alive"]))


class LockError(Exception):
    """The lock is somebody else's; the text says whose, what was expected and what to do."""


FIGURES = {"fence": (int,), "taken": (int, float), "lease_until": (int, float), "ended": (int, float)}
UNREADABLE = Owner("", 0, "", "somebody whose record in lock.json cannot be read")


# The types of the fields, as far as they are not the owner's.
KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("purpose", "step"), (str,)),
    **dict.fromkeys(("change", "steps", "lease"), (dict,)),
    **FIGURES,
}


def lock_record(data: Any) -> LockRecord:
    """Return the record that an object is, whatever a newer version has in it beside; ValueError for what is none."""
    if not isinstance(data, Mapping):
        raise ValueError("no object")
    known = {one.name: data[one.name] for one in fields(LockRecord) if one.name in data}
    owner = known.pop("owner", None)
    wrong = [name for name, value in known.items() if not isinstance(value, KINDS[name])]
    if wrong or not isinstance(owner, (dict, type(None))):
        raise ValueError("a field of another type")
    if "step" in known:
        known["step"] = step_name(known["step"])
    if "steps" in known:
        known["steps"] = {step_name(name): seconds for name, seconds in known["steps"].items()}
    return LockRecord(**known, owner=lock_owner(owner) if owner else None)


def step_name(word: str) -> str:
    """Return today's word for a step that a former version may have noted."""
    return FORMER_STEPS.get(word, word)


def lock_owner(data: Mapping[str, Any]) -> Owner:
    return Owner(**{one.name: data[one.name] for one in fields(Owner) if one.name in data})


def until(seconds: float) -> dict[str, Any]:
    """The end of a lease of so many seconds from now, on both clocks."""
    here = times.moment()
    return {"lease_until": time.time() + seconds, "lease": {**here, "seconds": here["seconds"] + seconds}}


def seconds_left(record: LockRecord, now: float) -> float:
    """How long a lease goes on. A clock that is set ends none."""
    over = times.seconds_since(record.lease, times.moment()) if record.lease else None
    return record.lease_until - now if over is None else -over


def why_free(record: LockRecord, owner: Owner, alive: Collection[str], now: float) -> str:
    """Why a run may take the lock; empty when it may not. Only the owner's own machine knows whether its process still
    runs."""
    if record.owner is None:
        return "nobody has it"
    if record.owner == owner:
        return "it is ours"
    if record.owner.machine == owner.machine and is_seen(record.owner, owner, alive) and has_ended(record.owner, alive):
        return f"process {record.owner.process} of {record.owner.name} has ended"
    if (left := seconds_left(record, now)) < 0:
        return f"the lease of {record.holder} ended {-left:.0f} s ago"
    return ""


def is_seen(owner: Owner, by: Owner, alive: Collection[str]) -> bool:
    """Whether a list of processes would have an owner's: all of them, with the first one, or those of its own user
    (``hidepid``)."""
    return bool(owner.user and owner.user == by.user) or any(key.startswith("1:") for key in alive)


def has_ended(owner: Owner, alive: Collection[str]) -> bool:
    """Whether a process of our machine is gone. One that began after ``alive`` was listed is not in it, and has not
    ended."""
    newest = max((int(key.rpartition(":")[2]) for key in alive), default=-1)
    return owner.key not in alive and int(owner.started) <= newest


def since_the_step(record: LockRecord, now: float) -> dict[str, float]:
    """The seconds since the latest step ended, under the name of what was done meanwhile; nothing where it failed, or
    has no such name."""
    done = record.step in record.steps and record.step in AFTER and record.ended
    return {AFTER[record.step]: round(max(0.0, now - record.ended), 1)} if done else {}


def held_text(record: LockRecord, now: float) -> str:
    how_long = f"taken {now - record.taken:.0f} s ago, its lease ends in {seconds_left(record, now):.0f} s"
    found = f"{record.holder} deploys to this host ({how_long})"
    return f"found: {found}, expected nobody. Wait, or set deploy_lock_wait_seconds"


def overtaken_text(record: LockRecord, fence: int) -> str:
    who = f"{record.holder} has taken over" if record.owner else "another run has taken over and is done"
    wanted = f"that this run (number {fence}) still deploys"
    return f"found: {who} (fencing number {record.fence}), expected {wanted}. Run it again"


class Lock:
    """The lock of one application on this host; ``root`` is ``/opt/<app>``."""

    def __init__(self, root: Path) -> None:
        self.path = root / "lock.json"
        self.guard = root / ".lock"

    def read(self) -> LockRecord:
        """The record. One that cannot be read is somebody's until the lease ends that was written with it: the file is
        replaced whole, so a hand has broken it, and the run may go on."""
        try:
            text = read_text(self.path)
            return lock_record(parsed(text)) if text is not None else LockRecord()
        except (ValueError, TypeError):
            written = self.path.stat().st_mtime
            until = written + BETWEEN_SECONDS + GRACE_SECONDS
            return LockRecord(owner=UNREADABLE, purpose="deploy", taken=written, lease_until=until)

    def write(self, record: LockRecord) -> LockRecord:
        write_atomically(self.path, json.dumps(asdict(record)))
        return record

    @contextmanager
    def changing(self, wait_seconds: float) -> Iterator[None]:
        """Hold the kernel's lock: no other process of a deployment changes this host meanwhile."""
        handle = os.open(self.guard, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + wait_seconds
        try:
            while not flocked(handle):
                if time.monotonic() > deadline:
                    raise LockError(
                        f"{held_text(self.read(), time.time())}; a step of it, or a program that this has started, is "
                        f"still at work on this host (fuser {self.guard} tells which)"
                    )
                time.sleep(0.1)
            if not os.fstat(handle).st_nlink:
                raise LockError(
                    f"found: {self.guard.parent} was removed while this run waited for its lock, expected a "
                    "provisioned host. Run provision.yml, or take the host out of the inventory"
                )
            # A module that is killed leaves its programs at work.
            with command.inherited(handle):
                yield
        finally:
            os.close(handle)

    @contextmanager
    def taken(self, claim: Claim, wait_seconds: float) -> Iterator[tuple[LockRecord, LockRecord | None]]:
        """Take the lock, and be the one that changes this host. Waits for another owner up to ``wait_seconds``.

        The second record is the one of a run that never gave its lock back, None where there was none.
        """
        deadline = time.monotonic() + wait_seconds
        while True:
            with self.changing(max(0.0, deadline - time.monotonic())):
                now, before = time.time(), self.read()
                if why_free(before, claim.owner, claim.alive, now):
                    # Where the record is gone, with a host that was taken out, no number of then may come again.
                    fence = before.fence + 1 if before.fence else int(now)
                    taken = self.write(LockRecord(fence, claim.owner, claim.purpose, now, **until(claim.lease_seconds)))
                    yield taken, before if before.owner else None
                    return
            if time.monotonic() > deadline:
                raise LockError(held_text(before, now))
            time.sleep(0.2)

    @contextmanager
    def held(
        self,
        fence: int,
        step: str,
        deadline_seconds: float,
        wait_seconds: float = 5.0,
        noted_as: str = "",
        *,
        insist: bool = False,
    ) -> Iterator[LockRecord]:
        """Be the one that changes this host, if the lock is still ours by its fencing number, for a step of at most so
        many seconds.

        The lease is written before the step, and begins anew after it: what is done on the controller until the next
        step comes. ``noted_as`` is what its seconds are of, where the step stays the one that failed. ``insist`` does
        the step also where nothing can be written, because the disk is full: the way back may be what frees it.
        """
        with self.changing(wait_seconds):
            record = self.read()
            if record.owner is None or record.fence != fence:
                raise LockError(overtaken_text(record, fence))
            begun = time.time()
            steps = {**record.steps, **since_the_step(record, begun)}
            record = replace(record, step=step, steps=steps, **until(deadline_seconds + GRACE_SECONDS))
            full = suppress(OSError) if insist else nullcontext()
            with full:
                self.write(record)
            yield record
            with full:
                self.note(fence, step, time.time() - begun, noted_as)

    def note(self, fence: int, step: str, seconds: float, noted_as: str = "", **changes: Any) -> LockRecord:
        """Keep how long a step took and what the run changes; nothing where the lock is no longer ours."""
        record = self.read()
        if record.owner is None or record.fence != fence:
            return record
        now = time.time()
        steps, lease = {**record.steps, noted_as or step: round(seconds, 1)}, until(BETWEEN_SECONDS + GRACE_SECONDS)
        return self.write(replace(record, step=step, steps=steps, ended=now, **lease, **changes))

    def release(self, fence: int) -> None:
        """Give the lock back; the number stays. One that is another's by now is left alone."""
        record = self.read()
        if record.fence == fence:
            self.write(LockRecord(fence))


def flocked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
