# SPDX-License-Identifier: Apache-2.0
"""The module deployment_verdict_info as Ansible runs it; what it decides is tested in test_verdict.py."""

from __future__ import annotations

import json
from typing import Any

import deployment_verdict_info
import pytest
import yaml
from ansible.module_utils.testing import patch_module_args


def run(capsys: pytest.CaptureFixture[str], **params: Any) -> dict[str, Any]:
    with patch_module_args(params), pytest.raises(SystemExit):
        deployment_verdict_info.main()
    return dict(json.loads(capsys.readouterr().out))


def test_a_bad_verdict_is_a_result_not_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    answer = run(capsys, hosts={"a": {"agent_name": "support"}}, probes={})
    assert not answer.get("failed")
    assert (answer["ok"], answer["failed_hosts"], answer["changed"]) == (False, ["a"], False)
    assert answer["report"]["a"]["verdict"] == "inconclusive"


@pytest.mark.parametrize("check_mode", [False, True])
def test_check_mode_is_the_same(capsys: pytest.CaptureFixture[str], check_mode: bool) -> None:
    answer = run(capsys, hosts={"a": None}, probes={}, _ansible_check_mode=check_mode)
    assert answer["failed_hosts"] == ["a"]


def test_the_documentation_names_every_option_and_result(capsys: pytest.CaptureFixture[str]) -> None:
    options = yaml.safe_load(deployment_verdict_info.DOCUMENTATION)["options"]
    documented = yaml.safe_load(deployment_verdict_info.RETURN)
    answer = run(capsys, hosts={"a": {}}, probes={})
    # That one is documented for several modules.
    assert {*options, "playbooks"} == set(deployment_verdict_info.ARGUMENTS)
    assert set(answer) - {"invocation", "changed", "warnings"} == set(documented)
    assert set(answer["report"]["a"]) == set(documented["report"]["contains"])
