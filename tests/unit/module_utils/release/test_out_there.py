"""What earlier versions have left on hosts is read, cleared and rolled back to.

``host-01584c5.json`` is ``/opt/app`` as commit 01584c5 writes it, with its containers: a hand-made project that was
adopted (all of it stopped), a retired release, one that drains, one that serves, and the staged one of a run that was
killed with its lock taken.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.machine import docker
from ansible.module_utils.livekit_deploy.release import adopted, history, records, removal, state
from ansible.module_utils.livekit_deploy.release.errors import ReleaseError
from ansible.module_utils.livekit_deploy.release.lock import Claim, LockError, Owner
from ansible.module_utils.livekit_deploy.release.plan import Goal, Order
from ansible.module_utils.livekit_deploy.release.removal import Removal, take_off
from ansible.module_utils.livekit_deploy.release.run import Deployment
from ansible.module_utils.livekit_deploy.release.store import Releases
from ansible.module_utils.livekit_deploy.worker import own_answer

from tests.unit.module_utils import standin_story as story
from tests.unit.module_utils.standin_machine import Machine

LEFT: dict[str, Any] = json.loads((Path(__file__).parents[3] / "data/host-01584c5.json").read_text())
RETIRED, DRAINING, SERVING, STAGED = LEFT["releases"]
ADOPTED = "20251201T000000Z-bec4f313"
US = Owner("m1", 99, "990", "ben@ci", "7")
ALIVE = frozenset({"1:1", US.key})
ORDER = Order(Goal(kind="release", release=""), "20260201T000000Z", "a", [18101, 18102])


@pytest.fixture
def machine() -> Machine:
    made = Machine()
    made.containers = json.loads(json.dumps(LEFT["containers"]))
    made.logs = {c["Id"]: "" for c in made.containers}
    made.drains = False
    return made


@pytest.fixture
def run(tmp_path: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    for name, text in LEFT["files"].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for name, target in LEFT["links"].items():
        (tmp_path / name).symlink_to(target)
    monkeypatch.setattr(adopted, "answers", lambda *_: True)
    monkeypatch.setattr(own_answer, "ask_worker", lambda *_: {})
    monkeypatch.setattr("ansible.module_utils.livekit_deploy.release.begin.STOP_SECONDS", 0.1)
    monkeypatch.setattr(removal, "SETTLE_SECONDS", 0.0)
    return Deployment(Releases(machine.run, "app", str(tmp_path / "app"), str(tmp_path / "upstream.conf")))


def rollback(wanted: str) -> Order:
    return replace(ORDER, goal=Goal(kind="release", release=wanted))


def begin(run: Deployment, wanted: str, alive: frozenset[str] = ALIVE) -> Any:
    return story.begin(run, rollback(wanted), owner=US, purpose="rollback", alive=alive)


def back(run: Deployment, machine: Machine, wanted: str) -> Any:
    return story.deploy(run, machine, rollback(wanted), owner=US, purpose="rollback", alive=ALIVE)


def test_its_state_is_read(run: Deployment) -> None:
    found = state.release_info(run.releases)
    assert ((found["release"] or {})["id"], found["drift"]) == (SERVING, [])
    states = {ADOPTED: "retired", RETIRED: "retired", DRAINING: "draining", SERVING: "serving", STAGED: "staged"}
    assert (found["states"], sorted(found["leftovers"])) == (states, [DRAINING, STAGED])


def test_lock_of_its_run_is_held_while_that_lives_and_taken_over_when_it_has_ended(run: Deployment) -> None:
    # Its lease is of the day when it was written.
    path = run.releases.root / "lock.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "lease_until": time.time() + 600}))
    with pytest.raises(LockError, match=r"found: anna@ci \(process 13, deploy\) deploys to this host"):
        begin(run, RETIRED, alive=ALIVE | {"13:130"})
    assert begin(run, RETIRED)["overtook"] == "anna@ci (process 13, deploy), at step begin"
    assert history.history_entries(run.releases.history)[-1]["outcome"] == history.INTERRUPTED


FORMER = [
    ("start candidate", "start_candidate"),
    ("start agent-worker", "start_worker"),
    ("start fastapi", "start_api"),
    ("pull", "pull"),
    ("switch", "switch"),
    ("drain", "drain"),
]


@pytest.mark.parametrize(("former", "step"), FORMER)
def test_step_at_which_its_run_was_killed_is_told_and_noted_in_todays_word(
    run: Deployment, former: str, step: str
) -> None:
    path = run.releases.root / "lock.json"
    left = json.loads(path.read_text())
    path.write_text(
        json.dumps({**left, "step": former, "steps": {**left["steps"], former: 2.0, "register and prove": 1.0}})
    )
    answer = begin(run, RETIRED)
    assert answer["overtook"] == f"anna@ci (process 13, deploy), at step {step}"
    assert sorted(answer["cleared"]) == [DRAINING, STAGED]
    entry = history.history_entries(run.releases.history)[-1]
    assert (entry["step"], entry["steps"]) == (step, {"begin": 0.1, step: 2.0, "prove": 1.0})
    assert f'"step": "{step}"' in run.releases.history.read_text()


def test_release_that_a_former_run_took_back_is_none_to_roll_back_to(run: Deployment) -> None:
    entry = {
        "time": "2026-01-05T00:00:00Z",
        "to": RETIRED,
        "outcome": history.TAKEN_BACK,
        "step": "start agent-worker",
        "reason": None,
    }
    run.releases.history.write_text(f"{json.dumps(entry)}\n")
    with pytest.raises(ReleaseError, match=rf"{RETIRED} failed on 2026-01-05T00:00:00Z \(start_worker\)"):
        begin(run, RETIRED)


def test_what_its_killed_run_has_left_is_cleared_and_who_drains_gets_no_second_signal(
    run: Deployment, machine: Machine
) -> None:
    answer = begin(run, RETIRED)
    assert sorted(answer["cleared"]) == [DRAINING, STAGED]
    assert (run.releases.directory(STAGED).exists(), machine.asked("docker", "kill")) == (False, [])
    assert f"{DRAINING}-agent-worker" in {c["Id"] for c in machine.containers}


@pytest.mark.parametrize(("wanted", "name"), [(RETIRED, "name-a"), (SERVING, "name-c")])
def test_its_content_is_read_back(run: Deployment, wanted: str, name: str) -> None:
    content = run.releases.content(wanted)
    assert (content.agent_name, content.env["fastapi"]["A"], content.env["fastapi"]["LIVEKIT_API_SECRET"]) == (
        name,
        "it's $5",
        "s" * 32,
    )
    assert content.hash == (run.releases.record(wanted) or {})["hash"]


def test_its_release_is_rolled_back_to(run: Deployment, machine: Machine) -> None:
    answer = back(run, machine, RETIRED)
    current = run.releases.current() or {}
    assert (current["id"], current["agent_name"], current["previous"]) == (answer["plan"]["id"], "name-a", SERVING)
    assert run.lock.read().owner is None


def test_project_that_it_adopted_is_rolled_back_to_with_all_that_it_had_stopped(
    run: Deployment, machine: Machine
) -> None:
    back(run, machine, ADOPTED)
    mine = [c for c in machine.containers if docker.labels(c)[docker.PROJECT_LABEL] == "seed"]
    assert [c["State"]["Running"] for c in mine] == [True] * 3
    assert {docker.restart_policy(c) for c in mine} == {"always"}
    assert state.release_info(run.releases)["drift"] == []


def test_all_of_it_is_removed(run: Deployment, machine: Machine, tmp_path: Path) -> None:
    machine.drains = True
    machine.stop(f"{DRAINING}-agent-worker", ends=True)
    take_off(Removal(run.releases, str(tmp_path / "site.conf")), Claim(US, "remove", alive=ALIVE), 0.0, 1.0)
    assert (run.releases.root.exists(), {docker.labels(c)[docker.PROJECT_LABEL] for c in machine.containers}) == (
        False,
        {"seed"},
    )


@pytest.mark.parametrize(
    "lacks", ["gated", "services", "volumes", "config_hashes", "earlier_worker_ids", "candidate", "rolled_back"]
)
def test_record_of_a_version_before_that_has_no_such_key_is_read(run: Deployment, lacks: str) -> None:
    path = run.releases.directory(SERVING) / "release.json"
    record = json.loads(path.read_text())
    record.pop(lacks, None)
    path.write_text(json.dumps(record))
    assert (state.release_info(run.releases)["release"] or {})["id"] == SERVING
    assert records.record_services(record) == records.SERVICES or lacks != "services"
