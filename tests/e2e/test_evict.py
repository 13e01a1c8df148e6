"""Others' workers under our names, in container, systemd unit and process: found, stopped one by one.

One with a call is in `tests/full/test_evict.py`.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.harness import ROOT, Lab, Machine, Run

COPIED = "|".join(("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"))
PLACE = "/opt/foreign"
LOG = f"{PLACE}/plain.log"
UNIT = f"""
[Service]
WorkingDirectory={PLACE}/app
EnvironmentFile={PLACE}/env
Environment=LIVEKIT_AGENT_NAME=%s SIDEKICK_HTTP_PORT=18091
ExecStart={PLACE}/venv/bin/python3 agent.py start
Restart=always
TimeoutStopSec=3
[Install]
WantedBy=multi-user.target
"""
# Not what an earlier test left in the journal.
JOURNAL = f"journalctl -o cat -u foreign-agent --since @$(cat {PLACE}/since)"
COMPOSE = (
    "{services: {agent: {image: %s, pull_policy: never, restart: always, env_file: [../env], environment: "
    "{LIVEKIT_AGENT_NAME: %s}}}}"
)
# The virtual environment of the image runs on the host as it is: both have Python at the same place.
PLANT = rf"""
set -e
mkdir -p {PLACE}/compose && cd {PLACE} && umask 077 && date +%s >since
docker inspect $MODEL --format '{{{{range .Config.Env}}}}{{{{println .}}}}{{{{end}}}}' | grep -E '^({COPIED})=' >env
# However busy this machine is, these take jobs.
printf 'SIDEKICK_LOAD=0\nSIDEKICK_LOAD_THRESHOLD=inf\nPYTHONUNBUFFERED=1\n' >>env
docker cp -q $MODEL:/opt/venv venv && docker cp -q $MODEL:/app app
printf %s "$COMPOSE" >compose/compose.yml && (cd compose && docker compose up -d --quiet-pull)
printf %s "$UNIT" >/etc/systemd/system/foreign-agent.service
systemctl daemon-reload && systemctl enable -q --now foreign-agent.service
set -a; . ./env; set +a; cd app
LIVEKIT_AGENT_NAME=$FIRST SIDEKICK_HTTP_PORT=18092 setsid ../venv/bin/python3 agent.py start >{LOG} 2>&1 </dev/null &
"""
CLEAR = f"""
cd {PLACE}/compose && docker compose kill && docker compose down
systemctl disable -q foreign-agent.service; systemctl kill --signal KILL foreign-agent.service
for process in /proc/[0-9]*; do
  [ "$(readlink $process/cwd)" != {PLACE}/app ] || kill -KILL ${{process#/proc/}}
done
rm -rf {PLACE} /etc/systemd/system/foreign-agent.service /run/systemd/system/foreign-agent.service.d \
/run/livekit-agent-deploy
systemctl daemon-reload; systemctl reset-failed foreign-agent.service
"""


@dataclass(frozen=True)
class Foreign:
    """The three workers by how they run, as the first look tells them."""

    lab: Lab
    host: Machine
    looked: Run
    rows: dict[str, dict[str, Any]]

    def evict(self, worker_id: str, limit: str = "", **extra: Any) -> Run:
        return evict(self.lab, limit=limit, evict_worker=worker_id, **extra)

    def id_of(self, kind: str) -> str:
        return str(self.rows[kind]["worker_id"])


def evict(lab: Lab, limit: str = "", **extra: Any) -> Run:
    inventories = [lab.inventory, ROOT / "build/lab/inventory-suspects/hosts.yml"]
    return lab.play("playbooks/evict.yml", inventory=inventories, limit=limit, extra_vars=extra)


def names(lab: Lab) -> list[str]:
    return [machine.record(str(machine.serving()))["agent_name"] for machine in lab.machines]


def rows_on(run: Run, host: str) -> list[dict[str, Any]]:
    return [row for entry in run.reports["evict"]["names"].values() for row in entry["workers"] if row["host"] == host]


def kind_of(row: dict[str, Any]) -> str:
    if row["supervisor"].startswith("docker"):
        return "container"
    return "unit" if row["supervisor"] == "systemd foreign-agent.service" else "process"


@contextmanager
def planted(lab: Lab) -> Iterator[Foreign]:
    """A container and a process under the first host's name, and a unit under the second one's."""
    other = lab.other
    first, second = names(lab)
    model = next(container for container in other.containers() if container.project == "somebody-else")
    values = {
        "MODEL": model.id,
        "FIRST": first,
        "COMPOSE": COMPOSE % (json.dumps(model.image), first),
        "UNIT": UNIT % second,
    }
    other.sh(" ".join(f"{name}={shlex.quote(value)};" for name, value in values.items()) + PLANT)
    try:
        registered(other)
        looked = evict(lab)
        yield Foreign(lab, other, looked, {kind_of(row): row for row in rows_on(looked, other.name)})
    finally:
        other.sh(CLEAR, check=False)


def registered(other: Machine) -> None:
    deadline = time.monotonic() + 120
    for log in ("docker logs compose-agent-1", JOURNAL, f"cat {LOG}"):
        while not other.sh(f"{log} 2>&1 | grep 'registered worker' || true"):
            assert time.monotonic() < deadline, f"three workers did not register within 120 s: {log}"
            time.sleep(1)


@pytest.fixture(scope="module")
def foreign(deployed: Lab) -> Iterator[Foreign]:
    with planted(deployed) as foreign:
        yield foreign


# --- a look ----------------------------------------------------------------------------------------------------------


def test_a_look_changes_nothing_and_does_not_fail_on_what_it_finds(foreign: Foreign) -> None:
    assert (foreign.looked.rc, foreign.looked.changed) == (0, {})


@pytest.mark.parametrize(
    ("kind", "supervisor", "start"),
    [
        ("container", "docker, always", f"cd {PLACE}/compose && docker compose up -d agent"),
        ("unit", "systemd foreign-agent.service", "systemctl start foreign-agent.service"),
        ("process", "nothing", f"cd {PLACE}/app && ../venv/bin/python3 agent.py start"),
    ],
)
def test_each_worker_is_found_with_who_runs_it_and_how_to_start_it_again(
    foreign: Foreign, kind: str, supervisor: str, start: str
) -> None:
    row = foreign.rows[kind]
    assert (row["supervisor"], row["start_command"], row["evictable"], row["ours"]) == (supervisor, start, True, False)
    assert row["worker_id"].startswith("AW_")


def test_our_own_workers_are_told_as_ours_and_cannot_be_stopped(foreign: Foreign) -> None:
    ours = [row for machine in foreign.lab.machines for row in rows_on(foreign.looked, machine.name)]
    assert [(row["ours"], row["evictable"]) for row in ours] == [(True, False)] * 2


def test_both_names_are_told_as_foreign_with_the_ids_that_were_found(foreign: Foreign) -> None:
    found = foreign.looked.reports["evict"]["names"]
    assert [entry["verdict"] for entry in found.values()] == ["foreign", "foreign"]
    assert {i for entry in found.values() for i in entry["foreign"]} <= {foreign.id_of(kind) for kind in foreign.rows}


def test_the_table_fits_a_terminal(foreign: Foreign) -> None:
    table = foreign.looked.stdout.split("PLAY RECAP")[1].split("\n\n", 1)[1].split("Report: ")[0]
    assert foreign.id_of("unit") in table
    assert [line for line in table.splitlines() if len(line) > 120 and "stop it: " not in line] == []


# --- refused ---------------------------------------------------------------------------------------------------------


def test_a_worker_of_our_own_pool_is_refused_and_goes_on(foreign: Foreign) -> None:
    machine = foreign.lab.machines[0]
    before = machine.service("agent-worker").identity
    run = foreign.evict(rows_on(foreign.looked, machine.name)[0]["worker_id"])
    assert run.rc != 0
    assert f"is a worker of a release of the pool {machine.name}" in run.said
    assert (machine.service("agent-worker").identity, run.changed) == (before, {})


def test_an_unknown_worker_is_refused_and_what_limit_left_out_is_told(foreign: Foreign) -> None:
    first, second = foreign.lab.machines
    run = foreign.evict("AW_nobody", limit=first.name)
    assert run.rc != 0
    assert f"AW_nobody is on no known host (searched: {first.name})" in run.said
    assert set(run.reports["evict"]["not_read"]) == {second.name, foreign.host.name}


# --- stopped ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def without_process(foreign: Foreign) -> Run:
    return foreign.evict(foreign.id_of("process"))


@pytest.fixture(scope="module")
def without_container(foreign: Foreign, without_process: Run) -> Run:  # noqa: ARG001  the order is the point
    return foreign.evict(foreign.id_of("container"))


def test_a_process_gets_its_one_signal_and_ends(foreign: Foreign, without_process: Run) -> None:
    done = without_process.reports["evict"]["drained"]
    assert (done["gone"], [command.split()[:2] for command in done["commands"]]) == (True, [["kill", "-TERM"]])
    log = foreign.host.sh(f"cat {LOG}")
    assert (log.count("draining worker"), log.count("exiting forcefully")) == (1, 0)


def test_the_run_fails_while_another_worker_has_the_name(foreign: Foreign, without_process: Run) -> None:
    assert without_process.rc != 0
    assert (
        f"the verdict on {names(foreign.lab)[0]} at {foreign.lab.machines[0].name} is foreign" in without_process.said
    )


def test_a_container_ends_and_stays_down(foreign: Foreign, without_container: Run) -> None:
    found = foreign.host.sh(
        "docker inspect compose-agent-1 --format '{{.State.Running}} {{.State.ExitCode}} "
        "{{.HostConfig.RestartPolicy.Name}}'"
    )
    assert found == "false 0 unless-stopped"
    assert without_container.reports["evict"]["drained"]["policy"] == {"before": "always", "after": "unless-stopped"}


def test_the_name_is_proven_to_be_ours_alone_afterwards(foreign: Foreign, without_container: Run) -> None:
    found = without_container.reports["evict"]
    assert (without_container.rc, found["ok"]) == (0, True)
    assert found["names"][names(foreign.lab)[0]]["verdict"] == "exclusive"


def test_the_command_that_is_told_starts_the_container_as_it_was(foreign: Foreign, without_container: Run) -> None:
    foreign.host.sh(without_container.reports["evict"]["drained"]["start_command"])
    found = foreign.host.sh(
        "docker inspect compose-agent-1 --format '{{.State.Running}} {{.HostConfig.RestartPolicy.Name}}'"
    )
    foreign.host.sh("docker rm -f compose-agent-1")
    assert found == "true always"
