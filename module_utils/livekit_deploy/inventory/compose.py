# SPDX-License-Identifier: Apache-2.0
"""The compose file of a release: what a release needs itself, and what the inventory adds to it.

Pure: mappings in, a document or sentences out. The keys are those of the Compose Specification. What a value may be,
Compose says on the host, before anything is started.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from ..common import values
from ..common.merge import merged, plain
from ..release.content import MARKS
from . import environment
from .settings import PLACEHOLDER, why_unreadable
from .variables import HostVars, Variables

# Each service with the prefix of the variables that describe it.
PREFIXES = {"fastapi": "agent_api", "agent-worker": "livekit_agent"}
HARDENED: dict[str, Any] = {
    "restart": "unless-stopped",
    "pull_policy": "never",
    "read_only": True,
    "tmpfs": ["/tmp"],  # noqa: S108  the container's own
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
}
# What an inventory may add. Lists are added to those above, other values take their place.
ADDED = frozenset(
    (
        *("annotations", "blkio_config", "cap_add", "cgroup", "cgroup_parent", "cpu_count"),
        *("cpu_percent", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime", "cpu_shares"),
        *("cpus", "cpuset", "credential_spec", "deploy", "device_cgroup_rules", "devices", "dns", "dns_opt"),
        *("dns_search", "domainname", "entrypoint", "extra_hosts", "gpus", "group_add", "healthcheck"),
        *("hostname", "init", "ipc", "isolation", "labels", "logging", "mem_reservation", "mem_swappiness"),
        *("memswap_limit", "networks", "oom_kill_disable", "oom_score_adj", "pids_limit", "platform"),
        *("read_only", "runtime", "security_opt", "shm_size", "stdin_open", "storage_opt", "sysctls"),
        *("tmpfs", "tty", "ulimits", "user", "userns_mode", "uts", "working_dir"),
    )
)
# What a release decides: what to set instead, or why it cannot be.
DECIDED = {
    "image": "set {prefix}_image",
    "command": "set {prefix}_command",
    "volumes": "set {prefix}_volumes",
    "environment": "set {prefix}_env or {prefix}_secret_env",
    "env_file": "set {prefix}_env or {prefix}_secret_env",
    "mem_limit": "set {prefix}_memory",
    "stop_grace_period": "set livekit_agent_drain_timeout_seconds or agent_api_stop_timeout_seconds",
    "ports": "set agent_api_container_port: the proxy alone is reached from outside, and two releases run side by side",
    "build": "build and push the image before, and set {prefix}_image",
    "container_name": "two releases run side by side, and a name is there once",
    "network_mode": "two releases run side by side, and would take the same ports",
    "restart": "a release is brought back after a reboot by its own policy",
    "pull_policy": "images are pulled by digest before anything is started",
    "cap_drop": "a release drops all of them: add those it needs with cap_add",
    "stop_signal": "a worker drains on one SIGTERM",
    "privileged": "add what it needs with cap_add or devices",
    "scale": "a host has one worker of a name: more hosts, or more entries of one host",
    "depends_on": "the worker is started and proven before the API",
    **dict.fromkeys(("links", "external_links", "volumes_from"), "a service of a release stands alone"),
    **dict.fromkeys(("extends", "profiles"), "a service of a release stands alone"),
    **dict.fromkeys(("secrets", "configs"), "set {prefix}_secret_env, or {prefix}_volumes with a file of the host"),
    **dict.fromkeys(("pid",), "a container has processes of its own"),
    **dict.fromkeys(("expose", "develop", "attach", "mac_address"), "remove it"),
    **dict.fromkeys(("use_api_socket", "provider", "models", "label_file"), "remove it"),
    **dict.fromkeys(("post_start", "pre_stop"), "hooks are task files here: set agent_release_hooks"),
}
# Keys of which Compose makes a text, or texts, of whatever it finds.
TEXTS = frozenset(
    (
        *("annotations", "cap_add", "cgroup", "cgroup_parent", "cpuset", "devices", "dns", "dns_opt"),
        *("dns_search", "domainname", "entrypoint", "extra_hosts", "hostname", "ipc", "isolation", "labels"),
        *("platform", "runtime", "security_opt", "storage_opt", "tmpfs", "user", "userns_mode", "uts"),
        *("working_dir"),
    )
)
VOLUME = re.compile(r"(?P<source>[^:]+):(?P<target>/[^:]*)(?::(?P<mode>[A-Za-z,]+))?")
VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


# --- what is wrong with it -------------------------------------------------------------------------------------------


def compose_problems(hostvars: HostVars, hosts: Iterable[str]) -> list[str]:
    """Return each thing that the inventory gives to a service and that a release cannot have."""
    pairs = [(host, prefix) for host in hosts for prefix in PREFIXES.values()]
    return [f"{host}: {text}" for host, prefix in pairs for text in service_problems(hostvars[host], prefix)]


def service_problems(variables: Variables, prefix: str) -> Iterator[str]:
    yield from secret_problems(environment.mapping_variable(variables, f"{prefix}_secret_env"), prefix)
    yield from environment.environment_problems(variables, prefix)
    for name in ("compose", "volumes", "command"):
        yield from as_read_by_yaml(variables, f"{prefix}_{name}")
    try:
        # Text is forced here: what fails to template is said by the argument's own judgement.
        extra = plain(variables.get(f"{prefix}_compose") or {})
        volumes = plain(variables.get(f"{prefix}_volumes") or [])
        command = plain(variables.get(f"{prefix}_command") or [])
    except Exception:
        return
    yield from key_problems(extra if isinstance(extra, dict) else {}, prefix)
    yield from volume_problems(volumes if isinstance(volumes, list) else [], prefix)
    yield from mark_problems({f"{prefix}_compose": extra, f"{prefix}_volumes": volumes, f"{prefix}_command": command})
    parts = command if isinstance(command, list) else [command]
    if not all(isinstance(part, str) for part in parts):
        yield f"{prefix}_command is {command!r}, expected a text or a list of texts. Put numbers in quotes"


def as_read_by_yaml(variables: Variables, name: str) -> Iterator[str]:
    """Yield what YAML has read as no text, so that another text than the written one would be passed on."""
    try:
        given: Any = variables.get(name)
        found = list(environment.untextual(given, name))
        for key in sorted(TEXTS & given.keys()) if isinstance(given, Mapping) else ():
            found += environment.not_texts(given[key], f"{name}.{key}")
        options = (given.get("logging") or {}).get("options") if isinstance(given, Mapping) else None
        found += environment.not_texts(options or {}, f"{name}.logging.options")
    except Exception:
        return  # what fails to template is said by the argument's own judgement
    yield from (f"{one}, expected a text: {values.QUOTES}" for one in found)


def mark_problems(given: Mapping[str, Any]) -> Iterator[str]:
    """Refuse what a release would put something else in the place of."""
    for name, value in given.items():
        if found := [mark for mark in MARKS.values() if mark in str(value)]:
            yield f"{name} has {', '.join(found)}, which a release replaces, expected another text. Correct it"


def secret_problems(secrets: Any, prefix: str) -> Iterator[str]:
    """Yield secrets that nobody has set, without their values."""
    for name in secrets if isinstance(secrets, Mapping) else ():
        where = f"{prefix}_secret_env.{name}"
        try:
            value = str(plain(secrets[name]))
        except Exception as error:
            why, remedy = why_unreadable(error, secret=True), "Define in the vault what it refers to"
            yield f"{where} cannot be read ({why}), expected a value. {remedy}"
            continue
        if secrets[name] is None or not value.strip():
            yield f"{where} is empty, expected a value. Set it in the vault"
        elif PLACEHOLDER.search(value):
            yield f"{where} is a placeholder, expected a real value. Set it in the vault"


def key_problems(extra: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for key in extra:
        if key in DECIDED:
            remedy = DECIDED[key].format(prefix=prefix)
            yield f"{prefix}_compose has the key {key!r}, expected none that a release decides itself: {remedy}"
        elif key not in ADDED:
            close = get_close_matches(str(key), ADDED, n=1)
            remedy = f"did you mean {close[0]!r}?" if close else "Remove it"
            yield f"{prefix}_compose has the key {key!r}, expected one of a compose service. {remedy}"
    deploy = extra.get("deploy")
    if isinstance(deploy, Mapping) and set(deploy) - {"resources"}:
        found = ", ".join(sorted(map(str, set(deploy) - {"resources"})))
        yield f"{prefix}_compose has deploy with {found}, expected only resources there. Remove the others"


def volume_problems(volumes: list[Any], prefix: str) -> Iterator[str]:
    for volume in volumes:
        found = VOLUME.fullmatch(str(volume))
        source = found["source"] if found else ""
        if not found or not (source.startswith("/") or VOLUME_NAME.fullmatch(source)):
            yield (
                f"{prefix}_volumes has {volume!r}, expected <absolute path or volume>:<path in the container>[:ro]. "
                "A relative path would be one of the release's own directory, which goes with it"
            )


# --- the document ----------------------------------------------------------------------------------------------------


def document(project: str, services: Mapping[str, Mapping[str, Any]], logging: Mapping[str, Any]) -> dict[str, Any]:
    """Return a compose file.

    Each of ``services`` has what the release decides (``own``) and what the inventory adds: ``command``, ``volumes``
    and ``extra`` keys. Named volumes and networks are those of the host: a release has none that would go with it.
    """
    made = {name: compose_service(given, logging) for name, given in services.items()}
    networks = {network for one in made.values() for network in network_names(one.get("networks"))} - {"default"}
    sources = {volume_source(volume) for one in made.values() for volume in one.get("volumes", [])}
    volumes = {source for source in sources if VOLUME_NAME.fullmatch(source)}
    more = {"networks": external(networks), "volumes": external(volumes)}
    return {"name": project, "services": made, **{key: value for key, value in more.items() if value}}


def compose_service(given: Mapping[str, Any], logging: Mapping[str, Any]) -> dict[str, Any]:
    added = literal(plain(given.get("extra") or {}))
    command, volumes = literal(plain(given.get("command") or [])), literal(plain(given.get("volumes") or []))
    own = plain(given["own"])
    service: dict[str, Any] = {**HARDENED, "logging": plain(logging), **own}
    # Another way to log has options of its own.
    service |= merged({key: value for key, value in service.items() if key in added and key != "logging"}, added)
    service |= {"command": command} if command else {}
    service |= {"volumes": [*own.get("volumes", []), *volumes]} if volumes else {}
    return service


def literal(value: Any) -> Any:
    """Return a value that Compose takes as it is: it would replace ``$NAME`` by a variable of the environment."""
    if isinstance(value, dict):
        return {key: literal(one) for key, one in value.items()}
    if isinstance(value, list):
        return [literal(one) for one in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def network_names(networks: Any) -> list[str]:
    return [str(name) for name in networks or []]


def volume_source(volume: str) -> str:
    return str(volume).partition(":")[0]


def external(found: Iterable[str]) -> dict[str, Any]:
    return {name: {"external": True} for name in sorted(found)}
