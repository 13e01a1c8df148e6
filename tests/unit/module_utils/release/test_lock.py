"""The lock of a host: who may take it, who is told no, and that one who was overtaken changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.release.lock import (
    Claim,
    Lock,
    LockError,
    LockRecord,
    Owner,
    since_the_step,
    why_free,
)

MODULE_UTILS = Path(__file__).resolve().parents[4] / "module_utils"

US, THEM = Owner("m1", 10, "100", "anna@ci", "7"), Owner("m2", 20, "200", "ben@laptop")
SIBLING = Owner("m1", 11, "110", "carl@ci")
NOW = 1000.0

FREE = [
    ("nobody has it", LockRecord(3), ()),
    ("it is ours", LockRecord(3, US, "deploy", 900.0, 1100.0), ()),
    ("process 11 of carl@ci has ended", LockRecord(3, SIBLING, "deploy", 900.0, 1100.0), ("1:1", "10:100", "12:120")),
    (
        "process 11 of carl@ci has ended (others are hidden)",
        LockRecord(3, replace(SIBLING, user="7"), "deploy", 900.0, 1100.0),
        ("10:100", "12:120"),
    ),
    ("a new process has the number", LockRecord(3, SIBLING, "deploy", 900.0, 1100.0), ("1:1", "11:999")),
    ("the lease of ben@laptop (process 20, deploy) ended 50 s ago", LockRecord(3, THEM, "deploy", 800.0, 950.0), ()),
]
HELD = [
    (
        "a process of another user where others are hidden",
        LockRecord(3, SIBLING, "deploy", 900.0, 1100.0),
        ("10:100", "12:120"),
    ),
    (
        "nor does a list without any process say anything",
        LockRecord(3, replace(SIBLING, user="7"), "deploy", 900.0, 1100.0),
        (),
    ),
    ("another machine within its lease", LockRecord(3, THEM, "deploy", 900.0, 1100.0), ()),
    (
        "another machine's process with the number of a dead one of ours",
        LockRecord(3, THEM, "deploy", 900.0, 1100.0),
        ("10:100",),
    ),
    ("a living process of our machine", LockRecord(3, SIBLING, "deploy", 900.0, 1100.0), ("1:1", "11:110")),
    (
        "a process that began after the living ones were listed",
        LockRecord(3, SIBLING, "deploy", 900.0, 1100.0),
        ("1:1", "10:100"),
    ),
]


@pytest.mark.parametrize(("_why", "record", "alive"), FREE, ids=[row[0] for row in FREE])
def test_lock_can_be_taken(_why: str, record: LockRecord, alive: tuple[str, ...]) -> None:
    assert why_free(record, US, alive, NOW)


@pytest.mark.parametrize(("_why", "record", "alive"), HELD, ids=[row[0] for row in HELD])
def test_lock_is_somebody_elses(_why: str, record: LockRecord, alive: tuple[str, ...]) -> None:
    assert why_free(record, US, alive, NOW) == ""


def test_reason_to_take_over_names_the_owner() -> None:
    assert why_free(FREE[-1][1], US, (), NOW) == FREE[-1][0]


def claim(
    owner: Owner = US, lease: float = 60.0, alive: tuple[str, ...] = ("1:1", "10:100", "11:110", "12:120")
) -> Claim:
    return Claim(owner, "deploy", lease, frozenset(alive))


@pytest.fixture
def mine(tmp_path: Path) -> Lock:
    return Lock(tmp_path)


def take(one: Lock, wanted: Claim, wait: float = 0.0) -> int:
    with one.taken(wanted, wait) as (record, _before):
        return record.fence


def test_fencing_number_grows_with_every_owner(mine: Lock) -> None:
    first = take(mine, claim())
    mine.release(first)
    assert take(mine, claim(THEM)) == first + 1


def test_second_run_is_told_whose_the_lock_is(mine: Lock) -> None:
    take(mine, claim(THEM))
    with pytest.raises(LockError, match=r"found: ben@laptop \(process 20, deploy\) deploys to this host"):
        take(mine, claim())


def test_second_run_waits_for_the_first(mine: Lock) -> None:
    take(mine, claim(THEM, lease=0.3))
    started = time.monotonic()
    take(mine, claim(), wait=5.0)
    assert 0.2 < time.monotonic() - started < 3.0


def test_step_of_the_owner_renews_its_lease(mine: Lock) -> None:
    fence = take(mine, claim(lease=1.0))
    with mine.held(fence, "switch", 900.0) as record:
        assert record.lease_until > time.time() + 900
    assert mine.read().lease_until > time.time() + 1000


def test_overtaken_owner_changes_nothing(mine: Lock) -> None:
    old = take(mine, claim(THEM, lease=-1.0))
    take(mine, claim())
    with pytest.raises(LockError, match=r"anna@ci .* has taken over"), mine.held(old, "switch", 60.0):
        pytest.fail("the step was done")


def test_overtaken_owner_changes_nothing_after_the_other_is_done(mine: Lock) -> None:
    old = take(mine, claim(THEM, lease=-1.0))
    mine.release(take(mine, claim()))
    with pytest.raises(LockError, match="another run has taken over and is done"), mine.held(old, "switch", 60.0):
        pytest.fail("the step was done")


def test_overtaken_owner_does_not_release_the_others_lock(mine: Lock) -> None:
    old = take(mine, claim(THEM, lease=-1.0))
    take(mine, claim())
    mine.release(old)
    assert mine.read().owner == US


def test_record_is_for_root_only_and_whole(mine: Lock) -> None:
    take(mine, claim())
    assert (mine.path.stat().st_mode & 0o777, json.loads(mine.path.read_text())["owner"]["name"]) == (0o600, "anna@ci")


def test_first_fencing_number_is_the_clocks_so_that_none_comes_again_when_the_record_is_gone(mine: Lock) -> None:
    assert abs(take(mine, claim()) - time.time()) < 60


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1, 2]",
        "",
        "[" * 100_000,
        '{"fence": "7"}',
        '{"owner": "anna"}',
        '{"steps": []}',
        '{"owner": {"name": 1}}',
    ],
)
def test_record_that_cannot_be_read_is_nobodys_only_when_its_lease_must_have_ended(mine: Lock, text: str) -> None:
    mine.path.write_text(text)
    with pytest.raises(
        LockError, match=r"found: somebody whose record in lock\.json cannot be read .* its lease ends in 1[0-9]{3} s"
    ):
        take(mine, claim())
    os.utime(mine.path, (0, time.time() - 2000))
    assert abs(take(mine, claim()) - time.time()) < 60


def test_record_of_a_newer_version_is_read_as_far_as_it_is_known(mine: Lock) -> None:
    take(mine, claim(THEM))
    data = json.loads(mine.path.read_text())
    mine.path.write_text(json.dumps({**data, "region": "eu", "owner": {**data["owner"], "shift": 3}}))
    assert mine.read().owner == THEM
    with pytest.raises(LockError, match="ben@laptop"):
        take(mine, claim())


def test_clock_that_is_set_forward_ends_no_lease(mine: Lock, monkeypatch: pytest.MonkeyPatch) -> None:
    take(mine, claim(THEM, lease=60.0))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 86400)
    with pytest.raises(LockError, match=r"its lease ends in [56]\d s"):
        take(mine, claim())


def test_lease_of_another_boot_is_told_by_the_clock(mine: Lock) -> None:
    take(mine, claim(THEM, lease=60.0))
    data = json.loads(mine.path.read_text())
    mine.path.write_text(
        json.dumps({**data, "lease": {"boot": "another", "seconds": 10**9}, "lease_until": time.time() - 1})
    )
    assert take(mine, claim())


def test_programs_of_a_module_that_was_killed_keep_others_away(mine: Lock, tmp_path: Path) -> None:
    """A module that is killed with -9 leaves its docker command at work."""
    take(mine, claim(THEM, lease=-1.0))
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        f"import ansible.module_utils; ansible.module_utils.__path__.append({str(MODULE_UTILS)!r})\n"
        "from pathlib import Path\n"
        "from ansible.module_utils.livekit_deploy.machine import command\n"
        "from ansible.module_utils.livekit_deploy.release import lock\n"
        "with lock.Lock(Path(sys.argv[1])).changing(0.0):\n"
        "    command.Runner()(['sh', '-c', 'echo $$ > $0; sleep 60', sys.argv[1] + '/pid'])\n"
    )
    noted = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path), *sys.path]) as process:
        deadline = time.monotonic() + 20
        while not (noted.exists() and noted.read_text().strip()) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
        process.wait()
    program = int(noted.read_text())
    with pytest.raises(LockError, match="a program that this has started, is still at work on this host"):
        take(mine, claim(), wait=0.3)
    os.killpg(program, signal.SIGKILL)
    assert take(mine, claim(), wait=5.0)


@contextmanager
def process_at_work(mine: Lock) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the kernel's lock, as a step of a deployment does."""
    take_it = f"import fcntl, time; f = open({str(mine.guard)!r}, 'w'); fcntl.flock(f, fcntl.LOCK_EX)"
    code = f"{take_it}; print('has it', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "has it"
        try:
            yield process
        finally:
            process.kill()


