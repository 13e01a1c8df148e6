"""Hosts where no gate is used: nothing closes one, a worker first starts under a candidate name. Workers that flap."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.machine import docker
from ansible.module_utils.livekit_deploy.release import abandon, containers, drain, records, state, switch
from ansible.module_utils.livekit_deploy.release.drain import Ending
from ansible.module_utils.livekit_deploy.release.errors import ReleaseError
from ansible.module_utils.livekit_deploy.release.store import Releases
from ansible.module_utils.livekit_deploy.worker import readings

from tests.unit.module_utils.standin_machine import Machine

OLD, NEW = "20260101T000000Z-00000001", "20260102T000000Z-00000002"


def stage(host: Releases, machine: Machine, release_id: str, port: int, **more: Any) -> None:
    record: Any = {
        "id": release_id,
        "app": "app",
        "agent_name": "name",
        "api_port": port,
        "hash": release_id[-8:],
        "gated": False,
        **more,
    }
    candidate = None if record["gated"] else "name-candidate"
    host.stage({"candidate": candidate, **record}, {"compose.yml": f"# {release_id}"})
    machine.start(release_id)


def two(host: Releases, machine: Machine, old_gated: bool = False, new_gated: bool = False) -> None:
    stage(host, machine, OLD, 18101, gated=old_gated)
    switch.serve(host, OLD)
    stage(host, machine, NEW, 18102, gated=new_gated)
    switch.serve(host, NEW)


@pytest.mark.parametrize(
    ("gated", "candidate", "state"),
    [(False, "name-candidate", "open"), (True, None, "closed"), (True, "name-candidate", "open")],
)
def test_new_release_waits_only_behind_a_gate_that_can_be_used(
    host: Releases, machine: Machine, gated: bool, candidate: str | None, state: str
) -> None:
    stage(host, machine, NEW, 18102, gated=gated, candidate=candidate)
    assert host.gate(NEW) == state


def test_gate_of_one_that_was_a_candidate_beside_a_worker_without_the_hook_is_closed_by_the_next(
    host: Releases, machine: Machine
) -> None:
    stage(host, machine, OLD, 18101, gated=True, candidate="name-candidate")
    switch.serve(host, OLD)
    stage(host, machine, NEW, 18102, gated=True)
    switch.serve(host, NEW)
    assert (host.gate(OLD), host.gate(NEW)) == ("closed", "open")


def test_one_that_took_calls_beside_a_worker_without_the_hook_is_drained_when_it_fails(
    host: Releases, machine: Machine
) -> None:
    stage(host, machine, OLD, 18101)
    switch.serve(host, OLD)
    stage(host, machine, NEW, 18102, gated=True, candidate="name-candidate")
    abandon.take_back(host, NEW)
    assert len(machine.asked("docker", "kill", "--signal", "TERM")) == 1


@pytest.mark.parametrize(
    ("old_gated", "new_gated", "state"),
    [(True, True, "closed"), (False, False, "open"), (True, False, "open"), (False, True, "open")],
)
def test_old_gate_is_closed_only_where_both_can_be_used(
    host: Releases, machine: Machine, old_gated: bool, new_gated: bool, state: str
) -> None:
    two(host, machine, old_gated, new_gated)
    assert host.gate(OLD) == state


def test_worker_whose_gate_cannot_be_used_is_drained_with_its_gate_open(host: Releases, machine: Machine) -> None:
    two(host, machine)
    drain.retire_all(host, Ending(1.0, keep=3))
    assert host.gate(OLD) == "open"
    assert len(machine.asked("docker", "kill", "--signal", "TERM")) == 1


def test_one_that_took_calls_before_it_failed_is_drained(host: Releases, machine: Machine) -> None:
    stage(host, machine, OLD, 18101)
    switch.serve(host, OLD)
    stage(host, machine, NEW, 18102)
    abandon.take_back(host, NEW)
    assert len(machine.asked("docker", "kill", "--signal", "TERM")) == 1


def test_candidate_has_its_own_project_and_name_and_no_gate(host: Releases, machine: Machine) -> None:
    stage(host, machine, NEW, 18102)
    containers.start_candidate(host, NEW)
    environment = json.loads((host.directory(NEW) / "candidate.yml").read_text())["services"]["agent-worker"][
        "environment"
    ]
    assert environment["AGENT_NAME"] == environment["LIVEKIT_AGENT_NAME"] == "name-candidate"
    assert environment["LIVEKIT_DEPLOY_GATE"] != "/run/livekit-deploy/state"
    (started,) = [command for command in machine.asked("docker", "compose") if "up" in command]
    assert started[started.index("--project-name") + 1] == f"app-{NEW.lower()}-candidate"
    files = [Path(started[n + 1]) for n, word in enumerate(started) if word == "--file"]
    assert [(path.parent, path.name) for path in files] == [
        (host.directory(NEW), "compose.yml"),
        (host.directory(NEW), "candidate.yml"),
    ]


@pytest.mark.parametrize(
    "after",
    [lambda host: containers.start_service(host, NEW, "agent-worker"), lambda host: abandon.take_back(host, NEW)],
    ids=["start", "failure"],
)
def test_candidate_is_gone_when_the_worker_starts_or_the_release_fails(
    host: Releases, machine: Machine, after: Any
) -> None:
    stage(host, machine, NEW, 18102)
    containers.start_candidate(host, NEW)
    machine.start(NEW)
    for container in machine.containers:
        container["Config"]["Labels"] |= {
            docker.PROJECT_LABEL: records.candidate_project("app", NEW),
            docker.DIRECTORY_LABEL: str(host.directory(NEW)),
        }
    machine.networks = {"made": records.candidate_project("app", NEW), "theirs": "other"}
    after(host)
    assert (machine.containers, machine.networks) == ([], {"theirs": "other"})
    assert not (host.directory(NEW) / "candidate.yml").exists()


def found(**changes: Any) -> dict[str, Any]:
    usual = {
        "running": True,
        "restarts": 0,
        "worker_id": "AW_1",
        "agent_name": "name",
        "connected": True,
        "last_lines": ["last"],
    }
    return {**usual, "exit_code": 0, **changes}


@pytest.mark.parametrize(
    ("workers", "words"),
    [
        ([found()], ""),
        ([found(worker_id="AW_2")], "registered anew as AW_2 after it was proven as AW_1"),
        ([found(restarts=1)], "the worker ended (exit status 0, restarts 1)"),
        ([found(connected=False)], "lost its connection"),
        ([], "found 0 worker containers"),
    ],
    ids=["as proven", "registered anew", "restarted", "not connected", "gone"],
)
def test_worker_that_is_not_what_was_proven_is_not_switched_to(
    host: Releases, machine: Machine, monkeypatch: pytest.MonkeyPatch, workers: list[dict[str, Any]], words: str
) -> None:
    stage(host, machine, NEW, 18102)
    monkeypatch.setattr(readings, "readings", lambda *_, **__: {"workers": workers})
    if not words:
        state.refuse_unstable(host, NEW, "AW_1")
        return
    with pytest.raises(ReleaseError, match="expected") as refusal:
        state.refuse_unstable(host, NEW, "AW_1")
    assert words in str(refusal.value)
