"""A host that is rebooted serves again by itself; the matrix of interruptions has it under calls."""

from __future__ import annotations

import time
from contextlib import suppress
from urllib.request import urlopen

from tests.e2e.harness import NGINX, Lab, Machine, docker, wait_for


def answer_of(machine: Machine, seconds: float = 60) -> int:
    """The API's status through the proxy: an API that starts later than its worker is waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(OSError), urlopen(f"http://{machine.address}:{NGINX}/healthz", timeout=10) as answer:
            return int(answer.status)
        time.sleep(0.5)
    return 0


def test_reboot_brings_a_release_back_by_itself(deployed: Lab, second: Machine) -> None:
    before = {container.service: container.id for container in second.containers()}
    docker("restart", f"lkad-{second.name}")
    for container in before.values():
        wait_for(second, "docker ps --no-trunc -q", container)
    wait_for(second, f"docker logs {before['agent-worker']}", '"registered worker"', times=2)
    assert answer_of(second) == 200
    run = deployed.play("playbooks/verify.yml", limit=second.name)
    assert run.rc == 0, run.stdout
