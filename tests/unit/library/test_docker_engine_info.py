# SPDX-License-Identifier: Apache-2.0
"""The module docker_engine_info as Ansible runs it, with the answers of the host's programs made up."""

from __future__ import annotations

import json
import platform
from typing import Any

import docker_engine_info
import pytest
from ansible.module_utils.livekit_deploy import command
from ansible.module_utils.testing import patch_module_args

Answers = dict[str, tuple[int, str]]
ENGINE: Answers = {
    "docker version --format {{.Server.Version}}": (0, "26.1.5\n"),
    "docker compose version --short": (0, "2.26.1\n"),
    "systemd-detect-virt --container": (1, "none\n"),
    "systemctl is-active --quiet chrony": (0, ""),
}


def read(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, answers: Answers) -> dict[str, Any]:
    def run(_runner: command.Runner, argv: list[str]) -> tuple[int, str, str]:
        status, out = answers.get(" ".join(argv), (1, ""))
        return status, out, ""

    monkeypatch.setattr(command.Runner, "__call__", run)
    with patch_module_args({}), pytest.raises(SystemExit):
        docker_engine_info.main()
    found = dict(json.loads(capsys.readouterr().out))
    return {name: found[name] for name in ("changed", "version", "compose_version", "container", "time_synchronized")}


def test_a_host_that_has_it_all(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {"version": "26.1.5", "compose_version": "2.26.1", "container": False, "time_synchronized": True}
    assert read(capsys, monkeypatch, ENGINE) == {"changed": False, **expected}


def test_a_bare_host(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {"version": "", "compose_version": "", "container": False, "time_synchronized": False}
    assert read(capsys, monkeypatch, {}) == {"changed": False, **expected}


DIFFERENT = [
    ("docker version --format {{.Server.Version}}", (1, "permission denied"), "version", ""),
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
def test_system_is_known_by_its_id_and_version(monkeypatch: pytest.MonkeyPatch, release: dict[str, str], expected: Any) -> None:
    monkeypatch.setattr(platform, "freedesktop_os_release", lambda: release)
    assert tuple(docker_engine_info.system(SYSTEMS).values()) == expected


def test_host_that_does_not_say_its_system_is_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> dict[str, str]:
        raise OSError

    monkeypatch.setattr(platform, "freedesktop_os_release", none)
    assert docker_engine_info.system(SYSTEMS)["supported"] is False
