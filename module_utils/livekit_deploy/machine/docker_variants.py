# SPDX-License-Identifier: Apache-2.0
"""Which Docker a host has: none, one that can be used, or one that cannot and why.

``look`` reads the host, the rest is pure.

An Engine that does not answer is not absent: the distribution's packages would take its place, and its containers would
be gone.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..common import text
from . import command
from .command import Run

ABSENT, USABLE, REFUSED = "absent", "usable", "refused"
MINIMUM_ENGINE = "20.10"
# The oldest whose commands of a release were all tried; before 2.20 there is no `--progress` for all of them.
MINIMUM_COMPOSE = "2.24"
# Its `config --format json` writes YAML.
BROKEN_COMPOSE = (2, 25)
WANTED_COMPOSE = f"Compose {MINIMUM_COMPOSE} or newer, not 2.25"
# Packages of an Engine, with whose they are. Docker's own and the distribution's exclude each other.
ENGINES = ("docker-ce", "docker.io", "moby-engine", "docker-engine", "docker-desktop")
# Docker's own packages that need no Engine, and that the distribution's would remove.
PARTS = ("docker-ce-cli", "containerd.io", "docker-ce-rootless-extras", "docker-buildx-plugin", "docker-compose-plugin")
PODMAN = "podman-docker"
PACKAGES = (*ENGINES, *PARTS, PODMAN)
# Services that keep the clock and that are packages of their own. Each of them excludes the others.
CLOCKS = ("chrony", "ntp", "ntpsec", "openntpd")
UNIT = "docker.service"
SNAP_PROGRAMS = ("snap/bin/docker", "var/lib/snapd/snap/bin/docker")
ROOTLESS = ("run/user/*/docker.sock", "home/*/.config/systemd/user/docker.service")
WIDEST = 300
READ_JOURNAL = "read journalctl --unit docker --lines 50"
OWN_GUIDE = "docs.docker.com/engine/install"


@dataclass(frozen=True)
class Docker:
    """What a host has of Docker; each part is empty where it has none."""

    version: str = ""  # of the Engine that answers
    components: tuple[str, ...] = ()  # what answers is made of
    root: str = ""  # where the Engine that answers keeps its data
    is_rootless: bool = False  # the Engine that answers
    says: str = ""  # why none answers
    client: str = ""  # what the client calls itself
    is_snap: bool = False  # the client is a snap's
    compose: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    daemon: str = ""  # the program of an Engine
    unit: str = ""  # "<load state> <active state>" of its service
    rootless: tuple[str, ...] = ()  # traces of Engines that users run for themselves


@dataclass(frozen=True)
class Judgement:
    """``trouble`` says found, expected and what to do where the kind is ``refused``."""

    kind: str
    trouble: str = ""


def judge(docker: Docker, minimum_engine: str = MINIMUM_ENGINE) -> Judgement:
    """Decide what a host's Docker is good for."""
    for trouble in (
        of_podman(docker),
        of_snap(docker),
        of_rootless(docker),
        of_versions(docker, minimum_engine),
        of_silence(docker),
    ):
        if trouble:
            return Judgement(REFUSED, trouble)
    return Judgement(USABLE if docker.version else ABSENT)


def of_podman(docker: Docker) -> str:
    package = docker.packages.get(PODMAN, "")
    engine = any("podman" in name.lower() for name in docker.components)
    if not (package or engine or "podman" in docker.client.lower()):
        return ""
    what = (
        f"{PODMAN} {package}"
        if package
        else docker.client
        if "podman" in docker.client.lower()
        else "its service answers"
    )
    place = (
        f"Remove that package (apt-get remove {PODMAN}; Podman and its containers stay)"
        if package
        else "Take it off Docker's socket"
    )
    return (
        f"found: `docker` is Podman's ({what}), expected Docker Engine: releases need its labels, its restart policies "
        f"and its Compose. {place} and run provision.yml again"
    )


