"""A bare host: refused until it is provisioned, and as it was before when its first deployment fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.e2e.harness import APP, Lab, Machine, Run, lab_command

NAME = "bare-1"
FAULTS = {
    "a worker that never registers": {
        "livekit_agent_env": {"SIDEKICK_FAULT": "never_registers"},
        "livekit_agent_register_timeout_seconds": 8,
    },
    "a worker whose entrypoint raises": {
        "livekit_agent_env": {
            "SIDEKICK_FAULT": "entrypoint_raises",
            "SIDEKICK_LOAD": "0",
            "SIDEKICK_LOAD_THRESHOLD": "inf",
        },
        "verification_preview_deadline_seconds": 8,
    },
    "a proxy that is not where it should be": {
        "livekit_agent_env": {"SIDEKICK_LOAD": "0", "SIDEKICK_LOAD_THRESHOLD": "inf"},
        "verification_preview": {"url": "http://{{ ansible_host }}:81/v1/preview"},
    },
}


@dataclass(frozen=True)
class Bare:
    machine: Machine
    lab: Lab
    inventory: Path

    def play(self, playbook: str, **options: Any) -> Run:
        return self.lab.play(playbook, inventory=self.inventory, limit=NAME, **options)

    def docker(self, command: str) -> list[str]:
        return self.machine.sh(f"docker {command}").splitlines()


@pytest.fixture(scope="module")
def bare(lab: Lab) -> Iterator[Bare]:
    made = json.loads(lab_command("host-up", NAME).splitlines()[0])[0]
    assert made["name"] == NAME
    registry = [lab.document["registry"]]
    host = lab.newcomer(NAME, made["address"], docker_host_insecure_registries=registry)
    yield Bare(lab.machine(NAME, made["address"]), lab, lab.inventory_of("bare", host))
    lab_command("host-down", NAME)


@pytest.fixture(scope="module")
def refused(bare: Bare) -> Run:
    return bare.play("deploy.yml")


@pytest.fixture(scope="module")
def provisioned(bare: Bare, refused: Run) -> Bare:
    assert refused.rc != 0
    run = bare.play("playbooks/provision.yml")
    assert run.rc == 0, run.stdout
    return bare


@pytest.fixture(scope="module", params=FAULTS)
def failed(request: pytest.FixtureRequest, provisioned: Bare) -> Run:
    run = provisioned.play("deploy.yml", extra_vars=FAULTS[request.param])
    assert run.rc != 0
    return run


def test_a_host_that_was_not_provisioned_is_refused_with_the_command(refused: Run, bare: Bare) -> None:
    command = (
        f"ansible-playbook -i {bare.lab.document['inventory']} -i {bare.inventory} playbooks/provision.yml "
        f"--limit {NAME}"
    )
    assert refused.rc != 0
    assert command in refused.reason(NAME)
    assert "lacks Docker" in refused.reason(NAME)
    assert "expected a provisioned host" in refused.reason(NAME)


def test_a_refused_host_is_still_bare(refused: Run) -> None:
    assert refused.changed == {}


def test_the_reason_says_that_nothing_serves(failed: Run) -> None:
    assert "Serving now: nothing (there was no release before)" in " ".join(failed.stdout.split())


def test_a_failed_first_deployment_leaves_no_container(failed: Run, bare: Bare) -> None:
    assert (failed.rc, bare.docker("ps -aq")) == (2, [])


def test_a_failed_first_deployment_leaves_no_network(failed: Run, bare: Bare) -> None:
    assert (failed.rc, bare.machine.networks()) == (2, [])


def test_a_failed_first_deployment_leaves_no_release(failed: Run, bare: Bare) -> None:
    assert (failed.rc, bare.machine.releases(), bare.machine.serving()) == (2, [], None)


def test_the_proxy_answers_that_nothing_serves(failed: Run, bare: Bare) -> None:
    assert failed.rc == 2
    upstream = bare.machine.sh(f"cat /etc/nginx/livekit-agent-deploy/{APP}.upstream.conf")
    assert "server 127.0.0.1:9 down;" in upstream
    with pytest.raises(HTTPError, match="502"):
        urlopen(f"http://{bare.machine.address}/healthz", timeout=5)
