# SPDX-License-Identifier: Apache-2.0
"""How a value of the user's is read: one strict reading of switches, numbers and sizes, for all that takes one.

Jinja's filter ``bool`` takes ``y`` for false, a module's argument takes it for true; ``int()`` takes ``1_0`` and ``10
``. Whatever two of them would read in two ways is refused here. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

TRUE, FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})
WHOLE = re.compile(r"0|[1-9][0-9]{0,11}")
NUMBER = re.compile(r"(?:0|[1-9][0-9]{0,11})(?:\.[0-9]{1,9})?")
SIZE = re.compile(r"(?P<number>[0-9]{1,12}(?:\.[0-9]{1,6})?)(?P<unit>[bkmg]?)b?", re.IGNORECASE)
UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30}
MOST = 999_999_999_999  # a fencing number may begin with the seconds since the epoch
PORTS = (1, 65535)
SHOWN = 60
# What makes a text of a value that YAML reads as something else.
QUOTES = "put it in quotes, or end a template with | string"


def switch(value: Any) -> bool | None:
    """Return what a switch says, or None where readers would differ."""
    if isinstance(value, bool):
        return bool(value)
    word = str(value).lower() if isinstance(value, int | str) else ""
    return True if word in TRUE else False if word in FALSE else None


def whole(value: Any) -> int | None:
    """Return a whole number from 0 on, or None."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return int(value) if WHOLE.fullmatch(str(value)) else None


def number(value: Any) -> float | None:
    """Return a number from 0 on, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if not isinstance(value, str):
        return float(value) if math.isfinite(value) and 0 <= value <= MOST else None
    return float(value) if NUMBER.fullmatch(value) else None


def size(value: Any) -> int | None:
    """Return the bytes of a size as Docker writes it (512m, 2g), or None."""
    found = SIZE.fullmatch(value) if isinstance(value, str) else None
    return int(float(found["number"]) * UNITS[found["unit"].lower()]) if found else None


def shown(value: Any) -> str:
    """Return a value as a sentence may show it: short, and without anything that a terminal would obey."""
    if value is None:
        return "empty"
    if isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str):
        return ascii(str(value)) if len(value) <= SHOWN else f"{str(value[:SHOWN])!a}…"
    return f"of type {kind(value)}"


def kind(value: Any) -> str:
    """Return the type of a value in Python's own words; ansible-core's classes are made of these."""
    known = (bool, int, float, str, list, dict, date)
    return next(
        (one.__name__ for one in known if isinstance(value, one)), "nothing" if value is None else type(value).__name__
    )


# --- what is expected ------------------------------------------------------------------------------------------------


def not_a_switch(value: Any) -> str:
    """Say what is expected in the place of a value that is no switch; empty where it is one."""
    return "true or false" if switch(value) is None else ""


def not_a_whole(value: Any, least: int = 0, most: int = MOST) -> str:
    """Say what is expected in the place of a value that is no whole number between the bounds."""
    read = whole(value)
    return "" if read is not None and least <= read <= most else f"a whole number {bounds(least, most)}"


def not_a_number(value: Any, least: int = 0, most: int = MOST) -> str:
    """Say what is expected in the place of a value that is no number between the bounds."""
    read = number(value)
    return "" if read is not None and least <= read <= most else f"a number {bounds(least, most)}"


def bounds(least: int, most: int) -> str:
    return f"from {least} on" if most == MOST else f"from {least} to {most}"


def unpassable(env: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Name the variables of each service whose value is no text.

    A whole number may come of a template that only a role can read.
    """
    return sorted(
        f"{name} (of type {kind(value)})"
        for given in env.values()
        for name, value in given.items()
        if isinstance(value, bool) or not isinstance(value, int | str)
    )
