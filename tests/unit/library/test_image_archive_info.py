# SPDX-License-Identifier: Apache-2.0
"""The module image_archive_info as Ansible runs it."""

from __future__ import annotations

import json
from pathlib import Path

import image_archive_info
import pytest
from ansible.module_utils.testing import patch_module_args

from tests.unit.module_utils.archive import config, digest, save


def test_what_cannot_be_read_is_answered_beside_what_can(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = save(tmp_path / "a.tar", {"worker:1": config("one")})
    wanted = [{"image": "worker:1", "path": str(path)}, {"image": "api:1", "path": str(tmp_path / "gone.tar")}]
    with patch_module_args({"archives": wanted}), pytest.raises(SystemExit):
        image_archive_info.main()
    answer = json.loads(capsys.readouterr().out)
    assert not answer["changed"]
    assert answer["archives"][0]["id"] == f"sha256:{digest(config('one'))}"
    assert "gone.tar for api:1, expected an archive" in answer["archives"][1]["trouble"]
