"""The main job: a change under calls on two hosts, the same again, and what the hosts are then."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.calls import CallStream
from tests.e2e.harness import API_PORTS, APP, NGINX, ROOT, Lab, Machine, Run, login_as_root, results_by_host

CHANGE = {"livekit_agent_memory": "1500m", "agent_release_keep": 1}
# A controller and hosts that are not as we would have them: whoever logs in as root has all of this.
OF_THE_HOST = (
    "http_proxy=http://192.0.2.1:3128",
    "https_proxy=http://192.0.2.1:3128",
    "no_proxy=example.com",
    "COMPOSE_PROJECT_NAME=handmade",
    "COMPOSE_FILE=/nonexistent/compose.yml",
    "DOCKER_HOST=tcp://192.0.2.1:2375",
)
CHANGE_BUDGET, UNCHANGED_BUDGET = 16, 3
REPORT_KEYS = ["playbook", "started", "finished", "ok", "waits", "notes", "hosts"]
ROW_KEYS = ["agent_name", "release", "worker_ids", "verdict", "reason", "probe", "checks", "routing", "on_purpose"]
PROBE_KEYS = ["job_id", "worker_id", "latency_seconds"]
CHECK_KEYS = ["name", "ok", "found", "expected", "remedy"]
CHECKS = ["environment", "name_in_effect", "registered", "directed_probe", "preview", "nobody", "drift", "routing"]
COMMANDS = {"command", "shell", "raw", "script"}
NAMES = ["staging-1", "staging-2"]


@dataclass(frozen=True)
class Change:
    """One deployment that changes something, with calls to the first host before, while and after it runs."""

    before: dict[str, str]
    worker_before: str
    run: Run
    stream: CallStream


@pytest.fixture(scope="module")
def change(serving: Lab) -> Change:
    before = {machine.name: machine.serving() or "" for machine in serving.machines}
    first = serving.machines[0]
    worker_before = last_registration(first)["id"]
    with ExitStack() as elsewhere:
        for machine in serving.machines:
            elsewhere.enter_context(login_as_root(machine, OF_THE_HOST))
        stream = elsewhere.enter_context(
            CallStream(f"http://{first.address}:{NGINX}/v1/preview", serving.document["livekit"])
        )
        time.sleep(2)
        # A log at the third level shows each module's arguments: no secret may be among them.
        run = serving.play(
            "deploy.yml", extra_vars={**CHANGE, "ansible_user": "root"}, verbosity=3, TZ="America/Los_Angeles"
        )
    assert run.rc == 0, run.stdout
    return Change(before, worker_before, run, stream)


@pytest.fixture(scope="module")
def again(change: Change, lab: Lab) -> Run:
    """The same deployment once more, from the containers that the change left."""
    assert change.run.rc == 0
    before = [machine.identities() for machine in lab.machines]
    run = lab.play("deploy.yml", extra_vars=CHANGE)
    assert before == [machine.identities() for machine in lab.machines], "a container was made anew or restarted"
    return run


def log_events(machine: Machine) -> Iterator[dict[str, Any]]:
    worker = machine.service("agent-worker")
    for line in machine.sh(f"docker logs {worker.id} 2>&1").splitlines():
        if line.startswith("{"):
            yield yaml.safe_load(line)


def last_registration(machine: Machine) -> dict[str, Any]:
    return [event for event in log_events(machine) if event["message"] == "registered worker"][-1]


@pytest.fixture(params=NAMES)
# The change comes first.
def machine(request: pytest.FixtureRequest, lab: Lab, change: Change) -> Machine:  # noqa: ARG001
    """Each host in turn, after the change."""
    return next(machine for machine in lab.machines if machine.name == request.param)


# --- the reports -----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["deploy", "verify"])
def report(request: pytest.FixtureRequest, change: Change) -> dict[str, Any]:
    return change.run.reports[request.param]


def test_a_report_has_exactly_the_keys_it_is_documented_with(report: dict[str, Any]) -> None:
    assert list(report) == REPORT_KEYS
    assert sorted(report["hosts"]) == NAMES
    assert [list(row) for row in report["hosts"].values()] == [ROW_KEYS, ROW_KEYS]
    assert [list(row["probe"]) for row in report["hosts"].values()] == [PROBE_KEYS, PROBE_KEYS]
    assert {tuple(check) for row in report["hosts"].values() for check in row["checks"]} == {tuple(CHECK_KEYS)}


def test_a_report_says_that_each_name_is_its_hosts_alone_and_why(report: dict[str, Any]) -> None:
    assert report["ok"] is True
    for row in report["hosts"].values():
        assert row["verdict"] == "exclusive"
        assert [check["name"] for check in row["checks"] if check["ok"]] == CHECKS


def test_a_report_says_what_was_waited_for(report: dict[str, Any]) -> None:
    assert {"worker registration", "search window"} <= {wait["what"] for wait in report["waits"]}
    assert all(list(wait) == ["what", "seconds"] and wait["seconds"] > 0 for wait in report["waits"])


def test_a_report_names_its_playbook(change: Change) -> None:
    named = {name: report for name, report in change.run.reports.items() if name != "verdicts"}
    assert {name: report["playbook"] for name, report in named.items()} == {
        "deploy": "deploy",
        "verify": "verify",
    }


def test_the_table_names_each_hosts_release_and_worker(change: Change) -> None:
    for name, row in change.run.report["hosts"].items():
        pattern = rf"^{name} +{row['agent_name']} +{row['release']} +{row['worker_ids'][0]} +\d+\.\d\d s +exclusive$"
        assert re.search(pattern, change.run.stdout, re.MULTILINE)


def test_the_directed_probes_job_is_in_the_log_of_the_hosts_worker(change: Change, machine: Machine) -> None:
    requested = [event["job_id"] for event in log_events(machine) if event["message"] == "received job request"]
    assert change.run.row(machine.name)["probe"]["job_id"] in requested


def test_the_worker_that_answered_the_probe_is_the_one_in_the_hosts_log(change: Change, machine: Machine) -> None:
    row = change.run.row(machine.name)
    assert [last_registration(machine)["id"]] == row["worker_ids"] == [row["probe"]["worker_id"]]


def test_the_worker_is_registered_under_the_inventorys_name(machine: Machine) -> None:
    assert last_registration(machine)["agent_name"] == f"sidekick-agent-staging-{machine.name}"


# --- a second deployment ---------------------------------------------------------------------------------------------


def test_a_second_deployment_changes_nothing_and_remakes_no_container(again: Run) -> None:
    assert again.rc == 0
    assert again.changed == {}
    assert not [result for result in again.results if result.changed]


def test_a_second_deployment_proves_again_what_serves(change: Change, again: Run) -> None:
    assert again.report["ok"] is True
    for name in NAMES:
        assert again.row(name)["release"] == change.run.row(name)["release"]
        assert again.row(name)["probe"]["job_id"] != change.run.row(name)["probe"]["job_id"]


def test_a_change_costs_few_results_on_each_host(change: Change) -> None:
    counted = results_by_host(change.run)
    assert all(0 < counted[name] <= CHANGE_BUDGET for name in NAMES), counted


def test_an_unchanged_deployment_costs_hardly_any_result_on_a_host(again: Run) -> None:
    counted = results_by_host(again)
    assert all(0 < counted[name] <= UNCHANGED_BUDGET for name in NAMES), counted


def commands(node: Any) -> Iterator[str]:
    """The text of every task that runs a command, however deep in blocks it is."""
    if isinstance(node, list):
        for item in node:
            yield from commands(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if str(key).rpartition(".")[2] in COMMANDS:
                yield value.get("cmd", "") if isinstance(value, dict) else str(value)
            elif isinstance(value, list):
                yield from commands(value)


@pytest.mark.parametrize("folder", ["roles", "playbooks", "lab"])
def test_no_task_runs_a_command_of_more_than_one_line(folder: str) -> None:
    files = [
        *(ROOT / folder).rglob("tasks/*.yml"),
        *(ROOT / folder).rglob("handlers/*.yml"),
        *(ROOT / folder).glob("*.yml"),
    ]
    assert files
    long = {
        str(file): text for file in files for text in commands(yaml.safe_load(file.read_text())) if "\n" in text.strip()
    }
    assert long == {}


# --- the host --------------------------------------------------------------------------------------------------------


def test_the_workers_job_requests_are_found_as_the_runbook_says(machine: Machine) -> None:
    found = machine.sh(f'cd /opt/{APP}/current && docker compose logs agent-worker | grep "received job request"')
    assert "agent-worker-1" in found


def test_exactly_one_worker_and_one_api_run(machine: Machine) -> None:
    assert [container.service for container in machine.containers(every=True)] == ["agent-worker", "fastapi"]


def test_the_files_with_secrets_are_readable_by_root_only(machine: Machine) -> None:
    found = machine.sh(f"cd /opt/{APP}/current && stat -c '%n %a %U' *.env release.json").splitlines()
    assert found == [f"{name} 600 root" for name in ("agent-worker.env", "fastapi.env", "release.json")]


def test_the_secret_is_in_no_other_file_of_the_releases(machine: Machine, lab: Lab) -> None:
    """Standard input carries the secret, as arguments are everybody's to read."""
    found = machine.sh(f"cd /opt/{APP} && printf %s {lab.secret} | grep -rlFf - . | sed 's,.*/,,' | sort -u").split()
    assert found == ["agent-worker.env", "fastapi.env"]


