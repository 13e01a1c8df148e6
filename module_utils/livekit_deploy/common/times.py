# SPDX-License-Identifier: Apache-2.0
"""Times as logs, records and the Engine write them: every writer and every reader of a time."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .text import plain

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# What Python 3.10 does not read: Z, a zone without its colon, and fractions of other than 3 or 6 digits (Docker writes
# 9).
ISO = re.compile(r"(?P<to_seconds>[\d-]+[T ]\d\d:\d\d:\d\d)(?:[.,](?P<fraction>\d+))?(?P<zone>Z|[+-]\d\d:?\d\d)?")
# A time that a program wrote itself; without a zone it is of the host.
WRITTEN = re.compile(
    r"\s*\[?(?P<time>\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)"
    r"(?:[.,](?P<fraction>\d{1,9}))?\s?(?P<zone>Z|[+-]\d\d:?\d\d)?"
)
# How a time is written: for records and reports, in a name, in a sentence.
TO_THE_SECOND, COMPACT, TO_THE_MINUTE = "%Y-%m-%dT%H:%M:%SZ", "%Y%m%dT%H%M%SZ", "%Y-%m-%d %H:%M UTC"


# --- written ---


def stamp(seconds: float, form: str = TO_THE_SECOND) -> str:
    """Write a time in seconds since the epoch in one of the forms above, UTC."""
    return time.strftime(form, time.gmtime(seconds))


def iso(seconds: float, timespec: str = "milliseconds", zone: str = "+00:00") -> str:
    """Write a time as a log has it: ISO 8601, UTC. ``zone`` is ``+00:00`` or ``Z``."""
    return datetime.fromtimestamp(max(0.0, seconds), timezone.utc).isoformat(timespec=timespec).replace("+00:00", zone)


# --- read ---


def epoch(text: Any) -> float | None:
    """Return seconds since the epoch of an ISO 8601 time, UTC if it names no zone; None for anything else."""
    try:
        moment = datetime.fromisoformat(oldest_iso(text))
    except (TypeError, ValueError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def oldest_iso(text: str) -> str:
    """Return the same time as the oldest Python reads it, 3.10."""
    if not (found := ISO.fullmatch(text)):
        return text
    zone = (found["zone"] or "").replace("Z", "+00:00")
    zone = zone if ":" in zone or not zone else f"{zone[:3]}:{zone[3:]}"
    return f"{found['to_seconds']}.{(found['fraction'] or '0')[:6]:0<6}{zone}"


def number_epoch(value: float) -> float | None:
    """Return seconds since the epoch of a number in a log: seconds, or milliseconds as Node has them."""
    seconds = value / 1000 if abs(value) > 1e11 else float(value)
    return seconds if 0 < seconds < 1e11 else None


def event_epoch(value: Any) -> float | None:
    """Return seconds since the epoch of the time that an event has, as a number or as ISO 8601."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number_epoch(value)
    return epoch(value)


def line_epoch(text: str) -> float | None:
    """Return seconds since the epoch of the time that a line of text begins with."""
    found = WRITTEN.match(plain(text[:200]))
    if not found:
        return None
    if found["zone"]:
        return epoch(f"{found['time']}.{found['fraction'] or '0'}{found['zone']}")
    try:
        return datetime.fromisoformat(found["time"]).timestamp() + float(f"0.{found['fraction'] or 0}")
    except (ValueError, OverflowError, OSError):
        return None


def proxy_epoch(text: str) -> float | None:
    """Return seconds since the epoch of a time as proxies write it: ISO 8601, common log format, or a number."""
    found = event_epoch(text)
    if found is not None:
        return found
    try:
        if text.replace(".", "", 1).isdecimal():
            return number_epoch(float(text))
        return datetime.strptime(text, "%d/%b/%Y:%H:%M:%S %z").timestamp()
    except (ValueError, OverflowError):
        return None


# --- a clock that nobody sets ---


def moment() -> dict[str, Any]:
    """Return now on a clock of this host that nobody sets: its boot, and the seconds since then."""
    return {"boot": BOOT_ID.read_text(encoding="ascii").strip(), "seconds": time.clock_gettime(time.CLOCK_BOOTTIME)}


def seconds_since(then: Any, here: Mapping[str, Any]) -> float | None:
    """Return how long ago a moment was; None where it is none, or of another boot."""
    if (
        not isinstance(then, Mapping)
        or then.get("boot") != here["boot"]
        or not isinstance(then.get("seconds"), (int, float))
    ):
        return None
    return float(here["seconds"]) - float(then["seconds"])
