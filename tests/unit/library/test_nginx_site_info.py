# SPDX-License-Identifier: Apache-2.0
"""The module nginx_site_info as Ansible runs it, on ports of this machine."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from typing import Any

import nginx_site_info
import pytest
from ansible.module_utils.testing import patch_module_args


@pytest.fixture
def taken() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def look(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, port: int, has_nginx: bool = True
) -> dict[str, Any]:
    def command(argv: Sequence[str]) -> tuple[int, str, str]:
        return 0 if has_nginx and argv[0] == "nginx" else 127, "", ""

    monkeypatch.setattr(nginx_site_info, "Runner", lambda **_: command)
    with patch_module_args({"ports": {"api_proxy_listen_port": port}}), pytest.raises(SystemExit):
        nginx_site_info.main()
    return dict(json.loads(capsys.readouterr().out))


def test_a_port_that_a_program_has_is_a_problem(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    found = look(capsys, monkeypatch, taken)
    assert found["installed"]
    assert [f"listens on port {taken}, expected nginx or nobody" in problem for problem in found["problems"]] == [True]


def test_a_free_port_is_none(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    found = look(capsys, monkeypatch, taken - 1)
    assert found["problems"] == []


def test_where_nginx_is_not_installed_the_port_of_its_own_site_counts_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    monkeypatch.setattr(nginx_site_info.nginx, "PACKAGED_PORT", taken)
    found = look(capsys, monkeypatch, 1, has_nginx=False)
    assert ["expected nobody while nginx is installed" in problem for problem in found["problems"]] == [True]
    assert look(capsys, monkeypatch, 1)["problems"] == []
