# SPDX-License-Identifier: Apache-2.0
"""What a worker answers on its own port. Whatever has the port may have written it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

from ..common.text import one_line, parsed_object
from ..machine import web
from .types import OwnAnswer


def ask_worker(where: tuple[str, int] | None, timeout: float = 1.0) -> OwnAnswer:
    """Ask a running worker for ``GET /worker``; empty without an answer.

    A field that is not what a worker says there is None.
    """
    if not where:
        return {}
    answer = web.ask(where[0], where[1], "/worker", timeout)
    return sound(parsed_object(answer.body)) if answer.status == 200 else {}


def sound(answer: Mapping[str, object]) -> OwnAnswer:
    """Return an answer of which figures are figures and names are texts: whatever has the port may have written it."""
    known: dict[str, Callable[[Any], Any]] = {
        **dict.fromkeys(("worker_load", "active_jobs"), figure),
        **dict.fromkeys(("agent_name", "sdk_version", "project_type"), one_line),
    }
    return cast(OwnAnswer, {key: known[key](value) for key, value in answer.items() if key in known})


def figure(value: Any) -> float | None:
    """Return a number that is one; JSON also knows ``1e999``, and Python reads ``NaN``."""
    try:
        found = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def active_jobs(answer: OwnAnswer) -> int | None:
    """Return how many calls a worker says that it has; None where it does not say."""
    jobs = answer.get("active_jobs", 0.0) if answer else None
    return None if jobs is None else int(jobs)


def answered_load(answer: OwnAnswer) -> float | None:
    """Return the load that a worker answers with; None where it does not answer. A Node worker has none."""
    if "worker_load" in answer:
        return answer["worker_load"]
    return 0.0 if answer and "project_type" not in answer else None
