"""Whatever happens to a host, its controller or its LiveKit server: the old or the new release serves, and the next run finishes.

Each row of the matrix is one story under calls at 5 a second, then the promises are looked at. What was measured goes to
build/interruptions-<date>.json row by row; when that has every row of the matrix, it is written to benchmarks/results.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from benchmarks.verdict_time import machine as machine_of_the_run
from tests.e2e.calls import Call, CallStream
from tests.e2e.harness import APP, NGINX, ROOT, STEPS, Lab, Machine, Run
from tests.full.interruptions import CASES, Case, Scene, leave_small_disk

NAME = "staging-1"
BACK_WITHIN_SECONDS = 90.0
RUN_WITHIN_SECONDS = 240.0
# A call that is under way when a host or a server goes down.
UNDER_WAY_SECONDS = 1.0


@dataclass(frozen=True)
class Window:
    """From the strike until the worker is registered again; empty where nothing is away."""

    begin: float = 0.0
    end: float = 0.0

    def has(self, call: Call) -> bool:
        return self.begin - UNDER_WAY_SECONDS <= call.sent <= self.end


@dataclass(frozen=True)
class Story:
    case: Case
    before: Mapping[str, Any]
    rc: int | None
    """Of the disturbed deployment; none where there was none."""
    said: str
    after: Mapping[str, Any]
    services: list[str]
    """Of the release that served after the disturbance."""
    window: Window
    stream: CallStream
    next_run: Run
    next_seconds: float
    last: Mapping[str, Any]
    states: set[str]
    lock_owner: Any


def registered_since(machine: Machine, moment: float) -> float:
    """When the worker of the serving release registered first after that moment; waits for it, over SSH that may be away."""
    deadline = time.monotonic() + BACK_WITHIN_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(AssertionError, ValueError, StopIteration):
            worker = next(c for c in machine.containers() if c.service == "agent-worker" and c.release == str(machine.serving()).lower())
            said = machine.sh(f"docker logs --timestamps --since {moment:.3f} {worker.id} 2>&1 | grep -m 1 -F '\"registered worker\"'")
            return datetime.fromisoformat(said.split()[0][:26] + "+00:00").timestamp()
        time.sleep(0.5)
    raise AssertionError(f"the worker on {machine.name} did not come back by itself within {BACK_WITHIN_SECONDS:g} s")


def strike(case: Case, scene: Scene) -> Window:
    if not case.strike:
        return Window()
    struck = time.time()
    case.strike(scene)
    back = registered_since(scene.machine, struck) if case.away or case.pool else struck
    return Window(struck, back) if case.away else Window()


def disturbed(case: Case, scene: Scene, change: Mapping[str, Any], name: str) -> tuple[int | None, str, Window]:
    """The deployment of this row, if it has one, and the strike; the run's exit status and output."""
    if not case.deploys:
        return None, "", strike(case, scene)
    with scene.lab.terminal(name, scene.machine.name, {**change, **case.change}) as run:
        if case.step:
            run.wait_for(STEPS[case.step])
        window = strike(case, Scene(scene.lab, scene.machine, run))
        rc = run.process.wait(timeout=RUN_WITHIN_SECONDS)
        return rc, run.said, window


def played(case: Case, lab: Lab) -> Story:
    number = CASES.index(case)
    change = {"livekit_agent_memory": f"{1600 + number}m"}
    scene = Scene(lab, lab.machines[0])
    machine = scene.machine
    called = lab.machines[1] if case.pool else machine
    with CallStream(f"http://{called.address}:{NGINX}/v1/preview", lab.document["livekit"]) as stream:
        with case.around(scene):
            before = machine.state()
            time.sleep(1)
            rc, said, window = disturbed(case, scene, change, f"row-{number}")
            after = machine.state()
            services = [c.service for c in machine.containers() if c.release == str(after["serving"]).lower()]
        started = time.monotonic()
        next_run = lab.play("deploy.yml", extra_vars=change if case.deploys else None, limit="" if case.pool else machine.name)
        next_seconds = time.monotonic() - started
    lab.varied.add(machine.name)
    states = {machine.record(release)["state"] for release in machine.releases()}
    owner = json.loads(machine.sh(f"cat /opt/{APP}/lock.json"))["owner"]
    return Story(case, before, rc, said, after, services, window, stream, next_run, next_seconds, machine.state(), states, owner)


# --- the promises: what is not as it should be, in words -------------------------------------------------------------


