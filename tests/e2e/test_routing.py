"""A worker of somebody else under our name, with the probe hook or without: verify says so, and names it.

Under a name that is new to us it is found before our first worker starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.harness import Inventory, Lab, Machine, Run, start_foreign

WITHOUT_THE_HOOK = """
from livekit.agents import AgentServer, JobContext, cli

server = AgentServer(load_fnc=lambda *_: 0.0, load_threshold=float("inf"))


@server.rtc_session()
async def entrypoint(ctx: JobContext) -> None:
    await ctx.connect()


if __name__ == "__main__":
    cli.run_app(server)
"""
HOOKLESS_WORKER = {
    "options": "-v /tmp/without_hook.py:/without_hook.py:ro",
    "command": "python3 /without_hook.py start",
}


@dataclass(frozen=True)
class Incident:
    """Somebody else's worker ids by the host whose name they have, and what verify said meanwhile and after."""

    foreign: dict[str, str]
    verified: Run
    afterwards: Run


@contextmanager
def without_hook(machine: Machine) -> Iterator[Machine]:
    """The host of somebody else, with a worker script that has no hook."""
    machine.sh(f"cat >/tmp/without_hook.py <<'EOF'\n{WITHOUT_THE_HOOK}\nEOF")
    try:
        yield machine
    finally:
        machine.sh("rm -f /tmp/without_hook.py")


@pytest.fixture(scope="module")
def other(deployed: Lab) -> Iterator[Machine]:
    with without_hook(deployed.other) as machine:
        yield machine


@pytest.fixture(scope="module")
def incident(deployed: Lab, other: Machine) -> Incident:
    lab = deployed
    names = {machine.name: machine.record(str(machine.serving()))["agent_name"] for machine in lab.machines}
    try:
        foreign = {
            "staging-1": start_foreign(other, "foreign-hooked", names["staging-1"]),
            "staging-2": start_foreign(other, "foreign-plain", names["staging-2"], **HOOKLESS_WORKER),
        }
        verified = lab.play("playbooks/verify.yml")
    finally:
        other.sh("docker rm -f foreign-hooked foreign-plain")
    return Incident(foreign, verified, lab.play("playbooks/verify.yml"))


BOTH = pytest.mark.parametrize("host", ["staging-1", "staging-2"], ids=["with the hook", "without the hook"])


@BOTH
def test_worker_of_somebody_else_under_our_name_is_foreign(incident: Incident, host: str) -> None:
    assert incident.verified.row(host)["verdict"] == "foreign"


@BOTH
def test_foreign_worker_is_named_by_its_id(incident: Incident, host: str) -> None:
    assert incident.verified.row(host)["routing"]["foreign"] == [incident.foreign[host]]


@BOTH
def test_remedy_names_the_worker_to_stop(incident: Incident, host: str) -> None:
    routing = next(check for check in incident.verified.row(host)["checks"] if check["name"] == "routing")
    assert incident.foreign[host] in routing["remedy"]


def test_run_fails_while_a_name_is_not_ours_alone(incident: Incident) -> None:
    assert incident.verified.rc != 0


@BOTH
def test_name_is_exclusive_again_when_the_other_worker_is_gone(incident: Incident, host: str) -> None:
    row = incident.afterwards.row(host)
    assert (row["verdict"], row["routing"]["foreign"]) == ("exclusive", [])


@BOTH
def test_exclusive_is_never_said_before_the_search_window_has_passed(incident: Incident, host: str) -> None:
    assert incident.afterwards.row(host)["routing"]["seconds"] >= 10.0


@BOTH
def test_verdict_says_what_it_cannot_see(incident: Incident, host: str) -> None:
    assert "draining" in incident.afterwards.row(host)["routing"]["not_seen"]


# --- a name that is new to us ---

NEW_NAME = "sidekick-agent-staging-new"


@dataclass(frozen=True)
class Refusal:
    """A deployment to a name that somebody else has: the host before and after, and what the other one's worker is."""

    run: Run
    foreign: str
    before: dict[str, Any]
    after: dict[str, Any]


@pytest.fixture(scope="module")
def refusal(deployed: Lab, other: Machine, first: Machine) -> Refusal:
    renamed: Inventory = {first.name: {"livekit_agent_name": NEW_NAME}}
    before = first.state()
    try:
        foreign = start_foreign(other, "foreign-new", NEW_NAME, **HOOKLESS_WORKER)
        run = deployed.play("deploy.yml", inventory=deployed.inventory_of("new-name", renamed), limit=first.name)
    finally:
        other.sh("docker rm -f foreign-new")
    return Refusal(run, foreign, before, first.state())


def test_name_that_somebody_else_has_is_refused_and_the_worker_named(refusal: Refusal, first: Machine) -> None:
    assert refusal.run.rc != 0
    assert f"found: {refusal.foreign} has the name '{NEW_NAME}', expected that nobody" in refusal.run.reason(first.name)


def test_refused_name_comes_with_what_to_do(refusal: Refusal, first: Machine) -> None:
    assert f"playbooks/evict.yml -e evict_worker={refusal.foreign}" in refusal.run.reason(first.name)


def test_no_worker_was_started_under_the_refused_name(refusal: Refusal) -> None:
    assert not [result.task for result in refusal.run.results if "start_worker |" in result.task]


def test_refused_name_leaves_the_host_as_it_was(refusal: Refusal) -> None:
    assert refusal.after == refusal.before
