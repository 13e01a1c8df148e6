"""What somebody changes by hand on a host: verify names it, deploy replaces it by a new release."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.harness import APP, Lab, Run

CURRENT = f"/opt/{APP}/current"
OVERRIDE = '{"services": {"agent-worker": {"environment": {"AGENT_NAME": "by-hand"}}}}'
EDIT_A_FILE = f"echo '# by hand' >>{CURRENT}/compose.yml"
OTHER_ENVIRONMENT = (
    f"cd {CURRENT} && echo '{OVERRIDE}' >/tmp/by-hand.yml && "
    "docker compose -f compose.yml -f /tmp/by-hand.yml up -d agent-worker && rm /tmp/by-hand.yml"
)


@dataclass(frozen=True)
class Drift:
    """One edit by hand on each host, what verify says of it, and the deployment after it."""

    serving: list[str | None]
    verified: Run
    deployed: Run


def drift(lab: Lab, edits: tuple[str, str]) -> Drift:
    serving = [machine.serving() for machine in lab.machines]
    for machine, edit in zip(lab.machines, edits, strict=True):
        machine.sh(edit)
    # An agent that does not come is waited for until its deadline, and here it is known that it will not.
    verified = lab.play("playbooks/verify.yml", extra_vars={"verification_preview_deadline_seconds": 8})
    return Drift(serving, verified, lab.play("deploy.yml"))


@pytest.fixture(scope="module")
def edited(deployed: Lab) -> Drift:
    return drift(deployed, (EDIT_A_FILE, OTHER_ENVIRONMENT))


def check(run: Run, host: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(check for check in run.row(host)["checks"] if check["name"] == name)
    return found


def failed(run: Run, host: str) -> list[str]:
    return [check["name"] for check in run.row(host)["checks"] if not check["ok"]]


def test_verify_names_a_file_that_was_edited_by_hand(edited: Drift) -> None:
    assert check(edited.verified, "staging-1", "drift")["found"] == "compose.yml was edited by hand"


def test_nothing_else_is_wrong_with_a_host_whose_file_was_edited(edited: Drift) -> None:
    assert failed(edited.verified, "staging-1") == ["drift"]


def test_verify_names_a_container_that_was_made_anew_with_another_environment(edited: Drift) -> None:
    found = check(edited.verified, "staging-2", "drift")["found"]
    assert found == "the agent-worker container was made from another configuration"


def test_verify_names_the_wrong_value_in_the_environment(edited: Drift) -> None:
    assert check(edited.verified, "staging-2", "environment")["found"] == "agent-worker has AGENT_NAME 'by-hand'"


def test_verify_fails_on_drift_and_repairs_nothing(edited: Drift) -> None:
    assert edited.verified.rc != 0
    assert edited.verified.report["ok"] is False
    assert edited.verified.changed == {}


def test_a_drift_check_says_what_to_do(edited: Drift) -> None:
    assert check(edited.verified, "staging-1", "drift")["remedy"].startswith(
        "ansible-playbook -i build/lab/inventory/hosts.yml deploy.yml --limit staging-1"
    )


def test_deploy_makes_a_new_release_of_a_host_with_drift_and_is_green(edited: Drift) -> None:
    assert edited.deployed.rc == 0, edited.deployed.stdout
    for old, row in zip(edited.serving, edited.deployed.report["hosts"].values(), strict=True):
        assert (row["verdict"], row["release"] != old) == ("exclusive", True)


def test_a_new_release_after_drift_has_the_same_content(edited: Drift) -> None:
    for old, row in zip(edited.serving, edited.deployed.report["hosts"].values(), strict=True):
        assert str(old).rpartition("-")[2] == row["release"].rpartition("-")[2]


def test_only_the_new_releases_containers_are_left(edited: Drift, lab: Lab) -> None:
    for machine in lab.machines:
        expected = (edited.deployed.row(machine.name)["release"]).lower()
        assert [container.release for container in machine.containers(every=True)] == [expected, expected]
