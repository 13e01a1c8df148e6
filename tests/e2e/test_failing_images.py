"""New images that are broken, one after another under calls: none takes a call, the old release serves on untouched.

More of them are in `test_trouble.py`, all in `tests/full/test_interruptions.py`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.calls import CallStream
from tests.e2e.harness import NGINX, QUICK, Lab, Machine, Run, forget_hooks, hook_file, hooks_ran, with_fault

NAME = "staging-1"
# And what the failure of each says.
FAULTS = {
    "crashes": "SIDEKICK_FAULT=crashes",
    "hangs": "It has logged nothing",
    "flaps": "registered",
}


@dataclass(frozen=True)
class Story:
    before: dict[str, Any]
    runs: dict[str, Run]
    after: dict[str, dict[str, Any]]
    hooks_ran: list[tuple[str, ...]]
    stream: CallStream


@pytest.fixture(scope="module")
def story(deployed: Lab, first: Machine) -> Story:
    before, runs, after = first.state(), {}, {}
    forget_hooks(first)
    with CallStream(f"http://{first.address}:{NGINX}/v1/preview", deployed.document["livekit"]) as stream:
        time.sleep(1)
        for fault in FAULTS:
            hooks = {"agent_release_hooks": {"on_failure": hook_file(deployed, fault)}}
            runs[fault] = deployed.play("deploy.yml", extra_vars=with_fault(fault, **QUICK, **hooks), limit=NAME)
            after[fault] = first.state()
    return Story(before, runs, after, hooks_ran(first), stream)


@pytest.mark.parametrize("fault", FAULTS)
def test_broken_image_fails_the_deployment_and_is_told(story: Story, fault: str) -> None:
    assert story.runs[fault].rc != 0
    assert FAULTS[fault] in story.runs[fault].said


@pytest.mark.parametrize("fault", FAULTS)
def test_old_release_serves_on_from_the_same_containers(story: Story, fault: str) -> None:
    assert story.after[fault] == story.before


def test_hook_on_failure_runs_once_each_time_while_the_old_release_serves(story: Story) -> None:
    assert story.hooks_ran == [(fault, story.before["serving"]) for fault in FAULTS]


def test_no_request_and_no_dispatch_is_lost(story: Story) -> None:
    assert len(story.stream.calls) > 150
    assert story.stream.lost == []
