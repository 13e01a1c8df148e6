"""Which process a run is, so that a host knows when it has ended."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.module_utils.livekit_deploy.play import owner


def test_owner_is_this_process_and_alive() -> None:
    us = owner.owner()
    assert us["process"] == os.getpid()
    assert f"{us['process']}:{us['started']}" in owner.alive()


def test_owner_is_the_run_also_in_a_child_that_it_forks() -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(owner.owner) == owner.owner()


def test_process_that_has_ended_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True) as process:
        key = f"{process.pid}:{owner.start_time(owner.PROC / str(process.pid))}"
        assert key in owner.alive()
        process.communicate("\n")
    assert key not in owner.alive()


@pytest.mark.parametrize("name", ["python3", "a b", "x) S 1 (y"])
def test_start_time_is_found_whatever_the_process_is_called(tmp_path: Path, name: str) -> None:
    fields = " ".join(str(number) for number in range(3, 53))
    (tmp_path / "stat").write_text(f"7 ({name}) {fields}\n")
    assert owner.start_time(tmp_path) == "22"


# --- foreign controllers ---------------------------------------------------------------------------------------------


@pytest.fixture
def reporting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(owner, "_announced", [str(tmp_path)])


@pytest.mark.usefixtures("reporting")
def test_controller_without_proc_is_refused_in_words(tmp_path: Path) -> None:
    (problem,) = owner.problems(tmp_path / "nothing")
    assert all(word in problem for word in ("Found: ", "nothing", "Expected: Linux", "Run the playbook from Linux"))


@pytest.mark.usefixtures("reporting")
def test_controller_with_proc_is_fine() -> None:
    assert owner.problems() == []


def test_run_without_the_callback_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "_announced", [])
    (problem,) = owner.problems()
    assert "This run would leave no report" in problem


@pytest.mark.parametrize(("host", "shown"), [("ci.example", "ci.example"), ("an odd \udcff\n", "an?odd???"), ("", "?")])
def test_user_without_a_name_and_any_name_of_a_machine_are_told(
    monkeypatch: pytest.MonkeyPatch, host: str, shown: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    monkeypatch.setattr(owner.socket, "gethostname", lambda: host)
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    assert owner.who() == f"uid-54321@{shown}"


def test_limit_that_matches_nothing_is_refused_with_the_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(owner, "_announced", [])
    monkeypatch.setattr(owner, "_unmatched", [])
    owner.announce(tmp_path, ["stagin-1", "!other"], ["staging-2", "staging-1"])
    (problem,) = owner.problems()
    assert "--limit stagin-1, !other matches no host" in problem
    assert problem.endswith("To choose from: staging-1, staging-2")
    owner.announce(tmp_path)
    assert (owner.problems(), owner.reports()) == ([], str(tmp_path))


def test_long_choice_is_cut() -> None:
    assert owner.unmatched_text(["x"], [f"h{n:02}" for n in range(25)]).endswith("h19 and 5 more")
