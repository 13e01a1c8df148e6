"""What must be true after every interruption, and what is kept of each: pure, so that tests/unit sees each broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from tests.e2e.calls import Call
from tests.full.interruptions import Case

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
    calls: list[Call]
    next_rc: int
    next_verdict: str | None
    next_said: str
    next_seconds: float
    draining: bool
    """The next run left a worker with calls, and said so; `last` is what the run after that left."""
    last: Mapping[str, Any]
    states: set[str]
    lock_owner: Any


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
    changed = [
        f"{key}: {story.before[key]} became {found}" for key, found in story.after.items() if found != story.before[key]
    ]
    said = story.case.says in " ".join(story.said.split())
    why = [] if said else [f"it did not fail because of {story.case.says!r}: {story.said[-3000:]}"]
    return changed + (why if story.rc else ["the deployment did not fail"])


def lost_of(story: Story) -> list[Call]:
    return [call for call in story.calls if call.lost]


def loses_nothing(story: Story) -> list[str]:
    lost = [call for call in lost_of(story) if not story.window.has(call)]
    return [f"{len(lost)} calls are lost, the first is {lost[0]}, what was away: {story.window}"] if lost else []


def next_run_finishes(story: Story) -> list[str]:
    if story.next_rc == 0 and story.next_verdict == "exclusive":
        return []
    return [f"exit status {story.next_rc}, verdict {story.next_verdict}: {story.next_said[-3000:]}"]


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


PROMISES: dict[str, Callable[[Story], list[str]]] = {
    "the old or the new release serves": serves,
    "a deployment that has to fail leaves the host as it was": leaves_as_it_was,
    "nothing is lost but while something is away": loses_nothing,
    "the next run finishes without hand work": next_run_finishes,
    "the next run leaves nothing behind but calls": leaves_nothing,
}


# --- what is kept of it ----------------------------------------------------------------------------------------------


def longest_gap(calls: list[Call]) -> float:
    """The longest time between two calls that were served, by when they were sent."""
    good = sorted(call.sent for call in calls if not call.lost)
    return max((later - earlier for earlier, later in pairwise(good)), default=0.0)


def row_of(story: Story) -> dict[str, Any]:
    window, lost = story.window, lost_of(story)
    return {
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "deployment": None if story.rc is None else ("failed" if story.rc else "ok"),
        "served": "old" if story.after["serving"] == story.before["serving"] else "new",
        "sent": len(story.calls),
        "lost": len(lost),
        "http_errors": sum(call.status != 200 for call in lost),
        "longest_gap_seconds": round(longest_gap(story.calls), 1),
        "away_seconds": round(window.end - window.begin, 1),
        "next_run_seconds": round(story.next_seconds, 1),
        "next_run_left_calls": story.draining,
        "broken": {name: found for name, promise in PROMISES.items() if (found := promise(story))},
    }
