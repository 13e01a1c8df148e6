"""The filter with ansible-core's own hostvars, whose values are templated when they are used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CONFIG = f"[defaults]\nfilter_plugins = {ROOT}/filter_plugins\n"
HOSTS = """
agent_hosts:
  vars:
    agent_release_app: sidekick
    livekit_url: ws://10.0.0.1:7880
    livekit_api_key: APIkey
    livekit_api_secret: "{{ vault_secret }}"
    livekit_agent_name: "sidekick-{{ inventory_hostname }}"
    livekit_agent_image: "corp.test/worker@sha256:{{ '0123456789abcdef' * 4 }}"
    agent_api_image: "corp.test/api@sha256:{{ '0123456789abcdef' * 4 }}"
  hosts:
    a: {ansible_host: 10.0.0.11}
    b: {ansible_host: 10.0.0.12%s}
"""
GOOD_SECRET = "vault_secret=" + "x1y2" * 8
PLAYBOOK = """
- hosts: agent_hosts
  gather_facts: false
  tasks:
    - name: Collect
      run_once: true
      delegate_to: localhost
      ansible.builtin.copy:
        dest: "{{ playbook_dir }}/found.json"
        mode: "0600"
        content: >-
          {{ ((hostvars | livekit_inventory_problems(groups['agent_hosts']))
             + (hostvars | livekit_argument_problems(groups['agent_hosts']))) | to_json }}
"""


def problems(folder: Path, b: str, *arguments: str) -> list[str]:
    (folder / "ansible.cfg").write_text(CONFIG)
    (folder / "hosts.yml").write_text(HOSTS % b)
    (folder / "play.yml").write_text(PLAYBOOK)
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml", "--limit", "a"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(folder / "ansible.cfg")}
    subprocess.run([*command, *arguments], cwd=folder, env=environment, check=True, capture_output=True, timeout=60)
    return list(json.loads((folder / "found.json").read_text()))


def test_a_good_inventory_has_no_problem(tmp_path: Path) -> None:
    assert problems(tmp_path, "", "-e", GOOD_SECRET) == []


CASES = [
    (", livekit_agent_name: '{{ nope }}'", "b: livekit_agent_name cannot be read ('nope' is undefined)"),
    (", livekit_agent_name: '{{ 1 / 0 }}'", "b: livekit_agent_name cannot be read (division by zero)"),
    (", livekit_agent_name: sidekick-a", "'sidekick-a' is used by a (pool a) and b (pool b)"),
    (", livekit_agent_image: ", "b: livekit_agent_image is not set"),
    (", livekit_url_allow_insecure: '{{ 1 }}x'", "b: livekit_url_allow_insecure is '1x', expected true or false"),
    (", agent_release_kep: 3", "b: agent_release_kep is no variable of this project"),
    (", livekit_agent_memory: [2g]", "b: livekit_agent_memory has a value of type list that is no str"),
    (", agent_api_ports: '{{ [1, 1 * 2] }}x'", "b: agent_api_ports has a value of type str that is no list of int"),
]


@pytest.mark.parametrize(("b", "words"), CASES)
def test_a_problem_of_a_host_outside_the_limit_is_found(tmp_path: Path, b: str, words: str) -> None:
    (found,) = problems(tmp_path, b, "-e", GOOD_SECRET)
    assert words in found


def test_a_value_that_refers_to_what_only_a_role_knows_is_accepted(tmp_path: Path) -> None:
    values = (
        ", livekit_agent_env: {A: '{{ agent_api_container_port }}'}, agent_api_ports: '{{ __later }}', agent_release_keep: '{{ 1 + 2 }}'"
    )
    assert problems(tmp_path, values, "-e", GOOD_SECRET) == []


def test_a_missing_secret_is_named_for_each_host(tmp_path: Path) -> None:
    found = problems(tmp_path, "")
    assert [sentence.partition(",")[0] for sentence in found] == [
        f"{host}: livekit_api_secret cannot be read ('vault_secret' is undefined)" for host in "ab"
    ]


def test_a_secret_that_cannot_be_decrypted_is_a_sentence(tmp_path: Path) -> None:
    vaulted = """, livekit_api_secret: !vault "$ANSIBLE_VAULT;1.1;AES256\\n3333\\n" """
    (found,) = problems(tmp_path, vaulted, "-e", GOOD_SECRET)
    assert found.startswith("b: livekit_api_secret cannot be read (")
    assert "no vault secrets found" in found
