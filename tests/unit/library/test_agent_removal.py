"""The module agent_removal as Ansible runs it; what it removes is tested in the unit tests of the package release."""

from __future__ import annotations

import json
from typing import Any

import agent_removal
import pytest
from ansible.module_utils.livekit_deploy.machine import docker
from ansible.module_utils.testing import patch_module_args

OWNER = {"machine": "m", "process": 1, "started": "2", "name": "anna@ci"}


def run(capsys: pytest.CaptureFixture[str], **params: Any) -> dict[str, Any]:
    with patch_module_args({"app": "app", **params}), pytest.raises(SystemExit):
        agent_removal.main()
    return dict(json.loads(capsys.readouterr().out))


def test_owner_of_the_lock_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    assert "missing required arguments: owner" in run(capsys)["msg"]


def test_removal_in_check_mode_says_what_would_go_and_touches_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(agent_removal.Removal, "containers", lambda _: [])
    monkeypatch.setattr(docker, "owned", lambda *_: {})
    (tmp_path / "app/releases").mkdir(parents=True)
    answer = run(capsys, root=str(tmp_path), owner=OWNER, instance_host="a", _ansible_check_mode=True)
    assert (answer["changed"], answer["report_notes"][0]) == (True, "a: would remove app")
    assert [path.name for path in (tmp_path / "app").rglob("*")] == ["releases"]
