# SPDX-License-Identifier: Apache-2.0
"""Whether the worker of a new release is registered as wanted, and what keeps it from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..common.times import epoch
from . import failed_start, log_words
from .types import WorkerReading

PYTHON_NAME = (
    "Remove the name from the worker's code (it beats LIVEKIT_AGENT_NAME), or use livekit-agents 1.5.7 or newer"
)
NODE_NAME = (
    "Remove agentName from the ServerOptions of the worker's code (it beats LIVEKIT_AGENT_NAME), or use an "
    "@livekit/agents that reads that variable (1.9.0 does)"
)


def unreadable(found: Mapping[str, object]) -> str:
    """Say what is wrong with a log that mentions a registration without its id."""
    return (
        f"the worker's log mentions a registration in which its id cannot be read ({found['unnamed']!r}), expected the "
        f"line {log_words.REGISTERED!r} with its fields. Start it with `start`, and let its loggers write the fields "
        "of livekit-agents: without logging.basicConfig or another formatter before it, or with one that writes them "
        "as JSON or key=value (docs/your-application.md)"
    )


class Trouble(NamedTuple):
    """Why a worker is not registered as wanted; ``final`` when waiting cannot help."""

    text: str
    final: bool


def registration_trouble(workers: Sequence[WorkerReading], expected: str) -> Trouble | None:
    """Return what keeps the one worker of a new release from being registered under ``expected``; None when it is."""
    if len(workers) != 1:
        return Trouble(f"found {len(workers)} worker containers in the project, expected 1", final=False)
    found = workers[0]
    return unstarted(found, expected) or unregistered(found, expected) or misnamed(found, expected)


def last_words(found: WorkerReading) -> str:
    last = f"Its last lines: {' | '.join(found['last_lines'])}" if found["last_lines"] else "It has logged nothing"
    what_to_set = failed_start.start_remedy(found["last_lines"], "livekit_agent")
    return f"{what_to_set}. {last}" if what_to_set else last


def unstarted(found: WorkerReading, expected: str) -> Trouble | None:
    if found["running"] and not found["restarts"]:
        return None
    # Exit status 0 is no success: a worker ends with it when its key is refused or its retries are used up.
    ended = f"found: the worker ended (exit status {found['exit_code']}, restarts {found['restarts']})"
    return Trouble(f"{ended}, expected it to run and register as {expected}. {last_words(found)}", final=True)


def unregistered(found: WorkerReading, expected: str) -> Trouble | None:
    if not found["worker_id"] and found.get("unnamed"):
        return Trouble(f"found: {unreadable(found)}", final=False)
    if not found["worker_id"]:
        text = f"found: the worker runs but has not registered, expected it as {expected}. {last_words(found)}"
        return Trouble(text, final=False)
    if (epoch(found.get("registered_since")) or math.inf) < (epoch(found.get("started_at")) or 0.0):
        # The log of a container that was stopped and started again still has the registration before.
        text = f"found: the worker was started and has not registered since, expected it as {expected}"
        return Trouble(text, final=False)
    return None


def misnamed(found: WorkerReading, expected: str) -> Trouble | None:
    if found["agent_name"] != expected:
        remedy = NODE_NAME if found.get("sdk") == "node" else PYTHON_NAME
        # Where the log has no name it may still answer with it.
        final = found["agent_name"] is not None
        text = f"found: the worker registered as {found['agent_name']!r}, expected {expected!r}. {remedy}"
        return Trouble(text, final=final)
    if not found["connected"]:
        text = f"found: the worker lost its connection after it registered, expected it to stay. {last_words(found)}"
        return Trouble(text, final=False)
    return None
