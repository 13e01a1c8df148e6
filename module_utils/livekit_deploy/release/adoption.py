# SPDX-License-Identifier: Apache-2.0
"""A hand-made compose project as the release before the first one of ours: refused, left alone or taken over.

Its record is like any other, with ``adopted``: which project, which of its containers are worker and API, and the
restart policies that were changed. Nothing of its files is touched, and its containers are stopped and started, never
removed (see ``adopted``).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common import commands, times
from ..machine import docker, processes
from ..machine.command import Reader
from ..worker import log_words, readings, registration, search
from . import adopted, records
from .adopted import AGENT, API
from .records import Adopted, Container, Record

# A reading of a worker (see ``readings``).
Worker = Mapping[str, Any]


def is_of_a_release(container: Container) -> bool:
    """A container of a release, of whatever application: its compose project is in the directory of one that has a
    record."""
    directory = Path(docker.labels(container).get(docker.DIRECTORY_LABEL) or "/")
    return directory.parent.name == "releases" and records.read_record(directory) is not None


def adopted_elsewhere(root: Path) -> dict[str, str]:
    """The projects that other applications of the host have adopted, each with its application; ``root`` is the
    directory of ours."""
    others = [(path, record) for path, record in records.records_in(root.parent) if path != root]
    return {record["adopted"]["project"]: path.name for path, record in others if record.get("adopted")}


def strangers(
    run: Reader,
    found: list[Container],
    others: Mapping[str, str],
    root: Path = processes.ROOT,
) -> list[Worker]:
    """A reading of each running worker of a compose project that is no release, nor in ``others`` (see ``taken``);
    ``signal`` is what it drains on."""
    running = [c for c in found if c["State"]["Running"] and docker.labels(c).get(docker.PROJECT_LABEL)]
    strange = [c for c in running if docker.labels(c)[docker.PROJECT_LABEL] not in others and not is_of_a_release(c)]
    if not strange:
        return []
    looking = search.Search(run, readings.Selection(), root, found)
    looked = [(container, looking.of_container(container)) for container in strange]
    return [{**one, "signal": docker.drain_signal(container)} for container, one in looked if one]


def adoption_refusal(workers: Sequence[Worker], adopt: str, leave: Sequence[str], others: Mapping[str, str]) -> str:
    """Why the first release must not start on a host with these workers; empty when the inventory says what becomes of
    each. ``others`` are the projects that other applications have taken over."""
    if adopt and adopt in leave:
        return (
            f"found: livekit_agent_adopt_project and livekit_agent_leave_projects both name {adopt}, expected one of "
            "them. Take it over, or leave it alone"
        )
    if adopt in others:
        return (
            f"found: livekit_agent_adopt_project names {adopt}, which the application {others[adopt]} has taken over, "
            "expected a project that no application has. Correct livekit_agent_adopt_project, or remove it"
        )
    unnamed = [one for one in workers if one["project"] not in (adopt, *leave)]
    if unnamed:
        names = list(dict.fromkeys(one["project"] for one in unnamed))
        return (
            f"found: {'; '.join(map(described, unnamed))}, expected no worker here but those of releases. To take the "
            f"project over: livekit_agent_adopt_project: {names[0]} (it is drained and stopped when the new release "
            "serves, and kept). To let it run on beside the release: livekit_agent_leave_projects: "
            f"[{', '.join(names)}]"
        )
    return unfit([one for one in workers if adopt and one["project"] == adopt])


def unfit(mine: Sequence[Worker]) -> str:
    """Why a project's workers cannot be taken over."""
    if len(mine) > 1:
        several = "; ".join(map(described, mine))
        return f"found: {several}, expected one worker in the project. Stop the others, or leave the project alone"
    for one in mine:
        supervisor, found = one["supervisor"], f"found: {described(one)}"
        if supervisor["kind"] != "docker":
            keeper = supervisor["name"]
            return f"{found}, kept running by {keeper}, expected Docker. Let Docker keep it, or stop it there"
        if not one["start_command"]:
            return f"{found}, removed when it stops (--rm), expected a container that stays. Start it with `up -d`"
        if not one["signal"]:
            wanted = "expected SIGTERM or SIGINT. Correct stop_signal"
            return f"{found}, whose stop signal is none a worker drains on, {wanted}"
        if readings.worker_name(one) is None:
            return f"{found}, expected a name in its log or environment. Start it anew, or leave the project alone"
        if not readings.worker_name(one):
            return (
                f"found: {described(one)}, which is sent to every new room (automatic dispatch), expected a name. Give "
                "it one (LIVEKIT_AGENT_NAME, or agent_name in its code), or leave the project alone"
            )
        if trouble := unlike(one):
            return trouble
    return ""


