"""Releases on one host: directory, record, gate, containers, proxy. Reads and writes; the decisions are in ``release``."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..common import commands, times
from ..common.files import read_text, write_atomically
from ..common.text import Masker, cut, parsed, plain
from ..common.waiting import wait_until
from ..machine import docker, docker_variants, images, nginx
from ..machine.command import NOT_THERE, TOO_LATE, Reader, Run
from ..machine.sockets import connected_to
from ..worker import failed_start, log_events, log_words, own_answer, readings, registration
from . import adoption, records
from .lock import LockError
from .records import Content

LOOKED_AT, LAST_WORDS = 500, 6
# Docker's words, with and without its own proxy of ports.
PORT_TAKEN = re.compile(r"port is already allocated|address already in use")


class ReleaseError(Exception):
    """A step could not be done; the text says found, expected and what to do."""


# What the world may do to a step.
TROUBLE = (docker.EngineError, ReleaseError, OSError)


def now() -> str:
    return times.stamp(time.time())


class Host:
    """The releases of one application on this host.

    ``root`` is the directory of the application (``/opt/<app>``), ``upstream`` the include file of the proxy that names the
    serving API, ``run`` runs an argument list (see ``command.Run``).
    """

    def __init__(self, run: Reader, app: str, root: str, upstream: str) -> None:
        self.run = run
        self.app = app
        self.root = Path(root)
        self.releases = self.root / "releases"
        self.link = self.root / "current"
        self.upstream = Path(upstream)
        self.images = images.Images(run, self.root)

    # --- records ---

    def directory(self, release_id: str) -> Path:
        return self.releases / release_id

    def record(self, release_id: str) -> dict[str, Any] | None:
        return records.record_in(self.directory(release_id))

    def save(self, record: dict[str, Any], **changes: Any) -> dict[str, Any]:
        record = {**record, **changes}
        write_atomically(self.directory(record["id"]) / "release.json", json.dumps(record, indent=2, sort_keys=True) + "\n")
        return record

    def records(self) -> list[dict[str, Any]]:
        """All recorded releases, oldest first; the id starts with the time of its making."""
        if not self.releases.is_dir():
            return []
        names = sorted(p.name for p in self.releases.iterdir() if records.ID_PATTERN.fullmatch(p.name))
        return [found for name in names if (found := self.record(name))]

    def current(self) -> dict[str, Any] | None:
        return self.record(self.link.readlink().name) if self.link.is_symlink() else None

    def known_current(self) -> dict[str, Any] | None:
        """As ``current``, where a release that serves and whose record cannot be read is not taken for none."""
        path = self.link / "release.json"
        if (found := self.current()) is None and path.is_file():
            raise ReleaseError(
                f"found: {path} is no record of a release, expected that of the one that serves. Run deploy.yml, which makes it anew from "
                "what runs"
            )
        return found

    def point_to(self, release_id: str | None) -> None:
        """Make ``current`` the link to a release, atomically; None removes it."""
        if release_id is None:
            self.link.unlink(missing_ok=True)
            return
        partial = self.root / ".current.partial"
        partial.unlink(missing_ok=True)
        partial.symlink_to(f"releases/{release_id}")
        partial.replace(self.link)

    # --- the standby gate ---

    def set_gate(self, release_id: str, text: str) -> None:
        gate = self.directory(release_id) / "gate"
        gate.mkdir(mode=0o755, exist_ok=True)
        # The worker is no root in its container: it may read this, and nothing else of the release.
        gate.chmod(0o755)
        write_atomically(gate / "state", text, 0o644)

    def gate(self, release_id: str) -> str | None:
        text = read_text(self.directory(release_id) / "gate/state")
        return text.strip() if text else None

    # --- containers ---

    def release_of(self, container: dict[str, Any]) -> str:
        """The id of the release that a container is of, by its compose project or, whatever that is, by the files it was made from."""
        labels = docker.labels(container)
        if found := records.id_in_project(self.app, labels.get(docker.PROJECT_LABEL, "")):
            return found
        paths = [Path(path) for path in (labels.get(docker.DIRECTORY_LABEL, ""), *labels.get(docker.FILES_LABEL, "").split(",")) if path]
        directories = [path for one in paths for path in (one, one.parent) if path.parent == self.releases]
        return next((path.name for path in directories if records.ID_PATTERN.fullmatch(path.name)), "")

    def services(self, release_id: str, found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """The containers of a release by compose service; those of another compose project only where it has no such service itself."""
        record = self.record(release_id) or {}
        if record.get("adopted"):
            return {name: self.service(c) for name, c in adoption.services(record, found).items()}
        candidate = records.candidate_project(self.app, release_id)
        mine = [c for c in found if self.release_of(c) == release_id and docker.labels(c).get(docker.PROJECT_LABEL) != candidate]
        mine.sort(key=lambda c: not self.is_astray(c))
        return {docker.labels(c).get(docker.SERVICE_LABEL) or c["Name"]: self.service(c) for c in mine}

    def is_astray(self, container: dict[str, Any]) -> bool:
        """Whether a container that was made from a release's files is of a compose project that is none of ours."""
        return not records.id_in_project(self.app, docker.labels(container).get(docker.PROJECT_LABEL, ""))

    @staticmethod
    def service(container: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": container["Id"],
            "container": docker.name(container),
            "running": container["State"]["Running"],
            "image": container["Config"]["Image"],
            "config_hash": docker.labels(container).get(docker.CONFIG_LABEL),
            "stop_seconds": container["Config"].get("StopTimeout"),
            "address": docker.address(container),
            "env": readings.name_variables(container),
        }

    def drift(self, record: dict[str, Any], services: dict[str, dict[str, Any]]) -> list[str]:
        directory = self.directory(record["id"])
        drift = records.file_drift(record, {name: read_text(directory / name) for name in record.get("files", {})})
        drift += records.container_drift(record, services)
        if self.gate(record["id"]) == "closed":
            drift.append("the standby gate is closed")
        if not self.is_without_proxy(record["api_port"]) and read_text(self.upstream) != upstream_text(self.app, record["api_port"]):
            drift.append(f"{self.upstream} does not name this release's API")
        return drift

    def info(self, **selection: Any) -> dict[str, Any]:
        """Record, drift, containers, leftovers and worker readings, as the Engine tells them now."""
        found = docker.containers(self.run)
        state = self.state(found)
        reading = readings.readings(self.run, found=found, known=state["adopted"], **selection)
        return {**state, **adoption.claimed(reading, state["adopted"])}

    def state(self, found: list[dict[str, Any]]) -> dict[str, Any]:
        """``info`` without the workers: what the record and a listing of the host's containers say."""
        record = self.known_current()
        services = self.services(record["id"], found) if record else {}
        kept = self.records()
        others = [r for r in kept if not record or r["id"] != record["id"]]
        return {
            "release": record,
            "states": {r["id"]: r["state"] for r in kept},
            "services": services,
            "drift": self.drift(record, services) if record else [],
            "leftovers": [r["id"] for r in others if self.is_left(r, found) or r["state"] in ("staged", "switching")],
            "adopted": {r["adopted"]["worker"]: r["id"] for r in kept if r.get("adopted")},
        }

    def is_left(self, record: dict[str, Any], found: list[dict[str, Any]]) -> bool:
        """Whether a release that does not serve is still to be stopped. The stopped containers of an adopted one stay."""
        services = self.services(record["id"], found).values()
        if record.get("adopted"):
            return record["state"] == "draining" or any(service["running"] for service in services)
        return bool(services)

    # --- what has no record ---

    def regain(self, found: list[dict[str, Any]]) -> None:
        """Make a record for each release that runs and has none, so that its calls are waited for; clear what else of our form has none.

        A run that was killed leaves such, an old version under another compose project, or a hand that removed a record.
        """
        known = {record["id"] for record in self.records()}
        for release_id in sorted({self.release_of(c) for c in found} - known - {""}):
            candidate = records.candidate_project(self.app, release_id)
            mine = [c for c in found if self.release_of(c) == release_id and docker.labels(c).get(docker.PROJECT_LABEL) != candidate]
            if any(c["State"]["Running"] for c in mine):
                self.directory(release_id).mkdir(mode=0o750, parents=True, exist_ok=True)
                self.save(self.regained(release_id, found))
        self.sweep(found)

    def regained(self, release_id: str, found: list[dict[str, Any]]) -> dict[str, Any]:
        """The record of a release that runs, from its containers. Whether its worker was told to stop, its own log says; one that cannot
        be asked is taken for one that was, because a second signal would end its calls."""
        services = self.services(release_id, found)
        serves = self.link.is_symlink() and self.link.readlink().name == release_id
        by_id = {container["Id"]: container for container in found}
        ports = [port for one in services.values() for port in adoption.published(by_id[one["id"]])]
        names = [name for one in services.values() if (name := one["env"].get("LIVEKIT_AGENT_NAME"))]
        record = {
            "state": "serving" if serves else "abandoned",
            "agent_name": next(iter(names), ""),
            "api_port": ports[0] if ports and records.API in services else None,
            "images": {name: one["image"] for name, one in services.items()},
            "services": [name for name in records.SERVICES if name in services],
        }
        agent = services.get(readings.WORKER_SERVICE)
        told = not serves and agent is not None and agent["running"] and self.was_told(by_id[agent["id"]])
        return records.regained(self.app, release_id, {**record, **(told_now() if told else {})})

    def was_told(self, agent: dict[str, Any]) -> bool:
        """Whether a worker was told to stop, or may have been."""
        try:
            found = readings.readings(self.run, found=[agent])["workers"]
        except docker.EngineError:
            return True
        return not found or not found[0]["worker_id"] or bool(found[0]["draining"])

    def sweep(self, found: list[dict[str, Any]]) -> None:
        """Clear what is of our own form and has no record: containers, networks, files with secrets."""
        known = {record["id"] for record in self.records()}
        docker.clear(
            self.run,
            [c for c in found if (one := self.release_of(c)) and one not in known],
            lambda project: bool(one := records.id_in_project(self.app, project)) and one not in known,
        )
        for path in sorted(self.releases.glob("*")):
            if records.ID_PATTERN.fullmatch(path.name) and path.name not in known:
                self.remove(path.name)
        for path in self.root.glob(".*.partial"):
            path.unlink(missing_ok=True)

    # --- content ---

    def content(self, release_id: str) -> Content:
        """What a kept release was made from."""
        record = self.record(release_id) or {}
        texts = {name: read_text(self.directory(release_id) / name) for name in record.get("files", {})}
        if drift := records.file_drift(record, texts):
            raise ReleaseError(f"found: {release_id}: {'; '.join(drift)}, expected the files as they were deployed. Choose another release")
        return records.content_of_files(record, {name: text or "" for name, text in texts.items()})

    # --- steps ---

    def stage(self, record: dict[str, Any], files: dict[str, str]) -> bool:
        """Write a release's directory with its gate closed; True if anything was written."""
        directory = self.directory(record["id"])
        present = self.record(record["id"])
        hashes = {name: records.sha256(text) for name, text in files.items()}
        if present and present.get("files") == hashes and not records.file_drift(present, {n: read_text(directory / n) for n in files}):
            return False
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        # Before any secret: what a killed run has left is known by its record.
        self.save(record, state="staged", files=hashes, staged_at=now())
        try:
            for name, text in files.items():
                write_atomically(directory / name, text)
            self.set_gate(record["id"], records.GATE_CLOSED if records.is_standby(record) else records.GATE_OPEN)
        except OSError:
            self.remove(record["id"])
            raise
        return True

    def settle_file(self, release_id: str) -> None:
        """Let Compose judge the release's file before anything of it runs, and note the volumes that it takes from the host. One that is
        refused leaves nothing."""
        try:
            document = self.composed(release_id)
            self.refuse_missing_networks(document)
            volumes = [volume["name"] for volume in (document.get("volumes") or {}).values()]
            self.save(self.record(release_id) or {}, volumes=volumes)
        except TROUBLE:
            self.remove(release_id)
            raise

    def composed(self, release_id: str) -> dict[str, Any]:
        """The release's file as Compose reads it."""
        try:
            document = parsed(self.compose(release_id, "config", "--format", "json"))
        except docker.EngineError as error:
            raise ReleaseError(
                f"found: Compose refuses the release's file: {error}. Expected: values that Compose takes. Correct agent_api_compose, "
                "livekit_agent_compose, or the variables for volumes and memory"
            ) from None
        if not isinstance(document, dict):
            raise ReleaseError(
                "found: `docker compose config --format json` writes no JSON, expected the release's file. Install another version of "
                f"Compose: {docker_variants.WANTED_COMPOSE}"
            )
        return document

    def refuse_missing_networks(self, document: dict[str, Any]) -> None:
        names = [network["name"] for network in (document.get("networks") or {}).values() if network.get("external")]
        there = docker.docker(self.run, "network", "ls", "--format", "{{.Name}}").split() if names else []
        if missing := [name for name in names if name not in there]:
            raise ReleaseError(
                f"found: the host has no network {', '.join(missing)}, expected it, because agent_api_compose or livekit_agent_compose "
                "names it. Make it (docker network create), or start the project that it belongs to"
            )

    def pull(self, wanted: Iterable[str], logins: images.Logins = (), archives: images.Archives | None = None) -> list[str]:
        """Bring the images that the host does not have; returns them."""
        try:
            return self.images.fetch(wanted, logins, archives)
        except images.ImageError as error:
            raise ReleaseError(str(error)) from None

    def prune_images(self) -> list[str]:
        """Remove the images that we brought for releases that are not kept any more."""
        return self.images.prune(records.recorded_images(self.root.parent))

    def start(self, release_id: str, service: str) -> bool:
        """Start one service of a release beside what runs; False where it runs already."""
        if (self.record(release_id) or {}).get("adopted"):
            return self.start_again(release_id, service)
        self.end_candidate(release_id)
        self.make_volumes(release_id)
        before = self.services(release_id, docker.containers(self.run)).get(service)
        try:
            self.compose(release_id, "up", "--detach", "--no-deps", "--pull", "never", service)
        except docker.EngineError as error:
            port = (self.record(release_id) or {}).get("api_port")
            if not PORT_TAKEN.search(str(error)):
                raise
            raise ReleaseError(f"{port_taken(port, 'somebody')}. Docker says: {error}") from None
        return not (before and before["running"])

    def make_volumes(self, release_id: str) -> None:
        """The named volumes of a release are the host's: made where they are missing, and there for the next release."""
        for volume in (self.record(release_id) or {}).get("volumes", []):
            docker.docker(self.run, "volume", "create", volume)

    def start_candidate(self, release_id: str) -> None:
        """Start the release's worker in a compose project of its own, under its candidate name and without the gate."""
        record = self.record(release_id) or {}
        self.make_volumes(release_id)
        override = records.candidate_override(record["candidate"])
        write_atomically(self.directory(release_id) / records.CANDIDATE_FILE, override)
        where: dict[str, Any] = {"project": records.candidate_project(self.app, release_id), "more_files": [records.CANDIDATE_FILE]}
        self.compose(release_id, "up", "--detach", "--no-deps", "--pull", "never", readings.WORKER_SERVICE, **where)

    def end_candidate(self, release_id: str) -> None:
        """Remove what ``start_candidate`` made; nothing had its name, so it has no call."""
        path = self.directory(release_id) / records.CANDIDATE_FILE
        if path.exists():
            project = records.candidate_project(self.app, release_id)
            found = [c for c in docker.containers(self.run) if docker.labels(c).get(docker.PROJECT_LABEL) == project]
            docker.clear(self.run, found, lambda name: name == project)
            path.unlink()

    def compose(self, release_id: str, *arguments: str, project: str = "", more_files: Iterable[str] = ()) -> str:
        """Call Compose for a release. Project and files are always named: it would look for them in its surroundings."""
        directory = str(self.directory(release_id))
        named = ("--project-directory", directory, "--project-name", project or records.project(self.app, release_id))
        files = [part for name in ("compose.yml", *more_files) for part in ("--file", f"{directory}/{name}")]
        return docker.docker(self.run, "compose", "--progress", "quiet", *named, *files, *arguments)

    def refuse_unstable(self, release_id: str, worker_id: str) -> None:
        """A worker that is not any more what was proven, because it ended or registered anew, is not switched to."""
        record = self.record(release_id) or {"app": self.app, "id": release_id}
        found = readings.readings(self.run, project=records.project_of(record), known=adoption.known(record))["workers"]
        if trouble := registration.registration_trouble(found, record.get("agent_name", "")):
            raise ReleaseError(trouble.text)
        if found[0]["worker_id"] != worker_id:
            raise ReleaseError(
                f"found: the worker registered anew as {found[0]['worker_id']} after it was proven as {worker_id}, expected one that stays "
                f"connected. Its last lines: {' | '.join(found[0]['last_lines'])}"
            )

    def awaited_upstream(self) -> str | None:
        """The proxy's include, which has to be there; None where what serves has no API."""
        current = self.current()
        return None if current and records.API not in records.services_of(current) else str(self.upstream)

    def is_without_proxy(self, port: int | None) -> bool:
        """Whether no API is to be reached and no proxy waits for one: the host has only workers."""
        return port is None and not self.upstream.exists()

    def proxy_to(self, port: int | None) -> None:
        """Point the proxy at an API port (None: at nothing); on a refused configuration the file is put back as it was.

        It is reloaded in any case: a run that was killed before its reload leaves the file written and the old port in force.
        """
        if self.is_without_proxy(port):
            return
        before = read_text(self.upstream)
        write_atomically(self.upstream, upstream_text(self.app, port), 0o644)
        refused = reload_proxy(self.run)
        if refused:
            still = None
            if before is not None:
                write_atomically(self.upstream, before, 0o644)
                still = test_proxy(self.run)
                reload_proxy(self.run)
            raise ReleaseError(nginx.refused(refused, still, str(self.upstream)))

    def serve(self, release_id: str) -> bool:
        """Switch to a release that runs: its gate opens, the proxy follows, the old gate closes. Never are both closed.

        `current` decides which of two serves: killed before it is moved the old one does, afterwards the new one (see ``recover``).
        """
        new, old = self.record(release_id), self.current()
        if not new:
            raise ReleaseError(f"found no release {release_id} in {self.releases}, expected it staged. Run deploy.yml")
        if old and old["id"] == release_id and new["state"] == "serving":
            return False
        previous = new.get("previous") or (old["id"] if old and old["id"] != release_id else None)
        new = self.save(new, state="switching", previous=previous)
        self.set_gate(release_id, records.GATE_OPEN)
        try:
            self.proxy_to(new["api_port"])
        except ReleaseError:
            self.close_gate(new)
            raise
        self.point_to(release_id)
        self.settle(new, old)
        return True

    def settle(self, new: dict[str, Any], old: dict[str, Any] | None) -> None:
        """Record the release that `current` points to as serving, and the one before as draining.

        Under another agent name the old gate stays open: the old worker is the only one that serves the old name until it drains.
        """
        services = self.services(new["id"], docker.containers(self.run))
        hashes = {name: found["config_hash"] for name, found in services.items()}
        self.save(new, state="serving", served_at=new.get("served_at") or now(), config_hashes=hashes)
        if old and old["id"] != new["id"]:
            self.close_beside(old, new)
            self.save(old, state="draining")

    def close_beside(self, leaving: dict[str, Any], serving: dict[str, Any] | None) -> None:
        """Close the gate of a release, if another of the same name serves; else its worker takes jobs until it drains."""
        if serving and serving["agent_name"] == leaving["agent_name"]:
            self.close_gate(leaving)

    def close_gate(self, record: dict[str, Any]) -> None:
        """With several LiveKit nodes no gate is closed: alone on its node a closed one would take requests and lose them."""
        if records.is_gated(record) and records.is_gated(self.current() or record):
            self.set_gate(record["id"], records.GATE_CLOSED)

    def abandon(self, release_id: str) -> dict[str, Any]:
        """Take back a release that failed: the one before it serves (again), what the failed one started goes.
        Where there is no way back, because the one before does not run or is being stopped, the failed one serves on.

        The way back comes first, then the look at what failed, then the clearing; neither of these two undoes it.
        Answers ``serving`` (id or None), ``log`` (the failed containers' last lines) and ``draining`` (ids still busy).
        """
        failed, current = self.record(release_id), self.current()
        if failed and current and current["id"] == release_id:
            if not self.can_go_back(failed):
                return {"serving": release_id, "log": self.last_words_of(release_id), "draining": []}
            self.switch_back(failed)
        self.recover()
        log, busy = self.last_words_of(release_id), False
        try:
            self.images.drop_sent()
            busy = self.clear(release_id, 5.0)
        except TROUBLE as error:
            log.append(f"what {release_id} has started is not cleared, the next run does that: {error}")
        now_serving = self.current()
        return {"serving": now_serving["id"] if now_serving else None, "log": log, "draining": [release_id] if busy else []}

    def last_words_of(self, release_id: str) -> list[str]:
        """The last lines of a release's containers. What they say, or that nothing can be read of them, keeps nothing from being done."""
        try:
            found = docker.containers(self.run)
            services, given = self.services(release_id, found), {container["Id"]: docker.environment(container) for container in found}
            lines = {name: self.last_words(one["id"], given.get(one["id"], {})) for name, one in services.items()}
        except TROUBLE as error:
            return [f"the containers of {release_id} cannot be read: {log_events.short(Masker()(str(error)))}"]
        log = [f"{name.lstrip('/')}: {line}" for name, some in lines.items() for line in some]
        # What keeps a worker from starting is said where it is waited for.
        what_to_set = failed_start.start_remedy(lines.get(records.API, []), "agent_api")
        return [*log, *([f"{records.API}: {what_to_set}"] if what_to_set else [])]

    def last_words(self, container: str, environment: Mapping[str, str]) -> list[str]:
        """The last lines of a container's log, or why it has none to read."""
        masker = Masker()
        try:
            masker = Masker.of(environment, *self.environments())
            lines = docker.log_lines(self.run, container, LOOKED_AT)
            return [log_events.short(masker(line)) for line in log_words.telling(lines, LAST_WORDS)]
        except Exception as error:  # foreign text, whatever it is
            return [f"its log cannot be read: {log_events.short(masker(str(error)))}"]

    def environments(self) -> list[dict[str, str]]:
        """What the releases of this application give to their services: no text that leaves the host may show a secret of it."""
        return [values for path in self.releases.glob("*/*.env") if (values := environment_in(path))]

    def can_go_back(self, failed: dict[str, Any]) -> bool:
        """Whether the release before still runs and is not being stopped; without one before, nothing serves afterwards."""
        before = self.record(failed["previous"]) if failed.get("previous") else None
        if not before:
            return True
        if before.get("retiring_since"):
            return False
        try:
            services = self.services(before["id"], docker.containers(self.run))
        except docker.EngineError:
            return True  # it ran a moment ago, and the other one failed
        running = {name for name, found in services.items() if found["running"]}
        return running >= set(records.services_of(before))

    def clear(self, release_id: str, wait_seconds: float, *, insist: bool = False) -> bool:
        """Stop and remove a release that was taken back; True while its worker is still busy. One whose gate was never open has no calls,
        unless its worker does not ask the gate."""
        record = self.record(release_id) or {}
        if self.is_quiet(record):
            self.down(release_id)
        elif self.drain(release_id, wait_seconds, insist=insist):
            self.save(self.record(release_id) or record, state="abandoned")
            return True
        if record.get("adopted"):
            self.save(self.record(release_id) or record, state="retired")
        else:
            self.remove(release_id)
        return False

    def is_quiet(self, record: Mapping[str, Any]) -> bool:
        """Whether the worker of a release has never been asked for a call: its gate was closed. What is of another compose project may
        have been given another gate."""
        if record.get("state") != "staged" or not records.is_standby(record):
            return False
        mine = [c for c in docker.containers(self.run) if self.release_of(c) == record["id"]]
        return not any(c["State"]["Running"] and self.is_astray(c) for c in mine)

    def recover(self) -> list[str]:
        """What a run left that was killed in the middle of a switch: the release that `current` points to serves, any other is to drain."""
        current = self.current()
        halfway = [r for r in self.records() if r["state"] in ("switching", "serving") and (not current or r["id"] != current["id"])]
        if halfway or (current and current["state"] != "serving"):
            if current:
                self.set_gate(current["id"], records.GATE_OPEN)
            self.proxy_to(current["api_port"] if current else None)
            if current and current["state"] != "serving":
                self.settle(current, None)
        for record in halfway:
            self.close_beside(record, current)
            self.save(record, state="abandoned")
        return [record["id"] for record in halfway]

    def switch_back(self, failed: dict[str, Any]) -> None:
        """The same switch the other way; without a release before it nothing serves afterwards."""
        before = self.record(failed["previous"]) if failed.get("previous") else None
        failed = self.save(failed, state="switching")
        if before:
            self.set_gate(before["id"], records.GATE_OPEN)
        self.proxy_to(before["api_port"] if before else None)
        self.point_to(before["id"] if before else None)
        if before:
            self.save(before, state="serving")
        self.close_beside(failed, before)
        self.save(failed, state="abandoned")

    def drain(
        self,
        release_id: str,
        wait_seconds: float,
        overlap_seconds: float = 0.0,
        *,
        api_seconds: float | None = None,
        insist: bool = False,
    ) -> bool:
        """Stop the API when it has answered its last request, then let the worker finish its calls; True while one of them is still busy
        after ``wait_seconds`` each (the API: ``api_seconds``). A worker whose name nobody else of ours serves takes jobs until the API has
        stopped, and for ``overlap_seconds`` more. ``insist`` stops an API that still answers; a worker of ours is killed only when its
        whole drain timeout has passed.

        One signal only: a second SIGTERM kills running calls at once (livekit-agents 1.8.9). No restart policy undoes a SIGTERM
        sent through Docker (Engine 26.1, measured).
        """
        record = self.record(release_id) or {}
        services = self.services(release_id, docker.containers(self.run))
        api, agent = services.get("fastapi"), services.get("agent-worker")
        if record and not record.get("retiring_since"):
            record = self.save(record, retiring_since=now())
        if record.get("adopted"):
            record = self.keep_stopped(record)
        until = wait_seconds if api_seconds is None else api_seconds
        answers = bool(api and api["running"]) and not self.stop_api(record, api or {}, until, insist)
        is_renamed = (self.current() or {}).get("agent_name") != record.get("agent_name")
        if answers and is_renamed:
            return True
        if agent and agent["running"] and not (record.get("drain_started_at") and self.may_have_calls(agent)):
            if overlap_seconds and is_renamed:
                wait_until(lambda: False, overlap_seconds)
            self.close_gate(record)
            # Noted first: killed in between, the signal may have been sent, and a second one would kill running calls.
            record = self.save(record, **told_now())
            docker.docker(self.run, "kill", "--signal", (record.get("adopted") or {}).get("signal", "TERM"), agent["id"])
        deadline = time.monotonic() + wait_seconds
        while agent and agent["running"]:
            if time.monotonic() > deadline:
                if record.get("adopted") or not is_overdue(record, agent):
                    return True
                break
            time.sleep(0.2)
            agent = self.services(release_id, docker.containers(self.run)).get("agent-worker")
        if answers and not self.stop_api(record, api or {}, 0.0, insist):
            return True
        self.down(release_id)
        return False

    def stop_api(self, record: dict[str, Any], api: dict[str, Any], wait_seconds: float, insist: bool) -> bool:
        """Stop an API that has no request left; whether it is stopped. One that still has is not even told: after a SIGTERM its server may
        end its requests, and the proxy sends it no new one anyway."""
        if not (wait_until(lambda: not connected_to(record.get("api_port")), wait_seconds) or insist):
            return False
        docker.docker(self.run, "stop", api["id"])
        return True

    def may_have_calls(self, agent: dict[str, Any]) -> bool:
        """Whether a worker that was told to stop may still have calls: unless it says itself that it has none."""
        answer = own_answer.ask_worker((agent["address"], docker.WORKER_PORT)) if agent["address"] else {}
        return own_answer.active_jobs(answer) != 0

    def down(self, release_id: str) -> None:
        """Remove a release's containers and network. Those of an adopted one are stopped and stay."""
        if (self.record(release_id) or {}).get("adopted"):
            running = [service for service in self.services(release_id, docker.containers(self.run)).values() if service["running"]]
            for service in running:
                docker.docker(self.run, "stop", service["id"])
            return
        found = [container for container in docker.containers(self.run) if self.release_of(container) == release_id]
        docker.clear(self.run, found, lambda project: records.id_in_project(self.app, project) == release_id)

    def remove(self, release_id: str) -> None:
        """Remove a release's directory and what we wrote into it, its record last; a file of somebody else's stays and keeps the directory.

        Its containers go first: what is left of them is known by the directory."""
        directory = self.directory(release_id)
        for path in own_files(directory, self.record(release_id) or {}):
            path.unlink(missing_ok=True)
        drop_empty([directory / "gate", directory])

    def retire(self, wait_seconds: float, keep: int, overlap_seconds: float = 0.0, *, insist: bool = False) -> dict[str, list[str]]:
        """Drain and stop every release but the serving one, newest first and all within one wait, and remove the oldest beyond ``keep``.

        One that cannot be ended keeps none of the others: ``troubles`` says why, and the next run tries it again."""
        serving = self.current()
        done: dict[str, list[str]] = {"draining": [], "retired": [], "removed": [], "troubles": []}
        found = docker.containers(self.run)
        deadline = time.monotonic() + wait_seconds
        for record in reversed(self.records()):
            left = max(0.0, deadline - time.monotonic())
            if serving and record["id"] == serving["id"]:
                continue
            with noted(done["troubles"], f"release {record['id']} is not ended"):
                if became := self.retired(record, found, left, overlap_seconds, insist=insist):
                    done[became].append(record["id"])
        # The record of an adopted project is the way back to its containers: it stays as long as they do.
        kept = [r for r in self.records() if not (r.get("adopted") and self.services(r["id"], found))]
        old = [r["id"] for r in kept if not serving or r["id"] != serving["id"]]
        for release_id in [r for r in old if r not in done["draining"]][: max(0, len(old) - keep)]:
            with noted(done["troubles"], f"release {release_id} is not removed"):
                self.down(release_id)
                self.remove(release_id)
                done["removed"].append(release_id)
        return done

    def retired(
        self, record: dict[str, Any], found: list[dict[str, Any]], wait_seconds: float, overlap_seconds: float, *, insist: bool
    ) -> str:
        """End one release that does not serve; what became of it, empty where there was nothing to end."""
        if record["state"] in ("staged", "abandoned"):
            # Left by a run that was killed, or taken back while its worker had calls.
            busy = self.clear(record["id"], wait_seconds, insist=insist)
            return "draining" if busy else "retired" if record.get("adopted") else "removed"
        if not self.is_left(record, found):
            return ""
        if self.drain(record["id"], wait_seconds, overlap_seconds, insist=insist):
            return "draining"
        self.save(self.record(record["id"]) or record, state="retired")
        return "retired"

    # --- an adopted project (see ``adoption``) ---

    def adopt(self, record: dict[str, Any]) -> None:
        """Make a hand-made project the release that serves. Killed before its record is written, nothing serves, as before; killed before
        the proxy follows, the next run does the same again."""
        self.directory(record["id"]).mkdir(mode=0o750, parents=True, exist_ok=True)
        self.point_to(record["id"])
        self.save(record)
        self.proxy_to(record["api_port"])

    def let_go(self, release_id: str) -> None:
        """Forget an adopted project that serves; its containers are left as they are."""
        self.proxy_to(None)
        self.remove(release_id)
        self.point_to(None)

    def keep_stopped(self, record: dict[str, Any]) -> dict[str, Any]:
        """Let neither worker nor API of an adopted project come back by itself; how each was is noted first."""
        found = docker.containers(self.run)
        policies = adoption.always(record, found)
        if policies != record["adopted"]["policies"]:
            record = self.save(record, adopted={**record["adopted"], "policies": policies})
        for container in adoption.services(record, found).values():
            if docker.restart_policy(container) == "always":
                docker.docker(self.run, "update", "--restart", "unless-stopped", container["Id"])
        return record

    def start_again(self, release_id: str, service: str) -> bool:
        """Start one part of an adopted project: its own containers, with the restart policy that they had."""
        record = self.record(release_id) or {}
        wanted = adoption.to_start(record, docker.containers(self.run), service)
        for container in wanted:
            docker.docker(self.run, "start", container["Id"])
            if policy := record["adopted"]["policies"].get(docker.name(container)):
                docker.docker(self.run, "update", "--restart", policy, container["Id"])
        if service == adoption.API and not adoption.answers(record["api_port"]):
            look = commands.shell("docker", "logs", "--", docker.name(wanted[-1]) if wanted else service)
            raise ReleaseError(
                f"found: nothing speaks HTTP on port {record['api_port']}, expected the API of compose project "
                f"{record['adopted']['project']}. Look at its log: {look}"
            )
        return not all(container["State"]["Running"] for container in wanted)


