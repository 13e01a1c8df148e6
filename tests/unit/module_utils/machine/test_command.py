"""Programs of a host are run in one place: whatever the host's environment is, and however they behave."""

from __future__ import annotations

import os
import pwd
import time

import pytest
from ansible.module_utils.livekit_deploy.machine import command
from ansible.module_utils.livekit_deploy.machine.command import LINE_BYTES, Runner


def test_program_that_is_not_there_is_a_status_and_no_exception() -> None:
    assert Runner()(["no-such-program-here"]) == (127, "", "no-such-program-here: No such file or directory")


def test_status_output_and_errors_are_answered() -> None:
    assert Runner()(["sh", "-c", "echo out; echo err >&2; exit 3"]) == (3, "out\n", "err\n")


@pytest.mark.parametrize(
    "name",
    [
        "COMPOSE_PROJECT_NAME",
        "COMPOSE_FILE",
        "COMPOSE_PROFILES",
        "DOCKER_HOST",
        "DOCKER_CONTEXT",
        "http_proxy",
        "HTTPS_PROXY",
        "LANG",
        "TZ",
    ],
)
def test_no_variable_of_the_host_reaches_a_program(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "of-the-host")
    assert "of-the-host" not in Runner()(["env"])[1]


def test_words_are_english_in_utf_8_whatever_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    assert "LC_ALL=C.UTF-8\n" in Runner()(["env"])[1]


def test_programs_are_found_without_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")
    assert Runner()(["true"])[0] == 0


def test_a_relative_directory_of_the_path_is_not_used() -> None:
    assert command.environment({"PATH": ".:bin:/opt/own/bin"})["PATH"].split(":") == [
        *command.SYSTEM_PATH,
        "/opt/own/bin",
    ]


@pytest.mark.parametrize("home", ["/home/a", "", "relative"])
def test_home_of_whoever_logged_in_is_not_roots(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert command.environment({"HOME": home})["HOME"] == pwd.getpwuid(0).pw_dir


def test_root_without_a_passwd_entry_has_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_user: int) -> None:
        raise KeyError

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert command.environment({"HOME": "/home/a"})["HOME"] == "/root"


@pytest.mark.parametrize(("home", "used"), [("/home/a", "/home/a"), ("", "/"), ("relative", "/")])
def test_home_is_a_directory_also_without_a_passwd_entry(monkeypatch: pytest.MonkeyPatch, home: str, used: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert command.environment({"HOME": home})["HOME"] == used


def test_nothing_is_read_from_standard_input() -> None:
    assert Runner(5)(["cat"]) == (0, "", "")


def test_program_is_ended_at_its_deadline_with_all_that_it_started() -> None:
    started = time.monotonic()
    status, out, err = Runner(0.5)(["sh", "-c", "echo begun; sleep 60 & sleep 60"])
    assert (status, out) == (124, "begun\n")
    assert "did not end in time" in err
    assert time.monotonic() - started < 5


def test_child_that_keeps_the_output_open_does_not_keep_us() -> None:
    started = time.monotonic()
    assert Runner(0.5)(["sh", "-c", "sleep 60 &"])[0] == 124
    assert time.monotonic() - started < 5


def test_the_total_of_a_runner_bounds_each_program() -> None:
    run = Runner(60, total_seconds=0.3)
    assert run(["sleep", "60"])[0] == 124
    assert run(["true"])[0] == 124


def test_output_without_end_is_bounded() -> None:
    status, out, err = Runner(60)(["yes"])
    assert status == 124
    assert len(out) < command.OUTPUT_BYTES + command.BLOCK + 1
    assert "said more than 32 MiB" in err


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert Runner()(["printf", "a\\377b"])[1] == "a\ufffdb"


def test_lines_are_read_one_by_one_with_the_status_afterwards() -> None:
    lines = Runner().lines(["sh", "-c", "echo a; echo b >&2; printf c; exit 4"])
    assert (list(lines), lines.status, lines.cut) == (["a", "b", "c"], 4, "")


def test_a_line_without_end_is_cut_and_the_next_one_is_whole() -> None:
    script = f"head -c {3 * LINE_BYTES} /dev/zero | tr '\\0' x; echo; echo next"
    assert [len(line) for line in Runner().lines(["sh", "-c", script])] == [LINE_BYTES, 4]


def test_lines_end_at_the_deadline_and_say_so() -> None:
    lines = Runner(0.5).lines(["sh", "-c", "echo a; sleep 60"])
    assert (list(lines), lines.status, lines.cut) == (["a"], 124, "its deadline passed")


def test_more_than_the_bound_of_lines_is_not_read() -> None:
    lines = command.Lines(["yes"], time.monotonic() + 30, max_bytes=command.MIB)
    assert sum(len(line) + 1 for line in lines) < 2 * command.MIB
    assert lines.cut == "it is longer than 1 MiB"


def test_reader_that_stops_early_ends_the_program() -> None:
    lines = Runner(60).lines(["yes"])
    for line in lines:
        assert line == "y"
        break
    assert lines.status == -9
