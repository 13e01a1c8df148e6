"""More of what somebody changes by hand on a host: a worker that is stopped, a gate that is closed."""

from __future__ import annotations

import pytest

from tests.e2e.harness import Lab
from tests.e2e.test_drift import CURRENT, Drift, check, drift, failed

STOP_THE_WORKER = f"cd {CURRENT} && docker compose stop agent-worker"
CLOSE_THE_GATE = f"echo closed >{CURRENT}/gate/state"


@pytest.fixture(scope="module")
def edited(deployed: Lab) -> Drift:
    return drift(deployed, (STOP_THE_WORKER, CLOSE_THE_GATE))


def test_verify_names_a_worker_that_was_stopped(edited: Drift) -> None:
    assert "agent-worker is not running" in check(edited.verified, "staging-1", "drift")["found"]
    assert {"environment", "registered", "directed_probe", "preview", "drift"} <= set(
        failed(edited.verified, "staging-1")
    )


def test_verify_names_a_gate_that_was_closed_by_hand(edited: Drift) -> None:
    assert check(edited.verified, "staging-2", "drift")["found"] == "the standby gate is closed"


def test_a_closed_gate_fails_the_preview_and_not_the_directed_probe(edited: Drift) -> None:
    assert failed(edited.verified, "staging-2") == ["preview", "drift"]


def test_deploy_makes_a_new_release_of_a_host_with_drift_and_is_green(edited: Drift) -> None:
    assert edited.deployed.rc == 0, edited.deployed.stdout
    for old, row in zip(edited.serving, edited.deployed.report["hosts"].values(), strict=True):
        assert (row["verdict"], row["release"] != old) == ("exclusive", True)
