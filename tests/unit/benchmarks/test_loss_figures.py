# SPDX-License-Identifier: Apache-2.0
"""What counts as lost, how long a gap is, which runs count, and what is printed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[3]))

from benchmarks import loss_figures
from benchmarks.loss_figures import OURS, SEED
from tests.e2e.calls import API, DIRECT, Call

CASES = {"by hand": SEED, "mine": OURS}


def call(sent: float = 0.0, **given: Any) -> Call:
    return Call(**{"real": False, "nonce": f"n{sent}", "room": f"r{sent}", "sent": sent, "status": 200, **given})


@pytest.mark.parametrize(
    ("given", "answered", "at"),
    [
        (call(), {"n0.0": 0.3}, 0.3),
        (call(), {"n0.0": 0.3, "r0.0": 9.0}, 0.3),
        (call(real=True), {"r0.0": 0.4}, 0.4),
        (call(real=True), {"n0.0": 0.4}, None),
        (call(), {}, None),
        (call(listed=0.6), {}, 0.6),
        (call(listed=0.6), {"n0.0": 0.3}, 0.3),
        (call(status=502), {"n0.0": 0.3}, None),
        (call(status=0, listed=0.6), {}, None),
    ],
)
def test_a_call_is_answered_when_a_witness_says_so_and_its_sender_was_not_told_otherwise(
    given: Call, answered: dict[str, float], at: float | None
) -> None:
    assert loss_figures.answered_at(given, answered) == at


@pytest.mark.parametrize(
    ("sent", "answered", "gap"),
    [
        ([], [], 0.0),
        ([1.0], [1.2], 0.0),
        ([1.0, 2.0, 3.0], [1.2, 2.2, 3.2], 1.0),
        ([1.0, 2.0, 3.0, 9.0], [3.2, 1.2, 9.2], 5.8),
        ([1.0, 2.0, 3.0], [], 2.0),
        ([1.0, 2.0, 8.0], [1.2], 6.8),
        ([1.0, 7.0, 8.0], [7.2, 8.2], 6.2),
    ],
)
def test_the_longest_gap_is_between_two_answers_or_to_the_first_and_last_dispatch(
    sent: list[float], answered: list[float], gap: float
) -> None:
    assert loss_figures.longest_gap(sent, answered) == pytest.approx(gap)


def test_a_name_that_is_dead_is_not_hidden_by_one_that_is_alive() -> None:
    old = [call(float(at), agent_name="old") for at in range(10)]
    new = [call(at + 0.5, agent_name="new") for at in range(10)]
    answered = {one.nonce: one.sent for one in [*old[:3], *new]}
    assert loss_figures.gaps([*old, *new], answered) == 7.0


def test_figures_of_a_way() -> None:
    calls = [call(0.0), call(1.0), call(2.0, status=503), call(3.0, real=True)]
    assert loss_figures.figures(calls, {"n0.0": 0.2, "r3.0": 4.5}) == {
        "sent": 4,
        "lost": 2,
        "longest_gap_seconds": 2.8,
        "worst_latency_seconds": 1.5,
        "http_errors": 1,
    }


def test_the_first_calls_can_be_lost_but_their_times_are_not_counted() -> None:
    calls = [call(0.0), call(1.0), call(2.0), call(3.0)]
    found = loss_figures.figures(calls, {"n0.0": 9.0, "n2.0": 2.2, "n3.0": 3.2}, steady=2.0)
    assert (found["sent"], found["lost"], found["longest_gap_seconds"], found["worst_latency_seconds"]) == (
        4,
        1,
        0.8,
        0.2,
    )


def test_hosts_add_up_and_the_worst_time_counts() -> None:
    one = {"sent": 3, "lost": 1, "longest_gap_seconds": 2.0, "worst_latency_seconds": 0.3, "http_errors": 0}
    other = {"sent": 4, "lost": 0, "longest_gap_seconds": 1.0, "worst_latency_seconds": 0.4, "http_errors": 2}
    assert loss_figures.together([one, other]) == {
        "sent": 7,
        "lost": 1,
        "longest_gap_seconds": 2.0,
        "worst_latency_seconds": 0.4,
        "http_errors": 2,
    }


def test_the_two_ways_are_told_apart() -> None:
    streams = [[call(0.0), call(0.0, way=DIRECT), call(1.0, way=DIRECT)], [call(5.0)]]
    ways = loss_figures.ways_of(streams, {"n0.0": 0.2, "n5.0": 5.2})
    assert (ways[API]["sent"], ways[API]["lost"], ways[DIRECT]["sent"], ways[DIRECT]["lost"]) == (2, 0, 2, 1)


# --- what counts -----------------------------------------------------------------------------------------------------


def ways(sent: int = 100, lost: int = 0, errors: int = 0) -> dict[str, Any]:
    way = {"sent": sent, "lost": lost, "longest_gap_seconds": 0.4, "worst_latency_seconds": 0.5, "http_errors": errors}
    return {API: way, DIRECT: dict(way)}


def run(case: str = "mine", rate: int = 5, finished: int = 4, **given: int) -> dict[str, Any]:
    return {
        "case": case,
        "rate": rate,
        "seconds": 30.0,
        "ways": ways(**given),
        "calls": {"held": 4, "finished": finished},
    }


def session(*runs: dict[str, Any], **undisturbed: int) -> dict[str, Any]:
    return {"undisturbed": {"5": {"seconds": 60.0, "ways": ways(**undisturbed)}}, "runs": list(runs)}


def document(*sessions: dict[str, Any]) -> dict[str, Any]:
    return {"rates": [5], "sessions": list(sessions)}


@pytest.mark.parametrize(
    ("one", "of", "expected"),
    [
        (run(), session(), True),
        (run(lost=30), session(), True),
        (run(), session(lost=1), False),
        (run(), session(errors=1), False),
        (run(), session(sent=0), False),
        (run(rate=20), session(), False),
    ],
)
def test_a_run_counts_only_beside_an_undisturbed_minute_that_lost_nothing(
    one: dict[str, Any], of: dict[str, Any], expected: bool
) -> None:
    assert loss_figures.counts(one, of) is expected


def test_runs_of_several_sessions_count_together_and_those_of_a_disturbed_one_do_not() -> None:
    found = document(session(run(), run()), session(run(), lost=2), session(run("by hand", lost=30)))
    assert loss_figures.missing(found, list(CASES), [5], 2) == ["by hand at 5 a second: 1 of 2 runs"]
    assert loss_figures.missing(found, ["mine"], [5, 20], 3) == [
        "mine at 5 a second: 2 of 3 runs",
        "mine at 20 a second: 0 of 3 runs",
    ]


@pytest.mark.parametrize(
    ("given", "number"),
    [
        (run(), 0),
        (run(lost=1), 1),
        (run(errors=1), 1),
        (run(finished=3), 1),
        (run(sent=0), 1),
        (run("by hand", lost=9), 0),
    ],
)
def test_a_loss_of_ours_is_a_failure_and_one_by_hand_is_not(given: dict[str, Any], number: int) -> None:
    assert len(loss_figures.failures(document(session(given)), ["mine"])) == number


def test_a_loss_of_ours_is_a_failure_also_beside_a_disturbed_minute() -> None:
    assert loss_figures.failures(document(session(run(lost=1), lost=1)), ["mine"])


# --- the table -------------------------------------------------------------------------------------------------------


def test_the_table_has_two_lines_for_each_case_with_one_value_for_each_run() -> None:
    lines = loss_figures.table(
        document(session(run("by hand", lost=30, finished=0), run("by hand", lost=31), run())), CASES
    )
    row = next(line for line in lines if line.startswith("  by hand")).split()
    assert row == [
        "by",
        "hand",
        "API",
        "100",
        "100",
        "30",
        "31",
        "0.40",
        "s",
        "0.50",
        "s",
        "0",
        "0",
        "0",
        "4",
        "of",
        "4",
    ]
    assert [line.split()[0] for line in lines if "direct" in line] == ["direct"] * 3
    assert max(map(len, lines)) <= 140


def test_what_does_not_count_is_not_in_the_table() -> None:
    assert "mine" not in "\n".join(loss_figures.table(document(session(run(), lost=1)), CASES))
