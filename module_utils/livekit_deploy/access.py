# SPDX-License-Identifier: Apache-2.0
"""Why a host cannot be reached, or its user not become root: what ssh, sudo and ansible-core say, as found, expected, what to do. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

WIDEST = 300
UNREACHABLE = "host unreachable over SSH: "


@dataclass(frozen=True)
class Explanation:
    """A row of the table: by which words it is known, what that means, what is expected and what to do."""

    words: str
    found: str
    expected: str
    remedy: str


# What ssh says.
REACHING = (
    Explanation(
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the host shows another host key than the one that is known",
        "the key in known_hosts",
        "If it was made anew, compare its new fingerprint with the one on its console (ssh-keyscan ADDRESS | ssh-keygen -lf -), remove the "
        "old key (ssh-keygen -R ADDRESS) and add the new one. If not, somebody may stand between: do not go on",
    ),
    Explanation(
        "Host key verification failed|No .* host key is known|host key is not cached",
        "its host key is not known",
        "it in known_hosts",
        "Compare its fingerprint with the one on its console (ssh-keyscan ADDRESS | ssh-keygen -lf -), then add the key "
        "(ssh-keyscan ADDRESS >>~/.ssh/known_hosts)",
    ),
    Explanation(
        "UNPROTECTED PRIVATE KEY FILE|Load key .*(bad permissions|invalid format|error in libcrypto)",
        "ssh does not use the private key ({text})",
        "a key file that only you can read",
        "Correct it (chmod 600), or ansible_ssh_private_key_file",
    ),
    Explanation(
        "Permission denied|Too many authentication failures|No supported authentication methods",
        "sshd lets nobody in with this user and key ({text})",
        "a login",
        "Correct ansible_user (the user the host was made with: root, debian, ubuntu) and ansible_ssh_private_key_file, or load the key "
        "(ssh-add)",
    ),
    Explanation(
        "Invalid/incorrect (username/)?password",
        "sshd refuses the password",
        "the one of ansible_user",
        "Correct ansible_password in the vault, or use a key",
    ),
    Explanation(
        "Connection refused",
        "nothing listens at its address and port ({text})",
        "sshd",
        "Start it, or correct ansible_host and ansible_port",
    ),
    Explanation(
        "timed out|Timeout",
        "no answer from its address and port ({text})",
        "sshd",
        "Correct ansible_host and ansible_port, or let this controller through the firewall",
    ),
    Explanation(
        "No route to host|Network is unreachable",
        "no way to its address ({text})",
        "one",
        "Correct ansible_host, start the host, or bring up the network or VPN to it",
    ),
    Explanation(
        "Could not resolve hostname|Name or service not known|Temporary failure in name resolution",
        "its name has no address ({text})",
        "a name that DNS knows",
        "Correct ansible_host",
    ),
)
# What is said behind the login; anywhere else these words would be an application's own.
BECOMING_ROOT = (
    Explanation(
        "Incorrect sudo password|incorrect password attempt|Sorry, try again",
        "sudo refuses the password of the login user",
        "the right one",
        "Correct ansible_become_password in the vault, or type it (-K)",
    ),
    Explanation(
        "Missing sudo password|sudo: a password is required|a terminal is required",
        "sudo wants a password and none is set",
        "the one of the login user",
        "Set ansible_become_password in the vault, or type it (-K)",
    ),
    Explanation(
        "is not in the sudoers file|may not run sudo|is not allowed to (execute|run)",
        "the login user may not use sudo",
        "a user that may become root",
        "Add it to the group sudo, or log in as another one (ansible_user)",
    ),
    Explanation(
        "sudo: (command )?not found|sudo: No such file",
        "the host has no sudo",
        "it, or a login as root",
        "Install it (apt-get install sudo), or set ansible_user: root",
    ),
    Explanation(
        "interpreter '[^']*' was not found|python3?: (command )?not found",
        "the host has no Python at /usr/bin/python3",
        "it",
        "Install it (apt-get install python3)",
    ),
    Explanation(
        "waiting for (privilege escalation prompt|become success)",
        "sudo does not answer in time",
        "its prompt",
        "Log in as that user and try `sudo true`: a host that cannot resolve its own name is the usual reason (/etc/hosts)",
    ),
)


def unreachable(message: str) -> str:
    """Why ansible-core could not reach a host; a sudo that does not answer counts as that."""
    return explained(message, BECOMING_ROOT) or UNREACHABLE + (explained(message, REACHING) or message)


def failure(message: str) -> str:
    """A task's failure, explained where it is none of the task's own; else as it is."""
    own = re.search(r"\bfound\b.*\bexpected\b", message, re.IGNORECASE | re.DOTALL)
    said = "" if own else explained(message, BECOMING_ROOT)
    return said or message


def explained(message: str, table: tuple[Explanation, ...]) -> str:
    row = next((one for one in table if re.search(one.words, message)), None)
    if row is None:
        return ""
    text = " ".join(message.split())
    found = row.found.format(text=text if len(text) <= WIDEST else f"{text[:WIDEST]}…")
    return f"found: {found}, expected {row.expected}. {row.remedy}"
