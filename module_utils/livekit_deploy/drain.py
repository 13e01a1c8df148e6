# SPDX-License-Identifier: Apache-2.0
"""Stop one worker of a host and let it finish its calls: one signal, through whoever keeps it running, and nothing kills it after that.

A worker says on SIGTERM that it is full, finishes its calls and ends; a second signal ends them at once (livekit-agents 1.8.9). No
restart policy undoes a signal that the Docker Engine sent, but a stopped container with the policy ``always`` comes back when the
Engine starts (Engine 26.1, measured).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.livekit_deploy import engine, process, worker
from ansible.module_utils.livekit_deploy.command import Reader
from ansible.module_utils.livekit_deploy.files import write_atomically

RUNTIME = Path("/run")
DROP_IN = "zz-livekit-agent-deploy-drain.conf"
DROP_IN_TEXT = """# Written by livekit-agent-deploy to let a worker finish its calls; removed when it has.
[Service]
TimeoutStopSec=infinity
KillMode=mixed
KillSignal=SIGTERM
SendSIGHUP=no
ExecStop=
"""
ENDED = frozenset({"inactive", "failed", ""})
LOOK_SECONDS = 0.3


class DrainError(Exception):
    """The worker is not told to stop; the text says found, expected and what to do."""


class Drain:
    """One worker of this host, by one of its ids.

    ``dry`` says what would be done and does nothing. What was done is in ``commands``, as a person would type it.
    """

    def __init__(self, run: Reader, worker_id: str, *, runtime: Path = RUNTIME, root: Path | None = None, dry: bool = False) -> None:
        self.run, self.worker_id, self.dry = run, worker_id, dry
        self.runtime, self.root = runtime, root or process.ROOT
        self.records = Records(runtime)
        self.commands: list[str] = []
        self.policy: dict[str, str] | None = None

    # --- which ---

    def find(self) -> dict[str, Any] | None:
        found = worker.everywhere(self.run, self.root)
        mine = [one for one in found["workers"] if self.worker_id in one["worker_ids"]]
        if len(mine) > 1:
            names = ", ".join(one["container"] for one in mine)
            raise DrainError(f"found {self.worker_id} in the logs of {names}, expected one worker. Stop the right one by hand")
        if mine and mine[0]["supervisor"]["kind"] == "other" and mine[0]["running"]:
            raise DrainError(
                f"found: {mine[0]['container']} is kept running by {mine[0]['supervisor']['name']}, expected Docker, a systemd unit "
                "or nothing. Stop it there, with time to finish its calls"
            )
        if not mine and not self.records.read(self.worker_id):
            unread = f" (not read: {'; '.join(found['unread'])})" if found["unread"] else ""
            raise DrainError(f"found no worker whose log has {self.worker_id}{unread}, expected one on this host. Run evict.yml without it")
        return mine[0] if mine else None

    # --- how ---

    def drain(self, wait_seconds: float) -> dict[str, Any]:
        self.sweep()
        found = self.find()
        known = self.records.read(self.worker_id)
        if found is None or not found["running"]:
            return self.result(found, known, gone=True)
        stop, is_gone = self.ways(found)
        told = known is not None and known["identity"] == identity(found)
        stop(found, told or found["draining"])
        if self.dry:
            return self.result(found, known, gone=False)
        gone = wait_for(is_gone, wait_seconds)
        if gone:
            self.sweep()
        return self.result(found if gone else self.find() or found, self.records.read(self.worker_id), gone=gone)

    def ways(self, found: dict[str, Any]) -> tuple[Callable[[dict[str, Any], bool], None], Callable[[], bool]]:
        """How to tell it to stop, and how to see that it has."""
        kind = found["supervisor"]["kind"]
        if kind == "docker":
            return self.stop_container, lambda: not self.container_runs(found["container_id"])
        if kind == "systemd":
            unit = process.Unit(found["supervisor"]["name"], found["supervisor"]["user"])
            return self.stop_unit, lambda: self.state_of(unit) in ENDED
        return self.stop_process, lambda: not self.process_runs(found)

    def act(self, command: str, action: Callable[[], Any]) -> None:
        self.commands.append(command)
        if not self.dry:
            action()

    def remember(self, found: dict[str, Any]) -> None:
        """Before the signal: what may have been told to stop is never told again."""
        kept = ("worker_id", "worker_ids", "agent_name", "container", "project", "supervisor", "start_command", "directory")
        record = {key: found[key] for key in kept}
        if self.policy:
            record["start_command"] = f"docker update --restart {self.policy['before']} {found['container']} && {found['start_command']}"
        if not self.dry:
            self.records.write(self.worker_id, {**record, "identity": identity(found), "policy": self.policy, "told_at": time.time()})

    # --- Docker ---

    def stop_container(self, found: dict[str, Any], told: bool) -> None:
        name = found["container"]
        if found["supervisor"]["policy"] == "always":
            self.policy = {"before": "always", "after": "unless-stopped"}
            update = ("update", "--restart", "unless-stopped", name)
            self.act(f"docker {' '.join(update)}", lambda: engine.docker(self.run, *update))
        if not told:
            sent = self.signal_for(found["container_id"])
            self.remember(found)
            kill = ("kill", "--signal", sent, name)
            self.act(f"docker {' '.join(kill)}", lambda: engine.docker(self.run, *kill))

    def signal_for(self, container: str) -> str:
        inspected = engine.inspect(self.run, container)
        if sent := engine.drain_signal(inspected):
            return sent
        wanted = inspected["Config"]["StopSignal"]
        raise DrainError(
            f"found: the container's stop signal is {wanted}, which a worker does not drain on, expected SIGTERM or SIGINT. "
            "With another signal Docker would start it again: stop it by hand"
        )

    def container_runs(self, container: str) -> bool:
        try:
            return bool(engine.inspect(self.run, container)["State"]["Running"])
        except engine.EngineError as error:
            if error.is_gone:
                return False  # it is removed when it stops
            raise

    # --- systemd ---

    def stop_unit(self, found: dict[str, Any], told: bool) -> None:
        unit = process.Unit(found["supervisor"]["name"], found["supervisor"]["user"])
        if told or self.state_of(unit) == "deactivating":
            return
        path = self.drop_in(unit)
        self.remember(found)
        self.act(f"write {path}", lambda: self.write_drop_in(path, unit))
        self.systemctl(unit, "daemon-reload")
        self.systemctl(unit, "stop", "--no-block", unit.name)

    def systemctl(self, unit: process.Unit, *arguments: str) -> None:
        def call() -> None:
            status, out, err = self.run([*process.systemctl(unit), *arguments])
            if status != 0:
                raise DrainError(f"found: `systemctl {' '.join(arguments)}` says: {(err or out).strip()[-300:]}. Expected: it is done")

        self.act(f"systemctl {'' if unit.user is None else '--user '}{' '.join(arguments)}", call)

    def state_of(self, unit: process.Unit) -> str:
        return process.properties(self.run, unit).get("ActiveState", "")

    def drop_in(self, unit: process.Unit) -> Path:
        where = "systemd/system" if unit.user is None else f"user/{unit.user}/systemd/user"
        return self.runtime / where / f"{unit.name}.d" / DROP_IN

    def write_drop_in(self, path: Path, unit: process.Unit) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(DROP_IN_TEXT)
        path.chmod(0o644)
        if unit.user is not None:
            shutil.chown(path.parent, unit.user)

    def sweep(self) -> None:
        """Remove our drop-ins of units that have stopped, also of earlier runs: started again, a unit has its own timeout."""
        own = [process.Unit(path.parent.name.removesuffix(".d")) for path in self.runtime.glob(f"systemd/system/*.d/{DROP_IN}")]
        users = self.runtime.glob(f"user/*/systemd/user/*.d/{DROP_IN}")
        own += [process.Unit(path.parent.name.removesuffix(".d"), int(path.parents[3].name)) for path in users]
        for unit in own:
            path = self.drop_in(unit)
            if not self.dry and self.state_of(unit) != "deactivating":
                self.act(f"remove {path}", path.unlink)
                if not any(path.parent.iterdir()):
                    path.parent.rmdir()
                self.systemctl(unit, "daemon-reload")

    # --- a process that nothing keeps running ---

    def stop_process(self, found: dict[str, Any], told: bool) -> None:
        if not told:
            self.remember(found)
            self.act(f"kill -TERM {found['pid']}", lambda: self.send_term(found))

    def send_term(self, found: dict[str, Any]) -> None:
        """To the process that was read and to no later one of its number: the handle is taken before the look."""
        handle = os.pidfd_open(found["pid"])
        try:
            if self.process_runs(found):
                signal.pidfd_send_signal(handle, signal.SIGTERM)
        finally:
            os.close(handle)

    def process_runs(self, found: dict[str, Any]) -> bool:
        try:
            now, _readable = process.read_process(self.root / str(found["pid"]))
        except OSError:
            return False
        return now.started == found["start_ticks"] and bool(now.argv)

    # --- what became of it ---

    def result(self, found: dict[str, Any] | None, record: dict[str, Any] | None, *, gone: bool) -> dict[str, Any]:
        about: dict[str, Any] = {**(found or {}), **(record or {})}
        ids = [*about["worker_ids"], *((found or {}).get("worker_ids") or [])]
        return {
            "changed": bool(self.commands),
            "gone": gone,
            "draining": not gone and bool(found and found["draining"]),
            "active_jobs": 0 if gone else (found or {}).get("active_jobs"),
            "container": about["container"],
            "worker_ids": list(dict.fromkeys(ids)),
            "supervisor": about["supervisor"],
            "policy": self.policy or about.get("policy"),
            "commands": self.commands,
            "start_command": about["start_command"],
            "also_at_boot": about["supervisor"]["kind"] == "systemd" and about["supervisor"]["enabled"] is not False,
        }


def identity(found: Mapping[str, Any]) -> str:
    """One run of a container or process: the same container started again is another."""
    return f"{found['container_id']} {found['started_at']}" if found["container_id"] else f"{found['pid']} {found['start_ticks']}"


def wait_for(holds: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True


class Records:
    """What was told to stop since the host started: a file each in /run."""

    def __init__(self, runtime: Path = RUNTIME) -> None:
        self.directory = runtime / "livekit-agent-deploy" / "evictions"

    def path(self, worker_id: str) -> Path:
        return self.directory / f"{worker_id}.json"

    def write(self, worker_id: str, record: Mapping[str, Any]) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self.path(worker_id), json.dumps(record))

    def read(self, worker_id: str) -> dict[str, Any] | None:
        """The record that has this id, as the requested one or as another of the same worker."""
        return next((record for record in self.all() if worker_id in [record["worker_id"], *record["worker_ids"]]), None)

    def all(self) -> list[dict[str, Any]]:
        try:
            paths = sorted(self.directory.glob("*.json"))
            return [json.loads(path.read_text()) for path in paths]
        except OSError:
            return []
