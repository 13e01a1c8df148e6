# SPDX-License-Identifier: Apache-2.0
"""The module nginx_site as Ansible runs it, with /etc moved aside and nginx's answers made up."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nginx_site
import pytest
from ansible.module_utils.livekit_deploy.machine.command import Runner
from ansible.module_utils.testing import patch_module_args

OK: dict[str, int] = {}
TEST, RELOAD, ACTIVE = "nginx -t -q", "systemctl reload nginx", "systemctl is-active --quiet nginx"
CALLS = [TEST, RELOAD]
NOT_THERE = 127


class Nginx:
    """A host's nginx: its files are below ``root``; a command in ``fails`` ends with that status. All else is run."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.capsys, self.fails, self.calls, self.dump = root, capsys, OK, list[str](), ""
        self.accepts: Callable[[], bool] = lambda: True
        (root / "etc/nginx/conf.d").mkdir(parents=True)
        self.site = root / "etc/nginx/conf.d/livekit-agent-deploy-sidekick.conf"
        self.upstream = root / "etc/nginx/livekit-agent-deploy/sidekick.upstream.conf"
        monkeypatch.setattr(nginx_site, "Path", lambda path: root / str(path).lstrip("/"))
        monkeypatch.setattr(nginx_site, "Runner", lambda **_: self.answer)

    def answer(self, argv: list[str]) -> tuple[int, str, str]:
        said = " ".join(argv)
        if argv[0] not in ("nginx", "systemctl"):
            return Runner()(argv) if said not in self.fails else (self.fails[said], "", "")
        if argv[1] not in ("-v", "-T"):
            self.calls.append(said)
        status = self.fails.get(said, 0) or int(said == TEST and not self.accepts())
        return status, self.dump, "unknown directive" if status else ""

    def converge(self, site: str = "", **params: Any) -> dict[str, Any]:
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


@pytest.mark.parametrize(("status", "site"), [(0, "site two"), (1, "site one")])
def test_an_upstream_that_a_release_switched_meanwhile_is_left(nginx: Nginx, status: int, site: str) -> None:
    nginx.converge("site one")
    before = {nginx.site: "site one", nginx.upstream: nginx.upstream.read_text()}
    nginx.upstream.write_text("switched since")
    nginx.fails = {TEST: status}
    nginx_site.converge(
        lambda argv: nginx.answer(list(argv)), before, {**before, nginx.site: "site two"}, "both", nginx.upstream
    )
    assert (nginx.site.read_text(), nginx.upstream.read_text()) == (site, "switched since")


def test_an_upstream_that_is_gone_is_written_again(nginx: Nginx) -> None:
    nginx.converge("site one")
    nginx.upstream.unlink()
    assert nginx.converge("site one")["changed"]
    assert nginx.upstream.exists()


@pytest.mark.parametrize("refusing", CALLS)
def test_a_refused_site_is_put_back_as_it_was(nginx: Nginx, refusing: str) -> None:
    nginx.converge("site one")
    nginx.accepts = lambda: refusing != TEST or nginx.site.read_text() == "site one"
    nginx.fails = {RELOAD: 1} if refusing == RELOAD else OK
    found = nginx.converge("site two")
    assert found["failed"]
    assert f"found: `{refusing}` says: unknown directive. Expected: nginx accepts" in found["msg"]
    assert nginx.site.read_text() == "site one"


def test_a_refused_first_site_leaves_nothing(nginx: Nginx) -> None:
    nginx.accepts = lambda: not nginx.site.exists()
    assert nginx.converge("site one")["failed"]
    assert not nginx.site.exists()
    assert not nginx.upstream.exists()
    assert RELOAD not in nginx.calls


def test_a_configuration_that_somebody_else_broke_is_said_to_be_so(nginx: Nginx) -> None:
    nginx.fails = {TEST: 1}
    found = nginx.converge("site one")
    assert "found: nginx refuses the configuration that is on this host already" in found["msg"]
    assert "Nothing was changed" in found["msg"]
    assert not nginx.site.exists()


def test_check_mode_says_what_would_change_and_writes_nothing(nginx: Nginx) -> None:
    found = nginx.converge("site one", _ansible_check_mode=True)
    assert found["changed"]
    assert found["diff"] == {"before": "", "after": "site one"}
    assert not nginx.site.exists()
    assert not nginx.upstream.exists()
    assert nginx.calls == []


def test_a_host_without_nginx_is_refused(nginx: Nginx) -> None:
    nginx.fails = {"nginx -v": NOT_THERE}
    assert "found: no nginx on this host, expected one" in nginx.converge("site one")["msg"]


def test_a_check_run_needs_no_nginx(nginx: Nginx) -> None:
    nginx.fails = {"nginx -v": NOT_THERE}
    assert nginx.converge("site one", _ansible_check_mode=True)["changed"]


