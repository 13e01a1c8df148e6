"""A new host as a provider hands it over: sudo with a password, another SSH port; entered, made ready, deployed to."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.harness import Lab, Machine, Run

NEW, OTHER = "staging-1", "staging-2"
USER, PORT, PASSWORD = "cloud", 2222, "correct horse battery staple"
AGENT = "sidekick-staging-1"
OS_RELEASE = 'ID=arch\nPRETTY_NAME="Arch Linux"\n'


def hand_over(machine: Machine) -> None:
    """What a provider makes: a user who needs a password for sudo, and sshd on another port. The first sshd stays."""
    machine.sh(
        f"useradd -m -s /bin/bash {USER}; echo '{USER}:{PASSWORD}' | chpasswd; echo '{USER} ALL=(ALL) ALL' "
        f">/etc/sudoers.d/{USER}; install -d -m 0700 -o {USER} -g {USER} /home/{USER}/.ssh; "
        f"install -m 0600 -o {USER} -g {USER} /home/deploy/.ssh/authorized_keys /home/{USER}/.ssh/; "
        f"/usr/sbin/sshd -p {PORT} -o PidFile=/run/sshd-{PORT}.pid"
    )


def take_back(machine: Machine) -> None:
    machine.sh(
        f"[ ! -e /run/sshd-{PORT}.pid ] || kill $(cat /run/sshd-{PORT}.pid); sleep 0.5; "
        f"userdel -rf {USER}; rm -f /etc/sudoers.d/{USER} /run/sshd-{PORT}.pid; "
        "ln -sf ../usr/lib/os-release /etc/os-release",
        check=False,
    )


@dataclass(frozen=True)
class Arrival:
    runs: dict[str, Run]
    inventory: str
    """The file before and after the entry."""
    entered: str
    other: list[Any]
    sshd: list[str]


@pytest.fixture(scope="module")
def arrival(deployed: Lab, first: Machine, second: Machine) -> Iterator[Arrival]:
    lab, runs = deployed, {}
    # Beside the lab's own: its variables name files by their place.
    directory = lab.inventory.parent.with_name("inventory-new")
    hosts = directory / "hosts.yml"
    lab.varied.add(NEW)
    take_back(first)
    shutil.rmtree(directory, ignore_errors=True)
    try:
        runs["remove"] = lab.play("playbooks/remove.yml", extra_vars={"remove_host": NEW})
        hand_over(first)
        before = inventory_without(lab, hosts)
        other, sshd = (
            [second.state(), second.sh("docker inspect $(docker ps -q)")],
            [first.sh("sha256sum /etc/ssh/sshd_config")],
        )
        entry = {"new_host": NEW, "new_address": first.address, "new_user": USER, "new_port": PORT}
        runs["enter"] = lab.play("playbooks/new_host.yml", inventory=[hosts], extra_vars=entry)
        runs["enter again"] = lab.play("playbooks/new_host.yml", inventory=[hosts], extra_vars=entry)
        entered = hosts.read_text()

        def add(step: str, playbook: str = "playbooks/add_host.yml", **extra_vars: Any) -> None:
            runs[step] = lab.play(playbook, inventory=[hosts], limit=NEW, extra_vars=extra_vars)

        add("no password")
        add("wrong password", ansible_become_password=f"{PASSWORD}-not")
        add("wrong user", ansible_user="nobody-here")
        add("wrong port", ansible_port=2223)
        password_of(directory, PASSWORD)
        first.sh(f"rm /etc/os-release; printf %s {shlex.quote(OS_RELEASE)} >/etc/os-release")
        add("unsupported system", "playbooks/provision.yml")
        first.sh("ln -sf ../usr/lib/os-release /etc/os-release")
        add("add")
        runs["verify"] = lab.play("playbooks/verify.yml", inventory=[hosts])
        other += [second.state(), second.sh("docker inspect $(docker ps -q)")]
        sshd.append(first.sh("sha256sum /etc/ssh/sshd_config"))
        yield Arrival(runs, before, entered, other, sshd)
    finally:
        take_back(first)
        shutil.rmtree(directory, ignore_errors=True)
        back = lab.play("playbooks/add_host.yml", limit=NEW)
        assert back.rc == 0, back.stdout
        lab.varied.discard(NEW)


def inventory_without(lab: Lab, path: Path) -> str:
    """The lab's inventory without the host, as a person keeps it."""
    document = json.loads(lab.inventory.read_text())
    del document["agent_hosts"]["hosts"][NEW]
    path.parent.mkdir(mode=0o700)
    path.touch(mode=0o600)
    path.write_text(f"# Ours\n{yaml.safe_dump(document, sort_keys=False)}# The end\n")
    return path.read_text()


