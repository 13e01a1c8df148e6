# SPDX-License-Identifier: Apache-2.0
"""The committed results of the benchmarks: dated, whole, and of a machine that nobody can tell."""

from __future__ import annotations

import json
import re
import statistics
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks import loss, loss_figures, release_time, verdict_time  # noqa: E402  the path comes first

RESULTS = sorted((ROOT / "benchmarks" / "results").glob("verdict-time-*.json"))
LOSSES = sorted((ROOT / "benchmarks" / "results").glob("loss-*.json"))
RELEASE_TIMES = sorted((ROOT / "benchmarks" / "results").glob("release-time-*.json"))
# What each run of a release's time has.
SECONDS = ("bound_seconds", "release_seconds", "unchanged_seconds", "release_floor_seconds", "unchanged_floor_seconds")
WAITS = ("release_waits", "unchanged_waits")
MACHINE = {"cores", "memory_gib", "system", "architecture"}
OURS = [case.name for case in loss.CASES if case.side == loss_figures.OURS]
each_result = pytest.mark.parametrize("path", RESULTS, ids=[path.stem for path in RESULTS])


def problems_of(document: dict[str, Any], name: str) -> list[str]:
    """What is wrong with one result."""
    problems = (
        []
        if name == f"verdict-time-{document['date']}" and re.fullmatch(r"\d{4}-\d\d-\d\d", document["date"])
        else ["date"]
    )
    problems += [] if set(document["machine"]) == MACHINE else ["machine"]
    problems += [] if {"livekit-server", "livekit-api", "python"} <= document["versions"].keys() else ["versions"]
    cases = {"exclusive": [str(count) for count in verdict_time.NAMES], "foreign": [str(verdict_time.FOREIGN_NAMES)]}
    for kind, counts in cases.items():
        problems += [f"{kind} {count} is missing" for count in counts if count not in document[kind]]
        for count, case in document[kind].items():
            whole = len(case["seconds"]) >= verdict_time.REPETITIONS == len(case["raw_seconds"])
            problems += (
                []
                if whole and case["median_seconds"] == statistics.median(case["seconds"])
                else [f"{kind} {count} is not whole"]
            )
    medians = [document["exclusive"].get(str(count), {}).get("median_seconds", 0) for count in (50, 1)]
    problems += [] if document["ratio"]["found"] == round(medians[0] / (medians[1] or 1), 3) else ["ratio"]
    return problems


def test_a_result_is_committed() -> None:
    assert RESULTS


@each_result
def test_a_result_is_whole(path: Path) -> None:
    assert problems_of(json.loads(path.read_text()), path.stem) == []


def test_the_time_of_a_release_is_whole() -> None:
    newest = RELEASE_TIMES[-1]
    assert release_time_problems_of(json.loads(newest.read_text()), newest.stem) == []


@each_result
def test_50_names_are_proven_in_at_most_one_and_a_half_times_the_time_of_one(path: Path) -> None:
    assert json.loads(path.read_text())["ratio"]["found"] <= 1.5


# --- the loss benchmark ----------------------------------------------------------------------------------------------


def loss_problems_of(document: dict[str, Any], name: str) -> list[str]:
    problems = (
        [] if name == f"loss-{document['date']}" and re.fullmatch(r"\d{4}-\d\d-\d\d", document["date"]) else ["date"]
    )
    problems += [] if set(document["machine"]) == MACHINE else ["machine"]
    problems += (
        [] if {"livekit-server", "livekit-api", "docker", "python"} <= document["versions"].keys() else ["versions"]
    )
    problems += loss_figures.missing(document, list(loss.BY_NAME), loss.RATES, loss.RUNS)
    return [*problems, *loss_figures.failures(document, OURS)]


def test_newest_loss_result_has_every_case_and_nothing_of_ours_is_lost() -> None:
    newest = LOSSES[-1]
    assert loss_problems_of(json.loads(newest.read_text()), newest.stem) == []


# --- the time of a release --------------------------------------------------------------------------------------------


