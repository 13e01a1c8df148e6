"""The interruption matrix: one row for each thing that may happen to a host, and how it is made to happen."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from lab import lab as fleet
from tests.e2e.harness import API_PORTS, APP, QUICK, STEPS, Lab, Machine, Terminal, docker, with_fault

LIVEKIT_AWAY_SECONDS = SSH_AWAY_SECONDS = 8.0
SMALL_DISK_MB = 4
PORT_UNIT = "somebody-elses-port"
FILLER = f"/opt/{APP}/filler"
LARGE_TAG = "large"
# Where an Engine puts a layer while it comes.
DOCKER_TMP = "/var/lib/docker/tmp"


@dataclass(frozen=True)
class Scene:
    """Where a disturbance strikes."""

    lab: Lab
    machine: Machine
    run: Terminal | None = None
    """The deployment that goes on; none with nothing going on."""


Strike = Callable[[Scene], None]
Around = Callable[[Scene], AbstractContextManager[None]]


@dataclass(frozen=True)
class Case:
    """One row. Without `step` and `change` nothing is deployed while it strikes."""

    name: str
    step: str = ""
    """The step of a deployment in which it strikes."""
    strike: Strike | None = None
    change: Mapping[str, Any] = field(default_factory=dict)
    """What the deployment has of its own."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the next one has, too."""
    around: Around = lambda _scene: nullcontext()
    """What is so before the deployment, and no longer when the next one comes."""
    away: bool = False
    """Calls may be lost from the strike until the worker is registered again; else none at all."""
    fails: bool = False
    """The deployment has to fail and to leave the host as it was; else it may end either way."""
    says: str = ""
    """Words of the reason that it has to fail for."""
    pool: bool = False
    """The calls go to the second host, which has the same name."""

    @property
    def deploys(self) -> bool:
        return bool(self.step or self.change)


# --- what happens ----------------------------------------------------------------------------------------------------


def send(number: signal.Signals, scene: Scene) -> None:
    assert scene.run
    scene.run.send(number)


def reboot(scene: Scene) -> None:
    docker("restart", f"lkad-{scene.machine.name}")


def restart_docker(scene: Scene) -> None:
    scene.machine.sh("systemctl restart docker")


def lose_ssh(scene: Scene) -> None:
    """The controller's connections break and no new one is taken for a while."""
    host = f"lkad-{scene.machine.name}"
    docker("exec", host, "systemctl", "stop", "ssh.service")
    try:
        docker("exec", host, "pkill", "-KILL", "-f", "^sshd-session: ")
        time.sleep(SSH_AWAY_SECONDS)
    finally:
        docker("exec", host, "systemctl", "start", "ssh.service")


def take_livekit_away(scene: Scene) -> None:
    # Asked to stop, it would wait for the calls that are in progress, and take new ones meanwhile.
    scene.lab.livekit.sh("systemctl kill --signal SIGKILL livekit-server@main; systemctl stop livekit-server@main")
    try:
        time.sleep(LIVEKIT_AWAY_SECONDS)
    finally:
        scene.lab.livekit.sh("systemctl start livekit-server@main")


def fill_disk(scene: Scene) -> None:
    scene.machine.sh(f"dd if=/dev/zero of={FILLER} bs=4k", check=False)
    assert scene.machine.sh(f"df --output=avail /opt/{APP}").split()[-1] == "0"


@contextmanager
def port_taken(scene: Scene) -> Iterator[None]:
    """Somebody else listens on the port that the next API would have."""
    used = scene.machine.record(scene.machine.serving() or "")["api_port"]
    free = next(port for port in API_PORTS if port != used)
    scene.machine.sh(f"systemd-run --quiet --unit {PORT_UNIT} python3 -m http.server --bind 127.0.0.1 {free}")
    try:
        yield
    finally:
        scene.machine.sh(f"systemctl stop {PORT_UNIT}")


# It has less free than a deployment asks for.
ON_SMALL_DISK = {"agent_release_min_free_mb": 0}


@contextmanager
def small_disk(scene: Scene) -> Iterator[None]:
    """The application's directory on a disk of its own, which a few files fill. It stays until `leave_small_disk`."""
    app = f"/opt/{APP}"
    if not on_small_disk(scene.machine):
        mount = f"mount -t tmpfs -o size={SMALL_DISK_MB}m,mode=755 tmpfs"
        scene.machine.sh(
            f"mkdir /opt/.small && {mount} /opt/.small && cp -a {app}/. /opt/.small && mount --move /opt/.small {app}"
        )
        redeploy(scene)
    try:
        yield
    finally:
        scene.machine.sh(f"rm -f {FILLER}")


def on_small_disk(machine: Machine) -> bool:
    return machine.sh(f"mountpoint -q /opt/{APP} && echo yes", check=False) == "yes"


