# SPDX-License-Identifier: Apache-2.0
"""A running compose project as variables of an inventory: what a release can have, and what to do about the rest.

Pure: what was read on the host in, variables and sentences out. What is secret is kept apart, for the vault.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from .compose import ADDED, DECIDED, PREFIXES
from .environment import OWN

API, WORKER = "fastapi", "agent-worker"
SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASS|PASSWORD|CREDENTIAL|PRIVATE|DSN|AUTH", re.IGNORECASE)
SECRET_VALUE = re.compile(r"://[^/\s:@]*:[^/\s@]+@|-----BEGIN |^eyJ[\w-]+\.")
# What a release gives a service in another way, or does not need: nobody has to do anything about it.
CARRIED = frozenset(
    (
        *("image", "build", "command", "environment", "env_file", "volumes", "networks", "ports", "expose"),
        *("restart", "pull_policy", "stop_grace_period", "mem_limit", "container_name", "depends_on", "scale"),
    )
)
# With all capabilities dropped, root cannot do what people expect of it in a container.
OF_ROOT = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"]
WRITABLE_ANYWAY = ("/tmp", "/run/livekit-deploy")  # noqa: S108  the container's own
SIZES = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30}


class ServiceSeen(TypedDict, total=False):
    """A service of the project, as its compose file says and its container is."""

    name: str
    config: Mapping[str, Any]  # of `docker compose config`
    image: str  # reference by digest; else the image's id, sha256:...
    user: str  # of the image or the service; empty for root
    port: int | None  # port that it listens on and publishes
    health_path: str
    added: list[str]  # paths that the container has made, files and directories
    changed: list[str]  # paths of the image that it has changed
    agent_name: str  # of a worker


class ProjectSeen(TypedDict):
    """The project, and which of its services are workers and API."""

    name: str
    services: list[ServiceSeen]
    workers: list[str]  # services
    api: str | None  # service
    networks: Mapping[str, str]  # names on the host by those in the file
    volumes: Mapping[str, str]  # likewise


@dataclass(frozen=True)
class Entry:
    """An entry of the inventory: its variables, those for the vault, and what a release cannot have as it was."""

    host: str
    variables: dict[str, Any]
    secrets: dict[str, str] = field(repr=False)
    notes: list[str] = field(default_factory=list)


def entries(project: ProjectSeen, host: str, connection: Mapping[str, Any]) -> list[Entry]:
    """Return an entry for each worker of a project: the first has the API and the host's name."""
    numbered = enumerate(project["workers"])
    return [entry(project, worker, host, connection, first=not number) for number, worker in numbered]


def entry(project: ProjectSeen, worker: str, host: str, connection: Mapping[str, Any], *, first: bool) -> Entry:
    services = {one["name"]: one for one in project["services"]}
    mine = services[worker]
    variables: dict[str, Any] = {
        **connection,
        "agent_release_app": app_name(project["name"] if first else f"{project['name']}-{worker}"),
        "livekit_agent_name": mine["agent_name"],
        "livekit_agent_adopt_project": project["name"],
    }
    environment, notes = plain_environment(mine), list[str]()
    credentials = [name for name in OWN if name.startswith("LIVEKIT_API") and name in environment]
    secrets = {f"vault_{name.lower()}": environment[name] for name in credentials}
    variables["livekit_url"] = environment.get("LIVEKIT_URL", "")
    for name in ("livekit_api_key", "livekit_api_secret"):
        variables[name] = f"{{{{ vault_{name} }}}}"
    parts = {WORKER: mine, **({API: services[project["api"]]} if first and project["api"] else {})}
    for part, service in parts.items():
        described, kept, told = service_variables(project, service, PREFIXES[part], host)
        variables |= described
        secrets |= kept
        notes += told
    if API not in parts:
        variables["agent_api_image"] = ""
    if not first:
        del variables["livekit_agent_adopt_project"]
    return Entry(host if first else f"{host}-{worker}", variables, secrets, notes)


def app_name(name: str) -> str:
    """Return what is left of a name when it may name directories and projects."""
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:32] or "app"


# --- one service -----------------------------------------------------------------------------------------------------


