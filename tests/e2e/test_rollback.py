"""Back to the shared name and back to the inventory, under calls."""

from __future__ import annotations

import re

import pytest

from tests.e2e.harness import Lab, Machine, Run
from tests.e2e.under_calls import Step, under_calls

NAME = "staging-1"
SHARED = "sidekick-agent-staging"
OWN = f"{SHARED}-{NAME}"


@pytest.fixture(scope="module")
def shared(deployed: Lab, first: Machine) -> Step:
    step = under_calls(deployed, first, "playbooks/rollback.yml")
    assert step.run.rc == 0, step.run.stdout
    return step


@pytest.fixture(scope="module")
def verified(shared: Step, deployed: Lab) -> Run:
    assert shared.after["agent_name"] == SHARED
    return deployed.play("playbooks/verify.yml", limit=NAME)


@pytest.fixture(scope="module")
def told(verified: Run, deployed: Lab) -> Run:
    assert verified.reports
    return deployed.play("playbooks/status.yml", limit=NAME)


@pytest.fixture(scope="module")
def returned(told: Run, deployed: Lab, first: Machine) -> Step:
    assert told.rc == 0
    step = under_calls(deployed, first, "deploy.yml")
    assert step.run.rc == 0, step.run.stdout
    return step


# --- the shared name -------------------------------------------------------------------------------------------------


def test_rollback_restores_the_shared_name_in_both_services(shared: Step, first: Machine) -> None:
    assert shared.after["agent_name"] == SHARED
    assert (shared.before["agent_name"], shared.before["images"]) == (OWN, shared.after["images"])
    assert shared.after["rolled_back"]["from_agent_name"] == OWN
    assert first.serving() != shared.before["id"]


def test_rollback_loses_no_request_and_no_dispatch(shared: Step) -> None:
    assert len(shared.stream.calls) > 60
    assert shared.stream.lost == []


def test_rollback_says_that_others_take_a_part_and_which(shared: Step) -> None:
    said = "\n".join(shared.run.report["notes"])
    assert f"{SHARED} is a shared name: other workers that have it get a part of its jobs" in said
    counted = re.search(rf"of 20 spaced probes to {SHARED}: (.*)", said)
    assert counted, said
    own = re.search(rf"{NAME} (AW_\w+) (\d+)", counted[1])
    other = re.search(r"not ours (AW_\w+) (\d+)", counted[1])
    assert own, counted[1]
    assert other, counted[1]
    assert int(own[2]) + int(other[2]) == 20


def test_rollback_says_what_became_of_the_former_name(shared: Step) -> None:
    said = "\n".join(shared.run.report["notes"])
    assert f"{NAME} no longer serves {OWN}: nobody serves it, dispatches to it are lost" in said
    assert "join tokens with an embedded dispatch" in said


def test_verification_knows_that_the_host_is_rolled_back_on_purpose(verified: Run) -> None:
    row = verified.row(NAME)
    assert (verified.rc, row["agent_name"], row["verdict"], row["on_purpose"]["kind"]) == (
        0,
        SHARED,
        "foreign",
        "shared_name",
    )
    assert [check["name"] for check in row["checks"] if not check["ok"]] == []


def test_status_tells_that_the_host_is_rolled_back_on_purpose(told: Run) -> None:
    row = told.reports["status"]["hosts"][NAME]
    assert (row["agent_name"], row["rolled_back"]["kind"]) == (SHARED, "shared_name")
    assert "rolled back to the shared name on purpose" in told.said


def test_next_deployment_returns_to_the_inventorys_name_and_says_so(returned: Step) -> None:
    assert (returned.after["agent_name"], returned.after["rolled_back"]) == (OWN, None)
    assert f"{NAME}: had been rolled back to {SHARED}" in "\n".join(returned.run.report["notes"])
    assert returned.run.row(NAME)["verdict"] == "exclusive"


def test_deployment_under_another_name_loses_no_request_and_no_dispatch(returned: Step) -> None:
    assert len(returned.stream.calls) > 60
    assert returned.stream.lost == []
