"""The story of a release on a stand-in host, as a run tells it step by step."""

from __future__ import annotations

from functools import partial
from typing import Any

from ansible.module_utils.livekit_deploy.release import containers, switch
from ansible.module_utils.livekit_deploy.release.begin import begin_run
from ansible.module_utils.livekit_deploy.release.drain import Ending
from ansible.module_utils.livekit_deploy.release.lock import Claim, Owner
from ansible.module_utils.livekit_deploy.release.plan import Order
from ansible.module_utils.livekit_deploy.release.run import Deployment

from tests.unit.module_utils.standin_machine import Machine

US = Owner("m1", 10, "100", "anna@ci")
# Processes of this controller that live.
ALIVE = frozenset({"1:1", US.key, "12:120"})


def begin(
    run: Deployment,
    order: Order,
    owner: Owner = US,
    wait: float = 0.0,
    purpose: str = "deploy",
    alive: frozenset[str] = ALIVE,
) -> Any:
    return begin_run(run.releases, Claim(owner, purpose, alive=alive), wait, order)


def switch_to(run: Deployment, answer: Any) -> None:
    run.step(answer["fence"], "switch", 10.0, lambda: switch.serve(run.releases, answer["plan"]["id"]))


def finish(run: Deployment, answer: Any) -> None:
    """From the switch to the end."""
    switch_to(run, answer)
    run.end(answer["fence"], Ending(1.0, keep=5), "exclusive", "; ".join(answer["plan"]["reasons"]))


def start(run: Deployment, machine: Machine, answer: Any) -> None:
    """The containers of an adopted project are there; others are made."""
    plan = answer["plan"]
    if not plan["adopted"]:
        machine.start(plan["id"])
    for service in ("agent-worker", "fastapi") if plan["adopted"] else ():
        step = partial(containers.start_service, run.releases, plan["id"], service)
        run.step(answer["fence"], f"start {service}", 10.0, step)


def deploy(run: Deployment, machine: Machine, order: Order, **claim: Any) -> Any:
    """A whole run that goes well."""
    answer = begin(run, order, **claim)
    if answer["plan"]["changed"]:
        start(run, machine, answer)
        finish(run, answer)
    return answer
