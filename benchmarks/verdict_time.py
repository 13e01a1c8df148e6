# SPDX-License-Identifier: Apache-2.0
"""How long does it take to prove who gets the jobs of 1, of 10 and of 50 names?

A real LiveKit server on loopback, light stand-ins as workers, and the project's own way to a verdict: the probes of a
verification, all at the same time, and the decision. Ansible and SSH are left out, they cost the same for any number of
probes of a host. Beside each verdict one raw dispatch is measured, with nothing of this project in it.

A repetition counts only if each directed probe was answered by the right worker id and each verdict is the one planted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ansible.module_utils
from livekit.api import CreateRoomRequest, DeleteRoomRequest, LiveKitAPI, RoomAgentDispatch

from benchmarks.stand_in import ACCEPT, StandIn, running

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT / "module_utils") not in ansible.module_utils.__path__:
    ansible.module_utils.__path__.append(str(ROOT / "module_utils"))

from ansible.module_utils.livekit_deploy.livekit import dispatch
from ansible.module_utils.livekit_deploy.livekit.probe import probe_specs
from ansible.module_utils.livekit_deploy.play import run
from ansible.module_utils.livekit_deploy.play.run import Runs
from ansible.module_utils.livekit_deploy.proof import observations, probes, verdicts
from ansible.module_utils.livekit_deploy.proof.judge import judge

RESULTS = ROOT / "benchmarks" / "results"
NAMES = (1, 10, 50)
FOREIGN_NAMES = 10
REPETITIONS = 3
RATIO_AIM = 1.5
RELEASE = "20260102T030405Z-0a1b2c3d"
RAW_NAME = "bench-raw"
RAW_POLL_SECONDS = 0.02
RAW_DEADLINE_SECONDS = 10.0


# --- what is asked and decided, as a verification does ---------------------------------------------------------------


def host_of(number: int) -> str:
    return f"host-{number:03d}"


def stand_in(number: int) -> StandIn:
    return StandIn(f"bench-{number:03d}", instance=f"{host_of(number)}/{RELEASE}")


def reading(worker: StandIn, at: float) -> dict[str, Any]:
    """What a host's reading of this worker would be."""
    entry = {
        "agent_name": worker.agent_name,
        "worker_id": worker.worker_id,
        "worker_ids": list(worker.worker_ids),
        "instance": worker.instance,
        "release": RELEASE,
        "container": worker.agent_name,
        "container_id": worker.agent_name,
        "running": True,
        "connected": worker.connected,
        "draining": False,
        "requests": list(worker.requests),
    }
    return {
        "time": at,
        "workers": [entry],
        "release": {"id": RELEASE},
        "states": {RELEASE: "serving"},
        "services": {},
        "drift": [],
    }


