"""The module api_answer_info as Ansible runs it, against small servers that answer well, late, strangely or not at all."""

from __future__ import annotations

import itertools
import json
import socket
import time
from pathlib import Path
from typing import Any

import api_answer_info
import pytest
from ansible.module_utils.testing import patch_module_args

from tests.unit.module_utils.test_web import make_pair, saying, secure_server, server

WELL = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def run(capsys: pytest.CaptureFixture[str], port: int, **params: Any) -> dict[str, Any]:
    with patch_module_args({"port": port, **params}), pytest.raises(SystemExit):
        api_answer_info.main()
    return dict(json.loads(capsys.readouterr().out))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_api_that_is_healthy_after_a_while_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    before = [b"HTTP/1.1 503 Wait\r\n\r\n", b"HTTP/1.1 302 There\r\nLocation: /\r\n\r\n", b"no HTTP"]
    answers = itertools.chain(before, itertools.repeat(WELL))
    with server(lambda connection: saying(next(answers))(connection)) as port:
        answer = run(capsys, port, health_path="/healthz", health_seconds=20)
    assert (answer["waits"][0]["what"], "status" in answer) == ("health of the API", False)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"HTTP/1.1 503 Wait\r\nContent-Length: 0\r\n\r\n", "answers HTTP 503"),
        (b"HTTP/1.1 302 There\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n", "answers HTTP 302"),
        (b"SSH-2.0-x\r\n", "expected HTTP 200"),
    ],
)
def test_api_that_never_is_healthy_is_told_with_its_last_answer(capsys: pytest.CaptureFixture[str], text: bytes, found: str) -> None:
    with server(saying(text)) as port:
        answer = run(capsys, port, health_path="/healthz", health_seconds=0.5)
    assert answer["failed"]
    assert found in answer["msg"]
    assert "correct agent_api_health_path, agent_api_container_port or agent_api_start_timeout_seconds" in answer["msg"]


def test_nobody_on_the_port_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        "refused, expected HTTP 200 of /healthz within 0.5 s" in run(capsys, free_port(), health_path="/healthz", health_seconds=0.5)["msg"]
    )


def drip(connection: socket.socket) -> None:
    connection.recv(4096)
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000:
        connection.sendall(bytes([byte]))
        time.sleep(0.2)


def test_one_byte_at_a_time_ends_with_the_deadline(capsys: pytest.CaptureFixture[str]) -> None:
    started = time.monotonic()
    with server(drip) as port:
        answer = run(capsys, port, health_path="/healthz", health_seconds=1, preview={"path": "/v1/preview"}, preview_seconds=1)
    assert answer["failed"]
    assert time.monotonic() - started < 5


def test_preview_is_sent_once_with_its_headers_and_body(capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[bytes] = []
    given = b'HTTP/1.1 201 Made\r\nContent-Length: 14\r\n\r\n{"room": "de"}'

    def talk(connection: socket.socket) -> None:
        heard.append(connection.recv(65536))
        while not heard[-1].endswith(b"}"):
            heard[-1] += connection.recv(65536)
        connection.sendall(given)

    preview = {"path": "/v1/preview?x=1", "headers": {"X-Key": "de"}, "body": {"lang": "de"}, "body_format": "json"}
    with server(talk) as port:
        answer = run(capsys, port, preview=preview)
    (request,) = heard
    assert request.startswith(b"POST /v1/preview?x=1 HTTP/1.1\r\n")
    assert b"X-Key: de\r\n" in request
    assert b"Content-Type: application/json\r\n" in request
    assert request.endswith(b'{"lang": "de"}')
    # What it answers is not changed by what it was sent, be that an ordinary word.
    assert (answer["status"], answer["content"], answer["url"]) == (201, '{"room": "de"}', f"http://127.0.0.1:{port}/v1/preview?x=1")


def test_text_is_sent_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert api_answer_info.body_of({"body": "a=1", "body_format": "raw"}, {}) == b"a=1"
    headers = {"content-type": "application/x"}
    assert (api_answer_info.body_of({"body": {"a": 1}, "body_format": "json"}, headers), len(headers)) == (b'{"a": 1}', 1)
    assert run(capsys, free_port(), preview={"path": "/p", "body": "x"})["status"] == 0


def test_preview_that_is_not_answered_fails_nothing_and_shows_no_header(capsys: pytest.CaptureFixture[str]) -> None:
    answer = run(capsys, free_port(), preview={"path": "/v1/preview", "headers": {"X-Key": "hidden-secret\nX: y"}})
    assert (answer.get("failed", False), answer["status"], "hidden-secret" in json.dumps(answer["content"])) == (False, 0, False)


def test_body_without_end_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with server(talk) as port:
        answer = run(capsys, port, preview={"path": "/"}, preview_seconds=5)
    assert (answer["status"], len(answer["content"])) == (200, api_answer_info.web.BODY_BYTES)


def test_no_proxy_of_the_host_is_asked(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with server(saying(b"HTTP/1.1 200 From-the-proxy\r\n\r\nproxy")) as proxy, server(saying(WELL)) as port:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        assert run(capsys, port, health_path="/", preview={"path": "/"})["content"] == "ok"


def test_check_mode_sends_no_preview(capsys: pytest.CaptureFixture[str]) -> None:
    with server(saying(WELL)) as port:
        answer = run(capsys, port, health_path="/healthz", preview={"path": "/v1/preview"}, _ansible_check_mode=True)
    assert "status" not in answer


def test_site_with_tls_is_asked_under_its_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    preview = {"path": "/v1/preview", "tls": True, "server_name": "api.test", "validate_certs": False, "headers": {"Host": "api.test"}}
    with secure_server(make_pair(tmp_path)) as port:
        answer = run(capsys, port, preview=preview)
        refused = run(capsys, port, preview={**preview, "validate_certs": True})
    assert (answer["status"], answer["content"], answer["url"]) == (200, "ok", f"https://127.0.0.1:{port}/v1/preview")
    assert (refused["status"], "certificate verify failed" in refused["content"]) == (0, True)


def test_access_token_leaves_the_host_as_the_name_of_its_room(capsys: pytest.CaptureFixture[str]) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJ2aWRlbyI6eyJyb29tIjoiZGVzay03In19.c2lnbmF0dXJl"
    body = json.dumps({"call": {"token": token, "url": "ws://livekit"}}).encode()
    with server(saying(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))) as port:
        answer = run(capsys, port, preview={"path": "/calls"})
    assert json.loads(answer["content"]) == {"call": {"token": "desk-7", "url": "ws://livekit"}}