@pytest.mark.parametrize("state", ["present", "absent"])
def test_a_run_that_was_killed_before_its_reload_is_finished_by_the_next(
    nginx: Nginx, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    if state == "absent":
        nginx.converge("site one")

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(nginx_site, "reload_proxy", killed)
        with pytest.raises(KeyboardInterrupt):
            nginx.converge("site one", state=state)
    assert nginx.site.exists() is (state == "present")
    nginx.converge("site one", state=state)
    assert RELOAD in nginx.calls
    nginx.converge("site one", state=state)
    assert RELOAD not in nginx.calls


# --- a site of somebody else's ---------------------------------------------------------------------------------------


def test_without_a_site_of_ours_the_upstream_is_written_alone(nginx: Nginx) -> None:
    assert nginx.converge(state="upstream")["changed"]
    assert (nginx.site.exists(), nginx.upstream.exists(), nginx.calls) == (False, True, CALLS)


def test_our_site_goes_when_somebody_else_writes_one_and_the_upstream_stays(nginx: Nginx) -> None:
    nginx.converge("site one")
    nginx.upstream.write_text("upstream of a release")
    assert nginx.converge(state="upstream")["changed"]
    assert not nginx.site.exists()
    assert nginx.upstream.read_text() == "upstream of a release"
    assert not nginx.converge(state="upstream")["changed"]


def test_an_upstream_that_no_site_uses_is_noted(nginx: Nginx) -> None:
    (note,) = nginx.converge(state="upstream", instance_host="a")["report_notes"]
    assert note.startswith("a: no site of nginx uses the upstream of sidekick yet: put `include /")
    nginx.dump = f"# configuration file {nginx.upstream}:\nupstream"
    assert nginx.converge(state="upstream")["report_notes"] == []


# --- a removal -------------------------------------------------------------------------------------------------------


def test_a_removal_takes_site_and_upstream_and_is_done_once(nginx: Nginx) -> None:
    nginx.converge("site one")
    assert nginx.converge(state="absent")["changed"]
    assert (nginx.site.exists(), nginx.upstream.exists(), nginx.calls) == (False, False, [ACTIVE, *CALLS])
    assert (nginx.converge(state="absent")["changed"], nginx.calls) == (False, [])


@pytest.mark.parametrize("status", [3, NOT_THERE], ids=["stopped", "not there"])
def test_a_removal_needs_no_nginx_that_runs(nginx: Nginx, status: int) -> None:
    nginx.converge("site one")
    nginx.fails = {ACTIVE: status, TEST: status, RELOAD: status, "nginx -v": status}
    assert nginx.converge(state="absent")["changed"]
    assert not nginx.site.exists()


def test_a_site_that_something_else_needs_is_not_removed(nginx: Nginx) -> None:
    nginx.converge("site one")
    nginx.accepts = nginx.upstream.exists
    assert nginx.converge(state="absent")["failed"]
    assert (nginx.site.read_text(), nginx.upstream.exists()) == ("site one", True)


# --- its certificate -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A certificate of three days and its key."""
    made = tmp_path_factory.mktemp("pair")
    new = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "3",
        "-subj",
        "/CN=a",
    ]
    files = {"certificate": f"{made}/a.pem", "certificate_key": f"{made}/a.key"}
    options = [
        "-addext",
        "subjectAltName=DNS:a.test",
        "-out",
        files["certificate"],
        "-keyout",
        files["certificate_key"],
    ]
    subprocess.run([*new, *options], check=True, capture_output=True)
    return files


def test_a_certificate_that_ends_soon_is_noted_and_served(nginx: Nginx, pair: dict[str, str]) -> None:
    found = nginx.converge("site one", server_name="a.test", instance_host="a", **pair)
    assert found["changed"]
    assert [note.partition(" ends on ")[0] for note in found["report_notes"]] == [
        f"a: the certificate {pair['certificate']}"
    ]


def test_a_certificate_that_is_not_there_is_refused_before_anything_is_written(
    nginx: Nginx, pair: dict[str, str]
) -> None:
    found = nginx.converge("site one", **{**pair, "certificate": "/nowhere/a.pem"})
    assert "found: no file /nowhere/a.pem on this host" in found["msg"]
    assert (nginx.site.exists(), nginx.calls) == (False, [])


def test_a_check_run_looks_at_the_certificate_too(nginx: Nginx, pair: dict[str, str]) -> None:
    assert nginx.converge("site one", **{**pair, "certificate": "/nowhere/a.pem"}, _ansible_check_mode=True)["failed"]
    nginx.fails = {"openssl version": NOT_THERE}
    assert (
        "openssl is not installed yet"
        in nginx.converge("site one", **pair, _ansible_check_mode=True)["report_notes"][0]
    )
