"""The module inventory_entry as Ansible runs it: what it writes, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import inventory_entry
import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

TEXT = "# mine\nagent_hosts:\n  hosts:\n    one:\n      ansible_host: 10.0.0.1\n"
KNOWN = [{"host": "one", "address": "10.0.0.1", "agent_name": "app-one", "shared_name": "app", "app": "app"}]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "hosts.yml"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


def run(capsys: pytest.CaptureFixture[str], path: Path, **params: Any) -> dict[str, Any]:
    given = {"path": str(path), "host": "two", "address": "10.0.0.2", "known": KNOWN, "taken": ["one"], **params}
    with patch_module_args(given), pytest.raises(SystemExit):
        inventory_entry.main()
    return dict(json.loads(capsys.readouterr().out))


def test_entry_is_written_and_mode_and_comments_stay(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    answer = run(capsys, path)
    assert yaml.safe_load(path.read_text())["agent_hosts"]["hosts"]["two"] == answer["entry"]
    assert (path.read_text().startswith(TEXT), path.stat().st_mode & 0o777, list(path.parent.iterdir())) == (
        True,
        0o640,
        [path],
    )


def test_link_to_the_file_stays_a_link(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    link = path.with_name("link.yml")
    link.symlink_to(path)
    run(capsys, link)
    assert (link.is_symlink(), "two:" in path.read_text()) == (True, True)


def test_check_mode_shows_and_writes_nothing(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    answer = run(capsys, path, _ansible_check_mode=True)
    assert (answer["changed"], "two:" in answer["diff"]["after"], path.read_text()) == (True, True, TEXT)


def test_next_commands_are_told(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    said = "\n".join(run(capsys, path, port=2222)["report_lines"])
    assert "ssh-keyscan -p 2222 10.0.0.2" in said
    assert f"ansible-playbook -i {path} -J playbooks/add_host.yml --limit two" in said


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("hosts.ini", "", "no YAML file by its name"),
        ("none.yml", None, "found no"),
        ("hosts.yml", "$ANSIBLE_VAULT;1.1;AES256\n61", "encrypted"),
    ],
)
def test_other_files_are_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    answer = run(capsys, tmp_path / name)
    assert (answer["failed"], said in answer["msg"], "-e new_inventory=" in answer["msg"]) == (True, True, True)


def test_directory_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "a directory" in run(capsys, tmp_path)["msg"]


def test_refusal_writes_nothing(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    assert "the inventory has one already" in run(capsys, path, host="one")["msg"]
    assert path.read_text() == TEXT
