# SPDX-License-Identifier: Apache-2.0
"""Times as logs, records and the Engine write them."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone
from typing import Any

# What Python 3.10 does not read: Z, a zone without its colon, and fractions of other than 3 or 6 digits (Docker writes 9).
ISO = re.compile(r"(?P<to_seconds>[\d-]+[T ]\d\d:\d\d:\d\d)(?:[.,](?P<fraction>\d+))?(?P<zone>Z|[+-]\d\d:?\d\d)?")


def stamp(seconds: float) -> str:
    """A time in seconds since the epoch as ISO 8601, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def epoch(text: Any) -> float | None:
    """Seconds since the epoch of an ISO 8601 time, UTC if it names no zone; None for anything else."""
    try:
        moment = datetime.fromisoformat(plain(text))
    except (TypeError, ValueError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def plain(text: str) -> str:
    """The same time as Python 3.10 reads it."""
    if not (found := ISO.fullmatch(text)):
        return text
    zone = (found["zone"] or "").replace("Z", "+00:00")
    return f"{found['to_seconds']}.{(found['fraction'] or '0')[:6]:0<6}{zone if ':' in zone or not zone else f'{zone[:3]}:{zone[3:]}'}"
