"""What is asked of a new worker and a new API before calls reach them, and what is made of the answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.inventory import rehearsal
from ansible.module_utils.livekit_deploy.play.run import HostRun, Runs
from ansible.module_utils.livekit_deploy.proof import probes


def reading(*workers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"time": 1.0, "workers": list(workers), **more}


def host(**more: Any) -> dict[str, Any]:
    return {"livekit_agent_name": "name-a", **more}


NEW = reading({"agent_name": "name-a", "instance": "a/id1", "worker_id": "AW_1", "url": "ws://livekit.test:7880"})


def planned(**plan: Any) -> dict[str, Any]:
    state = reading(
        release={"id": "id0", "hook": True}, plan={"changed": True, "agent_name": "name-a", "rolled_back": None, **plan}
    )
    return host(__agent_release_state=state, __agent_release_worker=NEW)


# --- the new worker behind its gate ---


def test_new_worker_gets_a_rehearsal_that_only_it_takes() -> None:
    hostvars = {"a": host(__agent_release_worker=NEW, livekit_agent_rehearsal_metadata={"user": 7})}
    (rehearsal,) = probes.standby_probes(Runs(hostvars), ["a"], ["a"])[1:]
    assert (rehearsal["kind"], rehearsal["instance"], json.loads(rehearsal["metadata"])) == (
        "rehearsal",
        "a/id1",
        {"user": 7},
    )


@pytest.mark.parametrize("value", [False, "no"])
def test_rehearsal_that_is_switched_off_is_not_sent(value: Any) -> None:
    hostvars = {"a": host(__agent_release_worker=NEW, livekit_agent_rehearsal=value)}
    assert [probe["id"] for probe in probes.standby_probes(Runs(hostvars), ["a"], ["a"])] == ["a/directed"]


def test_rehearsal_is_not_sent_to_a_name_that_others_share() -> None:
    hostvars = {"a": planned(rolled_back={"kind": "shared_name"})}
    assert [probe["id"] for probe in probes.standby_probes(Runs(hostvars), ["a"], ["a"])] == ["a/directed"]


def candidate(**plan: Any) -> dict[str, Any]:
    worker = {**NEW["workers"][0], "agent_name": "name-a-candidate"}
    return {**planned(**{"gated": False, **plan}), "__agent_release_candidate_worker": reading(worker)}


def test_worker_without_a_usable_gate_is_proven_under_its_candidate_name() -> None:
    hostvars = {"a": candidate()}
    sent = probes.candidate_probes(Runs(hostvars), ["a"])
    assert [(probe["id"], probe["agent_name"]) for probe in sent] == [
        ("a/directed", "name-a-candidate"),
        ("a/rehearsal", "name-a-candidate"),
    ]
    assert probes.standby_probes(Runs(hostvars), ["a"], ["a"]) == []


@pytest.mark.parametrize(
    ("hook", "rehearsal", "ids"),
    [(True, False, ["a/directed"]), (False, True, ["a/rehearsal"]), (False, False, [])],
)
def test_candidate_gets_what_its_worker_understands_and_its_user_wants(
    hook: bool, rehearsal: bool, ids: list[str]
) -> None:
    hostvars = {"a": {**candidate(hook=hook), "livekit_agent_rehearsal": rehearsal}}
    assert [probe["id"] for probe in probes.candidate_probes(Runs(hostvars), ["a"])] == ids


def test_worker_with_a_usable_gate_has_no_candidate() -> None:
    assert probes.candidate_probes(Runs({"a": candidate(gated=True)}), ["a"]) == []


TOOK = {"worker_id": "AW_1", "reason": "taken by AW_1", "in_room": True}
STANDBY_TROUBLES = [
    ({"a/directed": TOOK, "a/rehearsal": TOOK}, ""),
    (
        {"a/directed": {**TOOK, "worker_id": "AW_9"}, "a/rehearsal": TOOK},
        "the probe sent to name-a for a/id1 got AW_9, expected worker AW_1",
    ),
    ({"a/directed": {"worker_id": None, "reason": "no worker took it"}}, "got no worker took it"),
    (
        {"a/directed": TOOK, "a/rehearsal": {**TOOK, "worker_id": "AW_9"}},
        "the rehearsal sent to name-a for a/id1 got AW_9",
    ),
    (
        {"a/directed": TOOK, "a/rehearsal": {**TOOK, "in_room": False}},
        "the rehearsal failed (taken by AW_1), expected that the agent stays",
    ),
    (
        {"a/directed": TOOK, "a/rehearsal": {**TOOK, "in_room": False, "error_kind": "media"}},
        (
            "A firewall between a and livekit.test drops the media. "
            "Let a reach the media ports of livekit.test: UDP (rtc.udp_port"
        ),
    ),
    ({}, "got boom, expected worker AW_1"),
]


@pytest.mark.parametrize(("answers", "words"), STANDBY_TROUBLES)
def test_new_worker_is_refused_unless_all_that_was_sent_for_it_came_out_right(
    answers: dict[str, Any], words: str
) -> None:
    hostvars = {"a": host(__agent_release_worker=NEW)}
    sent = probes.standby_probes(Runs(hostvars), ["a"], ["a"])
    trouble = probes.standby_trouble(Runs(hostvars), "a", sent, {"probes": answers} if answers else {"msg": "boom"})
    assert words in trouble if words else trouble == ""


@pytest.mark.parametrize(
    ("sdk", "remedy"), [("node", "set livekit_agent_hook: false"), ("python", "probe_hook/README.md")]
)
def test_worker_that_cannot_ask_the_hook_is_told_apart_from_one_that_does_not(sdk: str, remedy: str) -> None:
    new = {**NEW, "workers": [{**worker, "sdk": sdk} for worker in NEW["workers"]]}
    hostvars = {"a": host(__agent_release_worker=new)}
    sent = probes.standby_probes(Runs(hostvars), ["a"], ["a"])
    assert remedy in probes.standby_trouble(
        Runs(hostvars), "a", sent, {"probes": {"a/directed": {"worker_id": None, "reason": "nobody"}}}
    )


def test_rehearsal_that_an_earlier_worker_of_ours_took_for_a_call_is_no_trouble() -> None:
    variables = planned()
    variables["__agent_release_state"] |= {
        "workers": [{"release": "id0", "worker_ids": ["AW_0"]}],
        "states": {"id0": "serving"},
    }
    sent = probes.standby_probes(Runs({"a": variables}), ["a"], ["a"])
    answers: Any = {"a/directed": TOOK, "a/rehearsal": {**TOOK, "worker_id": "AW_0"}}
    assert probes.standby_trouble(Runs({"a": variables}), "a", sent, {"probes": answers}) == ""


def test_host_for_which_nothing_was_sent_has_no_trouble() -> None:
    assert probes.standby_trouble(Runs({"a": host()}), "a", [], {}) == ""


def pool(other: dict[str, Any]) -> dict[str, Any]:
    return {"a": {**planned(), "livekit_agent_pool": "p"}, "b": {**other, "livekit_agent_pool": "p"}, "c": host()}


@pytest.mark.parametrize(("other", "trouble"), [(host(), False), (planned(), True)], ids=["not read yet", "read"])
def test_rehearsal_that_a_pool_member_took_which_this_run_has_not_read_is_no_trouble(
    other: dict[str, Any], trouble: bool
) -> None:
    hostvars = pool(other)
    sent = probes.standby_probes(Runs(hostvars), list(hostvars), ["a"])
    answers: Any = {"a/directed": TOOK, "a/rehearsal": {**TOOK, "worker_id": "AW_9"}}
    assert bool(probes.standby_trouble(Runs(hostvars), "a", sent, {"probes": answers})) is trouble


@pytest.mark.parametrize(("metadata", "count"), [({"user": 7}, 0), (None, 0), ({"user": object()}, 1)])
def test_metadata_that_cannot_be_sent_is_found_before_anything_is_touched(metadata: Any, count: int) -> None:
    assert len(rehearsal.rehearsal_problems({"a": host(livekit_agent_rehearsal_metadata=metadata)}, ["a"])) == count


# --- the new API in its free slot ---


def slot(status: int = 200, content: str = '{"room": "r"}', changed: bool = True) -> dict[str, Any]:
    return {
        **planned(changed=changed),
        "__agent_release_api_answer": {
            "status": status,
            "content": content,
            "url": "http://127.0.0.1:18102/v1/preview",
        },
    }


def test_what_a_new_api_answered_is_looked_at() -> None:
    (probe,) = probes.slot_previews(Runs({"a": slot()}), ["a"])
    assert (probe["expect"], probe["agent_name"], probe["answer"]) == (
        "dispatch",
        "name-a",
        {"status": 200, "text": '{"room": "r"}'},
    )


@pytest.mark.parametrize(
    "variables", [slot(changed=False), planned(), {**planned(), "__agent_release_api_answer": {"skipped": True}}]
)
def test_api_that_was_not_asked_is_not_looked_at(variables: dict[str, Any]) -> None:
    assert probes.slot_previews(Runs({"a": variables}), ["a"]) == []
    assert probes.slot_trouble(Runs({"a": variables}), "a", {}) == ""


SLOT_TROUBLES = [
    ({"probes": {"a/slot": {"outcome": "dispatched", "reason": "dispatch AD_1"}}}, ""),
    (
        {"probes": {"a/slot": {"outcome": "nobody", "reason": "dispatches to x"}}},
        "dispatches to x. Expected: a dispatch to 'name-a'",
    ),
    ({"msg": "no server"}, "no server. Expected"),
    ({}, "its answer was not looked at"),
]


@pytest.mark.parametrize(("answered", "words"), SLOT_TROUBLES)
def test_new_api_is_refused_unless_it_dispatched_to_its_name(answered: Any, words: str) -> None:
    trouble = probes.slot_trouble(Runs({"a": slot()}), "a", answered)
    assert words in trouble if words else trouble == ""


def test_reading_after_a_switch_of_an_earlier_run_in_the_same_playbook_is_none() -> None:
    variables = host(
        __agent_release_state={**reading(release={"id": "old"}), "fence": 8},
        __agent_release_switched=reading(release={"id": "new"}),
    )
    variables["__agent_release_switched"]["fence"] = 7
    assert HostRun("a", variables).record()["id"] == "old"
