# SPDX-License-Identifier: Apache-2.0
"""Times as logs, records and the Engine write them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any


def epoch(text: Any) -> float | None:
    """Seconds since the epoch of an ISO 8601 time, UTC if it names no zone; None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
