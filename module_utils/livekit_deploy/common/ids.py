# SPDX-License-Identifier: Apache-2.0
"""The ids that a LiveKit server makes: a prefix and twelve letters and digits (server 1.13.5; Cloud has a prefix of its
own).

They are read from logs that anybody on a host may write, and are printed in commands. So nothing else passes as an id.
"""

from __future__ import annotations

import re
from typing import Any

LENGTH = "{1,32}"
WORKER = re.compile(rf"C?AW_[A-Za-z0-9]{LENGTH}")
JOB = re.compile(rf"AJ_[A-Za-z0-9]{LENGTH}")
DISPATCH = re.compile(rf"AD_[A-Za-z0-9]{LENGTH}")


def valid(pattern: re.Pattern[str], value: Any) -> str | None:
    """Return the id, None for anything that a LiveKit server does not make."""
    return value if isinstance(value, str) and pattern.fullmatch(value) else None


def worker(value: Any) -> str | None:
    return valid(WORKER, value)


def job(value: Any) -> str | None:
    return valid(JOB, value)


def dispatch(value: Any) -> str | None:
    return valid(DISPATCH, value)
