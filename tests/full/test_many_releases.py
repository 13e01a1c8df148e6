"""Deploy, roll back and deploy again, ten times: the host has as much on it afterwards as after the second time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from tests.e2e.harness import API_PORTS, APP, Lab, Machine, Run

NAME = "staging-1"
ROUNDS = 10
# By then as many old releases are kept as are ever kept.
SETTLED = 2
# What the logs of containers that run longer may add, and a line of history for each run.
FLAT_WITHIN_KIB = {"/var/lib/docker": 4096, f"/opt/{APP}": 64}


@dataclass(frozen=True)
class Remains:
    """What a host has on it."""

    containers: list[str]
    networks: int
    listening: int
    volumes: int
    images: int
    states: list[str]
    files: list[str]
    lock_owner: object
    sites: list[str]
    kib: dict[str, int] = field(compare=False)


def remains(machine: Machine) -> Remains:
    ports = "|".join(map(str, API_PORTS))
    used = {path: int(machine.sh(f"du -skx {path}").split()[0]) for path in FLAT_WITHIN_KIB}
    return Remains(
        containers=[container.service for container in machine.containers(every=True)],
        networks=int(machine.sh("docker network ls -q | wc -l")),
        listening=int(machine.sh(f"ss -Hltn | grep -cE ':({ports}) ' || true")),
        volumes=int(machine.sh("docker volume ls -q | wc -l")),
        images=int(machine.sh("docker images -aq | wc -l")),
        states=sorted(machine.record(release)["state"] for release in machine.releases()),
        files=machine.sh(f"ls -A /opt/{APP}").split(),
        lock_owner=json.loads(machine.sh(f"cat /opt/{APP}/lock.json"))["owner"],
        sites=machine.sh("ls -A /etc/nginx/livekit-agent-deploy").split(),
        kib=used,
    )


@dataclass(frozen=True)
class Rounds:
    runs: list[Run]
    settled: Remains
    last: Remains


@pytest.fixture(scope="module")
def rounds(deployed: Lab, first: Machine) -> Rounds:
    runs, found = [], []
    for number in range(ROUNDS):
        runs.append(deployed.play("deploy.yml", extra_vars={"livekit_agent_memory": f"{1700 + number}m"}, limit=NAME))
        runs.append(deployed.play("playbooks/rollback.yml", extra_vars={"rollback_to": "previous"}, limit=NAME))
        found.append(remains(first))
    deployed.varied.add(NAME)
    return Rounds(runs, found[SETTLED - 1], found[-1])


def test_every_run_releases(rounds: Rounds) -> None:
    assert [run.stdout for run in rounds.runs if run.rc != 0] == []
    assert len({run.row(NAME)["release"] for run in rounds.runs}) == 2 * ROUNDS


def test_nothing_is_left_of_them(rounds: Rounds) -> None:
    assert rounds.last == rounds.settled


def test_one_release_is_all_that_runs(rounds: Rounds) -> None:
    assert rounds.last.containers == ["agent-worker", "fastapi"]
    assert (rounds.last.listening, rounds.last.lock_owner) == (1, None)
    assert rounds.last.states.count("serving") == 1
    assert set(rounds.last.states) == {"retired", "serving"}


@pytest.mark.parametrize("path", FLAT_WITHIN_KIB)
def test_disk_use_is_flat(rounds: Rounds, path: str) -> None:
    assert rounds.last.kib[path] - rounds.settled.kib[path] <= FLAT_WITHIN_KIB[path]
