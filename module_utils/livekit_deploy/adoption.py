# SPDX-License-Identifier: Apache-2.0
"""A hand-made compose project as the release before the first one of ours: refused, left alone or taken over, and what then differs.

Its record is like any other, with ``adopted``: which project, which of its services are worker and API, and the restart policies that were
changed. Nothing of its files is touched, and its containers are stopped and started, never removed.
"""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.livekit_deploy import engine, process, release, times, worker

API, AGENT = release.SERVICES
REACHED_FROM_THE_HOST = ("", "0.0.0.0", "127.0.0.1", "::")  # noqa: S104  nothing is bound here
ANSWER_SECONDS = 60.0


# --- whose workers run ---


def is_ours(container: dict[str, Any]) -> bool:
    """A container of a release, of whatever application: its compose project is in the directory of one that has a record."""
    directory = Path(engine.labels(container).get(engine.DIRECTORY_LABEL) or "/")
    recorded = directory.parent.name == "releases" and bool(release.ID_PATTERN.fullmatch(directory.name))
    return recorded and (directory / "release.json").is_file()


def strangers(run: engine.Run, found: list[dict[str, Any]], root: Path = process.ROOT) -> list[dict[str, Any]]:
    """A reading of each running worker of a compose project that is no release; ``signal`` is what it drains on."""
    others = [c for c in found if c["State"]["Running"] and engine.labels(c).get(engine.PROJECT_LABEL) and not is_ours(c)]
    if not others:
        return []
    search = worker.Search(run, worker.Selection(), root, found)
    readings = [(container, search.of_container(container)) for container in others]
    return [{**one, "signal": engine.drain_signal(container)} for container, one in readings if one]


def refusal(workers: Sequence[Mapping[str, Any]], adopt: str, leave: Sequence[str]) -> str:
    """Why the first release must not start on a host with these workers of others; empty when the inventory says what becomes of each."""
    if adopt and adopt in leave:
        return (
            f"found: livekit_agent_adopt_project and livekit_agent_leave_projects both name {adopt}, expected one of them. Take it "
            "over, or leave it alone"
        )
    unnamed = [one for one in workers if one["project"] not in (adopt, *leave)]
    if unnamed:
        names = list(dict.fromkeys(one["project"] for one in unnamed))
        return (
            f"found: {'; '.join(map(described, unnamed))}, expected no worker here but those of releases. To take the project over: "
            f"livekit_agent_adopt_project: {names[0]} (it is drained and stopped when the new release serves, and kept). To let it run on "
            f"beside the release: livekit_agent_leave_projects: [{', '.join(names)}]"
        )
    return unfit([one for one in workers if adopt and one["project"] == adopt])


def unfit(mine: Sequence[Mapping[str, Any]]) -> str:
    """Why a project's workers cannot be taken over."""
    if len(mine) > 1:
        return f"found: {'; '.join(map(described, mine))}, expected one worker in the project. Stop the others, or leave the project alone"
    for one in mine:
        supervisor = one["supervisor"]
        if supervisor["kind"] != "docker":
            return f"found: {described(one)}, kept running by {supervisor['name']}, expected Docker. Let Docker keep it, or stop it there"
        if not one["start_command"]:
            return f"found: {described(one)}, removed when it stops (--rm), expected a container that stays. Start it with `up -d`"
        if not one["signal"]:
            return f"found: {described(one)}, whose stop signal is none a worker drains on, expected SIGTERM or SIGINT. Correct stop_signal"
        if name_of(one) is None:
            return f"found: {described(one)}, expected a name in its log or environment. Start it anew, or leave the project alone"
    return ""


def described(one: Mapping[str, Any]) -> str:
    name = name_of(one)
    called = "an agent name that is not known" if name is None else f"agent name {name!r}"
    return (
        f"compose project {one['project']} with a worker, container {one['container']}, {called}, in {one['directory'] or 'no directory'}"
    )


def name_of(one: Mapping[str, Any]) -> str | None:
    said = (one.get("agent_name"), one.get("answered_name"), (one.get("env") or {}).get("LIVEKIT_AGENT_NAME"))
    return next((str(name) for name in said if name is not None), None)


# --- its record ---


def record_of(app: str, one: Mapping[str, Any], found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The record of the release that a worker's project is from now on. The id is of its containers: a second try makes the same."""
    mine = [container for container in found if engine.labels(container).get(engine.PROJECT_LABEL) == one["project"]]
    own = next(container for container in mine if container["Name"].lstrip("/") == one["container"])
    service = engine.labels(own).get(engine.SERVICE_LABEL, "")
    api, port = api_of([container for container in mine if engine.labels(container).get(engine.SERVICE_LABEL) != service])
    parts = {AGENT: own, **({API: api} if api else {})}
    digest = release.sha256(" ".join([one["project"], *sorted(container["Id"] for container in mine)]))
    made = times.epoch(own.get("Created")) or time.time()
    return {
        "id": f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(made))}-{digest[:8]}",
        "app": app,
        "hash": digest,
        "agent_name": name_of(one) or "",
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
        "earlier_worker_ids": list(one["worker_ids"]),
        "adopted": {
            "project": one["project"],
            "directory": one["directory"],
            "worker": service,
            "api": engine.labels(api).get(engine.SERVICE_LABEL) if api else None,
            "signal": one["signal"],
            "containers": sorted(container["Name"].lstrip("/") for container in mine if stays(container)),
            "policies": {},
        },
    }