def release_time_problems_of(document: dict[str, Any], name: str) -> list[str]:
    problems = (
        []
        if name == f"release-time-{document['date']}" and re.fullmatch(r"\d{4}-\d\d-\d\d", document["date"])
        else ["date"]
    )
    problems += [] if set(document["machine"]) == MACHINE else ["machine"]
    problems += [] if {"livekit-server", "livekit-api", "python"} <= document["versions"].keys() else ["versions"]
    counts = [str(count) for count in release_time.HOSTS]
    problems += [f"{count} hosts are missing" for count in counts if count not in document["hosts"]]
    problems += [f"{count} hosts: {what}" for count, one in document["hosts"].items() for what in case_problems_of(one)]
    aims = (document.get("ratio_aim"), document.get("unchanged_aim_seconds"))
    return problems + ([] if aims == (release_time.RATIO_AIM, release_time.UNCHANGED_AIM_SECONDS) else ["aims"])


def case_problems_of(case: dict[str, Any]) -> list[str]:
    """What a number of hosts lacks: in its runs, or of what is made of them."""
    if len(case["runs"]) < release_time.REPETITIONS:
        return ["runs are missing"]
    lacking = {f"{figure} is missing" for run in case["runs"] for figure in (*SECONDS, *WAITS) if figure not in run}
    lacking |= {f"{figure} is 0" for run in case["runs"] for figure in SECONDS if run.get(figure) == 0}
    if lacking:
        return sorted(lacking)
    made = release_time.case(case["runs"])
    # The runs are rounded, what was made of them was made before.
    slack = {figure: 0.05 * value if figure == "ratio" else 0.2 for figure, value in made.items() if figure != "runs"}
    return [
        f"{figure} is not of the runs"
        for figure, off in slack.items()
        if case.get(figure) != pytest.approx(made[figure], abs=off)
    ]


# --- each comparison can fail ----------------------------------------------------------------------------------------


def a_result(**changes: Any) -> dict[str, Any]:
    def found(seconds: float) -> dict[str, list[float]]:
        return {"raw": [0.2] * 3, "answered": [0.2] * 3, "seconds": [seconds] * 3}

    measured = {
        "cold": 5.0,
        "exclusive": {count: found(10.0) for count in verdict_time.NAMES},
        "foreign": {10: found(1.0)},
    }
    versions = {"livekit-server": "1", "livekit-api": "1", "python": "3"}
    return {**verdict_time.document_of(measured, "2026-11-22", versions, dict.fromkeys(MACHINE, 1)), **changes}


def test_what_the_benchmark_writes_is_whole() -> None:
    assert problems_of(a_result(), "verdict-time-2026-11-22") == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"date": "2026-11-23"}, "date"),
        ({"machine": {"host": "node-a"}}, "machine"),
        ({"versions": {}}, "versions"),
        ({"foreign": {}}, "foreign 10 is missing"),
        ({"foreign": {"10": {**a_result()["foreign"]["10"], "seconds": [1.0]}}}, "foreign 10 is not whole"),
        ({"foreign": {"10": {**a_result()["foreign"]["10"], "median_seconds": 0.5}}}, "foreign 10 is not whole"),
        ({"ratio": {"of": "50 names to 1", "found": 0.9}}, "ratio"),
    ],
)
def test_a_result_that_is_not_whole_is_found(changes: dict[str, Any], problem: str) -> None:
    assert problems_of(a_result(**changes), "verdict-time-2026-11-22") == [problem]


def a_loss_result(**changes: Any) -> dict[str, Any]:
    way = {"sent": 9, "lost": 0, "longest_gap_seconds": 0.4, "worst_latency_seconds": 0.5, "http_errors": 0}
    ways = {"api": way, "direct": way}
    runs = [
        {"case": case, "rate": rate, "seconds": 1.0, "ways": ways, "calls": {"held": 4, "finished": 4}}
        for case in loss.BY_NAME
        for rate in loss.RATES
        for _ in range(loss.RUNS)
    ]
    session = {
        "started": "s",
        "undisturbed": {str(rate): {"seconds": 60.0, "ways": ways} for rate in loss.RATES},
        "runs": runs,
    }
    versions = dict.fromkeys(("livekit-server", "livekit-api", "docker", "python"), "1")
    return {**loss.document_of([session], "2026-11-22", versions, dict.fromkeys(MACHINE, 1), loss.RATES), **changes}