def test_nobody_takes_over_while_a_step_is_at_work(mine: Lock) -> None:
    take(mine, claim(THEM, lease=-1.0))
    with process_at_work(mine), pytest.raises(LockError, match="still at work on this host"):
        take(mine, claim(), wait=0.3)


def test_step_that_is_paused_is_still_at_work(mine: Lock) -> None:
    take(mine, claim(THEM, lease=-1.0))
    with process_at_work(mine) as process:
        os.kill(process.pid, signal.SIGSTOP)
        with pytest.raises(LockError, match="still at work"):
            take(mine, claim(), wait=0.3)


def test_killed_step_leaves_no_lock(mine: Lock) -> None:
    take(mine, claim(THEM, lease=-1.0))
    with process_at_work(mine) as process:
        process.kill()
        process.wait()
        assert take(mine, claim(), wait=5.0)


def test_record_tells_the_step_and_the_seconds_of_those_before(mine: Lock) -> None:
    fence = take(mine, claim())
    for step in ("stage", "switch"):
        with mine.held(fence, step, 10.0):
            time.sleep(0.1)
    record = mine.read()
    assert (record.step, sorted(record.steps)) == ("switch", ["stage", "switch"])
    assert record.steps["stage"] >= 0.1


@pytest.mark.parametrize(
    ("step", "named"),
    [
        ("begin", "send"),
        ("pull", "vacancy"),
        ("start_candidate", "prove_candidate"),
        ("start_worker", "prove"),
        ("start_api", "preview"),
        ("switch", "verify"),
        ("drain", None),
    ],
)
def test_what_is_done_after_a_step_has_a_name_of_its_own(step: str, named: str | None) -> None:
    record = LockRecord(3, US, step=step, steps={step: 1.0}, ended=NOW - 2.04)
    assert since_the_step(record, NOW) == ({named: 2.0} if named else {})


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        pytest.param({"steps": {"begin": 0.1}}, {}, id="the step failed"),
        pytest.param({"ended": 0.0}, {}, id="a record of an older version"),
        pytest.param({"ended": NOW + 5.0}, {"verify": 0.0}, id="the clock was set back"),
    ],
)
def test_seconds_that_are_not_known_are_not_told(changes: dict[str, Any], found: dict[str, float]) -> None:
    record = LockRecord(3, US, step="switch", steps={"switch": 1.0}, ended=NOW - 2.0)
    assert since_the_step(replace(record, **changes), NOW) == found


