"""A host that is rebooted serves again by itself; the matrix of interruptions has it under calls."""

from __future__ import annotations

from urllib.request import urlopen

from tests.e2e.harness import NGINX, Lab, Machine, docker, wait_for


def test_reboot_brings_a_release_back_by_itself(deployed: Lab, second: Machine) -> None:
    before = {container.service: container.id for container in second.containers()}
    docker("restart", f"lkad-{second.name}")
    for container in before.values():
        wait_for(second, "docker ps --no-trunc -q", container)
    wait_for(second, f"docker logs {before['agent-worker']}", '"registered worker"', times=2)
    assert urlopen(f"http://{second.address}:{NGINX}/healthz", timeout=10).status == 200
    assert deployed.play("playbooks/verify.yml", limit=second.name).rc == 0