def unlike(one: Worker) -> str:
    """Why a worker cannot be stopped without harm, or be known again when it is brought back."""
    if one["dev"]:
        return (
            f"found: {described(one)}, started with `dev`, which ends its calls at once when it is told to stop, "
            "expected `start`. Start it anew with `start`, or leave the project alone"
        )
    if one["worker_id"]:
        return ""
    if one["unnamed"]:
        return f"found: {described(one)}: {registration.unreadable(one)}, or leave the project alone"
    why = f" ({without_registration(one)})" if without_registration(one) else ""
    return (
        f"found: {described(one)}, without a registration in its log{why}, expected the line "
        f"{log_words.REGISTERED!r}, by which it is known when it is brought back. Start it anew (with `start`, at log "
        "level INFO, with a log that Docker can read), or leave the project alone"
    )


def without_registration(one: Worker) -> str:
    """Why a registration may be missing in a log that was read, or that could not be."""
    reach = one["reach"]
    if one["unread"] or not reach["why"]:
        return str(one["unread"])
    begins = f"it begins at {times.iso(reach['begins'])}: " if reach["begins"] is not None else ""
    return f"{begins}{reach['why']}"


@dataclass(frozen=True)
class Names:
    """The compose projects that the inventory names; ``recorded`` is an adopted one that an earlier run took over."""

    adopt: str
    leave: Sequence[str] = ()
    recorded: bool = False


def unmatched(names: Names, workers: Sequence[Worker], found: Sequence[Container]) -> str:
    """Why a name that the inventory gives matches nothing here: a typing error, or a project whose worker does not run.
    Empty where each does."""
    there = foreign_projects(found)
    choices = [f"{name} ({states})" for name, states in there.items()]
    choice = f"expected one of: {'; '.join(choices) or 'none, this host has no project'}"
    unknown = [name for name in names.leave if name not in there]
    if names.adopt and not names.recorded and (why := unmatched_project(names.adopt, workers, there, choice)):
        return why
    if not unknown:
        return ""
    return (
        f"found: livekit_agent_leave_projects names {', '.join(unknown)}, which this host has no compose project of, "
        f"{choice}. Correct it, or remove it"
    )


def unmatched_project(adopt: str, workers: Sequence[Worker], there: Mapping[str, str], choice: str) -> str:
    """Why the project that is to be adopted cannot be; ``there`` are the host's projects with their states."""
    if adopt not in there:
        named = f"livekit_agent_adopt_project names {adopt}, which is no compose project of this host"
        return f"found: {named}, {choice}. Correct it, or remove it"
    if any(one["project"] == adopt for one in workers):
        return ""
    start = commands.shell(*["docker", "compose", "-p", adopt, "start"])
    return (
        f"found: compose project {adopt}, which livekit_agent_adopt_project names, has no worker that runs "
        f"({there[adopt]}), expected one. Start it ({start}), or remove livekit_agent_adopt_project"
    )


def foreign_projects(found: Sequence[Container]) -> dict[str, str]:
    """The compose projects of a host that are none of a release, each with the state of its services."""
    states: dict[str, list[str]] = {}
    for container in found:
        if (name := docker.labels(container).get(docker.PROJECT_LABEL)) and not is_of_a_release(container):
            service = docker.labels(container).get(docker.SERVICE_LABEL)
            states.setdefault(name, []).append(f"{service} {container_state(container)}")
    return {name: ", ".join(sorted(services)) for name, services in sorted(states.items())}


def container_state(container: Container) -> str:
    return str(container["State"].get("Status") or ("running" if container["State"]["Running"] else "stopped"))


