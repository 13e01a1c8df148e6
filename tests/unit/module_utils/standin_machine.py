"""A stand-in for a host's command lines: Docker's, nginx's, systemd's."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from ansible.module_utils.livekit_deploy.machine import docker
from ansible.module_utils.livekit_deploy.release import records

from tests.unit.module_utils.standin import Told


class Machine:
    """Answers ``docker``, ``nginx`` and ``systemctl`` from a list of containers and the ids of images by reference;
    remembers what it was asked."""

    def __init__(self) -> None:
        self.run = Told(self.answer)
        self.containers: list[dict[str, Any]] = []
        self.commands: list[list[str]] = []
        self.logs: dict[str, str | None] = {}
        self.config: tuple[int, str, str] = (0, "{}", "")
        self.networks: dict[str, str] = {}
        self.images: dict[str, str] = {}
        self.volumes: dict[str, str] = {}
        self.nginx_accepts = True
        self.nginx_says = "bad upstream"
        self.compose_says = ""
        self.drains = True
        self.site_is_whole: Callable[[], bool] = lambda: True
        self.at_reload: Callable[[], None] = lambda: None
        self.at_kill: Callable[[str], None] = lambda _container: None

    def start(self, release_id: str) -> None:
        for service in records.SERVICES:
            labels = {
                docker.PROJECT_LABEL: records.compose_project("app", release_id),
                docker.SERVICE_LABEL: service,
                docker.CONFIG_LABEL: f"{service}-hash",
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

    def hand_made(self, project: str, **services: dict[str, Any]) -> None:
        """A compose project of somebody: each service with its environment, the port it publishes, its restart policy
        and its log (None where Docker cannot read it); ``once`` is a container of `docker compose run`."""
        for service, given in services.items():
            labels = {
                docker.PROJECT_LABEL: project,
                docker.SERVICE_LABEL: service,
                docker.CONFIG_LABEL: f"{service}-hash",
                docker.DIRECTORY_LABEL: f"/srv/{project}",
                docker.ONE_OFF_LABEL: str(given.get("once", False)),
            }
            name = f"{project}-{service}-{'run-1' if given.get('once') else 1}"
            ports = {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(given["port"])}]} if "port" in given else {}
            self.containers.append(
                {
                    "Id": name,
                    "Name": f"/{name}",
                    "Created": given.get("created", "2025-12-01T00:00:00.123456789Z"),
                    "State": {
                        "Running": given.get("running", True),
                        "ExitCode": 0,
                        "StartedAt": "2025-12-01T00:00:01.5Z",
                    },
                    "Config": {"Image": f"{service}:1", "Env": given.get("env", []), "Labels": labels},
                    "HostConfig": {
                        "RestartPolicy": {"Name": given.get("policy", "always")},
                        "AutoRemove": given.get("auto_remove", False),
                    },
                    "NetworkSettings": {"Networks": {}, "Ports": ports},
                }
            )
            self.logs[name] = given.get("log", "")

    def answer(self, argv: Sequence[str]) -> tuple[int, str, str]:
        self.commands.append(list(argv))
        match list(argv):
            case ["docker", "stop", "-t", _seconds, *containers]:
                for container in containers:
                    self.stop(container, ends=True)
            case ["docker", "rm", "--force", *containers]:
                self.containers = [c for c in self.containers if c["Id"] not in containers]
            case ["docker", "start" | "update" | "stop" | "kill" as verb, *options, container]:
                self.change(verb, options, container)
            case ["docker", "network", "rm", name]:
                del self.networks[name]
            case ["docker", "compose", *_, "up", "--detach", "--no-deps", "--pull", "never", _]:
                return (1, "", self.compose_says) if self.compose_says else (0, "", "")
            case ["nginx", *_]:
                return (0, "", "") if self.nginx_accepts and self.site_is_whole() else (1, "", self.nginx_says)
            case ["systemctl", "reload", "nginx"]:
                self.at_reload()
        return self.told(argv)

    def told(self, argv: Sequence[str]) -> tuple[int, str, str]:
        """What commands that only read answer."""
        match list(argv):
            case ["docker", "image", "inspect", *_, image]:
                return (
                    (0, json.dumps({"Id": self.images[image]}), "")
                    if image in self.images
                    else (1, "", "No such image")
                )
            case ["docker", "ps", *_]:
                return 0, "\n".join(c["Id"] for c in self.containers), ""
            case ["docker", "inspect", *_]:
                return 0, json.dumps(self.containers), ""
            case ["docker", "logs", *_, container]:
                log = self.logs.get(container, "last words")
                return (
                    (0, log, "") if log is not None else (1, "", "configured logging driver does not support reading")
                )
            case ["docker", "compose", "version", "--short"]:
                return 0, "2.26.1\n", ""
            case ["docker", "compose", *_, "config", "--format", "json"]:
                return self.config
            case ["docker", "network" | "volume" as kind, "ls", *_, form]:
                owners = self.networks if kind == "network" else self.volumes
                return (
                    0,
                    "".join(f"{name}\t{owner}\n" if "\t" in form else f"{name}\n" for name, owner in owners.items()),
                    "",
                )
        return 0, "", ""

    def change(self, verb: str, options: Sequence[str], container: str) -> None:
        if verb == "start":
            self.container(container)["State"]["Running"] = True
        elif verb == "update":
            self.container(container)["HostConfig"]["RestartPolicy"]["Name"] = options[-1]
        else:
            self.stop(container, ends=verb == "stop" or self.drains)
            if verb == "kill":
                self.at_kill(container)

    def stop(self, container_id: str, ends: bool) -> None:
        for container in self.containers:
            if container["Id"] == container_id and ends:
                container["State"]["Running"] = False

    def container(self, container_id: str) -> dict[str, Any]:
        return next(container for container in self.containers if container["Id"] == container_id)

    def asked(self, *start: str) -> list[list[str]]:
        return [c for c in self.commands if c[: len(start)] == list(start)]
