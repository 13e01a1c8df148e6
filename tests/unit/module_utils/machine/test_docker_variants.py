"""Which Docker a host has: an installed one is never taken as absent; what cannot be used is named with what to do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.machine import docker_variants
from ansible.module_utils.livekit_deploy.machine.docker_variants import (
    ABSENT,
    MINIMUM_COMPOSE,
    REFUSED,
    USABLE,
    Docker,
    judge,
)

USED: dict[str, Any] = {
    "version": "27.3.1",
    "components": ("Engine",),
    "compose": "2.29.7",
    "client": "Docker version 27.3.1",
}
CE = {"docker-ce": "5:27.3.1-1~debian.12", "docker-ce-cli": "5:27.3.1-1~debian.12", "containerd.io": "1.7.22-1"}
DOWN = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
STOPPED: dict[str, Any] = {
    "says": DOWN,
    "packages": CE,
    "daemon": "/usr/bin/dockerd",
    "client": "Docker version 27.3.1, build ce12230",
}

GOOD = {
    "nothing": (Docker(), ABSENT),
    "the distribution's client": (Docker(client="Docker version 26.1.5+dfsg1", says=DOWN), ABSENT),
    "a service that a removed package left masked": (Docker(unit="masked inactive"), ABSENT),
    "Docker's own": (Docker(**USED, packages=CE, unit="loaded active"), USABLE),
    "the distribution's": (
        Docker(**{**USED, "version": "20.10.24+dfsg1", "compose": "2.26.1-4"}, packages={"docker.io": "1"}),
        USABLE,
    ),
    "a user's beside it": (Docker(**USED, rootless=("/run/user/1000/docker.sock",)), USABLE),
    "with the v": (Docker(**{**USED, "compose": "v2.40.3"}), USABLE),
    "of Ubuntu 24.04": (Docker(**{**USED, "compose": "2.24.6+ds1-0ubuntu2"}), USABLE),
    "of a desktop": (Docker(**{**USED, "compose": "2.40.3-desktop.1"}), USABLE),
    "Compose 5": (Docker(**{**USED, "compose": "5.0.1"}), USABLE),
}

BAD = {
    "stopped": (
        Docker(**STOPPED, unit="loaded inactive"),
        ["docker-ce 5:27.3.1", "does not answer", "systemctl enable --now docker"],
    ),
    "failed": (Docker(**STOPPED, unit="loaded failed"), ["journalctl --unit docker", "systemctl restart docker"]),
    "masked": (Docker(**STOPPED, unit="masked inactive"), ["systemctl unmask docker"]),
    "runs and is silent": (Docker(**STOPPED, unit="loaded active"), ["Its service runs", "yours to decide"]),
    "without a service": (Docker(**STOPPED), ["no systemd service"]),
    "the distribution's, stopped": (
        Docker(says=DOWN, packages={"docker.io": "26.1.5"}, unit="loaded inactive"),
        ["docker.io 26.1.5"],
    ),
    "a program without a package": (
        Docker(says=DOWN, daemon="/usr/local/bin/dockerd"),
        ["/usr/local/bin/dockerd is installed"],
    ),
    "a service without a package": (Docker(unit="loaded inactive"), ["docker.service is installed"]),
    "containerd.io of a Kubernetes node": (
        Docker(packages={"containerd.io": "1.7"}),
        ["containerd.io 1.7 without an Engine", "would remove"],
    ),
    "a client of Docker's own": (
        Docker(packages={"docker-ce-cli": "5:27"}, says=DOWN),
        ["docker-ce-cli 5:27", "apt-get install docker-ce"],
    ),
    "rootless only": (
        Docker(rootless=("/run/user/1000/docker.sock",)),
        ["without root (/run/user/1000/docker.sock)", "none that runs as root", "docs.docker.com/engine/install"],
    ),
    "rootless, with its packages": (
        Docker(**STOPPED, unit="loaded inactive", rootless=("/run/user/1000/docker.sock",)),
        ["without root", "systemctl enable --now docker"],
    ),
    "rootless at the host's socket": (
        Docker(**USED, is_rootless=True, root="/home/a/.local/share/docker"),
        ["/home/a/.local/share/docker"],
    ),
    "snap": (Docker(**USED, is_snap=True), ["a snap", "/opt", "snap remove docker"]),
    "snap, stopped": (Docker(is_snap=True, says=DOWN), ["a snap"]),
    "snap's Engine, another client": (Docker(**USED, root="/var/snap/docker/common/var-lib-docker"), ["a snap"]),
    "podman-docker": (
        Docker(client="podman version 4.3.1", packages={"podman-docker": "4.3.1"}),
        ["podman-docker 4.3.1", "apt-get remove"],
    ),
    "podman by its wrapper": (Docker(client="podman version 5.2.2", version="5.2.2"), ["podman version 5.2.2"]),
    "podman's service": (Docker(**{**USED, "components": ("Podman Engine", "Conmon")}), ["its service answers"]),
    "old": (Docker(**{**USED, "version": "19.03.15"}), ["Engine 19.03.15", "20.10 or newer"]),
    "no Compose": (Docker(**{**USED, "compose": ""}), ["without `docker compose`", MINIMUM_COMPOSE]),
    "old Compose": (
        Docker(**{**USED, "compose": "2.5.0"}),
        ["Docker Compose 2.5.0", f"{MINIMUM_COMPOSE} or newer", "Compose plugin"],
    ),
    "Compose that writes YAML for JSON": (
        Docker(**{**USED, "compose": "2.25.0"}),
        ["Compose 2.25.0", "2.24 or newer, not 2.25"],
    ),
    "Compose without a version": (Docker(**{**USED, "compose": "dev"}), ["Docker Compose dev"]),
}


@pytest.mark.parametrize("name", GOOD)
def test_docker_that_can_be_used_is_kept_and_none_is_absent(name: str) -> None:
    docker, kind = GOOD[name]
    assert judge(docker) == (docker_variants.Judgement(kind))


@pytest.mark.parametrize("name", BAD)
def test_docker_that_cannot_be_used_is_refused_with_what_to_do(name: str) -> None:
    docker, words = BAD[name]
    judgement = judge(docker)
    assert judgement.kind == REFUSED
    assert [word for word in ("found: ", "expected ", *words) if word not in judgement.trouble] == []


def test_an_older_engine_can_be_asked_for() -> None:
    assert judge(Docker(**{**USED, "version": "19.03.15"}), "19.03").kind == USABLE


@pytest.mark.parametrize(
    ("version", "found"),
    [
        ("2.26.1-4", (2, 26, 1)),
        ("v2.24.6+ds1", (2, 24, 6)),
        ("20.10.24+dfsg1", (20, 10, 24)),
        ("29.0.0-rc.1", (29, 0, 0)),
        ("2.40.3-desktop.1\n", (2, 40, 3)),
        ("28", (28, 0, 0)),
        ("dev", ()),
        ("", ()),
        ("1a2b3c4", ()),
    ],
)
def test_version_is_read_as_programs_write_it(version: str, found: tuple[int, ...]) -> None:
    assert docker_variants.numbers(version) == found


# --- reading ---------------------------------------------------------------------------------------------------------


class Programs:
    """The answers of a host's programs, by the beginning of their command lines."""

    def __init__(self, **answers: tuple[int, str]) -> None:
        self.answers = answers

    def __call__(self, argv: Sequence[str]) -> tuple[int, str, str]:
        line = " ".join(argv)
        for start, (status, out) in self.answers.items():
            if line.startswith(start.replace("_", " ")):
                return status, out, DOWN if status else ""
        return 127, "", "not found"


