"""One batch of hosts after the other: none begins after a failure; what becomes of the earlier is the user's to say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.harness import Lab, with_fault
from tests.e2e.test_trouble import Trouble, ghost, trouble

FIRST, SECOND = "staging-1", "staging-2"
ONE_BY_ONE = {"deploy_batches": [1, "100%"]}


def both(lab: Lab, name: str, memory: str, **faults: dict[str, Any]) -> Any:
    """An inventory where both hosts have a change, and some of them a fault."""
    return lab.inventory_of(
        name, {host: {"livekit_agent_memory": memory, **faults.get(host, {})} for host in (FIRST, SECOND)}
    )


FAULTY = with_fault("hardcoded_name")


@pytest.fixture(scope="module")
def canary_fails(deployed: Lab) -> Trouble:
    inventory = both(deployed, "canary-fails", "1501m", **{FIRST: FAULTY})
    return trouble(deployed, inventory=inventory, extra_vars=ONE_BY_ONE)


def test_no_batch_begins_after_a_canary_that_fails(canary_fails: Trouble) -> None:
    assert canary_fails.run.rc != 0
    assert "'hardcoded-by-fault'" in canary_fails.run.reason(FIRST)
    assert canary_fails.run.reason(SECOND) == f"not begun, because batch 1 of 2 failed on {FIRST}"


def test_both_hosts_are_as_they_were_before_the_canary_failed(canary_fails: Trouble) -> None:
    assert canary_fails.after == canary_fails.before


@pytest.fixture(scope="module")
def second_fails(canary_fails: Trouble, deployed: Lab) -> Trouble:
    assert canary_fails.after
    inventory = both(deployed, "second-fails", "1502m", **{SECOND: FAULTY})
    return trouble(deployed, inventory=inventory, extra_vars=ONE_BY_ONE)


def test_an_earlier_batch_keeps_its_release_when_a_later_one_fails(second_fails: Trouble) -> None:
    assert second_fails.run.rc != 0
    assert second_fails.run.row(FIRST)["verdict"] == "exclusive"
    assert (
        second_fails.after[0]["serving"] == second_fails.run.row(FIRST)["release"] != second_fails.before[0]["serving"]
    )
    assert second_fails.after[1] == second_fails.before[1]


def test_the_host_that_failed_is_told_and_the_other_is_not(second_fails: Trouble) -> None:
    assert "'hardcoded-by-fault'" in second_fails.run.reason(SECOND)
    assert second_fails.run.reason(FIRST) == "all 8 checks hold"


@pytest.fixture(scope="module")
def rolled_back(second_fails: Trouble, deployed: Lab) -> Trouble:
    assert second_fails.after
    inventory = both(deployed, "rolled-back", "1503m", **{SECOND: FAULTY})
    return trouble(deployed, inventory=inventory, extra_vars={**ONE_BY_ONE, "deploy_on_batch_failure": "rollback"})


def test_an_earlier_batch_gets_back_what_it_served_where_that_is_wanted(rolled_back: Trouble, deployed: Lab) -> None:
    assert rolled_back.run.rc != 0
    record = deployed.machines[0].record(rolled_back.after[0]["serving"])
    assert record["rolled_back"]["to"] == rolled_back.before[0]["serving"]
    before = deployed.machines[0].record(rolled_back.before[0]["serving"])
    assert (record["hash"], record["images"], record["agent_name"]) == (
        before["hash"],
        before["images"],
        before["agent_name"],
    )


def test_the_failed_host_serves_what_it_did_while_the_other_is_rolled_back(rolled_back: Trouble) -> None:
    assert rolled_back.after[1] == rolled_back.before[1]
    assert "'hardcoded-by-fault'" in rolled_back.run.reason(SECOND)


def first_away(lab: Lab, **extra_vars: Any) -> Trouble:
    (away,) = ghost(lab, 1).values()
    hosts = {FIRST: {"ansible_host": away["ansible_host"]}, SECOND: {"livekit_agent_memory": "1504m"}}
    return trouble(lab, inventory=lab.inventory_of("first-away", hosts), extra_vars=extra_vars)


@pytest.fixture(scope="module")
def canary_away(rolled_back: Trouble, deployed: Lab) -> Trouble:
    assert rolled_back.after
    return first_away(deployed, **ONE_BY_ONE)


def test_no_batch_begins_after_one_that_is_away(canary_away: Trouble) -> None:
    assert canary_away.run.rc != 0
    assert "host unreachable over SSH" in canary_away.run.reason(FIRST)
    assert canary_away.run.reason(SECOND) == f"not begun, because batch 1 of 2 failed on {FIRST}"
    assert canary_away.after == canary_away.before


@pytest.fixture(scope="module")
def no_batches(canary_away: Trouble, deployed: Lab) -> Trouble:
    assert canary_away.after
    return first_away(deployed)


def test_first_host_that_is_away_keeps_no_other_from_being_deployed(no_batches: Trouble) -> None:
    assert "host unreachable over SSH" in no_batches.run.reason(FIRST)
    assert no_batches.run.row(SECOND)["verdict"] == "exclusive"
    assert no_batches.after[1]["serving"] == no_batches.run.row(SECOND)["release"] != no_batches.before[1]["serving"]


@pytest.fixture(scope="module")
def one_by_one(no_batches: Trouble, deployed: Lab) -> Trouble:
    assert no_batches.after
    return trouble(deployed, inventory=both(deployed, "one-by-one", "1505m"), extra_vars=ONE_BY_ONE)


def test_all_batches_are_released_and_proven(one_by_one: Trouble) -> None:
    assert one_by_one.run.rc == 0, one_by_one.run.stdout
    assert [one_by_one.run.row(host)["verdict"] for host in (FIRST, SECOND)] == ["exclusive", "exclusive"]


def test_a_batch_begins_when_the_one_before_has_ended(one_by_one: Trouble) -> None:
    begins = [
        n for n, result in enumerate(one_by_one.run.results) if result.host == SECOND and "Take the lock" in result.task
    ]
    ends = [
        n for n, result in enumerate(one_by_one.run.results) if result.host == FIRST and "Drain and stop" in result.task
    ]
    assert ends[-1] < begins[0]
