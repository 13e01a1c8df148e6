"""More causes of missing jobs on the lab's hosts, and what cannot be asked or read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import Lab, Machine, wait_for
from tests.e2e.test_diagnose import SET, Diagnosis, call, diagnose, keeping, now, worker_log


@pytest.fixture(scope="module")
def kept(deployed: Lab) -> Iterator[Lab]:
    yield from keeping(deployed)


@pytest.fixture(scope="module")
def refused_and_failing(kept: Lab, first: Machine, second: Machine) -> Diagnosis:
    """The worker of one host with a secret of another server; the entrypoint of the other raises, and a call."""
    since = now()
    up = "docker compose up -d --quiet-pull agent-worker"
    first.sh(f"{SET} set_env agent-worker.env LIVEKIT_API_SECRET {'not-the-servers-' * 3}; {up}")
    second.sh(f"{SET} set_env agent-worker.env SIDEKICK_FAULT entrypoint_raises; {up}")
    wait_for(second, worker_log(second), "registered worker")
    call(second)
    wait_for(second, worker_log(second), "entrypoint_raises")
    wait_for(first, worker_log(first), "failed to connect")
    return diagnose(kept, since)


def test_a_refused_key_of_the_worker_is_the_cause(refused_and_failing: Diagnosis) -> None:
    cause = refused_and_failing.first("staging-1")
    assert cause["id"] == "wrong_key"
    assert "401" in " ".join(cause["evidence_for"])


def test_an_entrypoint_that_raises_is_the_cause(refused_and_failing: Diagnosis) -> None:
    cause = refused_and_failing.first("staging-2")
    assert cause["id"] == "entrypoint_fails"
    assert "SIDEKICK_FAULT=***" in " ".join(cause["evidence_for"])


# --- what cannot be asked or read ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cut_off(kept: Lab) -> Diagnosis:
    """No LiveKit server at the address, and a host that is away."""
    hosts = kept.newcomer("ghost-1", f"{kept.livekit_host.rpartition('.')[0]}.249")
    inventories = [kept.inventory, kept.inventory_of("cut-off", hosts)]
    return diagnose(kept, "5", inventory=inventories, extra_vars={"livekit_url": f"ws://{kept.livekit_host}:7999"})


def test_a_server_that_is_away_is_a_finding_of_every_host_that_was_read(cut_off: Diagnosis) -> None:
    assert cut_off.run.rc == 0
    assert {cut_off.first(name)["id"] for name in ("staging-1", "staging-2")} == {"server_unreachable"}


def test_a_host_that_is_away_is_not_read_and_stops_nobody(cut_off: Diagnosis) -> None:
    assert cut_off.of("ghost-1")["outcome"] == "not_read"
    assert any(
        text.startswith("ghost-1: host unreachable over SSH") for text in cut_off.run.reports["diagnose"]["not_read"]
    )


def test_a_start_that_nobody_can_read_is_refused(kept: Lab) -> None:
    found = diagnose(kept, "soon")
    assert found.run.rc != 0
    assert "diagnose_since (given with -e) is 'soon', expected minutes back" in " ".join(found.run.stdout.split())


def test_nothing_configured_is_refused(kept: Lab) -> None:
    found = diagnose(kept, "", inventory=[Path("inventory/example/hosts.yml")])
    assert found.run.rc != 0
    assert "Nothing is configured" in found.run.said
