"""What is told of a name that hosts no longer serve, and of one that is shared on purpose."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.names import rename
from ansible.module_utils.livekit_deploy.play.run import HostRun, Runs

SHARED = {"kind": "shared_name", "at": "2026-01-01T00:00:00Z"}
KNOWN: Any = {
    "a": {"agent_name": "new", "worker_ids": ["AW_a"]},
    "b": {"agent_name": "other", "worker_ids": ["AW_b"]},
}
RENAMED: Any = {"a": {"before": "old", "now": "new", "shared": False}}
NO_SIP: Any = {"checked": False, "reason": "sip not connected"}
SIP: Any = {
    "checked": True,
    "rules": [{"id": "SDR_1", "name": "front desk", "agents": ["old"]}, {"id": "SDR_2", "name": "", "agents": ["x"]}],
}


def host(
    before: str | None, now: str, *, changed: bool = True, rolled_back: Any = None, ended: bool = True
) -> dict[str, Any]:
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
def test_host_that_serves_another_name_than_before_is_told_of(
    variables: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    assert rename.changes(Runs({"a": variables}), ["a"]) == ({"a": expected} if expected else {})


def test_each_name_is_asked_once() -> None:
    changed: Any = {
        "a": {"before": "old", "now": "s", "shared": True},
        "b": {"before": "old", "now": "s", "shared": True},
    }
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
def test_fate_of_a_former_name(answer: Any, said: str) -> None:
    (first, *_) = rename.rename_notes(RENAMED, KNOWN, {"old/former": answer}, NO_SIP)
    assert first == f"a no longer serves old: {said}"


def test_whoever_still_dispatches_to_it_is_named() -> None:
    known = {**KNOWN, "b": {**KNOWN["b"], "dispatches_to": {"old": "the API of b"}}}
    (_, users) = rename.rename_notes(RENAMED, known, {}, SIP)
    assert users == f"  still dispatching to it: the API of b, SIP dispatch rule front desk; {rename.TOKENS}"


def test_rules_that_were_not_read_are_not_ruled_out() -> None:
    (_, users, unread) = rename.rename_notes(RENAMED, KNOWN, {}, NO_SIP)
    assert users == f"  still dispatching to it: nothing that the inventory knows; {rename.TOKENS}"
    assert unread == "  SIP dispatch rules were not read: sip not connected"


def test_shares_of_a_shared_name_are_counted_by_worker() -> None:
    taken = ["AW_a", "AW_a", "AW_x", None]
    answers: Any = {
        f"s/share/{n}": {"outcome": "taken" if who else "nobody", "worker_id": who} for n, who in enumerate(taken)
    }
    (line,) = rename.rename_notes({"a": {"before": None, "now": "s", "shared": True}}, KNOWN, answers, NO_SIP)
    assert line == "of 4 spaced probes to s: a AW_a 2, not ours AW_x 1, nobody 1"


def test_inventory_knows_the_name_that_each_host_serves() -> None:
    variables = {"livekit_agent_name": "own", **host("old", "new")}
    variables["__agent_release_state"] |= {
        "workers": [{"release": "r", "worker_id": "AW_1"}],
        "states": {"r": "serving"},
    }
    assert rename.inventory(Runs({"a": variables}), ["a"]) == {
        "a": {"agent_name": "new", "worker_ids": ["AW_1"], "dispatches_to": {}}
    }


# --- whose API dispatches to a name that is left ---------------------------------------------------------------------

LEFT = {"old": ["new"]}
PLAN: dict[str, Any] = {"changed": True, "agent_name": "desk", "agent_name_before": "desk"}
GREETER = {"agent_api_env": {"DESK_GREETER": "old"}}
RENAMED_GREETER = {"agent_api_env": {"DESK_GREETER": "new"}}
BROUGHT_BACK = {"kind": "release", "to": "r"}


def in_this_run(*, ended: bool, **plan: Any) -> dict[str, Any]:
    """What the run's tasks registered of the host of an API."""
    done: dict[str, Any] = {"__agent_release_ended": {"retired": []}} if ended else {}
    return {"__agent_release_state": {"plan": {**PLAN, **plan}}, **done}


def maybe(value: str) -> str:
    return (
        f"maybe the API of b (its DESK_GREETER is {value} in the inventory, which is not what this run releases there)"
    )