@pytest.mark.parametrize("service", ["agent-worker", "fastapi"])
def test_a_container_is_confined(machine: Machine, service: str) -> None:
    container = machine.service(service)
    settings = container.settings
    assert settings["CapDrop"] == ["ALL"]
    assert settings["SecurityOpt"] == ["no-new-privileges:true"]
    assert settings["ReadonlyRootfs"] is True
    assert list(settings["Tmpfs"]) == ["/tmp"]
    assert settings["Privileged"] is False


@pytest.mark.parametrize("service", ["agent-worker", "fastapi"])
def test_a_containers_process_is_not_root(machine: Machine, service: str) -> None:
    pid = machine.service(service).inspected["State"]["Pid"]
    assert machine.sh(f"stat -c %u /proc/{pid}") not in ("", "0")


@pytest.mark.parametrize("service", ["agent-worker", "fastapi"])
def test_a_container_comes_back_by_itself_and_its_log_cannot_grow(machine: Machine, service: str) -> None:
    settings = machine.service(service).settings
    assert settings["RestartPolicy"]["Name"] == "unless-stopped"
    assert settings["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}


def test_the_containers_have_the_inventorys_memory_and_no_cpu_quota(machine: Machine) -> None:
    worker, api = machine.service("agent-worker").settings, machine.service("fastapi").settings
    assert (worker["Memory"], api["Memory"]) == (1500 * 1024**2, 512 * 1024**2)
    assert [(s["NanoCpus"], s["CpuQuota"]) for s in (worker, api)] == [(0, 0), (0, 0)]


def test_a_stopped_worker_has_the_whole_drain_timeout(machine: Machine) -> None:
    assert machine.service("agent-worker").config["StopTimeout"] == 120


def test_both_containers_have_both_names(machine: Machine) -> None:
    name = f"sidekick-agent-staging-{machine.name}"
    for service in ("agent-worker", "fastapi"):
        environment = machine.service(service).environment
        assert (environment["AGENT_NAME"], environment["LIVEKIT_AGENT_NAME"]) == (name, name)


def test_the_worker_publishes_no_port(machine: Machine) -> None:
    assert not machine.service("agent-worker").settings["PortBindings"]


def test_the_api_is_published_on_loopback_only(machine: Machine) -> None:
    (bindings,) = machine.service("fastapi").settings["PortBindings"].values()
    assert [binding["HostIp"] for binding in bindings] == ["127.0.0.1"]
    assert [int(binding["HostPort"]) in API_PORTS for binding in bindings] == [True]


def is_open(address: str, port: int) -> bool:
    with socket.socket() as attempt:
        attempt.settimeout(2)
        return attempt.connect_ex((address, port)) == 0


def test_nothing_but_ssh_and_the_proxy_is_reachable_from_outside(machine: Machine) -> None:
    listening = machine.sh("ss -ltnH | awk '{print $4}' | sed 's/.*://'").split()
    ports = {int(port) for port in listening} | {*API_PORTS, 8080, 8081, 2375, 2376}
    assert ports & set(API_PORTS) & {int(port) for port in listening}, "the API listens nowhere, so this proves nothing"
    assert {port for port in ports if is_open(machine.address, port)} == {22, NGINX}


# The change comes first.
def test_both_hosts_run_the_same_images_by_digest(lab: Lab, change: Change) -> None:  # noqa: ARG001
    images = [[container.image for container in machine.containers()] for machine in lab.machines]
    assert images[0] == images[1]
    assert all(re.search(r"@sha256:[0-9a-f]{64}$", image) for image in images[0])


# --- the change ------------------------------------------------------------------------------------------------------


def test_a_change_makes_a_new_release_serve(change: Change, machine: Machine) -> None:
    assert machine.serving() == change.run.row(machine.name)["release"] != change.before[machine.name]


def test_the_old_release_is_stopped_and_recorded_as_retired(change: Change, machine: Machine) -> None:
    old = change.before[machine.name]
    assert {container.release for container in machine.containers(every=True)} == {(machine.serving() or "").lower()}
    assert machine.record(old)["state"] == "retired"


def test_the_record_says_what_serves_since_when_and_by_whom(change: Change, machine: Machine) -> None:
    release = machine.serving() or ""
    record = machine.record(release)
    assert (record["id"], record["state"], record["previous"]) == (release, "serving", change.before[machine.name])
    assert record["agent_name"] == f"sidekick-agent-staging-{machine.name}"
    assert sorted(record["images"].values()) == sorted(container.image for container in machine.containers())
    assert record["by"]
    assert datetime.fromisoformat(record["staged_at"]) <= datetime.fromisoformat(record["served_at"])


def test_as_many_old_releases_are_kept_as_asked_for(change: Change, machine: Machine) -> None:
    assert machine.releases() == [change.before[machine.name], machine.serving()]


def test_the_calls_went_on_before_during_and_after_the_switch(change: Change) -> None:
    """Without this the next tests prove nothing."""
    assert len(change.stream.calls) > 60
    workers = [call.worker_id for call in change.stream.calls]
    assert workers[0] == change.worker_before
    assert workers[-1] == change.run.row(NAMES[0])["worker_ids"][0]


def test_no_request_through_the_proxy_is_lost_in_a_change(change: Change) -> None:
    assert [call for call in change.stream.calls if call.status != 200] == []


def test_every_dispatch_lands_on_the_hosts_old_or_new_worker(change: Change) -> None:
    own = {change.worker_before, *change.run.row(NAMES[0])["worker_ids"]}
    assert [call for call in change.stream.calls if call.worker_id not in own] == []


def test_the_agent_of_every_real_call_comes_into_its_room(change: Change) -> None:
    real = [call for call in change.stream.calls if call.real]
    assert len(real) > 12
    assert [call for call in real if not call.joined] == []


# --- time ------------------------------------------------------------------------------------------------------------


def duration(run: Run) -> float:
    report = run.report
    return (datetime.fromisoformat(report["finished"]) - datetime.fromisoformat(report["started"])).total_seconds()


@dataclass(frozen=True)
class Verifications:
    """One verification of one host, and one of both."""

    one: Run
    two: Run
    unchanged: bool


@pytest.fixture(scope="module")
def verifications(lab: Lab, again: Run) -> Verifications:
    assert again.rc == 0
    before = [machine.state() for machine in lab.machines]
    one = lab.play("playbooks/verify.yml", limit=NAMES[0])
    two = lab.play("playbooks/verify.yml")
    return Verifications(one, two, before == [machine.state() for machine in lab.machines])


def test_verification_takes_no_longer_for_two_hosts_than_for_one(verifications: Verifications) -> None:
    one, two = verifications.one, verifications.two
    assert (sorted(one.report["hosts"]), sorted(two.report["hosts"])) == (NAMES[:1], NAMES)
    assert duration(two) < 1.5 * duration(one)


def test_verification_is_green_and_changes_nothing(verifications: Verifications) -> None:
    assert (verifications.one.rc, verifications.two.rc) == (0, 0)
    assert (verifications.one.changed, verifications.two.changed) == ({}, {})
    assert verifications.unchanged


def test_the_reports_are_where_the_documentation_says(lab: Lab) -> None:
    """Of a run that contacts nobody, so that it is quick."""
    expected = ROOT / "build/reports/verify.json"
    run = lab.play(
        "playbooks/verify.yml",
        inventory=[ROOT / "inventory/example/hosts.yml"],
        LIVEKIT_DEPLOY_REPORTS=str(expected.parent),
    )
    assert run.rc != 0
    assert expected.stat().st_mtime > Path(lab.scratch).stat().st_mtime - 1
    assert sorted(run.reports["verify"]["hosts"]) == ["staging-01", "staging-02"]
