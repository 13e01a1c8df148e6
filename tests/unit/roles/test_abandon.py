# SPDX-License-Identifier: Apache-2.0
"""What is said of a failed release, also if the user's hook fails: the role's tasks, with a stand-in for its module."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = f"filter_plugins = {ROOT}/filter_plugins\nlookup_plugins = {ROOT}/lookup_plugins\n"
CONFIG = f"[defaults]\n{PLUGINS}roles_path = {ROOT}/roles\nlibrary = library\n"
MODULE = """
from ansible.module_utils.basic import AnsibleModule
free = {"type": "raw"}
module = AnsibleModule({"app": free, "step": free, "fence": free, "reason": free})
module.exit_json(changed=True, serving="r1", log=["the last line"])
"""


def playbook(hooks: dict[str, str], defer: bool) -> list[dict[str, Any]]:
    """A step fails; then comes what the role does, and what failed last and the role's fact are noted."""
    given = {
        "agent_release_app": "app",
        "agent_release_hooks": hooks,
        "agent_release_defer_failure": defer,
    }
    begun = {"ansible.builtin.set_fact": {"__agent_release_state": {"fence": 7, "plan": {"id": "r2", "changed": True}}}}
    role = {"ansible.builtin.include_role": {"name": "agent_release", "tasks_from": "abandon"}, "vars": given}
    step = {
        "block": [{"name": "Start the worker", "ansible.builtin.fail": {"msg": "it crashed"}}],
        "rescue": [role],
    }
    found = "{{ {'failed_last': ansible_failed_result.msg, 'kept': __agent_release_failure} | to_json }}"
    note = {"ansible.builtin.copy": {"dest": "{{ playbook_dir }}/found.json", "mode": "0600", "content": found}}
    told = {"block": [step, note], "rescue": [note, {"ansible.builtin.fail": {}}]}
    return [{"hosts": "localhost", "gather_facts": False, "tasks": [begun, told]}]


def abandoned(folder: Path, hook: str = "", defer: bool = False) -> tuple[int, dict[str, str]]:
    """The exit status, and what was noted."""
    (folder / "library").mkdir()
    (folder / "library" / "agent_release.py").write_text(MODULE)
    (folder / "ansible.cfg").write_text(CONFIG)
    (folder / "hook.yml").write_text(hook)
    (folder / "play.yml").write_text(json.dumps(playbook({"on_failure": "hook.yml"} if hook else {}, defer)))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "play.yml"]
    settings = {**os.environ, "ANSIBLE_CONFIG": str(folder / "ansible.cfg")}
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, check=False, timeout=60)
    assert (folder / "found.json").exists(), done.stdout + done.stderr
    return done.returncode, json.loads((folder / "found.json").read_text())


@pytest.mark.parametrize(
    "hook", ["", "- {name: Tell the team, ansible.builtin.file: {path: told, state: touch, mode: '0600'}}"]
)
def test_failure_is_told_and_a_hook_has_run(tmp_path: Path, hook: str) -> None:
    code, found = abandoned(tmp_path, hook)
    assert (code, found["failed_last"]) == (2, found["kept"])
    assert found["kept"].splitlines()[0] == "Start the worker: it crashed"
    assert "Serving now: r1\n  the last line" in found["kept"]
    assert "hook" not in found["kept"]
    assert (tmp_path / "told").exists() is bool(hook)


FAILING = "- {name: Tell the team, ansible.builtin.fail: {msg: nobody listens}}"


def test_hook_that_fails_hides_nothing_of_the_failure_before_it(tmp_path: Path) -> None:
    code, found = abandoned(tmp_path, FAILING)
    assert (code, found["failed_last"]) == (2, found["kept"])
    said = found["kept"].splitlines()
    assert said[:2] == ["Start the worker: it crashed", "Serving now: r1"]
    assert said[-1] == "The hook on_failure failed, too: Tell the team: nobody listens. Correct hook.yml"


def test_failure_that_is_kept_for_the_end_of_all_batches_has_that_of_the_hook(tmp_path: Path) -> None:
    code, found = abandoned(tmp_path, FAILING, defer=True)
    assert (code, found["failed_last"]) == (0, "nobody listens")
    assert found["kept"].startswith("Start the worker: it crashed\n")
    assert "failed, too: Tell the team: nobody listens" in found["kept"]