def service_variables(
    project: ProjectSeen, service: ServiceSeen, prefix: str, host: str
) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Return the variables of a service, those for the vault, and sentences about what it cannot have."""
    config = service["config"]
    environment = {name: value for name, value in plain_environment(service).items() if name not in OWN}
    secret = {name: value for name, value in environment.items() if is_secret(name, value)}
    extra, notes = further_keys(service, prefix, host)
    networks = [project["networks"].get(name, name) for name in config.get("networks") or {}]
    found = {
        "image": service["image"],
        "command": unescaped(config.get("command")),
        "env": {name: value for name, value in environment.items() if name not in secret},
        "secret_env": {name: f"{{{{ {vault_name(prefix, name)} }}}}" for name in secret},
        "volumes": [text for one in config.get("volumes") or [] if (text := volume_text(project, one))],
        "compose": {**extra, **({"networks": ["default", *networks]} if networks else {})},
        "memory": config.get("mem_limit"),
    }
    variables: dict[str, Any] = {f"{prefix}_{name}": value for name, value in found.items() if value}
    if prefix == PREFIXES[API]:
        variables |= api_variables(service)
    elif seconds := duration(str(config.get("stop_grace_period") or "")):
        variables["livekit_agent_drain_timeout_seconds"] = seconds
    secrets = {vault_name(prefix, name): value for name, value in secret.items()}
    return variables, secrets, notes


def api_variables(service: ServiceSeen) -> dict[str, Any]:
    found = {"container_port": service.get("port"), "health_path": service.get("health_path")}
    return {f"{PREFIXES[API]}_{name}": value for name, value in found.items() if value}


def vault_name(prefix: str, name: str) -> str:
    return f"vault_{prefix}_{re.sub(r'[^a-z0-9]+', '_', name.lower())}"


def plain_environment(service: ServiceSeen) -> dict[str, str]:
    """Return the variables that a service was given a value for."""
    given = service["config"].get("environment") or {}
    return {str(name): unescaped(str(value)) for name, value in given.items() if value is not None}


def is_secret(name: str, value: str) -> bool:
    return bool(SECRET_NAME.search(name) or SECRET_VALUE.search(value))


def unescaped(value: Any) -> Any:
    """Return a value as it is: `docker compose config` writes a dollar twice (Compose 2.26, measured)."""
    if isinstance(value, list):
        return [unescaped(one) for one in value]
    return value.replace("$$", "$") if isinstance(value, str) else value


def volume_text(project: ProjectSeen, volume: Mapping[str, Any]) -> str:
    """Return a volume as a release takes it; empty for one that it cannot have."""
    source, mode = str(volume.get("source") or ""), ":ro" if volume.get("read_only") else ""
    if volume.get("type") == "volume":
        source = project["volumes"].get(source, source)
    return f"{source}:{volume.get('target')}{mode}" if source and volume.get("type") in ("bind", "volume") else ""


def duration(text: str) -> int:
    """Return the seconds of a duration such as 1h2m3s; 0 where there is none."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    hours, minutes, seconds = (int(part or 0) for part in (found.groups() if found else ("", "", "")))
    return 3600 * hours + 60 * minutes + seconds


# --- what a release does otherwise -----------------------------------------------------------------------------------


def further_keys(service: ServiceSeen, prefix: str, host: str) -> tuple[dict[str, Any], list[str]]:
    """Return the other keys of a service, with the exceptions that it needs, and what it cannot have."""
    config, extra, notes = service["config"], dict[str, Any](), list[str]()
    for key, value in config.items():
        if key in CARRIED or value in (None, [], {}):
            continue
        if key in ADDED:
            extra[key] = unescaped(value)
        else:
            remedy = DECIDED.get(key, "it is left out").format(prefix=prefix)
            notes.append(f"{host}: {service['name']} has {key}, which a release cannot have: {remedy}")
    notes += list(hardening(service, extra, prefix, host))
    return extra, notes


def hardening(service: ServiceSeen, extra: dict[str, Any], prefix: str, host: str) -> Iterator[str]:
    """Add what a confined container needs to go on as it did; yield what was added and why."""
    if not service.get("user") or service["user"].split(":")[0] in ("0", "root"):
        extra["cap_add"] = list(dict.fromkeys([*(extra.get("cap_add") or []), *OF_ROOT]))
        yield f"{host}: {service['name']} runs as root, so {prefix}_compose.cap_add keeps {', '.join(OF_ROOT)}"
    directories, others = written_paths(service)
    if directories:
        extra["tmpfs"] = list(dict.fromkeys([*(extra.get("tmpfs") or []), *directories]))
        kept = "a volume would keep what is in them"
        yield f"{host}: {service['name']} writes to {', '.join(directories)}, which become tmpfs ({kept})"
    if others and "read_only" not in extra:
        extra["read_only"] = False
        yield (
            f"{host}: {service['name']} writes to {', '.join(others[:5])}, so its root is not read-only "
            f"({prefix}_compose.read_only: false); a volume there would let it be"
        )


def written_paths(service: ServiceSeen) -> tuple[list[str], list[str]]:
    """Return directories that a container has made, and other paths that it has written to."""
    mounts = [str(one.get("target")) for one in service["config"].get("volumes") or []]
    mounts += [*WRITABLE_ANYWAY, *(str(one).partition(":")[0] for one in service["config"].get("tmpfs") or [])]
    added = [path for path in service.get("added") or [] if not is_within(path, mounts)]
    changed = [path for path in service.get("changed") or [] if not is_within(path, mounts)]
    # A directory is listed before what is in it, and every directory above a change as changed.
    made = [path for path in added if any(one != path and is_within(one, [path]) for one in added)]
    made = [path for path in made if not is_within(path, [one for one in made if one != path])]
    files = [path for path in added if path not in made and not is_within(path, made)]
    written = [path for path in changed if not any(is_within(one, [path]) for one in (*added, *changed) if one != path)]
    return made, [*files, *written]


def is_within(path: str, places: Sequence[str]) -> bool:
    return any(path == place or path.startswith(f"{place.rstrip('/')}/") for place in places)
