"""The filter with ansible-core's own hostvars, whose values are templated when they are used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
CONFIG = f"[defaults]\nfilter_plugins = {ROOT}/filter_plugins\nlookup_plugins = {ROOT}/lookup_plugins\n"
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
          {{ ((hostvars | livekit_problems('inventory', groups)) + \
(hostvars | livekit_problems('inputs', groups))) | to_json }}
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
    (", livekit_api_key: ", "b: livekit_api_key is not set"),
    (", livekit_url_allow_insecure: '{{ 1 }}x'", "b: livekit_url_allow_insecure is '1x', expected true or false"),
    (", agent_release_kep: 3", "b: agent_release_kep is no variable of this project"),
    (", livekit_agent_memory: [2g]", "b: livekit_agent_memory has a value of type list that is no str"),
    (
        ", agent_api_ports: '{{ [1, 1 * 2] }}x'",
        "b: agent_api_ports has a value of type str that is no list, expected list of int",
    ),
]


@pytest.mark.parametrize(("b", "words"), CASES)
def test_a_problem_of_a_host_outside_the_limit_is_found(tmp_path: Path, b: str, words: str) -> None:
    (found,) = problems(tmp_path, b, "-e", GOOD_SECRET)
    assert words in found


def test_a_value_that_refers_to_what_only_a_role_knows_is_accepted(tmp_path: Path) -> None:
    values = (
        ", livekit_agent_env: {A: '{{ agent_api_container_port }}'}, agent_api_ports: '{{ __later }}', "
        "agent_release_keep: '{{ 1 + 2 }}'"
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


# --- the server's nodes ----------------------------------------------------------------------------------------------

NODES = """
- hosts: [cloud, told, own]
  connection: local
  gather_facts: false
  tasks:
    - name: Collect
      ansible.builtin.copy: {dest: "{{ playbook_dir }}/{{ inventory_hostname }}", mode: "0600", content: "%s %s"}
"""
SERVERS = """
all:
  vars: {ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  hosts:
    cloud: {livekit_url: wss://x.livekit.cloud}
    told: {livekit_url: wss://x.livekit.cloud, livekit_server_nodes: 1}
    own: {livekit_url: wss://livekit.corp.test}
"""


def argument(role: str, tasks: str, module: str, name: str) -> str:
    """What the role's task gives the module."""
    loaded = yaml.safe_load((ROOT / f"roles/{role}/tasks/{tasks}.yml").read_text())
    (value,) = [task[module][name] for task in loaded if name in task.get(module, {})]
    return str(value)


def test_release_and_verification_take_livekit_cloud_for_several_nodes(tmp_path: Path) -> None:
    release = argument("agent_release", "begin", "agent_release_plan", "livekit_nodes")
    verification = argument("verification", "prove", "deployment_verdict_info", "nodes")
    (tmp_path / "ansible.cfg").write_text(CONFIG)
    (tmp_path / "hosts.yml").write_text(SERVERS)
    (tmp_path / "play.yml").write_text(NODES % (release, verification))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg")}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=60)
    assert {host: (tmp_path / host).read_text() for host in ("cloud", "told", "own")} == {
        "cloud": "2 2",
        "told": "1 1",
        "own": "1 1",
    }


# --- whose API dispatches to a name that is left ---------------------------------------------------------------------

DESK = """
agent_hosts:
  vars:
    agent_api_env:
      OF_THE_ROLE: "{{ agent_api_container_port }}"
      DESK_GREETER: "{{ hostvars.greeter.livekit_agent_name }}"
      DESK_FALLBACK: "{{ 'o' }}ld"
  hosts:
    clerk: {livekit_agent_name: desk, agent_api_image: r/desk, agent_api_secret_env: {KEY: old}}
    greeter:
      ansible_connection: local
      livekit_agent_name: new
      agent_api_image: "{{ '' }}"
      __agent_release_state: {plan: {changed: true, agent_name: new, agent_name_before: old}}
"""
RENAMES = """
- hosts: greeter
  gather_facts: false
  tasks:
    - name: Warn
      livekit_rename_info:
        url: ws://127.0.0.1:1
        api_key: k
        api_secret: s
        changes: "{{ renames.changes }}"
        inventory: "{{ renames.inventory }}"
      vars:
        renames: "{{ hostvars | livekit_renames(groups['agent_hosts'], ['greeter'], planned=true) }}"
      check_mode: true
      delegate_to: localhost
"""


def test_plan_of_a_rename_warns_of_the_api_of_another_entry(tmp_path: Path) -> None:
    (tmp_path / "ansible.cfg").write_text(f"{CONFIG}library = {ROOT}/library\nmodule_utils = {ROOT}/module_utils\n")
    (tmp_path / "hosts.yml").write_text(DESK)
    (tmp_path / "play.yml").write_text(RENAMES)
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "hosts.yml", "play.yml"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"), "COLUMNS": "1000"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True, timeout=60
    )
    said = " ".join((done.stdout + done.stderr).split())
    assert (
        "greeter: about to leave the agent name old, to which something dispatches: the API of clerk "
        "(its DESK_FALLBACK)."
    ) in said


# --- the controller's clock ------------------------------------------------------------------------------------------

CLOCK = """
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Collect
      ansible.builtin.copy: {dest: "{{ playbook_dir }}/time", mode: "0600", content: "%s %s"}
      vars: {diagnosis_since: "60"}
"""


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/Los_Angeles"])
def test_controller_time_and_start_of_a_diagnosis_are_right_in_every_zone(tmp_path: Path, zone: str) -> None:
    told = argument("agent_release", "begin", "agent_release_plan", "controller_time")
    start = yaml.safe_load((ROOT / "roles/diagnosis/vars/main.yml").read_text())["__diagnosis_start"]
    (tmp_path / "ansible.cfg").write_text(CONFIG)
    (tmp_path / "play.yml").write_text(CLOCK % (told, start))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "play.yml"]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"), "TZ": zone}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=60)
    at, since = map(float, (tmp_path / "time").read_text().split())
    assert at == pytest.approx(time.time(), abs=60)
    assert since == pytest.approx(at - 3600, abs=60)
