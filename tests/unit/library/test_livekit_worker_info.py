# SPDX-License-Identifier: Apache-2.0
"""The module livekit_worker_info as Ansible runs it, with an Engine made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import livekit_worker_info
import pytest
from ansible.module_utils.livekit_deploy.machine import command, processes
from ansible.module_utils.livekit_deploy.worker import own_answer
from ansible.module_utils.testing import patch_module_args

from tests.unit.module_utils.standin_machine import Machine


def read(capsys: pytest.CaptureFixture[str], **params: Any) -> dict[str, Any]:
    with patch_module_args(params), pytest.raises(SystemExit):
        livekit_worker_info.main()
    return dict(json.loads(capsys.readouterr().out))


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: Any, **__: Any) -> tuple[int, str, str]:
        return 1, "", "Cannot connect to the Docker daemon"

    monkeypatch.setattr(command.Runner, "__call__", refuse)
    monkeypatch.setattr(processes, "ROOT", tmp_path)


@pytest.mark.usefixtures("no_engine")
def test_engine_that_refuses_is_a_failure_with_a_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    found = read(capsys)
    assert found["failed"]
    assert found["msg"].startswith("found: the Docker Engine refused: Cannot connect")


@pytest.mark.usefixtures("no_engine")
def test_everywhere_an_engine_that_refuses_is_one_of_the_things_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    found = read(capsys, everywhere=True)
    assert (found["changed"], found["workers"], len(found["unread"])) == (False, [], 1)


@pytest.mark.parametrize("other", [{"project": "p"}, {"known": ["c"]}, {"project": "p", "registered_as": "a"}])
def test_everywhere_is_for_the_whole_host(capsys: pytest.CaptureFixture[str], other: dict[str, Any]) -> None:
    assert "mutually exclusive" in read(capsys, everywhere=True, **other)["msg"]


def test_known_worker_of_a_project_is_waited_for_and_no_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine()
    registered = '{"message": "registered worker", "id": "AW_1"}'
    machine.hand_made(
        "seed", bot={"env": ["LIVEKIT_AGENT_NAME=a"], "log": registered}, web={"env": ["LIVEKIT_AGENT_NAME=a"]}
    )
    monkeypatch.setattr(command, "Runner", lambda **_: machine.run)
    monkeypatch.setattr(own_answer, "ask_worker", lambda *_: {})
    found = read(capsys, project="seed", known=["seed-bot-1"], registered_as="a", wait_seconds=0)
    assert [(one["container"], one["agent_name"]) for one in found["workers"]] == [("seed-bot-1", "a")]
    assert [one["container"] for one in read(capsys, known=["seed-bot-1"])["workers"]] == ["seed-bot-1"]
