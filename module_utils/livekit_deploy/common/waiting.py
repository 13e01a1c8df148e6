# SPDX-License-Identifier: Apache-2.0
"""Wait for a fact: look, pause, look again, for so long at most."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(look: Callable[[], T], seconds: float, pause: float = 0.1, holds: Callable[[T], object] = bool) -> T:
    """Look until what is seen holds or the time has passed, and return what was seen last.

    It is looked at least once, and once more where the time passes in a pause.
    """
    deadline = time.monotonic() + seconds
    while not holds(seen := look()) and time.monotonic() <= deadline:
        time.sleep(pause)
    return seen
