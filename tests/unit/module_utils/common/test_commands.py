"""Commands that a user is told to type do what they say, whatever a name in them is."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from ansible.module_utils.livekit_deploy.common import commands
from ansible.module_utils.livekit_deploy.common.commands import Playbooks


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (("docker", "start", "--", "agent-1"), "docker start agent-1"),
        (("systemctl", "start", "--", "-x.service"), "systemctl start -- -x.service"),
        (("docker", "kill", "--signal", "TERM", "--", "a; reboot"), "docker kill --signal TERM 'a; reboot'"),
        (("kill", "-TERM", 7), "kill -TERM 7"),
    ],
)
def test_each_word_reaches_the_program_as_it_is(argv: tuple[str, ...], command: str) -> None:
    assert commands.shell(*argv) == command


def test_directory_is_quoted() -> None:
    assert commands.in_directory("/srv/my $(app)", "python3", "a.py") == "cd '/srv/my $(app)' && python3 a.py"


@pytest.mark.parametrize(
    ("playbooks", "command"),
    [
        (Playbooks(), "ansible-playbook playbooks/verify.yml --limit a"),
        (
            Playbooks(["hosts.yml", "my hosts"]),
            "ansible-playbook -i hosts.yml -i 'my hosts' playbooks/verify.yml --limit a",
        ),
        (Playbooks(root="/srv/deploy agents"), "ansible-playbook '/srv/deploy agents'/playbooks/verify.yml --limit a"),
    ],
)
def test_playbook_is_started_as_the_run_was(playbooks: Playbooks, command: str) -> None:
    assert playbooks.start("verify.yml", limit="a") == command


def test_deployment_is_at_the_root() -> None:
    assert Playbooks().start("deploy.yml") == "ansible-playbook deploy.yml"


@pytest.mark.parametrize("value", ["a b", "x=y", "'; reboot", "{{ evil }}", "$(reboot)"])
def test_variable_arrives_as_it_is(value: str) -> None:
    words = shlex.split(Playbooks().start("rollback.yml", rollback_to=value))
    assert json.loads(words[-1]) == {"rollback_to": value}


def test_ordinary_variable_stays_short() -> None:
    assert Playbooks().start("evict.yml", evict_worker="AW_1").endswith("-e evict_worker=AW_1")


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("/srv/deploy/inventory/hosts.yml", "inventory/hosts.yml"),
        ("/srv/deploy", "."),
        ("/etc/ansible/hosts", "/etc/ansible/hosts"),
        ("host-1,host-2,", "host-1,host-2,"),
    ],
)
def test_inventory_is_named_as_it_can_be_typed(source: str, seen: str) -> None:
    assert commands.seen_from(source, Path("/srv/deploy")) == seen


def test_project_is_named_from_another_directory() -> None:
    assert commands.root_of(Path("/srv/deploy"), Path("/srv/deploy")) == ""
    assert commands.root_of(Path("/srv/deploy"), Path("/srv")) == "deploy"
    assert commands.root_of(Path("/srv/deploy"), Path("/home")) == "/srv/deploy"
