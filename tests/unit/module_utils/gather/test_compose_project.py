"""A running compose project is read as its people made it, or refused with the choice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.gather import compose_project
from ansible.module_utils.livekit_deploy.gather.compose_project import ProjectError


def container(service: str, project: str = "shop", directory: str = "/srv/shop", **changes: Any) -> dict[str, Any]:
    labels = {
        "com.docker.compose.project": project,
        "com.docker.compose.service": service,
        "com.docker.compose.project.working_dir": directory,
    }
    return {
        "Id": service,
        "Name": f"/{project}-{service}-1",
        "Image": "sha256:1",
        "State": {"Running": changes.pop("running", True)},
        "Config": {"Labels": labels, "Env": changes.pop("env", []), "Image": f"{service}:1", "User": "1000"},
        "HostConfig": {"PortBindings": changes.pop("bindings", {})},
        "NetworkSettings": {"Ports": changes.pop("ports", {})},
        **changes,
    }


def names(found: list[dict[str, Any]]) -> list[str]:
    return [one["Id"] for one in found]


def test_running_containers_of_the_project_are_read() -> None:
    found = [container("worker"), container("old", running=False), container("other", project="else")]
    assert names(compose_project.project_containers(found, "shop")) == ["worker"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            [container("worker", project="else")],
            "no compose project shop, expected one that runs (those that do: else)",
        ),
        ([container("worker", running=False)], "compose project shop does not run"),
        ([container("a"), container("b", directory="/srv/other")], "two projects with the name shop"),
        ([], "(those that do: none)"),
    ],
    ids=["not there", "stopped", "two of the name", "nothing runs"],
)
def test_a_project_that_cannot_be_meant_is_refused_with_the_choice(found: list[Any], words: str) -> None:
    with pytest.raises(ProjectError) as refused:
        compose_project.project_containers(found, "shop")
    assert words in str(refused.value)


def test_the_api_knows_the_server_and_is_no_worker() -> None:
    livekit = ["LIVEKIT_URL=ws://l"]
    found = {
        "worker": container("worker", env=livekit),
        "web": container("web", env=livekit, bindings={"8000/tcp": [{"HostIp": "", "HostPort": "8000"}]}),
        "jobs": container("jobs", env=livekit),
        "redis": container("redis", bindings={"6379/tcp": [{"HostIp": "", "HostPort": "6379"}]}),
    }
    worker: Any = {"worker": {}}
    assert compose_project.api_service(found, worker) == "web"
    assert compose_project.api_service({"worker": found["worker"]}, worker) is None


def test_the_port_inside_comes_with_the_one_outside() -> None:
    ports = {"8000/tcp": [{"HostIp": "::", "HostPort": "80"}], "9000/udp": [{"HostPort": "9"}], "7/tcp": None}
    assert compose_project.container_port(container("web", ports=ports)) == (8000, 80)
    assert compose_project.container_port(container("worker")) is None


class Told:
    """Answers commands by the words in them."""

    def __init__(self, answers: dict[str, tuple[int, str, str]]) -> None:
        self.answers = answers

    def __call__(self, argv: list[str], **_: Any) -> tuple[int, str, str]:
        line = " ".join(argv)
        return next(answer for words, answer in self.answers.items() if words in line)


def test_a_service_is_told_with_its_image_and_what_it_has_written() -> None:
    run: Any = Told(
        {
            "image inspect": (0, json.dumps([f"web@sha256:{'2' * 64}", f"r/x@sha256:{'3' * 64}"]), ""),
            "docker diff": (0, "C /app\nA /app/logs\nA /app/logs/a b.log\nD /app/gone\n", ""),
        }
    )
    seen = compose_project.service_seen(run, "web", {"image": "web:1"}, container("web"), None)
    assert seen["image"] == f"web@sha256:{'2' * 64}"
    assert (seen["added"], seen["changed"]) == (["/app/logs", "/app/logs/a b.log"], ["/app"])


def test_an_image_that_no_registry_has_is_known_by_its_id() -> None:
    run: Any = Told({"image inspect": (0, "[]", ""), "docker diff": (0, "", "")})
    assert compose_project.service_seen(run, "web", {}, container("web"), None)["image"] == "sha256:1"


def test_networks_and_volumes_go_by_their_names_on_the_host() -> None:
    document = {"networks": {"backend": {"name": "shop_net"}, "default": None}}
    assert compose_project.names_on_host(document, "networks") == {"backend": "shop_net", "default": "default"}
    assert compose_project.names_on_host(document, "volumes") == {}


def document(tmp_path: Path, answer: tuple[int, str, str]) -> Any:
    (tmp_path / "compose.yml").touch()
    run: Any = Told({"config": answer})
    return compose_project.project_document(run, "shop", [container("worker", directory=str(tmp_path))])


def test_files_that_compose_does_not_read_are_refused_without_its_words(tmp_path: Path) -> None:
    with pytest.raises(ProjectError) as refused:
        document(tmp_path, (1, "", 'failed to read .env: line 2: "TOKEN=secret"'))
    assert "secret" not in str(refused.value)
    assert f"`docker compose config` prints in {tmp_path}" in str(refused.value)


def test_variables_of_the_shell_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="APP_PORT"):
        document(tmp_path, (0, "{}", 'level=warning msg="The \\"APP_PORT\\" variable is not set."'))


def test_the_file_is_what_compose_makes_of_it(tmp_path: Path) -> None:
    assert document(tmp_path, (0, '{"services": {"worker": {}}}', "")) == {"services": {"worker": {}}}
