"""Verdicts on an agent name: a table of what was observed and what follows. What is not proven good is not good."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.routing import Evidence, Member, ServerEvidence, decide

OURS, OTHER, NEIGHBOUR = "AW_ours", "AW_other", "AW_neighbour"


def probe(outcome: str, worker_id: str | None = None, seconds: float = 10.0, room: str = "r") -> dict[str, Any]:
    return {"outcome": outcome, "worker_id": worker_id, "seconds": seconds, "room": room, "reason": "said the probe"}


NOBODY = probe("nobody")
HOST = Member("a", worker_ids=frozenset({OURS}), rooms=frozenset({"r"}))
TWIN = Member("b", worker_ids=frozenset({NEIGHBOUR}))
CLEAN = Evidence("name", (HOST,), through=NOBODY)


def samples(*worker_ids: str | None) -> list[dict[str, Any]]:
    return [probe("taken" if worker_id else "nobody", worker_id) for worker_id in worker_ids]


def complete(*worker_ids: str) -> ServerEvidence:
    return ServerEvidence(frozenset(worker_ids), complete=True)


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        pytest.param(CLEAN, "exclusive", id="passed on, and nobody took it"),
        pytest.param(replace(CLEAN, members=(HOST, TWIN)), "shared", id="pool of two"),
        pytest.param(replace(CLEAN, through=probe("taken", OTHER, 0.2)), "foreign", id="a foreign worker took it"),
        pytest.param(
            replace(CLEAN, members=(HOST, replace(TWIN, readable=False)), through=probe("taken", OTHER, 0.2)),
            "inconclusive",
            id="unknown id while a member could not be read",
        ),
        pytest.param(
            replace(CLEAN, members=(HOST, replace(TWIN, readable=False))),
            "inconclusive",
            id="nobody, but a member could not be read",
        ),
        pytest.param(replace(CLEAN, through=probe("nobody", seconds=5.0)), "inconclusive", id="search window not over"),
        pytest.param(replace(CLEAN, members=(replace(HOST, rooms=frozenset()),)), "inconclusive", id="our worker was not asked"),
        pytest.param(replace(CLEAN, through=probe("error")), "inconclusive", id="the probe failed"),
        pytest.param(replace(CLEAN, through={}), "inconclusive", id="no probe"),
        pytest.param(replace(CLEAN, members=()), "inconclusive", id="no host"),
        pytest.param(replace(CLEAN, through=probe("taken", OURS, 0.2)), "inconclusive", id="our worker has no hook"),
        pytest.param(
            replace(CLEAN, members=(replace(HOST, worker_ids=frozenset({OURS, "AW_before"})),), through=probe("taken", "AW_before", 0.2)),
            "inconclusive",
            id="our own id of before a reconnect is not foreign",
        ),
        pytest.param(replace(CLEAN, others=[probe("taken", OTHER)]), "foreign", id="a preview went astray"),
        pytest.param(replace(CLEAN, others=[probe("taken", OURS)]), "exclusive", id="a preview came home"),
        pytest.param(
            replace(CLEAN, members=(replace(HOST, worker_ids=frozenset()),), through=probe("taken", OTHER, 0.2)),
            "inconclusive",
            id="unknown id while our own is not known",
        ),
        pytest.param(replace(CLEAN, nodes=2), "inconclusive", id="one of two nodes asked"),
        pytest.param(replace(CLEAN, nodes=2, nodes_covered=2), "exclusive", id="both nodes asked"),
        pytest.param(replace(CLEAN, members=(replace(HOST, reached=False),)), "unreachable", id="directed probe not answered"),
        pytest.param(
            replace(CLEAN, members=(replace(HOST, reached=False),), through=probe("taken", OTHER, 0.2)),
            "foreign",
            id="foreign explains unreachable",
        ),
        pytest.param(replace(CLEAN, through=probe("taken", OURS), samples=samples(*[OURS] * 7)), "exclusive", id="seven samples ours"),
        pytest.param(replace(CLEAN, through={}, samples=samples(*[OURS] * 6)), "inconclusive", id="six samples are too few"),
        pytest.param(replace(CLEAN, through={}, samples=samples(*[OURS] * 7, OTHER)), "foreign", id="one sample went astray"),
        pytest.param(
            replace(CLEAN, through={}, samples=samples(*[OURS] * 6, None, None)),
            "inconclusive",
            id="refusals are no evidence",
        ),
        pytest.param(replace(CLEAN, server=complete(OURS)), "exclusive", id="server log agrees"),
        pytest.param(replace(CLEAN, server=complete(OURS, OTHER)), "foreign", id="server log knows one that no probe sees"),
        pytest.param(replace(CLEAN, through={}, server=complete(OURS)), "exclusive", id="complete server log decides alone"),
        pytest.param(
            replace(CLEAN, through={}, server=ServerEvidence(frozenset({OURS}), complete=False)),
            "inconclusive",
            id="partial server log excludes nobody",
        ),
        pytest.param(
            replace(CLEAN, server=ServerEvidence(frozenset({OTHER}), complete=False)),
            "foreign",
            id="partial server log adds a worker",
        ),
    ],
)
def test_verdict_follows_from_what_was_observed(evidence: Evidence, expected: str) -> None:
    assert decide(evidence).verdict == expected


def test_foreign_verdict_names_the_worker() -> None:
    assert decide(replace(CLEAN, through=probe("taken", OTHER, 0.2))).foreign == (OTHER,)


def test_exclusive_says_what_it_cannot_see() -> None:
    assert {"full", "draining", "of another deployment label"} <= set(decide(CLEAN).not_seen)


def test_complete_server_log_sees_workers_that_take_no_probe() -> None:
    found = decide(replace(CLEAN, server=complete(OURS)))
    assert "full" not in found.not_seen
    assert "of another job type" in found.not_seen


def test_sampling_states_the_probability_of_a_miss() -> None:
    found = decide(replace(CLEAN, through={}, samples=samples(*[OURS] * 8)))
    assert found.not_seen[0] == "an equal worker, with probability 0.004"


def test_verdict_names_its_method() -> None:
    assert decide(replace(CLEAN, server=complete(OURS))).method == "reject-through probe and server evidence"


def test_verdict_carries_the_seconds_of_its_probe() -> None:
    assert decide(CLEAN).seconds == 10.0
