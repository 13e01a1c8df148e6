# SPDX-License-Identifier: Apache-2.0
"""How many dispatches are lost while a worker is changed by hand, and while this project does it?

On the lab's hosts: a steady load through the API and directly to LiveKit, side by side, with calls in progress that
must finish. A dispatch is lost when no worker answered it, as the worker's own log and LiveKit's list tell. A run
counts only if an undisturbed minute at the same rate in the same session lost nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks import loss_figures, verdict_time
from benchmarks.loss_figures import OURS, SEED
from benchmarks.verdict_time import RESULTS
from benchmarks.witness import Witness, finished
from lab import lab as fleet
from tests.e2e.calls import REAL_EVERY, CallStream, hang_up, hold
from tests.e2e.harness import NGINX, ROOT, Lab, Machine, open_lab, text_of, wait_for

RATES = (5, 20)
RUNS = 3
CALLS = 4
# An idle LiveKit server asks for workers of all kinds first, for 5 s; what is dispatched then waits for each other.
LEAD_SECONDS = 8.0
TAIL_SECONDS, LOAD_SECONDS, UNDISTURBED_SECONDS = 3.0, 30.0, 60.0
# At 5 a second every fifth dispatch is a real job; at 20 the worker answers all of them itself.
REAL = {5: REAL_EVERY, 20: 0}
OVERLAP_SECONDS = 10  # livekit_agent_rename_overlap_seconds, told to each run
# The calls in progress last longer than a run; waiting for them would only cost time: the old worker is left draining.
SETTINGS: dict[str, Any] = {
    "livekit_agent_rename_overlap_seconds": OVERLAP_SECONDS,
    "agent_release_drain_wait_seconds": 3,
}
BATCHES = [1, "100%"]
Keep = Callable[[Mapping[str, Any]], None]
Target = tuple[str, str]
"""Where the API is, and the agent name it dispatches to."""


# --- by hand ---------------------------------------------------------------------------------------------------------


@dataclass
class Project:
    """A hand-made compose project with API and worker on a host, with a port and a name of its own, from the images
    that serve there."""

    machine: Machine
    name: str = "bench-by-hand"
    folder: str = "/srv/bench-by-hand"
    port: int = 18190

    @property
    def target(self) -> Target:
        return f"http://{self.machine.address}:{self.port}/v1/preview", self.name

    def __enter__(self) -> Project:
        api, worker = self.machine.service("fastapi"), self.machine.service("agent-worker")
        services = {
            "api": {"image": api.inspected["Image"], "env_file": ["agent.env"], "ports": [f"{self.port}:8080"]},
            "worker": {"image": worker.inspected["Image"], "env_file": ["agent.env"]},
        }
        for service in services.values():
            service |= {"restart": "unless-stopped", "pull_policy": "never"}
        document = json.dumps({"name": "bench-by-hand", "services": services})
        copied = "^(LIVEKIT_URL|LIVEKIT_API_KEY|LIVEKIT_API_SECRET|SIDEKICK_LOAD|SIDEKICK_LOAD_THRESHOLD)="
        environment = (
            f"docker inspect -f '{{{{range .Config.Env}}}}{{{{println .}}}}{{{{end}}}}' {worker.id} "
            f"| grep -E '{copied}'"
        )
        self.machine.sh(
            f"set -e; umask 077; mkdir -p {self.folder}; cd {self.folder}; printf %s {shlex.quote(document)} "
            f">compose.yml; {environment} >agent.env; echo LIVEKIT_AGENT_NAME={self.name} >>agent.env; "
            "docker compose up -d"
        )
        self.wait()
        return self

    def wait(self) -> None:
        """Until its worker is registered and its API answers."""
        worker = f"$(cd {self.folder} && docker compose ps -q worker)"
        started = f"$(docker inspect -f '{{{{.State.StartedAt}}}}' {worker})"
        wait_for(self.machine, f"docker logs --since {started} {worker}", '"registered worker"')
        health = f"http://{self.machine.address}:{self.port}/healthz"
        fleet.wait_until("the API of the hand-made project answers", lambda: answers(health), 60)

    def restart(self) -> None:
        self.machine.sh(f"cd {self.folder} && docker compose restart")

    def rename(self) -> None:
        new = "bench-by-hand-renamed" if self.name == "bench-by-hand" else "bench-by-hand"
        edit = f"sed -i s/^LIVEKIT_AGENT_NAME=.*/LIVEKIT_AGENT_NAME={new}/ agent.env"
        self.machine.sh(f"cd {self.folder} && {edit} && docker compose up -d")
        self.name = new

    def __exit__(self, *_: object) -> None:
        self.machine.sh(f"cd {self.folder} && docker compose down --timeout 5 && rm -r {self.folder}")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  our own http address
            return bool(answer.status == 200)
    except OSError:
        return False


# --- the cases -------------------------------------------------------------------------------------------------------


@dataclass
class Bench:
    """The lab and what its first host serves."""

    lab: Lab
    image: str
    """A worker's image that differs from the inventory's in a label only."""
    project: Project
    last: str = ""
    """The case that was run last."""
    contents: int = 0
    seen: int = field(default=0)

    @property
    def host(self) -> str:
        return self.lab.machines[0].name

    def targets(self, hosts: int) -> list[Target]:
        """The API of each of the first hosts and the name that serves there."""
        machines = self.lab.machines[:hosts]
        return [
            (f"http://{m.address}:{NGINX}/v1/preview", str(m.record(m.serving() or "")["agent_name"])) for m in machines
        ]

    def play(self, playbook: str, limit: str, inventory: Path | None = None, **extra_vars: Any) -> None:
        run = self.lab.play(playbook, limit=limit, inventory=inventory, extra_vars={**SETTINGS, **extra_vars})
        if run.rc:
            raise SystemExit(f"{run.stdout}\n{playbook} failed, so there is no result")


def restart(bench: Bench) -> None:
    bench.project.restart()


def edit(bench: Bench) -> None:
    bench.project.rename()


def change(bench: Bench) -> None:
    bench.play("deploy.yml", bench.host, livekit_agent_image=bench.image)


def previous(bench: Bench) -> None:
    bench.play("playbooks/rollback.yml", bench.host, rollback_to="previous")


def rename(bench: Bench) -> None:
    own = {bench.host: {"livekit_agent_name": f"{fleet.SHARED_NAME}-{bench.host}-renamed"}}
    bench.play("deploy.yml", bench.host, bench.lab.inventory_of("renamed", own))


def shared(bench: Bench) -> None:
    bench.play("playbooks/rollback.yml", bench.host)


def back(bench: Bench) -> None:
    bench.play("deploy.yml", bench.host)


def canary(bench: Bench) -> None:
    bench.contents += 1
    memory = f"{1600 + bench.contents}m"
    bench.play("deploy.yml", "", livekit_agent_image=bench.image, livekit_agent_memory=memory, deploy_batches=BATCHES)


@dataclass(frozen=True)
class Case:
    name: str
    side: str
    work: Callable[[Bench], None]
    hosts: int = 1
    """The load is spread over so many hosts."""
    after: str = ""
    """The case that makes what this one starts from; without one, what the inventory says serves."""


CASES = (
    Case("docker compose restart", SEED, restart),
    Case("edit name, docker compose up -d", SEED, edit),
    Case("rename", OURS, rename),
    Case("rollback to the shared name", OURS, shared, after="rename"),
    Case("return from the shared name", OURS, back, after="rollback to the shared name"),
    Case("deploy of a new image", OURS, change),
    Case("rollback to previous", OURS, previous, after="deploy of a new image"),
    Case("canary over 2 hosts", OURS, canary, hosts=2),
)
BY_NAME = {case.name: case for case in CASES}
SIDES = {case.name: case.side for case in CASES}


def prepare(bench: Bench, case: Case) -> None:
    """Make what the case starts from, unless the case before left it."""
    if case.side == SEED:
        bench.project.wait()
    elif case.after and bench.last != case.after:
        prepare(bench, BY_NAME[case.after])
        BY_NAME[case.after].work(bench)


# --- measuring -------------------------------------------------------------------------------------------------------


@contextmanager
def load(bench: Bench, targets: Sequence[Target], rate: int, overlap: float) -> Iterator[list[CallStream]]:
    """The load of a case, spread evenly over the targets."""
    livekit = bench.lab.document["livekit"]
    with ExitStack() as stack:
        streams = [
            CallStream(url, livekit, rate / len(targets), REAL[rate], agent_name=name, overlap=overlap)
            for url, name in targets
        ]
        for stream in streams:
            stack.enter_context(stream)
        yield streams


def measure(
    bench: Bench, targets: Sequence[Target], rate: int, overlap: float, work: Callable[[], None], calls: int
) -> dict[str, Any]:
    """Load and calls in progress while `work` runs."""
    livekit, bench.seen = bench.lab.document["livekit"], bench.seen + 1
    with Witness([*bench.lab.machines, bench.lab.other], bench.lab.scratch / f"seen-{bench.seen:03d}") as witness:
        rooms = hold(livekit, [targets[number % len(targets)][1] for number in range(calls)])
        with load(bench, targets, rate, overlap) as streams:
            time.sleep(LEAD_SECONDS)
            begun, steady = time.monotonic(), time.time()
            work()
            seconds = time.monotonic() - begun
            time.sleep(max(TAIL_SECONDS, begun + LOAD_SECONDS - time.monotonic()))
        hung_up = time.time()
        hang_up(livekit, rooms)
        seen = witness.wait_for_ends(rooms, hung_up)
    found = {
        "seconds": round(seconds, 1),
        "ways": loss_figures.ways_of([stream.calls for stream in streams], seen.answered, steady),
    }
    return {**found, "calls": {"held": calls, "finished": finished(rooms, seen.ended, hung_up)}} if calls else found


def undisturbed(bench: Bench, rate: int) -> dict[str, Any]:
    return measure(bench, bench.targets(1), rate, 0.0, lambda: time.sleep(UNDISTURBED_SECONDS), 0)


def run_case(bench: Bench, case: Case, rate: int) -> dict[str, Any]:
    prepare(bench, case)
    by_hand = case.side == SEED
    targets = [bench.project.target] if by_hand else bench.targets(case.hosts)
    found = measure(bench, targets, rate, 0.0 if by_hand else OVERLAP_SECONDS, lambda: case.work(bench), CALLS)
    bench.last = case.name
    say(f"{rate}/s {case.name}: {found}")
    return {"case": case.name, "rate": rate, **found}


def session(bench: Bench, cases: Sequence[Case], rates: Sequence[int], runs: int, keep: Keep) -> dict[str, Any]:
    """By hand first, and their project is gone before ours deploys. What was measured is kept after each run."""
    found: dict[str, Any] = {"started": datetime.now(UTC).isoformat(timespec="seconds"), "undisturbed": {}, "runs": []}
    for rate in rates:
        found["undisturbed"][str(rate)] = minute = undisturbed(bench, rate)
        say(f"{rate}/s {loss_figures.UNDISTURBED}: {minute}")
    for side in (SEED, OURS):
        chosen = [case for case in cases if case.side == side]
        with bench.project if chosen and side == SEED else nullcontext():
            for rate, _, case in product(rates, range(runs), chosen):
                found["runs"].append(run_case(bench, case, rate))
                keep(found)
    return found


def say(text: str) -> None:
    print(f"loss: {text}", file=sys.stderr, flush=True)


def new_image(lab: Lab) -> str:
    """An image with another digest: what the inventory names, and one label more."""
    worker = fleet.application_images()["worker"]
    tag = f"{worker}-bench"
    dockerfile = f'FROM {worker}\nLABEL {fleet.LABEL}=image bench="1"\n'
    text_of([*fleet.as_root(["docker"]), "build", "--quiet", "--tag", tag, "-"], input=dockerfile)
    return f"{lab.document['registry']}/{fleet.push(tag, 'sidekick-worker')}"


def run_on_the_lab(cases: Sequence[Case], rates: Sequence[int], runs: int, part: Path) -> dict[str, Any]:
    """The document; what of it is measured already is in `part` after each run."""
    date = f"{datetime.now(UTC):%Y-%m-%d}"
    with tempfile.TemporaryDirectory(prefix="loss-") as scratch:
        lab = open_lab(Path(scratch))
        used, machine = versions(lab), verdict_time.machine()

        def document(found: Mapping[str, Any]) -> dict[str, Any]:
            return document_of([found], date, used, machine, rates)

        bench = Bench(lab, new_image(lab), Project(lab.machines[0]))
        bench.play("deploy.yml", "")
        try:
            return document(session(bench, cases, rates, runs, lambda so_far: write(document(so_far), part)))
        finally:
            lab.play("deploy.yml")


# --- the result ------------------------------------------------------------------------------------------------------


def document_of(
    sessions: Sequence[Mapping[str, Any]],
    date: str,
    versions: Mapping[str, str],
    machine: Mapping[str, Any],
    rates: Sequence[int],
) -> dict[str, Any]:
    return {
        "benchmark": "loss",
        "date": date,
        "versions": dict(versions),
        "machine": dict(machine),
        "read_me": list(loss_figures.READ_ME),
        "overlap_seconds": OVERLAP_SECONDS,
        "rates": list(rates),
        "sessions": list(sessions),
    }


def joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One document with the sessions of several, of one machine with the same versions."""
    for key in ("versions", "machine", "overlap_seconds"):
        if any(part[key] != parts[0][key] for part in parts):
            raise SystemExit(
                f"found parts with different {key}, expected the same in all; join only what was measured in one place"
            )
    sessions = [one for part in parts for one in part["sessions"]]
    rates = sorted({rate for part in parts for rate in part["rates"]})
    return document_of(sessions, max(part["date"] for part in parts), parts[0]["versions"], parts[0]["machine"], rates)


