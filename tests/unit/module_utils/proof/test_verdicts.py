"""Verdicts on an agent name: a table of what was observed and what follows. What is not proven good is not good."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.livekit.probe import ProbeResult
from ansible.module_utils.livekit_deploy.proof.verdicts import (
    Evidence,
    Member,
    Registration,
    ServerEvidence,
    decide,
    probing_seconds,
)

OURS, OTHER, NEIGHBOUR = "AW_ours", "AW_other", "AW_neighbour"


def probe(outcome: str, worker_id: str | None = None, seconds: float = 10.0, room: str = "r") -> ProbeResult:
    return {"outcome": outcome, "worker_id": worker_id, "seconds": seconds, "room": room, "reason": "said the probe"}


NOBODY = probe("nobody")
HOST = Member("a", worker_ids=frozenset({OURS}), rooms=frozenset({"r"}), worker_id=OURS)
TWIN = Member("b", worker_ids=frozenset({NEIGHBOUR}))
CLEAN = Evidence("name", (HOST,), through=NOBODY)


def samples(*worker_ids: str | None) -> list[ProbeResult]:
    return [probe("taken" if worker_id else "nobody", worker_id) for worker_id in worker_ids]


def complete(*worker_ids: str, left: tuple[Registration, ...] = (), **more: Any) -> ServerEvidence:
    there = tuple(Registration(worker_id, 600.0) for worker_id in worker_ids)
    return ServerEvidence(frozenset(worker_ids), **{"complete": True, "recent": (*there, *left), **more})


def two_nodes(**changes: Any) -> Evidence:
    return replace(CLEAN, nodes=2, **changes)


def gone(worker_id: str, registered: float | None, left: float) -> Registration:
    return Registration(worker_id, registered, left)


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
        pytest.param(
            replace(CLEAN, members=(replace(HOST, rooms=frozenset()),)), "inconclusive", id="our worker was not asked"
        ),
        pytest.param(replace(CLEAN, through=probe("error")), "inconclusive", id="the probe failed"),
        pytest.param(replace(CLEAN, through={}), "inconclusive", id="no probe"),
        pytest.param(replace(CLEAN, members=()), "inconclusive", id="no host"),
        pytest.param(replace(CLEAN, through=probe("taken", OURS, 0.2)), "inconclusive", id="our worker has no hook"),
        pytest.param(
            replace(
                CLEAN,
                members=(replace(HOST, worker_ids=frozenset({OURS, "AW_before"})),),
                through=probe("taken", "AW_before", 0.2),
            ),
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
        pytest.param(
            replace(CLEAN, members=(replace(HOST, reached=False),)), "unreachable", id="directed probe not answered"
        ),
        pytest.param(
            replace(CLEAN, members=(replace(HOST, reached=False),), through=probe("taken", OTHER, 0.2)),
            "foreign",
            id="foreign explains unreachable",
        ),
        pytest.param(
            replace(CLEAN, through=probe("taken", OURS), samples=samples(*[OURS] * 7)),
            "exclusive",
            id="seven samples ours",
        ),
        pytest.param(
            replace(CLEAN, through={}, samples=samples(*[OURS] * 6)), "inconclusive", id="six samples are too few"
        ),
        pytest.param(
            replace(CLEAN, through={}, samples=samples(*[OURS] * 7, OTHER)), "foreign", id="one sample went astray"
        ),
        pytest.param(
            replace(CLEAN, through={}, samples=samples(*[OURS] * 6, None, None)),
            "inconclusive",
            id="refusals are no evidence",
        ),
        pytest.param(replace(CLEAN, server=complete(OURS)), "exclusive", id="server log agrees"),
        pytest.param(
            replace(CLEAN, server=complete(OURS, OTHER)), "foreign", id="server log knows one that no probe sees"
        ),
        pytest.param(
            replace(CLEAN, through={}, server=complete(OURS)), "exclusive", id="complete server log decides alone"
        ),
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
        pytest.param(
            replace(CLEAN, members=(HOST, replace(TWIN, readable=False)), server=complete(OURS, OTHER)),
            "inconclusive",
            id="the log knows an id that may be the unread member's",
        ),
        pytest.param(two_nodes(server=complete(OURS, covered=2)), "exclusive", id="logs of both nodes"),
        pytest.param(
            two_nodes(server=complete(OURS, covered=1, complete=False)), "inconclusive", id="log of one of two nodes"
        ),
        pytest.param(
            two_nodes(server=complete(OURS, OTHER, complete=False)), "foreign", id="log of one node names a worker"
        ),
        pytest.param(two_nodes(through=probe("taken", OTHER, 0.2)), "foreign", id="one node asked, and there is one"),
        pytest.param(
            replace(CLEAN, server=complete("AW_else")),
            "exclusive",
            id="a worker in the log of another server is no foreign one",
        ),
        pytest.param(
            replace(CLEAN, server=complete()), "exclusive", id="log of another server is put aside, the probe decides"
        ),
        pytest.param(
            replace(CLEAN, through={}, server=complete()), "inconclusive", id="log of another server decides nothing"
        ),
        pytest.param(
            replace(CLEAN, server=complete(OURS, left=(gone(OTHER, 500.0, 12.0),))),
            "inconclusive",
            id="somebody left a moment ago",
        ),
        pytest.param(
            replace(CLEAN, server=complete(OURS, left=(gone(OTHER, 500.0, 31.0),))),
            "exclusive",
            id="somebody left long enough ago",
        ),
        pytest.param(
            replace(CLEAN, server=complete(OURS, left=(gone("AW_1", 500.0, 20.0), gone("AW_2", 15.0, 5.0)))),
            "foreign",
            id="somebody left, came back and left",
        ),
        pytest.param(
            replace(CLEAN, server=complete(OURS, left=(gone("AW_1", 500.0, 20.0), gone("AW_2", 400.0, 5.0)))),
            "inconclusive",
            id="two left, and neither came back",
        ),
        pytest.param(
            replace(CLEAN, server=complete(OURS, left=tuple(gone(f"AW_{n}", n + 1.0, n + 0.5) for n in range(50)))),
            "foreign",
            id="a storm of somebody else's reconnects",
        ),
        pytest.param(
            replace(
                CLEAN,
                members=(replace(HOST, worker_ids=frozenset({OURS, *(f"AW_{n}" for n in range(300))})),),
                server=complete(OURS, left=tuple(gone(f"AW_{n}", n + 1.0, n + 0.5) for n in range(50))),
            ),
            "exclusive",
            id="a storm of our own reconnects",
        ),
        pytest.param(
            replace(CLEAN, members=(HOST, replace(TWIN, reached=None)), server=complete(OURS, NEIGHBOUR)),
            "shared",
            id="member outside the run",
        ),
        pytest.param(
            replace(
                CLEAN, members=(replace(HOST, reached=None),), through={}, server=complete("AW_neighbour", left=())
            ),
            "foreign",
            id="sampling off, and the server has somebody else only",
        ),
        pytest.param(
            replace(CLEAN, members=(replace(HOST, reached=None),), through={}, server=complete()),
            "unreachable",
            id="sampling off, and the server does not have our worker",
        ),
        pytest.param(
            replace(CLEAN, members=(replace(HOST, reached=None),), through={}), "inconclusive", id="sampling off"
        ),
        pytest.param(
            replace(CLEAN, members=(replace(HOST, workers=2),), through={}, samples=samples(*[OURS] * 8)),
            "inconclusive",
            id="eight samples are too few beside two workers of ours",
        ),
        pytest.param(
            replace(CLEAN, members=(replace(HOST, workers=2),), through={}, samples=samples(*[OURS] * 16)),
            "exclusive",
            id="sixteen samples beside two workers of ours",
        ),
        pytest.param(
            replace(CLEAN, members=(HOST, TWIN), through={}, samples=samples(*[OURS, NEIGHBOUR] * 8)),
            "shared",
            id="samples of a pool",
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
    assert decide(replace(CLEAN, server=complete(OURS))).not_seen == ()


def test_sampling_states_the_probability_of_a_miss() -> None:
    found = decide(replace(CLEAN, through={}, samples=samples(*[OURS] * 8)))
    assert found.not_seen[0] == "an equal worker, with probability 0.004"


def test_verdict_names_its_method() -> None:
    assert decide(replace(CLEAN, server=complete(OURS))).method == "reject-through probe and server evidence"


def test_verdict_carries_the_probing_seconds_its_probe() -> None:
    assert decide(CLEAN).seconds == 10.0


def reason(**changes: Any) -> str:
    return decide(replace(CLEAN, **changes)).reason


def test_reconnecting_worker_is_named_as_such() -> None:
    left = (gone("AW_1", 500.0, 20.0), gone("AW_2", 15.0, 5.0))
    found = decide(replace(CLEAN, server=complete(OURS, left=left)))
    assert (found.foreign, "reconnects" in found.reason) == (("AW_1", "AW_2"), True)


def test_doubt_about_a_worker_that_left_names_it_and_says_when_to_run_again() -> None:
    text = reason(server=complete(OURS, left=(gone(OTHER, 500.0, 12.0),)))
    assert text == f"{OTHER} had the name name until 12 s ago and may come back; run again in 30 s"


def test_several_nodes_say_how_many_were_covered() -> None:
    assert reason(nodes=2).startswith("1 of 2 LiveKit nodes")


def test_three_nodes_with_two_logs_say_so() -> None:
    assert reason(nodes=3, server=complete(OURS, complete=False, trouble="t", covered=2)).startswith(
        "2 of 3 LiveKit nodes"
    )


def test_unreachable_worker_that_the_server_does_not_have_is_told() -> None:
    lost = replace(HOST, reached=False, cause="no worker took the probe")
    text = reason(members=(lost,), server=complete())
    assert text == f"a: no worker took the probe; the LiveKit server does not have its worker {OURS} (any more)"


def test_unreachable_worker_that_the_server_has_is_not_said_to_be_missing() -> None:
    assert reason(members=(replace(HOST, reached=False, cause="full"),), server=complete(OURS)) == "a: full"


@pytest.mark.parametrize(
    ("server", "text"),
    [
        pytest.param(ServerEvidence(frozenset({OURS}), False, "s: too short"), "s: too short", id="not complete"),
        pytest.param(complete(), f"it lacks {OURS}, which just got a job", id="of another server"),
    ],
)
def test_log_that_does_not_decide_says_why(server: ServerEvidence, text: str) -> None:
    assert text in reason(server=server)


def test_probability_of_a_miss_counts_all_workers_of_ours() -> None:
    members = (HOST, TWIN)
    found = decide(replace(CLEAN, members=members, through={}, samples=samples(*[OURS, NEIGHBOUR] * 8)))
    assert found.not_seen[0] == "an equal worker, with probability 0.002"


def test_seconds_reach_from_the_first_sample_to_the_last_answer() -> None:
    samples: list[Any] = [
        {"outcome": "taken", "worker_id": "AW_1", "begun": begun, "seconds": 0.3} for begun in (0.0, 0.5, 1.0)
    ]
    assert probing_seconds(Evidence("name", (), samples=samples)) == 1.3
