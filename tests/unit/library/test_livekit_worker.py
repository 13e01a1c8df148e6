# SPDX-License-Identifier: Apache-2.0
"""The module livekit_worker as Ansible runs it, on a host without any worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import livekit_worker
import pytest
from ansible.module_utils.livekit_deploy.machine import command, processes
from ansible.module_utils.testing import patch_module_args


@pytest.fixture(autouse=True)
def empty_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        command.Runner, "__call__", lambda _runner, argv: (127, "", f"{argv[0]}: No such file or directory")
    )
    monkeypatch.setattr(processes, "ROOT", tmp_path)


def drain(capsys: pytest.CaptureFixture[str], **params: Any) -> dict[str, Any]:
    with patch_module_args(params), pytest.raises(SystemExit):
        livekit_worker.main()
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("worker_id", ["", "AW_", "CW_abc", "AW_a/../b", "AW_a b"])
def test_what_is_no_worker_id_is_refused(capsys: pytest.CaptureFixture[str], worker_id: str) -> None:
    assert "expected AW_" in drain(capsys, worker_id=worker_id)["msg"]


def test_unknown_worker_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert drain(capsys, worker_id="AW_1")["msg"].startswith(
        "worker AW_1: found no worker whose log has AW_1, expected one on this host"
    )
