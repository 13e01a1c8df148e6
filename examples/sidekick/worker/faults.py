"""FOR TESTS OF DEPLOYMENTS ONLY: one known way to be broken, chosen by SIDEKICK_FAULT.

A deployment must find each of these, so the worker can show them on demand. Not set, as in every
real use, this module changes nothing.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Coroutine, MutableMapping
from enum import Enum
from typing import Any

HARDCODED_NAME = "hardcoded-by-fault"
CLOSED_PORT_URL = "ws://127.0.0.1:1"
SLOW_REQUEST_SECONDS = 2.9  # the server gives up at about 2.8
FLAP_SECONDS = 3.0


class Fault(Enum):
    """The faults, by the value of SIDEKICK_FAULT."""

    NONE = ""
    CRASHES = "crashes"
    """Ends with an error before it has logged anything."""
    HANGS = "hangs"
    """Runs, and neither logs nor does anything; only SIGKILL ends it."""
    FLAPS = "flaps"
    """Registers, and ends soon after each time."""
    ENTRYPOINT_RAISES = "entrypoint_raises"
    """Takes each job and fails before it is in the room."""
    HARDCODED_NAME = "hardcoded_name"
    """A name in the code, which beats LIVEKIT_AGENT_NAME."""
    NEVER_REGISTERS = "never_registers"
    """Runs, tries to connect and never reaches a server."""
    SLOW_REQUEST = "slow_request"
    """Answers each job request, probes too, when the server no longer listens."""


def apply_to_environment(fault: Fault, env: MutableMapping[str, str]) -> None:
    """Make a worker that must never register look for a server where none is.

    In this process only: the start command prefers LIVEKIT_URL to what the code says.
    """
    if fault is Fault.NEVER_REGISTERS:
        env["LIVEKIT_URL"] = CLOSED_PORT_URL


def at_start(fault: Fault) -> None:
    """Never get as far as a worker, if it is to crash or to hang."""
    if fault is Fault.CRASHES:
        raise SystemExit(f"SIDEKICK_FAULT={fault.value}")
    while fault is Fault.HANGS:
        time.sleep(3600)


def at_registration(fault: Fault) -> None:
    """End this process soon, if it is to flap. At once, as with too much memory: no signal, nothing drained."""
    if fault is Fault.FLAPS:
        threading.Timer(FLAP_SECONDS, os._exit, [1]).start()


def agent_name(fault: Fault) -> str:
    """Return the name in the code: "" lets LIVEKIT_AGENT_NAME take effect."""
    return HARDCODED_NAME if fault is Fault.HARDCODED_NAME else ""


def slow_down[R](
    fault: Fault, on_request: Callable[[R], Coroutine[Any, Any, None]]
) -> Callable[[R], Coroutine[Any, Any, None]]:
    """Return the handler itself, or one that answers too late."""
    if fault is not Fault.SLOW_REQUEST:
        return on_request

    async def late(request: R) -> None:
        await asyncio.sleep(SLOW_REQUEST_SECONDS)
        await on_request(request)

    return late


def raise_in_entrypoint(fault: Fault) -> None:
    """Raise if the entrypoint is to fail."""
    if fault is Fault.ENTRYPOINT_RAISES:
        raise RuntimeError("SIDEKICK_FAULT=entrypoint_raises")
