"""What is told of a name that hosts no longer serve, and of one that is shared on purpose."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.livekit_deploy import rename

SHARED = {"kind": "shared_name", "at": "2026-01-01T00:00:00Z"}
KNOWN = {"a": {"agent_name": "new", "worker_ids": ["AW_a"]}, "b": {"agent_name": "other", "worker_ids": ["AW_b"]}}
RENAMED = {"a": {"before": "old", "now": "new", "shared": False}}
NO_SIP = {"checked": False, "reason": "sip not connected"}
SIP = {"checked": True, "rules": [{"id": "SDR_1", "name": "front desk", "agents": ["old"]}, {"id": "SDR_2", "name": "", "agents": ["x"]}]}


def host(before: str | None, now: str, *, changed: bool = True, rolled_back: Any = None, ended: bool = True) -> dict[str, Any]:
    plan = {"changed": changed, "agent_name": now, "agent_name_before": before, "rolled_back": rolled_back}
    done: dict[str, Any] = {"__agent_release_ended": {"retired": []}} if ended else {}
    return {"__agent_release_state": {"plan": plan}, **done}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        (host("old", "new"), {"before": "old", "now": "new", "shared": False}),
        (host("old", "shared", rolled_back=SHARED), {"before": "old", "now": "shared", "shared": True}),
        (host("shared", "shared", rolled_back=SHARED), {"before": None, "now": "shared", "shared": True}),
        (host("same", "same"), None),
        (host(None, "first"), None),
        (host("old", "new", changed=False), None),
        (host("old", "new", ended=False), None),
        ({}, None),
    ],
)
def test_host_that_serves_another_name_than_before_is_told_of(variables: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert rename.changes({"a": variables}, ["a"]) == ({"a": expected} if expected else {})


def test_each_name_is_asked_once() -> None:
    changed = {"a": {"before": "old", "now": "s", "shared": True}, "b": {"before": "old", "now": "s", "shared": True}}
    asked = [(probe["id"], probe.get("count")) for probe in rename.questions(changed, 20, 0.5)]
    assert asked == [("old/former", None), ("s/share", 20)]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"outcome": "nobody"}, "nobody serves it, dispatches to it are lost"),
        ({"outcome": "taken", "worker_id": "AW_b"}, "AW_b (b) serves it"),
        ({"outcome": "taken", "worker_id": "AW_x"}, "AW_x (no host of this run) serves it"),
        ({"outcome": "error", "reason": "no answer"}, "who serves it is not known (no answer)"),
        ({}, "who serves it is not known (not asked)"),
    ],
)
def test_fate_of_a_former_name(answer: dict[str, Any], said: str) -> None:
    (first, *_) = rename.notes(RENAMED, KNOWN, {"old/former": answer}, NO_SIP)
    assert first == f"a no longer serves old: {said}"


def test_whoever_still_dispatches_to_it_is_named() -> None:
    known = {**KNOWN, "b": {**KNOWN["b"], "agent_name": "old"}}
    (_, users) = rename.notes(RENAMED, known, {}, SIP)
    assert users == f"  still dispatching to it: the API of b, SIP dispatch rule front desk; {rename.TOKENS}"


def test_rules_that_were_not_read_are_not_ruled_out() -> None:
    (_, users, unread) = rename.notes(RENAMED, KNOWN, {}, NO_SIP)
    assert users == f"  still dispatching to it: nothing that the inventory knows; {rename.TOKENS}"
    assert unread == "  SIP dispatch rules were not read: sip not connected"


def test_shares_of_a_shared_name_are_counted_by_worker() -> None:
    taken = ["AW_a", "AW_a", "AW_x", None]
    answers = {f"s/share/{n}": {"outcome": "taken" if who else "nobody", "worker_id": who} for n, who in enumerate(taken)}
    (line,) = rename.notes({"a": {"before": None, "now": "s", "shared": True}}, KNOWN, answers, NO_SIP)
    assert line == "of 4 spaced probes to s: a AW_a 2, not ours AW_x 1, nobody 1"


def test_inventory_knows_the_name_that_each_host_serves() -> None:
    variables = {"livekit_agent_name": "own", **host("old", "new")}
    variables["__agent_release_state"] |= {"workers": [{"release": "r", "worker_id": "AW_1"}], "states": {"r": "serving"}}
    assert rename.inventory({"a": variables}, ["a"]) == {"a": {"agent_name": "new", "worker_ids": ["AW_1"]}}
