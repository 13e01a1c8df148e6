"""Back to the shared name, back to the inventory, back to the release before, under calls; one run at a time; a run
that only shows."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.inventory import hooks
from ansible.module_utils.livekit_deploy.play import owner as this_run

from tests.e2e.calls import CallStream
from tests.e2e.harness import APP, NGINX, Lab, Machine, Run, forget_hooks, hook_file, hooks_ran

NAME = "staging-1"
SHARED = "sidekick-agent-staging"
OWN = f"{SHARED}-{NAME}"
CHANGE = {"livekit_agent_memory": "1700m"}
# In the order in which they run: those while the old release serves, and those while the new one does.
HOOKS_OF_THE_OLD = ("before_start_worker", "after_start_worker", "before_prove", "after_prove", "before_switch")
HOOKS_OF_THE_NEW = ("after_switch", "before_verify", "after_verify", "before_drain", "after_drain")
STEPS_OF_A_RELEASE = [
    *("begin", "send", "pull", "vacancy", "start_worker", "prove"),
    *("start_api", "preview", "switch", "verify", "drain"),
]


@dataclass(frozen=True)
class Step:
    run: Run
    stream: CallStream
    before: dict[str, Any]
    after: dict[str, Any]


def under_calls(lab: Lab, machine: Machine, playbook: str, **extra_vars: Any) -> Step:
    """Run a playbook on one host while calls go to its API."""
    before = serving(machine)
    with CallStream(f"http://{machine.address}:{NGINX}/v1/preview", lab.document["livekit"]) as stream:
        time.sleep(1)
        run = lab.play(playbook, extra_vars=extra_vars or None, limit=machine.name)
    lab.varied.add(machine.name)
    return Step(run, stream, before, serving(machine))


def serving(machine: Machine) -> dict[str, Any]:
    return machine.record(machine.serving() or "")


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


@pytest.fixture(scope="module")
def changed(returned: Step, deployed: Lab, first: Machine) -> Step:
    assert returned.run.rc == 0
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
    latest = first.history()[-4:]
    assert [(entry["purpose"], entry["outcome"], entry["agent_name_to"]) for entry in latest] == [
        ("rollback", "released", SHARED),
        ("deploy", "released", OWN),
        ("deploy", "released", OWN),
        ("rollback", "released", OWN),
    ]
    assert latest[-1]["to"] == previous.after["id"]
    assert [entry["verdict"] for entry in latest] == ["foreign", "exclusive", "exclusive", "exclusive"]
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
