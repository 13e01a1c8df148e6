"""Hooks: which file runs where, and what is refused before anything is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.module_utils.livekit_deploy.inventory import hooks


def test_hook_is_found_from_where_the_playbook_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert hooks.hook_files({"before_switch": "a.yml"}, "before_switch") == [str(tmp_path / "a.yml")]
    assert hooks.hook_files({"before_switch": "a.yml"}, "after_switch") == []


def test_file_that_is_there_is_no_problem(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("[]")
    assert (
        hooks.hook_problems(
            {"a": {"agent_release_hooks": {"on_failure": str(tmp_path / "a.yml")}}, "b": {}}, ["a", "b"]
        )
        == []
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"before_switch": "no-such.yml"}, "found no file no-such.yml for before_switch"),
        ({"before_swich": __file__}, "agent_release_hooks has before_swich, expected one of before_start_worker"),
        (
            {"before_start": __file__},
            "agent_release_hooks has before_start, the former name of before_start_worker. Rename it",
        ),
        ("a.yml", "agent_release_hooks is a str"),
    ],
)
def test_hook_that_would_be_skipped_in_silence_is_refused_once(given: object, said: str) -> None:
    (problem,) = hooks.hook_problems({host: {"agent_release_hooks": given} for host in ("a", "b")}, ["a", "b"])
    assert said in problem


@pytest.mark.parametrize("text", ["[]", "- {name: a, b: !vault c}", "$ANSIBLE_VAULT;1.1;AES256\n3333\n"])
def test_list_of_tasks_is_no_problem(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yml").write_text(text)
    assert hooks.host_hook_problems({"on_failure": str(tmp_path / "a.yml")}) == []


@pytest.mark.parametrize(
    ("text", "said"), [("[}", "found no YAML in"), ("name: a", "found no list in"), ("", "found no list in")]
)
def test_file_that_would_end_the_run_in_the_midst_of_a_release_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.yml").write_text(text)
    (problem,) = hooks.host_hook_problems({"before_switch": str(tmp_path / "a.yml")})
    assert said in problem
    assert problem.endswith(f"for before_switch ({tmp_path}/a.yml), expected a list of tasks. Correct it")
