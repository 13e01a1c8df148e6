# SPDX-License-Identifier: Apache-2.0
"""The module registry_certificates as Ansible runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import registry_certificates
from ansible.module_utils.testing import patch_module_args

from tests.unit.module_utils.machine.test_registry import CERTIFICATE

ADDRESS = "registry.test:5443"


def write(
    capsys: pytest.CaptureFixture[str], directory: Path, certificates: dict[str, Any], **params: Any
) -> dict[str, Any]:
    arguments = {"directory": str(directory), "certificates": certificates, **params}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        registry_certificates.main()
    return dict(json.loads(capsys.readouterr().out))


def test_certificate_is_written_for_everybody_to_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / ADDRESS / "livekit-agent-deploy.crt"
    assert write(capsys, tmp_path, {ADDRESS: CERTIFICATE})["written"] == [str(path)]
    assert path.read_text() == CERTIFICATE
    assert [one.stat().st_mode & 0o777 for one in (path, path.parent)] == [0o644, 0o755]


def test_same_certificate_again_changes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write(capsys, tmp_path, {ADDRESS: CERTIFICATE})
    found = write(capsys, tmp_path, {ADDRESS: CERTIFICATE.strip()})
    assert (found["changed"], found["diff"]) == (False, [])


def test_files_of_others_stay(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / ADDRESS).mkdir()
    (tmp_path / ADDRESS / "ca.crt").write_text("theirs")
    write(capsys, tmp_path, {ADDRESS: CERTIFICATE})
    assert (tmp_path / ADDRESS / "ca.crt").read_text() == "theirs"


def test_check_mode_shows_the_difference_and_writes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    found = write(capsys, tmp_path, {ADDRESS: CERTIFICATE}, _ansible_check_mode=True)
    assert found["changed"]
    assert [(one["before"], one["after"]) for one in found["diff"]] == [("", CERTIFICATE)]
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_no_certificate_keeps_all_from_being_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = write(capsys, tmp_path, {ADDRESS: CERTIFICATE, "other.test": None})
    assert found["failed"]
    assert "other.test that is no certificate, expected the PEM text" in found["msg"]
    assert list(tmp_path.iterdir()) == []
