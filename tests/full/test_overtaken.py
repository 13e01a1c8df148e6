"""A run that is paused, and overtaken by another one when its lease has ended: it changes nothing any more."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.harness import APP, Lab, Machine, Run
from tests.e2e.test_killed import NAME, change

# On both clocks: one of them that is set ends no lease.
END_LEASE = (
    "import json, pathlib, sys; path = pathlib.Path(sys.argv[1]); record = json.loads(path.read_text()); "
    'record["lease_until"] = 1; record["lease"]["seconds"] = 1; path.write_text(json.dumps(record))'
)


@pytest.fixture
def overtaken(deployed: Lab, first: Machine) -> tuple[Run, int, str, Callable[[], dict[str, Any]], dict[str, Any]]:
    """A run that is paused, its lease made to end, another one that takes over, and the first one again."""
    with deployed.terminal("paused", NAME, change(100)) as run:
        run.wait_in("prove")
        run.send(signal.SIGSTOP)
        first.sh(f"python3 -c '{END_LEASE}' /opt/{APP}/lock.json")
        other = deployed.play("deploy.yml", extra_vars=change(101), limit=NAME)
        state = first.state()
        run.send(signal.SIGCONT)
        rc = run.process.wait(timeout=120)
    return other, rc, run.said, first.state, state


def test_paused_owner_that_comes_back_after_a_take_over_changes_nothing(
    overtaken: tuple[Run, int, str, Callable[[], dict[str, Any]], dict[str, Any]],
) -> None:
    other, rc, said, state_now, state = overtaken
    assert other.rc == 0, other.stdout
    assert rc != 0
    assert "another run has taken over and is done" in " ".join(said.split())
    assert state_now() == state
