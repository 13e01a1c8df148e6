# SPDX-License-Identifier: Apache-2.0
"""The module livekit_dispatch as Ansible runs it."""

from __future__ import annotations

import json
import re
from typing import Any

import livekit_dispatch
import pytest
import yaml
from ansible.module_utils.livekit_deploy.livekit import client
from ansible.module_utils.testing import patch_module_args

SERVER = {"url": "ws://127.0.0.1:1", "api_key": "key", "api_secret": "very-secret-very-secret-very-secret"}


def run(capsys: pytest.CaptureFixture[str], **params: Any) -> dict[str, Any]:
    with patch_module_args({**SERVER, **params}), pytest.raises(SystemExit):
        livekit_dispatch.main()
    out = capsys.readouterr().out
    assert SERVER["api_secret"] not in out
    return dict(json.loads(out))


def test_a_refused_connection_is_a_result_not_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    answer = run(capsys, probes=[{"id": "a", "agent_name": "x"}, {"id": "b", "expect": "nobody"}])
    assert not answer.get("failed")
    assert answer["changed"] is False
    assert {key: probe["outcome"] for key, probe in answer["probes"].items()} == {"a": "error", "b": "error"}
    assert answer["probes"]["a"]["error_kind"] == "unreachable"


def test_check_mode_sends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    answer = run(capsys, probes=[{"id": "a", "agent_name": "x"}], _ansible_check_mode=True)
    assert (answer["probes"], answer["waits"], answer["changed"]) == ({}, [], False)


FAILURES: list[tuple[dict[str, Any], str]] = [
    ({"probes": [{"id": "a"}]}, "agent_name is missing"),
    ({"probes": [{"id": "a", "agent_name": "x"}], "url": "nonsense"}, "is no address of a LiveKit server"),
    ({"probes": [{"id": "a", "agent_name": "x"}], "api_secret": ""}, "API secret is empty"),
    ({"probes": [{"id": "a", "agent_name": "x", "mode": "maybe"}]}, "value of mode must be one of"),
]


@pytest.mark.parametrize(("params", "text"), FAILURES)
def test_what_cannot_be_sent_fails(capsys: pytest.CaptureFixture[str], params: dict[str, Any], text: str) -> None:
    with patch_module_args({**SERVER, **params}), pytest.raises(SystemExit):
        livekit_dispatch.main()
    answer = json.loads(capsys.readouterr().out)
    assert answer["failed"]
    assert text in answer["msg"]


def test_a_missing_library_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "IMPORT_ERROR", "ImportError")
    assert "livekit-api" in run(capsys, probes=[])["msg"]


def options_of(documented: dict[str, Any]) -> dict[str, Any]:
    return {key: options_of(value.get("suboptions", {})) for key, value in documented.items()}


def spec_of(arguments: dict[str, Any]) -> dict[str, Any]:
    return {key: spec_of(value.get("options", {})) for key, value in arguments.items()}


def test_the_documentation_names_every_option() -> None:
    documented = yaml.safe_load(livekit_dispatch.DOCUMENTATION)
    assert options_of(documented["options"]) == spec_of(livekit_dispatch.ARGUMENTS)


def test_the_documentation_names_every_result(capsys: pytest.CaptureFixture[str]) -> None:
    documented = yaml.safe_load(livekit_dispatch.RETURN)
    answer = run(capsys, probes=[{"id": "a", "agent_name": "x"}])
    assert set(answer) - {"invocation", "changed", "warnings"} == set(documented)
    assert set(answer["probes"]["a"]) == set(documented["probes"]["contains"])


def test_the_example_can_be_sent() -> None:
    task = yaml.safe_load(re.sub(r"\{\{.*?\}\}", "x", livekit_dispatch.EXAMPLES))[0]
    assert livekit_dispatch.probe_refusals([{"kind": "probe", **p} for p in task["livekit_dispatch"]["probes"]]) == []


# --- sent by one call, looked for by another ---


def test_what_is_left_has_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    answer = run(capsys, probes=[{"id": "a/vacancy", "agent_name": "a", "expect": "nobody"}], leave=True)
    (sent,) = answer["sent"]
    assert (sent["id"], sent["agent_name"], sent["created"], answer["probes"]) == ("a/vacancy", "a", 0.0, {})
    assert SERVER["api_key"] not in json.dumps(answer)


def test_what_could_not_be_sent_is_sent_when_it_is_collected(capsys: pytest.CaptureFixture[str]) -> None:
    sent = run(capsys, probes=[{"id": "a/vacancy", "agent_name": "a", "expect": "nobody"}], leave=True)["sent"]
    answer = run(capsys, collect=sent)
    assert answer["probes"]["a/vacancy"]["error_kind"] == "unreachable"


def test_nothing_to_collect_is_nothing_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, collect=[])["probes"] == {}


def test_what_has_to_be_watched_cannot_be_left(capsys: pytest.CaptureFixture[str]) -> None:
    answer = run(capsys, probes=[{"id": "a", "kind": "rehearsal", "agent_name": "a"}], leave=True)
    assert "cannot be left" in answer["msg"]


@pytest.mark.parametrize("params", [{}, {"probes": [], "collect": [], **SERVER}, {"probes": []}, {"collect": []}])
def test_either_probes_or_what_was_sent_and_their_server(
    capsys: pytest.CaptureFixture[str], params: dict[str, Any]
) -> None:
    with patch_module_args(params), pytest.raises(SystemExit):
        livekit_dispatch.main()
    assert json.loads(capsys.readouterr().out)["failed"]