def leave_small_disk(scene: Scene) -> None:
    app = f"/opt/{APP}"
    if on_small_disk(scene.machine):
        scene.machine.sh(
            f"cp -a {app} /opt/.kept && umount -l {app} && rm -rf {app} && mv /opt/.kept {app}; rm -rf /opt/.small"
        )
        redeploy(scene)


def redeploy(scene: Scene) -> None:
    """Containers see the gate of the directory they were made with."""
    run = scene.lab.play("deploy.yml", extra_vars={"force_release": True, **ON_SMALL_DISK}, limit=scene.machine.name)
    assert run.rc == 0, run.stdout


def push_large_image() -> None:
    """Push the worker's image with a layer more that is larger than `full_docker_disk` lets come."""
    tag = f"{fleet.PREFIX}/sidekick-worker:{LARGE_TAG}"
    with tempfile.TemporaryDirectory() as context:
        Path(context, "layer").write_bytes(os.urandom(2**20))
        Path(context, "Dockerfile").write_text(f"FROM {fleet.application_images()['worker']}\nCOPY layer /opt/layer\n")
        fleet.build_image(tag, Path(context))
    fleet.push(tag, "sidekick-worker")


@contextmanager
def full_docker_disk(scene: Scene) -> Iterator[None]:
    """The Engine has hardly any space for what it pulls."""
    push_large_image()
    scene.machine.sh(f"mount -t tmpfs -o size=64k,mode=700 tmpfs {DOCKER_TMP}")
    try:
        yield
    finally:
        scene.machine.sh(f"umount {DOCKER_TMP}")


@contextmanager
def pool_of_two(scene: Scene) -> Iterator[None]:
    """Both hosts have one name; the next deployment gives each its own again."""
    name = "sidekick-pool"
    hosts = {machine.name: {"livekit_agent_name": name, "livekit_agent_pool": name} for machine in scene.lab.machines}
    run = scene.lab.play("deploy.yml", inventory=scene.lab.inventory_of("pool", hosts))
    assert run.rc == 0, run.stdout
    yield


# --- the rows --------------------------------------------------------------------------------------------------------


def broken_image(name: str, fault: str) -> Case:
    return Case(f"new image {name}", change=with_fault(fault, **QUICK), fails=True)


def away(what: str, strike: Strike) -> list[Case]:
    """Before the switch, after it, and with nothing going on."""
    return [
        Case(f"{what} before the switch", "prove", strike, away=True),
        Case(f"{what} after the switch", "verify", strike, away=True),
        Case(f"{what} with nothing going on", strike=strike, away=True),
    ]


LARGE_IMAGE = {"livekit_agent_image": f"{{{{ docker_host_insecure_registries[0] }}}}/sidekick-worker:{LARGE_TAG}"}
UNHEALTHY = {"agent_api_health_path": "/nowhere", "agent_api_start_timeout_seconds": 3}


def titled(step: str) -> str:
    """As the dated results call it."""
    return {"start_worker": "start the worker", "start_api": "start the API"}.get(step, step)


CASES = [
    *(Case(f"Ctrl-C: {titled(step)}", step, partial(send, signal.SIGINT)) for step in STEPS),
    *(Case(f"SIGKILL: {titled(step)}", step, partial(send, signal.SIGKILL)) for step in STEPS),
    *(Case(f"SSH lost: {titled(step)}", step, lose_ssh) for step in ("start_worker", "switch", "verify")),
    broken_image("crashes", "crashes"),
    broken_image("hangs", "hangs"),
    broken_image("never registers", "never_registers"),
    broken_image("hard-codes a name", "hardcoded_name"),
    broken_image("raises in its entrypoint", "entrypoint_raises"),
    broken_image("registers and then flaps", "flaps"),
    Case("API unhealthy", change=UNHEALTHY, fails=True),
    Case("port of the API taken", around=port_taken, change={"agent_api_start_timeout_seconds": 3}, fails=True),
    *away("reboot of the host", reboot),
    *away("restart of Docker", restart_docker),
    *away("LiveKit away and back", take_livekit_away),
    Case("reboot of one host of a pool of two", strike=reboot, around=pool_of_two, pool=True),
    Case(
        "less disk free than asked for",
        change={"agent_release_min_free_mb": 10**9},
        fails=True,
        says="agent_release_min_free_mb",
    ),
    Case(
        "disk of Docker full",
        change=LARGE_IMAGE,
        around=full_docker_disk,
        fails=True,
        says="no space left on this host",
    ),
    Case("disk full before the switch", "start_worker", fill_disk, settings=ON_SMALL_DISK, around=small_disk),
    Case("disk full after the switch", "verify", fill_disk, settings=ON_SMALL_DISK, around=small_disk),
]
