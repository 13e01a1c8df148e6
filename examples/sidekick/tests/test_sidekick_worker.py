"""The worker's options and faults, without LiveKit."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import threading
import time
from pathlib import Path

import faults
import options
import pytest
from faults import Fault


def test_nothing_set_changes_the_idle_processes_only() -> None:
    assert options.server_options({}) == {"num_idle_processes": 1}


@pytest.mark.parametrize(
    ("variable", "text", "option", "value"),
    [
        ("SIDEKICK_IDLE_PROCESSES", "0", "num_idle_processes", 0),
        ("SIDEKICK_LOAD_THRESHOLD", "inf", "load_threshold", math.inf),
        ("SIDEKICK_LOAD_THRESHOLD", "0.5", "load_threshold", 0.5),
        ("SIDEKICK_DRAIN_TIMEOUT_SECONDS", "120", "drain_timeout", 120),
        ("SIDEKICK_HTTP_PORT", "18081", "port", 18081),
    ],
)
def test_the_environment_sets_an_option(variable: str, text: str, option: str, value: float) -> None:
    assert options.server_options({variable: text})[option] == value


@pytest.mark.parametrize("load", [0.0, 0.9])
def test_a_fixed_load_is_reported(load: float) -> None:
    assert options.server_options({"SIDEKICK_LOAD": str(load)})["load_fnc"]() == load


@pytest.mark.parametrize("variable", ["SIDEKICK_LOAD", "SIDEKICK_LOAD_THRESHOLD", "SIDEKICK_DRAIN_TIMEOUT_SECONDS"])
def test_an_empty_value_is_the_default(variable: str) -> None:
    assert options.server_options({variable: ""}) == {"num_idle_processes": 1}


def test_a_load_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="much"):
        options.server_options({"SIDEKICK_LOAD": "much"})


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="entrypoint_rises"):
        Fault("entrypoint_rises")


def test_no_fault_changes_nothing() -> None:
    environment = {"LIVEKIT_URL": "ws://127.0.0.1:7880"}
    faults.apply_to_environment(Fault.NONE, environment)
    faults.raise_in_entrypoint(Fault.NONE)
    faults.at_start(Fault.NONE)
    threads = threading.active_count()
    faults.at_registration(Fault.NONE)
    assert threading.active_count() == threads
    assert environment == {"LIVEKIT_URL": "ws://127.0.0.1:7880"}
    assert faults.agent_name(Fault.NONE) == ""
    assert faults.slow_down(Fault.NONE, asyncio.sleep) is asyncio.sleep


def process(call: str, seconds: float) -> subprocess.CompletedProcess[str]:
    """One fault in a process of its own, which it may end or keep."""
    code = f"import faults, time; faults.FLAP_SECONDS = 0.1; {call}; time.sleep(20)"
    folder = Path(faults.__file__).parent
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=seconds, check=False
    )


def test_crashes() -> None:
    done = process("faults.at_start(faults.Fault.CRASHES)", 10)
    assert (done.returncode, done.stderr.strip()) == (1, "SIDEKICK_FAULT=crashes")


def test_hangs() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        process("faults.at_start(faults.Fault.HANGS); raise SystemExit", 1)


def test_flaps() -> None:
    assert process("faults.at_registration(faults.Fault.FLAPS)", 10).returncode == 1


def test_entrypoint_raises() -> None:
    with pytest.raises(RuntimeError, match="entrypoint_raises"):
        faults.raise_in_entrypoint(Fault.ENTRYPOINT_RAISES)


def test_hardcoded_name() -> None:
    assert faults.agent_name(Fault.HARDCODED_NAME) == faults.HARDCODED_NAME


def test_never_registers() -> None:
    environment = {"LIVEKIT_URL": "ws://127.0.0.1:7880"}
    faults.apply_to_environment(Fault.NEVER_REGISTERS, environment)
    assert environment == {"LIVEKIT_URL": faults.CLOSED_PORT_URL}


def test_slow_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "SLOW_REQUEST_SECONDS", 0.05)
    answered: list[float] = []

    async def answer(started: float) -> None:
        answered.append(time.monotonic() - started)

    asyncio.run(faults.slow_down(Fault.SLOW_REQUEST, answer)(time.monotonic()))
    assert answered[0] >= 0.05
