# SPDX-License-Identifier: Apache-2.0
"""The module deployment_status_info as Ansible runs it; what it says is tested in test_status.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import deployment_status_info
import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

HOSTS = {"a": {"agent_name": "support-a", "pool": "a", "evidence": {}, "unread": "no route", "unreachable": True}}


def run(capsys: pytest.CaptureFixture[str], reports: Path, **params: Any) -> dict[str, Any]:
    with patch_module_args({"hosts": HOSTS, "reports": str(reports), **params}), pytest.raises(SystemExit):
        deployment_status_info.main()
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_host_out_of_reach_is_a_row_and_no_failure(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, check_mode: bool
) -> None:
    answer = run(capsys, tmp_path, _ansible_check_mode=check_mode)
    assert (answer.get("failed"), answer["changed"], answer["hosts"]["a"]["state"]) == (None, False, "unreachable")
    assert "unreachable: no route" in answer["report_lines"][2]
    assert answer["report_documents"]["status.json"]["hosts"] == answer["hosts"]


def test_the_last_verdict_is_read_from_the_reports(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "verdicts.json").write_text(
        json.dumps({"a": {"verdict": "foreign", "ok": False, "at": "2026-01-01T00:00:00Z"}})
    )
    assert run(capsys, tmp_path)["hosts"]["a"]["verdict"]["verdict"] == "foreign"


@pytest.mark.parametrize(
    ("text", "words"), [('{"a"', "found in verdicts.json: it is no JSON"), (None, "verdicts.json cannot be read")]
)
def test_a_file_of_verdicts_that_cannot_be_read_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str | None, words: str
) -> None:
    path = tmp_path / "verdicts.json"
    path.write_text(text) if text else path.mkdir()
    answer = run(capsys, tmp_path)
    assert (answer.get("failed"), answer["hosts"]["a"]["verdict"]) == (None, None)
    assert words in answer["report_lines"][-1]


def test_the_documentation_names_every_option_and_result(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = yaml.safe_load(deployment_status_info.DOCUMENTATION)["options"]
    documented = yaml.safe_load(deployment_status_info.RETURN)
    answer = run(capsys, tmp_path)
    assert set(options) == set(deployment_status_info.ARGUMENTS)
    assert set(answer) - {"invocation", "changed", "warnings"} == set(documented)
    assert set(answer["hosts"]["a"]) == set(documented["hosts"]["contains"])
