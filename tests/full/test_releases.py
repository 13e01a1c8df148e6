"""Hooks, the release before, the history, a run that only shows, and one run at a time."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.inventory import hooks
from ansible.module_utils.livekit_deploy.play import owner as this_run

from tests.e2e.harness import APP, Lab, Machine, forget_hooks, hook_file, hooks_ran
from tests.e2e.under_calls import Step, under_calls

NAME = "staging-1"
OWN = f"sidekick-agent-staging-{NAME}"
CHANGE = {"livekit_agent_memory": "1700m"}
# In the order in which they run: those while the old release serves, and those while the new one does.
HOOKS_OF_THE_OLD = ("before_start_worker", "after_start_worker", "before_prove", "after_prove", "before_switch")
HOOKS_OF_THE_NEW = ("after_switch", "before_verify", "after_verify", "before_drain", "after_drain")
STEPS_OF_A_RELEASE = [
    *("begin", "send", "pull", "vacancy", "start_worker", "prove"),
    *("start_api", "preview", "switch", "verify", "drain"),
]


@pytest.fixture(scope="module")
def changed(deployed: Lab, first: Machine) -> Step:
    forget_hooks(first)
    files = {name: hook_file(deployed, name) for name in hooks.NAMES}
    step = under_calls(deployed, first, "deploy.yml", **CHANGE, agent_release_hooks=files)
    assert step.run.rc == 0, step.run.stdout
    return step


@pytest.fixture(scope="module")
def previous(changed: Step, deployed: Lab, first: Machine) -> Step:
    assert changed.run.rc == 0
    step = under_calls(deployed, first, "playbooks/rollback.yml", rollback_to="previous")
    assert step.run.rc == 0, step.run.stdout
    return step


def test_hooks_run_at_their_steps(changed: Step, first: Machine) -> None:
    assert {*HOOKS_OF_THE_OLD, *HOOKS_OF_THE_NEW, "on_failure"} == set(hooks.NAMES)
    old, new = changed.before["id"], changed.after["id"]
    assert hooks_ran(first) == [
        *((name, old) for name in HOOKS_OF_THE_OLD),
        *((name, new) for name in HOOKS_OF_THE_NEW),
    ]


def test_hook_that_is_not_there_is_refused_before_anything_is_touched(
    changed: Step, deployed: Lab, first: Machine
) -> None:
    assert changed.run.rc == 0
    before = first.state()
    run = deployed.play("deploy.yml", extra_vars={"agent_release_hooks": {"before_switch": "no-such.yml"}}, limit=NAME)
    assert run.rc != 0
    assert "found no file no-such.yml for before_switch" in run.said
    assert first.state() == before


# --- the release before ----------------------------------------------------------------------------------------------


def test_rollback_to_the_release_before_restores_its_content(previous: Step, changed: Step, first: Machine) -> None:
    assert (previous.before["id"], previous.after["hash"]) == (changed.after["id"], changed.before["hash"])
    assert previous.after["rolled_back"] == {
        **previous.after["rolled_back"],
        "kind": "release",
        "to": changed.before["id"],
    }
    memory = first.service("agent-worker").settings["Memory"]
    assert memory != 1700 * 1024**2
    assert previous.run.row(NAME)["verdict"] == "exclusive"


def test_rollback_to_the_release_before_loses_no_request_and_no_dispatch(previous: Step) -> None:
    assert len(previous.stream.calls) > 60
    assert previous.stream.lost == []


def test_history_tells_what_was_done_and_how_long_it_took(previous: Step, first: Machine) -> None:
    latest = first.history()[-2:]
    assert [(entry["purpose"], entry["outcome"], entry["agent_name_to"]) for entry in latest] == [
        ("deploy", "released", OWN),
        ("rollback", "released", OWN),
    ]
    assert latest[-1]["to"] == previous.after["id"]
    assert [entry["verdict"] for entry in latest] == ["exclusive", "exclusive"]
    assert all(list(entry["steps"]) == STEPS_OF_A_RELEASE for entry in latest)
    # The two readings of a verification are at least 2 s apart.
    assert all(entry["steps"]["verify"] > 1 for entry in latest)


def test_rollback_to_an_unknown_release_is_refused_with_the_choice(
    previous: Step, deployed: Lab, first: Machine
) -> None:
    before = first.state()
    run = deployed.play("playbooks/rollback.yml", extra_vars={"rollback_to": "20250101T000000Z-00000000"}, limit=NAME)
    assert run.rc != 0
    assert "found: no release 20250101T000000Z-00000000 on this host" in run.said
    assert previous.before["id"] in run.said
    assert first.state() == before


# --- showing, waiting, taking over -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [{"extra_vars": {"dry_run": "true"}}, {"options": "--check --diff"}], ids=["dry_run", "check"]
)
def test_dry_run_shows_what_would_change_and_touches_nothing(
    previous: Step, deployed: Lab, first: Machine, arguments: dict[str, Any]
) -> None:
    before, entries = first.state(), len(first.history())
    wanted = {"livekit_agent_name": f"{OWN}-shown", "livekit_agent_image": f"registry.test/worker@sha256:{'0' * 64}"}
    run = deployed.play("deploy.yml", limit=NAME, inventory=deployed.inventory_of("shown", {NAME: wanted}), **arguments)
    assert run.rc == 0, run.stdout
    assert f"in place of {previous.after['id']}: another content" in run.said
    assert f"agent name {OWN} -> {OWN}-shown" in run.said
    assert (
        f"image of agent-worker {previous.after['images']['agent-worker']} -> {wanted['livekit_agent_image']}"
        in run.said
    )
    assert (first.state(), len(first.history())) == (before, entries)


def owner_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    started = this_run.start_time(this_run.PROC / str(process.pid))
    return {**this_run.owner(), "process": process.pid, "started": started, "name": "anna@ci"}


@pytest.fixture
def owner(first: Machine) -> Iterator[subprocess.Popen[str]]:
    """A living process of this controller that holds the host's lock."""
    process = subprocess.Popen(["sleep", "300"], text=True)
    now = time.time()
    record = {
        "fence": 900,
        "owner": owner_of(process),
        "purpose": "deploy",
        "taken": now,
        "lease_until": now + 600,
        "step": "pull",
    }
    first.sh(f"printf %s {shlex.quote(json.dumps(record))} >/opt/{APP}/lock.json")
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_second_run_is_refused_with_the_owner_and_one_after_its_end_takes_over(
    previous: Step, deployed: Lab, first: Machine, owner: subprocess.Popen[str]
) -> None:
    assert previous.run.rc == 0
    refused = deployed.play("deploy.yml", extra_vars={"deploy_lock_wait_seconds": 0}, limit=NAME)
    assert refused.rc != 0
    assert f"found: anna@ci (process {owner.pid}, deploy) deploys to this host" in refused.said
    owner.kill()
    owner.wait()
    taken = deployed.play("deploy.yml", extra_vars=CHANGE, limit=NAME)
    assert taken.rc == 0, taken.stdout
    assert f"{NAME}: took over from anna@ci (process {owner.pid}, deploy), at step pull" in "\n".join(
        taken.report["notes"]
    )
    assert [entry["outcome"] for entry in first.history()[-2:]] == ["interrupted", "released"]
    assert json.loads(first.sh(f"cat /opt/{APP}/lock.json"))["owner"] is None
