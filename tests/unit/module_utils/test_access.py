"""What ssh, sudo and ansible-core say when a host cannot be reached or its user not become root, as found, expected and what to do."""

from __future__ import annotations

import pytest
from ansible.module_utils.livekit_deploy import access

DENIED = "deploy@10.0.0.1: Permission denied (publickey)."
SSH = {
    DENIED: ("sshd lets nobody in", "ansible_ssh_private_key_file"),
    "Host key verification failed.": ("its host key is not known", "ssh-keygen -lf -"),
    "@@@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @@@\nHost key verification failed.": ("another host key", "do not go on"),
    "ssh: connect to host 10.0.0.1 port 2222: Connection refused": ("nothing listens", "ansible_port"),
    "ssh: connect to host 10.0.0.1 port 22: Connection timed out": ("no answer", "firewall"),
    "ssh: connect to host 10.0.0.1 port 22: No route to host": ("no way to its address", "VPN"),
    "ssh: Could not resolve hostname x: Name or service not known": ("has no address", "ansible_host"),
    'Load key "/x": bad permissions\nroot@x: Permission denied (publickey).': ("does not use the private key", "chmod 600"),
    "Invalid/incorrect password: Permission denied, please try again.": ("", "ansible_user"),
}
SUDO = {
    "Timeout (12s) waiting for privilege escalation prompt: ": ("sudo does not answer", "sudo true"),
    "Timed out waiting for become success.\n>>> Standard Error\n[sudo] password:\nSorry, try again.": ("refuses the password", "-K"),
    "Task failed: Incorrect sudo password": ("sudo refuses the password", "ansible_become_password"),
    "Task failed: Missing sudo password": ("none is set", "-K"),
    "MODULE FAILURE: deploy is not in the sudoers file.": ("may not use sudo", "group sudo"),
    "/bin/sh: 1: sudo: not found": ("no sudo", "ansible_user: root"),
    "The module interpreter '/usr/bin/python3' was not found.": ("no Python", "apt-get install python3"),
}
OF_ITS_OWN = (
    "found: x says Missing sudo password, expected y",
    "Connection refused",  # of an application that a task asked
    "the image could not be pulled: timed out",
)


@pytest.mark.parametrize("message", SSH)
def test_host_that_cannot_be_reached_is_explained(message: str) -> None:
    said = access.unreachable(message)
    assert said.startswith(f"{access.UNREACHABLE}found: ")
    assert [words for words in (*SSH[message], "expected") if words not in said] == []


@pytest.mark.parametrize("message", SUDO)
def test_user_that_cannot_become_root_is_explained(message: str) -> None:
    said = access.failure(message)
    assert [words for words in (*SUDO[message], "found: ", "expected") if words not in said] == []


@pytest.mark.parametrize("message", SUDO)
def test_sudo_that_does_not_answer_is_no_matter_of_ssh(message: str) -> None:
    assert access.unreachable(message) == access.failure(message)


@pytest.mark.parametrize("message", OF_ITS_OWN)
def test_failure_of_a_task_is_left_as_it_is(message: str) -> None:
    assert access.failure(message) == message


def test_what_nobody_knows_is_told_as_it_is() -> None:
    assert access.unreachable("kex_exchange_identification: banner") == f"{access.UNREACHABLE}kex_exchange_identification: banner"


def test_long_text_is_cut() -> None:
    assert len(access.unreachable("Connection refused " + "x" * 5000)) < 600