def password_of(directory: Path, password: str) -> None:
    (directory / "host_vars").mkdir()
    path = directory / "host_vars" / f"{NEW}.yml"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"ansible_become_password": password}))


def test_host_was_taken_out_before(arrival: Arrival) -> None:
    assert arrival.runs["remove"].rc == 0, arrival.runs["remove"].stdout


def test_entry_is_written_with_a_name_of_its_own_and_nothing_else_moves(arrival: Arrival) -> None:
    assert arrival.runs["enter"].rc == 0, arrival.runs["enter"].stdout
    entered = yaml.safe_load(arrival.entered)["agent_hosts"]["hosts"][NEW]
    assert (entered["ansible_user"], entered["ansible_port"], entered["livekit_agent_name"]) == (USER, PORT, AGENT)
    lines = iter(arrival.entered.splitlines())
    assert all(line in lines for line in arrival.inventory.splitlines())


def test_next_command_is_told(arrival: Arrival) -> None:
    assert f"playbooks/add_host.yml --limit {NEW}" in arrival.runs["enter"].stdout


def test_entry_is_never_overwritten(arrival: Arrival) -> None:
    assert arrival.runs["enter again"].rc != 0
    assert f"the inventory has {NEW} already" in " ".join(arrival.runs["enter again"].stdout.split())


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("no password", ["sudo wants a password and none is set", "ansible_become_password"]),
        ("wrong password", ["sudo refuses the password", "ansible_become_password"]),
        ("wrong user", ["sshd lets nobody in", "ansible_user"]),
        ("wrong port", ["nothing listens at its address and port", "ansible_port"]),
        ("unsupported system", ["Arch Linux", "debian 13", "docker_host_allow_unsupported"]),
    ],
)
def test_access_that_fails_is_told(arrival: Arrival, step: str, words: list[str]) -> None:
    run = arrival.runs[step]
    assert (run.rc != 0, run.changed) == (True, {})
    reason = run.reason(NEW)
    assert [word for word in [*words, "found: ", "expected"] if word not in reason] == [], reason


@pytest.mark.parametrize("step", ["no password", "wrong password", "add", "verify"])
def test_password_is_nowhere(arrival: Arrival, step: str) -> None:
    assert PASSWORD not in arrival.runs[step].transcript


def test_new_host_is_made_ready_and_proven_in_one_run(arrival: Arrival) -> None:
    assert arrival.runs["add"].rc == 0, arrival.runs["add"].stdout
    row = arrival.runs["add"].row(NEW)
    assert (row["agent_name"], row["verdict"]) == (AGENT, "exclusive")


def test_both_hosts_are_proven_with_their_own_users_and_ports(arrival: Arrival) -> None:
    assert arrival.runs["verify"].rc == 0, arrival.runs["verify"].stdout
    assert {row["verdict"] for row in arrival.runs["verify"].report["hosts"].values()} == {"exclusive"}


def test_other_host_is_not_touched(arrival: Arrival) -> None:
    assert arrival.other[:2] == arrival.other[2:]
    touched = {host for step in ("remove", "enter", "add") for host in arrival.runs[step].hosts()}
    assert OTHER not in touched


def test_sshd_is_not_changed(arrival: Arrival) -> None:
    assert arrival.sshd[0] == arrival.sshd[1]
