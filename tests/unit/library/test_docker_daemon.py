# SPDX-License-Identifier: Apache-2.0
"""The module docker_daemon as Ansible runs it, on files of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import docker_daemon
import pytest
from ansible.module_utils.testing import patch_module_args

REGISTRY = {"insecure-registries": ["10.0.0.5:5000"]}
THEIRS = '{"log-opts": {"max-size": "5m"}, "insecure-registries": ["theirs:5000"]}'


def run(capsys: pytest.CaptureFixture[str], path: Path, settings: dict[str, Any], **params: Any) -> dict[str, Any]:
    with patch_module_args({"path": str(path), "settings": settings, **params}), pytest.raises(SystemExit):
        docker_daemon.main()
    return dict(json.loads(capsys.readouterr().out))


def test_a_file_is_made_with_its_directory(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "docker" / "daemon.json"
    assert run(capsys, path, REGISTRY)["changed"]
    assert json.loads(path.read_text()) == REGISTRY
    assert path.stat().st_mode & 0o777 == 0o644


def test_settings_of_others_stay(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(THEIRS)
    found = run(capsys, path, REGISTRY)
    assert json.loads(path.read_text()) == {"log-opts": {"max-size": "5m"}, **found["settings"]}
    assert found["settings"] == {"insecure-registries": ["theirs:5000", "10.0.0.5:5000"]}


@pytest.mark.parametrize(
    "changes", [{"insecure-registries": ["10.0.0.5:5000"]}, {"proxies": {"no-proxy": "a.test"}}, {}]
)
@pytest.mark.parametrize("checking", [True, False])
def test_settings_of_others_are_not_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, changes: dict[str, Any], checking: bool
) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(
        json.dumps(
            {"proxies": {"http-proxy": "http://u:do-not-tell@p", "token": "do-not-tell"}, "labels": ["do-not-tell"]}
        )
    )
    found = run(capsys, path, changes, _ansible_check_mode=checking, _ansible_diff=True, _ansible_verbosity=3)
    assert "do-not-tell" not in json.dumps(found)


def test_a_file_that_only_root_may_read_stays_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(THEIRS)
    path.chmod(0o600)
    assert run(capsys, path, REGISTRY)["changed"]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("settings", [{}, {"insecure-registries": ["theirs:5000"]}])
def test_a_file_that_has_it_all_is_left_byte_for_byte(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, settings: dict[str, Any]
) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(THEIRS)
    assert not run(capsys, path, settings)["changed"]
    assert path.read_text() == THEIRS


def test_no_file_is_made_where_nothing_is_wanted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert not run(capsys, tmp_path / "daemon.json", {})["changed"]
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_no_settings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text("\n")
    assert run(capsys, path, REGISTRY)["changed"]
    assert json.loads(path.read_text()) == REGISTRY


def test_check_mode_says_what_would_change_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(THEIRS)
    found = run(capsys, path, REGISTRY, _ansible_check_mode=True)
    assert found["changed"]
    assert "10.0.0.5:5000" in found["diff"]["after"]
    assert path.read_text() == THEIRS


@pytest.mark.parametrize("text", ["{", '{"a": 1,}', "insecure-registries: []"])
def test_a_file_that_is_no_json_is_refused_and_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(text)
    found = run(capsys, path, REGISTRY)
    assert found["failed"]
    assert "is no JSON" in found["msg"]
    assert path.read_text() == text


@pytest.mark.parametrize("text", ["[]", '"text"', "null"])
def test_json_that_is_no_object_is_refused_and_kept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str
) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(text)
    found = run(capsys, path, REGISTRY)
    assert found["failed"]
    assert "expected an object" in found["msg"]
    assert path.read_text() == text