def of_snap(docker: Docker) -> str:
    if not (docker.is_snap or docker.root.startswith("/var/snap/")):
        return ""
    return (
        "found: Docker is a snap, expected an Engine of packages: a snap sees neither the releases in /opt nor the "
        "settings in /etc/docker. Move its containers, remove it (snap remove docker), and run provision.yml again, "
        f"or install Docker's own packages ({OWN_GUIDE})"
    )


def of_rootless(docker: Docker) -> str:
    if docker.is_rootless:
        where = f"the Engine that answers runs without root ({docker.root})"
    elif docker.rootless and not docker.version:
        where = f"an Engine that a user runs without root ({', '.join(docker.rootless[:3])}) and none that runs as root"
    else:
        return ""
    start = "start the host's: systemctl enable --now docker" if engines_of(docker) else f"install one: {OWN_GUIDE}"
    return (
        f"found: {where}, expected the host's own Engine: releases need its socket, its networks and root. The user's "
        f"may stay beside it; {start}. Then run provision.yml again"
    )


def of_versions(docker: Docker, minimum_engine: str) -> str:
    if not docker.version:
        return ""
    if not is_enough(docker.version, minimum_engine):
        return (
            f"found: Docker Engine {docker.version}, expected {minimum_engine} or newer. It is not ours to replace: "
            "upgrade it and run again"
        )
    if has_compose(docker.compose):
        return ""
    found = f"with Docker Compose {docker.compose}" if docker.compose else "without `docker compose`"
    return (
        f"found: Docker Engine {docker.version} {found}, expected {WANTED_COMPOSE}. Install the Compose plugin from "
        "where this Engine came from (Debian 12 has none of its own: docs.docker.com/compose/install/linux)"
    )


def of_silence(docker: Docker) -> str:
    """Why nothing may be installed though no Engine answers."""
    if docker.version:
        return ""
    engines = engines_of(docker)
    if not engines:
        return of_parts(docker)
    says = f" ({text.cut(' '.join(docker.says.split()), WIDEST)})" if docker.says else ""
    return (
        f"found: {', '.join(engines)} is installed and does not answer{says}, expected an Engine that answers. Nothing "
        f"was installed over it. {remedy_of(docker)}. Then run again"
    )


def of_parts(docker: Docker) -> str:
    parts = [f"{name} {docker.packages[name]}" for name in PARTS if name in docker.packages]
    if not parts:
        return ""
    return (
        f"found: {', '.join(parts)} without an Engine, expected docker-ce from the same repository: the distribution's "
        "packages would remove them. Install it (apt-get install docker-ce docker-compose-plugin), or remove them "
        "yourself, and run again"
    )


def engines_of(docker: Docker) -> list[str]:
    """What is installed that would be an Engine if it ran."""
    packages = [f"{name} {docker.packages[name]}" for name in ENGINES if name in docker.packages]
    if packages:
        return packages
    # A package that was removed leaves its service masked.
    return [docker.daemon] if docker.daemon else [UNIT] if docker.unit.startswith("loaded") else []


def remedy_of(docker: Docker) -> str:
    """How an Engine that does not answer is made to, by the state of its service."""
    load, _, active = docker.unit.partition(" ")
    if load == "masked":
        return "Its service is masked: systemctl unmask docker docker.socket && systemctl enable --now docker"
    if load != "loaded":
        return "It has no systemd service: start dockerd as this host does, or install its package again"
    if active == "failed":
        return f"Its service failed: {READ_JOURNAL}, mend that, and start it: systemctl restart docker"
    if active == "active":
        return f"Its service runs: {READ_JOURNAL}. A restart ends containers, so it is yours to decide"
    return "Start it: systemctl enable --now docker. If it does not start: journalctl --unit docker --lines 50"


def numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, such as ``v2.24.6+ds1`` or ``20.10.24+dfsg1``; none for other texts."""
    found = re.match(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?![\w])", version.strip())
    return tuple(int(part or 0) for part in found.groups()) if found else ()


def is_enough(version: str, minimum: str) -> bool:
    """Whether a version is at least another; what is no version is not."""
    return numbers(version) >= numbers(minimum) if numbers(version) else False


def has_compose(version: str) -> bool:
    """Whether a version of Compose can do what a release asks of it."""
    return is_enough(version, MINIMUM_COMPOSE) and numbers(version)[:2] != BROKEN_COMPOSE


def lacking(run: Run, ask_engine: bool = True) -> list[str]:
    """What of Docker is missing or too old to run releases, by two commands.

    An Engine that is not asked is not missing.
    """
    status, out, _err = run(["docker", "version", "--format", "{{json .}}"] if ask_engine else ["docker", "--version"])
    if status != 0:
        return ["Docker"]
    if ask_engine and any("podman" in name.lower() for name in components_of(text.parsed_object(out))):
        return ["Docker"]
    status, out, _err = run(["docker", "compose", "version", "--short"])
    if status != 0:
        return [f"Docker {WANTED_COMPOSE}"]
    return [] if has_compose(out) else [f"Docker {WANTED_COMPOSE} (it has {text.cut(out.strip(), 40)})"]


# What follows reads the host.


def look(run: Run, root: Path = Path("/")) -> Docker:
    """Read what a host has of Docker."""
    status, out, err = run(["docker", "version", "--format", "{{json .}}"])
    version = text.parsed_object(out)
    server = version.get("Server") if isinstance(version.get("Server"), dict) else {}
    info = text.parsed_object(run(["docker", "info", "--format", "{{json .}}"])[1]) if server else {}
    program = shutil.which("docker", path=":".join(command.SYSTEM_PATH))
    return Docker(
        version=str((server or {}).get("Version") or "") if status == 0 else "",
        components=components_of(version),
        root=str(info.get("DockerRootDir") or ""),
        is_rootless="name=rootless" in map(str, info.get("SecurityOptions") or []),
        says=text.plain(err) if program else "",
        client=answer(run, "docker", "--version"),
        is_snap=is_snap(program, root),
        compose=answer(run, "docker", "compose", "version", "--short"),
        packages=packages(run, PACKAGES),
        daemon=shutil.which("dockerd", path=":".join(command.SYSTEM_PATH)) or "",
        unit=unit_state(run, UNIT),
        rootless=rootless_traces(root),
    )


def rootless_traces(root: Path) -> tuple[str, ...]:
    return tuple(sorted(str(path) for pattern in ROOTLESS for path in root.glob(pattern)))


def components_of(version: Mapping[str, Any]) -> tuple[str, ...]:
    server = version.get("Server")
    parts = server.get("Components") if isinstance(server, dict) else None
    return tuple(str(part.get("Name")) for part in parts or [] if isinstance(part, dict))


def answer(run: Run, *argv: str) -> str:
    """Return what a command prints; nothing where it is not there or fails."""
    status, out, _err = run(argv)
    return text.plain(out).strip() if status == 0 else ""


def is_snap(program: str | None, root: Path) -> bool:
    """Whether the client is a snap's.

    Snaps are links to one program; where another client is found first, that one is asked.
    """
    if program is None:
        return any((root / path).exists() for path in SNAP_PROGRAMS)
    return "/snap/" in program or Path(program).resolve().name == "snap"


def packages(run: Run, names: Sequence[str]) -> dict[str, str]:
    """Return those of these packages that are installed, or half of them, with their versions; none where there is no
    dpkg.
    """
    shown = "${db:Status-Status}\t${Package}\t${Version}\n"
    _status, out, _err = run(["dpkg-query", "--show", f"--showformat={shown}", *names])
    rows = [line.split("\t") for line in out.splitlines()]
    return {row[1]: row[2] for row in rows if len(row) == 3 and row[0] not in ("not-installed", "config-files")}


def unit_state(run: Run, unit: str) -> str:
    """Return a unit's load state and active state; empty where there is no systemd, or only a script of old that a
    removed package left.
    """
    out = answer(run, "systemctl", "show", unit, "--property=LoadState,ActiveState,FragmentPath")
    states = dict(line.partition("=")[::2] for line in out.splitlines())
    if states.get("FragmentPath", "").startswith("/run/systemd/generator"):
        return ""
    return f"{states.get('LoadState', '')} {states.get('ActiveState', '')}".strip()