@pytest.mark.parametrize(
    ("variables", "own_name", "said"),
    [
        pytest.param({}, "old", "the API of b", id="its own name"),
        pytest.param(GREETER, "desk", "the API of b (its DESK_GREETER)", id="a variable"),
        pytest.param(
            {"agent_api_env": {"A": "old", "B": "old", "C": "x"}}, "desk", "the API of b (its A, B)", id="two variables"
        ),
        pytest.param(
            {"agent_api_env": {"A": "olden", "B": ["old"], "C": 1}}, "desk", "", id="no value that is the name"
        ),
        pytest.param({"agent_api_env": {"AGENT_NAME": "old"}}, "desk", "", id="what the release sets itself"),
        pytest.param({"agent_api_secret_env": {"DESK_GREETER": "old"}}, "desk", "", id="a secret is not compared"),
        pytest.param({**GREETER, "agent_api_image": ""}, "old", "", id="no API at all"),
        pytest.param({"agent_api_env": "old"}, "desk", "", id="no dictionary"),
        pytest.param(RENAMED_GREETER, "desk", maybe("new"), id="renamed in the inventory, not in this run"),
        pytest.param({**RENAMED_GREETER, **in_this_run(ended=False)}, "desk", maybe("new"), id="its release failed"),
        pytest.param({**RENAMED_GREETER, **in_this_run(ended=True)}, "desk", "", id="released in this run"),
        pytest.param(
            {**RENAMED_GREETER, **in_this_run(ended=False, changed=False)},
            "desk",
            "",
            id="serves what the inventory says",
        ),
        pytest.param(
            {**GREETER, **in_this_run(ended=True, rolled_back=SHARED)},
            "all",
            "the API of b (its DESK_GREETER)",
            id="shared name",
        ),
        pytest.param(
            {**GREETER, **in_this_run(ended=True, rolled_back=BROUGHT_BACK)}, "desk", maybe("old"), id="kept release"
        ),
    ],
)
def test_api_that_dispatches_to_a_name_that_is_left_is_known(
    variables: dict[str, Any], own_name: str, said: str
) -> None:
    assert rename.dispatches(HostRun("b", variables), own_name, LEFT) == ({"old": said} if said else {})


def test_api_that_will_be_released_in_the_same_run_is_not_warned_of() -> None:
    variables = {**RENAMED_GREETER, **in_this_run(ended=False)}
    assert rename.dispatches(HostRun("b", variables), "desk", LEFT, planned=True) == {}


def desk(**greeter: Any) -> dict[str, Any]:
    """docs/your-application.md: a worker without an API, to whose name the API of another entry dispatches."""
    worker = {
        "livekit_agent_name": "new",
        "agent_api_image": "",
        "agent_api_env": {"X": "old"},
        **host("old", "new", **greeter),
    }
    return {"greeter": worker, "clerk": {"livekit_agent_name": "desk", "agent_api_image": "r/desk", **GREETER}}


def test_renamed_worker_without_an_api_is_told_with_the_api_of_the_other_entry() -> None:
    hostvars = desk()
    known = rename.inventory(Runs(hostvars), list(hostvars), ["greeter"])
    (_, users) = rename.rename_notes(rename.changes(Runs(hostvars), ["greeter"]), known, {}, SIP)
    assert users.startswith(
        "  still dispatching to it: the API of clerk (its DESK_GREETER), SIP dispatch rule front desk; "
    )


def test_warning_comes_before_the_name_is_left() -> None:
    hostvars = desk(ended=False)
    known = rename.inventory(Runs(hostvars), list(hostvars), ["greeter"], planned=True)
    (line,) = rename.rename_warnings(rename.changes(Runs(hostvars), ["greeter"], planned=True), known)
    assert line.startswith(
        "greeter: about to leave the agent name old, to which something dispatches: the API of clerk "
        "(its DESK_GREETER)."
    )
    assert line.endswith("give it new in the same run, or leave greeter out (--limit)")
    assert rename.changes(Runs(hostvars), ["greeter"]) == {}


def test_no_warning_of_an_api_whose_own_worker_serves_the_name() -> None:
    known: Any = {"b": {"agent_name": "old", "worker_ids": [], "dispatches_to": {"old": "the API of b"}}}
    assert rename.rename_warnings(RENAMED, known) == []


# --- a host that was taken out ---------------------------------------------------------------------------------------

GROUP = ["a", "b", "c"]
FLEET: dict[str, Any] = {
    "a": {"livekit_agent_name": "pool", "livekit_agent_shared_name": "all"},
    "b": {"livekit_agent_name": "pool"},
    "c": {"livekit_agent_name": "other", "livekit_agent_shared_name": "all"},
}


def taken_out(**more: Any) -> dict[str, Any]:
    return {**FLEET, "a": {**FLEET["a"], **more}}


def served(*names: str) -> dict[str, Any]:
    return {"__removal_done": {"removal": {"agent_names": list(names)}}}


