# SPDX-License-Identifier: Apache-2.0
"""A log is read in constant memory, of one too long the newest part; each reading says from when to when it reaches."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.common import times
from ansible.module_utils.livekit_deploy.machine import command, docker, logs
from ansible.module_utils.livekit_deploy.machine.logs import Log, Reach
from ansible.module_utils.livekit_deploy.worker import readings, worker_log

from tests.unit.module_utils.standin import Said, Told

NOW, CREATED = 1_800_000_000.0, 1_799_990_000.0


def stamped(seconds: float, text: str = "words") -> str:
    return f"{times.iso(CREATED + seconds).replace('+00:00', 'Z')} {text}"


class Kept:
    """A fold that keeps all."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def take(self, line: str) -> None:
        self.lines.append(line)


def changed(**values: Any) -> Log:
    """A log that was read, and what is known of it then."""
    log = Log(["x"], began=CREATED)
    assert list(log) == ["x"]
    for name, value in values.items():
        setattr(log, name, value)
    return log


@pytest.mark.parametrize(
    ("log", "first", "expected"),
    [
        pytest.param(changed(), CREATED + 5, (CREATED, True, ""), id="begins with what writes it"),
        pytest.param(changed(), CREATED + 500, (CREATED + 500, True, "older lines are gone"), id="rotated"),
        pytest.param(
            changed(older="only its newest 9 lines"),
            CREATED + 5,
            (CREATED + 5, True, "only its newest"),
            id="its newest part",
        ),
        pytest.param(
            changed(cut="its deadline passed"),
            CREATED + 5,
            (CREATED + 5, False, "its deadline passed"),
            id="without its newest",
        ),
        pytest.param(
            changed(dropped=True), CREATED + 5, (CREATED + 5, False, "dropped lines"), id="the journal dropped some"
        ),
        pytest.param(changed(unread="no driver"), None, (None, False, "no driver"), id="not read"),
        pytest.param(changed(), None, (None, False, "none of its lines has a time"), id="without times"),
        pytest.param(Log(began=CREATED), None, (CREATED, True, ""), id="empty"),
        pytest.param(changed(began=None), CREATED + 5, (CREATED + 5, True, ""), id="nobody knows since when"),
    ],
)
def test_reading_says_from_when_on_it_is_whole(
    log: Log, first: float | None, expected: tuple[float | None, bool, str]
) -> None:
    found = log.reach(first, NOW)
    assert (found.begins, found.whole) == expected[:2]
    assert expected[2] in found.why
    assert (found.why == "") == (expected[2] == "")


@pytest.mark.parametrize(("first", "begins"), [(CREATED + 500, CREATED), (CREATED - 5, CREATED)])
def test_first_word_of_a_program_may_come_late(first: float, begins: float) -> None:
    assert changed().reach(first, NOW, from_start=True)[:3] == (begins, NOW, True)


@pytest.mark.parametrize(
    ("reach", "covered"),
    [
        (Reach(5.0, 9.0, True), True),
        (Reach(6.0, 9.0, True), False),
        (Reach(5.0, 9.0, False), False),
        (Reach(None, 9.0, True), False),
    ],
)
def test_reading_covers_a_time_only_if_it_is_whole_from_then_on(reach: Reach, covered: bool) -> None:
    assert reach.covers(5.0) is covered


class Long:
    """A Docker whose log has so many lines that one reading gets through no more than ``most``."""

    def __init__(self, total: int, most: int) -> None:
        self.total, self.most, self.tails = total, most, list[int]()

    def __call__(self, argv: Sequence[str], /) -> tuple[int, str, str]:
        raise AssertionError(argv)

    def lines(self, argv: Sequence[str], /, seconds: float | None = None, max_bytes: int = 0) -> Said:  # noqa: ARG002
        tail = int(argv[argv.index("--tail") + 1]) if "--tail" in argv else self.total
        self.tails.append(tail)
        numbers = range(max(0, self.total - tail), self.total)
        text = "\n".join(stamped(number, f"line {number}") for number in numbers[: self.most])
        cut = "its deadline passed" if len(numbers) > self.most else ""
        return Said((command.TOO_LATE if cut else 0, text, ""), cut)


def test_of_a_log_that_is_too_long_the_newest_part_is_read_and_said() -> None:
    long = Long(50_000, 8_000)
    fold, log = logs.folded(logs.ContainerLog(long, "c", CREATED), Kept)
    assert (long.tails, fold.lines[-1][-10:], len(fold.lines)) == ([50_000, 2_000], "line 49999", 2_000)
    reach = log.reach(CREATED + 48_000, NOW)
    assert (reach.begins, reach.whole, reach.why) == (CREATED + 48_000, True, "only its newest 2000 lines were read")


