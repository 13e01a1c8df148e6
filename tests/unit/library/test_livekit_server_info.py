# SPDX-License-Identifier: Apache-2.0
"""The module livekit_server_info as Ansible runs it, against small HTTP servers."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import livekit_server_info
import pytest
import yaml
from ansible.module_utils.livekit_deploy.common import times
from ansible.module_utils.livekit_deploy.livekit import client
from ansible.module_utils.testing import patch_module_args

SECRET = "very-secret-very-secret-very-secret"


class Answer(BaseHTTPRequestHandler):
    """Answers every request with what the test says."""

    given: ClassVar[tuple[int, str, bytes]] = (200, "application/protobuf", b"")

    def do_POST(self) -> None:
        status, content, body = self.given
        self.send_response(status)
        self.send_header("Content-Type", content)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"ws://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def run(capsys: pytest.CaptureFixture[str], url: str, **params: Any) -> dict[str, Any]:
    given = {"url": url, "api_key": "key", "api_secret": SECRET, **params}
    with patch_module_args(given), pytest.raises(SystemExit):
        livekit_server_info.main()
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    assert "Traceback" not in out + err
    return dict(json.loads(out))


def test_a_server_that_accepts_the_key(capsys: pytest.CaptureFixture[str], address: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(Answer, "given", (200, "application/protobuf", b""))
    answer = run(capsys, address)
    assert (answer["reachable"], answer["key_accepted"], answer["rooms"], answer["changed"]) == (True, True, 0, False)
    assert re.fullmatch(r"\d{8}T\d{6}Z", answer["stamp"])
    assert answer["stamp"] == times.stamp(answer["time"], times.COMPACT)
    assert set(answer) - {"invocation", "changed", "warnings"} == {
        key for key, value in yaml.safe_load(livekit_server_info.RETURN).items() if value["returned"] != "failure"
    }


REFUSALS = [
    ((401, "text/plain", b"invalid API key: key"), "key", True),
    ((401, "text/plain", b"invalid token: eyJ.a.b, error: token signature is invalid"), "secret", True),
    ((403, "application/json", b'{"code":"permission_denied","msg":"no"}'), "permission", True),
    ((404, "text/plain", b"404 page not found"), "not_livekit", False),
    ((200, "text/html", b"<html>"), "not_livekit", False),
    ((200, "application/protobuf", b"\xff\xff\xff"), "not_livekit", False),
]


@pytest.mark.parametrize(("given", "kind", "reachable"), REFUSALS)
def test_a_refusal_says_found_expected_remedy(
    capsys: pytest.CaptureFixture[str], address: str, monkeypatch: Any, given: Any, kind: str, reachable: bool
) -> None:
    monkeypatch.setattr(Answer, "given", given)
    answer = run(capsys, address)
    assert answer["failed"]
    assert (answer["kind"], answer["reachable"], answer["key_accepted"]) == (kind, reachable, False)
    assert all(answer[key] and answer[key] in answer["msg"] for key in ("found", "expected", "remedy"))


NO_SERVER = [("ws://127.0.0.1:1", "unreachable"), ("http://name.invalid", "dns"), ("nonsense", "url")]


@pytest.mark.parametrize(("url", "kind"), NO_SERVER)
def test_no_server_there(capsys: pytest.CaptureFixture[str], url: str, kind: str) -> None:
    answer = run(capsys, url)
    assert (answer["failed"], answer["kind"], answer["reachable"]) == (True, kind, False)
    assert answer["seconds"] < 5


def test_an_empty_key_is_refused_before_anything_is_sent(capsys: pytest.CaptureFixture[str]) -> None:
    answer = run(capsys, "ws://127.0.0.1:1", api_key="")
    assert (answer["failed"], answer["reachable"]) == (True, False)


def test_a_missing_library_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "IMPORT_ERROR", "ImportError")
    assert "livekit-api" in run(capsys, "ws://127.0.0.1:1")["msg"]


def test_the_documentation_names_every_option() -> None:
    assert set(yaml.safe_load(livekit_server_info.DOCUMENTATION)["options"]) == set(livekit_server_info.ARGUMENTS)
