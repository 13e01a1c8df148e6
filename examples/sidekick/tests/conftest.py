"""Make the API, the worker's modules and the hook importable from the checkout."""

import sys
from pathlib import Path

import pytest

SIDEKICK = Path(__file__).parents[1]
REPOSITORY = SIDEKICK.parents[1]
sys.path[:0] = [
    str(SIDEKICK / "tests"),
    str(SIDEKICK / "api"),
    str(SIDEKICK / "worker"),
    str(REPOSITORY / "probe_hook" / "src"),
]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real: starts a real LiveKit server and a real worker on loopback")