def serves(story: Story) -> list[str]:
    after, serving = story.after, str(story.after["serving"])
    broken = [] if story.services == ["agent-worker", "fastapi"] else [f"of {serving} only {story.services} run"]
    if f"{serving}/gate/state:open" not in after["gates"]:
        broken.append(f"the gate of {serving} is not open: {after['gates']}")
    return broken


def leaves_as_it_was(story: Story) -> list[str]:
    """Where a deployment has to fail it does, and changes nothing."""
    if not story.case.fails:
        return []
    changed = [f"{key}: {story.before[key]} became {found}" for key, found in story.after.items() if found != story.before[key]]
    return changed + ([] if story.rc else ["the deployment did not fail"])


def loses_nothing(story: Story) -> list[str]:
    lost = [call for call in story.stream.lost if not story.window.has(call)]
    return [f"{len(lost)} calls are lost, the first is {lost[0]}, what was away: {story.window}"] if lost else []


def next_run_finishes(story: Story) -> list[str]:
    run = story.next_run
    verdict = run.row(NAME)["verdict"] if run.rc == 0 else None
    return [] if verdict == "exclusive" else [f"exit status {run.rc}, verdict {verdict}: {run.stdout[-3000:]}"]


def leaves_nothing(story: Story) -> list[str]:
    last = story.last
    found = {
        "containers": [service for service, *_ in last["containers"]],
        "networks": len(last["networks"]),
        "states": story.states <= {"serving", "retired"},
        "lock": story.lock_owner,
    }
    expected = {"containers": ["agent-worker", "fastapi"], "networks": 1, "states": True, "lock": None}
    return [f"{key}: found {found[key]}, expected {expected[key]}" for key in expected if found[key] != expected[key]]


PROMISES = {
    "the old or the new release serves": serves,
    "a deployment that has to fail leaves the host as it was": leaves_as_it_was,
    "nothing is lost but while something is away": loses_nothing,
    "the next run finishes without hand work": next_run_finishes,
    "the next run leaves nothing behind": leaves_nothing,
}


# --- measuring -------------------------------------------------------------------------------------------------------


def longest_gap(calls: list[Call]) -> float:
    """The longest time between two calls that were served, by when they were sent."""
    good = sorted(call.sent for call in calls if not call.lost)
    return max((later - earlier for earlier, later in pairwise(good)), default=0.0)


def row_of(story: Story) -> dict[str, Any]:
    window, lost = story.window, story.stream.lost
    return {
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "deployment": None if story.rc is None else ("failed" if story.rc else "ok"),
        "served": "old" if story.after["serving"] == story.before["serving"] else "new",
        "sent": len(story.stream.calls),
        "lost": len(lost),
        "http_errors": sum(call.status != 200 for call in lost),
        "longest_gap_seconds": round(longest_gap(story.stream.calls), 1),
        "away_seconds": round(window.end - window.begin, 1),
        "next_run_seconds": round(story.next_seconds, 1),
        "broken": {name: found for name, promise in PROMISES.items() if (found := promise(story))},
    }


def keep(name: str, row: Mapping[str, Any]) -> None:
    """Add a row to those of this day; when all are there, the day's result is whole."""
    date = row["time"][:10]
    path = ROOT / "build" / f"interruptions-{date}.json"
    rows = json.loads(path.read_text())["cases"] if path.exists() else {}
    rows = {case.name: found for case in CASES if (found := row if case.name == name else rows.get(case.name))}
    document = {"benchmark": "interruptions", "date": date, "machine": machine_of_the_run(), "cases": rows}
    path.write_text(json.dumps(document, indent=2) + "\n")
    if len(rows) == len(CASES):
        (ROOT / "benchmarks" / "results" / path.name).write_text(path.read_text())


@pytest.fixture(scope="module", autouse=True)
def own_disk(deployed: Lab) -> Iterator[None]:
    yield
    leave_small_disk(Scene(deployed, deployed.machines[0]))


@pytest.fixture(scope="module", params=CASES, ids=[case.name for case in CASES])
def story(request: pytest.FixtureRequest, deployed: Lab) -> Story:
    told = played(request.param, deployed)
    keep(told.case.name, row_of(told))
    return told


@pytest.mark.parametrize("promise", PROMISES)
def test_promise_is_kept(story: Story, promise: str) -> None:
    assert PROMISES[promise](story) == [], story.said[-3000:]
