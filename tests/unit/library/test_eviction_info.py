# SPDX-License-Identifier: Apache-2.0
"""The module eviction_info as Ansible runs it."""

from __future__ import annotations

import json
from typing import Any

import eviction_info
import pytest
from ansible.module_utils.testing import patch_module_args

HOST = {
    "group": "agent_hosts",
    "in_run": True,
    "agent_name": "a",
    "pool": "h1",
    "urls": [],
    "app": "sidekick",
    "releases": [],
    "workers": [],
    "evictions": [],
    "unread": [],
}


def ask(capsys: pytest.CaptureFixture[str], **params: Any) -> dict[str, Any]:
    with patch_module_args({"hosts": {"h1": HOST}, **params}), pytest.raises(SystemExit):
        eviction_info.main()
    return dict(json.loads(capsys.readouterr().out))


def test_decision_is_no_report_yet(capsys: pytest.CaptureFixture[str]) -> None:
    found = ask(capsys)
    assert (found["prove"], found["problems"], found["trouble"], "report_lines" in found) == (["h1"], [], "", False)


def test_end_of_a_run_is_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    found = ask(capsys, conclude=True)
    assert found["report_documents"]["evict.json"]["ok"]
    assert found["report_lines"][0] == "a, of pool h1"


def test_refusal_is_a_report_and_no_failure_of_the_module(capsys: pytest.CaptureFixture[str]) -> None:
    found = ask(capsys, worker_id="AW_X")
    assert (found["target"], len(found["problems"]), "failed" in found) == (None, 1, False)
    assert "AW_X is on no known host" in found["trouble"]
    assert found["report_documents"]["evict.json"]["ok"] is False


def test_check_run_proves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(capsys, _ansible_check_mode=True)["prove"] == []
