"""Why does my worker get no jobs? Faults on the lab's hosts, two at a time: the cause comes first, with what to do.

More of them are in `tests/full/test_diagnose.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.e2e.harness import NGINX, ROOT, Lab, Machine, Run, start_foreign, wait_for

FOREIGN = "foreign-to-diagnose"
CALLS = 10  # all of them miss one of two equal workers once in 512 runs
SET = 'set_env() { sed -i "/^$2=/d" $1; echo "$2=$3" >>$1; }; cd /opt/sidekick/current;'
KEEP = "cd /opt/sidekick/current && cp -p agent-worker.env fastapi.env /tmp/"
PUT_BACK = (
    "cd /opt/sidekick/current && mv /tmp/agent-worker.env /tmp/fastapi.env . && echo open >gate/state && "
    "docker compose up -d --quiet-pull 2>&1 | tail -n 3"
)


@dataclass(frozen=True)
class Diagnosis:
    """One run of the playbook, how long it took, and the document for the post-mortem."""

    run: Run
    seconds: float
    text: str

    def of(self, host: str) -> dict[str, Any]:
        entry: dict[str, Any] = self.run.reports["diagnose"]["hosts"][host]
        return entry

    def first(self, host: str) -> dict[str, Any]:
        """The first cause; a host without one shows what it has instead."""
        entry = self.of(host)
        assert entry["causes"], entry
        cause: dict[str, Any] = entry["causes"][0]
        return cause


def diagnose(lab: Lab, since: str, **options: Any) -> Diagnosis:
    reports = lab.scratch / f"diagnosis-{time.time_ns()}"
    inventories = [lab.inventory, ROOT / "build/lab/inventory-suspects/hosts.yml"]
    variables = {"diagnose_since": since, **options.pop("extra_vars", {})}
    options = {"inventory": inventories, **options}
    started = time.monotonic()
    run = lab.play("playbooks/diagnose.yml", extra_vars=variables, LIVEKIT_DEPLOY_REPORTS=str(reports), **options)
    written = reports / "diagnose.md"
    return Diagnosis(run, time.monotonic() - started, written.read_text() if written.exists() else "")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def call(machine: Machine) -> dict[str, Any]:
    """Ask the host for a room with an agent, as its users do."""
    connection = HTTPConnection(machine.address, NGINX, timeout=20)
    connection.request("POST", "/v1/preview")
    found: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return found


def worker_log(machine: Machine) -> str:
    return f"docker logs {machine.service('agent-worker').id}"


# --- the incident, beside a host with nothing wrong ------------------------------------------------------------------


@dataclass(frozen=True)
class Incident:
    foreign_id: str
    agent_name: str
    rooms: set[str]
    found: Diagnosis


@pytest.fixture(scope="module")
def incident(deployed: Lab, first: Machine, second: Machine) -> Incident:
    agent_name, since = str(first.record(str(first.serving()))["agent_name"]), now()
    try:
        foreign_id = start_foreign(deployed.other, FOREIGN, agent_name)
        rooms = {call(first)["room"] for _ in range(CALLS)}
        call(second)
        wait_for(second, worker_log(second), "tool call")
        found = diagnose(deployed, since)
    finally:
        deployed.other.sh(f"docker rm -f {FOREIGN}", check=False)
    return Incident(foreign_id, agent_name, rooms, found)


def test_the_other_worker_is_the_cause(incident: Incident) -> None:
    assert incident.found.first("staging-1")["id"] == "foreign_known"
    assert incident.found.of("staging-1")["verdict"] == "foreign"


def test_the_other_worker_is_named_with_its_id_its_container_and_its_host(incident: Incident) -> None:
    cause = incident.found.first("staging-1")
    text = " ".join([cause["title"], *cause["evidence_for"]])
    assert [word for word in (incident.foreign_id, FOREIGN, "other-1", incident.agent_name) if word not in text] == []
    assert f"evict_worker={incident.foreign_id}" in cause["remedy"]


def test_the_terminal_says_so_in_its_first_line(incident: Incident) -> None:
    said = incident.found.run.stdout.split("PLAY RECAP")[1]
    assert (
        f"staging-1 ({incident.agent_name}): Another worker holds the name: container {FOREIGN} on other-1"
        in " ".join(said.split())
    )


def test_the_diagnosis_of_the_incident_takes_less_than_half_a_minute(incident: Incident) -> None:
    assert incident.found.seconds < 30


def test_calls_are_followed_from_the_proxy_to_both_workers(incident: Incident) -> None:
    flow = incident.found.of("staging-1")["flow"]
    went = {(to["host"], to["worker_id"] == incident.foreign_id): to["count"] for to in flow["to"]}
    assert (flow["requests"], flow["dispatches"], flow["unknown"]) == (CALLS, CALLS, 0)
    assert set(went) == {("staging-1", False), ("other-1", True)}
    assert sum(went.values()) == CALLS
    assert {example["room"] for example in flow["examples"]} <= incident.rooms


def test_what_others_thought_the_cause_was_is_ruled_out_with_what_shows_it(incident: Incident) -> None:
    ruled_out = {one["cause"]: one["by"] for one in incident.found.of("staging-1")["ruled_out"]}
    assert f"nginx on staging-1 saw {CALLS} requests" in ruled_out["no_web_traffic"]
    assert {"wrong_key", "api_other_name", "not_running", "gate_closed", "foreign_here"} <= set(ruled_out)


def test_what_could_not_be_read_is_listed_and_not_ruled_out(incident: Incident) -> None:
    assert any(text.startswith("SIP dispatch rules:") for text in incident.found.run.reports["diagnose"]["not_read"])
    assert "sip_other_name" in [one["cause"] for one in incident.found.of("staging-1")["unknown"]]


@pytest.mark.parametrize(
    "part", ["### Cause", "**Remedy:**", "**How to test:**", "**How to roll back:**", "## Timeline", "## Not read"]
)
def test_the_document_for_the_post_mortem_is_whole(incident: Incident, part: str) -> None:
    assert part in incident.found.text
    assert incident.foreign_id in incident.found.text


def test_a_host_with_nothing_wrong_is_called_so(incident: Incident) -> None:
    entry = incident.found.of("staging-2")
    assert (entry["outcome"], entry["causes"]) == ("nothing_wrong", [])
    assert "1 job requests since" in entry["summary"]


def test_a_diagnosis_changes_nothing_and_succeeds_whatever_it_finds(incident: Incident) -> None:
    assert (incident.found.run.rc, incident.found.run.changed) == (0, {})


# --- faults of our own -----------------------------------------------------------------------------------------------


def keeping(lab: Lab) -> Iterator[Lab]:
    """What the faults change is put back at the end, and later modules look whether it is."""
    for machine in lab.machines:
        machine.sh(KEEP)
    lab.varied.update(machine.name for machine in lab.machines)
    yield lab
    for machine in lab.machines:
        machine.sh(PUT_BACK)
    for machine in lab.machines:
        wait_for(machine, worker_log(machine), "registered worker")


@pytest.fixture(scope="module")
def kept(incident: Incident, deployed: Lab) -> Iterator[Lab]:
    assert incident
    yield from keeping(deployed)


@pytest.fixture(scope="module")
def edited_and_closed(kept: Lab, first: Machine, second: Machine) -> Diagnosis:
    """A new name in the files of one host, and only restarted; the gate of the other closed by hand, and a call."""
    since = now()
    second.sh("echo closed >/opt/sidekick/current/gate/state")
    first.sh(
        f"{SET} for f in agent-worker.env fastapi.env; do set_env $f LIVEKIT_AGENT_NAME renamed; done; "
        "docker compose restart -t 5"
    )
    wait_for(first, worker_log(first), "registered worker", times=2)
    call(second)
    return diagnose(kept, since)


def test_an_edit_without_new_containers_is_the_cause(edited_and_closed: Diagnosis) -> None:
    cause = edited_and_closed.first("staging-1")
    assert cause["id"] == "edited_not_recreated"
    assert "LIVEKIT_AGENT_NAME 'renamed'" in " ".join(cause["evidence_for"])
    assert "deploy.yml --limit staging-1" in cause["remedy"]


def test_a_gate_left_closed_is_the_cause(edited_and_closed: Diagnosis) -> None:
    cause = edited_and_closed.first("staging-2")
    assert cause["id"] == "gate_closed"
    assert "its worker passed 1 requests on" in " ".join(cause["evidence_for"])
