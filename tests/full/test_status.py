"""The status of the fleet: a line for each host, also one that cannot be reached, and a report that says the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.livekit_deploy.fleet.status_text import status_lines

from tests.e2e.harness import Lab, Run


@pytest.fixture(scope="module")
def told(deployed: Lab, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The status of both hosts and one that does not answer, after a verification of the first that is remembered."""
    reports = str(tmp_path_factory.mktemp("reports"))
    verified = deployed.play("playbooks/verify.yml", limit=deployed.machines[0].name, LIVEKIT_DEPLOY_REPORTS=reports)
    assert verified.rc == 0, verified.stdout
    gone = deployed.inventory_of("gone", deployed.newcomer("gone", "127.0.0.1", ansible_port=1))
    return deployed.play("playbooks/status.yml", inventory=gone, LIVEKIT_DEPLOY_REPORTS=reports)


def shown(run: Run) -> list[str]:
    """The table and what stands under it."""
    end = run.stdout.split("PLAY RECAP")[1].split("Report: ")[0]
    return end[end.index("  host ") :].rstrip().splitlines()


def test_a_status_changes_nothing_and_does_not_fail_because_of_a_host_out_of_reach(told: Run) -> None:
    assert (told.rc, told.changed) == (0, {})


@pytest.mark.parametrize("number", [0, 1])
def test_a_host_is_told_with_what_it_serves(deployed: Lab, told: Run, number: int) -> None:
    machine = deployed.machines[number]
    row = told.reports["status"]["hosts"][machine.name]
    assert (row["state"], row["release"], row["notes"]) == ("serving", machine.serving(), [])
    log = machine.sh(f"docker logs {machine.service('agent-worker').id} 2>&1 | grep 'registered worker' | tail -1")
    assert f'"{row["worker_id"]}"' in log
    assert (row["jobs"], bool(row["sdk_version"]), bool(row["since"])) == (0, True, True)


def test_only_the_host_that_was_verified_has_a_verdict(deployed: Lab, told: Run) -> None:
    first, second = (told.reports["status"]["hosts"][machine.name]["verdict"] for machine in deployed.machines)
    assert (first["verdict"], first["ok"], second) == ("exclusive", True, None)
    assert 0 <= first["age_seconds"] < 60


def test_a_host_out_of_reach_is_a_line_that_says_so(told: Run) -> None:
    (line,) = [line for line in shown(told) if line.split()[:1] == ["gone"]]
    assert "unreachable: " in line
    assert "Connection refused" in line


def test_table_and_report_say_the_same(told: Run) -> None:
    document: Any = told.reports["status"]
    lines = status_lines(document)
    assert len(lines) == 7
    assert shown(told) == lines


def test_a_status_of_an_empty_inventory_says_that_nothing_is_configured(lab: Lab, tmp_path: Path) -> None:
    empty = tmp_path / "empty.yml"
    empty.write_text("agent_hosts: {hosts: {}}\n")
    run = lab.play("playbooks/status.yml", inventory=[empty])
    assert run.rc != 0
    assert "Nothing is configured" in run.said
