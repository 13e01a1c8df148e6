# SPDX-License-Identifier: Apache-2.0
"""Times as logs, records and the Engine write them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any


def stamp(seconds: float) -> str:
    """A time in seconds since the epoch as ISO 8601, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def epoch(text: Any) -> float | None:
    """Seconds since the epoch of an ISO 8601 time, UTC if it names no zone; None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