def described(one: Worker) -> str:
    name = readings.worker_name(one)
    called = "an agent name that is not known" if name is None else f"agent name {name!r}"
    project, where = one["project"], one["directory"] or "no directory"
    return f"compose project {project} with a worker, container {one['container']}, {called}, in {where}"


def is_first(record: Record | None) -> bool:
    """Whether what serves is an adopted project that no release of ours has replaced so far: somebody may still change
    it."""
    return bool(record and record.get("adopted") and not record.get("staged_at"))


def project_name(record: Record | None) -> str:
    """The compose project of a record that is of an adopted one; else empty."""
    return ((record or {}).get("adopted") or {}).get("project", "")


def adopted_record(app: str, one: Worker, found: Sequence[Container], before: Record | None = None) -> Record:
    """The record of the release that a worker's project is from now on. The id is of its containers: a second try makes
    the same. Made anew it keeps the id that the record ``before`` has."""
    mine = containers_of_project(one["project"], found)
    own = next(container for container in mine if docker.name(container) == one["container"])
    api, port = project_api([container for container in mine if container is not own and stays(container)])
    digest = digest_of_project(one["project"], mine)
    made = times.epoch(own.get("Created")) or time.time()
    known: Record = before or {"id": f"{time.strftime(records.STAMP, time.gmtime(made))}-{digest[:8]}"}
    parts = {AGENT: own}
    if api:
        parts[API] = api
    return {
        "id": known["id"],
        "app": app,
        "hash": digest,
        "agent_name": readings.worker_name(one) or "",
        "api_port": port,
        "images": {name: container["Config"]["Image"] for name, container in parts.items()},
        "services": list(parts),
        "files": {},
        # It never asks our gate.
        "hook": False,
        "gated": False,
        "state": "serving",
        "served_at": times.stamp(times.epoch(one["started_at"]) or made),
        "previous": None,
        "rolled_back": None,
        "earlier_worker_ids": list(dict.fromkeys([*known.get("earlier_worker_ids", []), *one["worker_ids"]])),
        "adopted": adopted_part(one, parts, mine),
    }


def containers_of_project(project: str, found: Sequence[Container]) -> list[Container]:
    return [container for container in found if docker.labels(container).get(docker.PROJECT_LABEL) == project]


def digest_of_project(project: str, mine: Sequence[Container]) -> str:
    return records.sha256(" ".join([project, *sorted(container["Id"] for container in mine)]))


def adopted_part(one: Worker, parts: Mapping[str, Container], mine: Sequence[Container]) -> Adopted:
    """What a record has of the project; ``parts`` are its worker and its API, ``mine`` all of its containers."""
    return {
        "project": one["project"],
        "directory": one["directory"],
        "worker": docker.name(parts[AGENT]),
        "api": docker.name(parts[API]) if API in parts else None,
        "signal": one["signal"],
        # What is stopped, and runs again when the project is brought back. Adopted by an earlier version it may be all
        # of the project.
        "containers": sorted(docker.name(container) for container in parts.values()),
        # What is left as it is.
        "others": {docker.name(other): container_state(other) for other in mine if other not in parts.values()},
        "ports": sorted({port for container in mine for port in adopted.published(container)}),
        "policies": {},
    }


def stays(container: Container) -> bool:
    """Whether a container is of the project's services: not what has ended, goes when it ends, or was started once
    (`compose run`)."""
    once = docker.labels(container).get(docker.ONE_OFF_LABEL) == "True"
    goes = once or container.get("HostConfig", {}).get("AutoRemove")
    return bool(container["State"]["Running"] and not goes)


def project_api(others: Sequence[Container]) -> tuple[Container | None, int | None]:
    """The API of a project and the port where the host reaches it: of the containers that publish a port the one that
    is made for LiveKit, else the only one, if it speaks HTTP (a database may publish a port, too). Where that is not
    clear there is none."""
    publishing = [(container, ports[0]) for container in others if (ports := adopted.published(container))]
    made_for_it = [one for one in publishing if not docker.environment(one[0]).keys().isdisjoint(processes.OF_LIVEKIT)]
    chosen = made_for_it or [one for one in publishing if len(publishing) == 1 and adopted.answers(one[1], 2.0)]
    return chosen[0] if len(chosen) == 1 else (None, None)
