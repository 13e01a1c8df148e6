"""Which process a run is, so that a host knows when it has ended."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible.module_utils.livekit_deploy import controller


def test_owner_is_this_process_and_alive() -> None:
    owner = controller.owner()
    assert owner["process"] == os.getpid()
    assert f"{owner['process']}:{owner['started']}" in controller.alive()


def test_owner_is_the_run_also_in_a_child_that_it_forks() -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(controller.owner) == controller.owner()


def test_process_that_has_ended_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True) as process:
        key = f"{process.pid}:{controller.start_time(controller.PROC / str(process.pid))}"
        assert key in controller.alive()
        process.communicate("\n")
    assert key not in controller.alive()


@pytest.mark.parametrize("name", ["python3", "a b", "x) S 1 (y"])
def test_start_time_is_found_whatever_the_process_is_called(tmp_path: Path, name: str) -> None:
    fields = " ".join(str(number) for number in range(3, 53))
    (tmp_path / "stat").write_text(f"7 ({name}) {fields}\n")
    assert controller.start_time(tmp_path) == "22"
