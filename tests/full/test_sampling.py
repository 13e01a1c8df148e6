"""A worker of ours without the probe hook: proven by sampling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.harness import Lab, Machine, Run, start_foreign
from tests.e2e.test_routing import HOOKLESS_WORKER, without_hook

HOOKLESS = {
    "livekit_agent_hook": False,
    "livekit_agent_env": {
        "SIDEKICK_HOOK": "off",
        "SIDEKICK_LOAD": "0",
        "SIDEKICK_LOAD_THRESHOLD": "inf",
        "SIDEKICK_DRAIN_TIMEOUT_SECONDS": "120",
    },
}


@pytest.fixture(scope="module")
def other(deployed: Lab) -> Iterator[Machine]:
    with without_hook(deployed.other) as machine:
        yield machine


@pytest.fixture(scope="module")
def hookless(deployed: Lab, first: Machine) -> Run:
    run = deployed.play("deploy.yml", extra_vars=HOOKLESS, limit=first.name)
    assert run.rc == 0, run.stdout
    return run


@pytest.fixture(scope="module")
def beside_another(hookless: Run, deployed: Lab, other: Machine, first: Machine) -> tuple[Run, str]:
    """Verify while somebody else has the name of a worker without the hook."""
    try:
        foreign = start_foreign(other, "foreign-beside", str(hookless.row(first.name)["agent_name"]), **HOOKLESS_WORKER)
        run = deployed.play("playbooks/verify.yml", extra_vars=HOOKLESS, limit=first.name)
    finally:
        other.sh("docker rm -f foreign-beside")
    return run, foreign


def directed(run: Run, host: str) -> dict[str, Any]:
    return next(check for check in run.row(host)["checks"] if check["name"] == "directed_probe")


def test_worker_without_the_hook_is_proven_by_sampling(hookless: Run, first: Machine) -> None:
    row = hookless.row(first.name)
    assert (row["verdict"], row["routing"]["method"]) == ("exclusive", "sampling")


def test_sampling_says_how_many_jobs_came_home(hookless: Run, first: Machine) -> None:
    assert directed(hookless, first.name)["found"].startswith("sampling: ")


def test_sampling_says_how_probably_it_missed_an_equal_worker(hookless: Run, first: Machine) -> None:
    assert hookless.row(first.name)["routing"]["not_seen"][0].startswith("an equal worker, with probability 0.00")


def test_sampling_finds_an_equal_worker(beside_another: tuple[Run, str], first: Machine) -> None:
    run, foreign = beside_another
    assert (run.row(first.name)["verdict"], run.row(first.name)["routing"]["foreign"]) == ("foreign", [foreign])
