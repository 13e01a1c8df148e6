"""Docker itself is killed under the lab: `lab.py up` repairs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.harness import Container, Lab, Machine, as_root, docker, lab_command, lab_containers, text_of

PID_FILE = Path("/var/run/docker.pid")
BACK_WITHIN_SECONDS = 60


@dataclass(frozen=True)
class Killed:
    before: dict[str, tuple[str, str]]
    inner: dict[str, list[Container]]
    said: str


def children(pid: int) -> list[int]:
    return [int(child) for child in text_of(["pgrep", "-P", str(pid)], check=False).split()]


def kill_docker() -> None:
    """As an out-of-memory killer does: the daemon and the containerd it started, with no chance to clear up."""
    if Path("/run/systemd/system").is_dir():
        text_of([*as_root(), "systemctl", "kill", "--signal=KILL", "docker.service", "containerd.service"])
        return
    daemon = int(PID_FILE.read_text())
    assert (Path("/proc") / str(daemon) / "comm").read_text().strip() == "dockerd"
    pids = [daemon, *(pid for pid in children(daemon) if comm(pid) == "containerd")]
    text_of([*as_root(), "kill", "-s", str(int(signal.SIGKILL)), *map(str, pids)])
    deadline = time.monotonic() + 10
    while any(comm(pid) for pid in pids):
        assert time.monotonic() < deadline, "the daemon is still there"
        time.sleep(0.1)
    # The number in the file it left is soon that of another process: of this one, here.
    subprocess.run(
        [*as_root(), "tee", str(PID_FILE)], input=str(os.getpid()), text=True, stdout=subprocess.DEVNULL, check=True
    )


def comm(pid: int) -> str:
    """Name of a process; empty when it is gone or only waited for."""
    try:
        status = (Path("/proc") / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    name, state = status[status.index("(") + 1 : status.rindex(")")], status[status.rindex(")") + 2]
    return "" if state == "Z" else name


def wait_until_registered(machine: Machine) -> None:
    """Until the serving worker has registered since its container was started again."""
    deadline = time.monotonic() + BACK_WITHIN_SECONDS
    while time.monotonic() < deadline:
        workers = [c for c in machine.containers() if c.service == "agent-worker"]
        logs = [machine.sh(f"docker logs --since {c.started_at} {c.id} 2>&1") for c in workers]
        if logs and all('"registered worker"' in log for log in logs):
            return
        time.sleep(1)
    pytest.fail(f"the worker on {machine.name} did not come back by itself")


@pytest.fixture(scope="module")
def killed(serving: Lab) -> Killed:
    before = lab_containers()
    inner = {machine.name: machine.containers() for machine in serving.machines}
    kill_docker()
    return Killed(before, inner, lab_command("up", "--hosts", str(len(serving.machines))))


def test_a_lab_whose_docker_was_killed_is_repaired_and_not_made_anew(killed: Killed) -> None:
    after = lab_containers()
    assert {name: made[0] for name, made in after.items()} == {name: made[0] for name, made in killed.before.items()}
    running = docker("ps", "--format", "{{.Names}}").split()
    assert set(after) <= set(running)


def test_the_hosts_had_stopped_with_docker_and_were_started(killed: Killed) -> None:
    """Without this the next test proves nothing."""
    for name, (_id, started_at) in lab_containers().items():
        assert started_at != killed.before[name][1]


def test_each_hosts_own_containers_come_back_by_themselves(killed: Killed, lab: Lab) -> None:
    for machine in lab.machines:
        wait_until_registered(machine)
        assert [c.id for c in machine.containers()] == [c.id for c in killed.inner[machine.name]]


def test_verification_is_green_again_without_a_deployment(killed: Killed, lab: Lab) -> None:
    assert killed.said
    for machine in lab.machines:
        wait_until_registered(machine)
    run = lab.play("playbooks/verify.yml")
    assert run.rc == 0, json.dumps(run.report, indent=2)
