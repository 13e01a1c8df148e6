"""Every playbook refuses what it cannot mean before a host is contacted, started from any directory and with no setting
of ours: run with ansible-core, with an ssh that notes each use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HOSTS = """
agent_hosts:
  vars:
    ansible_ssh_executable: {ssh}
    agent_release_app: sidekick
    livekit_url: wss://livekit.corp.test
    livekit_api_key: APIkey
    livekit_api_secret: x1y2x1y2x1y2x1y2x1y2x1y2x1y2x1y2
    livekit_agent_name: "sidekick-{{{{ inventory_hostname }}}}"
    livekit_agent_image: "corp.test/worker@sha256:{{{{ '0123456789abcdef' * 4 }}}}"
    agent_api_image: "corp.test/api@sha256:{{{{ '0123456789abcdef' * 4 }}}}"
  hosts:
    a: {{ansible_host: 10.255.255.1{more}}}
    b: {{ansible_host: 10.255.255.2}}
"""
WRONG = {
    "remove_prove=y": "remove_prove (given with -e) is 'y', expected true or false",
    "deploy_lock_wait_seconds=10s": (
        "deploy_lock_wait_seconds (given with -e) is '10s', expected a whole number from 0 on"
    ),
    "agent_release_keep=-1": "agent_release_keep (given with -e) is '-1', expected a whole number from 0 on",
    "livekit_agent_hook=t": "livekit_agent_hook (given with -e) is 't', expected true or false",
    "dryrun=true": (
        "dryrun (given with -e) is no variable of this project, expected one that a role's README names; "
        "did you mean dry_run?"
    ),
    "dry-run=true": "dry-run (given with -e) is no variable of this project",
    "dry_run": "-e has a word without a value, expected name=value",
}
# --limit leaves out the play on localhost. add_host.yml is provision.yml first.
LIMITED = ("deploy", "rollback", "verify", "status", "diagnose", "evict", "remove", "provision")
RUNS = [
    ("deploy.yml", []),
    ("playbooks/new_host.yml", []),
    *((f"playbooks/{name}.yml", ["--limit", "a"]) for name in LIMITED),
]


def run(folder: Path, playbook: str, *arguments: str, more: str = "") -> tuple[int, str, bool]:
    """The exit status, all that was said, and whether a host was contacted."""
    ssh, contacted = folder / "ssh", folder / "contacted"
    ssh.write_text(f"#!/bin/sh\necho used >>{contacted}\nexit 255\n")
    ssh.chmod(0o755)
    (folder / "hosts.yml").write_text(HOSTS.format(ssh=ssh, more=more))
    command = [
        str(Path(sys.executable).parent / "ansible-playbook"),
        "-i",
        "hosts.yml",
        str(ROOT / playbook),
        *arguments,
    ]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    environment |= {"LIVEKIT_DEPLOY_REPORTS": str(folder / "reports"), "COLUMNS": "1000"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    return done.returncode, " ".join((done.stdout + done.stderr).split()), contacted.exists()


@pytest.mark.parametrize(("playbook", "limit"), RUNS)
def test_every_playbook_refuses_each_wrong_value_and_name_at_once(
    tmp_path: Path, playbook: str, limit: list[str]
) -> None:
    given = [word for wrong in WRONG for word in ("-e", wrong)]
    status, said, contacted = run(
        tmp_path, playbook, *limit, *given, more=", livekit_agent_nmae: x, livekit_agent_memory: 512"
    )
    assert status != 0
    assert not contacted
    assert [words for words in WRONG.values() if words not in said] == []
    assert "a: livekit_agent_nmae is no variable of this project" in said
    assert "a: livekit_agent_memory has a value of type int that is no str, expected str: put it in quotes" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("playbook", "given", "words"),
    [
        ("playbooks/add_host.yml", "dry_run=true", "dry_run (given with -e) is nothing that provision.yml knows"),
        (
            "deploy.yml",
            "rollback_to=previous",
            "rollback_to (given with -e) is nothing that deploy.yml knows, expected it with rollback.yml",
        ),
        ("playbooks/rollback.yml", "rollback_to=", "rollback_to (given with -e) is '', expected a text"),
        (
            "playbooks/new_host.yml",
            "new_port=22s",
            "new_port (given with -e) is '22s', expected a whole number from 1 to 65535",
        ),
    ],
)
def test_a_playbook_refuses_what_it_cannot_do(tmp_path: Path, playbook: str, given: str, words: str) -> None:
    status, said, contacted = run(tmp_path, playbook, "-e", given)
    assert (status != 0, contacted) == (True, False)
    assert words in said


def test_what_can_be_meant_goes_on(tmp_path: Path) -> None:
    given = ("dry_run=YES", '{"deploy_batches": [1]}', "agent_release_keep=5", "my_own=1")
    _status, said, contacted = run(tmp_path, "playbooks/status.yml", *(word for one in given for word in ("-e", one)))
    assert contacted
    assert "given with -e" not in said
    assert "no variable of this project" not in said