@pytest.mark.parametrize(
    ("host", "run", "said"),
    [
        (
            "",
            GROUP,
            "found no remove_host, expected the one host to take out. Say which: -e remove_host=<one of a, b, c>",
        ),
        ("d", GROUP, "found remove_host=d, expected a host of the group agent_hosts (a, b, c)"),
        ("a:b", GROUP, "found remove_host=a:b, expected a host"),
        ("all", GROUP, "found remove_host=all, expected a host"),
        ("a", ["b"], "found remove_host=a, which --limit leaves out"),
    ],
)
def test_removal_of_no_certain_host_is_refused(host: str, run: list[str], said: str) -> None:
    assert rename.removal_refusal(GROUP, run, host).startswith(said)


def test_removal_of_a_host_of_the_run_is_not_refused() -> None:
    assert rename.removal_refusal(GROUP, ["a"], "a") == ""


@pytest.mark.parametrize(
    ("done", "names"),
    [(served("now", "before"), ["now", "before"]), (served(), ["pool"]), ({}, ["pool"])],
)
def test_names_of_a_removed_host_are_those_it_served_else_the_inventorys(
    done: dict[str, Any], names: list[str]
) -> None:
    assert rename.leaving(Runs(taken_out(**done)), "a")["a"]["before"] == names


@pytest.mark.parametrize(
    ("names", "hosts"), [(["pool"], ["b"]), (["all"], ["c"]), (["pool", "all"], ["b", "c"]), (["x"], [])]
)
def test_hosts_that_may_serve_the_name_too_are_read(names: list[str], hosts: list[str]) -> None:
    assert rename.sharers(Runs(taken_out(**served(*names))), GROUP, "a") == hosts


def test_each_of_several_names_is_asked_and_told() -> None:
    changed = rename.leaving(Runs(taken_out(**served("now", "before"))), "a")
    assert [probe["id"] for probe in rename.questions(changed, 20, 0.5)] == ["before/former", "now/former"]
    told = rename.rename_notes(changed, {}, {"now/former": {"outcome": "nobody"}}, SIP)
    assert [line for line in told if line.startswith("a no longer serves now: nobody serves it")]


def test_host_of_the_pool_that_serves_on_is_named() -> None:
    read = {
        "__removal_sharer": "b",
        "workers": [{"release": "r", "worker_id": "AW_b"}],
        "states": {"r": "serving"},
        "release": None,
    }
    known = rename.beside(Runs(taken_out(__removal_sharers={"results": [read]})), GROUP, "a")
    assert known == {
        "b": {"agent_name": "pool", "worker_ids": ["AW_b"], "dispatches_to": {"pool": "the API of b"}},
        "c": {"agent_name": "other", "worker_ids": [], "dispatches_to": {}},
    }


def test_api_that_dispatches_to_the_name_of_a_removed_worker_is_named() -> None:
    hostvars = {
        **FLEET,
        "c": {**FLEET["c"], "agent_api_env": {"DESK_GREETER": "pool"}},
        "b": {**FLEET["b"], "agent_api_image": ""},
    }
    (_, users) = rename.rename_notes(
        rename.leaving(Runs(hostvars), "a"), rename.beside(Runs(hostvars), GROUP, "a"), {}, SIP
    )
    assert users == f"  still dispatching to it: the API of c (its DESK_GREETER); {rename.TOKENS}"


def test_worker_of_somebody_else_on_the_host_is_named() -> None:
    left = {
        "workers": [{"container": "x-1", "project": "x", "running": True, "worker_ids": ["AW_x"], "worker_id": "AW_x"}]
    }
    known = rename.beside(Runs(taken_out(__removal_workers=left)), GROUP, "a")
    (line, *_) = rename.rename_notes(
        rename.leaving(Runs(FLEET), "a"), known, {"pool/former": {"outcome": "taken", "worker_id": "AW_x"}}, SIP
    )
    assert line == "a no longer serves pool: AW_x (x-1 of compose project x on a, not ours) serves it"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"probes": {"p": {"outcome": "nobody"}, "q": {"outcome": "taken"}}}, ""),
        ({"probes": {"p": {"outcome": "error", "reason": "no answer in time"}}}, "is not known (no answer in time)"),
        ({"msg": "unauthorized"}, "is not known (unauthorized)"),
    ],
)
def test_it_is_not_left_open_who_serves_the_name(asked: dict[str, Any], said: str) -> None:
    assert said in rename.successor_failure(asked, "a")
    assert bool(rename.successor_failure(asked, "a")) == bool(said)
