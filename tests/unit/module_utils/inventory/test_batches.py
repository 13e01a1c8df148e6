"""Which hosts are released together, and when no further batch begins."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.inventory import batches
from ansible.module_utils.livekit_deploy.play import batches as play_batches
from ansible.module_utils.livekit_deploy.play.run import Runs

HOSTS = ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    ("wanted", "sizes"),
    [
        ([], [5]),
        (None, [5]),
        ([1], [1, 1, 1, 1, 1]),
        (["2"], [2, 2, 1]),
        ([1, "100%"], [1, 4]),
        ([1, 2], [1, 2, 2]),
        (["40%"], [2, 2, 1]),
        (["1%"], [1, 1, 1, 1, 1]),
        ([9], [5]),
        (1, [1, 1, 1, 1, 1]),
    ],
)
def test_batches_have_the_wanted_sizes_and_all_hosts_in_their_order(wanted: Any, sizes: list[int]) -> None:
    made = batches.batches(HOSTS, wanted)
    assert [len(batch) for batch in made] == sizes
    assert [host for batch in made for host in batch] == HOSTS


def test_no_host_is_no_batch() -> None:
    assert batches.batches([], [1]) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([{}, {}], ""),
        ([{"deploy_batches": [1, "100%"], "deploy_on_batch_failure": "rollback"}] * 2, ""),
        ([{"deploy_batches": "2"}] * 2, ""),
        ([{"deploy_batches": [1]}, {}], "deploy_batches differs between hosts"),
        ([{"deploy_batches": [0]}] * 2, "deploy_batches has 0"),
        ([{"deploy_batches": ["half"]}] * 2, "deploy_batches has 'half'"),
        ([{"deploy_batches": ["0%"]}] * 2, "deploy_batches has '0%'"),
        ([{"deploy_batches": ["101%"]}] * 2, "deploy_batches has '101%'"),
        ([{"deploy_batches": [-1]}] * 2, "deploy_batches has -1"),
        ([{"deploy_on_batch_failure": "undo"}] * 2, "deploy_on_batch_failure is 'undo', expected keep or rollback"),
    ],
)
def test_what_is_wrong_with_the_batches_of_an_inventory_is_told(values: list[dict[str, Any]], words: str) -> None:
    found = batches.batch_problems({"a": values[0], "b": values[1]}, ["a", "b"])
    assert words in " ".join(found) if words else found == []


MADE = [["a"], ["b", "c"], ["d"]]
FAILED = {"__agent_release_failure": "install: no image"}


@pytest.mark.parametrize(
    ("failed", "present", "batch", "words"),
    [
        ([], "abcd", 2, ""),
        (["a"], "abcd", 0, ""),
        (["a"], "abcd", 1, "batch 1 of 3 failed on a"),
        (["a"], "abcd", 2, "batch 1 of 3 failed on a"),
        (["c"], "abcd", 1, ""),
        (["c"], "abcd", 2, "batch 2 of 3 failed on c"),
        ([], "acd", 2, "batch 2 of 3 failed on b"),
        ([], "bcd", 1, "batch 1 of 3 failed on a"),
    ],
    ids=["all well", "its own", "canary", "canary, later", "its own second", "one of two", "one away", "canary away"],
)
def test_no_batch_begins_after_a_failure_in_an_earlier_one(
    failed: list[str], present: str, batch: int, words: str
) -> None:
    hostvars = {host: FAILED if host in failed else {} for host in "abcd"}
    assert play_batches.stop(Runs(hostvars), MADE, MADE[batch], list(present)) == words


def host(fence: int | None = 7, ended: int | None = 7, previous: str | None = "old", **more: object) -> dict[str, Any]:
    """A host that this run has begun under a fencing number, and ended under the same one."""
    state = {"fence": fence, "plan": {"changed": fence is not None, "previous": previous}}
    return {"__agent_release_state": state, "__agent_release_ended": {"fence": ended, "retired": []}, **more}


@pytest.mark.parametrize(
    ("variables", "brought_back"),
    [
        (host(), True),
        (host(ended=6), False),
        (host(previous=None), False),
        (host(fence=None), False),
        ({**host(), **FAILED}, False),
        ({}, False),
    ],
    ids=["released", "released by an earlier use of the role", "nothing before", "unchanged", "failed", "not begun"],
)
def test_only_what_this_run_has_released_is_brought_back(variables: dict[str, Any], brought_back: bool) -> None:
    assert play_batches.released(Runs({"a": variables, "b": {}}), ["a", "b"]) == (["a"] if brought_back else [])