@contextmanager
def noted(troubles: list[str], what: str) -> Iterator[None]:
    """Go on after housekeeping that fails, whatever it meets: it takes back nothing that was proven. The sentence is what is told."""
    try:
        yield
    except LockError:
        raise
    except Exception as error:
        troubles.append(f"{what}: {cut(plain(str(error)), 300) or type(error).__name__}")


def own_files(directory: Path, record: Mapping[str, Any]) -> list[Path]:
    """What we wrote into a release's directory, the record last."""
    found = [path for pattern in (*record.get("files", {}), *records.OWN_FILES) for path in sorted(directory.glob(pattern))]
    return [path for path in dict.fromkeys(found) if path.is_symlink() or not path.is_dir()]


def drop_empty(directories: Iterable[Path]) -> None:
    for path in directories:
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()


def environment_in(path: Path) -> dict[str, str]:
    """The variables in a release's file; none where it cannot be read."""
    try:
        return records.env_values(read_text(path) or "")
    except (OSError, ValueError):
        return {}


def told_now() -> dict[str, Any]:
    """When a worker is told to stop: for people, and on a clock that nobody sets."""
    return {"drain_started_at": now(), "drain_started": times.moment()}


def is_overdue(record: Mapping[str, Any], service: Mapping[str, Any]) -> bool:
    """Whether a container has had its whole stop timeout since it was told to end; one without any may take as long as it likes.

    A clock that was set forward ends nobody's calls: what counts is the host's clock since its boot, and nothing has run longer."""
    told, seconds, here = times.epoch(record.get("drain_started_at")), service["stop_seconds"], times.moment()
    if told is None or seconds is None:
        return False
    since = times.seconds_since(record.get("drain_started"), here)
    # A record of an older version, or of another boot.
    passed = min(time.time() - told, here["seconds"]) if since is None else since
    return passed > float(seconds)


