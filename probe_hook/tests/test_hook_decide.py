"""The decision table: metadata, instance, gate."""

from __future__ import annotations

import json
from typing import Any

import pytest

from livekit_deploy_hook import Decision, Gate, decide

ANSWER, PASS, APPLICATION = Decision.ANSWER, Decision.PASS, Decision.APPLICATION
INSTANCE = "web1/20260102T030405Z-0a1b2c3d"
RELEASE = "20260102T030405Z-0a1b2c3d"


def probe(mode: Any, **fields: Any) -> str:
    return json.dumps({"livekit_deploy_probe": 1, "nonce": "n1", "mode": mode, **fields})


# metadata, decision with the gate open, decision with the gate closed
DIRECTED = [
    pytest.param(probe("answer_if", instance=INSTANCE), ANSWER, ANSWER, id="instance"),
    pytest.param(probe("answer_if", release=RELEASE), ANSWER, ANSWER, id="release"),
    pytest.param(probe("answer_if", release=RELEASE, instance=INSTANCE), ANSWER, ANSWER, id="both"),
    pytest.param(probe("answer_if", release=None, instance=INSTANCE), ANSWER, ANSWER, id="null is not given"),
    pytest.param(probe("answer_if", instance="web2/" + RELEASE), PASS, PASS, id="another host"),
    pytest.param(probe("answer_if", release="other"), PASS, PASS, id="another release"),
    pytest.param(probe("answer_if", release="other", instance=INSTANCE), PASS, PASS, id="one of two wrong"),
    pytest.param(
        probe("answer_if", release=RELEASE, instance="web2/" + RELEASE),
        PASS,
        PASS,
        id="the other of two wrong",
    ),
    pytest.param(probe("answer_if"), PASS, PASS, id="nothing given"),
    pytest.param(probe("answer_if", release=None), PASS, PASS, id="only null given"),
    pytest.param(probe("answer_if", instance=INSTANCE.upper()), PASS, PASS, id="case matters"),
    pytest.param(probe("answer_if", release=""), PASS, PASS, id="empty release"),
    pytest.param(probe("answer_if", instance=INSTANCE, release=""), PASS, PASS, id="empty release is given"),
    pytest.param(probe("answer_if", instance=[INSTANCE]), PASS, PASS, id="not text"),
    pytest.param(probe("answer_if", instance=False), PASS, PASS, id="false is given"),
]
UNDIRECTED = [
    pytest.param(probe("answer"), ANSWER, PASS, id="answer"),
    pytest.param(probe("answer", release="other"), ANSWER, PASS, id="answer ignores directions"),
    pytest.param(probe("pass"), PASS, PASS, id="pass"),
    pytest.param(probe("pass", instance=INSTANCE), PASS, PASS, id="pass ignores directions"),
    pytest.param(probe("pass", instances=["web2/x", INSTANCE]), PASS, PASS, id="one of those that pass"),
    pytest.param(probe("pass", instances=["web2/x"]), ANSWER, PASS, id="of another deployment"),
    pytest.param(probe("pass", instances=[]), ANSWER, PASS, id="nobody is to pass"),
    pytest.param(probe("pass", instances=None), PASS, PASS, id="null instances are not given"),
    pytest.param(probe("pass", instances=INSTANCE), PASS, PASS, id="instances that are no list"),
]
# A marked dispatch must never start a job, even if a newer deployer wrote it.
UNKNOWN = [
    pytest.param(probe("explode"), PASS, PASS, id="unknown mode"),
    pytest.param(probe("ANSWER"), PASS, PASS, id="mode in capitals"),
    pytest.param(probe(None), PASS, PASS, id="no mode"),
    pytest.param(probe(["answer"]), PASS, PASS, id="mode is a list"),
    pytest.param('{"livekit_deploy_probe":2,"mode":"answer"}', PASS, PASS, id="version 2"),
    pytest.param('{"livekit_deploy_probe":true,"mode":"answer"}', PASS, PASS, id="version true"),
    pytest.param('{"livekit_deploy_probe":"1","mode":"answer"}', PASS, PASS, id="version text"),
    pytest.param('{"livekit_deploy_probe":null,"mode":"answer"}', PASS, PASS, id="version null"),
]
REHEARSALS = [
    pytest.param(json.dumps({"livekit_deploy_rehearsal": INSTANCE}), APPLICATION, APPLICATION, id="ours"),
    pytest.param(
        json.dumps({"livekit_deploy_rehearsal": INSTANCE, "user": 7}), APPLICATION, APPLICATION, id="ours, with more"
    ),
    pytest.param(json.dumps({"livekit_deploy_rehearsal": "web2/x"}), PASS, PASS, id="of another instance"),
    pytest.param(json.dumps({"livekit_deploy_rehearsal": ""}), PASS, PASS, id="of nobody"),
    pytest.param(
        json.dumps({"livekit_deploy_rehearsal": INSTANCE, "livekit_deploy_probe": 2}), PASS, PASS, id="a probe as well"
    ),
]
REAL = [
    pytest.param("", APPLICATION, PASS, id="empty"),
    pytest.param("hello", APPLICATION, PASS, id="not JSON"),
    pytest.param("{", APPLICATION, PASS, id="half a JSON"),
    pytest.param("[" * 100_000, APPLICATION, PASS, id="deep JSON"),
    pytest.param("9" * 100_000, APPLICATION, PASS, id="huge number"),
    pytest.param('["livekit_deploy_probe"]', APPLICATION, PASS, id="a list"),
    pytest.param('"livekit_deploy_probe"', APPLICATION, PASS, id="a string"),
    pytest.param('{"mode":"answer","nonce":"n"}', APPLICATION, PASS, id="no marker"),
    pytest.param('{"a":{"livekit_deploy_probe":1}}', APPLICATION, PASS, id="marker inside"),
]
TABLE = DIRECTED + UNDIRECTED + UNKNOWN + REHEARSALS + REAL


@pytest.mark.parametrize(("metadata", "when_open", "when_closed"), TABLE)
def test_metadata_and_gate_decide(metadata: str, when_open: Decision, when_closed: Decision) -> None:
    decisions = [decide(metadata, INSTANCE, gate) for gate in (Gate.OPEN, Gate.CLOSED)]
    assert decisions == [when_open, when_closed]


@pytest.mark.parametrize("field", ["release", "instance"])
def test_a_worker_without_an_instance_answers_no_directed_probe(field: str) -> None:
    assert decide(probe("answer_if", **{field: ""}), "", Gate.OPEN) is PASS


@pytest.mark.parametrize(("instance", "release"), [("web1/r1", "r1"), ("rack/web1/r1", "r1"), ("r1", "r1")])
def test_the_release_is_what_follows_the_last_slash(instance: str, release: str) -> None:
    assert decide(probe("answer_if", release=release), instance, Gate.OPEN) is ANSWER


def test_a_worker_without_an_instance_takes_no_rehearsal() -> None:
    assert decide(json.dumps({"livekit_deploy_rehearsal": ""}), "", Gate.OPEN) is PASS


def test_an_instance_that_ends_with_a_slash_has_no_release() -> None:
    assert decide(probe("answer_if", release=""), "web1/", Gate.OPEN) is PASS
