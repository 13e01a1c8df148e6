"""A worker that no gate can hold back is proven under a candidate name before it starts under its own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.harness import Lab, Machine, with_fault
from tests.e2e.test_rollback import Step, under_calls
from tests.e2e.test_trouble import Trouble, trouble

NAME = "staging-1"
CANDIDATE = "sidekick-agent-staging-staging-1-candidate"
NO_GATE: dict[str, Any] = {"livekit_agent_hook": False, "livekit_agent_memory": "1811m"}


@pytest.fixture(scope="module")
def failed(deployed: Lab) -> Trouble:
    """An entrypoint that raises: under the live name it would have got calls."""
    faulty = with_fault("entrypoint_raises", **NO_GATE, verification_preview_deadline_seconds=8)
    return trouble(deployed, extra_vars=faulty, limit=NAME)


def test_candidate_that_fails_in_its_job_is_refused_before_the_live_name_is_served(failed: Trouble) -> None:
    assert failed.run.rc != 0
    assert "the rehearsal failed" in failed.run.reason(NAME)
    assert "Start the worker beside" not in failed.run.stdout
    assert failed.after == failed.before


@pytest.fixture(scope="module")
def released(failed: Trouble, deployed: Lab, first: Machine) -> Step:
    assert failed.run.rc
    return under_calls(deployed, first, "deploy.yml", **NO_GATE)


def test_release_without_a_gate_loses_no_request_and_no_dispatch(released: Step) -> None:
    assert released.run.rc == 0, released.run.stdout
    assert len(released.stream.calls) > 60
    assert released.stream.lost == []


def test_user_is_told_that_calls_reach_the_second_start_unproven(released: Step) -> None:
    said = "\n".join(released.run.report["notes"])
    assert f"{NAME}: the gate cannot be used here, so the new worker is proven as {CANDIDATE} first" in said


def test_nothing_of_the_candidate_is_left(released: Step, first: Machine) -> None:
    assert released.after["gated"] is False
    assert [c.project for c in first.containers(every=True) if c.project.endswith("-candidate")] == []
    assert [name for name in first.networks() if "-candidate" in name] == []
    assert "candidate.yml" not in first.sh(f"ls /opt/sidekick/releases/{released.after['id']}").split()


@pytest.fixture(scope="module")
def gated_again(released: Step, deployed: Lab, first: Machine) -> Step:
    """The hook comes back: the old worker, which is said to have none, still makes the new one a candidate first."""
    assert released.run.rc == 0
    return under_calls(deployed, first, "deploy.yml")


def test_hook_that_comes_back_loses_nothing_either(gated_again: Step) -> None:
    assert gated_again.run.rc == 0, gated_again.run.stdout
    assert gated_again.stream.lost == []
    assert (gated_again.after["gated"], gated_again.after["candidate"]) == (True, CANDIDATE)


def test_the_release_after_it_waits_behind_its_gate_again(gated_again: Step, deployed: Lab, first: Machine) -> None:
    assert gated_again.after["candidate"]
    step = under_calls(deployed, first, "deploy.yml", livekit_agent_memory="1812m")
    assert step.run.rc == 0, step.run.stdout
    assert (step.stream.lost, step.after["candidate"]) == ([], None)
