# SPDX-License-Identifier: Apache-2.0
"""Probes of a LiveKit server, any number at the same time: who takes a dispatch to this agent name?"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from . import client
from .client import Connection, RoomAgent
from .errors import LiveKitError
from .preview_request import ask_application
from .probe import Probe, ProbeSpec, Results, SentProbe, Specs, blank_result
from .watch import find_dispatch, presence, watch, watch_dispatch


async def run_probe(connection: Connection, probe: Probe) -> None:
    """Send one dispatch, or the same again while a worker without the hook takes it, once also when nobody does.

    The result is the last one's.
    """
    await asyncio.sleep(probe.spec.start_after)
    await try_once(connection, probe)
    refused = 0
    for _ in range(probe.spec.tries - 1):
        # An application that dispatches to another name does so again.
        outcome, status = probe.result["outcome"], probe.result["status"]
        refused += outcome == "nobody" and probe.result["agent_name"] == probe.spec.agent_name
        # Only the wanted worker answers without a job; any other of the name takes the job for a real one.
        # A worker that was busy for a moment, as at its start, refuses one dispatch and takes the next.
        astray = probe.spec.kind == "probe" and outcome == "taken" and status != "JS_SUCCESS"
        if not astray and not (outcome == "nobody" and refused == 1):
            return
        probe.again()
        await try_once(connection, probe)


# Of the dispatches of a turn so many may stay without a job: a name that nobody serves is not asked a dozen times.
UNANSWERED = 2


async def run_in_turn(connection: Connection, probes: Sequence[Probe]) -> None:
    """Send each when the one before has ended, so that a worker has one job at a time; another's answer ends it."""
    unanswered = 0
    for probe in probes:
        await run_probe(connection, probe)
        taker, own = probe.result["worker_id"], probe.spec.own_ids
        unanswered += probe.result["outcome"] != "taken"
        if (own and taker and taker not in own) or unanswered == UNANSWERED:
            return


def in_turns(probes: Sequence[Probe]) -> list[list[Probe]]:
    """Return what is sent at the same time: single probes, and those of a turn together."""
    turns: dict[str, list[Probe]] = {}
    for number, probe in enumerate(probes):
        turns.setdefault(f"turn {probe.spec.turn}" if probe.spec.turn else str(number), []).append(probe)
    return list(turns.values())


async def try_once(connection: Connection, probe: Probe, *, sent: bool = False) -> None:
    """Send one dispatch, unless it is sent already, see what becomes of it, leave nothing behind."""
    started, probe.begun = time.monotonic(), True
    try:
        if not sent:
            await (ask_application if probe.spec.kind == "preview" else create)(connection, probe)
        await (watch_dispatch if probe.spec.expect == "dispatch" else watch)(connection, probe)
    except LiveKitError as failure:
        probe.fail(str(failure), failure.kind)
    except Exception as error:  # one probe never fails the others
        probe.fail(f"unexpected {type(error).__name__}: {error}", "unexpected")
    finally:
        probe.result["seconds"] = round(time.monotonic() - started, 3)
        await clean_up(connection, probe)


async def create(connection: Connection, probe: Probe) -> None:
    spec = probe.spec
    probe.may_exist = True
    agent = RoomAgent(spec.agent_name, spec.metadata, spec.deployment)
    await connection.create_room(spec.room, spec.empty_timeout, agent)
    probe.created = time.monotonic()


async def clean_up(connection: Connection, probe: Probe) -> None:
    """End the dispatch, then the job where one runs, then the room. What fails here the server's time-out removes."""
    if not probe.may_exist:
        return
    with suppress(LiveKitError):
        await end_job(connection, probe)
    with suppress(LiveKitError):
        await connection.delete_room(probe.room)


