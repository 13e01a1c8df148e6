# SPDX-License-Identifier: Apache-2.0
"""Stop one worker of a host and let it finish its calls: one signal, through whoever keeps it running, and nothing
kills it after that.

A worker says on SIGTERM that it is full, finishes its calls and ends; a second signal ends them at once (livekit-agents
1.8.9). No restart policy undoes a signal that the Docker Engine sent, but a stopped container with the policy
``always`` comes back when the Engine starts (Engine 26.1, measured).
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from ..common import commands
from ..common.files import write_atomically
from ..common.waiting import wait_until
from ..machine import cgroups, docker, processes, systemd
from ..machine.command import Reader
from . import search
from .eviction_records import RUNTIME, DrainError, Records
from .types import EvictionRecord, PolicyChange, Stopped, WorkerReading

DROP_IN = "zz-livekit-agent-deploy-drain.conf"
DROP_IN_TEXT = """# Written by livekit-agent-deploy to let a worker finish its calls; removed when it has.
[Service]
TimeoutStopSec=infinity
KillMode=mixed
KillSignal=SIGTERM
SendSIGHUP=no
ExecStop=
"""
# What is in a user's directory is written and removed by that user: root would follow a link there. Directory, name,
# text.
WRITE = 'umask 022 && mkdir -p -- "$1" && printf %s "$3" >"$1/.$2.partial" && mv -f -T -- "$1/.$2.partial" "$1/$2"'
REMOVE = '{ [ -e "$1/$2" ] || [ -L "$1/$2" ]; } || exit 3; rm -f -- "$1/$2" && { rmdir -- "$1" 2>/dev/null || true; }'
NOT_THERE = 3
ENDED = frozenset({"inactive", "failed"})
LOOK_SECONDS = 0.3
# Tidying up after earlier evictions takes no longer, whatever is found there.
SWEEP_SECONDS = 20.0


class Drain:
    """One worker of this host, by one of its ids.

    ``dry`` says what would be done and does nothing. What was done is in ``commands``, as a person would type it.
    """

    def __init__(
        self, run: Reader, worker_id: str, *, runtime: Path = RUNTIME, root: Path | None = None, dry: bool = False
    ) -> None:
        self.run, self.worker_id, self.dry = run, worker_id, dry
        self.runtime, self.root = runtime, root or processes.ROOT
        self.records = Records(runtime)
        self.commands: list[str] = []
        self.warnings: list[str] = []
        self.policy: PolicyChange | None = None

    # --- which ---

    def find(self) -> WorkerReading | None:
        found = search.everywhere(self.run, self.root)
        mine = [one for one in found["workers"] if self.worker_id in one["worker_ids"]]
        if len(mine) > 1:
            names = ", ".join(one["container"] for one in mine)
            raise DrainError(
                f"found {self.worker_id} in the logs of {names}, expected one worker. Stop the right one by hand"
            )
        if mine and mine[0]["supervisor"]["kind"] == "other" and mine[0]["running"]:
            raise DrainError(
                f"found: {mine[0]['container']} is kept running by {mine[0]['supervisor']['name']}, expected Docker, a "
                "systemd unit or nothing. Stop it there, with time to finish its calls"
            )
        if not mine and not self.records.read(self.worker_id):
            unread = f" (not read: {'; '.join(found['unread'])})" if found["unread"] else ""
            raise DrainError(
                f"found no worker whose log has {self.worker_id}{unread}, expected one on this host. "
                "Run evict.yml without it"
            )
        return mine[0] if mine else None

    # --- how ---

    def drain(self, wait_seconds: float) -> Stopped:
        self.sweep()
        found = self.find()
        known = self.records.read(self.worker_id)
        if found is None or not found["running"]:
            return self.result(found, known, gone=True)
        stop, is_gone = self.ways(found)
        told = known is not None and known["identity"] == identity(found) and known.get("signalled", True)
        stop(found, told or found["draining"])
        if self.dry:
            return self.result(found, known, gone=False)
        gone = wait_until(is_gone, wait_seconds, LOOK_SECONDS)
        if gone:
            self.sweep()
        return self.result(found if gone else self.find() or found, self.records.read(self.worker_id), gone=gone)

    def ways(self, found: WorkerReading) -> tuple[Callable[[WorkerReading, bool], None], Callable[[], bool]]:
        """How to tell it to stop, and how to see that it has."""
        kind = found["supervisor"]["kind"]
        if kind == "docker":
            return self.stop_container, lambda: not self.container_runs(str(found["container_id"]))
        if kind == "systemd":
            unit = cgroups.Unit(found["supervisor"]["name"], found["supervisor"]["user"])
            return self.stop_unit, lambda: self.unit_is_gone(unit, found)
        return self.stop_process, lambda: not self.process_runs(found)

    def act(self, command: str, action: Callable[[], Any]) -> None:
        self.commands.append(command)
        if not self.dry:
            action()

    def remember(self, found: WorkerReading, *, signalled: bool = True) -> None:
        """Before the signal: what may have been told to stop is never told again.

        Without it: only that something of ours may be there.
        """
        start_command = found["start_command"]
        if self.policy:
            update = commands.shell("docker", "update", "--restart", self.policy["before"], "--", found["container"])
            start_command = f"{update} && {start_command}"
        record: EvictionRecord = {
            "worker_id": cast(str, found["worker_id"]),
            "worker_ids": found["worker_ids"],
            "agent_name": found["agent_name"],
            "container": found["container"],
            "project": found["project"],
            "supervisor": found["supervisor"],
            "start_command": start_command,
            "directory": found["directory"],
            "identity": identity(found),
            "policy": self.policy,
            "signalled": signalled,
            "told_at": time.time(),
        }
        if not self.dry:
            self.records.write(self.worker_id, record)

    # --- Docker ---

    def stop_container(self, found: WorkerReading, told: bool) -> None:
        name = found["container"]
        if found["supervisor"]["policy"] == "always":
            self.policy = {"before": "always", "after": "unless-stopped"}
            self.docker("update", "--restart", "unless-stopped", "--", name)
        if not told:
            sent = self.signal_for(str(found["container_id"]))
            self.remember(found)
            self.docker("kill", "--signal", sent, "--", name)

    def docker(self, *arguments: str) -> None:
        self.act(commands.shell("docker", *arguments), lambda: docker.docker(self.run, *arguments))

    def signal_for(self, container: str) -> str:
        inspected = docker.inspect(self.run, container)
        if sent := docker.drain_signal(inspected):
            return sent
        wanted = inspected["Config"]["StopSignal"]
        raise DrainError(
            f"found: the container's stop signal is {wanted}, which a worker does not drain on, expected SIGTERM or "
            "SIGINT. With another signal Docker would start it again: stop it by hand"
        )

    def container_runs(self, container: str) -> bool:
        try:
            return bool(docker.inspect(self.run, container)["State"]["Running"])
        except docker.EngineError as error:
            if error.is_gone:
                return False  # it is removed when it stops
            raise

    # --- systemd ---

    def stop_unit(self, found: WorkerReading, told: bool) -> None:
        unit = cgroups.Unit(found["supervisor"]["name"], found["supervisor"]["user"])
        if told or self.state_of(unit) == "deactivating":
            return
        path = self.drop_in(unit)
        self.remember(found, signalled=False)
        self.act(f"write {path}", lambda: self.write_drop_in(path, unit))
        self.systemctl(unit, "daemon-reload")
        self.remember(found)
        self.systemctl(unit, "stop", "--no-block", "--", unit.name)

    def systemctl(self, unit: cgroups.Unit, *arguments: str) -> None:
        shown = commands.shell("systemctl", *([] if unit.user is None else ["--user"]), *arguments)
        self.act(shown, lambda: self.done(unit, systemd.systemctl(unit, *arguments), shown))

    def done(self, unit: cgroups.Unit, argv: list[str], what: str, also: int = 0) -> int:
        """Run a command about a unit; its status, which may be ``also`` beside 0."""
        status, out, err = systemd.run_for(self.run, unit)(argv)
        if status not in (0, also):
            raise DrainError(
                f"found: `{what}` says: {(err or out).strip()[-300:]}. Expected: it is done. "
                "Remove what hinders it and run again"
            )
        return status

    def state_of(self, unit: cgroups.Unit) -> str:
        """The unit's state; empty where its manager does not answer."""
        return systemd.unit_properties(self.run, unit).get("ActiveState", "")

    def unit_is_gone(self, unit: cgroups.Unit, found: WorkerReading) -> bool:
        """A manager that does not answer says nothing, so the process is looked at."""
        state = self.state_of(unit)
        return state in ENDED if state else not self.process_runs(found)

    def drop_in(self, unit: cgroups.Unit) -> Path:
        where = "systemd/system" if unit.user is None else f"user/{unit.user}/systemd/user"
        return self.runtime / where / f"{unit.name}.d" / DROP_IN

    def write_drop_in(self, path: Path, unit: cgroups.Unit) -> None:
        if unit.user is None:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            write_atomically(path, DROP_IN_TEXT, 0o644)
        else:
            self.as_user(unit, WRITE, path, DROP_IN_TEXT)

    def remove_drop_in(self, path: Path, unit: cgroups.Unit) -> bool:
        """Remove our file, and its directory where nothing else is in it; whether it was there."""
        if unit.user is not None:
            return self.as_user(unit, REMOVE, path) != NOT_THERE
        if not os.path.lexists(path):
            return False
        path.unlink()
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
        return True

    def as_user(self, unit: cgroups.Unit, script: str, path: Path, *rest: str) -> int:
        argv = [*systemd.as_user(unit.user or 0), "sh", "-c", script, "sh", str(path.parent), path.name, *rest]
        return self.done(unit, argv, f"write {path.parent} as user {unit.user}", NOT_THERE)

    def sweep(self) -> None:
        """Remove our drop-ins of units that have stopped, also of earlier runs: started again, a unit has its own
        timeout.

        Which units of users have one is in the records, which are root's: what users put into their directories decides
        nothing. What cannot be removed is told and keeps no worker from being evicted.
        """
        if self.dry:
            return
        until = time.monotonic() + SWEEP_SECONDS
        for unit in self.to_sweep():
            try:
                if time.monotonic() > until:
                    raise DrainError(
                        f"found: no time left after {SWEEP_SECONDS:g} s. Expected: each is looked at in that time"
                    )
                self.sweep_unit(unit)
            except (DrainError, OSError, ValueError) as error:
                self.warnings.append(
                    f"{self.drop_in(unit)} may be left, which lets {unit.name} stop without a timeout: {error}"
                )

    def to_sweep(self) -> list[cgroups.Unit]:
        paths = self.runtime.glob(f"systemd/system/*.service.d/{DROP_IN}")
        own = [cgroups.Unit(path.parent.name.removesuffix(".d")) for path in paths]
        kept = [record["supervisor"] for record in self.records.all() if not record.get("swept")]
        users = [
            cgroups.Unit(by["name"], by["user"]) for by in kept if by["kind"] == "systemd" and by["user"] is not None
        ]
        return list(dict.fromkeys([*own, *users]))

    def sweep_unit(self, unit: cgroups.Unit) -> None:
        path, state = self.drop_in(unit), self.state_of(unit)
        if state == "deactivating":
            return
        # A user who has logged out has neither a manager nor the directory.
        if not state and (unit.user is None or os.path.lexists(self.runtime / "user" / str(unit.user))):
            raise DrainError("found: its manager does not answer. Expected: the unit's state")
        if self.remove_drop_in(path, unit):
            self.commands.append(f"remove {path}")
            self.systemctl(unit, "daemon-reload")
        self.records.sweep(unit)

    # --- a process that nothing keeps running ---

    def stop_process(self, found: WorkerReading, told: bool) -> None:
        if not told:
            self.remember(found)
            self.act(commands.shell("kill", "-TERM", found["pid"]), lambda: self.send_term(found))

    def send_term(self, found: WorkerReading) -> None:
        """To the process that was read and to no later one of its number: the handle is taken before the look."""
        handle = os.pidfd_open(found["pid"] or 0)
        try:
            if self.process_runs(found):
                signal.pidfd_send_signal(handle, signal.SIGTERM)
        finally:
            os.close(handle)

    def process_runs(self, found: WorkerReading) -> bool:
        try:
            now, _readable = processes.read_process(self.root / str(found["pid"]))
        except OSError:
            return False
        return now.started == found["start_ticks"] and bool(now.argv)

    # --- what became of it ---

    def result(self, found: WorkerReading | None, record: EvictionRecord | None, *, gone: bool) -> Stopped:
        about: dict[str, Any] = {**(found or {}), **(record or {})}
        ids = [*about["worker_ids"], *((found.get("worker_ids") or []) if found else [])]
        return {
            "changed": bool(self.commands),
            "gone": gone,
            "draining": not gone and bool(found and found["draining"]),
            "active_jobs": 0 if gone else found.get("active_jobs") if found else None,
            "container": about["container"],
            "worker_ids": list(dict.fromkeys(ids)),
            "supervisor": about["supervisor"],
            "policy": self.policy or about.get("policy"),
            "commands": self.commands,
            "warnings": self.warnings,
            "start_command": about["start_command"],
            "also_at_boot": about["supervisor"]["kind"] == "systemd" and about["supervisor"]["enabled"] is not False,
        }


def identity(found: WorkerReading) -> str:
    """One run of a container or process: the same container started again is another."""
    return (
        f"{found['container_id']} {found['started_at']}"
        if found["container_id"]
        else f"{found['pid']} {found['start_ticks']}"
    )
