# SPDX-License-Identifier: Apache-2.0
"""Times as logs, records and the Engine write them."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# What Python 3.10 does not read: Z, a zone without its colon, and fractions of other than 3 or 6 digits (Docker writes 9).
ISO = re.compile(r"(?P<to_seconds>[\d-]+[T ]\d\d:\d\d:\d\d)(?:[.,](?P<fraction>\d+))?(?P<zone>Z|[+-]\d\d:?\d\d)?")


def stamp(seconds: float) -> str:
    """A time in seconds since the epoch as ISO 8601, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def moment() -> dict[str, Any]:
    """Return now on a clock of this host that nobody sets: the seconds since its boot, with the boot that they are of."""
    return {"boot": BOOT_ID.read_text(encoding="ascii").strip(), "seconds": time.clock_gettime(time.CLOCK_BOOTTIME)}


def seconds_since(then: Any, here: Mapping[str, Any]) -> float | None:
    """Return how long ago a moment was; None where it is none, or of another boot."""
    if not isinstance(then, Mapping) or then.get("boot") != here["boot"] or not isinstance(then.get("seconds"), (int, float)):
        return None
    return float(here["seconds"]) - float(then["seconds"])


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
