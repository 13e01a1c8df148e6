"""A worker that nobody deployed is read as the entry's own."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.release.unmanaged import UNMANAGED, own_workers, with_unmanaged

RELEASE = "20260102T020405Z-0a1b2c3d"


def worker(container: str = "shop-agent-1", name: str | None = "support", **changes: Any) -> Any:
    return {"container": container, "agent_name": name, "release": None, "running": True, "env": {}, **changes}


def reading(*workers: Any, **changes: Any) -> Any:
    return {"release": None, "states": {}, "adopted": {}, "workers": list(workers), "time": 1.0, **changes}


def test_worker_of_the_name_is_of_the_release_unmanaged() -> None:
    found = with_unmanaged(reading(worker(), worker("other-1", "other")), "app", "support")
    assert [one["release"] for one in found["workers"]] == [UNMANAGED, None]
    assert (found["states"], found["adopted"]) == ({UNMANAGED: "serving"}, {"shop-agent-1": UNMANAGED})


def test_its_record_says_that_it_has_neither_hook_nor_gate_nor_api() -> None:
    record = with_unmanaged(reading(worker()), "app", "support")["release"] or {}
    assert (record["agent_name"], record["unmanaged"], record["services"]) == ("support", True, ["agent-worker"])
    assert (record["hook"], record["gated"]) == (False, False)


@pytest.mark.parametrize(
    "found",
    [
        reading(worker(), release={"id": RELEASE}),
        reading(worker(name="other")),
        reading(worker(release=RELEASE)),
        reading(),
    ],
    ids=["a release serves", "another name", "the worker says that it is of a release", "no worker"],
)
def test_a_reading_is_left_as_it_is(found: Any) -> None:
    assert with_unmanaged(found, "app", "support") == found


def test_without_a_name_in_the_inventory_no_worker_is_ours() -> None:
    assert own_workers([worker(name="")], "") == []


def test_name_is_the_one_in_effect_else_the_one_it_was_created_with() -> None:
    silent = worker(name=None, env={"LIVEKIT_AGENT_NAME": "support"})
    elsewhere = worker(name="other", env={"LIVEKIT_AGENT_NAME": "support"})
    assert own_workers([silent, elsewhere], "support") == [silent]


def test_name_that_no_log_has_is_the_one_that_it_was_created_with() -> None:
    silent = worker(name=None, env={"LIVEKIT_AGENT_NAME": "support"})
    assert with_unmanaged(reading(silent), "app", "support")["workers"][0]["agent_name"] == "support"


def test_one_that_has_stopped_counts_where_none_runs() -> None:
    stopped, runs = worker("old-1", running=False), worker()
    assert own_workers([stopped, runs], "support") == [runs]
    assert own_workers([stopped], "support") == [stopped]


def test_processes_are_claimed_too() -> None:
    found = with_unmanaged(reading(worker("process 12"), worker("process 13")), "app", "support")
    assert found["adopted"] == {"process 12": UNMANAGED, "process 13": UNMANAGED}
