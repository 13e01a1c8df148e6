"""What an inventory must not be is refused before anybody is contacted. The table of all kinds is in the unit tests."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.harness import ROOT, Lab, Run

EXAMPLE = ROOT / "inventory/example/hosts.yml"
PLAYBOOKS = ["deploy.yml", "playbooks/verify.yml", "playbooks/provision.yml"]
FIRST = "the first host's address"
# What the second host is given, and the words of the refusal. The first one is as it should be.
CONFLICTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "one name in two pools": (
        {"livekit_agent_name": "sidekick-agent-staging-staging-1"},
        [
            "'sidekick-agent-staging-staging-1'",
            "staging-1 (pool staging-1)",
            "staging-2 (pool staging-2)",
            "expected one pool",
        ],
    ),
    "another pool's shared name": (
        {"livekit_agent_name": "sidekick-agent-staging"},
        ["staging-2", "livekit_agent_shared_name of staging-1", "expected a name"],
    ),
    "a name that differs in case": (
        {"livekit_agent_name": "Sidekick-Agent-Staging-Staging-1"},
        ["of staging-1", "of staging-2", "differ only in case", "expected names"],
    ),
    "an empty name": ({"livekit_agent_name": ""}, ["staging-2", "livekit_agent_name is empty", "Give it a name"]),
    "no secret": ({"livekit_api_secret": ""}, ["staging-2", "livekit_api_secret is not set, expected a value"]),
    "no encryption to a server far away": (
        {"livekit_url": "ws://livekit.corp.test"},
        ["staging-2", "not encrypted", "expected wss:// or https://"],
    ),
    "a floating tag": (
        {"agent_api_image": "registry.corp.test/api:latest"},
        ["staging-2", "floats with :latest, expected a digest"],
    ),
    "one application twice on a host": (
        {"ansible_host": FIRST},
        ["staging-1 and staging-2 are one host", "both deploy the application 'sidekick'", "expected one entry"],
    ),
    "an address of the documentation": (
        {"ansible_host": "192.0.2.7"},
        ["Nothing is configured", "192.0.2.7", "expected real ones"],
    ),
}


def assert_refused(run: Run, words: list[str]) -> None:
    assert run.rc != 0
    said = " ".join(run.stdout.split())
    assert [word for word in words if word not in said] == []
    assert run.hosts() <= {"localhost"}, "a host was contacted"


@pytest.mark.parametrize("conflict", CONFLICTS)
def test_a_conflict_is_refused_also_outside_the_limit(lab: Lab, conflict: str) -> None:
    values, words = CONFLICTS[conflict]
    given = {name: lab.machines[0].address if value == FIRST else value for name, value in values.items()}
    inventory = lab.inventory_of("conflict", {"staging-2": given})
    run = lab.play("deploy.yml", inventory=inventory, limit="staging-1")
    assert_refused(run, words)
    assert (list(run.report["hosts"]), run.report["ok"]) == (["staging-1"], False)
    assert [word for word in words if word not in run.reason("staging-1")] == []


@pytest.mark.parametrize("playbook", PLAYBOOKS[:2])
def test_a_conflict_is_refused_for_all_hosts(lab: Lab, playbook: str) -> None:
    values, words = CONFLICTS["one name in two pools"]
    run = lab.play(playbook, inventory=lab.inventory_of("conflict", {"staging-2": values}))
    assert_refused(run, words)
    assert sorted(run.report["hosts"]) == ["staging-1", "staging-2"]


def test_an_inventory_without_a_conflict_is_not_refused(lab: Lab) -> None:
    """The same way to override as above: what is refused there is refused for its value."""
    inventory = lab.inventory_of("no-conflict", {"staging-2": {"livekit_agent_name": "sidekick-of-its-own"}})
    run = lab.play(
        "deploy.yml", inventory=inventory, limit="staging-1", extra_vars={"livekit_url": f"ws://{lab.livekit_host}:1"}
    )
    assert [result.task for result in run.results] == ["Ask the LiveKit server whether it is there and knows the key"]


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_an_inventory_without_hosts_says_that_nothing_is_configured(lab: Lab, playbook: str) -> None:
    empty = lab.scratch / "empty.yml"
    empty.write_text('{"agent_hosts": {"hosts": {}}}')
    assert_refused(lab.play(playbook, inventory=[empty]), ["Nothing is configured", "Copy inventory/example"])


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_the_example_inventory_says_that_nothing_is_configured(lab: Lab, playbook: str) -> None:
    assert_refused(lab.play(playbook, inventory=[EXAMPLE]), ["Nothing is configured", "Copy inventory/example"])
