"""A diagnosis of a worker that nobody deployed with this project."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.common.commands import Playbooks
from ansible.module_utils.livekit_deploy.diagnosis import decide
from ansible.module_utils.livekit_deploy.diagnosis.world import World
from ansible.module_utils.livekit_deploy.release.unmanaged import UNMANAGED, with_unmanaged

NAME = "support-one"
START = "cd /srv/shop && docker compose up -d agent-worker"


@pytest.fixture
def shop(fleet: dict[str, Any]) -> dict[str, Any]:
    """The first host is not provisioned; its worker is of a project by hand."""
    evidence = fleet["data"]["one"]["evidence"]
    evidence["workers"][0].update(release=None, instance=None, project="shop", start_command=START, guarded=False)
    evidence.update(release=None, states={}, services={}, gate=None, written={}, missing=["nginx", "/opt/app"])
    evidence["proxy"].update(read=False)
    evidence.update(with_unmanaged(evidence, "app", NAME))
    fleet["probes"] = {
        key: probe for key, probe in fleet["probes"].items() if not key.endswith(("one/through", "one/directed"))
    }
    fleet["verdicts"]["one"]["routing"]["method"] = "sampling"
    return fleet


def diagnosed(fleet: dict[str, Any]) -> Any:
    found = next(one for one in World(**fleet).agent_hosts if one.name == "one")
    return decide.diagnose_host(found, Playbooks())


def test_nothing_is_wrong_with_it(shop: dict[str, Any]) -> None:
    found = diagnosed(shop)
    assert (found["outcome"], found["causes"], found["release"]) == ("nothing_wrong", [], UNMANAGED)


def test_what_needs_a_release_is_neither_ruled_out_nor_unknown(shop: dict[str, Any]) -> None:
    found = diagnosed(shop)
    asked = {one["cause"] for part in ("ruled_out", "unknown") for one in found[part]}
    of_release = {cause.id for cause in decide.CAUSES if cause.of_release}
    assert of_release
    assert asked & of_release == set()


def foreign(fleet: dict[str, Any], **changes: Any) -> None:
    other = fleet["data"]["other-1"]["evidence"]["workers"][0]
    other.update(agent_name=NAME, **changes)
    routing = {"verdict": "foreign", "routing": {**fleet["verdicts"]["one"]["routing"], "foreign": ["AW_other"]}}
    fleet["verdicts"]["one"].update(routing)


def test_foreign_worker_is_named_with_what_the_people_of_this_host_can_do(shop: dict[str, Any]) -> None:
    foreign(shop)
    (cause,) = diagnosed(shop)["causes"]
    assert cause["id"] == "foreign_known"
    assert "evict_worker=AW_other" in cause["remedy"]
    assert "LIVEKIT_AGENT_NAME of worker and API, and livekit_agent_name in the inventory" in cause["remedy"]
    assert f"on one: {START}" in cause["remedy"]
    assert "deploy.yml" not in cause["remedy"]


def test_its_own_worker_is_never_one_to_evict(shop: dict[str, Any]) -> None:
    foreign(shop)
    assert "evict_worker=AW_one" not in str(diagnosed(shop))


def test_one_that_does_not_run_is_started_as_its_people_do(shop: dict[str, Any]) -> None:
    shop["data"]["one"]["evidence"]["workers"][0].update(running=False, exit_code=1)
    cause = diagnosed(shop)["causes"][0]
    assert (cause["id"], cause["remedy"]) == ("not_running", f"on one: {START}")


def second(shop: dict[str, Any], **changes: Any) -> None:
    evidence = shop["data"]["one"]["evidence"]
    other = {**evidence["workers"][0], "container": "shop-old-1", "container_id": "c2", "worker_id": "AW_two"}
    evidence["workers"].append({**other, "worker_ids": ["AW_two"], **changes})


def test_two_workers_of_the_name_are_told_and_neither_is_foreign(shop: dict[str, Any]) -> None:
    second(shop)
    (cause,) = diagnosed(shop)["causes"]
    assert (cause["id"], cause["certain"]) == ("two_here", True)
    assert "AW_two in container shop-old-1" in cause["evidence_for"][0]
    assert "evict_worker" not in str(cause)


@pytest.mark.parametrize("changes", [{"running": False}, {"draining": True}])
def test_second_worker_that_takes_no_jobs_is_no_cause(shop: dict[str, Any], changes: dict[str, Any]) -> None:
    second(shop, **changes)
    found = diagnosed(shop)
    assert "two_here" in [one["cause"] for one in found["ruled_out"]]


def test_host_with_a_release_is_not_asked_for_two_workers(fleet: dict[str, Any]) -> None:
    found = diagnosed(fleet)
    assert "two_here" not in str([found["causes"], found["ruled_out"], found["unknown"]])