SERVER = {"Version": "27.3.1", "Components": [{"Name": "Engine"}, {"Name": "containerd"}]}


def test_engine_that_answers_is_read(tmp_path: Path) -> None:
    info = {"DockerRootDir": "/var/lib/docker", "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"]}
    run = Programs(
        docker_version=(0, json.dumps({"Client": {}, "Server": SERVER})),
        docker_info=(0, json.dumps(info)),
        docker_compose=(0, "2.29.7\n"),
        systemctl_show=(
            0,
            "LoadState=loaded\nActiveState=active\nFragmentPath=/usr/lib/systemd/system/docker.service\n",
        ),
    )
    found = docker_variants.look(run, tmp_path)
    seen = (found.version, found.components, found.root, found.is_rootless, found.compose, found.unit)
    assert seen == ("27.3.1", ("Engine", "containerd"), "/var/lib/docker", True, "2.29.7", "loaded active")


def test_stopped_engine_is_read(tmp_path: Path) -> None:
    rows = (
        "installed\tdocker-ce\t5:27",
        "config-files\tdocker.io\t26",
        "not-installed\tmoby\t",
        "half-configured\tcontainerd.io\t1.7",
    )
    packages = "".join(f"{row}\n" for row in rows)
    run = Programs(docker_version=(1, json.dumps({"Client": {}, "Server": None})), dpkg_query=(1, ""))
    run.answers["dpkg-query"] = (1, packages)
    found = docker_variants.look(run, tmp_path)
    assert (found.version, dict(found.packages)) == ("", {"docker-ce": "5:27", "containerd.io": "1.7"})
    assert judge(found).kind == REFUSED