def stays(container: dict[str, Any]) -> bool:
    """Whether a container is to run again when the project is brought back: not what has ended, or goes when it ends."""
    return bool(container["State"]["Running"] and not container.get("HostConfig", {}).get("AutoRemove"))


def api_of(others: Sequence[dict[str, Any]]) -> tuple[dict[str, Any] | None, int | None]:
    """The API of a project and the port where the host reaches it: the one container that publishes a port, or the one of these that is
    made for LiveKit (a database may publish one, too). Where that is not clear there is none."""
    publishing = [(container, ports) for container in others if (ports := published(container))]
    made_for_it = [(c, ports) for c, ports in publishing if any(name in engine.environment(c) for name in process.OF_LIVEKIT)]
    chosen = next((some for some in (publishing, made_for_it) if len(some) == 1), None)
    return (chosen[0][0], chosen[0][1][0]) if chosen else (None, None)


def published(container: dict[str, Any]) -> list[int]:
    """The TCP ports that a container publishes on 127.0.0.1 or on every address, the lowest first."""
    bindings = container.get("HostConfig", {}).get("PortBindings") or {}
    given = container.get("NetworkSettings", {}).get("Ports") or {}
    pairs = [pair for port, some in {**bindings, **given}.items() if port.endswith("/tcp") for pair in some or []]
    return sorted({int(p["HostPort"]) for p in pairs if p.get("HostPort") and p.get("HostIp", "") in REACHED_FROM_THE_HOST})


# --- its containers ---


def members(record: Mapping[str, Any], found: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The containers of an adopted project: worker and API under the names that a release has for them, the others under their own."""
    adopted = record["adopted"]
    parts = {adopted["worker"]: AGENT, adopted["api"]: API}
    result: dict[str, dict[str, Any]] = {}
    for container in found:
        labels, name = engine.labels(container), container["Name"].lstrip("/")
        if labels.get(engine.PROJECT_LABEL) == adopted["project"]:
            part = parts.get(labels.get(engine.SERVICE_LABEL), name)
            result[name if part in result else part] = container
    return result


def lacking(record: Mapping[str, Any], found: Sequence[dict[str, Any]]) -> str:
    """Why an adopted project cannot be started again; empty when it can."""
    mine, adopted = members(record, found), record["adopted"]
    names = {container["Name"].lstrip("/") for container in mine.values()}
    gone = [name for name in adopted["containers"] if name not in names]
    if gone:
        return f"{record['id']} is the adopted compose project {adopted['project']}, whose containers are gone ({', '.join(gone)})"
    if record["state"] in ("draining", "abandoned") and mine[AGENT]["State"]["Running"]:
        return f"the worker of {record['id']} was told to stop and still has calls"
    return ""


def always(record: Mapping[str, Any], found: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The restart policies to note: stopped under ``always`` a container comes back when Docker starts (Engine 26.1, measured)."""
    mine = members(record, found).values()
    changed = {c["Name"].lstrip("/"): "always" for c in mine if engine.restart_policy(c) == "always"}
    return {**record["adopted"]["policies"], **changed}


def to_start(record: Mapping[str, Any], found: Sequence[dict[str, Any]], service: str) -> list[dict[str, Any]]:
    """The containers of a step that starts one part of a release: before the worker all that ran and are neither worker nor API."""
    mine = members(record, found)
    others = [container for part, container in mine.items() if part in record["adopted"]["containers"]]
    return [*(others if service == AGENT else []), *([mine[service]] if service in mine else [])]


def answers(port: int | None, seconds: float = ANSWER_SECONDS) -> bool:
    """Wait until something speaks HTTP there, whatever it says: of a hand-made API no health check is known."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).close()
        except urllib.error.HTTPError:
            return True
        except (OSError, ValueError):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.3)
        else:
            return True


# --- what a run does with it ---


def plan(source: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
    """As ``release.plan``, where what is to serve is an adopted project: the same containers, nothing is made."""
    return {
        "changed": True,
        "reasons": ["another content"],
        "id": source["id"],
        "project": source["adopted"]["project"],
        **{key: source[key] for key in ("api_port", "hash", "agent_name")},
        "agent_name_before": current["agent_name"],
        "previous": current["id"],
    }


def claimed(reading: Mapping[str, Any], projects: Mapping[str, str] | None) -> dict[str, Any]:
    """A reading in which the workers of adopted projects are of their releases; ``projects`` maps a project to the release's id."""
    known = projects or {}
    workers = [
        {**one, "release": known[one["project"]]} if one.get("project") in known and not one.get("release") else one
        for one in reading.get("workers") or []
    ]
    return {**reading, "workers": workers}
