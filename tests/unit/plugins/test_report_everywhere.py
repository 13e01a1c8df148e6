"""Table and report of the project's playbooks in every way of running them; no host is changed, no server is there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import ansible_runner
import pytest

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
# What a run needs of the checkout; nothing is written into the checkout itself.
FOLDERS = [f"{kind}_plugins" for kind in ("callback", "filter", "lookup")]
PARTS = ["ansible.cfg", "deploy.yml", *FOLDERS, "doc_fragments", "library", "module_utils", "playbooks", "roles"]
HOSTS = """
agent_hosts:
  vars:
    ansible_connection: local
    ansible_become: false
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
    agent_release_app: app-of-no-host
    livekit_url: ws://10.1.2.3:7880
    livekit_api_url: http://127.0.0.1:1
    livekit_api_key: key
    livekit_api_secret: a-secret-of-at-least-32-bytes-0123
    livekit_agent_name: "agent-{{ inventory_hostname }}"
  hosts:
    a:
servers:
  hosts:
    elsewhere: {ansible_connection: local}
"""
OURS = ("LIVEKIT_DEPLOY", "ANSIBLE")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A private data directory as AWX makes it, with a copy of this project."""
    for part in PARTS:
        source, target = ROOT / part, tmp_path / "project" / part
        target.parent.mkdir(exist_ok=True)
        ignored = shutil.ignore_patterns("molecule", "__pycache__")
        shutil.copytree(source, target, symlinks=True, ignore=ignored) if source.is_dir() else shutil.copy(
            source, target
        )
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "hosts.yml").write_text(HOSTS)
    return tmp_path


@pytest.fixture(autouse=True)
def nothing_of_ours_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "ansible-home"))


