"""What the Engine says of a container, and the commands that are told to people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.machine import docker, docker_variants
from ansible.module_utils.livekit_deploy.machine.command import Run
from ansible.module_utils.livekit_deploy.release import refusal


def container(labels: dict[str, str], **host_config: Any) -> dict[str, Any]:
    return {"Name": "/agent-1", "Config": {"Labels": labels}, "HostConfig": host_config}


def compose(directory: Path, files: str, project: str) -> dict[str, str]:
    return {
        docker.PROJECT_LABEL: project,
        docker.SERVICE_LABEL: "agent",
        docker.DIRECTORY_LABEL: str(directory),
        docker.FILES_LABEL: files.format(d=directory),
    }


@pytest.mark.parametrize(
    ("files", "project", "command"),
    [
        ("{d}/compose.yml", "web", "docker compose up -d agent"),
        ("{d}/docker-compose.yaml", "web", "docker compose up -d agent"),
        ("{d}/prod.yml", "web", "docker compose -f {d}/prod.yml up -d agent"),
        ("{d}/compose.yml,{d}/prod.yml", "web", "docker compose -f {d}/compose.yml -f {d}/prod.yml up -d agent"),
        ("{d}/compose.yml", "other", "docker compose -p other up -d agent"),
    ],
)
def test_compose_service_is_started_with_its_own_files_and_project(
    tmp_path: Path, files: str, project: str, command: str
) -> None:
    directory = tmp_path / "web"
    directory.mkdir()
    found = docker.start_command(container(compose(directory, files, project)))
    assert found == f"cd {directory} && {command.format(d=directory)}"


@pytest.mark.parametrize(
    "labels", [{}, compose(Path("/gone"), "{d}/compose.yml", "gone")], ids=["no compose", "its directory is gone"]
)
def test_other_container_is_started_by_its_name(labels: dict[str, str]) -> None:
    assert docker.start_command(container(labels)) == "docker start agent-1"


def test_container_that_is_removed_when_it_stops_cannot_be_started_again() -> None:
    assert docker.start_command(container({}, AutoRemove=True)) == ""


@pytest.mark.parametrize(("host_config", "policy"), [({}, "no"), ({"RestartPolicy": {"Name": "always"}}, "always")])
def test_restart_policy_is_read(host_config: dict[str, Any], policy: str) -> None:
    assert docker.restart_policy(container({}, **host_config)) == policy


@pytest.mark.parametrize(
    ("signal", "sent"),
    [
        (None, "TERM"),
        ("", "TERM"),
        ("SIGTERM", "TERM"),
        ("15", "TERM"),
        ("SIGINT", "INT"),
        ("2", "INT"),
        ("SIGQUIT", ""),
        ("9", ""),
    ],
)
def test_signal_that_drains(signal: str | None, sent: str) -> None:
    assert docker.drain_signal({"Config": {"StopSignal": signal}}) == sent


# --- an Engine that does not answer -----------------------------------------------------------------------------------


def silent(argv: Sequence[str]) -> tuple[int, str, str]:
    """A docker that is installed and does not answer; what else is run is there."""
    hangs = argv[0] == "docker" and argv[1:] != ["--version"] and argv[1:2] != ["compose"]
    return (124, "", f"`{' '.join(argv[:3])}` did not end in time (60 s).") if hangs else (0, "", "")


@pytest.mark.parametrize(
    "ask",
    [
        docker.containers,
        lambda run: docker.inspect(run, "a"),
        lambda run: docker.docker(run, "stop", "a"),
        lambda run: refusal.missing_on_host(run, "/", None),
    ],
    ids=["containers", "inspect", "docker", "lacking"],
)
def test_engine_that_does_not_answer_is_told_with_what_to_do(
    ask: Callable[[Run], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_variants, "look", lambda *_: docker_variants.Docker())
    with pytest.raises(
        docker.EngineError, match=r"did not end in time .*Expected: the Docker Engine answers\. Look at it \(systemctl"
    ):
        ask(silent)


def test_engine_that_is_stopped_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_variants, "look", lambda *_: docker_variants.Docker())
    with pytest.raises(docker.EngineError, match="is installed and does not answer: Cannot connect"):
        refusal.missing_on_host(
            lambda argv: (1, "", "Cannot connect") if argv[:2] == ["docker", "version"] else (0, "", ""), "/", None
        )


def test_docker_that_is_not_installed_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_variants, "look", lambda *_: docker_variants.Docker())
    assert refusal.missing_on_host(lambda argv: (127, "", "") if argv[0] == "docker" else (0, "", ""), "/", None) == [
        "Docker"
    ]


@pytest.mark.parametrize("out", ["", "{}", "[", "null"])
def test_listing_that_is_none_is_no_host_without_containers(out: str) -> None:
    with pytest.raises(docker.EngineError, match="answers no list of containers"):
        docker.containers(lambda argv: (0, "id" if argv[1] == "ps" else out, ""))
