"""The history of a host: one entry a line, whole whatever happens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.release import history
from ansible.module_utils.livekit_deploy.release.lock import LockRecord, Owner

RECORD = LockRecord(
    3, Owner("m", 1, "2", "anna@ci"), "deploy", 0.0, 9.0, {"from": "r0", "to": "r1"}, "switch", {"begin": 0.2}
)


def test_entry_says_who_what_and_how_it_ended() -> None:
    entry = history.run_entry(RECORD, history.TAKEN_BACK, "foreign", "somebody has the name")
    said = {
        key: entry[key]
        for key in ("by", "purpose", "from", "to", "outcome", "step", "verdict", "reason", "steps", "begun")
    }
    assert said == {
        "by": "anna@ci",
        "purpose": "deploy",
        "from": "r0",
        "to": "r1",
        "outcome": "taken back",
        "step": "switch",
        "verdict": "foreign",
        "reason": "somebody has the name",
        "steps": {"begin": 0.2},
        "begun": "1970-01-01T00:00:00Z",
    }


def numbered(number: int) -> Any:
    return {"n": number}


def numbers(path: Path) -> list[int]:
    found: list[Any] = list(history.history_entries(path))
    return [entry["n"] for entry in found]


def test_entries_are_read_in_the_order_they_were_written(tmp_path: Path) -> None:
    for number in range(3):
        history.append(tmp_path / "h", numbered(number))
    assert numbers(tmp_path / "h") == [0, 1, 2]


def test_line_that_a_hand_broke_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "h").write_text('{"n": 1}\n{"n":\n[]\n')
    assert history.history_entries(tmp_path / "h") == [{"n": 1}]


def test_history_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KEEP", 3)
    for number in range(5):
        history.append(tmp_path / "h", numbered(number))
    assert numbers(tmp_path / "h") == [2, 3, 4]


@pytest.mark.parametrize(
    ("outcomes", "failed"),
    [(["taken back"], True), (["taken back", "released"], False), (["interrupted"], False), ([], False)],
)
def test_release_failed_when_its_latest_run_was_taken_back(outcomes: list[str], failed: bool) -> None:
    entries: list[history.Entry] = [{"to": "r1", "outcome": outcome} for outcome in outcomes]
    assert (history.failed_run(entries, "r1") is not None) is failed


def test_words_of_a_former_version_are_told_in_todays(tmp_path: Path) -> None:
    steps = {"begin": 0.2, "start agent-worker": 3.0, "register and prove": 9.0, "start fastapi": 2.0, "take back": 1.0}
    line = {"to": "r1", "step": "start fastapi", "steps": steps}
    (tmp_path / "h").write_text(f"{json.dumps(line)}\n")
    (entry,) = history.history_entries(tmp_path / "h")
    assert (entry["step"], list(entry["steps"])) == (
        "start_api",
        ["begin", "start_worker", "prove", "start_api", "abandon"],
    )


@pytest.mark.parametrize("step", [None, 1, ["start fastapi"], "a step of a newer version"])
def test_step_that_nobody_knows_stays_as_it_is(tmp_path: Path, step: Any) -> None:
    (tmp_path / "h").write_text(f"{json.dumps({'step': step, 'steps': step})}\n")
    assert history.history_entries(tmp_path / "h") == [{"step": step, "steps": step}]
