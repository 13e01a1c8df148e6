"""A host leaves the fleet: one of a pool while the other serves on, then the last one under a call; both come back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.calls import hang_up, hold
from tests.e2e.harness import APP, Lab, Machine, Run

FIRST, SECOND = "staging-1", "staging-2"
POOL = {"livekit_agent_pool": "leaving", "livekit_agent_name": "sidekick-leaving"}
NAME = POOL["livekit_agent_name"]
REMOVE = "playbooks/remove.yml"
LEFT = (
    f"ls -d /opt/{APP} /etc/nginx/conf.d/livekit-agent-deploy-{APP}.conf /etc/nginx/livekit-agent-deploy "
    "2>/dev/null || true"
)


@dataclass(frozen=True)
class Story:
    """What each run said, by step; what the other host was like before and after the first one left."""

    runs: dict[str, Run]
    other: list[dict[str, Any]]
    left: dict[str, str]
    """What of ours was on a host afterwards."""
    containers: dict[str, list[str]]
    """Services that ran on the second host while its call went on."""


def notes(run: Run) -> str:
    return "\n".join(run.report["notes"])


def left_on(machine: Machine) -> str:
    ours = machine.sh(f"docker ps -aq --filter name={APP}-2; docker network ls -q --filter name={APP}-2; {LEFT}")
    return ours.replace("\n", " ")


@pytest.fixture(scope="module")
def story(deployed: Lab, first: Machine, second: Machine) -> Iterator[Story]:
    lab, livekit = deployed, deployed.document["livekit"]
    pool = lab.inventory_of("leaving", {FIRST: POOL, SECOND: POOL})
    runs: dict[str, Run] = {}
    rooms: list[str] = []
    lab.varied.update((FIRST, SECOND))

    def remove(step: str, host: str, **more: Any) -> None:
        runs[step] = lab.play(REMOVE, inventory=pool, extra_vars={"remove_host": host, **more})

    try:
        made = lab.play("deploy.yml", inventory=pool)
        assert made.rc == 0, made.stdout
        other = [second.state()]
        runs["no name"] = lab.play(REMOVE, inventory=pool)
        runs["wrong name"] = lab.play(REMOVE, inventory=pool, extra_vars={"remove_host": "staging-9"})
        remove("dry", FIRST, dry_run=True)
        other.append(second.state())
        before = first.state()
        remove("one of the pool", FIRST)
        other.append(second.state())
        left = {FIRST: left_on(first)}
        runs["deploy to it"] = lab.play("deploy.yml", inventory=pool, limit=FIRST)
        rooms = hold(livekit, [NAME])
        remove("under a call", SECOND, remove_wait_seconds=2)
        containers = {"under a call": [c.service for c in second.containers()]}
        hang_up(livekit, rooms)
        remove("after the call", SECOND)
        left[SECOND] = left_on(second)
        remove("again", SECOND)
        assert before["serving"]
        yield Story(runs, other, left, containers)
    finally:
        hang_up(livekit, rooms)
        back = lab.play("playbooks/add_host.yml")
        assert back.rc == 0, back.stdout
        lab.varied.difference_update((FIRST, SECOND))


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            "no name",
            (
                "found no remove_host, expected the one host to take out. "
                "Say which: -e remove_host=<one of staging-1, staging-2>"
            ),
        ),
        ("wrong name", "found remove_host=staging-9, expected a host of the group agent_hosts (staging-1, staging-2)"),
    ],
)
def test_no_host_is_guessed_and_none_is_contacted(story: Story, step: str, said: str) -> None:
    run = story.runs[step]
    assert (run.rc != 0, said in run.reason(FIRST), run.changed) == (True, True, {})
    # What is asserted needs no connection.
    assert {result.task.partition(" | ")[0] for result in run.results} <= {"configured", "preflight", "Look for hosts"}


def test_dry_run_says_what_would_go_and_touches_nothing(story: Story) -> None:
    assert story.runs["dry"].rc == 0
    assert f"{FIRST}: would remove {APP}" in notes(story.runs["dry"])
    assert story.other[1] == story.other[0]


@pytest.mark.parametrize("host", [FIRST, SECOND])
def test_nothing_of_ours_is_left(story: Story, host: str) -> None:
    assert story.left[host] == ""


def test_other_host_is_not_touched_and_not_in_the_report(story: Story) -> None:
    run = story.runs["one of the pool"]
    assert (run.rc, list(run.report["hosts"])) == (0, [FIRST])
    assert story.other[2] == story.other[0]


def test_host_of_the_pool_that_serves_on_is_named(story: Story) -> None:
    assert f"{FIRST} no longer serves {NAME}: AW_" in notes(story.runs["one of the pool"])
    assert f"({SECOND}) serves it" in notes(story.runs["one of the pool"])


def test_removed_host_is_refused_by_the_next_deployment(story: Story) -> None:
    assert story.runs["deploy to it"].rc != 0
    assert "playbooks/provision.yml --limit" in story.runs["deploy to it"].reason(FIRST)


def test_running_call_goes_on_and_the_run_says_so(story: Story) -> None:
    run = story.runs["under a call"]
    assert run.rc != 0
    assert f"({NAME}) still has 1 call after 2 s, expected none" in run.reason(SECOND)
    assert story.containers["under a call"] == ["agent-worker"]


def test_same_again_finishes_when_the_call_has_ended(story: Story) -> None:
    run = story.runs["after the call"]
    assert run.rc == 0, run.stdout
    assert f"{SECOND} no longer serves {NAME}: nobody serves it, dispatches to it are lost" in notes(run)


def test_again_changes_nothing_and_says_that_nothing_is_there(story: Story) -> None:
    run = story.runs["again"]
    assert (run.rc, run.changed) == (0, {})
    assert f"{SECOND}: nothing of {APP} is there" in notes(run)
    assert "nobody serves it" in notes(run)
