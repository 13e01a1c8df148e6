# SPDX-License-Identifier: Apache-2.0
"""How long does a release take, beside what it takes at least?

The lower bound is a hand-made compose project of the same images and hosts, changed by `docker compose pull && up -d`
over SSH, all hosts at the same time: the old containers end, the new ones start, the workers register. It proves
nothing and loses calls. Ours is `deploy.yml`, on 1, 2 and 3 hosts, and once more with nothing to change. What a run
waited for LiveKit (the search window in which the server asks other workers, its list while it is cold) is told apart:
it is the same for any number of hosts. Beside it is the floor: a playbook with as many calls of a module that does
nothing, on the same hosts and the controller.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.verdict_time import RESULTS, machine, versions
from tests.e2e.harness import ROOT, Lab, Machine, Run, lab_command, open_lab

HOSTS = (1, 2, 3)
REPETITIONS = 1
RATIO_AIM = 1.5
UNCHANGED_AIM_SECONDS = 5.0
RUNS = ("release", "unchanged")
FOLDER, PROJECT, PORT = "/srv/bench-bare", "bench-bare", 18191
REGISTERED = (
    "c=$(docker compose ps -q agent-worker); t=$(docker inspect -f '{{.State.StartedAt}}' $c); "
    "until docker logs --since $t $c 2>&1 | grep -qF '\"registered worker\"'; do sleep 0.1; done"
)
# These run in ansible-playbook itself and call no module.
NO_CALLS = {"include_tasks", "fail", "assert", "set_fact"}


# --- the lower bound -------------------------------------------------------------------------------------------------


def bare(host: Machine) -> None:
    """Start a hand-made project of what serves on the host, beside it, under a name of its own."""
    edit = f"sed -i 's/^name: .*/name: {PROJECT}/; s/127.0.0.1:[0-9]*:/127.0.0.1:{PORT}:/; /pull_policy/d' compose.yml"
    rename = f"sed -i 's/^\\(LIVEKIT_\\)\\?AGENT_NAME=.*/\\1AGENT_NAME={PROJECT}-{host.name}/' *.env"
    host.sh(
        f"set -e; umask 077; cp -rL /opt/sidekick/current/. {FOLDER}; cd {FOLDER}; {edit}; {rename}; "
        f"docker compose up -d; {REGISTERED}"
    )


def change_bare(host: Machine, number: int) -> None:
    edit = f"sed -i 's/^LIVEKIT_DEPLOY_INSTANCE=.*/LIVEKIT_DEPLOY_INSTANCE=bare-{number}/' *.env"
    host.sh(f"set -e; cd {FOLDER}; {edit}; docker compose pull --quiet; docker compose up -d; {REGISTERED}")


def remove_bare(host: Machine) -> None:
    host.sh(f"cd {FOLDER} 2>/dev/null || exit 0; docker compose down --timeout 5; rm -r {FOLDER}")


def together(work: Callable[[Machine], object], hosts: Sequence[Machine]) -> float:
    """Seconds until it is done on all of them."""
    started = time.monotonic()
    with ThreadPoolExecutor(len(hosts)) as pool:
        list(pool.map(work, hosts))
    return time.monotonic() - started


def bound(hosts: Sequence[Machine], number: int) -> float:
    try:
        together(bare, hosts)
        return together(lambda host: change_bare(host, number), hosts)
    finally:
        together(remove_bare, hosts)


# --- ours ------------------------------------------------------------------------------------------------------------


def deploy(lab: Lab, hosts: Sequence[Machine], number: int) -> tuple[Run, float]:
    started = time.monotonic()
    run = lab.play(
        "deploy.yml", limit=":".join(h.name for h in hosts), extra_vars={"livekit_agent_memory": f"{1500 + number}m"}
    )
    if run.rc:
        raise SystemExit(f"{run.stdout}\ndeploy.yml failed, so there is no result")
    return run, time.monotonic() - started


def calls_of(run: Run) -> dict[str, int]:
    """How often a module ran on the host with most of them, and on the controller."""
    ran = Counter(result.host for result in run.results if result.action.rpartition(".")[2] not in NO_CALLS)
    controller = ran.pop("localhost", 0)
    return {"host": max(ran.values()), "controller": controller}


def idle_play(calls: Mapping[str, int]) -> list[dict[str, Any]]:
    """A playbook with as many calls of a module that does nothing."""
    on_hosts = {"name": "Do nothing on each host", "ansible.builtin.ping": {}}
    on_controller = {**on_hosts, "name": "Do nothing", "run_once": True, "delegate_to": "localhost", "become": False}
    tasks = [on_hosts] * calls["host"] + [on_controller] * calls["controller"]
    return [{"name": "Call modules", "hosts": "agent_hosts", "become": True, "tasks": tasks}]


def floor(lab: Lab, hosts: Sequence[Machine], calls: Mapping[str, int]) -> float:
    """Seconds of ansible-playbook for so many calls."""
    playbook = lab.scratch / "idle.yml"
    playbook.write_text(json.dumps(idle_play(calls)))
    started = time.monotonic()
    run = lab.play(str(playbook), limit=":".join(host.name for host in hosts))
    if run.rc or calls_of(run) != calls:
        raise SystemExit(f"{run.stdout}\nfound other calls than {dict(calls)}, so there is no result")
    return time.monotonic() - started


def for_livekit(run: Run, one_call: bool) -> dict[str, float]:
    """What the run waited for LiveKit, each kind once.
    Where all was asked in one call, a cold list was waited for within the window."""
    waits = {what: run.seconds(what) for what in ("search window", "dispatch list cold")}
    return {"search window": max(waits.values())} if one_call else waits


def measured(lab: Lab, hosts: Sequence[Machine], number: int) -> dict[str, Any]:
    """One repetition with these hosts."""
    lowest = bound(hosts, number)
    changed, seconds = deploy(lab, hosts, number)
    if set(changed.changed) < {host.name for host in hosts}:
        raise SystemExit(f"found a release on {sorted(changed.changed)} only, so there is no result")
    unchanged, unchanged_seconds = deploy(lab, hosts, number)
    if unchanged.changed:
        raise SystemExit(
            f"found changes on {sorted(unchanged.changed)} where nothing was to change, so there is no result"
        )
    calls = {"release": calls_of(changed), "unchanged": calls_of(unchanged)}
    return {
        "bound_seconds": lowest,
        "release_seconds": seconds,
        "release_waits": for_livekit(changed, one_call=False),
        "unchanged_seconds": unchanged_seconds,
        "unchanged_waits": for_livekit(unchanged, one_call=True),
        **{f"{what}_calls": found for what, found in calls.items()},
        **{f"{what}_floor_seconds": floor(lab, hosts, found) for what, found in calls.items()},
    }


def run_on_the_lab(counts: Sequence[int], times: int) -> dict[int, list[dict[str, Any]]]:
    with tempfile.TemporaryDirectory() as scratch:
        lab = open_lab(Path(scratch))
        if max(counts) > len(lab.machines):
            lab_command("up", "--hosts", str(max(counts)))
            lab = replace(lab, document=json.loads((ROOT / "build/lab.json").read_text()))
        try:
            for playbook in ("playbooks/provision.yml", "deploy.yml"):
                run = lab.play(playbook)
                if run.rc:
                    raise SystemExit(f"{run.stdout}\n{playbook} failed, so there is no result")
            return {n: [measured(lab, lab.machines[:n], 10 * n + turn) for turn in range(times)] for n in counts}
        finally:
            lab_command("up", "--hosts", "2")


# --- the result ------------------------------------------------------------------------------------------------------


def beyond(rows: Iterable[Mapping[str, Any]], what: str) -> float:
    """The median of what a run took beside its waits for LiveKit."""
    return statistics.median(row[f"{what}_seconds"] - sum(row[f"{what}_waits"].values()) for row in rows)


def rounded(found: Any) -> Any:
    if isinstance(found, dict):
        return {key: rounded(value) for key, value in found.items()}
    return round(found, 1)


def case(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    lowest, ours = statistics.median(row["bound_seconds"] for row in rows), beyond(rows, "release")
    return {
        "runs": [rounded(row) for row in rows],
        "bound_seconds": round(lowest, 1),
        "release_beyond_waits_seconds": round(ours, 1),
        "unchanged_beyond_waits_seconds": round(beyond(rows, "unchanged"), 1),
        **{
            f"{what}_floor_seconds": round(statistics.median(row[f"{what}_floor_seconds"] for row in rows), 1)
            for what in RUNS
        },
        "ratio": round(ours / lowest, 2),
    }


def document_of(
    found: Mapping[int, Sequence[Mapping[str, Any]]], date: str, used: Mapping[str, str], where: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "benchmark": "release-time",
        "date": date,
        "versions": dict(used),
        "machine": dict(where),
        "hosts": {str(count): case(rows) for count, rows in found.items()},
        "ratio_aim": RATIO_AIM,
        "unchanged_aim_seconds": UNCHANGED_AIM_SECONDS,
    }


def missed(document: Mapping[str, Any]) -> list[str]:
    """The aims that were not met, in words."""
    hosts = document["hosts"].items()
    slow = [
        f"{n} hosts: {one['ratio']} times the bound, aim {RATIO_AIM:g}" for n, one in hosts if one["ratio"] > RATIO_AIM
    ]
    unchanged = [(n, one["unchanged_beyond_waits_seconds"]) for n, one in hosts]
    return slow + [
        f"{n} hosts unchanged: {s} s, aim {UNCHANGED_AIM_SECONDS:g}" for n, s in unchanged if s > UNCHANGED_AIM_SECONDS
    ]


def table(document: Mapping[str, Any]) -> list[str]:
    """``bare``, ``release`` and ``nothing to change`` in seconds: all, without what LiveKit lets wait, and of calls
    that do nothing."""
    form = "{:>5}  {:>6}  {:>8}  {:>10}  {:>10}  {:>5}  {:>18}  {:>10}  {:>10}"
    heads = (
        "hosts",
        "bare",
        "release",
        "w/o waits",
        "idle calls",
        "ratio",
        "nothing to change",
        "w/o waits",
        "idle calls",
    )
    lines = [form.format(*heads), "-" * 100]
    for count, one in document["hosts"].items():
        cells = {
            what: (whole(one, what), one[f"{what}_beyond_waits_seconds"], one[f"{what}_floor_seconds"]) for what in RUNS
        }
        lines.append(form.format(count, one["bound_seconds"], *cells["release"], one["ratio"], *cells["unchanged"]))
    return [*lines, "", *(f"MISSED: {what}" for what in missed(document))]


def whole(one: Mapping[str, Any], what: str) -> float:
    return round(statistics.median(row[f"{what}_seconds"] for row in one["runs"]), 1)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.release_time", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--hosts", type=int, nargs="+", default=list(HOSTS), help="numbers of hosts (default: %(default)s)"
    )
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="of each (default: %(default)s)")
    parser.add_argument(
        "--output", type=Path, help="where the JSON goes (default: benchmarks/results/release-time-<date>.json)"
    )
    given = parser.parse_args()
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    document = document_of(run_on_the_lab(given.hosts, given.repetitions), date, versions(), machine())
    path = given.output or RESULTS / f"release-time-{date}.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    print("\n".join([*table(document), f"Written: {os.path.relpath(path)}"]))
    if missed(document):
        sys.exit(1)


if __name__ == "__main__":
    main()
