# SPDX-License-Identifier: Apache-2.0
"""Times of a diagnosis: as hosts, logs and Docker write them, and as a person reads them."""

from __future__ import annotations

import re

from ..common.times import epoch, stamp


def epoch_seconds(value: object) -> float | None:
    """Return the seconds since the epoch of a number or an ISO 8601 text. A text without a zone is UTC.

    Docker's year 1 is no time.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if value > 0 else None
    text = re.sub(r"(\.\d{6})\d+", r"\1", str(value or ""))  # Docker writes nanoseconds
    seconds = epoch(text)
    return seconds if seconds and seconds > 0 else None


def utc(value: object) -> str:
    """Return a time as people and programs read it, in whole seconds."""
    seconds = epoch_seconds(value)
    return stamp(seconds) if seconds else "an unknown time"
