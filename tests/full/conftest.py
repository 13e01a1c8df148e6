"""The lab of the end-to-end tests, for those that take long: `make test-full`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

# The path comes first; fixtures are found by name.
from tests.e2e.conftest import deployed, first, lab, second, serving  # noqa: E402, F401
