# SPDX-License-Identifier: Apache-2.0
"""The benchmark and its stand-ins on a real LiveKit server: small, so it stays true until somebody runs the whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import real_livekit  # type: ignore[import-not-found]
from ansible.module_utils.livekit_deploy.livekit.probe import ProbeResult

from benchmarks import verdict_time
from benchmarks.stand_in import StandIn, in_thread, running

pytestmark = pytest.mark.real
KEY, SECRET = real_livekit.KEY, real_livekit.SECRET


TRAPS = {
    "accepts": (StandIn("accepts", answer="accept"), "taken"),
    "rejects": (StandIn("rejects", answer="reject"), "taken"),
    "hook": (StandIn("hook", instance="a/r1"), "nobody"),
    "passes": (StandIn("passes", answer="pass"), "nobody"),
    "silent": (StandIn("silent", answer="silent"), "nobody"),
    "slow": (StandIn("slow", answer="accept", answer_after=3.1), "nobody"),
    "full": (StandIn("full", answer="accept", full=True), "nobody"),
    "loaded": (StandIn("loaded", answer="accept", load=0.9), "nobody"),
    "label": (StandIn("label", answer="accept", deployment="other"), "nobody"),
    "job-type": (StandIn("job-type", answer="accept", job_type="publisher"), "nobody"),
}


@dataclass
class Seen:
    """What both servers showed; the two measurements run at the same time because each waits for a search window."""

    measured: dict[str, Any]
    probes: dict[str, ProbeResult]
    flapping: StandIn


async def see(quiet: str, trapped: str) -> Seen:
    flapping = StandIn("flapping", reconnect_every=2.0)

    async def probe_traps() -> dict[str, ProbeResult]:
        async with running(trapped, KEY, SECRET, [flapping, *(worker for worker, _ in TRAPS.values())]):
            await asyncio.sleep(1.0)  # the server takes a load that was told a moment ago for the one before
            common = {"kind": "probe", "mode": "pass", "expect": "job", "instances": ["a/r1"]}
            asked: list[Any] = [{"id": n, "agent_name": n, **common} for n in TRAPS]
            return dict(await verdict_time.dispatch.send(trapped, KEY, SECRET, verdict_time.probe_specs(asked, 10.0)))

    measuring = verdict_time.measure(quiet, KEY, SECRET, names=(3,), foreign=3, times=1)
    measured, probes = await asyncio.gather(measuring, probe_traps())
    return Seen(measured, probes, flapping)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("servers")
    (folder / "one").mkdir()
    (folder / "two").mkdir()
    with real_livekit.livekit_server(folder / "one") as quiet, real_livekit.livekit_server(folder / "two") as trapped:
        with in_thread(quiet, KEY, SECRET, [StandIn("from-a-thread")]) as (worker,):
            assert worker.worker_id
        yield asyncio.run(see(quiet, trapped))


def test_three_names_are_exclusive_right_after_the_search_window(seen: Seen) -> None:
    (seconds,) = seen.measured["exclusive"][3]["seconds"]
    assert 10.0 <= seconds < 12.0


def test_three_foreign_workers_are_named_without_waiting_for_the_window(seen: Seen) -> None:
    (seconds,) = seen.measured["foreign"][3]["seconds"]
    assert seconds < 9.0


@pytest.mark.parametrize("name", TRAPS)
def test_the_server_treats_a_stand_in_as_the_worker_it_stands_for(seen: Seen, name: str) -> None:
    worker, expected = TRAPS[name]
    probe = seen.probes[name]
    assert probe["outcome"] == expected, probe["reason"]
    assert probe["worker_id"] == (worker.worker_id if expected == "taken" else None)


def test_a_stand_in_that_reconnects_has_a_new_id_each_time(seen: Seen) -> None:
    assert len(set(seen.flapping.worker_ids)) >= 4


@pytest.mark.parametrize(
    ("name", "answers"), [("hook", ["pass"]), ("slow", ["accept"]), ("silent", ["silent"]), ("full", []), ("label", [])]
)
def test_a_stand_in_keeps_what_it_was_asked(seen: Seen, name: str, answers: list[str]) -> None:
    assert [(request["room"], request["answer"]) for request in TRAPS[name][0].requests] == [
        (seen.probes[name]["room"], answer) for answer in answers
    ]
