# SPDX-License-Identifier: Apache-2.0
"""The module docker_engine_info as Ansible runs it, with the answers of the host's programs made up."""

from __future__ import annotations

import json
import platform
from typing import Any

import docker_engine_info
import pytest
from ansible.module_utils.livekit_deploy.machine import command, docker_variants
from ansible.module_utils.testing import patch_module_args

Answers = dict[str, tuple[int, str]]
ENGINE: Answers = {
    "docker version --format {{json .}}": (0, json.dumps({"Server": {"Version": "26.1.5"}})),
    "docker compose version --short": (0, "2.26.1\n"),
    "systemd-detect-virt --container": (1, "none\n"),
    "systemctl is-active --quiet chrony": (0, ""),
}
SHOWN = ("changed", "docker", "version", "compose_version", "container", "time_synchronized", "time_packages")


@pytest.fixture(autouse=True)
def no_trace_of_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine of the tests has."""
    monkeypatch.setattr(docker_variants.shutil, "which", lambda *_args, **_options: None)
    monkeypatch.setattr(docker_variants, "ROOTLESS", ())
    monkeypatch.setattr(docker_variants, "SNAP_PROGRAMS", ())


def read(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, answers: Answers) -> dict[str, Any]:
    def run(_runner: command.Runner, argv: list[str]) -> tuple[int, str, str]:
        status, out = answers.get(" ".join(argv), (1, ""))
        return status, out, ""

    monkeypatch.setattr(command.Runner, "__call__", run)
    return {name: value for name, value in asked(capsys).items() if name in SHOWN}


def asked(capsys: pytest.CaptureFixture[str], **params: Any) -> dict[str, Any]:
    with patch_module_args(params), pytest.raises(SystemExit):
        docker_engine_info.main()
    return dict(json.loads(capsys.readouterr().out))


def test_a_host_that_has_it_all(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {"docker": "usable", "version": "26.1.5", "compose_version": "2.26.1", "container": False}
    expected |= {"time_synchronized": True, "time_packages": []}
    assert read(capsys, monkeypatch, ENGINE) == {"changed": False, **expected}


def test_a_bare_host(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {"docker": "absent", "version": "", "compose_version": "", "container": False}
    expected |= {"time_synchronized": False, "time_packages": []}
    assert read(capsys, monkeypatch, {}) == {"changed": False, **expected}


DIFFERENT = [
    ("docker version --format {{json .}}", (1, json.dumps({"Server": None})), "version", ""),
    ("docker compose version --short", (125, "unknown command"), "compose_version", ""),
    ("systemd-detect-virt --container", (0, "docker\n"), "container", True),
    ("systemctl is-active --quiet chrony", (3, ""), "time_synchronized", False),
]


@pytest.mark.parametrize(("command", "answer", "name", "expected"), DIFFERENT)
def test_one_answer_that_differs(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    answer: tuple[int, str],
    name: str,
    expected: Any,
) -> None:
    assert read(capsys, monkeypatch, {**ENGINE, command: answer})[name] == expected


@pytest.mark.parametrize("service", docker_engine_info.TIME_SERVICES)
def test_each_service_that_keeps_the_clock_counts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    assert read(capsys, monkeypatch, {f"systemctl is-active --quiet {service}": (0, "")})["time_synchronized"]


SHOW = "dpkg-query --show --showformat=${db:Status-Status}\t${Package}\t${Version}\n"


def test_engine_that_is_installed_and_stopped_is_refused_and_not_absent(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = (1, "installed\tdocker-ce\t5:27.3.1\ninstalled\tcontainerd.io\t1.7.22\n")
    read(capsys, monkeypatch, {f"{SHOW} {' '.join(docker_variants.PACKAGES)}": packages})
    found = asked(capsys)
    assert found["docker"] == "refused"
    assert found["trouble"].startswith(
        "found: docker-ce 5:27.3.1 is installed and does not answer, expected an Engine that answers."
    )


def test_service_of_the_clock_that_is_stopped_is_told_and_not_replaced(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    # ansible-core puts a warning elsewhere where a test has loaded its controller's part before.
    monkeypatch.setattr(docker_engine_info.Module, "warn", lambda _module, text: warned.append(text))
    found = read(capsys, monkeypatch, {f"{SHOW} {' '.join(docker_variants.CLOCKS)}": (1, "installed\tchrony\t4.6\n")})
    assert (found["time_synchronized"], found["time_packages"]) == (False, ["chrony"])
    (text,) = warned
    assert text.endswith("Start it: systemctl start chrony")


def test_minimum_that_is_no_version_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        "found docker_host_minimum_version 'newest', expected a version"
        in asked(capsys, minimum_version="newest")["msg"]
    )


SYSTEMS = {"debian 12": [], "debian 13": ["docker.io"]}
DEBIAN = {"ID": "debian", "VERSION_ID": "13", "PRETTY_NAME": "Debian GNU/Linux 13 (trixie)"}


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        (DEBIAN, ("Debian GNU/Linux 13 (trixie)", True, ["docker.io"])),
        ({**DEBIAN, "VERSION_ID": "12", "PRETTY_NAME": "Debian 12"}, ("Debian 12", True, [])),
        ({"ID": "debian", "PRETTY_NAME": "Debian forky/sid"}, ("Debian forky/sid", False, [])),
        ({"ID": "arch"}, ("arch", False, [])),
        ({**DEBIAN, "ID": "mint"}, ("Debian GNU/Linux 13 (trixie)", False, [])),
    ],
)
def test_system_is_known_by_its_id_and_version(
    monkeypatch: pytest.MonkeyPatch, release: dict[str, str], expected: Any
) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: release)
    assert tuple(docker_engine_info.system(SYSTEMS).values()) == expected


def test_host_that_does_not_say_its_system_is_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> dict[str, str]:
        raise OSError

    monkeypatch.setattr(platform, "freedesktop_os_release", none)
    assert docker_engine_info.system(SYSTEMS)["supported"] is False
