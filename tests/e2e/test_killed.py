"""A controller killed in the midst of a deployment: what serves goes on, the next run finishes.

Every other step is killed in `tests/full/test_interruptions.py`.
"""

from __future__ import annotations

import json
import signal
import time
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.calls import CallStream
from tests.e2e.harness import APP, NGINX, Lab, Machine, Run

NAME = "staging-1"
STEPS = ("start_worker", "switch", "verify")


@dataclass(frozen=True)
class Killed:
    """The host right after the kill."""

    serving: str
    gates: dict[str, str]


@dataclass(frozen=True)
class Story:
    killed: dict[str, Killed]
    last: Run
    stream: CallStream
    workers: set[str]
    history: list[dict[str, Any]]


def change(number: int) -> dict[str, Any]:
    return {"livekit_agent_memory": f"{1600 + number}m"}


def kill_in(lab: Lab, machine: Machine, number: int, step: str) -> Killed:
    with lab.terminal(f"killed-{number}", NAME, change(number)) as run:
        run.wait_in(step)
        run.send(signal.SIGKILL)
    machine.let_the_step_end()
    return Killed(machine.serving() or "", machine.gates())


@pytest.fixture(scope="module")
def story(deployed: Lab, first: Machine) -> Story:
    """Kill after kill, each run clearing what the one before left, at last a run left alone. Calls all the time."""
    before = len(first.history())
    with CallStream(f"http://{first.address}:{NGINX}/v1/preview", deployed.document["livekit"]) as stream:
        time.sleep(1)
        killed = {step: kill_in(deployed, first, number, step) for number, step in enumerate(STEPS)}
        last = deployed.play("deploy.yml", extra_vars=change(len(STEPS)), limit=NAME)
    serving = first.record(first.serving() or "")
    return Story(
        killed, last, stream, {*serving["earlier_worker_ids"], *last.row(NAME)["worker_ids"]}, first.history()[before:]
    )


@pytest.mark.parametrize("step", STEPS)
def test_after_a_kill_the_gate_of_what_the_proxy_points_to_is_open(story: Story, step: str) -> None:
    killed = story.killed[step]
    assert killed.gates[killed.serving] == "open", killed


def test_next_run_finishes_without_hand_work(story: Story, first: Machine) -> None:
    assert story.last.rc == 0, story.last.stdout
    assert story.last.row(NAME)["verdict"] == "exclusive"
    assert [container.service for container in first.containers(every=True)] == ["agent-worker", "fastapi"]
    assert json.loads(first.sh(f"cat /opt/{APP}/lock.json"))["owner"] is None


def test_no_kill_leaves_a_container_a_network_or_a_half_release(story: Story, first: Machine) -> None:
    serving = story.last.row(NAME)["release"]
    assert first.networks() == [f"{APP}-{serving.lower()}_default"]
    states = {release: first.record(release)["state"] for release in first.releases()}
    assert set(states.values()) <= {"serving", "retired"}, states


def test_killed_runs_are_in_the_history_with_the_step_they_were_killed_in(story: Story) -> None:
    outcomes = [entry["outcome"] for entry in story.history]
    assert outcomes[-1] == "released"
    # A run whose last step ended all the same left nothing to note.
    assert outcomes.count("interrupted") >= len(STEPS) - 1, story.history
    assert {"start_worker", "switch"} <= {entry["step"] for entry in story.history}


def test_no_request_is_lost_whenever_the_controller_is_killed(story: Story) -> None:
    assert len(story.stream.calls) > 100
    assert [call for call in story.stream.calls if call.status != 200] == []


def test_no_dispatch_is_lost_whenever_the_controller_is_killed(story: Story) -> None:
    assert [call for call in story.stream.calls if not call.worker_id] == []