def command(
    project: Path, playbook: str, *arguments: str, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ansible-playbook", "-i", str(project / "inventory" / "hosts.yml"), playbook, *arguments],
        cwd=cwd or project / "project",
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def report_of(project: Path, playbook: str) -> dict[str, Any]:
    return dict(json.loads((project / "project" / "build" / "reports" / f"{playbook}.json").read_text()))


@pytest.mark.parametrize(("playbook", "code"), [("status", 0), ("verify", 2), ("diagnose", 0)])
def test_ansible_runner_with_a_private_data_directory_shows_table_and_report(
    project: Path, playbook: str, code: int
) -> None:
    done = ansible_runner.run(private_data_dir=str(project), playbook=f"playbooks/{playbook}.yml", quiet=True)
    output = done.stdout.read()
    assert (done.rc, output.count(f"Report: build/reports/{playbook}.json")) == (code, 1), output
    assert list(report_of(project, playbook)["hosts"]) == ["a"]


PLUGINS = str(ROOT / "callback_plugins")


@pytest.mark.parametrize(
    "variables",
    [
        {"ANSIBLE_CALLBACKS_ENABLED": "ansible.posix.profile_tasks", "ANSIBLE_CALLBACK_PLUGINS": "/nonexistent"},
        {
            "ANSIBLE_CALLBACKS_ENABLED": "deploy_report",
            "ANSIBLE_CALLBACK_PLUGINS": PLUGINS,
            "ANSIBLE_STDOUT_CALLBACK": "minimal",
        },
        {
            "ANSIBLE_DISPLAY_OK_HOSTS": "false",
            "ANSIBLE_DISPLAY_FAILED_STDERR": "true",
            "ANSIBLE_STDOUT_CALLBACK": "oneline",
        },
    ],
    ids=["callbacks of the user", "found in two ways", "display"],
)
@pytest.mark.native
def test_settings_of_the_user_leave_one_table_and_the_report(project: Path, variables: dict[str, Any]) -> None:
    done = command(project, "playbooks/status.yml", **variables)
    assert (done.returncode, done.stdout.count("Report: build/reports/status.json")) == (0, 1), (
        done.stdout + done.stderr
    )
    assert list(report_of(project, "status")["hosts"]) == ["a"]


@pytest.mark.native
def test_output_as_json_stays_json_and_the_table_goes_to_standard_error(project: Path) -> None:
    done = command(project, "playbooks/status.yml", ANSIBLE_STDOUT_CALLBACK="ansible.posix.json")
    assert json.loads(done.stdout)["stats"]["a"]["failures"] == 0
    assert "Report: build/reports/status.json" in done.stderr


def test_a_directory_that_cannot_be_written_is_told_at_once_and_fails_the_run_at_its_end(project: Path) -> None:
    (project / "no-directory").write_text("")
    done = command(project, "playbooks/status.yml", LIVEKIT_DEPLOY_REPORTS=str(project / "no-directory"))
    said = " ".join(done.stderr.split())
    assert (done.returncode, "Report: not written" in done.stdout) == (1, True), done.stdout + done.stderr
    assert "Join it with the last verdicts" in done.stdout, "the run was broken off"
    assert said.count("status.json is not written. Found: ") >= 2
    assert "Set LIVEKIT_DEPLOY_REPORTS to one." in said
    assert "Traceback" not in said + done.stdout


def test_a_run_without_the_callback_is_refused_in_words(project: Path) -> None:
    (project / "project" / "playbooks" / "callback_plugins").unlink()
    done = command(project, "playbooks/verify.yml", "--limit", "a", ANSIBLE_CALLBACK_PLUGINS="/nonexistent")
    assert done.returncode == 2
    assert "This run would leave no report" in done.stdout + done.stderr


# --- a run in which nothing ran --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("playbook", "arguments"),
    [
        ("deploy.yml", ("--tags", "x")),
        ("playbooks/status.yml", ("--start-at-task", "Tel what serves")),
        ("playbooks/verify.yml", ("--limit", "elsewhere")),
        ("playbooks/verify.yml", ("--limit", "localhost,elsewhere")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
@pytest.mark.native
def test_a_run_in_which_nothing_ran_is_not_good(project: Path, playbook: str, arguments: tuple[str, ...]) -> None:
    done = command(project, playbook, *arguments)
    report = report_of(project, Path(playbook).stem)
    assert (done.returncode, report["ok"]) == (1, False), done.stdout + done.stderr
    assert any("Nothing was done and nothing was proven" in note and arguments[0] in note for note in report["notes"])
    assert "Nothing was done and nothing was proven" in done.stdout


@pytest.mark.native
@pytest.mark.parametrize("limit", ["a,stagin-1", "agent_hosts:!stagin-1"])
def test_a_limit_of_which_a_part_matches_nothing_is_refused(project: Path, limit: str) -> None:
    done = command(project, "playbooks/verify.yml", "--limit", limit)
    assert done.returncode == 2
    assert "matches no host and no group" in done.stdout
    assert "To choose from: a, elsewhere" in " ".join(done.stdout.split())


@pytest.mark.native
def test_a_playbook_without_a_report_in_which_nothing_ran_fails_too(project: Path) -> None:
    done = command(project, "playbooks/new_host.yml", "--skip-tags", "all")
    assert done.returncode == 1
    assert "Nothing was done and nothing was proven" in done.stderr


@pytest.mark.native
def test_a_run_that_begins_in_the_middle_is_not_good(project: Path) -> None:
    done = command(project, "playbooks/status.yml", "--start-at-task", "Read what serves")
    assert (report_of(project, "status")["ok"], "This run is not whole" in done.stdout) == (False, True), done.stdout


@pytest.mark.native
def test_a_listing_is_no_run(project: Path) -> None:
    for option in ("--list-tasks", "--syntax-check"):
        done = command(project, "playbooks/status.yml", "--tags", "x", option)
        assert (done.returncode, "Nothing was done" in done.stdout + done.stderr) == (0, False)


@pytest.mark.native
def test_an_ad_hoc_command_and_a_playbook_of_others_have_no_report(project: Path) -> None:
    (project / "other.yml").write_text(
        "- hosts: servers\n  gather_facts: false\n  tasks: [{ansible.builtin.debug: {msg: x}}]\n"
    )
    assert command(project, "../other.yml", "--tags", "x").returncode == 0
    variables = {**os.environ, "ANSIBLE_LOAD_CALLBACK_PLUGINS": "true"}
    words = ["ansible", "-i", str(project / "inventory" / "hosts.yml"), "agent_hosts", "-m", "ansible.builtin.debug"]
    done = subprocess.run(
        words, cwd=project / "project", env=variables, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, "Report:" in done.stdout) == (0, False)
    assert not (project / "project" / "build").exists()