def lacking(run: Run, directory: str, upstream: str | None, ask_engine: bool = True) -> list[str]:
    """What ``provision.yml`` would have made and is not there; ``upstream`` is None where nothing but workers is to run. Where the Engine
    is not asked, one that does not answer is not missing."""
    missing = docker_variants.lacking(run, ask_engine)
    if ask_engine and missing[:1] == ["Docker"]:
        refuse_silent(run)
    missing += ["nginx"] if upstream and run(["nginx", "-v"])[0] != 0 else []
    paths = [Path(directory), *([Path(upstream).parent] if upstream else [])]
    return missing + [str(path) for path in paths if not path.is_dir()]


def refuse_silent(run: Run) -> None:
    """Refuse a Docker that is installed and cannot be used, with what to do: it is not missing."""
    if trouble := docker_variants.judge(docker_variants.look(run)).trouble:
        raise docker.EngineError(trouble)
    status, out, err = run(["docker", "version"])
    if status not in (0, NOT_THERE) and run(["docker", "--version"])[0] == 0:
        raise docker.EngineError(docker.said(status, f"the Docker Engine is installed and does not answer: {(err or out).strip()}"))


def port_taken(port: int | None, who: str) -> str:
    return (
        f"found: {who} has port {port}, expected it free for the API of the new release. Stop that, or set agent_api_ports to two ports "
        "that are free"
    )