def test_script_of_a_removed_package_is_no_service(tmp_path: Path) -> None:
    generated = "LoadState=loaded\nActiveState=inactive\nFragmentPath=/run/systemd/generator.late/docker.service\n"
    assert docker_variants.look(Programs(systemctl_show=(0, generated)), tmp_path).unit == ""


@pytest.mark.parametrize("path", ["run/user/1000/docker.sock", "home/ada/.config/systemd/user/docker.service"])
def test_engine_of_a_user_is_seen(tmp_path: Path, path: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).touch()
    assert docker_variants.look(Programs(), tmp_path).rootless == (str(tmp_path / path),)


def test_client_of_a_snap_is_seen(tmp_path: Path) -> None:
    snap, link = tmp_path / "usr/bin/snap", tmp_path / "snap/bin/docker"
    for path in (snap, link):
        path.parent.mkdir(parents=True)
    snap.touch()
    link.symlink_to(snap)
    assert docker_variants.is_snap(str(link), tmp_path)
    assert docker_variants.is_snap(None, tmp_path)
    assert not docker_variants.is_snap("/usr/bin/docker", tmp_path)


@pytest.mark.parametrize(
    "said", ["", "no JSON", "[]", '{"Server": [1]}', '{"Server": {"Components": [1, null]}}', "[" * 5000]
)
def test_whatever_docker_says_is_read_without_an_exception(tmp_path: Path, said: str) -> None:
    run = Programs(docker_version=(0, said), docker_info=(0, said))
    assert docker_variants.look(run, tmp_path).version == ""


# --- before a deployment ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"docker_version": (0, "{}"), "docker_compose": (0, "2.26.1-4")}, []),
        ({"docker_version": (1, "{}")}, ["Docker"]),
        (
            {
                "docker_version": (0, '{"Server": {"Components": [{"Name": "Podman Engine"}]}}'),
                "docker_compose": (0, "2.30.0"),
            },
            ["Docker"],
        ),
        ({"docker_version": (0, "{}"), "docker_compose": (1, "")}, ["Docker Compose 2.24 or newer, not 2.25"]),
        (
            {"docker_version": (0, "{}"), "docker_compose": (0, "v2.5.0\n")},
            ["Docker Compose 2.24 or newer, not 2.25 (it has v2.5.0)"],
        ),
    ],
)
def test_what_a_release_needs_of_docker_is_missing_or_too_old(
    answers: dict[str, tuple[int, str]], expected: list[str]
) -> None:
    assert docker_variants.lacking(Programs(**answers)) == expected
