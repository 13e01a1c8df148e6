"""Somebody else lives on the host, too: whatever we do to it, nothing of theirs differs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.harness import Lab, Machine, Run

NAME = "staging-2"
STEPS = ("provision", "deploy", "rollback", "remove", "add")
SITE_PORT = 8098
UNIT = "neighbour.service"
FILES = {
    "/etc/nginx/conf.d/neighbour.conf": f"server {{ listen {SITE_PORT}; return 204; }}\n",
    "/etc/cron.d/neighbour": "17 3 * * * root /bin/true\n",
    f"/etc/systemd/system/{UNIT}": "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n",
    "/srv/neighbour/data.txt": "theirs\n",
    "/opt/neighbour/app.txt": "theirs\n",
}
OURS = "! -name '*livekit-agent-deploy*' ! -path '*/livekit-agent-deploy/*'"


def plant(machine: Machine) -> None:
    image = machine.service("fastapi").image
    for path, text in FILES.items():
        machine.sh(
            f"mkdir -p $(dirname {path}); printf %s {shlex.quote(text)} >{path}; touch -d '2026-01-01 00:00' {path}"
        )
    machine.sh(
        f"systemctl daemon-reload; systemctl enable --now {UNIT}; systemctl reload nginx; "
        # An image under our digest and a name of theirs; an unused one; a stopped container; an unmounted volume.
        f"docker tag {image} neighbour/app:1; tar -C /etc -c hostname | docker import - neighbour/unused:1; "
        "docker network create neighbour-net; docker volume create neighbour-data; docker volume create "
        "neighbour-unused; docker run -d --name neighbour-web --restart unless-stopped --network neighbour-net -v "
        "neighbour-data:/data --entrypoint sleep neighbour/app:1 infinity; "
        "docker create --name neighbour-stopped --network neighbour-net --entrypoint true neighbour/app:1"
    )


def clean(machine: Machine) -> None:
    machine.sh(
        "docker rm -f neighbour-web neighbour-stopped; docker network rm neighbour-net; docker volume rm "
        "neighbour-data neighbour-unused; docker rmi neighbour/app:1 neighbour/unused:1; systemctl disable --now "
        f"{UNIT}; rm -rf {' '.join(FILES)} /srv/neighbour /opt/neighbour; systemctl daemon-reload; "
        "systemctl reload nginx",
        check=False,
    )


def fingerprint(machine: Machine) -> dict[str, Any]:
    """All that is theirs, and what both use: the daemons are never restarted."""
    inspect = "docker inspect neighbour-web neighbour-stopped; docker network inspect neighbour-net"
    files = (
        f"$(find /etc/nginx /etc/cron.d /srv/neighbour /opt/neighbour /etc/systemd/system/{UNIT} -type f {OURS} | sort)"
    )
    return {
        "containers and network": json.loads(f"[{machine.sh(inspect).replace(']' + chr(10) + '[', '],[')}]"),
        "volumes": json.loads(machine.sh("docker volume inspect neighbour-data neighbour-unused")),
        "images": machine.sh(
            "docker image ls --no-trunc --format '{{.ID}} {{.Repository}}:{{.Tag}}' 'neighbour/*' | sort"
        ),
        "files": machine.sh(f"stat -c '%n %a %U %G %Y' {files}; sha256sum {files}"),
        "unit": machine.sh(f"systemctl show {UNIT} -p MainPID,ActiveState,ActiveEnterTimestamp,UnitFileState"),
        "daemons": machine.sh("systemctl show docker nginx cron ssh -p Id,MainPID,ActiveEnterTimestamp --value"),
        "site": machine.sh(
            f"python3 -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{SITE_PORT}/').status)\""
        ),
        "sshd": machine.sh("sha256sum /etc/ssh/sshd_config $(find /etc/ssh/sshd_config.d -type f)"),
    }


@dataclass(frozen=True)
class Life:
    runs: dict[str, Run]
    before: dict[str, Any]
    after: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def life(deployed: Lab, second: Machine) -> Iterator[Life]:
    lab, runs, after = deployed, {}, {}
    lab.varied.add(NAME)
    clean(second)
    try:
        plant(second)
        before = fingerprint(second)
        playbooks: dict[str, tuple[str, dict[str, Any], str]] = {
            "provision": ("playbooks/provision.yml", {}, NAME),
            "deploy": ("deploy.yml", {"livekit_agent_memory": "1701m", "agent_release_keep": 1}, NAME),
            "rollback": ("playbooks/rollback.yml", {"rollback_to": "previous"}, NAME),
            # Without a limit: the name is enough.
            "remove": ("playbooks/remove.yml", {"remove_host": NAME}, ""),
            "add": ("playbooks/add_host.yml", {}, NAME),
        }
        for step in STEPS:
            playbook, extra_vars, limit = playbooks[step]
            runs[step] = lab.play(playbook, extra_vars=extra_vars, limit=limit)
            after[step] = fingerprint(second)
        yield Life(runs, before, after)
    finally:
        clean(second)
        back = lab.play("playbooks/add_host.yml", limit=NAME)
        assert back.rc == 0, back.stdout
        lab.varied.discard(NAME)


@pytest.mark.parametrize("step", STEPS)
def test_each_step_succeeds(life: Life, step: str) -> None:
    """Without this the next test would prove nothing."""
    assert life.runs[step].rc == 0, life.runs[step].stdout


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "what", ["containers and network", "volumes", "images", "files", "unit", "daemons", "site", "sshd"]
)
def test_nothing_of_theirs_differs(life: Life, step: str, what: str) -> None:
    assert life.after[step][what] == life.before[what]


def test_what_was_planted_is_there(life: Life) -> None:
    assert life.before["site"] == "204"
    assert len(life.before["containers and network"]) >= 1
    assert "neighbour/unused:1" in life.before["images"]


def test_removed_host_is_proven_anew(life: Life) -> None:
    assert life.runs["add"].row(NAME)["verdict"] == "exclusive"
