"""Whatever happens to a host, its controller or LiveKit server: the old or new release serves, the next run finishes.

Each row of the matrix is one story under calls at 5 a second, then the promises are looked at. What was measured goes
to build/interruptions-<date>.json row by row; with every row of the matrix it is written to benchmarks/results.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import pytest

from benchmarks.verdict_time import machine as machine_of_the_run
from tests.e2e.calls import CallStream
from tests.e2e.harness import APP, NGINX, ROOT, Lab, Machine
from tests.full.interruptions import CASES, Case, Scene, leave_small_disk
from tests.full.promises import PROMISES, Story, Window, row_of

BACK_WITHIN_SECONDS = 90.0
RUN_WITHIN_SECONDS = 240.0
STILL_DRAINS = "the next run clears it away"


def registered_since(machine: Machine, moment: float) -> float:
    """When the serving release's worker registered first after that moment; waits for it, over SSH that may be away."""
    deadline = time.monotonic() + BACK_WITHIN_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(AssertionError, ValueError, StopIteration):
            worker = next(
                c
                for c in machine.containers()
                if c.service == "agent-worker" and c.release == str(machine.serving()).lower()
            )
            said = machine.sh(
                f"docker logs --timestamps --since {moment:.3f} {worker.id} 2>&1 | grep -m 1 -F '\"registered worker\"'"
            )
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
            run.wait_in(case.step)
        window = strike(case, Scene(scene.lab, scene.machine, run))
        rc = run.process.wait(timeout=RUN_WITHIN_SECONDS)
        return rc, run.said, window


def played(case: Case, lab: Lab) -> Story:
    number = CASES.index(case)
    change = {"livekit_agent_memory": f"{1600 + number}m", **case.settings}
    scene = Scene(lab, lab.machines[0])
    machine = scene.machine
    called = lab.machines[1] if case.pool else machine
    following = partial(
        lab.play, "deploy.yml", extra_vars=change if case.deploys else None, limit="" if case.pool else machine.name
    )
    with CallStream(f"http://{called.address}:{NGINX}/v1/preview", lab.document["livekit"]) as stream:
        with case.around(scene):
            before = machine.state()
            time.sleep(1)
            rc, said, window = disturbed(case, scene, change, f"row-{number}")
            machine.let_the_step_end()
            after = machine.state()
            services = [c.service for c in machine.containers() if c.release == str(after["serving"]).lower()]
        started = time.monotonic()
        next_run = following()
        next_seconds = time.monotonic() - started
    draining = STILL_DRAINS in next_run.said
    if draining:
        assert following().rc == 0
    lab.varied.add(machine.name)
    return Story(
        case=case,
        before=before,
        rc=rc,
        said=said,
        after=after,
        services=services,
        window=window,
        calls=stream.calls,
        next_rc=next_run.rc,
        next_verdict=next_run.row(machine.name)["verdict"] if next_run.rc == 0 else None,
        next_said=next_run.stdout,
        next_seconds=next_seconds,
        draining=draining,
        last=machine.state(),
        states={machine.record(release)["state"] for release in machine.releases()},
        lock_owner=json.loads(machine.sh(f"cat /opt/{APP}/lock.json"))["owner"],
    )


# --- measuring -------------------------------------------------------------------------------------------------------


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
