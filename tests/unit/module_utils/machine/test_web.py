"""What this host and its containers answer over HTTP is bounded, and no proxy is asked."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible.module_utils.livekit_deploy.machine import web


@contextmanager
def server(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that talks to each connection as it likes; its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                try:
                    talk(connection)
                except OSError:
                    continue

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.close()


def saying(text: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(text)

    return talk


def drip(connection: socket.socket) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000:
        connection.sendall(bytes([byte]))
        time.sleep(0.1)


def test_status_and_body_are_answered() -> None:
    with server(saying(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nwait")) as port:
        assert web.ask("127.0.0.1", port, "/", 2)[:2] == (503, b"wait")


def test_method_headers_and_body_are_sent() -> None:
    heard: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        heard.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.1 204 Done\r\n\r\n")

    with server(talk) as port:
        assert web.ask("127.0.0.1", port, "/p?q=1", 2, method="POST", headers={"X-Own": "a"}, body=b"{}").status == 204
    assert heard[0].startswith(b"POST /p?q=1 HTTP/1.1\r\n")
    assert b"X-Own: a\r\n" in heard[0]


@pytest.mark.parametrize(
    "text",
    [b"SSH-2.0-x\r\n", b"", b"HTTP/1.1 abc\r\n\r\n", b"\x00\xff" * 100, b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200],
)
def test_what_speaks_no_http_is_no_answer_and_no_exception(text: bytes) -> None:
    with server(saying(text)) as port:
        answer = web.ask("127.0.0.1", port, "/", 2)
    assert answer.status == 0
    assert answer.error


def test_nobody_listening_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert "refused" in web.ask("127.0.0.1", port, "/", 2).error


@pytest.mark.parametrize("talk", [drip, lambda _: time.sleep(5)])
def test_the_whole_answer_has_one_deadline(talk: Callable[[socket.socket], None]) -> None:
    started = time.monotonic()
    with server(talk) as port:
        assert web.ask("127.0.0.1", port, "/", 1).status == 0
    assert time.monotonic() - started < 3


def test_body_without_end_is_bounded() -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with server(talk) as port:
        assert len(web.ask("127.0.0.1", port, "/", 5).body) == web.BODY_BYTES


def test_body_that_does_not_end_leaves_the_status_known() -> None:
    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        time.sleep(3)

    with server(talk) as port:
        answer = web.ask("127.0.0.1", port, "/", 0.5)
    assert (answer.status, answer.body, bool(answer.error)) == (200, b"", True)


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        server(saying(b"HTTP/1.1 200 From-the-proxy\r\n\r\nproxy")) as proxy,
        server(saying(b"HTTP/1.1 200 OK\r\n\r\nown")) as port,
    ):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        assert web.ask("127.0.0.1", port, "/", 2).text == "own"


def make_pair(directory: Path) -> tuple[Path, Path]:
    """A certificate for api.test, signed by itself, and its key."""
    certificate, key = directory / "a.pem", directory / "a.key"
    new = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=api.test",
    ]
    names = ["-addext", "subjectAltName=DNS:api.test", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*new, *names], check=True, capture_output=True)
    return certificate, key


@contextmanager
def secure_server(pair: tuple[Path, Path]) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)

    def talk(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")(secure)

    with server(talk) as port:
        yield port


def test_server_with_tls_is_asked_under_its_name(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    trusting = ssl.create_default_context(cafile=str(pair[0]))
    with secure_server(pair) as port:
        assert web.ask("127.0.0.1", port, "/", 5, tls=trusting, server_name="api.test")[:2] == (200, b"ok")
        assert "mismatch" in web.ask("127.0.0.1", port, "/", 5, tls=trusting, server_name="other.test").error
        assert (
            "verify failed"
            in web.ask("127.0.0.1", port, "/", 5, tls=ssl.create_default_context(), server_name="api.test").error
        )


def test_server_that_says_nothing_to_a_handshake_meets_the_deadline() -> None:
    started = time.monotonic()
    with server(lambda _connection: time.sleep(2)) as port:
        assert web.ask("127.0.0.1", port, "/", 0.5, tls=ssl.create_default_context()).status == 0
    assert time.monotonic() - started < 1.8
