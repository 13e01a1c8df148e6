"""The module agent_release as Ansible runs it; what its steps do is tested in the unit tests of the package release."""

from __future__ import annotations

import json
from typing import Any

import agent_release
import pytest
from ansible.module_utils.livekit_deploy.release.lock import Claim, Lock, Owner
from ansible.module_utils.testing import patch_module_args

RELEASE = "20260101T000000Z-00000001"


def run(capsys: pytest.CaptureFixture[str], **params: Any) -> dict[str, Any]:
    with patch_module_args({"app": "app", **params}), pytest.raises(SystemExit):
        agent_release.main()
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (
            {"step": "switch", "release": "latest", "fence": 1},
            "found release 'latest', expected YYYYMMDDThhmmssZ-<8 hex digits>",
        ),
        ({"step": "switch", "release": RELEASE}, "missing required arguments: fence"),
        *(
            ({"step": step, "fence": 1}, "missing: release")
            for step in ("pull", "start_candidate", "start_worker", "start_api", "switch")
        ),
        ({"state": "serving", "step": "switch", "release": RELEASE, "fence": 1}, "Unsupported parameters"),
    ],
)
def test_wrong_parameters_are_refused(capsys: pytest.CaptureFixture[str], params: dict[str, Any], said: str) -> None:
    assert said in run(capsys, **params)["msg"]


@pytest.mark.parametrize("step", list(agent_release.STEPS))
def test_check_mode_does_no_step(capsys: pytest.CaptureFixture[str], step: str) -> None:
    params = {"release": RELEASE, "fence": 1, "_ansible_check_mode": True}
    assert run(capsys, step=step, **params)["changed"] is False


def test_step_without_the_lock_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    (tmp_path / "app").mkdir()
    answer = run(capsys, step="pull", root=str(tmp_path), release=RELEASE, fence=7)
    assert "expected that this run (number 7) still deploys. Run it again" in answer["msg"]


def test_end_of_a_run_tells_what_still_drains(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    done = {"draining": [RELEASE], "retired": [], "removed": [], "images_removed": []}
    monkeypatch.setattr(agent_release.Deployment, "end", lambda *_: done)
    (note,) = run(capsys, step="drain", root=str(tmp_path), fence=1, instance_host="a")["report_notes"]
    assert note.startswith("a: 20260101T000000Z-00000001 still has calls, or requests to its API, and drains")


def test_reason_shows_no_secret_of_a_release(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    (tmp_path / f"app/releases/{RELEASE}").mkdir(parents=True)
    (tmp_path / f"app/releases/{RELEASE}/fastapi.env").write_text("TOKEN='sk-proj-4711abcd'\n")
    lock = Lock(tmp_path / "app")
    with lock.taken(Claim(Owner("m", 1, "2", "anna@ci"), "deploy"), 0.0) as (record, _killed):
        lock.note(record.fence, "begin", 0.0, change={"to": RELEASE})
    run(capsys, step="abandon", root=str(tmp_path), fence=record.fence, reason="it says sk-proj-4711abcd")
    assert "it says ***" in (tmp_path / "app/history.jsonl").read_text()