def test_record_tells_the_seconds_between_the_steps(mine: Lock) -> None:
    fence = take(mine, claim())
    with mine.held(fence, "start_worker", 10.0):
        pass
    time.sleep(0.2)
    with mine.held(fence, "switch", 10.0) as record:
        assert record.steps["prove"] >= 0.2
    assert list(mine.read().steps) == ["start_worker", "prove", "switch"]


def test_seconds_of_taking_back_are_not_those_of_the_step_that_failed(mine: Lock) -> None:
    fence = take(mine, claim())
    mine.note(fence, "switch", 7.0)
    with mine.held(fence, "switch", 10.0, noted_as="abandon"):
        pass
    record = mine.read()
    assert (record.step, record.steps) == ("switch", {"switch": 7.0, "verify": 0.0, "abandon": 0.0})


def test_step_that_failed_is_the_one_that_is_told(mine: Lock) -> None:
    fence = take(mine, claim())
    with pytest.raises(OSError, match="disk full"), mine.held(fence, "stage", 10.0):
        raise OSError("disk full")
    assert (mine.read().step, mine.read().steps) == ("stage", {})


def test_run_that_takes_over_is_told_of_the_one_that_was_killed(mine: Lock) -> None:
    fence = take(mine, claim(SIBLING))
    mine.note(fence, "start", 1.0, change={"from": None, "to": "r1"})
    with mine.taken(claim(US, alive=("1:1", "10:100", "12:120")), 0.0) as (_record, before):
        assert before is not None
        assert (before.owner, before.step, before.change) == (SIBLING, "start", {"from": None, "to": "r1"})


def test_run_that_ended_is_not_told_of(mine: Lock) -> None:
    mine.release(take(mine, claim(SIBLING)))
    with mine.taken(claim(), 0.0) as (_record, before):
        assert before is None
