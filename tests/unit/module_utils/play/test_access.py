"""What ssh, sudo and ansible-core say when a host is not reached or its user not root: found, expected, what to do."""

from __future__ import annotations

import pytest
from ansible.module_utils.livekit_deploy.diagnosis import inputs
from ansible.module_utils.livekit_deploy.fleet import report_text, status
from ansible.module_utils.livekit_deploy.names import eviction
from ansible.module_utils.livekit_deploy.play import access
from ansible.module_utils.livekit_deploy.play.run import STATUS, VERIFIED, HostRun
from ansible.module_utils.livekit_deploy.proof import observations

DENIED = "deploy@10.0.0.1: Permission denied (publickey)."
SSH = {
    DENIED: ("sshd lets nobody in", "ansible_ssh_private_key_file"),
    "Host key verification failed.": ("its host key is not known", "ssh-keygen -lf -"),
    "@@@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @@@\nHost key verification failed.": (
        "another host key",
        "do not go on",
    ),
    "ssh: connect to host 10.0.0.1 port 2222: Connection refused": ("nothing listens", "ansible_port"),
    "ssh: connect to host 10.0.0.1 port 22: Connection timed out": ("no answer", "firewall"),
    "ssh: connect to host 10.0.0.1 port 22: No route to host": ("no way to its address", "VPN"),
    "ssh: Could not resolve hostname x: Name or service not known": ("has no address", "ansible_host"),
    'Load key "/x": bad permissions\nroot@x: Permission denied (publickey).': (
        "does not use the private key",
        "chmod 600",
    ),
    "Invalid/incorrect password: Permission denied, please try again.": ("", "ansible_user"),
}
SUDO = {
    "Timeout (12s) waiting for privilege escalation prompt: ": ("sudo does not answer", "sudo true"),
    "Timed out waiting for become success.\n>>> Standard Error\n[sudo] password:\nSorry, try again.": (
        "refuses the password",
        "-K",
    ),
    "Task failed: Incorrect sudo password": ("sudo refuses the password", "ansible_become_password"),
    "Task failed: Missing sudo password": ("none is set", "-K"),
    "MODULE FAILURE: deploy is not in the sudoers file.": ("may not use sudo", "group sudo"),
    "/bin/sh: 1: sudo: not found": ("no sudo", "ansible_user: root"),
    "The module interpreter '/usr/bin/python3' was not found.": ("no Python", "apt-get install python3"),
}
# What hosts print in the place of a module's answer: standard error, standard output, words of the explanation.
PRINTED = {
    "Ubuntu's cloud image": (
        "",
        'Please login as the user "ubuntu" rather than the user "root".\n\n',
        ("log in for no command", "ansible_user"),
    ),
    "Amazon Linux": ("", "Please login as the user ec2-user rather than the user root.", ("ec2-user",)),
    "requiretty": (
        "sudo: sorry, you must have a tty to run sudo\n",
        "",
        ("requiretty", "visudo", "ansible_pipelining"),
    ),
    "no askpass": ("sudo: no tty present and no askpass program specified\n", "", ("none is set", "-K")),
    "sudo-rs": ("sudo-rs: interactive authentication is required\n", "", ("none is set", "-K")),
    "sudo-rs refuses": ("sudo-rs: I'm sorry deploy. I'm afraid I can't do that\n", "", ("may not use sudo",)),
    "password expired, sshd": (
        "WARNING: Your password has expired.\nPassword change required but no TTY available.\n",
        "",
        ("has expired", "passwd USER", "chage"),
    ),
    "password expired, PAM": (
        "",
        "You are required to change your password immediately (administrator enforced).\n",
        ("has expired",),
    ),
    "password expired, sudo": (
        "sudo: Account or password is expired, reset your password and try again\n",
        "",
        ("has expired",),
    ),
    "token": ("su: Authentication token is no longer valid; new one required", "", ("has expired",)),
    "account expired": (
        "Your account has expired; please contact your system administrator.\n",
        "",
        ("refuses the account", "chage --list"),
    ),
    "account locked": ("sudo: account validation failure, is your account locked?\n", "", ("refuses the account",)),
    "nologin": ("", "This account is currently not available.\n", ("has no shell", "usermod")),
    "rbash": ("rbash: /bin/sh: restricted: cannot specify `/' in command names", "", ("has no shell",)),
    "sftp only": ("", "This service allows sftp connections only.\n", ("has no shell", "ForceCommand")),
    "booting": (
        '"System is booting up. Unprivileged users are not permitted to log in yet. See pam_nologin(8)."',
        "",
        ("is starting",),
    ),
    "nosuid": (
        "sudo: effective uid is not 0, is /usr/bin/sudo on a file system with the 'nosuid' option set?",
        "",
        ("cannot become root",),
    ),
    "in a container": (
        'sudo: The "no new privileges" flag is set, which prevents sudo from running as root.',
        "",
        ("cannot become root",),
    ),
    "sudoers": (
        "/etc/sudoers.d/x:1:7: syntax error\nsudo: no valid sudoers sources found, quitting",
        "",
        ("its own configuration", "visudo"),
    ),
    "su": ("su: Authentication failure\n", "", ("su or doas", "ansible_become_method")),
    "doas": ("doas: Operation not permitted\n", "", ("su or doas",)),
    "no Python": ("/bin/sh: line 1: /usr/bin/python3: No such file or directory\n", "", ("no Python",)),
    "Python 3.7": (
        'Traceback (most recent call last):\n  File "<stdin>", line 3\nSyntaxError: invalid syntax',
        "",
        ("too old", "3.10"),
    ),
    "full disk": ("OSError: [Errno 28] No space left on device", "", ("disk is full", "df")),
    "read-only": ("mkdir: cannot create directory: Read-only file system", "", ("can only be read",)),
    "no memory": ("Killed\n", "", ("no memory",)),
    "anything else": (
        "",
        "\x1b[31mWelcome to ACME\x1b[0m\n",
        ("printed other text than a module's answer (Welcome to ACME)",),
    ),
    "nothing": ("", "", ("(nothing, exit status 142)",)),
}
OLD_PYTHON = "Ansible requires Python 3.9 or newer on the target. Current version: 3.8.18 (default)"
APT = {
    "E: Packages need to be removed but remove is disabled.": (
        "apt would remove packages",
        "apt-get install --simulate",
    ),
    "Failed to lock apt for exclusive operation: E:Could not get lock /var/lib/dpkg/lock-frontend": (
        "installing packages",
        "run again",
    ),
    "No package matching 'docker.io' is available": ("do not have", "universe"),
    "Failed to update apt cache: unknown reason": ("does not reach its package sources", "apt.conf.d"),
    "E: dpkg was interrupted, you must manually run 'dpkg --configure -a'": ("half installed", "--fix-broken"),
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
    assert (
        access.unreachable("kex_exchange_identification: banner")
        == f"{access.UNREACHABLE}kex_exchange_identification: banner"
    )


def test_long_text_is_cut() -> None:
    assert len(access.unreachable("Connection refused " + "x" * 5000)) < 600


@pytest.mark.parametrize("name", PRINTED)
def test_what_a_host_prints_in_the_place_of_an_answer_is_explained(name: str) -> None:
    stderr, stdout, words = PRINTED[name]
    msg = "Task failed: Module result deserialization failed: No start of json char found"
    said = access.said({"failed": True, "msg": msg, "module_stderr": stderr, "module_stdout": stdout, "rc": 142})
    assert [word for word in ("found: ", "expected ", *words) if word not in said] == []
    assert "deserialization" not in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    "name", [name for name in PRINTED if "expired" in name or name in ("booting", "nologin", "Amazon Linux")]
)
def test_login_that_ends_with_such_words_is_explained_too(name: str) -> None:
    stderr, stdout, words = PRINTED[name]
    assert words[0] in access.unreachable(f"Failed to connect to the host via ssh: {stderr}{stdout}")


