"""How the worker runs, from the environment: pure, so that it is tested without LiveKit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def server_options(env: Mapping[str, str]) -> dict[str, Any]:
    """Return the keyword arguments of ``AgentServer``.

    What is not set keeps the default of livekit-agents, except the idle processes: one for each
    CPU is too much memory for an example.
    """
    options: dict[str, Any] = {"num_idle_processes": int(env.get("SIDEKICK_IDLE_PROCESSES") or 1)}
    if load := env.get("SIDEKICK_LOAD"):
        options["load_fnc"] = fixed_load(float(load))
    if threshold := env.get("SIDEKICK_LOAD_THRESHOLD"):
        options["load_threshold"] = float(threshold)  # "inf": never full
    if seconds := env.get("SIDEKICK_DRAIN_TIMEOUT_SECONDS"):
        options["drain_timeout"] = int(seconds)
    if port := env.get("SIDEKICK_HTTP_PORT"):
        options["port"] = int(port)  # livekit-agents: 8081; a port in use ends the worker with exit code 0
    return options


def fixed_load(load: float) -> Callable[[], float]:
    """Return a load function that always reports the same load (0 to 1)."""
    return lambda: load
