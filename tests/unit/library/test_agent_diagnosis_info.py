# SPDX-License-Identifier: Apache-2.0
"""The module agent_diagnosis_info as Ansible runs it: where nothing answers it still tells what it could not read."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import agent_diagnosis_info
import pytest
import yaml
from ansible.module_utils.livekit_deploy.gather import evidence
from ansible.module_utils.livekit_deploy.machine import command, processes
from ansible.module_utils.testing import patch_module_args


@pytest.fixture
def nothing_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host without Docker and nginx; the directory that would hold its applications."""
    monkeypatch.setattr(
        command.Runner, "__call__", lambda _runner, argv: (127, "", f"{argv[0]}: No such file or directory")
    )
    monkeypatch.setattr(processes, "ROOT", tmp_path)
    return tmp_path


def gather(capsys: pytest.CaptureFixture[str], **params: Any) -> dict[str, Any]:
    with patch_module_args({"app": "sidekick", "agent_name": "support", **params}), pytest.raises(SystemExit):
        agent_diagnosis_info.main()
    return dict(json.loads(capsys.readouterr().out))


def test_host_that_was_never_provisioned_is_no_failure(
    nothing_answers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = gather(capsys, root=str(nothing_answers))
    assert (found.get("failed"), found["changed"], found["release"], found["workers"]) == (None, False, None, [])
    assert found["missing"][:2] == ["Docker", "nginx"]
    assert found["unread"]


def test_each_returned_value_is_documented(nothing_answers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = gather(capsys, root=str(nothing_answers), controller_time=time.time())
    assert found.keys() - {"changed", "invocation"} == yaml.safe_load(agent_diagnosis_info.RETURN).keys()


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (
            {},
            {
                "access_log": "/var/log/nginx/sidekick.access.log",
                "site": "/etc/nginx/conf.d/livekit-agent-deploy-sidekick.conf",
            },
        ),
        ({"access_log": "/var/log/caddy.log"}, {"access_log": "/var/log/caddy.log", "site": ""}),
        ({}, {"since": None, "max_seconds": 3600.0, "access_log_pattern": None, "api_log_pattern": None}),
        ({"since": 5, "api_log_pattern": "x"}, {"since": 5.0, "api_log_pattern": "x", "agent_name": "support"}),
    ],
)
@pytest.mark.usefixtures("nothing_answers")
def test_parameters_reach_the_evidence(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    params: dict[str, Any],
    expected: dict[str, Any],
) -> None:
    monkeypatch.setattr(evidence, "gather", lambda _host, options: options._asdict())
    found = gather(capsys, **params)
    assert {key: found[key] for key in expected} == expected


@pytest.mark.usefixtures("nothing_answers")
def test_clock_is_compared_with_the_controllers(capsys: pytest.CaptureFixture[str]) -> None:
    assert gather(capsys)["clock_skew_seconds"] is None
    assert gather(capsys, controller_time=time.time() - 100)["clock_skew_seconds"] == pytest.approx(100, abs=20)
