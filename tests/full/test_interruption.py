"""Ctrl-C in the middle of a deployment: the report is true, the old release serves, the next deployment clears up."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.harness import Container, Lab, Machine, Run

CHANGE = {"livekit_agent_memory": "1600m"}
NAME = "staging-1"


@dataclass(frozen=True)
class Interrupted:
    rc: int
    report: dict[str, Any]
    before: list[Container]
    after: list[Container]
    serving: str | None
    upstream: bool


@pytest.fixture(scope="module")
def interrupted(serving: Lab, first: Machine) -> Interrupted:
    before = first.containers()
    state = first.state()
    with serving.terminal("interrupted", NAME, CHANGE) as run:
        run.wait_in("register")
        run.send(signal.SIGINT)
        rc = run.process.wait(timeout=30)
    report = json.loads((run.reports / "deploy.json").read_text())
    serving.check(run.said, run.said + json.dumps(report))
    after = first.state()
    same = (after["upstream"], state["serving"]) == (state["upstream"], after["serving"])
    return Interrupted(rc, report, before, first.containers(), first.serving(), same)


@pytest.fixture(scope="module")
def next_run(interrupted: Interrupted, lab: Lab) -> Run:
    assert interrupted.rc != 0
    return lab.play("deploy.yml", extra_vars=CHANGE, limit=NAME)


def test_an_interrupted_run_does_not_exit_with_0(interrupted: Interrupted) -> None:
    assert interrupted.rc != 0


def test_the_report_of_an_interrupted_run_is_there_and_not_ok(interrupted: Interrupted) -> None:
    assert interrupted.report["ok"] is False
    assert interrupted.report["finished"]
    assert interrupted.report["hosts"][NAME]["verdict"] is None


def test_the_report_says_where_the_run_was_interrupted(interrupted: Interrupted) -> None:
    reason = interrupted.report["hosts"][NAME]["reason"]
    task = "agent_release : start_worker | Wait until it is registered under its name"
    assert f"the run was interrupted by SIGINT; last task: {task}" in reason


def test_the_old_release_serves_on_from_the_same_containers(interrupted: Interrupted) -> None:
    assert interrupted.before
    assert {c.identity for c in interrupted.before} <= {c.identity for c in interrupted.after}
    assert interrupted.upstream


def test_the_run_was_interrupted_in_the_middle(interrupted: Interrupted) -> None:
    """Without this the next tests prove nothing: a new worker was left running behind its gate."""
    assert [c.service for c in interrupted.after if c.release != str(interrupted.serving).lower()] == ["agent-worker"]


def test_the_next_deployment_is_green(next_run: Run) -> None:
    assert next_run.rc == 0, next_run.stdout
    assert next_run.row(NAME)["verdict"] == "exclusive"


def test_the_next_deployment_removes_what_the_interrupted_one_left(
    next_run: Run, interrupted: Interrupted, first: Machine
) -> None:
    left = {c.release for c in interrupted.after} - {str(interrupted.serving).lower()}
    assert [container.service for container in first.containers(every=True)] == ["agent-worker", "fastapi"]
    assert {container.release for container in first.containers()} == {next_run.row(NAME)["release"].lower()}
    assert not left & {release.lower() for release in first.releases()}