def versions(lab: Lab) -> dict[str, str]:
    return {**verdict_time.versions(), "docker": lab.machines[0].sh("docker version --format '{{.Server.Version}}'")}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loss", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--case", nargs="+", choices=list(BY_NAME), default=list(BY_NAME), help="default: all", metavar="NAME"
    )
    parser.add_argument("--rate", nargs="+", type=int, choices=RATES, default=list(RATES), help="default: %(default)s")
    parser.add_argument("--runs", type=int, default=RUNS, help="of each case (default: %(default)s)")
    parser.add_argument(
        "--join", nargs="+", type=Path, metavar="FILE", help="run nothing: join the sessions of these files"
    )
    given = parser.parse_args()
    part = ROOT / "build" / "loss" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    if given.join:
        document = joined([json.loads(path.read_text()) for path in given.join])
    else:
        document = run_on_the_lab([case for case in CASES if case.name in given.case], given.rate, given.runs, part)
    sys.exit(tell(document, part))


def write(document: Mapping[str, Any], path: Path) -> None:
    """Whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=2) + "\n")
    partial.rename(path)


def tell(document: Mapping[str, Any], part: Path) -> int:
    """The table, and the file: a result only if all listed cases are in it, else a part to be joined with others."""
    missing = loss_figures.missing(document, list(BY_NAME), RATES, RUNS)
    path = part if missing else RESULTS / f"loss-{document['date']}.json"
    write(document, path)
    lines = [*loss_figures.table(document, SIDES), *loss_figures.READ_ME, ""]
    lines += (
        [f"A part, no result: {len(missing)} of {len(BY_NAME) * len(RATES)} cases are measured less than {RUNS} times."]
        if missing
        else []
    )
    failures = loss_figures.failures(document, [case.name for case in CASES if case.side == OURS])
    print("\n".join([*lines, f"Written: {os.path.relpath(path)}", *failures]))
    return 1 if failures else 0


if __name__ == "__main__":
    main()
