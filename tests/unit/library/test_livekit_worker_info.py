# SPDX-License-Identifier: Apache-2.0
"""The module livekit_worker_info as Ansible runs it, with an Engine made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import livekit_worker_info
import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.livekit_deploy import engine, process
from ansible.module_utils.testing import patch_module_args


def read(capsys: pytest.CaptureFixture[str], **params: Any) -> dict[str, Any]:
    with patch_module_args(params), pytest.raises(SystemExit):
        livekit_worker_info.main()
    return dict(json.loads(capsys.readouterr().out))


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: Any, **__: Any) -> tuple[int, str, str]:
        return 1, "", "Cannot connect to the Docker daemon"

    monkeypatch.setattr(AnsibleModule, "run_command", refuse)
    monkeypatch.setattr(engine, "command", refuse)
    monkeypatch.setattr(process, "ROOT", tmp_path)


@pytest.mark.usefixtures("no_engine")
def test_engine_that_refuses_is_a_failure_with_a_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    found = read(capsys)
    assert found["failed"]
    assert found["msg"].startswith("found: the Docker Engine refused: Cannot connect")


@pytest.mark.usefixtures("no_engine")
def test_everywhere_an_engine_that_refuses_is_one_of_the_things_not_read(capsys: pytest.CaptureFixture[str]) -> None:
    found = read(capsys, everywhere=True)
    assert (found["changed"], found["workers"], len(found["unread"])) == (False, [], 1)


@pytest.mark.parametrize("other", [{"project": "p"}, {"project": "p", "registered_as": "a"}])
def test_everywhere_is_for_the_whole_host(capsys: pytest.CaptureFixture[str], other: dict[str, str]) -> None:
    assert "mutually exclusive" in read(capsys, everywhere=True, **other)["msg"]
