"""A stand-in for a host's command lines: Docker's, nginx's, systemd's."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from ansible.module_utils.livekit_deploy import engine, release


class Machine:
    """Answers ``docker``, ``nginx`` and ``systemctl`` from a list of containers; remembers what it was asked."""

    def __init__(self) -> None:
        self.containers: list[dict[str, Any]] = []
        self.commands: list[list[str]] = []
        self.nginx_accepts = True
        self.drains = True
        self.at_reload: Callable[[], None] = lambda: None

    def start(self, release_id: str) -> None:
        for service in release.SERVICES:
            labels = {
                engine.PROJECT_LABEL: release.project("app", release_id),
                engine.SERVICE_LABEL: service,
                engine.CONFIG_LABEL: f"{service}-hash",
            }
            state = {"Running": True, "ExitCode": 0, "StartedAt": "then"}
            self.containers.append(
                {
                    "Id": f"{release_id}-{service}",
                    "Name": f"/{release_id}-{service}",
                    "State": state,
                    "Config": {"Image": "i", "Env": [], "Labels": labels},
                    "NetworkSettings": {"Networks": {}},
                }
            )

    def run(self, argv: Sequence[str]) -> tuple[int, str, str]:
        self.commands.append(list(argv))
        match list(argv):
            case ["docker", "ps", *_]:
                return 0, "\n".join(c["Id"] for c in self.containers), ""
            case ["docker", "inspect", *_]:
                return 0, json.dumps(self.containers), ""
            case ["docker", "logs", *_]:
                return 0, "last words", ""
            case ["docker", "kill", *_, container]:
                self.stop(container, self.drains)
            case ["docker", "compose", "--project-name", project, "down", *_]:
                self.containers = [c for c in self.containers if engine.labels(c)[engine.PROJECT_LABEL] != project]
            case ["nginx", *_]:
                return (0, "", "") if self.nginx_accepts else (1, "", "bad upstream")
            case ["systemctl", "reload", "nginx"]:
                self.at_reload()
        return 0, "", ""

    def stop(self, container_id: str, ends: bool) -> None:
        for container in self.containers:
            if container["Id"] == container_id and ends:
                container["State"]["Running"] = False

    def asked(self, *start: str) -> list[list[str]]:
        return [c for c in self.commands if c[: len(start)] == list(start)]
