# SPDX-License-Identifier: Apache-2.0
"""The module nginx_site as Ansible runs it, with /etc moved aside and nginx's answers made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nginx_site
import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

OK: dict[str, int] = {}
CALLS = ["nginx -t -q", "systemctl reload nginx"]


class Nginx:
    """A host's nginx: its files are below ``root``; a command in ``fails`` ends with that status."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capsys, self.fails, self.calls = capsys, OK, list[str]()
        (root / "etc/nginx/conf.d").mkdir(parents=True)
        self.site = root / "etc/nginx/conf.d/livekit-agent-deploy-sidekick.conf"
        self.upstream = root / "etc/nginx/livekit-agent-deploy/sidekick.upstream.conf"
        monkeypatch.setattr(nginx_site, "Path", lambda path: root / str(path).lstrip("/"))
        monkeypatch.setattr(AnsibleModule, "run_command", lambda _module, argv, **_options: self.answer(argv))

    def answer(self, argv: list[str]) -> tuple[int, str, str]:
        self.calls.append(" ".join(argv))
        status = self.fails.get(self.calls[-1], 0)
        return status, "", "unknown directive" if status else ""

    def converge(self, site: str, **params: Any) -> dict[str, Any]:
        self.calls.clear()
        with patch_module_args({"app": "sidekick", "site": site, **params}), pytest.raises(SystemExit):
            nginx_site.main()
        return dict(json.loads(self.capsys.readouterr().out))


@pytest.fixture
def nginx(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Nginx:
    return Nginx(tmp_path, capsys, monkeypatch)


def test_a_first_site_gets_an_upstream_that_serves_nothing(nginx: Nginx) -> None:
    assert nginx.converge("site one")["changed"]
    assert nginx.site.read_text() == "site one"
    assert "down;" in nginx.upstream.read_text()
    assert nginx.calls == CALLS


def test_the_same_site_changes_and_reloads_nothing(nginx: Nginx) -> None:
    nginx.converge("site one")
    assert not nginx.converge("site one")["changed"]
    assert nginx.calls == []


def test_another_site_leaves_the_upstream_to_the_releases(nginx: Nginx) -> None:
    nginx.converge("site one")
    nginx.upstream.write_text("upstream of a release")
    assert nginx.converge("site two")["changed"]
    assert nginx.site.read_text() == "site two"
    assert nginx.upstream.read_text() == "upstream of a release"


def test_an_upstream_that_is_gone_is_written_again(nginx: Nginx) -> None:
    nginx.converge("site one")
    nginx.upstream.unlink()
    assert nginx.converge("site one")["changed"]
    assert nginx.upstream.exists()


@pytest.mark.parametrize("command", CALLS)
def test_a_refused_site_is_put_back_as_it_was(nginx: Nginx, command: str) -> None:
    nginx.converge("site one")
    nginx.fails = {command: 1}
    found = nginx.converge("site two")
    assert found["failed"]
    assert f"`{command}` says: unknown directive" in found["msg"]
    assert nginx.site.read_text() == "site one"


def test_a_refused_first_site_leaves_nothing(nginx: Nginx) -> None:
    nginx.fails = {"nginx -t -q": 1}
    assert nginx.converge("site one")["failed"]
    assert not nginx.site.exists()
    assert not nginx.upstream.exists()
    assert nginx.calls == CALLS[:1]


def test_check_mode_says_what_would_change_and_writes_nothing(nginx: Nginx) -> None:
    found = nginx.converge("site one", _ansible_check_mode=True)
    assert found["changed"]
    assert found["diff"] == {"before": "", "after": "site one"}
    assert not nginx.site.exists()
    assert not nginx.upstream.exists()
    assert nginx.calls == []