def upstream_text(app: str, port: int | None) -> str:
    """The proxy's include: where the API of the serving release listens; None before the first release."""
    # nginx wants at least one server; `down` makes it answer 502 until there is a release.
    server = f"127.0.0.1:{port}" if port else "127.0.0.1:9 down"
    return f"upstream {app} {{\n    server {server};\n}}\n"


def test_proxy(run: Run) -> str | None:
    """What nginx refuses of its configuration as it is on disk, certificates included; None where it accepts it."""
    return told(run, "nginx", "-t", "-q")


def reload_proxy(run: Run) -> str | None:
    """Test nginx's configuration and reload it, never restart it; what it refused, or None."""
    return test_proxy(run) or told(run, "systemctl", "reload", "nginx")


@contextmanager
def to_be_loaded(upstream: Path) -> Iterator[None]:
    """Change files of nginx and reload it: until both are done a mark says that nginx may have other files loaded than are there."""
    mark = load_mark(upstream)
    mark.parent.mkdir(mode=0o755, exist_ok=True)
    mark.touch(0o600)
    yield
    mark.unlink(missing_ok=True)


def load_mark(upstream: Path) -> Path:
    return upstream.with_name(f".{upstream.name}.unloaded")


def proxy_runs(run: Run) -> bool:
    """Whether nginx runs; one that is not there, or is stopped, has nothing to reload. A systemd that does not answer says neither."""
    status, _out, err = run(["systemctl", "is-active", "--quiet", "nginx"])
    if status == TOO_LATE:
        raise ReleaseError(f"found: {err}, expected whether nginx runs. Look at systemd (systemctl status nginx), then run it again")
    return status == 0


def told(run: Run, *argv: str) -> str | None:
    """What a command that failed says."""
    status, out, err = run(argv)
    return f"`{' '.join(argv)}` says: {nginx.short_refusal(err or out)}" if status != 0 else None


def site_path(app: str) -> str:
    return f"/etc/nginx/conf.d/livekit-agent-deploy-{app}.conf"


def upstream_path(app: str) -> str:
    return f"/etc/nginx/livekit-agent-deploy/{app}.upstream.conf"
