# SPDX-License-Identifier: Apache-2.0
"""Why a host cannot be reached, or its user not become root: what ssh, sudo and ansible-core say, as found, expected,
what to do. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..common import text as foreign

WIDEST = 300
UNREACHABLE = "host unreachable over SSH: "
# What ansible-core says where a host printed something else than a module's answer.
NO_ANSWER = "Module result deserialization failed"


@dataclass(frozen=True)
class Explanation:
    """A row of the table: by which words it is known, what that means, what is expected and what to do."""

    words: str
    found: str
    expected: str
    remedy: str


OLD_PYTHON = "the host's Python is too old for Ansible ({text})"
NEWER_PYTHON = (
    "Install a newer one beside it and name it for this host (ansible_python_interpreter: /usr/bin/python3.12), "
    "or upgrade the host"
)
# What ssh says.
REACHING = (
    Explanation(
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "the host shows another host key than the one that is known",
        "the key in known_hosts",
        "If it was made anew, compare its new fingerprint with the one on its console (ssh-keyscan ADDRESS | "
        "ssh-keygen -lf -), remove the old key (ssh-keygen -R ADDRESS) and add the new one. "
        "If not, somebody may stand between: do not go on",
    ),
    Explanation(
        "Host key verification failed|No .* host key is known|host key is not cached",
        "its host key is not known",
        "it in known_hosts",
        "Compare its fingerprint with the one on its console (ssh-keyscan ADDRESS | ssh-keygen -lf -), then add the "
        "key (ssh-keyscan ADDRESS >>~/.ssh/known_hosts)",
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
        "Correct ansible_user (the user the host was made with: root, debian, ubuntu) and "
        "ansible_ssh_private_key_file, or load the key (ssh-add)",
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
# What a login is answered with in place of a shell; ssh may end there, or Ansible go on with these words as its answer.
LOGGING_IN = (
    Explanation(
        'Please login as the user "?[^"\\s]+"? rather than',
        "the host's image lets this user log in for no command ({text})",
        "the user that it names",
        "Set ansible_user to that user: Ansible becomes root by sudo",
    ),
    Explanation(
        "password has expired|[Pp]assword change required|required to change your password|password is expired|"
        "Authentication token is no longer valid",
        "the password of a user has expired, and sshd or sudo asks for a new one ({text})",
        "a user that may log in without",
        "Change it on the host (passwd USER), or let it never expire where only a key is used: "
        "chage --maxdays -1 --expiredate -1 USER",
    ),
    Explanation(
        "account has expired|account validation failure|is your account locked|PAM account management error",
        "the host refuses the account of the login user or of root ({text})",
        "an account that may be used",
        "Look at it on the host (chage --list USER, passwd --status USER), and unlock it or log in as another user "
        "(ansible_user)",
    ),
    Explanation(
        "account is currently not available|rbash: |restricted: cannot|"
        "allows sftp connections only|only allows? (git|sftp)",
        "the login user has no shell that runs commands ({text})",
        "a login shell such as /bin/sh",
        "Set it on the host (usermod --shell /bin/sh USER; "
        "no ForceCommand for it in sshd_config), or correct ansible_user",
    ),
    Explanation(
        "System is booting up|system is going down|pam_nologin",
        "the host is starting or going down, and lets nobody in ({text})",
        "a host that has started",
        "Wait and run again; where it stays so, remove /run/nologin and /etc/nologin",
    ),
    Explanation(
        "Received message too long|protocol error: (expected control record|unexpected)",
        "the login shell of the user prints text of its own, so no file can be sent ({text})",
        "a shell that is silent where it is not interactive",
        "Let what prints in its .bashrc or .profile do so in a terminal only: [ -t 1 ] && ...",
    ),
    Explanation(
        "Failed to create temporary directory",
        "the login user has no directory for Ansible's files ({text})",
        "one that it may write to",
        "Give it a home that it owns and that is not full, or set ansible_remote_tmp: /tmp/.ansible",
    ),
)
# What is said behind the login; anywhere else these words would be an application's own.
BECOMING_ROOT = (
    Explanation(
        "Incorrect sudo password|incorrect password attempt|Sorry, try again|incorrect authentication attempts|"
        "Authentication failed, try again",
        "sudo refuses the password of the login user",
        "the right one",
        "Correct ansible_become_password in the vault, or type it (-K)",
    ),
    Explanation(
        "you must have a tty to run sudo",
        "sudo runs only in a terminal on this host (requiretty)",
        "a sudo that Ansible may use",
        "Allow it on the host (visudo -f /etc/sudoers.d/ansible): Defaults:USER !requiretty. "
        "Or set ansible_pipelining: false for the host",
    ),
    Explanation(
        "Missing sudo password|sudo: a password is required|a terminal is required|no askpass program|"
        "interactive authentication is required",
        "sudo wants a password and none is set",
        "the one of the login user",
        "Set ansible_become_password in the vault, or type it (-K)",
    ),
    Explanation(
        "is not in the sudoers file|may not run sudo|is not allowed to (execute|run)|I'm afraid I can't do that",
        "the login user may not use sudo",
        "a user that may become root",
        "Add it to the group sudo, or log in as another one (ansible_user)",
    ),
    Explanation(
        "effective uid is not 0|no new privileges",
        "sudo cannot become root on this host ({text})",
        "a sudo with its set-user-id bit, on a file system and in a container that allow it",
        "Correct that on the host, or log in as root (ansible_user: root)",
    ),
    Explanation(
        "no valid sudoers sources|sudoers(\\.d/\\S+)?:\\d+(:\\d+)?: syntax error|parse error in /etc/sudoers|"
        "sudoers\\S* is (world|group) writable|"
        "sudoers\\S* is owned by",
        "sudo refuses its own configuration ({text})",
        "one that visudo accepts",
        "Correct it on the host as root: visudo --check",
    ),
    Explanation(
        "su: Authentication failure|doas: (Operation not permitted|Authentication failed|Authorization required)",
        "su or doas does not let the login user become root ({text})",
        "a user that may become root",
        "Correct ansible_become_method and ansible_become_password, or log in as another user (ansible_user)",
    ),
    Explanation(
        "sudo: (command )?not found|sudo: No such file",
        "the host has no sudo",
        "it, or a login as root",
        "Install it (apt-get install sudo), or set ansible_user: root",
    ),
    Explanation(
        "interpreter '[^']*' was not found|python3?[\\d.]*: ((command )?not found|No such file)",
        "the host has no Python at /usr/bin/python3",
        "it",
        "Install it (apt-get install python3)",
    ),
    Explanation("Ansible requires Python \\d|requires a minimum of Python", OLD_PYTHON, "3.10 or newer", NEWER_PYTHON),
    Explanation(
        "waiting for (privilege escalation prompt|become success)",
        "sudo does not answer in time",
        "its prompt",
        "Log in as that user and try `sudo true`: a host that cannot resolve its own name is the usual reason "
        "(/etc/hosts)",
    ),
)
# What is known only where no module answered at all.
NOT_ANSWERED = (
    Explanation(
        "SyntaxError",
        OLD_PYTHON,
        "3.10 or newer",
        NEWER_PYTHON,
    ),
    Explanation(
        "No space left on device|Disk quota exceeded",
        "the host's disk is full ({text})",
        "some room",
        "Free it (df --human-readable, docker system df), and run again",
    ),
    Explanation(
        "Read-only file system",
        "a file system of the host can only be read ({text})",
        "one that can be written",
        "Look why on the host (dmesg; findmnt --options ro), and run again",
    ),
    Explanation(
        "Killed|Cannot allocate memory|MemoryError",
        "the host has no memory left ({text})",
        "some hundred MB free",
        "Look at `free --mega` and at the kernel's log (journalctl --dmesg --grep 'Out of memory')",
    ),
    Explanation(
        "",
        "the host printed other text than a module's answer ({text})",
        "the answer alone",
        "Log in as the same user and try `sudo python3 --version`: what else it prints has to go",
    ),
)
# What apt says.
INSTALLING = (
    Explanation(
        "Packages need to be removed but remove is disabled",
        "apt would remove packages of this host for those that are needed",
        "nothing to be removed",
        "Look which (apt-get install --simulate with the packages of the message: {text}), "
        "and remove them yourself if they may go",
    ),
    Explanation(
        "Could not get lock|Failed to lock apt|Unable to acquire the dpkg frontend lock",
        "another program is installing packages ({text})",
        "a free lock",
        "Wait for it (unattended-upgrades, cloud-init), and run again",
    ),
    Explanation(
        "No package matching|has no installation candidate|Unable to locate package",
        "the host's package sources do not have what is needed ({text})",
        "the distribution's own sources",
        "Correct /etc/apt/sources.list.d on the host (Ubuntu: universe has to be on), then apt-get update",
    ),
    Explanation(
        "Failed to update apt cache|Failed to fetch (http|mirror)|Could not resolve 'deb|Temporary failure resolving",
        "the host does not reach its package sources ({text})",
        "a way to them",
        "Look at apt-get update on the host: its network, or its proxy (/etc/apt/apt.conf.d)",
    ),
    Explanation(
        "dpkg was interrupted|held broken packages|unmet dependencies",
        "the host's packages are broken or half installed ({text})",
        "packages that are whole",
        "Mend them on the host: dpkg --configure -a && apt-get --fix-broken install",
    ),
)


def unreachable(message: str) -> str:
    """Why ansible-core could not reach a host; a sudo that does not answer counts as that."""
    return explained(message, LOGGING_IN + BECOMING_ROOT) or UNREACHABLE + (explained(message, REACHING) or message)


def failure(message: str) -> str:
    """A task's failure, explained where it is none of the task's own; else as it is."""
    own = re.search(r"\bfound\b.*\bexpected\b", message, re.IGNORECASE | re.DOTALL)
    if own:
        return message
    return (
        explained(message, LOGGING_IN + BECOMING_ROOT + INSTALLING + (NOT_ANSWERED if NO_ANSWER in message else ()))
        or message
    )


def said(result: Mapping[str, Any]) -> str:
    """What a failed task says; where a host printed something instead of a module's answer, that text is explained."""
    message = str(result.get("msg") or "").strip()
    if NO_ANSWER not in message:
        return failure(message)
    printed = [printed_text(str(result.get(stream) or "")) for stream in ("module_stderr", "module_stdout")]
    text = " ".join(part for part in printed if part) or f"nothing, exit status {result.get('rc', 'unknown')}"
    return failure(f"{NO_ANSWER}: {text}")


def printed_text(text: str) -> str:
    """What a host printed, fit to be shown in one line; of a traceback only what it ends in."""
    lines = [
        line
        for line in foreign.plain(text).splitlines()
        if line.strip() and not line.startswith(("Shared connection to", "Warning: "))
    ]
    if any(line.startswith("Traceback ") for line in lines):
        lines = lines[-1:]
    return foreign.cut(" ".join(" ".join(lines).split()), WIDEST)


def explained(message: str, table: tuple[Explanation, ...]) -> str:
    row = next((one for one in table if re.search(one.words, message)), None)
    if row is None:
        return ""
    text = foreign.cut(" ".join(message.removeprefix(f"{NO_ANSWER}: ").split()), WIDEST)
    found, remedy = (part.format(text=text) if "{text}" in part else part for part in (row.found, row.remedy))
    return f"found: {found}, expected {row.expected}. {remedy}"


def without_prefix(message: str) -> str:
    """What a module or ssh said, without the words that ansible-core puts before it."""
    for prefix in ("Task failed: ", "Failed to connect to the host via ssh: "):
        message = message.removeprefix(prefix)
    return message
