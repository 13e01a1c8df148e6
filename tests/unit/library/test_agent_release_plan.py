"""The module agent_release_plan as Ansible runs it; what it decides is tested in the tests of the package release."""

from __future__ import annotations

import json
from typing import Any

import agent_release_plan
import pytest
from ansible.module_utils.livekit_deploy.machine import docker_variants
from ansible.module_utils.testing import patch_module_args

from tests.unit.module_utils.standin import Told

OWNER = {"machine": "m", "process": 1, "started": "2", "name": "anna@ci"}
BEGIN = {"owner": OWNER, "stamp": "20260101T000000Z", "api_ports": [1, 2], "instance_host": "a"}


def run(capsys: pytest.CaptureFixture[str], **params: Any) -> dict[str, Any]:
    with patch_module_args({"app": "app", **params}), pytest.raises(SystemExit):
        agent_release_plan.main()
    return dict(json.loads(capsys.readouterr().out))


def test_owner_of_the_lock_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    assert "missing required arguments: owner" in run(capsys, stamp="20260101T000000Z", api_ports=[1, 2])["msg"]


def test_host_that_was_not_provisioned_is_refused_with_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(docker_variants, "look", lambda *_: docker_variants.Docker())
    answer = run(capsys, **BEGIN, root=str(tmp_path), playbooks={"sources": ["x"]})
    assert answer["failed"]
    assert answer["msg"].endswith(
        "expected a provisioned host. Run: ansible-playbook -i x playbooks/provision.yml --limit a"
    )


def test_host_whose_docker_cannot_be_used_is_refused_with_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(docker_variants, "look", lambda *_: docker_variants.Docker(version="27.3.1", compose="2.5.0"))
    msg = run(capsys, **BEGIN, root=str(tmp_path), playbooks={"sources": ["x"]})["msg"]
    assert "Docker Engine 27.3.1 with Docker Compose 2.5.0, expected Compose" in msg
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"unresolved": "found: no image r/a:1"}, "found: no image r/a:1"),
        ({"goal": {"kind": "shared_name"}}, "found no livekit_agent_shared_name"),
        (
            {"env": {"fastapi": {"FLAG": True}}},
            "found: FLAG (of type bool) in the environment, expected texts: put it in quotes",
        ),
        ({"secret_env": {"fastapi": {"LIST": ["a"]}}}, "found: LIST (of type list) in the environment"),
        ({"controller_time": 1000.0, "clock_skew_limit_seconds": 30}, "Set the clock (timedatectl)"),
    ],
)
def test_run_is_refused_before_the_lock(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    params: dict[str, Any],
    said: str,
) -> None:
    monkeypatch.setattr(agent_release_plan.refusal, "missing_on_host", lambda *_: [])
    assert said in run(capsys, **BEGIN, root=str(tmp_path), **params)["msg"]
    assert list(tmp_path.iterdir()) == []


PLAN = {
    "changed": True,
    "id": "20260101T000000Z-00000001",
    "project": "p",
    "agent_name": "all",
    "images": {},
    "reasons": ["rollback"],
    "candidate": None,
    "adopted": False,
    "returns_from": None,
}


@pytest.mark.parametrize("check", [False, True], ids=["begun", "in a check run"])
@pytest.mark.parametrize(("kind", "warned"), [("shared_name", True), ("release", False)])
def test_rollback_to_a_shared_name_warns_when_it_begins(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    check: bool,
    kind: str,
    warned: bool,
) -> None:
    answer = {
        "plan": {**PLAN, "rolled_back": {"kind": kind}},
        "release": {"id": "r", "app": "app", "agent_name": "own"},
    }
    monkeypatch.setattr(agent_release_plan.refusal, "missing_on_host", lambda *_: [])
    monkeypatch.setattr(agent_release_plan.begin, "preview_run" if check else "begin_run", lambda *_: answer)
    warnings: list[str] = []
    monkeypatch.setattr(agent_release_plan.Module, "warn", lambda _, text: warnings.append(text))
    notes = run(capsys, **BEGIN, root=str(tmp_path), _ansible_check_mode=check)["report_notes"]
    begins = (
        "a: all is a shared name: other workers that have it get a part of its jobs, "
        "until the next deploy.yml returns to"
    )
    assert [text.startswith(begins) for text in warnings] == [True] * warned
    assert [text for text in notes if text.startswith(begins)] == warnings


@pytest.mark.parametrize(
    "given",
    [
        {"secret_env": {"fastapi": {"OPENAI_API_KEY": "sk-proj-4711abcd"}}},
        {"env": {"agent-worker": {"GREETING": "sk-proj-4711abcd"}}},
    ],
)
def test_reason_and_messages_show_no_secret_of_the_release(tmp_path: Any, given: dict[str, Any]) -> None:
    host = agent_release_plan.Releases(
        Told(lambda _argv: (0, "", "")), "app", str(tmp_path), str(tmp_path / "upstream")
    )
    masker = agent_release_plan.masker(host, {"env": {}, "secret_env": {}, **given})
    assert masker("found: it says sk-proj-4711abcd") == "found: it says ***"


def test_reason_is_masked_with_what_earlier_releases_have(tmp_path: Any) -> None:
    (tmp_path / "releases/20260101T000000Z-00000000").mkdir(parents=True)
    (tmp_path / "releases/20260101T000000Z-00000000/fastapi.env").write_text("TOKEN='sk-proj-4711abcd'\n")
    host = agent_release_plan.Releases(
        Told(lambda _argv: (0, "", "")), "app", str(tmp_path), str(tmp_path / "upstream")
    )
    masker = agent_release_plan.masker(host, {"env": {}, "secret_env": {}})
    assert masker("sk-proj-4711abcd") == "***"
