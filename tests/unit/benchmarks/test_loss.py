# SPDX-License-Identifier: Apache-2.0
"""Which names get load, what workers' logs say, which cases there are; that it measures the lab is seen by a run."""

from __future__ import annotations

import asyncio
import json
import sys
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from livekit.api import ListParticipantsResponse, ParticipantInfo

sys.path.append(str(Path(__file__).resolve().parents[3]))

from benchmarks import loss, witness
from benchmarks.loss_figures import OURS, SEED
from tests.e2e import calls
from tests.e2e.calls import API, DIRECT, Names, Sender

AT = "2026-11-22T10:00:00.5+00:00"
EPOCH = 1795341600.5


@pytest.mark.parametrize(
    ("said", "overlap", "at", "names"),
    [
        ([], 10.0, 0.0, ["first"]),
        ([("first", 1.0)], 10.0, 500.0, ["first"]),
        ([("first", 1.0), ("second", 2.0)], 10.0, 3.0, ["first", "second"]),
        ([("first", 1.0), ("second", 2.0)], 10.0, 11.0, ["second"]),
        ([("first", 1.0), ("second", 2.0), ("first", 5.0)], 10.0, 11.0, ["first", "second"]),
        ([("first", 1.0), ("second", 2.0), ("first", 2.1)], 0.0, 2.2, ["second"]),
    ],
)
def test_a_former_name_gets_load_for_the_overlap_after_the_last_answer_with_it(
    said: list[tuple[str, float]], overlap: float, at: float, names: list[str]
) -> None:
    given = Names("first", overlap)
    for name, when in said:
        given.say(name, when)
    assert given.in_force(at) == names


def sender(**given: Any) -> Sender:
    made = Sender(
        **{"url": "", "livekit": {}, "rate": 5.0, "real_every": 5, "agent_name": "first", "overlap": 10.0, **given}
    )
    made.names = Names(made.agent_name, made.overlap)
    return made


def test_each_tick_sends_one_call_through_the_api_and_one_directly() -> None:
    assert [(call.way, call.agent_name) for call in sender().due(0, 1.0)] == [(API, ""), (DIRECT, "first")]


def test_without_a_name_nothing_is_sent_directly() -> None:
    assert [call.way for call in sender(agent_name="").due(0, 1.0)] == [API]


@pytest.mark.parametrize(("every", "real"), [(5, [0, 5]), (0, [])])
def test_every_fifth_call_is_a_real_job_or_none(every: int, real: list[int]) -> None:
    made = sender(real_every=every)
    assert [tick for tick in range(10) if made.due(tick, 0.0)[0].real] == real


@pytest.mark.parametrize(("last", "came"), [(ParticipantInfo.ACTIVE, True), (ParticipantInfo.JOINED, False)])
def test_an_agent_is_in_the_room_when_its_connection_stands(
    last: Any, came: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = chain([None, ParticipantInfo.JOINING, ParticipantInfo.JOINED], repeat(last))

    async def look(_request: Any) -> ListParticipantsResponse:
        state = next(states)
        return ListParticipantsResponse(participants=[] if state is None else [ParticipantInfo(state=state)])

    monkeypatch.setattr(calls, "LOOK_EVERY_SECONDS", 0.001)
    monkeypatch.setattr(calls, "IN_TIME_SECONDS", 0.1)
    server: Any = SimpleNamespace(room=SimpleNamespace(list_participants=look))
    assert asyncio.run(calls.joined(server, "room")) is came


def test_a_call_that_the_worker_answers_is_known_by_its_nonce() -> None:
    real, answered = sender().due(0, 0.0)[0], sender().due(1, 0.0)[0]
    assert (real.metadata, json.loads(answered.metadata)["nonce"], json.loads(answered.metadata)["mode"]) == (
        "",
        answered.nonce,
        "answer",
    )


# --- the witness -----------------------------------------------------------------------------------------------------


def line(**event: str) -> str:
    return json.dumps({"timestamp": AT, **event})


@pytest.mark.parametrize(
    ("text", "answered", "ended"),
    [
        (line(message="probe answered", nonce="n1"), {"n1": EPOCH}, {}),
        (line(message="tool call", room="r1"), {"r1": EPOCH}, {}),
        (line(message="process exiting", room="r1"), {}, {"r1": EPOCH}),
        (line(message="probe passed on", nonce="n1"), {}, {}),
        (line(message="received job request", room="r1"), {}, {}),
        (line(message="probe answered", nonce="n1")[:-5], {}, {}),
        ('"probe answered"', {}, {}),
        ('{"message": "probe answered", "nonce": "n1"}', {}, {}),
    ],
)
def test_only_a_worker_that_answered_is_a_witness(
    text: str, answered: dict[str, float], ended: dict[str, float]
) -> None:
    assert witness.seen_in([text]) == witness.Seen(answered, ended)


def test_of_two_lines_about_one_call_the_first_counts() -> None:
    later = json.dumps({"timestamp": "2026-11-22T11:00:00+00:00", "message": "probe answered", "nonce": "n1"})
    assert witness.seen_in([line(message="probe answered", nonce="n1"), later]).answered == {"n1": EPOCH}


def test_a_call_in_progress_that_was_killed_or_cut_off_did_not_finish() -> None:
    assert (
        witness.finished(["hung-up", "killed", "cut-off"], {"hung-up": 10.2, "cut-off": 9.9, "another": 10.2}, 10.0)
        == 1
    )


# --- the cases -------------------------------------------------------------------------------------------------------


def test_the_cases_are_those_that_were_asked_for() -> None:
    assert [case.name for case in loss.CASES if case.side == SEED] == [
        "docker compose restart",
        "edit name, docker compose up -d",
    ]
    assert [case.name for case in loss.CASES if case.side == OURS] == [
        "rename",
        "rollback to the shared name",
        "return from the shared name",
        "deploy of a new image",
        "rollback to previous",
        "canary over 2 hosts",
    ]
    assert (loss.RATES, loss.RUNS, loss.CALLS) == ((5, 20), 3, 4)


def test_a_case_that_starts_from_another_comes_right_after_it() -> None:
    names = [case.name for case in loss.CASES]
    assert [case.after for case in loss.CASES if case.after] == [
        names[names.index(case.name) - 1] for case in loss.CASES if case.after
    ]


def part(**changes: Any) -> dict[str, Any]:
    return {**loss.document_of([{"started": "s"}], "2026-11-22", {"python": "3"}, {"cores": 2}, [5]), **changes}


def test_parts_of_one_machine_are_joined() -> None:
    made = loss.joined([part(), part(date="2026-11-23", rates=[20])])
    assert (len(made["sessions"]), made["rates"], made["date"]) == (2, [5, 20], "2026-11-23")


@pytest.mark.parametrize("changes", [{"versions": {}}, {"machine": {"cores": 4}}, {"overlap_seconds": 30}])
def test_parts_that_are_not_of_one_kind_are_not_joined(changes: dict[str, Any]) -> None:
    with pytest.raises(SystemExit, match="expected the same in all"):
        loss.joined([part(), part(**changes)])
