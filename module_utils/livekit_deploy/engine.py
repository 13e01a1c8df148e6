"""The Docker Engine of a host, through its own command line: hosts need only Python 3 and Docker.

Every function takes ``run``, which runs an argument list and answers (exit status, standard output, standard error), as
``AnsibleModule.run_command`` does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

Run = Callable[[Sequence[str]], "tuple[int, str, str]"]

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
CONFIG_LABEL = "com.docker.compose.config-hash"


class EngineError(Exception):
    """The Engine did not do what it was asked; the text is its own message."""


def docker(run: Run, *argv: str) -> str:
    """Standard output of one docker command."""
    status, out, err = run(["docker", *argv])
    if status != 0:
        raise EngineError((err or out).strip()[-2000:])
    return out


def containers(run: Run, label: str | None = None) -> list[dict[str, Any]]:
    """``docker inspect`` of all containers, or of those with a label (``name=value``); running or not."""
    only = ["--filter", f"label={label}"] if label else []
    ids = docker(run, "ps", "--all", "--quiet", "--no-trunc", *only).split()
    if not ids:
        return []
    # A container that ends between the two commands is no error: ask for each of those that are left.
    status, out, err = run(["docker", "inspect", "--type", "container", *ids])
    if status != 0 and not out.strip().startswith("["):
        raise EngineError(err.strip())
    found: list[dict[str, Any]] = json.loads(out)
    return found


def labels(container: dict[str, Any]) -> dict[str, str]:
    return container.get("Config", {}).get("Labels") or {}


def environment(container: dict[str, Any]) -> dict[str, str]:
    """The environment a container was created with."""
    pairs = (entry.partition("=") for entry in container.get("Config", {}).get("Env") or [])
    return {name: value for name, _, value in pairs}


def address(container: dict[str, Any]) -> str | None:
    """An address of the container that its host can reach, or None while it does not run."""
    networks = container.get("NetworkSettings", {}).get("Networks") or {}
    return next((n["IPAddress"] for n in networks.values() if n.get("IPAddress")), None)


def log_lines(run: Run, container: str, tail: int | None = None) -> list[str]:
    """A container's log, oldest first, standard output and error together."""
    status, out, err = run(["docker", "logs", *(["--tail", str(tail)] if tail else []), container])
    if status != 0:
        raise EngineError(err.strip()[-2000:])
    return (out + err).splitlines()
