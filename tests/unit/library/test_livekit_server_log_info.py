# SPDX-License-Identifier: Apache-2.0
"""The module livekit_server_log_info as Ansible runs it; the programs that hold a log are stood in for by scripts."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import livekit_server_log_info
import pytest
from ansible.module_utils.livekit_deploy.machine import command
from ansible.module_utils.testing import patch_module_args

START = '{"ts":%f,"msg":"starting LiveKit server"}'
REGISTERED = '{"ts":%f,"msg":"worker registered","agentName":"name-a","workerID":"AW_1"}'
CLOSED = '{"ts":%f,"msg":"closing worker","agentName":"name-a","workerID":"AW_1"}'


def lines(*texts: str) -> str:
    return "".join(f"{text % (time.time() - 100)}\n" for text in texts)


def run(capsys: pytest.CaptureFixture[str], **params: Any) -> dict[str, Any]:
    with patch_module_args(params), pytest.raises(SystemExit):
        livekit_server_log_info.main()
    return dict(json.loads(capsys.readouterr().out))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that comes first on PATH; each writes its arguments beside itself."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(command, "SYSTEM_PATH", (str(tmp_path), *command.SYSTEM_PATH))
    return tmp_path


def program(folder: Path, name: str, says: str, status: int = 0) -> None:
    (folder / f"{name}.out").write_text(says)
    (folder / name).write_text(f'#!/bin/sh\necho "$@" >>{folder}/{name}.args\ncat {folder}/{name}.out\nexit {status}\n')
    (folder / name).chmod(0o755)


UNIT = "LoadState=loaded\nActiveState=active\nInvocationID=9737dd6e\n"


def test_file_is_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "log").write_text(lines(START, REGISTERED))
    answer = run(capsys, path=str(tmp_path / "log"))
    assert (answer["complete"], [entry["worker_id"] for entry in answer["workers"]]) == (True, ["AW_1"])


def test_journal_of_the_current_invocation_is_read_with_what_was_dropped_of_it(
    capsys: pytest.CaptureFixture[str], programs: Path
) -> None:
    program(programs, "systemctl", UNIT)
    program(programs, "journalctl", lines(START, REGISTERED))
    assert run(capsys, unit="livekit-server")["complete"]
    assert (
        "_SYSTEMD_INVOCATION_ID=9737dd6e + OBJECT_SYSTEMD_INVOCATION_ID=9737dd6e"
        in (programs / "journalctl.args").read_text()
    )


def test_log_of_a_container_is_read(capsys: pytest.CaptureFixture[str], programs: Path) -> None:
    program(programs, "docker", "true\n" + lines(START, REGISTERED))
    (programs / "docker").write_text(
        (programs / "docker").read_text().replace("cat ", '[ "$1" = container ] && echo true || cat ')
    )
    assert run(capsys, container="livekit")["complete"]


TROUBLES: list[tuple[str, dict[str, str], str, str]] = [
    ("no such file", {"path": "/nowhere/log"}, "", "No such file or directory, expected the LiveKit server's log"),
    (
        "no such unit",
        {"unit": "x"},
        "LoadState=not-found\nActiveState=inactive\nInvocationID=\n",
        "unit x: no such unit",
    ),
    (
        "unit that does not run",
        {"unit": "x"},
        "LoadState=loaded\nActiveState=failed\nInvocationID=\n",
        "unit x: it is failed",
    ),
    ("no such container", {"container": "x"}, "", "container x: no such container"),
    ("container that does not run", {"container": "x"}, "false\n", "container x: it does not run"),
]


@pytest.mark.parametrize(("params", "says", "text"), [pytest.param(*rest, id=name) for name, *rest in TROUBLES])
def test_log_that_is_not_there_fails_and_says_what_to_correct(
    capsys: pytest.CaptureFixture[str], programs: Path, params: dict[str, str], says: str, text: str
) -> None:
    for name in ("systemctl", "docker"):
        program(programs, name, says)
    answer = run(capsys, **params)
    assert answer["failed"]
    assert text in answer["msg"]


def test_program_that_fails_is_told(capsys: pytest.CaptureFixture[str], programs: Path) -> None:
    program(programs, "systemctl", UNIT)
    program(programs, "journalctl", "", status=1)
    assert "`journalctl` ended with status 1" in run(capsys, unit="x")["msg"]


def test_host_without_the_program_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(command, "SYSTEM_PATH", ())
    assert "docker: No such file" in run(capsys, container="x")["msg"]


@pytest.mark.parametrize("params", [{}, {"unit": "a", "path": "/b"}])
def test_exactly_one_place_is_given(capsys: pytest.CaptureFixture[str], params: dict[str, str]) -> None:
    assert run(capsys, **params)["failed"]


def left(tmp_path: Path, seconds: float) -> str:
    path = tmp_path / "log"
    path.write_text(lines(START, REGISTERED) + CLOSED % (time.time() - seconds) + "\n")
    return str(path)


def test_worker_that_may_come_back_is_waited_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(livekit_server_log_info, "POLL_SECONDS", 0.2)
    answer = run(capsys, path=left(tmp_path, 29.5), names=["name-a"], settle_seconds=5)
    assert [wait["what"] for wait in answer["waits"]] == ["a worker that may come back"]
    assert 0.2 <= answer["waits"][0]["seconds"] <= 2.0


@pytest.mark.parametrize("params", [{"settle_seconds": 0}, {"settle_seconds": 5, "own_ids": ["AW_1"]}])
def test_nothing_is_waited_for_without_need(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, params: dict[str, Any]
) -> None:
    assert run(capsys, path=left(tmp_path, 1.0), names=["name-a"], **params)["waits"] == []


def test_wait_ends_when_its_time_is_over(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(livekit_server_log_info, "POLL_SECONDS", 0.2)
    answer = run(capsys, path=left(tmp_path, 1.0), names=["name-a"], settle_seconds=0.5)
    assert 0.5 <= answer["waits"][0]["seconds"] < 2.0
