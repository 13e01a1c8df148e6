# SPDX-License-Identifier: Apache-2.0
"""What a stand-in answers; that a server understands it is tested in tests/bench."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from livekit.protocol import agent

sys.path.append(str(Path(__file__).resolve().parents[3]))

from benchmarks.stand_in import Gate, StandIn, socket_url


def probe(**fields: Any) -> str:
    return json.dumps({"livekit_deploy_probe": 1, "nonce": "n", **fields})


ANSWERS = [
    ("accept", probe(mode="answer"), "accept"),
    ("reject", "", "reject"),
    ("pass", "", "pass"),
    ("silent", "", "silent"),
    ("hook", "", "accept"),
    ("hook", probe(mode="pass", instances=["a/r1"]), "pass"),
    ("hook", probe(mode="pass", instances=["b/r1"]), "reject"),
    ("hook", probe(mode="answer_if", instance="a/r1"), "reject"),
    ("hook", probe(mode="answer_if", instance="b/r1"), "pass"),
]


@pytest.mark.parametrize(("answer", "metadata", "expected"), ANSWERS)
def test_a_stand_in_answers_as_it_is_told_or_as_the_hook_decides(answer: str, metadata: str, expected: str) -> None:
    assert StandIn("name", answer=answer, instance="a/r1").answer_to(agent.Job(metadata=metadata)) == expected


def test_a_closed_gate_passes_real_calls_on() -> None:
    assert StandIn("name", gate=Gate.CLOSED).answer_to(agent.Job()) == "pass"


def test_an_unknown_answer_is_refused() -> None:
    with pytest.raises(ValueError, match="none of hook, accept"):
        StandIn("name", answer="acept").answer_to(agent.Job())


def test_a_full_stand_in_says_so() -> None:
    said = StandIn("name", full=True, load=0.9).status().update_worker
    assert (said.status, round(said.load, 1)) == (agent.WorkerStatus.WS_FULL, 0.9)


@pytest.mark.parametrize("url", ["http://h:7880/", "ws://h:7880"])
def test_the_address_of_the_socket_is_made_of_any_url_of_the_server(url: str) -> None:
    assert socket_url(url) == "ws://h:7880"