def hostvars_of(workers: Mapping[str, StandIn], at: float, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The variables of each host after its first reading, and with `before` after its second."""
    first = run.READINGS[0]
    now = {host: reading(worker, at) for host, worker in workers.items()}
    if before is None:
        return {host: {"livekit_agent_name": worker.agent_name, first: now[host]} for host, worker in workers.items()}
    return {host: {**before[host], run.WITNESS: now[host]} for host in workers}


def probes_of(hostvars: Mapping[str, Any]) -> Any:
    hosts = sorted(hostvars)
    asked = probes.through_probes(Runs(hostvars), hosts)
    runs = run.Runs(hostvars)
    asked += [probes.directed(runs[host], runs[host].agent_name(), f"{host}/{RELEASE}") for host in hosts]
    return [{"kind": "probe", "expect": "job", **probe} for probe in asked]


async def decide(url: str, key: str, secret: str, workers: Mapping[str, StandIn]) -> dict[str, Any]:
    """One verification of these names: the seconds, the probes' results, the rows of the report.

    `answered` is when the last probe that any worker took was seen in the server's list; no window is waited for.
    """
    started = time.monotonic()
    before = hostvars_of(workers, time.time())
    specs = probe_specs(probes_of(before), verdicts.WINDOW_SECONDS)
    results = await dispatch.send(url, key, secret, specs)
    after = hostvars_of(workers, time.time(), before)
    rows = judge(observations.observations(Runs(after), sorted(after)), results, preview=False)["report"]
    answered = max(result["latency_seconds"] or 0.0 for result in results.values())
    return {"seconds": time.monotonic() - started, "answered": answered, "results": results, "rows": rows}


def trouble_of(
    answer: Mapping[str, Any], workers: Mapping[str, StandIn], strangers: Mapping[str, StandIn]
) -> list[str]:
    """Why a repetition does not count; empty when it does."""
    trouble = []
    for host, worker in workers.items():
        probe, row = answer["results"].get(f"{host}/directed") or {}, answer["rows"].get(host) or {}
        stranger = strangers.get(worker.agent_name)
        ids = {worker.worker_id, *([stranger.worker_id] if stranger else [])}
        if probe.get("outcome") != "taken" or probe.get("worker_id") not in ids:
            trouble.append(
                f"{host}: the directed probe was answered by {probe.get('worker_id')}, expected {worker.worker_id}"
            )
        wanted, foreign = (verdicts.FOREIGN, [stranger.worker_id]) if stranger else (verdicts.EXCLUSIVE, [])
        if row.get("verdict") != wanted or row["routing"]["foreign"] != foreign:
            trouble.append(
                f"{host}: the verdict is {row.get('verdict')}, expected {wanted} {foreign}: {row.get('reason')}"
            )
    return trouble


# --- measuring -------------------------------------------------------------------------------------------------------


async def raw_dispatch(url: str, key: str, secret: str) -> float:
    """Seconds from asking the server for a room with an agent until its list says which worker has the job."""
    room = f"bench-{uuid.uuid4().hex}"
    async with LiveKitAPI(url, key, secret) as api:
        started = time.monotonic()
        await api.room.create_room(
            CreateRoomRequest(name=room, empty_timeout=30, agents=[RoomAgentDispatch(agent_name=RAW_NAME)])
        )
        while True:
            found = [
                job
                for one in await api.agent_dispatch.list_dispatch(room)
                for job in one.state.jobs
                if job.state.worker_id
            ]
            seconds = time.monotonic() - started
            if found:
                break
            if seconds > RAW_DEADLINE_SECONDS:
                raise SystemExit(
                    f"no worker took a raw dispatch within {RAW_DEADLINE_SECONDS:g} s: nothing can be measured here"
                )
            await asyncio.sleep(RAW_POLL_SECONDS)
        await api.room.delete_room(DeleteRoomRequest(room=room))
    return seconds


async def repeat(
    url: str, key: str, secret: str, workers: Mapping[str, StandIn], strangers: Mapping[str, StandIn], times: int
) -> dict[str, list[float]]:
    """The same names so many times, each with a raw dispatch before it."""
    kept: dict[str, list[float]] = {"raw": [], "answered": [], "seconds": []}
    for _ in range(times):
        kept["raw"].append(await raw_dispatch(url, key, secret))
        answer = await decide(url, key, secret, workers)
        trouble = trouble_of(answer, workers, strangers)
        if trouble:
            raise SystemExit("\n".join(["this repetition does not count, so there is no result:", *trouble]))
        kept["answered"].append(answer["answered"])
        kept["seconds"].append(answer["seconds"])
    return kept


async def measure(
    url: str,
    key: str,
    secret: str,
    names: Sequence[int] = NAMES,
    foreign: int = FOREIGN_NAMES,
    times: int = REPETITIONS,
) -> dict[str, Any]:
    """Every case on one server; all stand-ins are there from the beginning, so that each case finds the same server."""
    workers = {host_of(number): stand_in(number) for number in range(1, max(names) + 1)}
    crowd = [StandIn(RAW_NAME, answer=ACCEPT, joins=False), *workers.values()]
    measured: dict[str, Any] = {"exclusive": {}, "foreign": {}}
    async with running(url, key, secret, crowd):
        # The server's list tells of the first dispatch after a registration late (about 5 s): a wait told as such.
        measured["cold"] = await raw_dispatch(url, key, secret)
        for count in names:
            some = dict(list(workers.items())[:count])
            measured["exclusive"][count] = await repeat(url, key, secret, some, {}, times)
        some = dict(list(workers.items())[:foreign])
        strangers = {worker.agent_name: StandIn(worker.agent_name, answer=ACCEPT) for worker in some.values()}
        async with running(url, key, secret, list(strangers.values())):
            await raw_dispatch(url, key, secret)
            if foreign:
                measured["foreign"][foreign] = await repeat(url, key, secret, some, strangers, times)
    return measured


def run_on_a_server(
    names: Sequence[int] = NAMES, foreign: int = FOREIGN_NAMES, times: int = REPETITIONS
) -> dict[str, Any]:
    """Start a server on loopback, measure, stop it."""
    os.environ["LIVEKIT_SERVER"] = server_binary()
    sys.path.append(str(ROOT / "examples" / "sidekick" / "tests"))
    # It reads LIVEKIT_SERVER, and its folder is on no path of mypy's.
    import real_livekit  # type: ignore[import-not-found]

    with tempfile.TemporaryDirectory() as scratch, real_livekit.livekit_server(Path(scratch)) as url:
        return asyncio.run(measure(url, real_livekit.KEY, real_livekit.SECRET, names, foreign, times))


def server_binary() -> str:
    done = subprocess.run(
        [sys.executable, ROOT / "lab" / "lab.py", "server"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr.strip() or "found no LiveKit server; expected lab/lab.py server to make one")
    return done.stdout.strip()


# --- the result ------------------------------------------------------------------------------------------------------


def case(measured: Mapping[str, list[float]], window: float) -> dict[str, Any]:
    medians = {key: round(statistics.median(values), 3) for key, values in measured.items()}
    return {
        "seconds": [round(value, 3) for value in measured["seconds"]],
        "median_seconds": medians["seconds"],
        "window_seconds": window,
        "beyond_window_seconds": round(medians["seconds"] - window, 3),
        "answered_median_seconds": medians["answered"],
        "raw_seconds": [round(value, 3) for value in measured["raw"]],
        "raw_median_seconds": medians["raw"],
    }


def document_of(
    measured: Mapping[str, Any], date: str, versions: Mapping[str, str], machine: Mapping[str, Any]
) -> dict[str, Any]:
    exclusive = {str(count): case(found, verdicts.WINDOW_SECONDS) for count, found in measured["exclusive"].items()}
    foreign = {str(count): case(found, 0.0) for count, found in measured["foreign"].items()}
    medians = [
        exclusive[str(count)]["median_seconds"] for count in (min(measured["exclusive"]), max(measured["exclusive"]))
    ]
    return {
        "benchmark": "verdict-time",
        "date": date,
        "versions": dict(versions),
        "machine": dict(machine),
        "exclusive": exclusive,
        "foreign": foreign,
        "first_raw_seconds": round(measured["cold"], 3),
        "ratio": {
            "of": f"{max(measured['exclusive'])} names to {min(measured['exclusive'])}",
            "found": round(medians[1] / medians[0], 3),
        },
        "ratio_aim": RATIO_AIM,
    }


def table(document: Mapping[str, Any]) -> list[str]:
    form = "{:<10} {:>5}  {:>8}  {:>13}  {:>11}  {:>13}  {:>12}"
    headings = ("verdict", "names", "median", "search window", "beyond it", "all answered", "raw dispatch")
    lines = [form.format(*headings), "-" * 84]
    for kind in (verdicts.EXCLUSIVE, verdicts.FOREIGN):
        for count, found in document[kind].items():
            keys = (
                "median_seconds",
                "window_seconds",
                "beyond_window_seconds",
                "answered_median_seconds",
                "raw_median_seconds",
            )
            lines.append(form.format(kind, count, *(f"{found[key]:.2f} s" for key in keys)))
    ratio, aim = document["ratio"], document["ratio_aim"]
    repetitions = min(len(found["seconds"]) for found in document["exclusive"].values())
    return [
        *lines,
        "",
        (
            f"Medians of {repetitions}. A foreign worker is known when all is answered; "
            "the rest is the clean-up of the jobs it started."
        ),
        f"The first raw dispatch after workers registered took {document['first_raw_seconds']:.2f} s: list cold.",
        (
            f"{ratio['of']}: {ratio['found']:.2f} times as long; "
            f"the aim is at most {aim:g}: {'met' if ratio['found'] <= aim else 'MISSED'}."
        ),
    ]


def versions() -> dict[str, str]:
    said = subprocess.run([server_binary(), "--version"], capture_output=True, text=True, check=True).stdout
    packages = {name: version(name) for name in ("livekit-api", "livekit-protocol", "aiohttp")}
    return {"livekit-server": said.split()[-1], **packages, "python": platform.python_version()}


def machine() -> dict[str, Any]:
    """What a reader needs to judge the figures, and nothing that tells which machine it is."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory),
        "system": platform.system(),
        "architecture": platform.machine(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.verdict_time", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--names", type=int, nargs="+", default=list(NAMES), help="numbers of names (default: %(default)s)"
    )
    parser.add_argument(
        "--foreign", type=int, default=FOREIGN_NAMES, help="names with a foreign worker each (default: %(default)s)"
    )
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="of each case (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, help="where the JSON goes (default: benchmarks/results/verdict-time-<date>.json)"
    )
    given = parser.parse_args()
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    measured = run_on_a_server(given.names, given.foreign, given.repetitions)
    document = document_of(measured, date, versions(), machine())
    path = given.output or RESULTS / f"verdict-time-{date}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")
    print("\n".join([*table(document), "", f"Written: {os.path.relpath(path)}"]))
    if document["ratio"]["found"] > RATIO_AIM:
        sys.exit(1)


if __name__ == "__main__":
    main()