def test_log_that_can_never_be_read_to_its_end_is_not_whole() -> None:
    fold, log = logs.folded(logs.ContainerLog(Long(50_000, 500), "c", CREATED), Kept)
    assert (len(fold.lines), log.reach(CREATED, NOW).whole) == (500, False)


def test_registration_before_the_part_that_was_read_is_not_guessed() -> None:
    def answer(argv: Sequence[str]) -> tuple[int, str, str]:
        return 0, "\n".join(stamped(1000 + number) for number in range(3)), str(argv)[:0]

    container = {"Id": "c", "Name": "/c", "Created": times.iso(CREATED), "Config": {"Image": "i"}}
    state = {"Running": False, "ExitCode": 0, "StartedAt": times.iso(CREATED)}
    found = readings.reading(
        {**container, "State": state}, readings.container_log(Told(answer), container), readings.Selection()
    )
    assert (found["worker_id"], found["reach"]["begins"], found["reach"]["why"]) == (
        None,
        CREATED + 1000,
        "older lines are gone, or were written elsewhere",
    )


def test_log_that_docker_cannot_read_is_an_error_with_its_words() -> None:
    with pytest.raises(docker.EngineError, match="does not support reading"):
        logs.folded(logs.ContainerLog(Told(lambda _argv: (1, "", "driver does not support reading")), "c"), Kept)


def test_file_is_read_from_its_end_and_no_line_in_half(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {number:03}\n" for number in range(100)))
    for size, expected in ((27, ["line 097", "line 098", "line 099"]), (26, ["line 098", "line 099"]), (9_000, 100)):
        log = logs.FileLog([path], size=size)
        found = list(log)
        assert found == expected if isinstance(expected, list) else len(found) == expected
        assert bool(log.older) == (size < 900)


def test_file_that_takes_too_long_is_read_from_nearer_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    path.write_text("x" * 100 + "\nlast\n")
    monkeypatch.setattr(logs, "SECONDS", -1.0)
    assert [log.size for log in attempts(logs.FileLog([path], size=1600))] == [1600, 400, 100]


def attempts(log: logs.FileLog) -> Iterator[logs.FileLog]:
    for _ in range(logs.ATTEMPTS):
        assert list(log) == []
        assert log.cut
        yield log
        log = log.shorter()


JOURNAL = """1799990001.500000 host python3[7]: first
    second line of it
1799990002.500000 host systemd-journald[1]: Suppressed 12 messages from agent.service
1799990003.500000 host python3[7]: last
"""


def test_journal_gives_each_line_its_time_and_says_what_it_dropped() -> None:
    log = logs.JournalLog(Told(lambda _argv: (0, JOURNAL, "")), "agent.service", "1", CREATED)
    found = list(log)
    assert (found[0], found[1], found[-1]) == (
        "@1799990001.500000 first",
        "second line of it",
        "@1799990003.500000 last",
    )
    assert "dropped lines" in log.reach(CREATED + 1.5, NOW).why


def test_journal_without_lines_is_unread() -> None:
    log = logs.JournalLog(Told(lambda _argv: (1, "", "")), "agent.service", "1")
    assert list(log) == []
    assert "the journal of agent.service has nothing of its present run" in log.unread


SCRIPT = (
    r"""
import re, sys
import ansible.module_utils
ansible.module_utils.__path__.append(sys.argv[1])
from ansible.module_utils.livekit_deploy.common import times
from ansible.module_utils.livekit_deploy.machine import command
from ansible.module_utils.livekit_deploy.worker import worker_log
line = '{"message": "' + "words " * 60 + '", "level": "INFO"}\n'
say = "import sys\nfor _ in range(1500): sys.stdout.write(sys.argv[1] * 100)"
fold = worker_log.Fold()
for line in command.Runner().lines([sys.executable, "-c", say, line]):
    fold.take(line)
print(fold.lines, len(fold.result()["last_lines"]), """
    r"""int(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1]) // 1024)
"""
)


def test_large_log_is_read_in_constant_memory() -> None:
    """150,000 lines, 60 MiB: read at once they would take 200 MiB and more."""
    root = Path(__file__).parents[4]
    argv = [sys.executable, "-c", SCRIPT, str(root / "module_utils")]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=120)
    lines, last, mebibytes = map(int, done.stdout.split())
    assert (lines, last) == (150_000, worker_log.LAST_LINES)
    assert mebibytes < 120


def test_fold_keeps_a_bounded_part_of_an_endless_log() -> None:
    fold = worker_log.Fold()
    for number in range(30_000):
        fold.take(f'{{"message": "received job request", "level": "INFO", "job_id": "AJ_{number}", "room": "r"}}')
        fold.take(f"ERROR: trouble {number}")
    assert (len(fold.asked), len(fold.requests), len(fold.awaiting) <= worker_log.TWINS + 1) == (10_000, 500, True)
    assert fold.result()["unknown_errors"] == 30_000
