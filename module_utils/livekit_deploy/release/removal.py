# SPDX-License-Identifier: Apache-2.0
"""Take an application off a host: what is there of ours, the order in which it goes, and what is told of it. Of what
others have nothing is touched; of what may be theirs it is said that it stays.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

from ..common.files import read_text, write_atomically
from ..machine import docker
from ..worker import own_answer
from . import adopted, containers, drain, history, images, proxy, records, regain
from .errors import ReleaseError
from .lock import BETWEEN_SECONDS, Claim, Lock
from .proxy import drop_empty
from .records import Container, Record
from .store import Releases, own_paths

# nginx itself gives an ordinary request no longer (proxy_read_timeout); what is still open then is a connection that
# never ends.
API_SECONDS = 60.0
# A reload answers before nginx's old processes have stopped to accept.
SETTLE_SECONDS = 1.0
# What we write into the application's directory.
OF_THE_APPLICATION = ("current", "history.jsonl", ".*.partial", "images/*.ref", "images/*.tar", "images/.*.partial")
OF_THE_LOCK = ("lock.json", ".lock")


class BusyError(ReleaseError):
    """Workers still have calls."""


class AdoptedProject(TypedDict):
    """An adopted project, which stays, stopped."""

    project: str
    directory: str | None
    containers: list[str]  # what was stopped of it, by name
    running: list[str]  # what of that still runs
    policies: dict[str, str]  # the restart policies that its containers had


class Survey(TypedDict, total=False):
    """What is there of ours, and what of it stays."""

    serving: str | None  # the release that serves
    releases: list[str]
    containers: list[str]
    networks: list[str]
    images: list[str]
    files: list[str]  # of the proxy
    directory: str | None
    agent_names: list[str]  # that workers here served
    adopted: list[AdoptedProject]
    volumes: list[str]  # they stay
    others: list[str]  # files of others in the directory; they stay
    kept: list[str]  # files of the proxy that another site includes; they stay
    history: str | None  # its last line
    left: bool  # of the proxy only that is there which stays
    there: bool  # anything is there that would go
    changed: bool  # anything went


class Removal:
    """Of one application on one host; ``site`` is its site file of the proxy."""

    def __init__(self, releases: Releases, site: str) -> None:
        self.releases, self.site, self.run = releases, Path(site), releases.run

    def is_own(self, project: str) -> bool:
        """Whether a compose project is that of a release, or of its worker under a candidate name."""
        return bool(records.id_in_project(self.releases.app, project))

    # --- what is there ---

    def survey(self) -> Survey:
        """What is there of ours, as names."""
        kept, found = self.releases.records(), self.containers()
        current = self.releases.current()
        mine = [one for one in found if containers.release_id_from(self.releases, one)]
        files = [str(path) for path in (self.site, self.releases.upstream) if path.exists()]
        others, networks = self.others_files(), self.networks(found)
        left = self.is_only_left(files)
        names: Survey = {
            "containers": sorted(docker.name(one) for one in mine),
            "networks": networks,
            "files": files,
            "directory": str(self.releases.root) if self.releases.root.is_dir() else None,
            "agent_names": self.agent_names(kept, found, current),
            "adopted": self.adopted(kept, found),
            "volumes": self.volumes(kept, mine),
            "others": others,
            "kept": [],
            "history": self.last_line(),
            "left": left,
            "there": any((kept, mine, networks, files and not left, self.is_anything_written(others))),
        }
        return {**names, **self.own_releases(kept, current)}

    def own_releases(self, kept: Sequence[Record], current: Record | None) -> Survey:
        """The releases of ours with their images; an adopted project is none."""
        own = [record for record in kept if not record.get("adopted")]
        return {
            "serving": current["id"] if current and not current.get("adopted") else None,
            "releases": [record["id"] for record in own],
            "images": sorted({str(image) for record in own for image in (record.get("images") or {}).values()}),
        }

    def networks(self, found: Sequence[Container]) -> list[str]:
        there = docker.owned(self.run, "network") if found or self.releases.root.is_dir() else {}
        return sorted(name for name, project in there.items() if self.is_own(project))

    def last_line(self) -> str | None:
        """The last line of the history, which goes with the application."""
        lines = (read_text(self.releases.history) or "").splitlines()
        return lines[-1] if lines else None

    def is_only_left(self, files: Sequence[str]) -> bool:
        """Whether of the proxy's files only that is there which an earlier run had to leave: a site of somebody else's
        includes it."""
        upstream = self.releases.upstream
        return files == [str(upstream)] and read_text(upstream) == proxy.upstream_text(self.releases.app, None)

    def is_anything_written(self, others: Sequence[str]) -> bool:
        """Whether files of ours, an empty directory, or what nginx has not loaded are still to go."""
        empty = self.releases.root.is_dir() and not others
        return bool(self.own_files()) or empty or proxy.load_mark(self.releases.upstream).exists()

    def containers(self) -> list[Container]:
        """All containers of the host. An Engine that is not there has none; one that does not answer may have some of
        ours."""
        try:
            return docker.containers(self.run)
        except docker.EngineError as error:
            if self.run(["docker", "--version"])[0] != 0 and not self.releases.records():
                return []
            raise ReleaseError(
                f"found: the Docker Engine does not answer ({error}), expected it to, because containers of ours may "
                "be on the host. Start it (systemctl start docker), then run it again"
            ) from None

    def agent_names(self, kept: Sequence[Record], found: list[Container], current: Record | None) -> list[str]:
        """The names that workers of ours have here: of the release that serves first, then of those that still run."""
        running = [one for one in kept if self.is_running(one, found)]
        serving = [current] if current else []
        return list(dict.fromkeys(str(one["agent_name"]) for one in [*serving, *running] if one.get("agent_name")))

    def is_running(self, record: Record, found: list[Container]) -> bool:
        return any(one["running"] for one in containers.services(self.releases, record["id"], found).values())

    def adopted(self, kept: Sequence[Record], found: Sequence[Container]) -> list[AdoptedProject]:
        return [adopted_project(record, found) for record in kept if record.get("adopted")]

    def volumes(self, kept: Sequence[Record], mine: Sequence[Container]) -> list[str]:
        """Named volumes of our releases: data, which is the user's to remove."""
        if not (kept or mine or self.releases.root.is_dir()):
            return []
        there = docker.owned(self.run, "volume")
        named = {str(name) for record in kept for name in record.get("volumes") or []}
        named.update(*map(mounted_volumes, mine))
        return sorted(name for name, project in there.items() if name in named or self.is_own(project))

    def directories(self) -> list[Path]:
        return sorted(path for path in self.releases.home.glob("*") if records.ID_PATTERN.fullmatch(path.name))

    def own_files(self) -> list[Path]:
        """What we have written into the application's directory, without the lock."""
        found = [path for pattern in OF_THE_APPLICATION for path in self.releases.root.glob(pattern)]
        return found + [path for directory in self.directories() for path in self.own_in(directory)]

    def own_in(self, directory: Path) -> list[Path]:
        return own_paths(directory, self.releases.record(directory.name) or {})

    def others_files(self) -> list[str]:
        """What somebody else has put into the application's directory."""
        own, root = set(self.own_files()), self.releases.root
        lock = {root / name for name in OF_THE_LOCK}
        found = [path for path in root.rglob("*") if path not in own | lock]
        files = [path for path in found if path.is_symlink() or not path.is_dir()]
        return sorted(str(path.relative_to(root)) for path in files)

    # --- taking it away ---

    def remove(self, wait_seconds: float) -> Survey:
        """All of it, in the order in which nothing is lost: no new request, no open one, no call, then what is left
        over."""
        # What has no record gets one, so that its calls are waited for, too.
        if found := self.containers():
            regain.regain(self.releases, found)
        before = self.survey()
        kept = self.leave_proxy()
        serving = self.releases.current()
        self.releases.point_to(None)
        deadline = time.monotonic() + wait_seconds
        left = sorted(self.releases.records(), key=lambda record: not (serving and record["id"] == serving["id"]))
        busy = [r for r in left if self.stop(r, max(0.0, deadline - time.monotonic()))]
        if busy:
            raise BusyError(self.busy_text(busy, wait_seconds))
        self.clear_away()
        stopped = self.adopted(self.releases.records(), self.containers())
        self.clear_releases()
        # No record names them any more.
        images.prune_images(self.releases)
        self.clear_application()
        return {**before, "adopted": stopped, "kept": kept}

    def leave_proxy(self) -> list[str]:
        """Take our site and its upstream away; the upstream stays, and answers 502, where a site of somebody else's
        includes it. Answers what stays."""
        upstream = self.releases.upstream
        texts = {path: text for path in (self.site, upstream) if (text := read_text(path)) is not None}
        # A run that was killed before its reload has left nginx with what is not there any more.
        had_site = upstream.parent.parent.is_dir() and any(record["api_port"] for record in self.releases.records())
        if not (texts or proxy.load_mark(upstream).exists() or had_site):
            return []
        with proxy.to_be_loaded(upstream):
            kept = self.forget(texts)
        for path in (self.site, upstream):
            path.with_name(f".{path.name}.partial").unlink(missing_ok=True)
        drop_empty([upstream.parent])
        time.sleep(SETTLE_SECONDS)
        return kept

    def forget(self, texts: Mapping[Path, str]) -> list[str]:
        """Remove these files and let nginx load what is left; what had to be written again."""
        upstream = self.releases.upstream
        for path in texts:
            path.unlink()
        refused, kept = self.reload(), []
        if refused and upstream in texts:
            write_atomically(upstream, proxy.upstream_text(self.releases.app, None), 0o644)
            refused, kept = self.reload(), [str(upstream)]
        if refused:
            for path, text in texts.items():
                write_atomically(path, text, 0o644)
            proxy.reload_proxy(self.run)
            raise ReleaseError(
                f"found: {refused}. Expected: nginx accepts its configuration without {self.site}, {upstream}; they "
                "are as they were. Correct it (nginx -t), then run it again"
            )
        return kept

    def reload(self) -> str | None:
        """One that does not run has nothing to reload."""
        return proxy.reload_proxy(self.run) if proxy.proxy_runs(self.run) else None

    def stop(self, record: Record, wait_seconds: float) -> bool:
        """Stop a release and remove its containers; True while a worker still has calls. An adopted one's stay,
        stopped."""
        found = docker.containers(self.run)
        in_use = record["state"] in ("serving", "switching", "staged")
        if not in_use and not containers.is_left(self.releases, record, found):
            return False
        if record["state"] == "staged" and records.waits_behind_gate(record):
            containers.down(self.releases, record["id"])  # its gate was never open
            return False
        if in_use:
            record = self.releases.save(record, state="draining")
        ending = drain.Ending(wait_seconds, api_seconds=min(API_SECONDS, wait_seconds), insist=True)
        if drain.drain_release(self.releases, record["id"], ending):
            return True
        self.releases.save(self.releases.record(record["id"]) or record, state="retired")
        return False

    def busy_text(self, busy: Sequence[Record], wait_seconds: float) -> str:
        listed = docker.containers(self.run)
        said = [f"the worker of {one['id']} ({one['agent_name']}) still has {self.calls(one, listed)}" for one in busy]
        return (
            f"found: {'; '.join(said)} after {wait_seconds:.0f} s, expected none. It takes no new call and is left "
            "until they have ended; the proxy's site and the API are gone, and nothing else of it was removed. Run it "
            "again then, or with more time (-e remove_wait_seconds=…)"
        )

    def calls(self, record: Record, listed: list[Container]) -> str:
        """How many calls the workers of a release say they have."""
        services = containers.services(self.releases, record["id"], listed)
        agents = [one for name, one in services.items() if one["running"] and name != records.API]
        answers = [own_answer.ask_worker((one["address"], docker.WORKER_PORT)) for one in agents if one["address"]]
        calls = sum(own_answer.active_jobs(answer) or 0 for answer in answers)
        return f"{calls} call{'' if calls == 1 else 's'}" if calls else "calls"

    def clear_away(self) -> None:
        """What is left of our projects: of a run that was killed, or of an Engine that was away."""
        left = [one for one in docker.containers(self.run) if containers.release_id_from(self.releases, one)]
        docker.clear(self.run, left, self.is_own)

    def clear_releases(self) -> None:
        """The releases' directories; what is somebody else's keeps its own."""
        directories = self.directories()
        for path in [path for directory in directories for path in self.own_in(directory)]:
            path.unlink(missing_ok=True)
        drop_empty([*(directory / "gate" for directory in directories), *directories, self.releases.home])

    def clear_application(self) -> None:
        """The rest, the lock last: whoever waits for it finds the application gone."""
        root = self.releases.root
        for path in [*self.own_files(), *(root / name for name in OF_THE_LOCK)]:
            path.unlink(missing_ok=True)
        drop_empty([root / "images", root])