def test_what_the_loss_benchmark_writes_is_whole() -> None:
    assert loss_problems_of(a_loss_result(), "loss-2026-11-22") == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [({"date": "2026-11-23"}, "date"), ({"machine": {}}, "machine"), ({"versions": {}}, "versions")],
)
def test_a_loss_result_without_its_facts_is_found(changes: dict[str, Any], problem: str) -> None:
    assert loss_problems_of(a_loss_result(**changes), "loss-2026-11-22") == [problem]


@pytest.mark.parametrize("rate", loss.RATES)
@pytest.mark.parametrize("case", loss.BY_NAME)
def test_a_case_that_is_not_in_the_loss_result_often_enough_is_found(case: str, rate: int) -> None:
    document = a_loss_result()
    runs = document["sessions"][0]["runs"]
    runs.remove(next(run for run in runs if (run["case"], run["rate"]) == (case, rate)))
    assert loss_problems_of(document, "loss-2026-11-22") == [f"{case} at {rate} a second: 2 of 3 runs"]


def test_a_call_in_progress_of_ours_that_did_not_finish_is_found() -> None:
    document = a_loss_result()
    document["sessions"][0]["runs"][-1]["calls"]["finished"] = 3
    assert len(loss_problems_of(document, "loss-2026-11-22")) == 1


def a_release_time(**changes: Any) -> dict[str, Any]:
    waits = {
        "release_waits": {"search window": 10.0, "dispatch list cold": 5.0},
        "unchanged_waits": {"search window": 10.0},
    }
    floors = {"release_floor_seconds": 6.0, "unchanged_floor_seconds": 2.0}
    rows = [{"bound_seconds": 10.0, "release_seconds": 27.0, "unchanged_seconds": 14.0, **floors, **waits}]
    versions = {"livekit-server": "1", "livekit-api": "1", "python": "3"}
    found = dict.fromkeys(release_time.HOSTS, rows)
    return {**release_time.document_of(found, "2026-11-22", versions, dict.fromkeys(MACHINE, 1)), **changes}


def test_what_the_benchmark_of_a_release_writes_is_whole() -> None:
    assert release_time_problems_of(a_release_time(), "release-time-2026-11-22") == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"date": "2026-11-23"}, "date"),
        ({"machine": {"host": "node-a"}}, "machine"),
        ({"versions": {}}, "versions"),
        ({"ratio_aim": 9.0}, "aims"),
    ],
)
def test_a_release_time_without_its_facts_is_found(changes: dict[str, Any], problem: str) -> None:
    assert release_time_problems_of(a_release_time(**changes), "release-time-2026-11-22") == [problem]


@pytest.mark.parametrize("count", release_time.HOSTS)
def test_a_number_of_hosts_that_is_not_in_the_release_time_is_found(count: int) -> None:
    document = a_release_time()
    del document["hosts"][str(count)]
    assert release_time_problems_of(document, "release-time-2026-11-22") == [f"{count} hosts are missing"]


@pytest.mark.parametrize("figure", [*SECONDS, *WAITS])
def test_a_figure_that_a_run_of_the_release_time_lacks_is_found(figure: str) -> None:
    document = a_release_time()
    case = document["hosts"]["2"]
    document["hosts"]["2"] = {**case, "runs": [{key: value for key, value in case["runs"][0].items() if key != figure}]}
    assert release_time_problems_of(document, "release-time-2026-11-22") == [f"2 hosts: {figure} is missing"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"runs": []}, "runs are missing"),
        ({"bound_seconds": 20.0}, "bound_seconds is not of the runs"),
        ({"release_beyond_waits_seconds": 2.0}, "release_beyond_waits_seconds is not of the runs"),
        ({"unchanged_beyond_waits_seconds": None}, "unchanged_beyond_waits_seconds is not of the runs"),
        ({"release_floor_seconds": 1.0}, "release_floor_seconds is not of the runs"),
        ({"ratio": 0.9}, "ratio is not of the runs"),
    ],
)
def test_a_number_of_hosts_that_is_not_whole_in_the_release_time_is_found(
    changes: dict[str, Any], problem: str
) -> None:
    document = a_release_time()
    document["hosts"]["3"] = {**document["hosts"]["3"], **changes}
    assert release_time_problems_of(document, "release-time-2026-11-22") == [f"3 hosts: {problem}"]
