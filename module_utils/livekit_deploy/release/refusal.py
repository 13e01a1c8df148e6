# SPDX-License-Identifier: Apache-2.0
"""Why a host cannot take a release: what it lacks, no memory or disk, a port that is taken, a file that Compose
refuses."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from ..common.files import read_text
from ..common.text import parsed
from ..machine import docker, docker_variants, nginx, sockets
from ..machine.command import NOT_THERE, Run
from . import containers, proxy, records
from .errors import TROUBLE, ReleaseError
from .store import Releases


def missing_on_host(run: Run, directory: str, upstream: str | None, ask_engine: bool = True) -> list[str]:
    """What ``provision.yml`` would have made and is not there; ``upstream`` is None where nothing but workers is to
    run. Where the Engine is not asked, one that does not answer is not missing."""
    missing = docker_variants.lacking(run, ask_engine)
    if ask_engine and missing[:1] == ["Docker"]:
        refuse_silent(run)
    missing += ["nginx"] if upstream and run(["nginx", "-v"])[0] != 0 else []
    paths = [Path(directory), *([Path(upstream).parent] if upstream else [])]
    return missing + [str(path) for path in paths if not path.is_dir()]


def refuse_silent(run: Run) -> None:
    """Refuse a Docker that is installed and cannot be used, with what to do: it is not missing."""
    if trouble := docker_trouble(run):
        raise docker.EngineError(trouble)
    status, out, err = run(["docker", "version"])
    if status not in (0, NOT_THERE) and run(["docker", "--version"])[0] == 0:
        silent = f"the Docker Engine is installed and does not answer: {(err or out).strip()}"
        raise docker.EngineError(docker.said(status, silent))


def docker_trouble(run: Run) -> str:
    """Return why the host's Docker cannot be used, with what to do; empty where it can."""
    return docker_variants.judge(docker_variants.look(run)).trouble


def awaited_upstream(releases: Releases) -> str | None:
    """The proxy's include, which has to be there; None where what serves has no API."""
    current = releases.current()
    return None if current and records.API not in records.record_services(current) else str(releases.upstream)


def settle_file(releases: Releases, release_id: str) -> None:
    """Let Compose judge the release's file before anything of it runs, and note the volumes that it takes from the
    host. One that is refused leaves nothing."""
    try:
        document = composed(releases, release_id)
        refuse_missing_networks(releases, document)
        volumes = [volume["name"] for volume in (document.get("volumes") or {}).values()]
        releases.save(releases.record(release_id) or {}, volumes=volumes)
    except TROUBLE:
        releases.remove(release_id)
        raise


def composed(releases: Releases, release_id: str) -> dict[str, Any]:
    """The release's file as Compose reads it."""
    try:
        document = parsed(containers.compose(releases, release_id, ["config", "--format", "json"]))
    except docker.EngineError as error:
        raise ReleaseError(
            f"found: Compose refuses the release's file: {error}. Expected: values that Compose takes. Correct "
            "agent_api_compose, livekit_agent_compose, or the variables for volumes and memory"
        ) from None
    if not isinstance(document, dict):
        raise ReleaseError(
            "found: `docker compose config --format json` writes no JSON, expected the release's file. Install "
            f"another version of Compose: {docker_variants.WANTED_COMPOSE}"
        )
    return document


def refuse_missing_networks(releases: Releases, document: dict[str, Any]) -> None:
    names = [network["name"] for network in (document.get("networks") or {}).values() if network.get("external")]
    there = docker.docker(releases.run, *["network", "ls", "--format", "{{.Name}}"]).split() if names else []
    if missing := [name for name in names if name not in there]:
        raise ReleaseError(
            f"found: the host has no network {', '.join(missing)}, expected it, because agent_api_compose or "
            "livekit_agent_compose names it. Make it (docker network create), or start the project that it belongs to"
        )


def refuse_full_disk(releases: Releases, min_free_mb: int) -> None:
    for path in (Path("/var/lib/docker"), releases.root):
        free = shutil.disk_usage(path).free // 2**20 if path.is_dir() else min_free_mb
        if free < min_free_mb:
            raise ReleaseError(
                f"found {free} MB free on {path}, expected at least {min_free_mb}. Free some (docker image prune), or "
                "set agent_release_min_free_mb"
            )


def refuse_blocked(releases: Releases, port: int | None, is_taken: bool) -> None:
    """What would keep the new API from its port, or the proxy from switching to it, minutes from now. The API of an
    adopted project has its port already."""
    if port is None:
        return
    if said := proxy.test_proxy(releases.run):
        raise ReleaseError(nginx.broken(said))
    if not is_taken and (who := sockets.taken_by(releases.run, port, sockets.LOOPBACK)):
        raise ReleaseError(containers.port_taken(port, who))


def refuse_short_memory(min_free_mb: int, table: Path = Path("/proc/meminfo")) -> None:
    """The new worker starts beside the old one, and where memory is short the kernel ends the jobs of either. Swap is
    none for calls."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB$", read_text(table) or "", re.MULTILINE)
    free = int(found[1]) // 1024 if found else min_free_mb
    if free < min_free_mb:
        raise ReleaseError(
            f"found {free} MiB of memory available, expected at least {min_free_mb} for the new worker, which starts "
            "beside the old one. Give the host more memory, end what else runs there, or set "
            "agent_release_min_free_memory_mb to what your worker needs: idle, and with one job (docker stats)"
        )