def mounted_volumes(container: Container) -> set[str]:
    """The named volumes that a container has."""
    mounts = [one for one in container.get("Mounts") or [] if one.get("Type") == "volume"]
    return {one["Name"] for one in mounts if not is_anonymous(one["Name"])}


def is_anonymous(volume: str) -> bool:
    return bool(re.fullmatch(r"[0-9a-f]{64}", volume))


def adopted_project(record: Record, found: Sequence[Container]) -> AdoptedProject:
    """What is told of a project that was adopted: of it, what was stopped."""
    project = record["adopted"]
    there = {docker.name(c): bool(c["State"]["Running"]) for c in adopted.members(record, found).values()}
    parts = {docker.name(c) for c in adopted.parts(record, found).values()}
    return {
        "project": project["project"],
        "directory": project["directory"],
        "containers": sorted(name for name in there if name in parts or name in project["containers"]),
        "running": sorted(name for name, runs in there.items() if runs and name in parts),
        "policies": dict(project.get("policies") or {}),
    }


def take_off(removal: Removal, claim: Claim, lock_wait_seconds: float, wait_seconds: float) -> Survey:
    """Remove all of it under the host's lock, which goes with it; nothing where nothing is there."""
    found = removal.survey()
    if not (found["there"] or found["left"]):
        return {**found, "changed": False}
    root, lock = removal.releases.root, Lock(removal.releases.root)
    root.mkdir(mode=0o750, exist_ok=True)  # the lock is in it
    lease = wait_seconds + API_SECONDS + BETWEEN_SECONDS
    with lock.taken(replace(claim, lease_seconds=lease), lock_wait_seconds) as (record, _killed):
        try:
            done = removal.remove(wait_seconds)
        except BaseException as error:
            if isinstance(error, BusyError):
                entry = history.run_entry(record, history.NOT_REMOVED, reason=str(error))
                entry["from"] = found["serving"]
                history.append(removal.releases.history, entry)
            lock.release(record.fence)
            raise
    return {**done, "changed": found["there"] or not done["kept"]}