def test_shell_that_prints_text_of_its_own_is_named() -> None:
    assert "only: [ -t 1 ]" in access.failure(
        "failed to transfer file to /root/.ansible/tmp/x: Received message too long 1349281121"
    )


def test_home_that_cannot_be_written_is_named() -> None:
    said = access.unreachable(
        "Failed to create temporary directory. In some cases, you may have been able to authenticate and did not have"
    )
    assert "set ansible_remote_tmp: /tmp/.ansible" in said


@pytest.mark.parametrize("message", APT)
def test_what_apt_refuses_is_explained(message: str) -> None:
    said = access.failure(f"'/usr/bin/apt-get -y install 'docker.io'' failed: {message}")
    assert [word for word in ("found: ", "expected ", *APT[message]) if word not in said] == []


def test_python_that_ansible_refuses_is_told_with_what_to_do() -> None:
    said = access.said({"msg": OLD_PYTHON})
    assert "3.8.18" in said
    assert "ansible_python_interpreter" in said


def test_answer_of_a_module_is_told_as_it_is() -> None:
    assert access.said({"msg": "the port is taken: Killed", "module_stdout": "x"}) == "the port is taken: Killed"
    assert access.said({}) == ""


# Where the readings of hosts are told, so is what a host printed instead: the same words in each.
LOCKED_OUT = {
    "failed": True,
    "msg": "Module result deserialization failed: No start of json char found",
    "module_stdout": 'Please login as the user "ubuntu" rather than the user "root".\n',
    "module_stderr": "",
}
TOLD = {
    "a failed task": lambda: report_text.failure_message(LOCKED_OUT, "Read", sums_up=False),
    "a task of many": lambda: report_text.failure_message(
        {"msg": "One failed", "results": [LOCKED_OUT]}, "Read", sums_up=False
    ),
    "verification": lambda: HostRun("a", {VERIFIED: LOCKED_OUT}).unread,
    "server logs": lambda: observations.server_logs([{**LOCKED_OUT, "__verification_server": "livekit"}])[0]["msg"],
    "status": lambda: status.member(HostRun("a", {STATUS: LOCKED_OUT}))["unread"],
    "diagnosis": lambda: inputs.why_unread(LOCKED_OUT),
    "eviction": lambda: eviction.unread_of(LOCKED_OUT, True, False)[0],
}


@pytest.mark.parametrize("where", TOLD)
def test_reading_that_got_no_answer_says_what_the_host_printed(where: str) -> None:
    assert "Set ansible_user to that user" in TOLD[where]()