async def end_job(connection: Connection, probe: Probe) -> None:
    """End the dispatch and let a running agent leave: one that joins after the room's end makes the room again."""
    result, room, identity = probe.result, probe.room, probe.identity
    running = bool(identity) and result["status"] != "JS_SUCCESS"
    seen = bool(result["in_room"])
    # Ended while it starts, a worker logs errors.
    if running and (probe.spec.kind == "plain" or probe.spec.expect == "dispatch"):
        seen = await presence(connection, room, identity, True)
    await end_dispatch(connection, probe)
    if running and (seen or await presence(connection, room, identity, True)):
        await presence(connection, room, identity, False)


async def end_dispatch(connection: Connection, probe: Probe) -> None:
    result = probe.result
    if not result["dispatch_id"] and result["error_kind"] is None:
        found = find_dispatch(await connection.list_dispatch(probe.room), result["agent_name"] or "")
        result["dispatch_id"] = found["id"] if found else None
    if result["dispatch_id"]:
        await connection.delete_dispatch(probe.room, result["dispatch_id"])


# What is sent by one call and looked for by another needs nobody who waits between them. The server removes a room with
# nobody or only an agent in it so long after its creation. A probe whose answer is asked for later is sent again.
KEPT_SECONDS = 60.0
SENT = ("id", "kind", "expect", "agent_name", "nonce", "metadata", "deployment", "window", "deadline", "keep")


async def leave(url: str, key: str, secret: str, specs: Specs, timeout_seconds: float = 5.0) -> list[SentProbe]:
    """Send all and wait for none. Return what ``collect`` needs of each."""
    probes = [Probe(replace(spec, keep=KEPT_SECONDS), blank_result(spec), [0]) for spec in specs]
    async with client.connect(url, key, secret, timeout_seconds) as connection:
        await asyncio.gather(*(begin(connection, probe) for probe in probes))
    return [sent_probe(probe) for probe in probes]


def sent_probe(probe: Probe) -> SentProbe:
    sent: Any = {**{name: getattr(probe.spec, name) for name in SENT}, "created": probe.created}
    return sent


async def begin(connection: Connection, probe: Probe) -> None:
    """Create the room. Where that fails the time of its creation stays 0, and ``collect`` sends the probe again."""
    with suppress(LiveKitError):
        await create(connection, probe)


async def collect(url: str, key: str, secret: str, sent: list[SentProbe], timeout_seconds: float = 5.0) -> Results:
    """Return what became of the probes that were left, by id. Waits for what is left of each one's window."""
    crowd = [0]
    probes = [left_probe(one, crowd) for one in sent]
    async with client.connect(url, key, secret, timeout_seconds) as connection:
        await asyncio.gather(*(look_again(connection, probe) for probe in probes), return_exceptions=True)
    return {probe.spec.id: probe.result for probe in probes}


def left_probe(sent: SentProbe, crowd: list[int]) -> Probe:
    given: Any = sent
    spec = ProbeSpec(**{name: given[name] for name in SENT})
    created = float(sent["created"])
    probe = Probe(spec, blank_result(spec), crowd)
    if created and 0.0 <= time.monotonic() - created < KEPT_SECONDS:
        probe.created, probe.may_exist = created, True
    return probe


async def look_again(connection: Connection, probe: Probe) -> None:
    if not probe.may_exist:
        probe.again()
        await try_once(connection, probe)
        return
    await try_once(connection, probe, sent=True)


async def send(url: str, key: str, secret: str, specs: Specs, timeout_seconds: float = 5.0) -> Results:
    """Send all probes at the same time, and return the results by id."""
    crowd = [0]
    probes = [Probe(spec, blank_result(spec), crowd) for spec in specs]
    async with client.connect(url, key, secret, timeout_seconds) as connection:
        # return_exceptions: when cancelled, wait for the clean-up of every probe
        turns = (run_in_turn(connection, together) for together in in_turns(probes))
        task = asyncio.gather(*turns, return_exceptions=True)
        with suppress(NotImplementedError, ValueError, RuntimeError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        await task
    return {probe.spec.id: probe.result for probe in probes if probe.begun or not probe.spec.turn}
