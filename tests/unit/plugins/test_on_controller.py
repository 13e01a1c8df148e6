"""A module on the controller runs with the run's interpreter, whatever inventory and command line say of localhost."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOCALHOST = """
all:
  vars: {ansible_become: true, ansible_become_method: ansible.builtin.sudo, ansible_become_exe: /nonexistent/sudo}
  hosts:
    localhost:
      ansible_connection: ssh
      ansible_host: 203.0.113.9
      ansible_ssh_executable: /nonexistent/ssh
      ansible_python_interpreter: /nonexistent/python
    other: {ansible_connection: local}
"""
PLAYBOOK = """
- hosts: other
  gather_facts: false
  tasks:
    - name: Ask
      livekit_server_info: {url: "ws://127.0.0.1:1", api_key: key, api_secret: secret}
      register: answer
      failed_when: false
      delegate_to: localhost
    - name: Ask in the background
      livekit_server_info: {url: "ws://127.0.0.1:1", api_key: key, api_secret: secret}
      async: 30
      poll: 0
      register: background
      failed_when: false
      ignore_errors: true
      delegate_to: localhost
    - name: Tell
      ansible.builtin.debug: {msg: "FOUND {{ [answer, background] | to_json | b64encode }} END"}
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Judge
      deployment_verdict_info: {hosts: {}, probes: {}}
"""


GIVEN = [
    "-e",
    "ansible_python_interpreter=/nonexistent/python3",
    "-e",
    "ansible_become=true",
    "-e",
    "ansible_connection=ssh",
]


def run(folder: Path, playbook: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "hosts.yml").write_text(LOCALHOST)
    (folder / "play.yml").write_text(playbook)
    for name in ("library", "module_utils", "action_plugins"):
        (folder / name).symlink_to(ROOT / name)
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml", *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")} | {
        "COLUMNS": "1000"
    }
    return subprocess.run(
        command, cwd=folder, env=environment, check=False, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("given", [[], GIVEN], ids=["by the inventory", "by the command line"])
def test_a_controller_module_runs_here_with_this_python(tmp_path: Path, given: list[str]) -> None:
    done = run(tmp_path, PLAYBOOK, *given)
    assert done.returncode == 0, done.stdout + done.stderr
    (said,) = re.findall(r"FOUND (\S+) END", done.stdout)
    asked, background = json.loads(base64.b64decode(said))
    assert (asked["reachable"], asked["kind"]) == (False, "unreachable")
    assert "async" in background["msg"], "its arguments would be in a file"
