"""A playbook on one host while calls go to its API."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from tests.e2e.calls import CallStream
from tests.e2e.harness import NGINX, Lab, Machine, Run


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
